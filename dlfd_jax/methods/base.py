"""What every unlearning method shares: the problem, the config, the result."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import flax.linen as nn
import jax
import numpy as np

from dlfd_jax import checkpoint, loop, parallel, tasks, train
from dlfd_jax.data import (
  augment as augment_lib,
  batching,
  dataset as dataset_lib,
  feed as feed_lib,
  splits as splits_lib,
)
from dlfd_jax.models import Variables
from dlfd_jax.predict import Predictor
from dlfd_jax.utils import runs, validate

RETAIN, FORGET, UNION = 0, 1, 3  # salts of the batch streams
THRESHOLDS = ('null_mean', 'null_95')


@dataclasses.dataclass(frozen=True, eq=False)
class Problem:
  """A trained classifier and whom it is to forget.

  Attributes:
    model: the classifier, see the model contract in ``models``.
    original: its trained variables; never changed.
    dataset: the images of all splits.
    splits: retain, forget, val and test; no method reads ``test``.
    seed: of everything random in the unlearning run.

  Raises:
    ValueError: if the variables do not fit the model, the model the task or the
      splits the data set, or the seed is below 0.
  """

  model: nn.Module
  original: Variables
  dataset: dataset_lib.Dataset
  splits: splits_lib.Splits
  seed: int = 0

  def __post_init__(self):
    validate.integer('seed', self.seed, 0)
    splits_lib.check_splits(self.dataset, self.splits)
    like = jax.eval_shape(
        lambda key: self.model.init(
            key, jax.numpy.zeros((1, *self.dataset.image_size, 3)),
            train=False), jax.random.key(0))
    checkpoint.check_same_shapes(self.original, like, 'the original model')
    outputs = jax.eval_shape(
        lambda v: self.model.apply(
            v, jax.numpy.zeros((1, *self.dataset.image_size, 3)),
            train=False), dict(self.original))
    if outputs.logits.shape[-1] != self.task.num_outputs:
      raise ValueError(
          f'Expected a model with {self.task.num_outputs} outputs for this '
          f'task, got {outputs.logits.shape[-1]}.')

  @property
  def task(self) -> tasks.Task:
    return self.dataset.task


@dataclasses.dataclass(frozen=True, kw_only=True)
class MethodConfig:
  """Fields of every method.

  Attributes:
    epochs: passes over retain, at least 1.
    batch_size: retain images per step on all devices together.
    optimizer: the update of the weights.
    batch_norm: ``'frozen'``: running statistics and no dropout; ``'live'``:
      the update uses batch statistics, moves the running ones and drops out.
    augment: of the retain (and forget) images, or None.
    check_every: steps between two measurements; None = the default of
      :func:`default_check_every`.
    live_limit: largest number of images a side in the live attack.
    selection: ``'best'``: the most accurate state on val among those with a
      forgetting score of at most ``select_threshold``; ``'one_se'``: the latest
      of those within one standard error of that accuracy; or ``'last'``.
    select_threshold: a number in [0, 1], or ``'null_mean'`` or ``'null_95'``:
      the mean or the 95 % point of the live attack's permutation null.

  Raises:
    ValueError: if a field is out of its range.
  """

  epochs: int = 1
  batch_size: int = 64
  optimizer: train.OptimizerConfig = train.OptimizerConfig(learning_rate=0.005)
  batch_norm: str = 'frozen'
  augment: augment_lib.AugmentConfig | None = None
  check_every: int | None = None
  live_limit: int = 300
  selection: str = 'last'
  select_threshold: float | str = 'null_95'

  def __post_init__(self):
    for name in ('epochs', 'batch_size'):
      validate.integer(name, getattr(self, name))
    if self.check_every is not None:
      validate.integer('check_every', self.check_every)
    validate.integer('live_limit', self.live_limit, 10)
    for name, choices in (('batch_norm', ('frozen', 'live')),
                          ('selection', ('best', 'one_se', 'last'))):
      validate.one_of(name, getattr(self, name), choices)
    for field in dataclasses.fields(self):  # a method may have several
      if field.name.endswith('optimizer'):
        validate.instance(
            field.name, getattr(self, field.name), train.OptimizerConfig)
    if self.augment is not None:
      validate.instance('augment', self.augment, augment_lib.AugmentConfig)
    check_threshold('select_threshold', self.select_threshold)


class RunConfig(Protocol):
  """What a run needs to know of a config, a method's or a wrapper's."""

  @property
  def epochs(self) -> int: ...

  @property
  def batch_size(self) -> int: ...

  @property
  def optimizer(self) -> train.OptimizerConfig: ...


def check_threshold(name: str, value: Any) -> None:
  """Raises ValueError unless ``value`` is a forgetting score or a null's."""
  named = isinstance(value, str) and value in THRESHOLDS
  if not named and not (validate.is_number(value) and 0 <= value <= 1):
    raise ValueError(
        f'Expected {name} in [0, 1] or in {THRESHOLDS}, got {value!r}.')


def check_temperature(value: float) -> None:
  """Raises ValueError unless ``value`` is a temperature."""
  validate.number('temperature', value, 0, ends='(]')


