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
from typing import Any

import flax.linen as nn

from dlfd_jax import loop, parallel, tasks, training as train
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
    problem, forget = setting.problem, setting.stream('forget', self)
    return base.Plan(
        steps={'ascent': make_step(problem.model, problem.task, self)},
        batches=forget, check_every=max(forget.steps_per_epoch // 10, 1),
        stop=forgotten)


@memo.one_for_equal
def make_step(model: nn.Module, task: tasks.Task,
              config: NegGradConfig) -> parallel.StepFn:
  """One ascent step on a batch of forget."""
  def ascent_step(state: train.TrainState, constants: Any, batch: Any, *,
                  axis_name: str | None = None) -> train.Stepped:
    rows = train.read(state, constants, batch, task, config.augment,
                      train.FORGET_STREAM)

    def local_loss(params: Any) -> Any:
      metrics, batch_stats, _ = train.cross_entropy(
          model, task, params, state.batch_stats, rows,
          train=config.train_mode, axis_name=axis_name)
      return -train.mean(metrics.rows['loss'], rows.weights, axis_name), (
          batch_stats, metrics)

    return train.descend(state, local_loss, config.optimizer,
                         constants['num_steps'], axis_name=axis_name)

  return ascent_step


def forgotten(original: loop.Metrics, now: loop.Metrics) -> bool:
  """The stop rule: forget is classified no better than val once was."""
  return now['forget_accuracy'] <= original['val_accuracy']
