"""NegGrad+: descent on retain and ascent on forget in one joint step.

min over theta of beta CE(retain batch) - (1 - beta) CE(forget batch), from the
original, one step per retain batch; forget is walked in a cycle of its own.
Reads retain and forget with labels; cost: about two passes over retain an
epoch.

Source: Kurmanji et al. (2023), arXiv:2302.09880; with beta .5 at twice the rate
the "Advanced NegGrad" of Choi and Na (2023), arXiv:2311.02240. Ours: the joint
gradient is clipped to norm 1; weight decay pulls to zero.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import flax.linen as nn

from dlfd_jax import parallel, tasks, training as train
from dlfd_jax.methods import base
from dlfd_jax.utils import memo, validate


@dataclasses.dataclass(frozen=True, kw_only=True)
class NegGradPlusConfig(base.MethodConfig):
  """NegGrad+.

  Attributes:
    beta: weight of retain, above 0 and at most 1; 1 - beta is that of forget.

  Raises:
    ValueError: if a field is out of its range.
  """

  title = 'NegGrad+'

  epochs: int = 10
  optimizer: train.OptimizerConfig = train.OptimizerConfig(
      learning_rate=0.01, clip_norm=1.0)
  beta: float = 0.95

  def __post_init__(self) -> None:
    super().__post_init__()
    validate.number('beta', self.beta, 0, 1, ends='(]')

  def plan(self, setting: base.Setting) -> base.Plan:
    """Joint steps, as many as retain has batches in ``epochs``."""
    problem = setting.problem
    return base.Plan(
        steps={'joint': make_step(problem.model, problem.task, self)},
        batches=setting.pairs(self), passes=10)


@memo.one_for_equal
def make_step(model: nn.Module, task: tasks.Task,
              config: NegGradPlusConfig) -> parallel.StepFn:
  """One joint step on a ``batching.Pair``."""
  def joint_step(state: train.TrainState, constants: Any, batch: Any, *,
                 axis_name: str | None = None) -> train.Stepped:
    sides = train.read_pair(state, constants, batch, task, config.augment)

    def local_loss(params: Any) -> Any:
      losses, sides_metrics, batch_stats = [], [], state.batch_stats
      for rows in sides:
        metrics, batch_stats, _ = train.cross_entropy(
            model, task, params, batch_stats, rows, train=config.train_mode,
            axis_name=axis_name)
        sides_metrics.append(metrics)
        losses.append(
            train.mean(metrics.rows['loss'], rows.weights, axis_name))
      retain, forget = losses
      return config.beta * retain - (1 - config.beta) * forget, (
          batch_stats, sides_metrics[0].replace(step={'forget_loss': forget}))

    return train.descend(state, local_loss, config.optimizer,
                         constants['num_steps'], axis_name=axis_name)

  return joint_step
