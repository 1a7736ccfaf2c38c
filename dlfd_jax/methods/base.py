"""What a method is given and what it gives: problem, setting, config, plan."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Protocol, cast

import flax.linen as nn
import jax
import numpy as np

from dlfd_jax import (
  checkpoint,
  loop,
  models,
  parallel,
  tasks,
  training as train,
)
from dlfd_jax.data import (
  augment as augment_lib,
  batching,
  dataset as dataset_lib,
  splits as splits_lib,
)
from dlfd_jax.methods import held_out as held_out_lib
from dlfd_jax.models import Variables, custom, layers
from dlfd_jax.predict import Predictor
from dlfd_jax.utils import configs, validate

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
      splits the data set, the model returns probabilities, or the seed is
      below 0.
  """

  model: nn.Module
  original: Variables
  dataset: dataset_lib.Dataset
  splits: splits_lib.Splits
  seed: int = 0

  def __post_init__(self) -> None:
    validate.integer('seed', self.seed, 0)
    splits_lib.check_splits(self.dataset, self.splits)
    size = self.dataset.image_size
    checkpoint.check_same_shapes(
        self.original, models.shapes(self.model, size), 'the original model')
    outputs = models.output_shapes(self.model, size)
    if outputs.logits.shape[-1] != self.task.num_outputs:
      raise ValueError(
          f'Expected a model with {self.task.num_outputs} outputs for this '
          f'task, got {outputs.logits.shape[-1]}.')
    if not isinstance(self.model, layers.Network):
      config = models.config_of(self.model)
      custom.check_logits(
          self.model, self.original, config.architecture if config else
          type(self.model).__name__, self.dataset.image_size)

  @property
  def task(self) -> tasks.Task:
    return self.dataset.task

  def on(self, splits: splits_lib.Splits,
         original: Variables | None = None) -> Problem:
    """The same on other splits, from another state of the same network.

    What was checked of its own still holds.
    """
    other = copy.copy(self)
    object.__setattr__(other, 'splits', splits)
    if original is not None:
      object.__setattr__(other, 'original', original)
    return other


class Method:
  """A method is its config: a frozen dataclass with a title and a plan.

  Nearly all derive from :class:`MethodConfig`; one that runs others is a
  :class:`Composite`.

  Attributes:
    title: for readers.
    searched: what a table's search may change, by the path of the field:
      ``(low, high)``, or a list of choices. Empty: learning rate and epochs, or
      the row of one of ours in ``experiments.paper.spaces``.
  """

  title: ClassVar[str] = ''
  searched: ClassVar[Mapping[str, tuple[float, float] | list[Any]]] = {}

  @property
  def inner(self) -> MethodConfig:
    """The config whose batch size, optimiser and selection count."""
    raise ValueError(
        f'Expected the config of a method, got {type(self).__name__}.')

  @property
  def stages(self) -> tuple[Method, ...]:
    """What runs one after the other, each with a loop of its own."""
    return (self,)

  @property
  def teachers(self) -> tuple[Method, ...]:
    """Those of the stages whose result only teaches, and is no model to use."""
    return ()

  def check(self, problem: Problem) -> None:
    """Raises ValueError if the method cannot be run on this problem."""

  def setting_of(self, setting: Setting) -> Setting:
    """What this stage works in: the run's setting, or a part of it."""
    return setting

  def conclude(self, setting: Setting,
               selected: Variables) -> dict[str, Any] | None:
    """Findings of a finished run; None = those of its last stage."""
    del setting, selected
    return None

  @property
  def reads_held_out(self) -> float | None:
    """The share of val's people that is set aside for it; None = no part."""
    return None

  @property
  def caution(self) -> str:
    """What whoever reads its results must know, a sentence; empty if none."""
    return ''

  def plan(self, setting: Setting) -> Plan:
    """The steps, the batches, and what else this method needs."""
    raise ValueError(
        'Expected the config of a method, with a plan of its own, got '
        f'{type(self).__name__}.')


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrialConfig:
  """Learning rates that are tried on the data before a run, see ``trial``.

  Attributes:
    steps: of a trial, at least 1.
    factors: of the learning rate, each above 0, the largest first.

  Raises:
    ValueError: if a field is out of its range.
  """

  steps: int = 10
  factors: tuple[float, ...] = (3.0, 1.0, 0.3, 0.1, 0.03, 0.01)

  def __post_init__(self) -> None:
    validate.integer('steps', self.steps)
    for factor in self.factors:
      validate.number('factors', factor, 0, ends='(]')
    if list(self.factors) != sorted(set(self.factors), reverse=True) or (
        not self.factors):
      raise ValueError('Expected factors of a trial from the largest to the '
                       f'smallest, each once, got {list(self.factors)}.')


