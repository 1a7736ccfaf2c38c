"""``train``: a classifier from scratch, the original or a retrained one."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Mapping, Sequence
from typing import Any

import flax.linen as nn
import numpy as np

from dlfd_jax import (
  checkpoint,
  fit,
  loop,
  models,
  parallel,
  predict,
  presets,
  training,
)
from dlfd_jax.data import dataset as dataset_lib
from dlfd_jax.pipeline import chain, chain_checks, job
from dlfd_jax.utils import hosts, runs, spent, validate

_TITLES = {'all': 'train the original', 'retain': 'retrain on retain'}


class TrainResult(job.ModelRun):
  """A trained classifier; ``record`` has its accuracies and times."""


@dataclasses.dataclass(eq=False)
class _Job:
  """A run that is to be filled."""

  run: TrainResult
  rows: np.ndarray
  config: training.TrainConfig
  model: nn.Module
  model_config: models.ModelConfig
  started: float  # when its work began


def train(dataset: dataset_lib.Dataset, splits: job.Parts,
          config: training.TrainConfig | None = None,
          network: presets.Network | None = None, *, on: str = 'all',
          workdir: job.Folder | None = None,
          devices: parallel.Devices | None = None,
          hooks: Sequence[loop.Hook] = (), title: str | None = None,
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
    title: of the progress; None = what it is trained on.
    checkpoint_seconds: least time between two checkpoints.
    command: how a user started this, for the record.
    used: what it printed of what it uses, likewise.
    verification: of the run that data and split come from, for the record, see
      ``chain_checks.Findings``.
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
  one = _job(dataset, splits, config, network, on)
  run = one.run
  if run.open(workdir, allow_unverified):
    return run
  with run.checkpoints() as saver, job.shown(hooks, title or _TITLES[on]):
    out = fit.fit(
        one.model, dataset, one.rows, splits.val, config, devices=devices,
        log=run.log, checkpoints=saver, checkpoint_seconds=checkpoint_seconds,
        hooks=hooks)
  job.check_interrupted(out.stop, run.folder)
  _finish(one, out, devices, {
      'command': command, 'used': used, 'verification': verification})
  return run


@dataclasses.dataclass(frozen=True, eq=False)
class Member:
  """One of several models that are trained at once.

  Attributes:
    splits: who is in train, val and test.
    seed: of its training.
    workdir: folder of its run.
  """

  splits: job.Parts
  seed: int
  workdir: job.Folder


def train_together(dataset: dataset_lib.Dataset, members: Sequence[Member],
                   config: training.TrainConfig, network: presets.Network, *,
                   on: str, devices: parallel.Devices,
                   hooks: Sequence[loop.Hook] = (),
                   checkpoint_seconds: float = 60.0,
                   command: str | None = None,
                   used: Mapping[str, Any] | None = None,
                   verification: Mapping[str, Any] | None = None,
                   allow_unverified: bool = False) -> list[TrainResult]:
  """Trains models of one recipe and one val in one program.

  Their runs are those that :func:`train` makes, each in its folder, but for
  accuracies on val during training; ``together`` in a record says how many
  there were, and its times are the model's share of the device.

  Args:
    dataset: the images.
    members: the models; none of them finished.
    config: the recipe; its seed is not read.
    network: what to train.
    on: see :func:`train`, like what follows.
    devices: each takes a share of the models.
    hooks: called with ticks.
    checkpoint_seconds: least time between two checkpoints.
    command: how a user started this, for the records.
    used: what it printed of what it uses, likewise.
    verification: of the run that data and split come from, likewise.
    allow_unverified: see :func:`train`.

  Raises:
    jax.errors.JaxRuntimeError: ``RESOURCE_EXHAUSTED``, if so many do not fit
      into the memory.
    job.Interrupted: on SIGTERM or SIGINT.
  """
  jobs = [_job(dataset, one.splits, dataclasses.replace(config, seed=one.seed),
               network, on) for one in members]
  with contextlib.ExitStack() as stack:
    parts = []
    for one, member in zip(jobs, members, strict=True):
      if one.run.open(member.workdir, allow_unverified):
        raise ValueError(f'Expected no finished run in {member.workdir}.')
      parts.append(fit.Member(
          one.rows, member.seed, one.run.log,
          stack.enter_context(one.run.checkpoints())))
    stack.enter_context(job.shown(
        hooks, f'train {len(jobs)} models at once'))
    outs = fit.fit_together(
        jobs[0].model, dataset, parts, members[0].splits.val, config,
        devices=devices, checkpoint_seconds=checkpoint_seconds, hooks=hooks)
  account = spent.since_last()  # of all together
  for one, out in zip(jobs, outs, strict=True):
    if out.stop != loop.INTERRUPTED:
      _finish(one, out, devices, {
          'command': command, 'used': used, 'verification': verification,
          'together': len(jobs)}, account)
  for one, out in zip(jobs, outs, strict=True):
    job.check_interrupted(out.stop, one.run.folder)
  return [one.run for one in jobs]


def _job(dataset: dataset_lib.Dataset, splits: job.Parts,
         config: training.TrainConfig, network: presets.Network,
         on: str) -> _Job:
  """A run with its config, checked and not yet opened."""
  validate.one_of('on', on, tuple(_TITLES))
  if on not in ('all', *splits.parts):
    raise ValueError("Expected splits with retain and forget for on='retain', "
                     f'got {", ".join(splits.parts)}.')
  rows = splits.train if on == 'all' else splits.parts['retain']
  model_config = network.config(dataset.task)
  model = models.build_for(model_config, dataset.image_size)
  own_code = models.own_code(model_config)
  run = TrainResult(dataset=dataset, splits=splits, config={
      'kind': 'train', 'on': on, **job.data_config(dataset),
      **({runs.OWN_CODE: own_code} if own_code else {}),
      'rows': chain.rows_hash(dataset, rows), 'network': network.identity(),
      'train': dataclasses.asdict(config),
      chain.KEY: chain.entry(dataset, splits, rows)})
  return _Job(run, rows, config, model, model_config, time.perf_counter())


def _finish(one: _Job, out: loop.LoopResult, devices: parallel.Devices,
            more: Mapping[str, Any],
            account: Mapping[str, Any] | None = None) -> None:
  """Measures and keeps a model, with the record of its run."""
  dataset, splits = one.run.dataset, one.run.splits
  saved = checkpoint.SavedModel(
      parallel.fetch(out.variables), one.model_config, dataset.task,
      dataset.image_size)
  accuracies = job.accuracies(
      predict.Predictor(one.model, dataset, devices), saved.variables, dataset,
      {'train': one.rows, 'val': splits.val})
  total_s = out.clock.total_s  # its share, where all were trained together
  if account is None:
    account = spent.since_last()
    # Of all sessions of an interrupted run.
    total_s = max(time.perf_counter() - one.started, total_s)
  one.run.finish({'model': saved}, {
      'kind': 'train', 'on': one.run.config['on'], 'stop': out.stop,
      'steps': out.steps, 'epochs': one.config.epochs, 'images': len(one.rows),
      'data_notes': list(dataset.notes), 'device': job.device_name(),
      'devices': devices.count, 'processes': hosts.count(),
      'compute_dtype': one.model_config.compute_dtype,
      'remat': one.model_config.remat, 'seed': one.config.seed,
      'versions': runs.versions(), 'finished': runs.now(),
      'peak_bytes': runs.peak_bytes(),
      'device_peak_bytes': devices.peak_bytes(), **more,
      'verification': dict(
          more['verification'] or chain_checks.Findings().settled(False)),
      **{f'accuracy_{split}': value for split, value in accuracies.items()},
      'time': {**dataclasses.asdict(out.clock), **account,
               'work_s': out.clock.work_s,
               'total_s': total_s}})
