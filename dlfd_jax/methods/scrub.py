"""SCRUB: away from the original on forget, back to it and the labels on retain.

With d(x) = KL(p_original(x) || p(x)), in turns: a *max* epoch over forget,
max of mean d, in each of the first ``max_epochs`` epochs, then a *min* epoch
over retain, min of alpha d + gamma CE, in every epoch, so that the run ends on
retain. Reads retain with labels and forget without; cost: a pass over retain
per epoch, ``max_epochs`` passes over forget, and the teacher's forward passes.

Source: Kurmanji et al. (2023), arXiv:2302.09880; defaults of its large-scale
setting. Ours: the gradient is clipped to norm 1. BatchNorm uses batch
statistics by default: at the original d and its gradient are exactly 0, so with
frozen ones and without dropout the first max epoch would move no weight.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import flax.linen as nn

from dlfd_jax import parallel, tasks, training as train
from dlfd_jax.data import batching
from dlfd_jax.methods import base
from dlfd_jax.utils import memo, validate

MAX, MIN = 'max', 'min'


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScrubConfig(base.MethodConfig):
  """SCRUB; ``epochs`` are the min epochs over retain.

  Attributes:
    max_epochs: epochs that begin with a pass over forget, at least 1.
    forget_batch_size: forget images per max step; small = many steps.
    alpha: weight of the divergence d on retain, at least 0.
    gamma: weight of the cross-entropy on retain, at least 0.
    temperature: T of both softmaxes, above 0.

  Raises:
    ValueError: if a field is out of its range.
  """

  title = 'SCRUB'

  epochs: int = 3
  batch_size: int = 128
  optimizer: train.OptimizerConfig = train.OptimizerConfig(
      learning_rate=5e-4, clip_norm=1.0)
  batch_norm: str = 'batch'
  max_epochs: int = 2
  forget_batch_size: int = 32
  alpha: float = 0.001
  gamma: float = 0.99
  temperature: float = 4.0

  def __post_init__(self) -> None:
    super().__post_init__()
    validate.integer('max_epochs', self.max_epochs)
    if self.max_epochs > self.epochs:
      raise ValueError(
          f'Expected max_epochs from 1 to the {self.epochs} epochs, got '
          f'{self.max_epochs}.')
    validate.integer('forget_batch_size', self.forget_batch_size)
    for name in ('alpha', 'gamma'):
      validate.number(name, getattr(self, name), 0)
    base.check_temperature(self.temperature)

  def plan(self, setting: base.Setting) -> base.Plan:
    """Max and min epochs by the step's number, each measured at its end."""
    problem = setting.problem
    retain = setting.stream('retain', self)
    forget = setting.stream(
        'forget', self, batch_size=self.forget_batch_size)
    turns = Turns(forget.steps_per_epoch, retain.steps_per_epoch,
                  self.max_epochs, self.epochs)

    def batch(step: int) -> Any:
      phase, number = turns.locate(step)
      return (retain if phase == MIN else forget).batch(number)

    return base.Plan(
        steps={phase: make_step(problem.model, problem.task, self, phase)
               for phase in (MAX, MIN)},
        batches=batching.Listed(retain.steps_per_epoch, batch),
        num_steps=turns.num_steps, check_at=turns.ends,
        schedule=lambda step: turns.locate(step)[0],
        constants={'teacher': setting.original})


@memo.one_for_equal
def make_step(model: nn.Module, task: tasks.Task, config: ScrubConfig,
              phase: str) -> parallel.StepFn:
  """A max step, on a batch of forget, or a min step on one of retain.

  ``constants`` hold the original's variables as ``teacher``.
  """
  def scrub_step(state: train.TrainState, constants: Any, batch: Any, *,
                 axis_name: str | None = None) -> train.Stepped:
    labelled = train.read(state, constants, batch, task, config.augment,
                          train.FORGET_STREAM if phase == MAX else
                          train.RETAIN_STREAM)
    rows = labelled._replace(weights=batch.mask)  # d needs no label
    teacher = train.logits(model, constants['teacher'], rows.images)

    def local_loss(params: Any) -> Any:
      outputs, batch_stats = train.forward(
          model, params, state.batch_stats, rows, train=config.train_mode,
          axis_name=axis_name)
      d = train.mean(train.weighted_sum(tasks.example_kl(
          task, teacher, outputs.logits, config.temperature), rows.weights),
                     rows.weights, axis_name)
      if phase == MAX:
        return -d, (batch_stats, train.StepMetrics(step={'forget_kl': d}))
      metrics = train.classified(task, outputs.logits, labelled)
      loss = train.mean(metrics.rows['loss'], labelled.weights, axis_name)
      return config.alpha * d + config.gamma * loss, (
          batch_stats, metrics.replace(step={'retain_kl': d}))

    return train.descend(state, local_loss, config.optimizer,
                         constants['num_steps'], axis_name=axis_name)

  return scrub_step


@dataclasses.dataclass(frozen=True)
class Turns:
  """Which step does what.

  Attributes:
    forget: max steps of an epoch.
    retain: min steps of an epoch.
    max_epochs: epochs with max steps.
    epochs: all epochs.
  """

  forget: int
  retain: int
  max_epochs: int
  epochs: int

  @property
  def num_steps(self) -> int:
    return self.max_epochs * self.forget + self.epochs * self.retain

  @property
  def ends(self) -> frozenset[int]:
    """Steps after which an epoch ends."""
    return frozenset(
        min(epoch, self.max_epochs) * self.forget + epoch * self.retain
        for epoch in range(1, self.epochs + 1))

  def locate(self, step: int) -> tuple[str, int]:
    """The phase of ``step`` and its number among the steps of that phase."""
    both = self.forget + self.retain
    epoch = min(step // both, self.max_epochs)
    rest = step - epoch * both
    if epoch < self.max_epochs and rest < self.forget:
      return MAX, epoch * self.forget + rest
    return MIN, step - min(epoch + 1, self.max_epochs) * self.forget