@dataclasses.dataclass(frozen=True, kw_only=True)
class MethodConfig(Method):
  """Fields of every method.

  Attributes:
    epochs: passes over retain, at least 1.
    batch_size: retain images per step on all devices together.
    optimizer: the update of the weights.
    batch_norm: ``'frozen'``: running statistics and no dropout; ``'batch'``:
      the update uses batch statistics, moves the running ones and drops out.
      ``'live'`` is an older name of ``'batch'``.
    augment: flip, shift, scale, rotate and jitter the images; None = as they
      are.
    check_every: steps between two measurements; None = so many that these take
      about a tenth of the time, and fewer where they steer the steps.
    live_limit: largest number of images a side in the live attack.
    selection: ``'best'``: the most accurate state on val among those with a
      forgetting score of at most ``select_threshold``; ``'one_se'``: the latest
      of those within one standard error of that accuracy that lost at most 2
      points, else what misses both by least; or ``'last'``.
    select_threshold: ``'null_mean'`` or ``'null_95'``: 2 |AUC - .5| of the
      live attack, the mean or the 95 % point of its null; or a number in
      [0, 1], a forgetting score as in the paper.
    trial: choose among multiples of the learning rate by short trials on retain
      and val; None = the rate as it is.

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
  trial: TrialConfig | None = None

  def __post_init__(self) -> None:
    object.__setattr__(
        self, 'batch_norm', configs.current('batch_norm', self.batch_norm))
    for name in ('epochs', 'batch_size'):
      validate.integer(name, getattr(self, name))
    if self.check_every is not None:
      validate.integer('check_every', self.check_every)
    validate.integer('live_limit', self.live_limit, 10)
    for name, choices in (('batch_norm', ('frozen', 'batch')),
                          ('selection', ('best', 'one_se', 'last'))):
      validate.one_of(name, getattr(self, name), choices)
    for field in dataclasses.fields(self):  # a method may have several
      if field.name.endswith('optimizer'):
        validate.instance(
            field.name, getattr(self, field.name), train.OptimizerConfig)
    if self.augment is not None:
      validate.instance('augment', self.augment, augment_lib.AugmentConfig)
    if self.trial is not None:
      validate.instance('trial', self.trial, TrialConfig)
    check_threshold('select_threshold', self.select_threshold)

  @property
  def inner(self) -> MethodConfig:
    return self

  @property
  def train_mode(self) -> bool:
    """Whether the update uses batch statistics and dropout."""
    return self.batch_norm == 'batch'


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProportionateConfig(MethodConfig):
  """Fields of methods whose runs may be in proportion to the request.

  Attributes:
    shown: in how many steps a run shows each forget image, if it is then
      shorter than ``epochs``; None = in as many as these have.
    least_steps: the fewest steps of a run that ``shown`` shortens, at least 1;
      None = 1. What a few images cost the others comes back in as many steps as
      what many do.

  Raises:
    ValueError: if a field is out of its range.
  """

  shown: int | None = None
  least_steps: int | None = None

  def __post_init__(self) -> None:
    super().__post_init__()
    for name in ('shown', 'least_steps'):
      if getattr(self, name) is not None:
        validate.integer(name, getattr(self, name))

  def num_steps(self, steps_per_epoch: int, forget: int) -> int:
    """Steps of a run on so many forget images.

    Example:
      >>> config = ProportionateConfig(epochs=3, batch_size=32, shown=20,
      ...                              least_steps=40)
      >>> [config.num_steps(50, forget) for forget in (3, 32, 96, 300)]
      [40, 40, 60, 150]
    """
    most = self.epochs * steps_per_epoch
    if self.shown is None:
      return most
    a_step = min(forget, self.batch_size)
    return min(most, max(self.least_steps or 1,
                         -(-self.shown * forget // a_step)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class HeldOutConfig(MethodConfig):
  """Fields of every method that learns from unseen images.

  Attributes:
    held_out: share of the people in val (images where people are unknown) that
      is set aside for the method; the live attack, the choice of a state and
      the judgement of harm read the others. In (0, 1).

  Raises:
    ValueError: if a field is out of its range.
  """

  held_out: float = 1 / 3

  def __post_init__(self) -> None:
    super().__post_init__()
    validate.number('held_out', self.held_out, 0, 1, ends='()')

  @property
  def reads_held_out(self) -> float | None:
    return self.held_out


@dataclasses.dataclass(frozen=True, kw_only=True)
class Composite(Method):
  """A method that runs others.

  ``parts`` names the fields that hold their configs. A part that may be None,
  nothing then, has ``metadata={'flag': None}``, as no flag can make a method.
  """

  parts: ClassVar[tuple[str, ...]] = ()

  def __post_init__(self) -> None:
    for part in self.parts:
      config = getattr(self, part)
      if not isinstance(config, MethodConfig) and not (
          config is None and may_be_nothing(self, part)):
        raise ValueError(
            'Expected the config of a method that runs no other in '
            f'{type(self).__name__}, got {type(config).__name__}.')


def may_be_nothing(config: Composite | type[Composite], part: str) -> bool:
  """Whether this part of a method may be None."""
  fields = {field.name: field for field in dataclasses.fields(
      cast(Any, config))}
  return fields[part].metadata.get('flag', part) is None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wrapper(Composite):
  """A method that runs another one.

  Attributes:
    method: config of that method.

  Raises:
    ValueError: if that is no such config.
  """

  parts = ('method',)

  method: MethodConfig

  @property
  def epochs(self) -> int:
    return self.method.epochs

  @property
  def batch_size(self) -> int:
    return self.method.batch_size

  @property
  def optimizer(self) -> train.OptimizerConfig:
    return self.method.optimizer

  @property
  def inner(self) -> MethodConfig:
    return self.method

  @property
  def reads_held_out(self) -> float | None:
    return self.method.reads_held_out

  @property
  def caution(self) -> str:
    return self.method.caution


def set_aside(method: Method, dataset: dataset_lib.Dataset,
              splits: splits_lib.Splits, seed: int
              ) -> held_out_lib.HeldOut | None:
  """The part of val that a method reads, see ``held_out``; None = no part."""
  share = method.reads_held_out
  return None if share is None else held_out_lib.set_aside(
      dataset, splits, share, seed)


def check_threshold(name: str, value: Any) -> None:
  """Raises ValueError unless ``value`` is a forgetting score or a null's."""
  named = isinstance(value, str) and value in THRESHOLDS
  if not named and not (validate.is_number(value) and 0 <= value <= 1):
    raise ValueError(
        f'Expected {name} in [0, 1] or in {THRESHOLDS}, got {value!r}.')


