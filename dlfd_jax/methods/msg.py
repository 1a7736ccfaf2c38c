"""MSG, masked small gradients: renews the weights that retain and forget share.

With g the gradient of the cross-entropy on as many retain images as forget has,
minus that on forget, the share of each convolution's weights with the
*smallest* |g| starts anew (normal, variance 2 / fan-out); then cross-entropy on
retain, where the other convolution weights get a tenth of their gradient. Reads
retain and forget with labels; cost: two passes over forget, and one over retain
per epoch.

Source: an entry to the NeurIPS 2023 challenge on unlearning
(arXiv:2406.09073), named and measured by Cadet et al. (2024),
arXiv:2410.01276. Ours: the rate rises and falls with every step, not every
epoch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from dlfd_jax import parallel, tasks, training as train
from dlfd_jax.data import batching
from dlfd_jax.methods import base, importance
from dlfd_jax.utils import memo, rng, validate

RETAIN, FORGET, RENEW, REPAIR = 'retain', 'forget', 'renew', 'repair'
_SUM = 'gradient'
_SUBSET, _NEW = 15, 1  # salt of the retain images, purpose of the weights' key


@dataclasses.dataclass(frozen=True, kw_only=True)
class MSGConfig(base.MethodConfig):
  """MSG; BatchNorm uses batch statistics, as many features are new.

  Attributes:
    renewed: share of each convolution's weights that start anew, in (0, 1].
    kept_gradient: times the gradient of the other convolution weights counts,
      in [0, 1]; weight decay is not reduced.

  Raises:
    ValueError: if a field is out of its range, or BatchNorm is frozen.
  """

  title = 'MSG'

  epochs: int = 5
  optimizer: train.OptimizerConfig = train.OptimizerConfig(
      learning_rate=1e-3, schedule='triangle')
  batch_norm: str = 'batch'
  renewed: float = 0.3
  kept_gradient: float = 0.1

  def __post_init__(self) -> None:
    super().__post_init__()
    base.check_batch_statistics(self, 'many weights start anew')
    validate.number('renewed', self.renewed, 0, 1, ends='(]')
    validate.number('kept_gradient', self.kept_gradient, 0, 1)

  def plan(self, setting: base.Setting) -> base.Plan:
    """Both gradients, the step that renews, and passes over retain."""
    problem = setting.problem
    splits, seed = problem.splits, problem.seed
    few = np.sort(rng.generator(seed, _SUBSET).permutation(
        splits.retain)[:len(splits.forget)])
    like = batching.Stream(few, self.batch_size, shuffle=False)
    forget = setting.stream('forget', self, shuffle=False)
    retain = setting.stream('retain', self)
    first = like.steps_per_epoch
    turn = first + forget.steps_per_epoch

    def schedule(step: int) -> str:
      return (RETAIN if step < first else FORGET if step < turn else
              RENEW if step == turn else REPAIR)

    def batch(step: int) -> batching.Batch:
      if step < first:
        return like.batch(step)
      if step <= turn:
        return forget.batch(min(step, turn - 1) - first)
      return retain.batch(step - turn - 1)

    state = setting.state(self)
    kernels = [leaf for path, leaf in jax.tree_util.tree_leaves_with_path(
        state.params) if base.is_kernel(path, leaf)]
    if not kernels:
      raise ValueError('Expected a network with convolutions for MSG, got one '
                       'without.')
    sums = {part: importance.make_step(
        problem.model, problem.task, importance.GRADIENT, _SUM, sign)
            for part, sign in ((RETAIN, 1.0), (FORGET, -1.0))}
    return base.Plan(
        steps={**sums, RENEW: importance.make_change(_renew(self)),
               REPAIR: make_step(problem.model, problem.task, self, turn + 1)},
        batches=batching.Listed(retain.steps_per_epoch, batch),
        num_steps=turn + 1 + self.epochs * retain.steps_per_epoch,
        schedule=schedule, constants={'new_key': setting.key(_NEW)},
        start=dataclasses.replace(state, extra={
            _SUM: importance.zeros(state.params)}))


@memo.one_for_equal
def _renew(config: MSGConfig) -> Callable[..., Any]:
  """New weights where |g| is small, and the factors of later gradients."""
  def change(state: train.TrainState, constants: Any) -> tuple[Any, Any]:
    leaves = jax.tree_util.tree_leaves_with_path(state.params)
    keys = jax.random.split(constants['new_key'], len(leaves))
    new, factors = [], []
    for key, (path, leaf), total in zip(
        keys, leaves, jax.tree.leaves(state.extra[_SUM]), strict=True):
      if not base.is_kernel(path, leaf):
        new.append(leaf)
        factors.append(jnp.ones_like(leaf))
        continue
      small = importance.largest(-jnp.abs(total), config.renewed) > 0
      fan_out = leaf.shape[0] * leaf.shape[1] * leaf.shape[3]
      drawn = jax.random.normal(key, leaf.shape) * jnp.sqrt(2 / fan_out)
      new.append(jnp.where(small, drawn, leaf))
      factors.append(jnp.where(small, 1.0, config.kept_gradient))
    tree = jax.tree.structure(state.params)
    return {'params': jax.tree.unflatten(tree, new),
            'extra': {_SUM: jax.tree.unflatten(tree, factors)}}, {}

  return change


@memo.one_for_equal
def make_step(model: nn.Module, task: tasks.Task, config: MSGConfig,
              first: int) -> parallel.StepFn:
  """A supervised step whose gradients are scaled by ``state.extra``.

  The schedule of the rate runs from step ``first``.
  """
  def repair_step(state: train.TrainState, constants: Any, batch: Any, *,
                  axis_name: str | None = None) -> train.Stepped:
    rows = train.read(state, constants, batch, task, config.augment)

    def weaker(gradient: Any) -> Any:
      return jax.tree.map(jnp.multiply, gradient, state.extra[_SUM])

    return train.as_part(
        state, state.step - first, lambda part: train.supervised_update(
            model, task, part, rows, optimizer=config.optimizer,
            num_steps=constants['num_steps'] - first,
            train_mode=config.train_mode, axis_name=axis_name, shape=weaker))

  return repair_step
