"""Optimal transport between two clouds of features.

The cost is one minus the cosine of unit rows that stay finite at a zero row.
Everything runs in float32 at the highest matmul precision. On several devices
either each of them gathers all rows and solves the whole problem by ott-jax, or
each keeps its rows of the costs, see :mod:`~dlfd_jax.sinkhorn`.
"""

from __future__ import annotations

import dataclasses
import functools
import types
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dlfd_jax import parallel, sinkhorn
from dlfd_jax.utils import validate

_EPS = 1e-4  # added to a row's norm in quadrature, in feature units
OBJECTIVES = ('divergence', 'entropic')
GLOBAL, SHARDED, AUTO = TRANSPORTS = ('global', 'sharded', 'auto')
# Costs that a device is spared in each pass, above which it shares the work.
_SHARED_FROM = 2**20


@dataclasses.dataclass(frozen=True, kw_only=True)
class SinkhornConfig:
  """How a transport problem is solved.

  Attributes:
    epsilon: entropic regularisation, in units of the cost (0 to 2), above 0.
    max_iterations: at most this many Sinkhorn iterations, at least 1.
    threshold: stop when the marginals are off by less than this (L1), above 0.
    objective: ``'divergence'`` is debiased; ``'entropic'`` is the plain
      regularised cost.
    transport: ``'global'``: every device solves the whole problem;
      ``'sharded'``: each holds its rows of the costs, for the same value;
      ``'auto'``: sharded where a batch is large, see :func:`is_sharded`.

  Raises:
    ValueError: if a field is out of its range.
  """

  epsilon: float = 0.05
  max_iterations: int = dataclasses.field(
      default=500, metadata={'flag': 'iterations'})
  threshold: float = 1e-3
  objective: str = 'divergence'
  transport: str = dataclasses.field(
      default=GLOBAL, metadata={'flag': '--transport'})

  def __post_init__(self) -> None:
    validate.number('epsilon', self.epsilon, 0, ends='(]')
    validate.integer('max_iterations', self.max_iterations)
    validate.number('threshold', self.threshold, 0, ends='(]')
    validate.one_of('objective', self.objective, OBJECTIVES)
    validate.one_of('transport', self.transport, TRANSPORTS)

  @property
  def limits(self) -> dict[str, Any]:
    """When the iterations end."""
    return {'threshold': self.threshold, 'max_iterations': self.max_iterations}


class Transport(NamedTuple):
  """A solved problem: its value and how well it was solved, scalars.

  ``value`` is the same on every device, ``part`` what this one adds to it: the
  gradient of a device's part by its own features is that of the value. On one
  device they are equal, and either may be differentiated. ``converged`` is
  1.0 or 0.0; ``iterations`` and ``marginal_error`` (L1) are those of the
  problem between the two clouds.
  """

  value: jax.Array
  part: jax.Array
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


def is_sharded(config: SinkhornConfig, rows: int, columns: int,
               devices: int) -> bool:
  """Whether the devices share a problem or each solves the whole of it.

  By ``'auto'`` they share it if that spares each of them a million of its
  ``rows * columns`` costs (batches of about 1,100 a side on 8 devices). Below,
  by the formulas of docs/scaling.md, to wait for each other twice in every
  iteration takes longer than the work; accelerators were not measured. Devices
  that one CPU plays were quicker with sharing at every size (docs/results/
  transport_scaling.md), as they share its cores, too.

  Args:
    config: the solver.
    rows: of the cloud that moves, on all devices together.
    columns: of the other one.
    devices: how many there are.

  Example:
    >>> auto = SinkhornConfig(transport='auto')
    >>> [is_sharded(auto, n, n, 8) for n in (512, 2048)]
    [False, True]
  """
  spared = rows * columns * (1 - 1 / devices)
  return config.transport == SHARDED or (
      config.transport == AUTO and spared >= _SHARED_FROM)


def _normalised(weights: jax.Array,
                axis_name: str | None = None) -> jax.Array:
  total = parallel.sum_over_devices(weights.sum(), axis_name)
  return weights / jnp.maximum(total, 1e-12)


def prepare_target(features: jax.Array, weights: jax.Array,
                   config: SinkhornConfig,
                   axis_name: str | None = None) -> Target:
  """Everything about the forget side that the inner steps do not change.

  Args:
    features: ``[m, d]``, this device's; no gradient flows into them.
    weights: ``[m]``, at least 0; 0 = padding.
    config: the solver.
    axis_name: device axis, or None.

  Returns:
    The target of all devices together, the same on each.
  """
  own = weights
  unit = jax.lax.stop_gradient(
      unit_rows(parallel.gather_rows(features, axis_name)))
  weights = _normalised(parallel.gather_rows(weights, axis_name))
  self_cost = jnp.float32(0)
  if config.objective == 'divergence':
    devices = parallel.axis_size(axis_name)
    with jax.default_matmul_precision('highest'):
      if is_sharded(config, len(unit), len(unit), devices):
        solved = sinkhorn.within(
            cosine_cost(unit_rows(features), unit),
            _normalised(own, axis_name), epsilon=config.epsilon,
            axis_name=axis_name, **config.limits)
        self_cost = parallel.sum_over_devices(solved.part, axis_name)
      else:
        ott = _ott()
        # The symmetric problem, solved as `sinkhorn_divergence` solves it.
        solve = ott.Sinkhorn(
            parallel_dual_updates=True,
            momentum=ott.Momentum(start=0, value=0.5), **config.limits)
        self_cost = solve(ott.LinearProblem(
            ott.Geometry(cosine_cost(unit, unit), epsilon=config.epsilon),
            a=weights, b=weights)).reg_ot_cost
  return Target(unit, weights, jax.lax.stop_gradient(self_cost))


