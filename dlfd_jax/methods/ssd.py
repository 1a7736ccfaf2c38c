"""SSD and LFSSD: dampen the weights that mean more to forget than to all.

With the importance I of each weight to all training images and to forget,

  where I_forget > alpha I_all:  theta <- min(lambda I_all / I_forget, 1) theta,

once, without any training. SSD's importance is the diagonal of the empirical
Fisher information, LFSSD's the mean absolute gradient of the squared norm of
the logits, which needs no label. Reads retain and forget, SSD with labels;
cost: one pass over both with a gradient of each image's own.

Where no weight passes alpha nothing changes, and the log's ``dampened`` is 0:
alpha has to be searched for each model and request.

Source: Foster et al. (2024), arXiv:2308.07707 and arXiv:2402.19308. The
released code squares the gradient of a batch's *mean*, which depends on the
batch size; here each image has its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from dlfd_jax import training as train
from dlfd_jax.data import batching
from dlfd_jax.methods import base, importance
from dlfd_jax.utils import memo, validate

_RETAIN, _FORGET = 'retain', 'forget'


@dataclasses.dataclass(frozen=True, kw_only=True)
class SSDConfig(base.MethodConfig):
  """SSD. It takes no training step: of the shared fields, the batch counts.

  Attributes:
    alpha: how many times as important to forget as to all, above 0.
    dampening: lambda, at least 0.

  Raises:
    ValueError: if a field is out of its range, or one of training is set.
  """

  title = 'SSD'
  importance: ClassVar[str] = importance.FISHER

  alpha: float = dataclasses.field(
      default=10.0, metadata={'flag': 'ssd_alpha'})
  dampening: float = 1.0

  def __post_init__(self) -> None:
    super().__post_init__()
    validate.number('alpha', self.alpha, 0, ends='(]')
    validate.number('dampening', self.dampening, 0)
    base.check_untrained(self, 'weakens weights')

  def plan(self, setting: base.Setting) -> base.Plan:
    """A pass over retain, one over forget, and the step that dampens."""
    problem = setting.problem
    retain, forget = (setting.stream(part, self, shuffle=False)
                      for part in (_RETAIN, _FORGET))
    first = retain.steps_per_epoch
    last = first + forget.steps_per_epoch

    def schedule(step: int) -> str:
      return (_RETAIN if step < first else _FORGET if step < last
              else 'dampen')

    def batch(step: int) -> batching.Batch:
      return retain.batch(step) if step < first else forget.batch(
          min(step, last - 1) - first)

    state = setting.state(self)
    zeros = importance.zeros(state.params)
    return base.Plan(
        steps={**{part: importance.make_step(
            problem.model, problem.task, self.importance, part)
                  for part in (_RETAIN, _FORGET)},
               'dampen': importance.make_change(_dampen(
                   self, len(problem.splits.retain),
                   len(problem.splits.forget)))},
        batches=batching.Listed(last + 1, batch), num_steps=last + 1,
        check_every=last + 1, schedule=schedule,
        start=dataclasses.replace(
            state, extra={_RETAIN: zeros, _FORGET: zeros}))


@dataclasses.dataclass(frozen=True, kw_only=True)
class LFSSDConfig(SSDConfig):
  """LFSSD: SSD by an importance that needs no label."""

  title = 'LFSSD'
  importance: ClassVar[str] = importance.OUTPUT


@memo.one_for_equal
def _dampen(config: SSDConfig, retain: int, forget: int
            ) -> Callable[..., Any]:
  """The change at the end, of sums over so many images."""
  def change(state: train.TrainState, constants: Any) -> tuple[Any, Any]:
    del constants
    of_all = jax.tree.map(lambda r, f: (r + f) / (retain + forget),
                          state.extra[_RETAIN], state.extra[_FORGET])
    of_forget = jax.tree.map(lambda f: f / forget, state.extra[_FORGET])
    factor = jax.tree.map(
        lambda all_, f: dampening(all_, f, config.alpha, config.dampening),
        of_all, of_forget)
    sizes = sum(leaf.size for leaf in jax.tree.leaves(factor))
    weaker = sum((leaf < 1).sum() for leaf in jax.tree.leaves(factor))
    return {'params': jax.tree.map(jnp.multiply, state.params, factor)}, {
        'dampened': weaker / sizes}

  return change


def dampening(of_all: jax.Array, of_forget: jax.Array, alpha: float,
              weight: float) -> jax.Array:
  """The factor of each weight, in [0, 1].

  Args:
    of_all: importance to all training images, at least 0.
    of_forget: importance to forget, likewise.
    alpha: dampened above so many times ``of_all``.
    weight: lambda.

  Example:
    >>> dampening(jnp.array([1., 1., 0.]), jnp.array([1., 4., 0.]), 2., 1.)
    Array([1.  , 0.25, 1.  ], dtype=float32)
  """
  hit = of_forget > alpha * of_all
  ratio = of_all / jnp.where(hit, of_forget, 1.0)
  return jnp.where(hit, jnp.minimum(weight * ratio, 1.0), 1.0)
