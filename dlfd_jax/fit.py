"""Trains a classifier from scratch: the original, or the retrained one."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence

import flax.linen as nn
import jax
import numpy as np

from dlfd_jax import (
  checkpoint,
  loop,
  models,
  parallel,
  together,
  training as train,
)
from dlfd_jax.data import batching, dataset as dataset_lib
from dlfd_jax.metrics import accuracy
from dlfd_jax.predict import Predictor
from dlfd_jax.utils import runs

_PHASE = 'train'


class _ValAccuracy(loop.Unsteered):
  """Measures accuracy on val once an epoch; keeps nothing.

  It is None if a logit is not finite or no label is known.
  """

  def __init__(self, predictor: Predictor, dataset: dataset_lib.Dataset,
               val: np.ndarray):
    super().__init__(_PHASE)
    self._predictor, self._dataset, self._val = predictor, dataset, val

  def measure(self, variables: models.Variables) -> loop.Metrics:
    if not len(self._val):
      return {}
    logits = self._predictor(variables, self._val).logits
    if not np.isfinite(logits).all():
      return {'val_accuracy': None}
    value = accuracy.accuracy(
        self._dataset.task, logits, self._dataset.labels[self._val]).value
    return {'val_accuracy': value if math.isfinite(value) else None}


def fit(model: nn.Module, dataset: dataset_lib.Dataset, indices: np.ndarray,
        val: np.ndarray, config: train.TrainConfig, *,
        devices: parallel.Devices | None = None,
        log: runs.MetricsLog | None = None,
        checkpoints: checkpoint.LoopCheckpoints | None = None,
        checkpoint_seconds: float = 60.0,
        hooks: Sequence[loop.Hook] = ()) -> loop.LoopResult:
  """Trains ``model`` from a fresh initialisation; the last epoch is the result.

  Args:
    model: the classifier.
    dataset: holds the images.
    indices: rows to train on.
    val: rows whose accuracy is logged after every epoch; may be empty.
    config: the recipe.
    devices: where to run; all local devices by default.
    log: receives the events.
    checkpoints: where the run saves itself and resumes from.
    checkpoint_seconds: least time between two saves.
    hooks: called with every event.

  Returns:
    The last model, on the devices, and the history.

  Raises:
    ValueError: if the batch cannot be split over the devices, or the training
      or the rows are empty.
  """
  devices = devices or parallel.Devices()
  devices.check_batch_size(config.batch_size)
  feed = batching.Feed(dataset, devices.image_bytes)
  constants = devices.share(feed.constants)
  predictor = Predictor(
      model, dataset, devices, feed=feed, constants=constants)
  return loop.run(
      _plan(model, dataset, indices, config), constants, devices=devices,
      feed=feed, controller=_ValAccuracy(predictor, dataset, val), log=log,
      checkpoints=checkpoints, checkpoint_seconds=checkpoint_seconds,
      hooks=hooks)


def _plan(model: nn.Module, dataset: dataset_lib.Dataset, indices: np.ndarray,
          config: train.TrainConfig) -> loop.Plan:
  """What a training runs, measured after every epoch."""
  stream = batching.Stream(indices, config.batch_size, seed=config.seed)
  init_key, run_key = jax.random.split(jax.random.key(config.seed))
  variables = models.init(model, init_key, dataset.image_size)
  return loop.Plan(
      steps={_PHASE: train.make_supervised_step(
          model, dataset.task, config.optimizer, augment=config.augment)},
      start=train.create_state(variables, config.optimizer, run_key),
      num_steps=config.epochs * stream.steps_per_epoch, batch=stream.batch,
      check_every=stream.steps_per_epoch)


@dataclasses.dataclass(frozen=True, eq=False)
class Member:
  """One of several models that are trained at once.

  Attributes:
    indices: rows to train on.
    seed: of everything random in its training.
    log: receives its events.
    checkpoints: where it saves itself and resumes from.
  """

  indices: np.ndarray
  seed: int
  log: runs.MetricsLog
  checkpoints: checkpoint.LoopCheckpoints | None = None


def fit_together(model: nn.Module, dataset: dataset_lib.Dataset,
                 members: Sequence[Member], val: np.ndarray,
                 config: train.TrainConfig, *, devices: parallel.Devices,
                 checkpoint_seconds: float = 60.0,
                 hooks: Sequence[loop.Hook] = ()) -> list[loop.LoopResult]:
  """Trains models of one recipe at once, each as :func:`fit` would.

  Each reads batches of its own from its own rows, so that no row is wasted and
  no model depends on another. Accuracy on val is measured at start and end.

  Args:
    model: the classifier.
    dataset: holds the images.
    members: the models.
    val: as in :func:`fit`.
    config: the recipe; its seed is not read.
    devices: each takes a share of the models.
    checkpoint_seconds: least time between two saves.
    hooks: called with ticks.
  """
  feed = batching.Feed(dataset, devices.image_bytes)
  constants = devices.share(feed.constants)
  predictor = Predictor(
      model, dataset, devices, feed=feed, constants=constants)

  def plans() -> Iterator[loop.Plan]:
    for one in members:
      plan = _plan(model, dataset, one.indices,
                   dataclasses.replace(config, seed=one.seed))
      yield dataclasses.replace(plan, check_every=plan.num_steps)

  return together.run(
      plans(), constants, devices=devices, feed=feed,
      controllers=[_ValAccuracy(predictor, dataset, val) for _ in members],
      logs=[one.log for one in members],
      checkpoints=[one.checkpoints for one in members],
      checkpoint_seconds=checkpoint_seconds, hooks=hooks)