@dataclasses.dataclass(frozen=True, eq=False)
class Setting:
  """The machinery of one run, made once and handed to the method.

  ``original`` is the problem's, placed on the devices like every later state,
  so that one compiled evaluation serves them all.
  """

  problem: Problem
  original: Variables
  devices: parallel.Devices
  feed: feed_lib.Feed
  frozen: dict[str, Any]
  predictor: Predictor

  def stream(self, split: str, config: MethodConfig, shuffle: bool = True,
             batch_size: int | None = None) -> batching.Stream:
    """Batches of ``retain`` or ``forget`` in the run's order.

    ``batch_size`` rows at a time; None = the config's.

    Raises:
      ValueError: if a batch cannot be split over the devices.
    """
    size = batch_size or config.batch_size
    self.devices.check_batch_size(size, f'a batch size of {split}')
    return batching.Stream(
        getattr(self.problem.splits, split), size, seed=self.problem.seed,
        salt=RETAIN if split == 'retain' else FORGET, shuffle=shuffle)

  def union(self, rows: np.ndarray, config: MethodConfig) -> batching.Stream:
    """Shuffled batches of any rows."""
    return batching.Stream(
        rows, config.batch_size, seed=self.problem.seed, salt=UNION)

  def state(self, config: RunConfig, original: Variables | None = None,
            trainable: Sequence[str] | None = None) -> train.TrainState:
    """Where a run starts: the original, or other variables, at step 0."""
    return train.create_state(
        self.problem.original if original is None else original,
        config.optimizer, jax.random.key(self.problem.seed), trainable)

  def key(self, purpose: int) -> jax.Array:
    """A key that no step draws from; ``purpose`` tells such keys apart."""
    return jax.random.fold_in(
        jax.random.key(self.problem.seed), 2**31 + purpose)


Kept = tuple[loop.Figures, Variables]


class MethodController(loop.Controller, Protocol):
  """A controller that also makes the final choice and states its findings."""

  def choose(self, kept: Sequence[Kept],
             last: Variables) -> tuple[int | None, str]:
    """Which kept state to return (None = the last one), and why, in words."""

  def findings(self, chosen: loop.Figures | None) -> dict[str, Any]:
    """What the run learnt beside its figures: thresholds, flags.

    ``chosen`` are the figures of the selected state, None if it was not
    measured. Called after ``choose``.
    """


MakePlan = Callable[[Setting, Any], tuple[loop.Plan, MethodController]]


@dataclasses.dataclass(frozen=True)
class UnlearnResult:
  """What a method returns.

  Attributes:
    selected: the variables to use, on the devices.
    last: the variables after the last step.
    selected_step: step of the selected state.
    reason: why it was selected, one sentence.
    findings: thresholds and flags of the run.
    history: the figures of every check.
    stop: how the loop ended, see ``loop.LoopResult``.
    steps: finished steps.
    clock: where the time went.
    config: of the method.
    check_every: steps between two checks.
  """

  selected: Variables
  last: Variables
  selected_step: int
  reason: str
  findings: dict[str, Any]
  history: list[loop.Figures]
  stop: str
  steps: int
  clock: loop.Clock
  config: RunConfig
  check_every: int

  @property
  def check_share(self) -> float | None:
    """Time of one check over that of the costliest steps between two.

    Means over the run, compiling left out; None if either was never timed. For
    DLFD the costliest steps are the distance steps.
    """
    clock = self.clock
    step_s = max((clock.phase_s[phase] / steps
                  for phase, steps in clock.phase_steps.items()), default=0.0)
    if not step_s or not clock.checks:
      return None
    return clock.check_s / clock.checks / (self.check_every * step_s)


def run(problem: Problem, config: RunConfig, make_plan: MakePlan, *,
        devices: parallel.Devices | None = None,
        device_bytes: int = feed_lib.DEFAULT_DEVICE_BYTES,
        log: runs.MetricsLog | None = None,
        checkpoints: checkpoint.LoopCheckpoints | None = None,
        checkpoint_seconds: float = 60.0,
        hooks: Sequence[loop.Hook] = ()) -> UnlearnResult:
  """Runs one method on a problem through the host loop.

  Args:
    problem: whom to forget.
    config: of the method.
    make_plan: the method: a setting and the config to a plan and a controller.
    devices: where to run; all local devices by default.
    device_bytes: largest data set that is kept on the device.
    log: receives the events.
    checkpoints: where the run saves itself and resumes from.
    checkpoint_seconds: least time between two saves.
    hooks: called with every event.

  Raises:
    ValueError: if the batch cannot be split over the devices.
  """
  devices = devices or parallel.Devices()
  devices.check_batch_size(config.batch_size)
  feed = feed_lib.Feed(problem.dataset, device_bytes)
  frozen = devices.share(feed.frozen())
  setting = Setting(
      problem, devices.place(dict(problem.original)), devices, feed, frozen,
      Predictor(problem.model, problem.dataset, devices, feed=feed,
                frozen=frozen))
  plan, controller = make_plan(setting, config)
  out = loop.run(
      plan, setting.state(config), frozen, devices=devices, feed=feed,
      controller=controller, log=log, checkpoints=checkpoints,
      checkpoint_seconds=checkpoint_seconds, hooks=hooks)
  chosen, reason = None, 'the run was interrupted'
  if out.stop != loop.INTERRUPTED:  # nobody waits for a choice then
    start = time.perf_counter()
    chosen, reason = controller.choose(out.kept, out.variables)
    out.clock.choose_s = time.perf_counter() - start
  if chosen is None:
    step, selected = out.steps, out.variables
    figures = out.history[-1] if out.history[-1]['step'] == step else None
  else:
    figures, selected = out.kept[chosen]
    step = figures['step']
  return UnlearnResult(
      selected, out.variables, step, reason, controller.findings(figures),
      out.history, out.stop, out.steps, out.clock, config, plan.check_every)
