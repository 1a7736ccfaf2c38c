"""``unlearn``: a trained model and a deletion request to a new model."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from absl import flags

from dlfd_jax import checkpoint, methods, presets
from dlfd_jax.cli import command, inputs, options, preset_files, trackers
from dlfd_jax.data import dataset as dataset_lib, splits as splits_lib
from dlfd_jax.methods import base
from dlfd_jax.pipeline import (
  auto,
  candidates,
  chain_checks,
  reference_models,
  run_configs,
  unlearn,
  weakenings,
)
from dlfd_jax.report import answers
from dlfd_jax.utils import configs, files, runs, text

_ABOUT = """
Makes a trained model forget the people of a deletion request.

The data and the split come from the original's run, or from flags; a model
whose split is unknown is refused, because people it was trained on would land
among the unseen. The new model is in <workdir>/checkpoints/model.

Without --preset the settings are those for any data, and the learning rates are
chosen by a short trial on retain and val.

  dlfd unlearn --original=runs/original \\
      --forget_identities=delete.txt --workdir=runs/unlearned

--method=auto tries candidates from the cheapest up, within --budget, each a run
of its own below the workdir, until one passes on val: it kept its accuracy, no
attack tells the people from unseen ones, and attacks that see the original on
this request see that it remembers less. Where no attack sees the original, only
exact retraining may be taken. If nothing can be, there is no model, and the
exit code is 6.

  dlfd unlearn --original=runs/original --forget_identities=delete.txt \\
      --method=auto --budget=30% --workdir=runs/unlearned
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
  trackers.define(values)
  flags.DEFINE_string(
      'original', None, 'run or folder of the trained model',
      flag_values=values)
  _define_names(values)
  _define_auto(values)
  flags.DEFINE_integer(
      'seed', 0, 'of everything random in unlearning', lower_bound=0,
      flag_values=values)
  flags.DEFINE_string(
      'splits', None, "splits.npz, if it is not in the original's folder",
      flag_values=values)
  inputs.define_preset(values, 'those for any data')
  inputs.define_forget(values)
  inputs.define_request_id(values)
  flags.DEFINE_boolean(
      'remat', None, "compute the values inside the network's blocks again for "
      'the gradient: less memory, more time; default as the original',
      flag_values=values)
  options.define(options.DATA, values)


def _define_auto(values: flags.FlagValues) -> None:
  """The flags of --method=auto alone."""
  flags.DEFINE_string(
      'budget', None, 'with --method=auto: minutes that all candidates may '
      'take together, or a share of retraining such as 30%', flag_values=values)
  flags.DEFINE_list(
      'candidates', None, 'with --method=auto: what is tried, in this order: '
      f'methods with the settings of the preset, {candidates.SHORT}, '
      f'{candidates.DEEP}, {candidates.RETRAIN}; default '
      f'{",".join(candidates.DEFAULT)}', flag_values=values)
  flags.DEFINE_string(
      'references', None, 'with --method=auto: folder of retrained models that '
      '`references` made, for the two-sided attack', flag_values=values)


def _define_names(values: flags.FlagValues) -> None:
  flags.DEFINE_string(
      'method', presets.DEFAULT_METHOD,
      f'one of {", ".join(methods.METHODS)}, or your own as file.py:Class or '
      'package.module:Class; or auto, which chooses; the presets of the paper '
      'take dlfd where none is named; --method=NAME --help-all shows its flags',
      flag_values=values)
  for wrapper, what in _WRAPPERS.items():
    flags.DEFINE_string(
        f'{wrapper}_of', None, f'the method that --method={wrapper} {what}',
        flag_values=values)


