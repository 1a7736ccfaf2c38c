"""Profiles before and after: what is patched, and what a trace gives."""

import gzip
import json

import pytest

from dlfd_jax import parallel, presets
from dlfd_jax.models import conv
from experiments.benchmarks import profiles


def test_operations_are_summed_by_name_without_their_loops(tmp_path):
  event = lambda name, dur, **args: {'name': name, 'dur': dur, 'args': args}
  with gzip.open(tmp_path / 'vm.trace.json.gz', 'wt') as file:
    json.dump({'traceEvents': [
        event('fusion.1', 2e6, hlo_op='fusion.1'),
        event('fusion.22', 1e6, hlo_op='fusion.22'),
        event('while.3', 9e6, hlo_op='while.3'),
        event('python', 9e6), {'name': 'no args', 'dur': 1}]}, file)
  assert profiles.operations_in(tmp_path) == [
      {'operation': 'fusion', 'seconds': 3.0, 'calls': 2}]


def test_before_is_without_the_gain_and_after_with_it():
  ours, unroll = conv.convolve, parallel.inner_unroll
  with profiles.BEFORE['convolution'](), profiles.BEFORE['unrolling']():
    assert conv.convolve is not ours
    assert parallel.inner_unroll(5) == 1
  assert conv.convolve is ours and parallel.inner_unroll is unroll
  assert parallel.inner_unroll(5) == 5


@pytest.mark.long
@pytest.mark.parametrize('gain', profiles.NETWORKS)
def test_a_gain_is_measured(gain):
  found = profiles.measure(
      gain, presets.Network(width=4, stem='small'), 16, 4, 1)
  for name in ('before', 'after'):
    assert found[name]['median_s'] > 0 and found[name]['operations']
  text = profiles.markdown({
      'device': 'cpu', 'machine': 'm', 'repeats': 1, 'command': 'c',
      'versions': {'jax': '1'}, 'gains': {gain: found}})
  assert f'{found["ratio"]:.1f} times' in text
