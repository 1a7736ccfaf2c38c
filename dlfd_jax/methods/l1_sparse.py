"""L1-sparse: fine-tuning on retain that shrinks weights on the way.

min over theta of CE on retain + gamma_t ||theta||_1, from the original, where
gamma_t = gamma (1 - e / E) in epoch e of E: weights that retain does not need
vanish, and with them what only forget needed. Reads retain; cost: a pass over
it per epoch.

Source: Jia et al. (2023), arXiv:2304.04934. As in the released code all
parameters are penalised, those of BatchNorm too; its default on the command
line, gamma = .2, belongs to another method and ruins a model. BatchNorm takes
the statistics of its batches, as in training.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from dlfd_jax import parallel, tasks, training as train
from dlfd_jax.methods import base
from dlfd_jax.utils import memo, validate


@dataclasses.dataclass(frozen=True, kw_only=True)
class L1SparseConfig(base.MethodConfig):
  """L1-sparse.

  Attributes:
    gamma: weight of the norm in the first epoch, at least 0.

  Raises:
    ValueError: if a field is out of its range.
  """

  title = 'L1-sparse'

  epochs: int = 10
  optimizer: train.OptimizerConfig = train.OptimizerConfig(learning_rate=0.01)
  batch_norm: str = 'batch'
  gamma: float = dataclasses.field(
      default=5e-4, metadata={'flag': 'l1_weight'})

  def __post_init__(self) -> None:
    super().__post_init__()
    validate.number('gamma', self.gamma, 0)

  def weight(self, step: jax.typing.ArrayLike,
             num_steps: jax.typing.ArrayLike) -> jax.Array:
    """gamma_t at ``step``, from 0, of a run of ``num_steps``."""
    epoch = jnp.asarray(step) * self.epochs // num_steps
    return self.gamma * (1 - epoch / self.epochs)

  def plan(self, setting: base.Setting) -> base.Plan:
    """The penalised step on retain."""
    problem = setting.problem
    return base.Plan(
        steps={'shrink': make_step(problem.model, problem.task, self)},
        batches=setting.stream('retain', self))


@memo.one_for_equal
def make_step(model: nn.Module, task: tasks.Task,
              config: L1SparseConfig) -> parallel.StepFn:
  """A supervised step with the norm of all parameters."""
  def shrink_step(state: train.TrainState, constants: Any, batch: Any, *,
                  axis_name: str | None = None) -> train.Stepped:
    rows = train.read(state, constants, batch, task, config.augment)
    gamma = config.weight(state.step, constants['num_steps'])

    def local_loss(params: Any) -> Any:
      metrics, batch_stats, _ = train.cross_entropy(
          model, task, params, state.batch_stats, rows,
          train=config.train_mode, axis_name=axis_name)
      # Every device has all parameters: each counts its part of the norm.
      norm = optax.tree.norm(params, ord=1) / parallel.axis_size(axis_name)
      loss = train.mean(metrics.rows['loss'], rows.weights, axis_name)
      return loss + gamma * norm, (
          batch_stats, metrics.replace(step={'l1_norm': norm}))

    return train.descend(state, local_loss, config.optimizer,
                         constants['num_steps'], axis_name=axis_name)

  return shrink_step
