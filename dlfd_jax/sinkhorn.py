"""Sinkhorn's iterations on a cost matrix whose rows are spread over devices.

A device holds its rows of the costs and never the others; what crosses devices
in an iteration is one vector of potentials or of sums. Updates, starts, order
and stopping are those of ott-jax's solver in the log domain, so that value and
number of iterations are its own. Without an axis the rows are all there.

Every decision to stop is made on numbers that are the same on all devices, or
they would wait for each other for ever.

Reference: Cuturi (2013), arXiv:1306.0895; for the symmetric problem Feydy et
al. (2019), arXiv:1810.08278, eq. 25.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dlfd_jax import parallel

_BLOCK = 10  # iterations between two looks at the marginals


class Solved(NamedTuple):
  """A problem after its iterations.

  ``part`` is what this device adds to the regularised cost. By the costs on
  this device its gradient is the optimal plan, which is held fixed. ``error``
  (L1 of the marginals) and ``iterations`` are the same on all devices.
  """

  part: jax.Array
  error: jax.Array
  iterations: jax.Array


def between(cost: jax.Array, a: jax.Array, b: jax.Array, *, epsilon: float,
            threshold: float, max_iterations: int,
            axis_name: str | None) -> Solved:
  """Carries one cloud onto another.

  Args:
    cost: ``[n, m]``, this device's rows.
    a: ``[n]``, their weights; over all devices they sum to 1.
    b: ``[m]``, weights of the columns, all of them.
    epsilon: entropic regularisation, in units of the cost.
    threshold: of the error, in blocks of ten iterations.
    max_iterations: at most this many, rounded up to whole blocks.
    axis_name: device axis, or None.
  """
  fixed, log_a, log_b = jax.lax.stop_gradient(
      (cost, epsilon * jnp.log(a), epsilon * jnp.log(b)))

  def update(state: Any) -> Any:
    f, g = state
    g = log_b - _finite(epsilon * _log_sum_of_rows(
        _exponent(f, g, fixed, epsilon), axis_name) - _finite(g))
    f = log_a - _finite(epsilon * jax.nn.logsumexp(
        _exponent(f, g, fixed, epsilon), axis=1) - _finite(f))
    return f, g

  def error(state: Any) -> jax.Array:
    f, g = state
    plan = jnp.exp(_exponent(f, g, fixed, epsilon))
    return jnp.abs(
        parallel.sum_over_devices(plan.sum(0), axis_name) - b).sum()

  (f, g), last, iterations = _iterate(
      update, error, (_start(a), _start(b)), threshold, max_iterations,
      axis_name)
  mass = parallel.sum_over_devices(a.sum(), axis_name) * b.sum()
  part = _dual(a, f - log_a) + (
      _dual(b, g - log_b) + epsilon * mass) / parallel.axis_size(
          axis_name) - epsilon * jnp.exp(_exponent(f, g, cost, epsilon)).sum()
  return Solved(part, last, iterations)


def within(cost: jax.Array, a: jax.Array, *, epsilon: float, threshold: float,
           max_iterations: int, axis_name: str | None) -> Solved:
  """Carries a cloud onto itself: one potential, each step half of the way.

  Args:
    cost: ``[n, all]``, this device's rows of a symmetric matrix.
    a: ``[n]``, their weights.
    epsilon: see :func:`between`, as are the rest.
    threshold: of the error of both marginals.
    max_iterations: at most this many.
    axis_name: device axis, or None.
  """
  fixed, log_a = jax.lax.stop_gradient((cost, epsilon * jnp.log(a)))

  def exponent(f: jax.Array, cost: jax.Array) -> jax.Array:
    return _exponent(f, parallel.gather_rows(f, axis_name), cost, epsilon)

  def update(f: jax.Array) -> jax.Array:
    new = log_a - _finite(epsilon * jax.nn.logsumexp(
        exponent(f, fixed), axis=1) - _finite(f))
    return .5 * _finite(f) + .5 * new

  def error(f: jax.Array) -> jax.Array:
    plan = jnp.exp(exponent(f, fixed))
    return 2 * parallel.sum_over_devices(
        jnp.abs(plan.sum(1) - a).sum(), axis_name)

  f, last, iterations = _iterate(
      update, error, _start(a), threshold, max_iterations, axis_name)
  mass = jnp.square(parallel.sum_over_devices(a.sum(), axis_name))
  part = 2 * _dual(a, f - log_a) + epsilon * mass / parallel.axis_size(
      axis_name) - epsilon * jnp.exp(exponent(f, cost)).sum()
  return Solved(part, last, iterations)


def _finite(x: jax.Array) -> jax.Array:
  """Potentials of weight 0 are -inf; sums leave them out."""
  return jnp.where(jnp.isfinite(x), x, 0.0)


def _start(weights: jax.Array) -> jax.Array:
  return jnp.where(weights > 0, 0.0, -jnp.inf)


def _dual(weights: jax.Array, potential: jax.Array) -> jax.Array:
  return jnp.where(weights > 0, weights * potential, 0.0).sum()


def _exponent(f: jax.Array, g: jax.Array, cost: jax.Array,
              epsilon: float) -> jax.Array:
  """Logarithm of the plan: at most about 0, as no mass is above 1."""
  return (f[:, None] + g[None] - cost) / epsilon


def _log_sum_of_rows(x: jax.Array, axis_name: str | None) -> jax.Array:
  """Log-sum-exp of each column ``[m]`` over the rows of all devices."""
  if axis_name is None:
    return jax.nn.logsumexp(x, axis=0)
  top = _finite(jax.lax.pmax(x.max(0), axis_name))
  return top + jnp.log(jax.lax.psum(jnp.exp(x - top).sum(0), axis_name))


def _iterate(update: Callable[[Any], Any], error: Callable[[Any], jax.Array],
             state: Any, threshold: float, max_iterations: int,
             axis_name: str | None) -> tuple[Any, jax.Array, jax.Array]:
  """Blocks of updates until the error is below the threshold, or no number."""
  def block(carry: Any) -> Any:
    state, _, done, _ = carry
    state = jax.lax.fori_loop(0, _BLOCK, lambda _, now: update(now), state)
    last, done = error(state), done + _BLOCK
    more = (done < max_iterations) & (last >= threshold) & jnp.isfinite(last)
    # All stop together, should their errors differ in the last bit. (A pmax of
    # them would lose NaN on a CPU.)
    return state, last, done, parallel.sum_over_devices(
        more.astype(jnp.int32), axis_name)

  state, last, done, _ = jax.lax.while_loop(
      lambda carry: carry[3] > 0, block,
      (state, jnp.float32(jnp.inf), jnp.int32(0), jnp.int32(1)))
  return state, last, done
