"""``unlearn``: a trained model and a deletion request to a new model."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

from absl import flags

from dlfd_jax import checkpoint, methods, presets
from dlfd_jax.cli import command, inputs, options, tensorboard
from dlfd_jax.methods import base
from dlfd_jax.pipeline import chain, run_configs, unlearn, weakenings
from dlfd_jax.utils import files, runs

_ABOUT = """
Makes a trained model forget the people of a deletion request.

The data and the split come from the original's run, or from flags; a model
whose split is unknown is refused, because people it was trained on would land
among the unseen. The new model is in <workdir>/checkpoints/model.

  dlfd unlearn --original=runs/original \\
      --forget_identities=delete.txt --workdir=runs/unlearned
"""


# Methods that run another one of the user's choice, and what they do with it.
_WRAPPERS = {'rewind': 'runs and goes back in',
             'restore': 'runs as the teacher on forget',
             'rum': 'runs on the groups of low, medium and high memorisation: '
                    "three with commas between, 'nothing' for none"}
_NOTHING = 'nothing'


def _define(values: flags.FlagValues) -> None:
  inputs.define_run(values)
  inputs.define_hosts(values)
  inputs.define_unverified(values)
  tensorboard.define(values)
  flags.DEFINE_string(
      'original', None, 'run or folder of the trained model',
      flag_values=values)
  _define_names(values)
  flags.DEFINE_integer(
      'seed', 0, 'of everything random in unlearning', lower_bound=0,
      flag_values=values)
  flags.DEFINE_string(
      'splits', None, "splits.npz, if it is not in the original's folder",
      flag_values=values)
  inputs.define_preset(values)
  inputs.define_forget(values)
  flags.DEFINE_boolean(
      'remat', None, "compute the values inside the network's blocks again for "
      'the gradient: less memory, more time; default as the original',
      flag_values=values)
  options.define(options.DATA, values)


def _define_names(values: flags.FlagValues) -> None:
  flags.DEFINE_string(
      'method', 'dlfd', f'one of {", ".join(methods.METHODS)}, or your own as '
      'file.py:Class or package.module:Class', flag_values=values)
  for wrapper, what in _WRAPPERS.items():
    flags.DEFINE_string(
        f'{wrapper}_of', None, f'the method that --method={wrapper} {what}',
        flag_values=values)


def _define_method(values: flags.FlagValues, argv: Sequence[str]) -> None:
  """The flags of the methods; of one alone in the help if ``argv`` names it."""
  names = flags.FlagValues()
  _define_names(names)
  names(['unlearn', *argv], known_only=True)
  if not any(names[name].present for name in names):
    options.define(options.METHOD, values)
    return
  own = {option.flag: option for option in options.of(_start(
      lambda name: methods.resolve(name)(), names))}
  options.define(own.values(), values)
  options.define([dataclasses.replace(option, help=' ')  # they are refused
                  for option in options.METHOD if option.flag not in own],
                 values)


def _execute(values: flags.FlagValues, line: str) -> dict[str, Any]:
  workdir = command.required(values, 'workdir')
  original = pathlib.Path(command.required(values, 'original'))
  checkpoint.find_model(original)
  preset_name = command.value(values, 'preset') or 'demo'
  preset = presets.PRESETS[preset_name]
  own = (command.value(values, 'preset') is None
         and files.is_there(original / runs.CONFIG))
  data_options = inputs.data_options(
      run_configs.data_of(original) if own else preset.data, values)
  method = command.value(values, 'method')
  start = _start(preset.config_of, values)
  config = options.apply(
      start, (*options.of(start), *options.METHOD), values,
      f'the method {method}')
  if command.value(values, 'preset') is None:  # its rates are no data's own
    config = presets.with_trials(config, _decided(config, values))
  devices = inputs.devices(values)
  for stage in config.stages:
    devices.check_batch_size(stage.inner.batch_size)
  wanted = inputs.forget_request(values, required=False)
  saved = checkpoint.load_model(original)
  remat = command.value(values, 'remat')
  if remat is not None:
    saved = dataclasses.replace(
        saved, config=dataclasses.replace(saved.config, remat=remat))
  dataset = inputs.load_data(data_options)
  stored = command.value(values, 'splits')
  if stored is None and files.is_there(original / runs.SPLITS):
    stored = original / runs.SPLITS
  splits, notes = inputs.request_splits(
      values, dataset, wanted, original, stored)
  used = inputs.say_used(  # while there is time to stop
      dataset, network=saved.config, devices=devices, parts=splits.parts,
      split_from=inputs.split_from(values, dataset, stored),
      settings={'method': method, **dataclasses.asdict(config)},
      preset=preset_name)
  seed = command.value(values, 'seed')
  for sentence in weakenings.weakenings(dataset, splits, config, seed):
    print(sentence)
  with tensorboard.hooks(values, workdir) as hooks:
    run = unlearn.unlearn(
        saved, config, splits, dataset, seed=seed,
        notes=notes, workdir=workdir, devices=devices,
        hooks=[command.Progress(), *hooks], command=line,
        original_path=str(original), used=used,
        search=presets.search_of(preset_name, method),
        allow_unverified=command.value(values, chain.FLAG),
        **inputs.run_options(values))
  command.check_finite(run)
  result = run.record
  command.say_verification(result)
  for note in result['notes']:
    print(note)
  print(f'{run.request["images"]} images forgotten by {method} in '
        f'{result["time"]["total_s"]:.0f} s; a check takes '
        f'{100 * (result["check_share"] or 0):.0f} % of the time between two. '
        f'Selected: step {result["selected_step"]}, {result["reason"]}: '
        f'{workdir}/checkpoints/model')
  return {'workdir': workdir, 'model': f'{workdir}/checkpoints/model', **result}


def _decided(config: Any, values: flags.FlagValues) -> set[str]:
  """Stages of a config whose rate, or whether it is tried, a flag says."""
  found = set()
  for option in options.of(config):
    first, *rest = option.path.split('.')
    stage = first if first in presets.stages_in(config) else ''
    inner = rest if stage else [first, *rest]
    if values[option.flag].value is not None and (
        inner[0] == 'trial' or inner[-1] == 'learning_rate'):
      found.add(stage)
  return found


def _start(config_of: Callable[[str], Any], values: flags.FlagValues) -> Any:
  """The config of the named method, around that of what it is to run."""
  method = command.value(values, 'method')
  config = config_of(method)
  for wrapper in _WRAPPERS:
    inner = command.value(values, f'{wrapper}_of')
    if inner is None:
      continue
    if method != wrapper:
      raise ValueError(f'Expected --{wrapper}_of with --method={wrapper} '
                       f'alone, got {method}.')
    config = dataclasses.replace(
        config, **_parts(config, wrapper, inner, config_of))
  return config


def _parts(config: Any, wrapper: str, named: str,
           config_of: Callable[[str], Any]) -> dict[str, Any]:
  """The configs of the named methods, by the fields that hold them."""
  several = len(config.parts) > 1
  names = [n.strip() for n in named.split(',')] if several else [named]
  if len(names) != len(config.parts):
    raise ValueError(
        f'Expected --{wrapper}_of to name {len(config.parts)} methods with '
        f'commas between, for {", ".join(config.parts)}, got {named!r}.')
  return {part: None if name == _NOTHING and base.may_be_nothing(config, part)
          else config_of(name)
          for part, name in zip(config.parts, names, strict=True)}


COMMAND = command.Command(
    'unlearn', _ABOUT, _define, _execute, _define_method)
main = COMMAND.main
