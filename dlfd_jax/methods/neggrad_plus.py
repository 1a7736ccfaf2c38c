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

import flax.linen as nn
import jax.numpy as jnp

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

  def __post_init__(self):
    super().__post_init__()
    validate.number('beta', self.beta, 0, 1, ends='(]')

  def plan(self, setting: base.Setting) -> base.Plan:
    """Joint steps, as many as retain has batches in ``epochs``."""
    problem, pairs = setting.problem, setting.pairs(self)
    return base.Plan(
        steps={'joint': make_step(
            problem.model, problem.task, self,
            self.epochs * pairs.steps_per_epoch)},
        batches=pairs, passes=10)


@memo.one_for_equal
def make_step(model: nn.Module, task: tasks.Task, config: NegGradPlusConfig,
              num_steps: int) -> parallel.StepFn:
  """One joint step on a retain batch and one under the prefix ``forget_``."""
  beta = config.beta

  def joint_step(state, frozen, batch, *, axis_name=None):
    sides = []
    for prefix, stream in (('', 0), ('forget_', 2)):
      images, labels = train.read(
          state, frozen, batch, config.augment, prefix, stream)
      weights = batch[prefix + 'mask'] * tasks.has_label(task, labels)
      keys = train.example_keys(state, batch[prefix + 'position'], stream + 1)
      sides.append((images, labels, weights, keys))
    counts = parallel.sum_over_devices(
        [weights.sum() for _, _, weights, _ in sides], axis_name)

    def share(params):
      losses, corrects, batch_stats = [], [], state.batch_stats
      for images, labels, weights, keys in sides:
        loss, (batch_stats, correct, _) = train.forward_loss(
            model, task, params, batch_stats, images, labels, weights,
            train=config.batch_norm == 'live', keys=keys, axis_name=axis_name)
        losses.append(loss)
        corrects.append(correct)
      retain, forget = (
          loss / jnp.maximum(count, 1.0)
          for loss, count in zip(losses, counts, strict=True))
      return beta * retain - (1 - beta) * forget, (batch_stats, {
          'loss_sum': losses[0], 'correct_sum': corrects[0],
          'forget_loss_sum': forget})

    state, metrics = train.descend(
        state, share, config.optimizer, num_steps, axis_name=axis_name)
    return state, {**metrics, 'count': counts[0]}

  return joint_step
