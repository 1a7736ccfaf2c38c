"""Teaches models again: the forget set, until they know it, or anything else.

The figures made of the counts of steps are in ``metrics/forgetting.py``; other
attempts to bring forget back are made by ``pipeline.recovery``. Every model
gets the same batches, the original's optimiser at one fixed rate, no
augmentation and batch statistics, through the one host loop and one compiled
step.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from dlfd_jax import loop, models, parallel, predict, training as train
from dlfd_jax.data import batching, dataset as dataset_lib
from dlfd_jax.metrics import accuracy, forgetting
from dlfd_jax.models import Variables
from dlfd_jax.pipeline import job, predictors as predictors_lib, timing
from dlfd_jax.utils import stops, validate

_PHASE = 'relearn'
_SALT = 2  # of the batches: not those of any unlearning run


@dataclasses.dataclass(frozen=True, kw_only=True)
class RelearnConfig:
  """How the forget set is learnt again; the same for all models.

  Attributes:
    optimizer: the original's; its rate is held constant.
    max_steps: a run that is not there by then is capped.
    batch_size: forget images per step, at most; never more than there are.
    seeds: of the batches, one run each.
    tolerance: the target is (1 - tolerance) of the original's accuracy.

  Raises:
    ValueError: if a number is out of its range.
  """

  optimizer: train.OptimizerConfig = train.OptimizerConfig()
  max_steps: int = 100
  batch_size: int = 64
  seeds: tuple[int, ...] = (0, 1, 2)
  tolerance: float = forgetting.RELEARN_TOLERANCE

  def __post_init__(self):
    for name in ('max_steps', 'batch_size'):
      validate.integer(name, getattr(self, name))
    validate.instance('optimizer', self.optimizer, train.OptimizerConfig)
    validate.instance('seeds', self.seeds, tuple)
    if not self.seeds:
      raise ValueError('Expected at least one seed, got none.')
    for seed in self.seeds:
      validate.integer('every seed', seed, 0)
    forgetting.relearn_target(1.0, self.tolerance)


class _Reached(Exception):
  """Ends a loop at its target: the rest of the steps would say nothing."""


class _ForgetAccuracy(loop.Unsteered):
  """Accuracy on all of forget, in evaluation mode, at every step."""

  def __init__(self, measure, goal):
    super().__init__(_PHASE)
    self._measure, self._goal = measure, goal
    self.seen: list[float] = []

  def measure(self, variables: Variables) -> loop.Metrics:
    self.seen.append(self._measure(variables, self._goal))
    return {'accuracy_forget_at_most': self.seen[-1]}

  def stop_at_goal(self, event: dict[str, Any]) -> None:
    """A hook of the loop."""
    if event['event'] == 'check' and not forgetting.first_reach(
        self.seen[-1:], self._goal).capped:
      raise _Reached


class Tuner:
  """Trains any variables of one architecture on any rows.

  Args:
    model: the classifier.
    dataset: the images.
    optimizer: whose rate is held constant.
    devices: where to run.
    feed: shares the images already placed for evaluation.
    constants: the placed data of ``feed``.
  """

  def __init__(self, model: nn.Module, dataset: dataset_lib.Dataset,
               optimizer: train.OptimizerConfig, *, devices: parallel.Devices,
               feed: batching.Feed, constants: dict[str, Any]):
    self._optimizer = dataclasses.replace(optimizer, schedule='constant')
    self._devices, self._feed, self._constants = devices, feed, constants
    self._step = train.make_supervised_step(
        model, dataset.task, self._optimizer)

  def call(self, variables: Variables, rows: np.ndarray, batch_size: int,
           num_steps: int) -> timing.Call:
    """A step of such a run, to be timed."""
    stream = batching.Stream(rows, self._rounded(batch_size))
    return timing.Call(
        self._step, self._start(variables, 0), {
            **self._constants,
            'num_steps': self._devices.share(np.int32(num_steps))},
        next(iter(self._feed.batches(stream.batch, 0, 1))))

  def _rounded(self, batch_size: int) -> int:
    return -(-batch_size // self._devices.count) * self._devices.count

  def _start(self, variables: Variables, seed: int) -> train.TrainState:
    return train.create_state(
        variables, self._optimizer, jax.random.key(seed))

  def run(self, variables: Variables, rows: np.ndarray, batch_size: int,
          num_steps: int, seed: int = 0, *,
          controller: loop.Controller | None = None,
          hooks: Sequence[loop.Hook] = ()) -> loop.LoopResult:
    """Some steps on batches of rows, measured after each by a controller.

    Args:
      variables: where to start; never changed.
      rows: of the dataset; what is drawn of them depends on the seed alone.
      batch_size: rounded up to the devices; one size is one compiled program.
      num_steps: length of the run.
      seed: of the batches.
      controller: None = nothing is measured.
      hooks: of the loop.

    Raises:
      job.Interrupted: on SIGTERM or SIGINT.
    """
    stream = batching.Stream(
        rows, self._rounded(batch_size), seed=seed, salt=_SALT)
    out = loop.run(
        loop.Plan(
            steps={_PHASE: self._step}, num_steps=num_steps,
            batch=stream.batch, check_every=1 if controller else num_steps,
            start=self._start(variables, seed)),
        self._constants, devices=self._devices, feed=self._feed,
        controller=controller or loop.Unsteered(_PHASE), hooks=hooks)
    if out.stop == loop.INTERRUPTED:
      raise job.Interrupted(
          'Stopped; there is no result yet. The same command starts the '
          'evaluation again.')
    stops.deliver()
    return out


class Tuners:
  """One tuner an architecture.

  Args:
    dataset: the images.
    predictors: shared with the evaluation.
    optimizer: of all.
  """

  def __init__(self, dataset: dataset_lib.Dataset,
               predictors: predictors_lib.Predictors,
               optimizer: train.OptimizerConfig):
    self._dataset, self._predictors = dataset, predictors
    self._optimizer = optimizer
    self._found: dict[int, Tuner] = {}

  def of(self, config: models.ModelConfig) -> Tuner:
    """That of the network of a config."""
    model, _ = self._predictors.of(config)
    if id(model) not in self._found:
      self._found[id(model)] = Tuner(
          model, self._dataset, self._optimizer,
          devices=self._predictors.devices, feed=self._predictors.feed,
          constants=self._predictors.constants)
    return self._found[id(model)]


class Relearner:
  """Relearns one forget set from any variables of one architecture.

  Args:
    model: the classifier.
    dataset: the images.
    forget: rows to learn again.
    config: how.
    devices: where to run; all local devices by default.
    feed: shares the images already placed for evaluation.
    constants: the placed data of ``feed``; placed here if None.

  Raises:
    ValueError: if no forget image has a known label.
  """

  def __init__(self, model: nn.Module, dataset: dataset_lib.Dataset,
               forget: np.ndarray, config: RelearnConfig, *,
               devices: parallel.Devices | None = None,
               feed: batching.Feed | None = None,
               constants: dict[str, Any] | None = None):
    self.config = config
    self._devices = devices or parallel.Devices()
    self._dataset, self._forget = dataset, np.asarray(forget)
    self._feed = feed or batching.Feed(dataset, self._devices.image_bytes)
    self._constants = (self._devices.share(self._feed.constants)
                       if constants is None else constants)
    count = self._devices.count
    rows = min(config.batch_size, len(self._forget))
    self._batch_size = -(-rows // count) * count
    self._predictor = predict.Predictor(
        model, dataset, self._devices, batch_size=self._batch_size,
        feed=self._feed, constants=self._constants)
    self._tuner = Tuner(
        model, dataset, config.optimizer, devices=self._devices,
        feed=self._feed, constants=self._constants)
    silent = np.zeros((len(self._forget), dataset.task.num_outputs))
    self._tries = accuracy.accuracy(
        dataset.task, silent, dataset.labels[self._forget]).tries.sum(0)
    if self._tries.sum() == 0:
      raise ValueError('Expected a known label in forget, got none.')

  def accuracy(self, variables: Variables, goal: float = 0.0) -> float:
    """Accuracy on all of forget, in evaluation mode.

    Args:
      variables: of the model.
      goal: where so many answers are wrong already that this accuracy is out of
        reach, the rest of forget is not run and the value is an upper bound,
        below the goal. Most steps of a relearning run end after one batch.

    Returns:
      In [0, 1]; 0 where a logit is not finite.
    """
    wrong = np.zeros_like(self._tries)
    best = 1.0
    for start in range(0, len(self._forget), self._batch_size):
      rows = self._forget[start:start + self._batch_size]
      logits = self._predictor(variables, rows).logits
      if not np.isfinite(logits).all():
        return 0.0
      counts = accuracy.accuracy(
          self._dataset.task, logits, self._dataset.labels[rows])
      wrong += (counts.tries - counts.hits).sum(0)
      best = float(accuracy.mean_of_ratios(self._tries - wrong, self._tries))
      if best < goal - 1e-9:
        break
    return best

  def time(self, variables: Variables, accuracy_original: float,
           seed: int) -> forgetting.RelearnTime:
    """Steps until the model answers as the original does on forget.

    Args:
      variables: where to start; never changed.
      accuracy_original: of the original on forget.
      seed: of the batches.

    Returns:
      That of one run; one that becomes non-finite counts as capped.

    Raises:
      job.Interrupted: on SIGTERM or SIGINT.
    """
    goal = forgetting.relearn_target(accuracy_original, self.config.tolerance)
    controller = _ForgetAccuracy(self.accuracy, goal)
    try:
      self._tuner.run(
          variables, self._forget, self._batch_size, self.config.max_steps,
          seed, controller=controller, hooks=[controller.stop_at_goal])
    except _Reached:
      stops.deliver()
      return forgetting.first_reach(controller.seen, goal)
    return forgetting.RelearnTime(self.config.max_steps, capped=True)