def check_batch_statistics(config: MethodConfig, why: str) -> None:
  """Raises ValueError if BatchNorm is frozen where it cannot be."""
  if not config.train_mode:
    raise ValueError(f"Expected batch_norm of 'batch', as {why}, got "
                     f'{config.batch_norm!r}.')


def check_untrained(config: MethodConfig, does: str) -> None:
  """Raises ValueError if a field of training is set where none takes place."""
  if (config.epochs, config.batch_norm, config.augment) != (1, 'frozen', None):
    raise ValueError(
        f'Expected no training in {config.title}, which {does} once: one '
        'epoch, frozen BatchNorm and no augmentation.')


def is_kernel(path: Sequence[Any], leaf: Any) -> bool:
  """Whether a parameter is a convolution's kernel, ``(h, w, in, out)``."""
  return leaf.ndim == 4 and getattr(path[-1], 'key', None) == 'kernel'


def check_temperature(value: float) -> None:
  """Raises ValueError unless ``value`` is a temperature."""
  validate.number('temperature', value, 0, ends='(]')


@dataclasses.dataclass(frozen=True, eq=False)
class Setting:
  """The machinery of one run, made once and handed to the method.

  ``original`` is the problem's, placed on the devices like every later state,
  so that one compiled evaluation serves them all. ``teacher`` is the state that
  the stage before this one selected, on the devices, None in the first.
  ``held_out`` is the part of val that is set aside for a method which learns
  from unseen images; the problem's ``val`` is the rest then.
  """

  problem: Problem
  original: Variables
  devices: parallel.Devices
  feed: batching.Feed
  constants: dict[str, Any]
  predictor: Predictor
  teacher: Variables | None = None
  held_out: held_out_lib.HeldOut | None = None

  @classmethod
  def of(cls, problem: Problem, devices: parallel.Devices,
         method: Method | None = None) -> Setting:
    """Places the data and the original; see :func:`methods.unlearn`.

    ``method`` is what will run, where it may learn from unseen images.

    Raises:
      ValueError: if too few people are in val to set some aside.
    """
    held_out = None if method is None else set_aside(
        method, problem.dataset, problem.splits, problem.seed)
    if held_out is not None:
      problem = problem.on(held_out.splits)
    feed = batching.Feed(problem.dataset, devices.image_bytes)
    constants = devices.share(feed.constants)
    return cls(
        problem, devices.place(dict(problem.original)), devices, feed,
        constants, Predictor(problem.model, problem.dataset, devices, feed=feed,
                             constants=constants), held_out=held_out)

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

  def pairs(self, config: MethodConfig, once: bool = False) -> batching.Pairs:
    """Every retain batch of an epoch, each with the next one of forget.

    With ``once`` a forget batch is no larger than what there is to forget, but
    for padding to the devices.
    """
    size = config.batch_size
    if once:
      count = self.devices.count
      size = min(size, -(-len(self.problem.splits.forget) // count) * count)
    return batching.Pairs(
        self.stream('retain', config),
        self.stream('forget', config, batch_size=size), once)

  def supervised_step(self, config: MethodConfig,
                      trainable: Sequence[str] | None = None
                      ) -> parallel.StepFn:
    """The step of fine-tuning: cross-entropy on the images of a batch."""
    return train.make_supervised_step(
        self.problem.model, self.problem.task, config.optimizer,
        train_mode=config.train_mode, augment=config.augment,
        trainable=trainable)

  def union(self, rows: np.ndarray, config: MethodConfig) -> batching.Stream:
    """Shuffled batches of any rows."""
    return batching.Stream(
        rows, config.batch_size, seed=self.problem.seed, salt=UNION)

  def state(self, config: MethodConfig, original: Variables | None = None,
            trainable: Sequence[str] | None = None) -> train.TrainState:
    """Where a run starts: the original, or other variables, at step 0."""
    return train.create_state(
        self.problem.original if original is None else original,
        config.optimizer, jax.random.key(self.problem.seed), trainable)

  def key(self, purpose: int) -> jax.Array:
    """A key that no step draws from; ``purpose`` tells such keys apart."""
    return jax.random.fold_in(
        jax.random.key(self.problem.seed), 2**31 + purpose)


Kept = tuple[loop.Metrics, Variables]
StopRule = Callable[[loop.Metrics, loop.Metrics], bool]


class MethodController(loop.Controller, Protocol):
  """A controller that also makes the final choice and states its findings."""

  def choose(self, kept: Sequence[Kept],
             last: Variables) -> tuple[int | None, str]:
    """Which kept state to return (None = the last one), and why, in words."""

  def findings(self, chosen: loop.Metrics | None) -> dict[str, Any]:
    """What the run learnt beside its metrics: thresholds, flags.

    ``chosen`` are the metrics of the selected state, None if it was not
    measured. Called after ``choose``.
    """


@dataclasses.dataclass(frozen=True, kw_only=True)
class PhaseRule:
  """The live attack chooses between two phases at every check.

  Attributes:
    active: the phase while there is something to forget.
    resting: the phase below the threshold.
    threshold: forgetting score at or above which ``active`` goes on: a number,
      ``'null_mean'`` or ``'null_95'``.
    signed: also rest while the signed AUC is at or below .5, where forget
      losses are already as high as unseen ones or higher.
    opening: the phase of the steps before the first check, whatever the
      metrics; None = decide from the original's.
  """

  active: str
  resting: str
  threshold: float | str
  signed: bool = True
  opening: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
  """What a method gives: steps and batches, and what else it needs.

  Attributes:
    steps: one pure step per phase; the first is the phase of the run unless
      ``phases`` or ``schedule`` says otherwise.
    batches: the batch of each step, and how many make an epoch.
    num_steps: length of the run; None = the config's ``epochs``.
    passes: forward passes over a batch that a step costs, backward ones
      counted double; from it follows how often the model is measured.
    check_every: steps between checks where the config has none; None = as
      ``passes`` allows, see :func:`run.default_check_every`.
    check_within: likewise, at most so many steps between checks, where what
      they find steers the steps; None = any number.
    check_at: numbers of finished steps after which it is measured, too.
    phases: how the live attack switches the phase; None = never.
    schedule: phase of each step by its number, from 0, instead.
    stop: of the original's metrics and the current ones: whether the run ends
      here; None = never early.
    constants: what the steps read beside the data, on the devices already.
    phase_constants: likewise, of one phase each, see ``loop.Plan``.
    start: the state to begin with; None = the original.
    findings: what the method learnt before its first step.
    attack: kind of the live attack, see :class:`live.LiveAttack`.
    control: wraps the monitor that measures and chooses; None = as it is.
  """

  steps: Mapping[str, parallel.StepFn]
  batches: batching.Batches
  num_steps: int | None = None
  passes: int = 5
  check_every: int | None = None
  check_within: int | None = None
  check_at: frozenset[int] = frozenset()
  phases: PhaseRule | None = None
  schedule: Callable[[int], str] | None = None
  stop: StopRule | None = None
  constants: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  phase_constants: Mapping[str, Mapping[str, Any]] = dataclasses.field(
      default_factory=dict)
  start: train.TrainState | None = None
  findings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  attack: str = 'balanced'
  control: Callable[[MethodController], MethodController] | None = None

  def length(self, config: MethodConfig) -> int:
    """Steps of a run with this config."""
    return self.num_steps or config.epochs * self.batches.steps_per_epoch
