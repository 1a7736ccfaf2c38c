"""SalUn: random labels that move only the weights which matter to forget.

The mask keeps the share of all weights with the largest absolute gradient of
the cross-entropy on forget, at the original, by one threshold over all layers;
then as random labels, with theta <- m theta_new + (1 - m) theta_original. A
mask on the gradient alone would let weight decay and momentum move the rest.
Reads retain and forget with labels; cost: a pass over forget for the mask, and
one over both per epoch.

Source: Fan et al. (2024), arXiv:2310.12508. The released labels are drawn from
all classes, the true one included; these are wrong ones.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from dlfd_jax import parallel, tasks, training as train
from dlfd_jax.data import batching
from dlfd_jax.methods import base, importance, random_labels
from dlfd_jax.utils import memo, validate

SALIENCY, MASK, RELABEL = 'saliency', 'mask', 'relabel'


@dataclasses.dataclass(frozen=True, kw_only=True)
class SalUnConfig(random_labels.RandomLabelsConfig):
  """SalUn.

  Attributes:
    mask_share: of all weights that may move, in (0, 1].

  Raises:
    ValueError: if a field is out of its range.
  """

  title = 'SalUn'

  epochs: int = 10
  optimizer: train.OptimizerConfig = train.OptimizerConfig(learning_rate=0.013)
  mask_share: float = 0.5

  def __post_init__(self) -> None:
    super().__post_init__()
    validate.number('mask_share', self.mask_share, 0, 1, ends='(]')

  def plan(self, setting: base.Setting) -> base.Plan:
    """A pass over forget, the mask, and masked passes over the union."""
    problem = setting.problem
    forget = setting.stream('forget', self, shuffle=False)
    union = self.relabelled(setting)
    turn = forget.steps_per_epoch
    num_steps = turn + 1 + self.epochs * union.steps_per_epoch

    def schedule(step: int) -> str:
      return SALIENCY if step < turn else MASK if step == turn else RELABEL

    def batch(step: int) -> Any:
      if step <= turn:
        return forget.batch(min(step, turn - 1))
      return union.batch(step - turn - 1)

    state = setting.state(self)
    return base.Plan(
        steps={SALIENCY: importance.make_step(
            problem.model, problem.task, importance.GRADIENT, SALIENCY),
               MASK: importance.make_change(_mask(self.mask_share)),
               RELABEL: make_step(
                   problem.model, problem.task, self, turn + 1)},
        batches=batching.Listed(union.steps_per_epoch, batch),
        num_steps=num_steps, schedule=schedule,
        start=dataclasses.replace(state, extra={
            SALIENCY: importance.zeros(state.params)}))


@memo.one_for_equal
def _mask(share: float) -> Callable[..., Any]:
  """Turns the sum of gradients into the mask of 0 and 1."""
  def change(state: train.TrainState, constants: Any) -> tuple[Any, Any]:
    del constants
    mask = importance.largest(
        jax.tree.map(jnp.abs, state.extra[SALIENCY]), share)
    leaves = jax.tree.leaves(mask)
    return {'extra': {SALIENCY: mask}}, {'masked_in': sum(
        leaf.sum() for leaf in leaves) / sum(leaf.size for leaf in leaves)}

  return change


@memo.one_for_equal
def make_step(model: nn.Module, task: tasks.Task, config: SalUnConfig,
              first: int) -> parallel.StepFn:
  """A masked step of random labels; the schedule runs from step ``first``."""
  def relabel_step(state: train.TrainState, constants: Any, batch: Any, *,
                   axis_name: str | None = None) -> train.Stepped:
    rows = random_labels.read(state, constants, batch, task, config)
    new, metrics = train.as_part(
        state, state.step - first, lambda part: train.supervised_update(
            model, task, part, rows, optimizer=config.optimizer,
            num_steps=constants['num_steps'] - first,
            train_mode=config.train_mode, axis_name=axis_name))
    params = jax.tree.map(lambda m, n, o: jnp.where(m > 0, n, o),
                          state.extra[SALIENCY], new.params, state.params)
    return new.replace(params=params), metrics

  return relabel_step