def _define_method(values: flags.FlagValues, argv: Sequence[str]) -> None:
  """The flags of the methods; help shows those of the one that runs."""
  names = flags.FlagValues()
  _define_names(names)
  flags.DEFINE_string('preset', None, '', flag_values=names)
  names(['unlearn', *argv], known_only=True)
  if command.value(names, 'preset') is not None:
    # One that cannot be read is refused where the command runs.
    with contextlib.suppress(OSError, ValueError):
      default = inputs.preset(names).default_method
      for given in (names, values):
        given.set_default('method', default)
  own = {} if command.value(names, 'method') == auto.METHOD else {
      option.flag: option for option in options.of(_start(
          lambda name: methods.resolve(name)(), names))}
  options.define(own.values(), values)
  options.define([dataclasses.replace(option, help=' ')  # they are refused
                  for option in options.METHOD if option.flag not in own],
                 values)


def _execute(values: flags.FlagValues, line: str) -> dict[str, Any]:
  workdir = command.required(values, 'workdir')
  asked, request_id = trackers.of(values), inputs.request_id(values)
  original = pathlib.Path(command.required(values, 'original'))
  checkpoint.find_model(original)
  named = command.value(values, 'preset')
  preset_name = named or presets.OWN_DATA
  data_options = inputs.data_options(
      run_configs.data_of(original)
      if files.is_there(original / runs.CONFIG) else
      inputs.preset(values).data if named else None, values)
  method = command.value(values, 'method')
  config = _config(values)
  options = inputs.run_options(values, line)
  devices = options['devices']
  for stage in config.stages if config is not None else ():
    devices.check_batch_size(stage.inner.batch_size)
  wanted = inputs.forget_request(values, required=False)
  saved = checkpoint.load_model(original)
  remat = command.value(values, 'remat')
  if remat is not None:
    saved = dataclasses.replace(
        saved, config=dataclasses.replace(saved.config, remat=remat))
  stored = inputs.stored_split(values, original)
  dataset = inputs.load_data(data_options, values, stored)
  splits, notes = inputs.request_splits(
      values, dataset, wanted, original, stored)
  used = inputs.say_used(  # while there is time to stop
      dataset, network=saved.config, devices=devices, parts=splits.parts,
      split_from=inputs.split_from(values, dataset, stored),
      settings={'method': method, **(
          {'budget': command.value(values, 'budget')} if config is None else
          dataclasses.asdict(config))},
      preset=preset_name)
  seed = command.value(values, 'seed')
  for sentence in weakenings.weakenings(dataset, splits, config, seed):
    print(sentence)
  with asked.run(workdir) as tracked:
    shared: dict[str, Any] = {
        **options, 'seed': seed, 'notes': notes, 'workdir': workdir,
        'original_path': str(original), 'used': used, 'request_id': request_id,
        'search': preset_files.search_of(named, method) if named else None,
        'allow_unverified': command.value(values, chain_checks.FLAG)}
    if config is None:  # its candidates are runs of their own, without curves
      found = _auto(values, saved, splits, dataset, shared)
      tracked.finish_with(found)
      return found
    shared['hooks'] += tracked.hooks
    run = unlearn.unlearn(saved, config, splits, dataset, **shared)
    tracked.finish_with(run.record)
  command.check_finite(run)
  result = run.record
  command.say_verification(result)
  for note in result['notes']:
    print(note)
  given = answers.of_run(result)
  done = 'Not forgotten' if given[0].answer == answers.NO else 'Unlearned'
  print(f'{done}: {text.counted(run.request["images"], "image")} by {method} '
        f'in {result["time"]["total_s"]:.0f} s'
        f'{_of_checks(result["check_share"])}. Selected: step '
        f'{result["selected_step"]}, {result["reason"]}: '
        f'{workdir}/checkpoints/model')
  return {'workdir': workdir, 'model': f'{workdir}/checkpoints/model', **result,
          **_answered(given, result)}


def _answered(given: Sequence[answers.Answer], result: Mapping[str, Any]
              ) -> dict[str, Any]:
  """Prints the answers, and what the run did; the answers as JSON."""
  for sentence in filter(None, (
      *answers.said(given), answers.before_after(result))):
    print(sentence)
  return answers.as_json(given)


