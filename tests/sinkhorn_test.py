"""Transport with its rows on their devices against ott-jax's on one device."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from dlfd_jax import ot, parallel
from tests import grids, ot_test

DEFAULT = ot.SinkhornConfig()
ENTROPIC = ot.SinkhornConfig(objective='entropic')
ROWS, COLUMNS, WIDTH = 32, 24, 6  # of which 8 devices hold 4 and 3 rows


@functools.cache
def _solver(config, count):
  devices = parallel.Devices(jax.local_devices()[:count])

  def solve(_, __, batch):
    x, y, a, b, penalty = batch
    target = ot.prepare_target(y, b, config, parallel.AXIS)

    def part(x):
      solved = ot.transport(x, a, target, config, penalty, parallel.AXIS)
      return solved.part, solved

    slope, solved = jax.grad(part, has_aux=True)(x)
    return slope, jax.tree.map(lambda scalar: scalar[None], solved)

  return devices.compile_map(solve)


def _solve(batch, config, count):
  """The slope by ``x``, and each figure as every device has it."""
  return parallel.fetch_rows(_solver(config, count)({}, {}, batch))


def _shared(batch, config, count):
  return _solve(
      batch, dataclasses.replace(config, transport='sharded'), count)


def _batch(case='full'):
  rng = np.random.default_rng(0)
  x, y = ot_test._cloud(ROWS, WIDTH), ot_test._cloud(COLUMNS, WIDTH, 1, .5)
  a, b = np.ones(ROWS, np.float32), np.ones(COLUMNS, np.float32)
  if case != 'full':
    a[0], b[1] = 2.5, .3  # rows need not weigh the same
    a[3] = b[2] = 0
    x[5] = y[0] = 0  # ReLU features may be zero
  if case == 'empty':  # of 8 shards the first one of forget, the last of retain
    a[18:] = 0
    b[:3] = b[15:] = 0
  return x, y, a, b, rng.uniform(size=(ROWS, COLUMNS)).astype(np.float32) / 4


CASES = [(DEFAULT, 1), (DEFAULT, 8), *grids.some(
    [*((ENTROPIC, count) for count in (1, 2, 4, 8)), (DEFAULT, 2),
     (DEFAULT, 4)], 3)]


@pytest.mark.parametrize('config, count', CASES)
@pytest.mark.parametrize('case', ['full', 'padded', 'empty'])
def test_value_and_slope_are_those_of_ott(config, count, case):
  batch = _batch(case)
  slope, wanted = _solve(batch, config, 1)
  for transport in ('sharded', 'global'):
    own, got = _solve(
        batch, dataclasses.replace(config, transport=transport), count)
    np.testing.assert_allclose(got.value, wanted.value.repeat(count), rtol=1e-5)
    np.testing.assert_allclose(got.part.sum(), wanted.value[0], rtol=1e-5)
    np.testing.assert_allclose(
        own, slope, rtol=0, atol=1e-5 * np.abs(slope).max())
    assert not own[batch[2] == 0].any()
    assert (got.iterations == wanted.iterations).all()
    assert (got.converged == wanted.converged).all() and got.converged.all()
    np.testing.assert_allclose(
        got.marginal_error, wanted.marginal_error.repeat(count), atol=1e-6)


@pytest.mark.parametrize('count', [
    8, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 2, 4))])
@pytest.mark.parametrize('most', [25, 200])
def test_a_tiny_epsilon_keeps_every_row_in_the_plan(count, most):
  """Where exp(-cost / epsilon) is 0 in float32 for all but a few pairs.

  A plan is exp of a difference over epsilon, known to 1e-7 / 1e-4.
  """
  config = ot.SinkhornConfig(epsilon=1e-4, max_iterations=most)
  slope, wanted = _solve(_batch('empty'), config, 1)
  own, got = _shared(_batch('empty'), config, count)
  np.testing.assert_allclose(got.value, wanted.value.repeat(count), rtol=1e-5)
  np.testing.assert_allclose(
      own, slope, rtol=0, atol=2e-3 * np.abs(slope).max())
  # 25 are 3 blocks of ten, by ott's rule as by ours.
  assert (got.iterations == wanted.iterations).all()
  assert got.iterations[0] == {25: 30, 200: 200}[most]
  assert not got.converged.any()


def test_costs_that_are_no_numbers_end_the_iterations_on_every_device():
  x, *others = _batch()
  x[0] = np.nan  # on one device
  _, got = _shared((x, *others), DEFAULT, 8)
  assert (got.iterations == 10).all() and not got.converged.any()


def test_auto_shares_only_what_spares_much():
  auto = ot.SinkhornConfig(transport='auto')
  assert not ot.is_sharded(auto, 8192, 8192, 1)
  assert ot.is_sharded(auto, 1100, 1100, 8)
  assert not ot.is_sharded(auto, 1000, 1000, 8)
  assert ot.is_sharded(auto, 1500, 1500, 2)
  assert not ot.is_sharded(auto, 1400, 1400, 2)
  for n in (1, 8192):
    assert ot.is_sharded(ot.SinkhornConfig(transport='sharded'), n, n, 1)
    assert not ot.is_sharded(DEFAULT, n, n, 8)
