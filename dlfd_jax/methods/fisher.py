"""Fisher forgetting: noise where retain does not notice it.

With the diagonal F of the Fisher information on retain,

  theta <- theta + (lambda sigma^2)^(1/4) F^(-1/4) n,   n ~ N(0, I),

once, without any training: covariance (lambda sigma^2)^(1/2) F^(-1/2), which
loses the least on retain for what it hides (F stands for the Hessian). Reads
images of retain, no label, and nothing of forget; cost: a pass over retain with
a gradient of each image's own for every output.

Source: Golatkar et al. (2020), arXiv:1911.04933, proposition 4 and its
approximation by the Fisher information; 1e-8 joins F as in the released code.
That code also draws with covariance proportional to F^-1, averages it over a
kernel's inputs, caps it and multiplies it by 10 in BatchNorm and in the last
layer; nothing of that is in the paper, nor here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from dlfd_jax import training as train
from dlfd_jax.data import batching
from dlfd_jax.methods import base, importance
from dlfd_jax.utils import memo, validate

FISHER, DISTURB = 'fisher', 'disturb'
_DAMPING = 1e-8
_NOISE_KEY = 2  # purpose of its key


@dataclasses.dataclass(frozen=True, kw_only=True)
class FisherConfig(base.MethodConfig):
  """Fisher forgetting takes no training step: only the batch counts.

  Attributes:
    noise_scale: (lambda sigma^2)^(1/4), above 0.

  Raises:
    ValueError: if a field is out of its range, or one of training is set.
  """

  title = 'Fisher forgetting'

  noise_scale: float = 1e-3

  def __post_init__(self) -> None:
    super().__post_init__()
    validate.number('noise_scale', self.noise_scale, 0, ends='(]')
    base.check_untrained(self, 'adds noise')

  def plan(self, setting: base.Setting) -> base.Plan:
    """A pass over retain, and the step that adds the noise."""
    problem = setting.problem
    retain = setting.stream('retain', self, shuffle=False)
    turn = retain.steps_per_epoch
    state = setting.state(self)
    return base.Plan(
        steps={FISHER: importance.make_step(
            problem.model, problem.task, importance.EXPECTED, FISHER),
               DISTURB: importance.make_change(_disturb(
                   self, len(problem.splits.retain)))},
        batches=batching.Listed(
            turn + 1, lambda step: retain.batch(min(step, turn - 1))),
        num_steps=turn + 1, check_every=turn + 1,
        schedule=lambda step: FISHER if step < turn else DISTURB,
        constants={'noise_key': setting.key(_NOISE_KEY)},
        start=dataclasses.replace(
            state, extra={FISHER: importance.zeros(state.params)}))


@memo.one_for_equal
def _disturb(config: FisherConfig, retain: int) -> Callable[..., Any]:
  """The change at the end, of a sum over so many images."""
  def change(state: train.TrainState, constants: Any) -> tuple[Any, Any]:
    leaves, tree = jax.tree.flatten(state.params)
    keys = jax.random.split(constants['noise_key'], len(leaves))
    noise = jax.tree.map(
        lambda total, key: deviation(total / retain, config.noise_scale) *
        jax.random.normal(key, total.shape), state.extra[FISHER],
        jax.tree.unflatten(tree, list(keys)))
    return {'params': jax.tree.map(jnp.add, state.params, noise)}, {
        'noise_norm': optax.tree.norm(noise) / optax.tree.norm(state.params)}

  return change


def deviation(fisher: jax.Array, scale: float) -> jax.Array:
  """Standard deviation of each weight's noise.

  Args:
    fisher: diagonal of the Fisher information, at least 0.
    scale: (lambda sigma^2)^(1/4).

  Example:
    >>> print(deviation(jnp.array([1., 16.]), .5).round(3))
    [0.5  0.25]
  """
  return scale * (fisher + _DAMPING) ** -.25
