"""Optimal transport between two clouds of features (ott-jax does the solving).

The cost is one minus the cosine of unit rows that stay finite at a zero row.
Everything runs in float32 at the highest matmul precision.
"""

from __future__ import annotations

import dataclasses
import functools
import types
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dlfd_jax.utils import validate

_EPS = 1e-4  # added to a row's norm in quadrature, in feature units
OBJECTIVES = ('divergence', 'entropic')


@dataclasses.dataclass(frozen=True, kw_only=True)
class SinkhornConfig:
  """How a transport problem is solved.

  Attributes:
    epsilon: entropic regularisation, in units of the cost (0 to 2), above 0.
    max_iterations: at most this many Sinkhorn iterations, at least 1.
    threshold: stop when the marginals are off by less than this (L1), above 0.
    objective: ``'divergence'`` is debiased; ``'entropic'`` is the plain
      regularised cost.

  Raises:
    ValueError: if a field is out of its range.
  """

  epsilon: float = 0.05
  max_iterations: int = dataclasses.field(
      default=500, metadata={'flag': 'iterations'})
  threshold: float = 1e-3
  objective: str = 'divergence'

  def __post_init__(self) -> None:
    validate.number('epsilon', self.epsilon, 0, ends='(]')
    validate.integer('max_iterations', self.max_iterations)
    validate.number('threshold', self.threshold, 0, ends='(]')
    validate.one_of('objective', self.objective, OBJECTIVES)


class Transport(NamedTuple):
  """A solved problem: its value and how well it was solved, scalars.

  ``value`` may be differentiated with respect to the features; ``converged`` is
  1.0 or 0.0; ``iterations`` and ``marginal_error`` (L1) are those of the
  problem between the two clouds.
  """

  value: jax.Array
  converged: jax.Array
  iterations: jax.Array
  marginal_error: jax.Array


class Target(NamedTuple):
  """The side of the forget set, prepared once per batch.

  ``unit`` rows ``[m, d]``, ``weights [m]`` that sum to 1, and ``self_cost``,
  the regularised cost of carrying the cloud onto itself.
  """

  unit: jax.Array
  weights: jax.Array
  self_cost: jax.Array


def unit_rows(x: jax.Array) -> jax.Array:
  """Rows scaled to length 1, ``[n, d]``; a zero row stays zero, with gradient.

  >>> print(unit_rows(jnp.array([[3.0, 4.0], [0.0, 0.0]])).round(3))
  [[0.6 0.8]
   [0.  0. ]]
  """
  x = x.astype(jnp.float32)
  return x * jax.lax.rsqrt(jnp.square(x).sum(-1, keepdims=True) + _EPS**2)


def cosine_cost(x: jax.Array, y: jax.Array) -> jax.Array:
  r"""Pairwise cost ``[n, m]`` in [0, 2] between unit rows.

  .. math:: C_{ij} = 1 - \langle x_i, y_j \rangle

  Args:
    x: ``[n, d]`` from :func:`unit_rows`.
    y: ``[m, d]`` from :func:`unit_rows`.
  """
  return 1.0 - jnp.matmul(x, y.T, precision='highest')


@functools.cache
def _ott() -> Any:
  """ott-jax, whose import takes seconds, half of every command's start.

  It waits for the first problem, which may be one that is traced: what ott
  computes when it is imported must not become a part of that.
  """
  with jax.ensure_compile_time_eval():
    from ott.geometry import geometry
    from ott.problems.linear import linear_problem
    from ott.solvers.linear import acceleration, sinkhorn
    from ott.tools import sinkhorn_divergence
  return types.SimpleNamespace(
      Geometry=geometry.Geometry, LinearProblem=linear_problem.LinearProblem,
      Momentum=acceleration.Momentum, Sinkhorn=sinkhorn.Sinkhorn,
      sinkhorn_divergence=sinkhorn_divergence.sinkhorn_divergence)


def _normalised(weights: jax.Array) -> jax.Array:
  return weights / jnp.maximum(weights.sum(), 1e-12)


def prepare_target(features: jax.Array, weights: jax.Array,
                   config: SinkhornConfig) -> Target:
  """Everything about the forget side that the inner steps do not change.

  Args:
    features: ``[m, d]``; no gradient flows into them.
    weights: ``[m]``, at least 0; 0 = padding.
    config: the solver.
  """
  unit = jax.lax.stop_gradient(unit_rows(features))
  weights = _normalised(weights)
  self_cost = jnp.float32(0)
  if config.objective == 'divergence':
    ott = _ott()
    # The symmetric problem, solved as `sinkhorn_divergence` solves it.
    solve = ott.Sinkhorn(
        parallel_dual_updates=True,
        momentum=ott.Momentum(start=0, value=0.5), threshold=config.threshold,
        max_iterations=config.max_iterations)
    with jax.default_matmul_precision('highest'):
      self_cost = solve(ott.LinearProblem(
          ott.Geometry(cosine_cost(unit, unit), epsilon=config.epsilon),
          a=weights, b=weights)).reg_ot_cost
  return Target(unit, weights, jax.lax.stop_gradient(self_cost))


def transport(features: jax.Array, weights: jax.Array, target: Target,
              config: SinkhornConfig,
              penalty: jax.typing.ArrayLike = 0.0) -> Transport:
  r"""How far a cloud lies from the target in feature space.

  .. math:: S_\epsilon(\mu, \nu) = OT_\epsilon(\mu, \nu)
      - \tfrac12 OT_\epsilon(\mu, \mu) - \tfrac12 OT_\epsilon(\nu, \nu)

  with ``objective='divergence'``, or the first term alone with ``'entropic'``.
  The gradient holds the optimal plan fixed (envelope theorem), so no iteration
  is differentiated.

  Args:
    features: ``[n, d]``, the cloud that moves.
    weights: ``[n]``, at least 0; rows of weight 0 have no effect.
    target: from :func:`prepare_target` with the same ``config``.
    config: the solver.
    penalty: ``[n, m]``, added to the cost between the two clouds, in its units;
      it has no part in the terms that debias.

  Returns:
    The value and the state of convergence.

  Reference: Cuturi (2013), arXiv:1306.0895; Genevay et al. (2018),
  arXiv:1706.00292.
  """
  unit = unit_rows(features)
  a, b = _normalised(weights), target.weights
  between = cosine_cost(unit, target.unit) + penalty
  ott = _ott()
  options = {'threshold': config.threshold,
             'max_iterations': config.max_iterations}
  with jax.default_matmul_precision('highest'):
    if config.objective == 'entropic':
      out = ott.Sinkhorn(**options)(
          ott.LinearProblem(
              ott.Geometry(between, epsilon=config.epsilon), a=a, b=b))
      value, converged = out.reg_ot_cost, out.converged
      iterations, errors = out.n_iters, out.errors
    else:
      value, out = ott.sinkhorn_divergence(
          ott.Geometry, between, cosine_cost(unit, unit), a=a, b=b,
          epsilon=config.epsilon, static_b=True,
          offset_static_b=target.self_cost, solve_kwargs=options)
      converged = out.converged[0] & out.converged[1]
      iterations, errors = out.n_iters[0], out.errors[0]
  last = jnp.maximum((errors != -1).sum() - 1, 0)  # -1 = not reached
  return Transport(value, converged.astype(jnp.float32),
                   iterations.astype(jnp.float32), errors[last])