def _of_checks(share: float | None) -> str:
  return '' if share is None else (
      f'; a check takes {100 * share:.0f} % of the time between two checks')


def _config(values: flags.FlagValues) -> methods.RunConfig | None:
  """The method's config; None with --method=auto, whose budget is checked."""
  method = command.value(values, 'method')
  if method != auto.METHOD:
    inputs.refuse(values, ('budget', 'candidates', 'references'),
                  f'without --method={auto.METHOD}')
    start = _settings(values)
    config = options.apply(
        start, (*options.of(start), *options.METHOD), values,
        f'the method {method}')
    return configs.replace(config, dict.fromkeys(_rates_given(config, values)))
  inputs.refuse(values, [
      *(option.flag for option in options.METHOD),
      *(f'{wrapper}_of' for wrapper in _WRAPPERS)],
                f'with --method={auto.METHOD}: its candidates have settings of '
                'their own')
  candidates.Budget.read(command.value(values, 'budget'))
  return None


def _auto(values: flags.FlagValues, saved: checkpoint.SavedModel,
          splits: splits_lib.Splits, dataset: dataset_lib.Dataset,
          shared: dict[str, Any]) -> dict[str, Any]:
  """Lets the candidates of the flags be tried."""
  place, wanted = (command.value(values, name)
                   for name in ('references', 'candidates'))
  name = command.value(values, 'preset')
  preset = None if name is None else inputs.preset(values)
  run = auto.auto(
      saved, splits, dataset, budget=command.value(values, 'budget'),
      candidates=wanted, preset=preset,
      references=[] if place is None else reference_models.load_references(
          place, allow_unverified=shared['allow_unverified']).retrained(),
      **shared)
  result, workdir = run.record, shared['workdir']
  command.say_verification(result)
  for sentence in (*result['notes'], result['auto']['sentence']):
    print(sentence)
  model = f'{workdir}/checkpoints/model' if run.taken else None
  print(f'{result["auto"]["charged_s"]:.0f} s of '
        f'{result["auto"]["budget_s"]:.0f} s; with timing, compiling and '
        f'judging {result["time"]["total_s"]:.0f} s. '
        + (f'The model: {model}' if model else f'No model; what was tried: '
           f'{workdir}/{runs.CANDIDATES}'))
  return {'workdir': workdir, 'model': model, **result,
          **(_answered(answers.of_run(result), result) if model else {})}


def _settings(values: flags.FlagValues) -> Any:
  """The method's settings in the named preset, or those for any other data."""
  if command.value(values, 'preset') is not None:
    return _start(inputs.preset(values).config_of, values)
  # With what a wrapper was given: a teacher is not what it is by itself.
  return presets.own_data(_start(
      presets.STARTS[presets.OWN_DATA].config_of, values))


def _rates_given(config: Any, values: flags.FlagValues) -> set[str]:
  """Trials of the stages whose rate a flag names, unless one asks for both."""
  given = [option.path for option in options.of(config)
           if values[option.flag].value is not None]
  found = set()
  for name in presets.stages_in(config):
    front = f'{name}.' if name else ''
    if any(path.startswith(front) and path.endswith('learning_rate')
           for path in given) and f'{front}trial' not in given:
      found.add(f'{front}trial')
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


def _starts(values: flags.FlagValues) -> Iterable[Any]:
  if command.value(values, 'preset') is not None:
    yield inputs.preset(values).data
  if command.value(values, 'method') != auto.METHOD:
    yield _settings(values)


COMMAND = command.Command(
    'unlearn', _ABOUT, _define, _execute, _define_method, most=(
        'original', 'workdir', 'config', 'data', 'labels', 'image_size',
        'splits', 'forget_identities', 'forget_sample_ids', 'forget_classes',
        'forget_fraction', 'preset', 'method', 'budget', 'epochs',
        'learning_rate', 'batch_size', 'seed', 'devices', 'json'),
    starts=_starts)
main = COMMAND.main