def transport(features: jax.Array, weights: jax.Array, target: Target,
              config: SinkhornConfig, penalty: jax.Array | None = None,
              axis_name: str | None = None) -> Transport:
  r"""How far a cloud lies from the target in feature space.

  .. math:: S_\epsilon(\mu, \nu) = OT_\epsilon(\mu, \nu)
      - \tfrac12 OT_\epsilon(\mu, \mu) - \tfrac12 OT_\epsilon(\nu, \nu)

  with ``objective='divergence'``, or the first term alone with ``'entropic'``.
  The gradient holds the optimal plan fixed (envelope theorem), so no iteration
  is differentiated.

  Args:
    features: ``[n, d]``, this device's rows of the cloud that moves.
    weights: ``[n]``, at least 0; rows of weight 0 have no effect.
    target: from :func:`prepare_target` with the same ``config``.
    config: the solver.
    penalty: ``[n, m]``, added to the cost between the two clouds, in its units;
      it has no part in the terms that debias. m is the target's.
    axis_name: device axis, or None.

  Returns:
    The value and the state of convergence.

  Reference: Cuturi (2013), arXiv:1306.0895; Genevay et al. (2018),
  arXiv:1706.00292.
  """
  devices = parallel.axis_size(axis_name)
  with jax.default_matmul_precision('highest'):
    if is_sharded(
        config, devices * len(features), len(target.unit), devices):
      return _shared(features, weights, target, config, penalty, axis_name)
    solved = _whole(
        parallel.gather_rows(features, axis_name),
        parallel.gather_rows(weights, axis_name), target, config,
        None if penalty is None else parallel.gather_rows(penalty, axis_name))
  # The gradient through the gathering is that of all devices together.
  return solved._replace(part=solved.value / devices)


def _whole(features: jax.Array, weights: jax.Array, target: Target,
           config: SinkhornConfig, penalty: jax.Array | None) -> Transport:
  """The problem of all rows, solved by ott-jax."""
  unit = unit_rows(features)
  a, b = _normalised(weights), target.weights
  between = cosine_cost(unit, target.unit)
  if penalty is not None:
    between = between + penalty
  ott = _ott()
  if config.objective == 'entropic':
    out = ott.Sinkhorn(**config.limits)(
        ott.LinearProblem(
            ott.Geometry(between, epsilon=config.epsilon), a=a, b=b))
    value, converged = out.reg_ot_cost, out.converged
    iterations, errors = out.n_iters, out.errors
  else:
    value, out = ott.sinkhorn_divergence(
        ott.Geometry, between, cosine_cost(unit, unit), a=a, b=b,
        epsilon=config.epsilon, static_b=True,
        offset_static_b=target.self_cost, solve_kwargs=config.limits)
    converged = out.converged[0] & out.converged[1]
    iterations, errors = out.n_iters[0], out.errors[0]
  last = jnp.maximum((errors != -1).sum() - 1, 0)  # -1 = not reached
  return Transport(value, value, converged.astype(jnp.float32),
                   iterations.astype(jnp.float32), errors[last])


def _shared(features: jax.Array, weights: jax.Array, target: Target,
            config: SinkhornConfig, penalty: jax.Array | None,
            axis_name: str | None) -> Transport:
  """The same problem by the devices together, each with its rows."""
  unit = unit_rows(features)
  a, b = _normalised(weights, axis_name), target.weights
  cost = cosine_cost(unit, target.unit)
  if penalty is not None:
    cost = cost + penalty
  options = {**config.limits, 'epsilon': config.epsilon, 'axis_name': axis_name}
  solved = sinkhorn.between(cost, a, b, **options)
  part, worst = solved.part, solved.error
  if config.objective == 'divergence':
    everyone = parallel.gather_rows(jax.lax.stop_gradient(unit), axis_name)
    own = sinkhorn.within(cosine_cost(unit, everyone), a, **options)
    # A row moves its costs in the columns, too, which are as large again.
    twice = 2 * own.part - jax.lax.stop_gradient(own.part)
    part = part - .5 * twice - .5 * target.self_cost / parallel.axis_size(
        axis_name)
    worst = jnp.maximum(worst, own.error)
  value = part if axis_name is None else jax.lax.psum(
      jax.lax.stop_gradient(part), axis_name)
  return Transport(
      value, part, (worst < config.threshold).astype(jnp.float32),
      solved.iterations.astype(jnp.float32), solved.error)
