"""``train``: the original (``--on=all``) or the retrained model."""

from __future__ import annotations

import dataclasses
import pathlib
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import flags

from dlfd_jax import checkpoint, fit, loop, models, parallel, presets
from dlfd_jax.cli import command, inputs, options, tensorboard
from dlfd_jax.data import requests, splits as splits_lib
from dlfd_jax.pipeline import run_configs
from dlfd_jax.utils import hosts, runs

_ABOUT = """
Trains a classifier from scratch.

  --on=all     on everybody: the original. Draws and stores the split.
  --on=retain  on those who stay: the retrained model, the reference. Needs the
               forget set: --splits of an unlearning run, or --original and a
               --forget_* flag.

  dlfd train --preset=demo --on=all --workdir=runs/original
  dlfd train --on=retain --splits=runs/unlearned/splits.npz \\
      --original=runs/original --workdir=runs/retrained
"""


def _define(values: flags.FlagValues) -> None:
  inputs.define_run(values)
  inputs.define_hosts(values)
  tensorboard.define(values)
  flags.DEFINE_enum(
      'on', 'all', ['all', 'retain'], 'who is trained on', flag_values=values)
  flags.DEFINE_string(
      'original', None, 'run whose data, split and recipe are used again',
      flag_values=values)
  inputs.define_preset(values)
  inputs.define_split(values)
  inputs.define_forget(values)
  options.define((*options.DATA, *options.NETWORK, *options.TRAIN), values)


def _execute(values: flags.FlagValues, line: str) -> dict[str, Any]:
  workdir = command.required(values, 'workdir')
  original = command.value(values, 'original')
  preset = presets.PRESETS[command.value(values, 'preset') or 'demo']
  data_options, network, recipe = preset.data, preset.network, preset.train
  if original:
    data_options, network, recipe = run_configs.recipe_of(original)
  data_options = options.apply(data_options, options.DATA, values, 'the data')
  network = options.apply(network, options.NETWORK, values, 'the network')
  recipe = options.apply(recipe, options.TRAIN, values, 'training')
  devices = inputs.devices(values)
  devices.check_batch_size(recipe.batch_size)
  dataset = inputs.load_data(data_options)
  on = command.value(values, 'on')
  parts, notes = _parts(values, dataset, data_options, original)
  indices = parts.train if on == 'all' else parts.retain
  with tensorboard.hooks(values, workdir) as hooks:
    run = train_run(
        workdir, dataset, data_options, network, recipe, parts, indices, on=on,
        devices=devices, line=line, hooks=hooks, **inputs.run_options(values))
  for note in notes:
    print(note)
  print(f'{run["images"]} images, train accuracy '
        f'{run["accuracy_train"]:.3f}, val accuracy '
        f'{run["accuracy_val"]:.3f}, {run["time"]["total_s"]:.0f} s: '
        f'{workdir}')
  return {'workdir': workdir, 'notes': notes, **run}


def _parts(values, dataset, data_options, original):
  """The split to train with and notes on it, from the flags."""
  stored = command.value(values, 'splits')
  if original and not stored:
    stored = pathlib.Path(original) / runs.SPLITS
  parts = inputs.partition(values, dataset, stored)
  finished = isinstance(parts, splits_lib.Splits)
  wanted = inputs.forget_request(
      values, data=data_options,
      required=command.value(values, 'on') == 'retain' and not finished)
  if wanted is None:
    return parts, []
  if (isinstance(parts, splits_lib.Splits)
      or command.value(values, 'on') == 'all'):
    raise ValueError(
        'Expected no --forget_* flag: --on=all trains on everybody, and a '
        'stored split of an unlearning run says itself who is forgotten.')
  return requests.resolve_request(dataset, parts, wanted)


def train_run(workdir: str, dataset, data_options, network, recipe, parts,
              indices: np.ndarray, *, on: str, devices: parallel.Devices,
              line: str, hooks: Sequence[loop.Hook] = (),
              **run_options: Any) -> dict[str, Any]:
  """Trains in ``workdir``, resumes it, or returns its finished result.

  Returns:
    The result, as in ``result.json``.
  """
  model_config = models.ModelConfig(
      outputs=dataset.task.num_outputs,
      **dataclasses.asdict(network.resolved()))
  model = models.build_for(model_config, dataset.image_size)
  folder = inputs.run_folder(workdir, {
      'kind': 'train', 'on': on, 'data': dataclasses.asdict(data_options),
      'fingerprint': dataset.fingerprint(),
      'rows': inputs.rows_hash(dataset, indices),
      'network': network.identity(),
      'train': dataclasses.asdict(recipe)})
  if folder.result is not None:
    return folder.result
  started = time.perf_counter()
  hosts.first(lambda: splits_lib.save_splits(
      folder.path / runs.SPLITS, dataset, parts))
  log = inputs.metrics_log(folder)
  saver = checkpoint.LoopCheckpoints(folder.checkpoints)
  with command.progress(_TITLES[on]) as hook:
    out = fit.fit(
        model, dataset, indices, parts.val, recipe, devices=devices, log=log,
        checkpoints=saver, hooks=[hook, *hooks], **run_options)
  saver.close()
  if out.stop == loop.INTERRUPTED:
    command.check_stop(out.stop, workdir)
  variables = parallel.fetch(out.variables)
  checkpoint.save_model(
      folder.checkpoints / 'model', variables, model_config, dataset.task,
      dataset.image_size, replace=True)
  accuracies = inputs.accuracies(
      model, variables, dataset, {'train': indices, 'val': parts.val}, devices)
  result = {
      'kind': 'train', 'command': line, 'on': on, 'stop': out.stop,
      'steps': out.steps, 'epochs': recipe.epochs, 'images': len(indices),
      'device': inputs.device_name(), 'devices': devices.count,
      'processes': hosts.count(),
      'compute_dtype': model_config.compute_dtype,
      'remat': model_config.remat,
      'seed': recipe.seed, 'versions': runs.versions(),
      'finished': runs.now(),
      'peak_bytes': runs.peak_bytes(),
      **{f'accuracy_{split}': a for split, a in accuracies.items()},
      'time': {**dataclasses.asdict(out.clock), 'work_s': out.clock.work_s,
               'total_s': time.perf_counter() - started}}
  hosts.first(lambda: folder.write_result(result))
  command.check_stop(out.stop, workdir)
  return result


_TITLES = {'all': 'train the original', 'retain': 'retrain on retain'}
COMMAND = command.Command('train', _ABOUT, _define, _execute)
main = COMMAND.main
