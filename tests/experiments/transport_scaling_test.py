"""Transport on several devices is measured and written as it was found."""

import jax.numpy as jnp
import numpy as np
import pytest

from dlfd_jax import ot, parallel
from experiments.benchmarks import transport_scaling


def test_memory_of_a_program_has_its_temporary_arrays():
  devices = parallel.Devices()
  rows = np.ones((8 * len(devices.devices), 4), np.float32)
  def outer(_, __, x):
    product = jnp.exp(x @ x.T)
    return jnp.sort(product @ product, axis=1)[:, 0]

  few = devices.temporary_bytes(outer, {}, {}, rows)
  many = devices.temporary_bytes(outer, {}, {}, np.repeat(rows, 16, 0))
  assert many - few >= (128**2 - 8**2) * 4


def test_both_ways_agree_and_sharding_takes_less_memory():
  row = transport_scaling.one_batch({
      'batch': 128, 'width': 8, 'repeats': 1, 'ways': transport_scaling.WAYS})
  assert row['value_difference'] < 1e-5 and row['gradient_difference'] < 1e-4
  assert row[ot.SHARDED]['bytes'] < row[ot.GLOBAL]['bytes']
  assert row[ot.SHARDED]['iterations'] == row[ot.GLOBAL]['iterations']
  page = transport_scaling.markdown({
      'devices': 8, 'width': 8, 'rows': [row, {
          'batch': 256, ot.SHARDED: row[ot.SHARDED]}], 'cap_s': 90.0,
      'left_out': ['global at 256'], 'sinkhorn': {'epsilon': 0.1},
      'command': 'c', 'device': 'cpu', 'versions': {'jax': '1'}})
  line, = (line for line in page.splitlines() if line.startswith('| 128'))
  assert f'{row[ot.GLOBAL]["bytes"] / 1e6:.1f}' in line
  line, = (line for line in page.splitlines() if line.startswith('| 256'))
  assert line.count('| - ') == 4
  assert 'over 90 s: global at 256' in page


def test_features_are_alike_for_a_seed_and_apart_by_the_shift():
  same = [transport_scaling.features(32, 8, 1, .0) for _ in range(2)]
  np.testing.assert_array_equal(*same)
  assert (same[0] >= 0).all()
  other = transport_scaling.features(32, 8, 1, 2.)
  assert other.mean() != pytest.approx(same[0].mean(), rel=.1)
