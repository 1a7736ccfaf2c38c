"""Devices: placing, splitting, fetching, and the gradient of a gather."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlfd_jax import parallel
from tests import tiny


def _counting_step(state, constants, batch, *, axis_name=None):
  total = parallel.sum_over_devices(
      (constants['scale'] * batch['x']).sum(), axis_name)
  return {'sum': state['sum'] + total}, {'total': total}


def _rows(n=8):
  return {'x': np.arange(n, dtype=np.float32)}


@pytest.mark.parametrize('make', [np.zeros, jnp.zeros])
@pytest.mark.parametrize('count', [1, 4])
def test_donating_a_placed_state_harms_no_array_of_the_caller(make, count):
  where = tiny.devices(count)
  mine = {'sum': make(3, dtype=np.float32)}
  already_there = where.place(mine)
  run = where.compile(_counting_step)
  constants = where.place({'scale': np.float32(2)})
  for source in (mine, already_there):
    state = where.place(source)
    for _ in range(3):
      state, _ = run(state, constants, _rows())
    np.testing.assert_array_equal(source['sum'], np.zeros(3))
    np.testing.assert_array_equal(state['sum'], np.full(3, 3 * 56))


def test_what_was_fetched_outlives_the_donation_of_its_source():
  where = tiny.devices(2)
  run = where.compile(_counting_step)
  constants = where.place({'scale': np.float32(1)})
  state = where.place({'sum': np.zeros(3, np.float32)})
  state, _ = run(state, constants, _rows())
  fetched = parallel.fetch(state)
  for _ in range(3):
    state, _ = run(state, constants, _rows())
  np.testing.assert_array_equal(fetched['sum'], np.full(3, 28))


@pytest.mark.parametrize('count', [1, 2, 8])
def test_a_step_compiles_once_and_gives_the_same_on_any_number_of_devices(
    count, count_compilations):
  where = tiny.devices(count)
  run = where.compile(_counting_step)
  constants = where.place({'scale': np.float32(1)})
  state = where.place({'sum': np.float32(0)})
  with count_compilations() as counts:
    for _ in range(4):
      state, metrics = run(state, constants, _rows())
  assert counts['_fun'] == 1
  assert parallel.fetch_scalars(metrics) == {'total': 28.0}
  assert parallel.fetch_scalars(state['sum']) == 4 * 28
  assert state['sum'].shape == () and state['sum'].is_fully_replicated


@pytest.mark.parametrize('size', [0, 6, 3])
def test_a_batch_that_cannot_be_split_is_refused_with_the_numbers(size):
  where = tiny.devices(4)
  words = f'divisible by the 4 devices, got {size}'
  with pytest.raises(ValueError, match=words):
    where.check_batch_size(size)
  with pytest.raises(ValueError, match=words):
    where.split(_rows(size))


def test_a_batch_is_split_in_order():
  split = tiny.devices(4).split({'x': np.arange(16).reshape(8, 2)})
  assert split['x'].shape == (4, 2, 2)
  np.testing.assert_array_equal(
      np.asarray(split['x']).reshape(8, 2), np.arange(16).reshape(8, 2))


@pytest.mark.parametrize('count', [1, 2, 8])
def test_rows_come_back_in_the_order_of_the_batch(count):
  where = tiny.devices(count)
  run = where.compile_map(
      lambda variables, constants, batch: (
          variables['w'] * batch['x'], batch['x'][:, None] + jnp.arange(3)))
  x = np.random.default_rng(0).permutation(16).astype(np.float32)
  product, table = parallel.fetch_rows(
      run(where.place({'w': np.float32(3)}), {}, {'x': x}))
  np.testing.assert_array_equal(product, 3 * x)
  np.testing.assert_array_equal(table, x[:, None] + np.arange(3))


def test_sharing_copies_nothing_that_is_there_already():
  where = tiny.devices(2)
  placed = where.place({'w': np.ones(3, np.float32)})
  assert where.share(placed)['w'] is placed['w']
  shared = where.share({'w': np.ones(3, np.float32)})
  assert shared['w'].sharding == placed['w'].sharding


@pytest.mark.parametrize('count', [1, 2, 4])
def test_the_gradient_through_a_gather_is_as_many_times_too_large(count):
  # f = sum of cubes of all rows, computed on every device from the gathered
  # rows; its true slope is 3 x^2.
  def slopes(x):
    value = lambda x: (parallel.gather_rows(x, 'batch')**3).sum()
    share = lambda x: value(x) / parallel.axis_size('batch')
    return jax.grad(value)(x), jax.grad(share)(x)

  x = np.arange(8, dtype=np.float32)
  whole, share = jax.pmap(
      slopes, axis_name='batch', devices=jax.local_devices()[:count])(
          x.reshape(count, -1))
  np.testing.assert_allclose(whole.reshape(-1), count * 3 * x**2, rtol=1e-6)
  np.testing.assert_allclose(share.reshape(-1), 3 * x**2, rtol=1e-6)


def test_without_an_axis_nothing_is_gathered_or_summed():
  x = jnp.arange(3)
  assert parallel.gather_rows(x, None) is x
  assert parallel.sum_over_devices(x, None) is x
  assert parallel.axis_size(None) == 1


def test_inner_loops_are_unrolled_on_a_cpu():
  assert parallel.inner_unroll(5) == 5
  assert parallel.inner_unroll(0) == 1


def test_all_local_devices_are_the_default():
  assert parallel.Devices().count == jax.local_device_count()
  assert parallel.Devices().platform == 'cpu'
  with pytest.raises(ValueError, match='at least one device, got none'):
    parallel.Devices([])


@pytest.mark.parametrize('count', [1, 2])
def test_the_operations_of_a_step_are_those_of_its_product(
    count, count_compilations):
  where = tiny.devices(count)

  def step(state, constants, batch, *, axis_name=None):
    return state + parallel.sum_over_devices(
        (batch @ constants).sum(), axis_name), {}

  weights, rows = where.place(jnp.ones((64, 32))), np.ones((16, 64), np.float32)
  run = where.compile(step)
  state = where.place(jnp.zeros(()))
  found = where.step_flops(step, state, weights, rows)
  with count_compilations() as counts:
    run(state, weights, rows)
  assert not counts
  assert found == pytest.approx(2 * 16 * 64 * 32, rel=.05)  # and the sum


def test_a_cpu_counts_no_memory_of_its_own():
  assert tiny.devices(1).peak_bytes() is None
