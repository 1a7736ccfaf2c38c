"""Optimal transport against NumPy in float64, SciPy and finite differences."""

import dataclasses
import functools
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize

from dlfd_jax import ot

FINE = ot.SinkhornConfig(epsilon=0.1, threshold=1e-6, max_iterations=5000)
ENTROPIC = dataclasses.replace(FINE, objective='entropic')
DEFAULT = ot.SinkhornConfig()
both = pytest.mark.parametrize('config', [FINE, ENTROPIC])


def _cloud(n, d=3, seed=0, shift=0.0):
  rng = np.random.default_rng(seed)
  return (rng.normal(size=(n, d)) + shift).astype(np.float32)


def _cost(x, y):
  x, y = (
      z.astype(np.float64) / np.linalg.norm(
          z.astype(np.float64), axis=1, keepdims=True) for z in (x, y))
  return 1 - x @ y.T


def _plan(cost, a, b, epsilon, iterations=3000):
  """The optimal regularised plan by Sinkhorn's scalings, float64."""
  kernel = np.exp(-cost / epsilon)
  v = np.ones(len(b))
  for _ in range(iterations):
    u = a / (kernel @ v)
    v = b / (kernel.T @ u)
  return u[:, None] * kernel * v


def _sinkhorn(cost, a, b, epsilon):
  """Regularised cost <P, C> + eps KL(P | a b')."""
  plan = _plan(cost, a, b, epsilon)
  prior = a[:, None] * b
  kl = (plan * np.log(plan / prior)).sum()
  return (plan * cost).sum() + epsilon * kl


def _uniform(n):
  return np.full(n, 1 / n)


def _divergence(x, y, a, b, epsilon):
  return (_sinkhorn(_cost(x, y), a, b, epsilon)
          - _sinkhorn(_cost(x, x), a, a, epsilon) / 2
          - _sinkhorn(_cost(y, y), b, b, epsilon) / 2)


@functools.cache
def _solver(config):
  return jax.jit(lambda x, y, a, b: ot.transport(
      x, a, ot.prepare_target(y, b, config), config))


@functools.cache
def _sloper(config):
  """The slope of the value in both clouds."""
  return jax.jit(jax.grad(lambda x, y, a, b: ot.transport(
      x, a, ot.prepare_target(y, b, config), config).value, (0, 1)))


def _weights(x, y, a, b):
  return (np.ones(len(x), np.float32) if a is None else a,
          np.ones(len(y), np.float32) if b is None else b)


def _solve(x, y, config=FINE, a=None, b=None):
  return _solver(config)(x, y, *_weights(x, y, a, b))


def _slope(x, y, config=FINE, a=None):
  return np.asarray(_sloper(config)(x, y, *_weights(x, y, a, None))[0])


@pytest.mark.parametrize('config', [DEFAULT, FINE])
def test_a_cloud_is_at_distance_zero_from_itself(config):
  x = _cloud(8)
  assert abs(_solve(x, x, config).value) < 1e-6


def test_order_and_length_of_the_rows_do_not_matter():
  x, y = _cloud(8), _cloud(8, seed=1)
  assert abs(_solve(x, 3 * x[::-1]).value) < 2e-6
  np.testing.assert_allclose(
      _solve(x[::-1], 3 * y).value, _solve(x, y).value, atol=2e-6)


@pytest.mark.parametrize('epsilon', [0.5, 0.05])
def test_the_divergence_equals_numpys(epsilon):
  x, y = _cloud(7), _cloud(9, seed=1, shift=0.5)
  config = dataclasses.replace(FINE, epsilon=epsilon, threshold=1e-5)
  solved = _solve(x, y, config)
  wanted = _divergence(x, y, _uniform(7), _uniform(9), epsilon)
  np.testing.assert_allclose(solved.value, wanted, atol=2e-6)
  assert solved.converged == 1.0
  assert 0 < solved.marginal_error < 1e-5
  assert 0 < solved.iterations < 5000


def test_the_prepared_self_cost_is_the_regularised_one():
  y = _cloud(8, seed=1)
  target = jax.jit(lambda y, b: ot.prepare_target(y, b, FINE))(
      y, np.full(8, 2, np.float32))
  np.testing.assert_allclose(
      target.self_cost,
      _sinkhorn(_cost(y, y), _uniform(8), _uniform(8), 0.1), atol=2e-6)
  np.testing.assert_allclose(target.weights, _uniform(8), rtol=1e-6)


def test_the_entropic_objective_is_the_first_term_alone():
  x, y = _cloud(8), _cloud(8, seed=1, shift=0.5)
  np.testing.assert_allclose(
      _solve(x, y, ENTROPIC).value,
      _sinkhorn(_cost(x, y), _uniform(8), _uniform(8), 0.1), atol=2e-6)
  assert _solve(x, x, ENTROPIC).value > 0.01  # biased: not 0 on the diagonal


