"""``train``: a classifier from scratch, the original or a retrained one."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from typing import Any

from dlfd_jax import (
  checkpoint,
  fit,
  loop,
  models,
  parallel,
  presets,
  training,
)
from dlfd_jax.data import batching, dataset as dataset_lib
from dlfd_jax.pipeline import chain, job
from dlfd_jax.utils import hosts, runs, validate

_TITLES = {'all': 'train the original', 'retain': 'retrain on retain'}


class TrainResult(job.ModelRun):
  """A trained classifier; ``record`` has its accuracies and times."""


def train(dataset: dataset_lib.Dataset, splits: job.Parts,
          config: training.TrainConfig | None = None,
          network: presets.Network | None = None, *, on: str = 'all',
          workdir: job.Folder | None = None,
          devices: parallel.Devices | None = None,
          hooks: Sequence[loop.Hook] = (),
          device_bytes: int = batching.DEFAULT_DEVICE_BYTES,
          checkpoint_seconds: float = 60.0,
          command: str | None = None,
          used: Mapping[str, Any] | None = None,
          verification: Mapping[str, Any] | None = None,
          allow_unverified: bool = False) -> TrainResult:
  """Trains a classifier; in memory, or in a folder that it resumes from.

  Args:
    dataset: the images.
    splits: who is in train, val and test.
    config: the recipe.
    network: what to train.
    on: ``'all'``, on everybody in train: the original; or ``'retain'``, on
      those who stay: the retrained model, which needs finished splits.
    workdir: folder of the run; None writes nothing. A run that was stopped goes
      on in it, one that is finished is read from it.
    devices: where to run; all local devices by default.
    hooks: called with every event.
    device_bytes: largest data set that is kept on the device.
    checkpoint_seconds: least time between two checkpoints.
    command: how a user started this, for the record.
    used: what it printed of what it uses, likewise.
    verification: of the run that data and split come from, for the record, see
      ``chain.Findings``.
    allow_unverified: a finished run whose files do not belong together is
      read all the same.

  Returns:
    The model. One that became non-finite is its last good state, and ``stop``
    says so.

  Raises:
    ValueError: if the splits have no retain to train on, the batch does not fit
      the devices, or the folder holds something else.
    job.Interrupted: on SIGTERM or SIGINT.
  """
  config, network = config or training.TrainConfig(), (
      network or presets.Network())
  devices = devices or parallel.Devices()
  validate.one_of('on', on, tuple(_TITLES))
  if on not in ('all', *splits.parts):
    raise ValueError("Expected splits with retain and forget for on='retain', "
                     f'got {", ".join(splits.parts)}.')
  rows = splits.train if on == 'all' else splits.parts['retain']
  model_config = models.ModelConfig(
      outputs=dataset.task.num_outputs,
      **dataclasses.asdict(network.resolved()))
  model = models.build_for(model_config, dataset.image_size)
  run = TrainResult(dataset=dataset, splits=splits, config={
      'kind': 'train', 'on': on, **job.data_config(dataset),
      'rows': chain.rows_hash(dataset, rows), 'network': network.identity(),
      'train': dataclasses.asdict(config),
      chain.KEY: chain.entry(dataset, splits, rows)})
  if run.open(workdir, allow_unverified):
    return run
  started = time.perf_counter()
  with run.checkpoints() as saver, job.shown(hooks, _TITLES[on]):
    out = fit.fit(
        model, dataset, rows, splits.val, config, devices=devices,
        device_bytes=device_bytes, log=run.log, checkpoints=saver,
        checkpoint_seconds=checkpoint_seconds, hooks=hooks)
  job.check_interrupted(out.stop, run.folder)
  saved = checkpoint.SavedModel(
      parallel.fetch(out.variables), model_config, dataset.task,
      dataset.image_size)
  accuracies = job.accuracies(
      model, saved.variables, dataset, {'train': rows, 'val': splits.val},
      devices)
  run.finish({'model': saved}, {
      'kind': 'train', 'command': command, 'on': on, 'stop': out.stop,
      'steps': out.steps, 'epochs': config.epochs, 'images': len(rows),
      'data_notes': list(dataset.notes), 'used': used,
      'device': job.device_name(), 'devices': devices.count,
      'processes': hosts.count(),
      'compute_dtype': model_config.compute_dtype,
      'remat': model_config.remat, 'seed': config.seed,
      'versions': runs.versions(), 'finished': runs.now(),
      'peak_bytes': runs.peak_bytes(),
      'verification': dict(verification or chain.Findings().settled(False)),
      **{f'accuracy_{split}': value for split, value in accuracies.items()},
      'time': {**dataclasses.asdict(out.clock), 'work_s': out.clock.work_s,
               'total_s': time.perf_counter() - started}})
  return run
