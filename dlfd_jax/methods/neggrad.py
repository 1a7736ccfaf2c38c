"""NegGrad: gradient ascent on forget, until it is no better known than val.

max over theta of the mean cross-entropy on forget, from the original. Reads
forget with labels, and val for the stop rule; cost: one training pass over
forget per epoch.

Source: Golatkar et al. (2020), arXiv:1911.04933, as a baseline. Ours: the
gradient is clipped to norm 1, and the run ends once the accuracy on forget is
at or below the original's on val: the ascent has no bound of its own.
"""

from __future__ import annotations

import dataclasses

import flax.linen as nn
import jax.numpy as jnp

from dlfd_jax import loop, parallel, tasks, training as train
from dlfd_jax.data import batching
from dlfd_jax.methods import base
from dlfd_jax.utils import memo


@dataclasses.dataclass(frozen=True, kw_only=True)
class NegGradConfig(base.MethodConfig):
  """NegGrad; ``epochs`` are passes over forget, at most."""

  title = 'NegGrad'

  optimizer: train.OptimizerConfig = train.OptimizerConfig(
      learning_rate=1e-3, clip_norm=1.0)

  def plan(self, setting: base.Setting) -> base.Plan:
    """Ascent over forget, measured ten times an epoch for the stop rule."""
    problem = setting.problem
    forget = setting.stream('forget', self)
    steps = forget.steps_per_epoch
    return base.Plan(
        steps={'ascent': make_step(
            problem.model, problem.task, self, self.epochs * steps)},
        batches=batching.Listed(steps, lambda step: batching.prefixed(
            'forget_', forget.epoch_batch(step))),
        check_every=max(steps // 10, 1), stop=forgotten)


@memo.one_for_equal
def make_step(model: nn.Module, task: tasks.Task, config: NegGradConfig,
              num_steps: int) -> parallel.StepFn:
  """One ascent step on a batch under the prefix ``forget_``."""
  def ascent_step(state, frozen, batch, *, axis_name=None):
    images, labels = train.read(
        state, frozen, batch, config.augment, 'forget_', stream=2)
    weights = batch['forget_mask'] * tasks.has_label(task, labels)
    count = parallel.sum_over_devices(weights.sum(), axis_name)
    keys = train.example_keys(state, batch['forget_position'], 3)

    def share(params):
      loss, (batch_stats, correct, _) = train.forward_loss(
          model, task, params, state.batch_stats, images, labels, weights,
          train=config.batch_norm == 'live', keys=keys, axis_name=axis_name)
      return -loss / jnp.maximum(count, 1.0), (
          batch_stats, {'loss_sum': loss, 'correct_sum': correct})

    state, metrics = train.descend(
        state, share, config.optimizer, num_steps, axis_name=axis_name)
    return state, {**metrics, 'count': count}

  return ascent_step


def forgotten(original: loop.Figures, now: loop.Figures) -> bool:
  """The stop rule: forget is classified no better than val once was."""
  return now['forget_accuracy'] <= original['val_accuracy']