def test_small_epsilon_nears_the_best_assignment():
  # The entropic cost exceeds the assignment's by at most epsilon log n, and
  # so does each cloud's own term, of which the best assignment costs nothing.
  x, y = _cloud(8), _cloud(8, seed=1, shift=0.3)
  cost = _cost(x, y)
  best = cost[optimize.linear_sum_assignment(cost)].mean()
  config = ot.SinkhornConfig(
      epsilon=0.002, threshold=1e-4, max_iterations=20_000)
  assert abs(_solve(x, y, config).value - best) < 0.002 * np.log(8)


@both
def test_the_gradient_agrees_with_finite_differences_in_float64(config):
  # The envelope gradient is exact at the optimum, so it must agree with the
  # slope of the value itself, here of the float64 solver.
  x, y = _cloud(8), _cloud(8, seed=1, shift=0.5)
  slope, a = _slope(x, y, config), _uniform(8)

  def value(x):
    if config is FINE:
      return _divergence(x, y, a, a, 0.1)
    return _sinkhorn(_cost(x, y), a, a, 0.1)

  for row, column in ((0, 0), (2, 1), (4, 2)):
    step = np.zeros((8, 3))
    step[row, column] = 1e-4
    wanted = (value(x + step) - value(x - step)) / 2e-4
    np.testing.assert_allclose(slope[row, column], wanted, atol=2e-5)
  assert np.abs(slope).max() > 0.01


def test_the_gradient_holds_the_optimal_plan_fixed():
  x, y = _cloud(8), _cloud(8, seed=1, shift=0.5)
  plan = _plan(_cost(x, y), _uniform(8), _uniform(8), 0.1)
  np.testing.assert_allclose(plan.sum(1), _uniform(8), atol=1e-9)
  fixed = jax.jit(jax.grad(lambda x: jnp.sum(plan * ot.cosine_cost(
      ot.unit_rows(x), ot.unit_rows(jnp.asarray(y))))))(x)
  np.testing.assert_allclose(_slope(x, y, ENTROPIC), fixed, atol=2e-5)


@both
def test_zero_rows_give_finite_values_and_slopes(config):
  x, y = _cloud(8), _cloud(8, seed=1)
  x[1] = y[2] = 0  # ReLU features may be zero
  for cloud in (x, np.zeros_like(x)):
    assert np.isfinite(_slope(cloud, y, config)).all()
    assert np.isfinite(_solve(cloud, y, config)).all()


@both
def test_rows_of_weight_zero_have_no_effect_and_no_slope(config):
  x, y = _cloud(8), _cloud(8, seed=1, shift=0.5)
  a = np.array([1, 1, 0, 1, 0, 1, 1, 1], np.float32)
  b = np.array([1, 0, 1, 1, 1, 1, 0, 1], np.float32)
  few_x, few_y = x[a > 0], y[b > 0]
  padded = _solve(x, y, config, a, b)
  reduced = _solve(few_x, few_y, config)
  np.testing.assert_allclose(padded.value, reduced.value, atol=2e-6)
  slope = np.asarray(_sloper(config)(x, y, a, b)[0])
  assert not slope[a == 0].any()
  np.testing.assert_allclose(
      slope[a > 0], _slope(few_x, few_y, config), atol=1e-5)


def test_no_gradient_flows_into_the_target():
  x, y = _cloud(8), _cloud(8, seed=1)
  moving, target = _sloper(FINE)(x, y, *_weights(x, y, None, None))
  assert moving.any() and not target.any()


@both
def test_a_problem_that_is_not_solved_says_so(config):
  config = dataclasses.replace(config, epsilon=0.001, max_iterations=20)
  solved = _solve(_cloud(8), _cloud(8, seed=1), config)
  assert solved.converged == 0.0
  assert solved.iterations == 20
  assert solved.marginal_error > 1e-3
  assert np.isfinite(solved.value)


def test_cost_is_one_minus_the_cosine():
  x, y = _cloud(5), _cloud(6, seed=1)
  np.testing.assert_allclose(
      ot.cosine_cost(ot.unit_rows(x), ot.unit_rows(y)), _cost(x, y), atol=1e-6)


_FIRST_INSIDE_JIT = """
import sys
import jax
import jax.numpy as jnp
from dlfd_jax import ot
import dlfd_jax.cli.evaluate
import dlfd_jax.cli.train
import dlfd_jax.cli.unlearn
assert not {'ott', 'sklearn', 'scipy.stats'} & sys.modules.keys()
config = ot.SinkhornConfig(max_iterations=20)
x, y = jax.random.normal(jax.random.key(0), (2, 6, 4))
ones = jnp.ones(6)

def value(x, y):
  return ot.transport(x, ones, ot.prepare_target(y, ones, config), config).value

with jax.checking_leaks():
  inside = jax.jit(jax.value_and_grad(value))(x, y)[0]
assert 'ott' in sys.modules
assert abs(float(inside - value(x, y))) < 1e-6
assert abs(float(inside - jax.jit(value)(x, y))) < 1e-6
"""


@pytest.mark.long
def test_the_solver_is_imported_with_the_first_problem_even_a_traced_one():
  done = subprocess.run(
      [sys.executable, '-c', _FIRST_INSIDE_JIT], capture_output=True,
      text=True, check=False)
  assert done.returncode == 0, done.stderr
