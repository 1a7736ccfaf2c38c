"""SCRUB: away from the original on forget, back to it and the labels on retain.

With d(x) = KL(p_original(x) || p(x)), in turns: a *max* epoch over forget,
max of mean d, in each of the first ``max_epochs`` epochs, then a *min* epoch
over retain, min of alpha d + gamma CE, in every epoch, so that the run ends on
retain. Reads retain with labels and forget without; cost: a pass over retain
per epoch, ``max_epochs`` passes over forget, and the teacher's forward passes.

Source: Kurmanji et al. (2023), arXiv:2302.09880; defaults of its large-scale
setting. Ours: the gradient is clipped to norm 1. BatchNorm is live by default:
at the original d and its gradient are exactly 0, so with frozen statistics and
without dropout the first max epoch would not move the weights at all.
"""

from __future__ import annotations

import dataclasses

import flax.linen as nn
import jax.numpy as jnp

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
  batch_norm: str = 'live'
  max_epochs: int = 2
  forget_batch_size: int = 32
  alpha: float = 0.001
  gamma: float = 0.99
  temperature: float = 4.0

  def __post_init__(self):
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

    def batch(step):
      phase, number = turns.locate(step)
      if phase == MIN:
        return retain.epoch_batch(number)
      return batching.prefixed('forget_', forget.epoch_batch(number))

    return base.Plan(
        steps={phase: make_step(
            problem.model, problem.task, self, turns.num_steps, phase)
               for phase in (MAX, MIN)},
        batches=batching.Listed(retain.steps_per_epoch, batch),
        num_steps=turns.num_steps, check_at=turns.ends,
        schedule=lambda step: turns.locate(step)[0],
        frozen={'teacher': setting.original})


@memo.one_for_equal
def make_step(model: nn.Module, task: tasks.Task, config: ScrubConfig,
              num_steps: int, phase: str) -> parallel.StepFn:
  """A max step, on a batch under ``forget_``, or a min step on a retain batch.

  ``frozen`` holds the original's variables as ``teacher``.
  """
  prefix, stream = ('forget_', 2) if phase == MAX else ('', 0)

  def scrub_step(state, frozen, batch, *, axis_name=None):
    images, labels = train.read(
        state, frozen, batch, config.augment, prefix, stream)
    weights = batch[prefix + 'mask']
    known = weights * tasks.has_label(task, labels)
    rows, count = parallel.sum_over_devices(
        (weights.sum(), known.sum()), axis_name)
    keys = train.example_keys(state, batch[prefix + 'position'], stream + 1)
    teacher = train.answer(model, frozen['teacher'], images)

    def share(params):
      outputs, batch_stats = train.forward(
          model, params, state.batch_stats, images, weights,
          train=config.batch_norm == 'live', keys=keys, axis_name=axis_name)
      d = train.weighted_sum(tasks.example_kl(
          task, teacher, outputs.logits, config.temperature), weights)
      d /= jnp.maximum(rows, 1.0)
      if phase == MAX:
        return -d, (batch_stats, {'forget_kl_sum': d})
      loss = train.weighted_sum(
          tasks.example_loss(task, outputs.logits, labels), known)
      correct = train.weighted_sum(
          tasks.example_correct(task, outputs.logits, labels), known)
      return config.alpha * d + config.gamma * loss / jnp.maximum(count, 1.0), (
          batch_stats, {'retain_kl_sum': d, 'loss_sum': loss,
                        'correct_sum': correct})

    state, metrics = train.descend(
        state, share, config.optimizer, num_steps, axis_name=axis_name)
    return state, metrics if phase == MAX else {**metrics, 'count': count}

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
