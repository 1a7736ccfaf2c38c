"""The convolution benchmark times both ways and restores ours."""

import pytest

from dlfd_jax.models import conv
from experiments.benchmarks import conv as benchmark_conv


@pytest.mark.long
def test_a_network_is_timed_both_ways():
  ours = conv.convolve
  case = benchmark_conv.measure('resnet18', 1, 'small', 16, 4, 1)
  assert conv.convolve is ours
  assert set(case['median_s']) == {'xla', 'ours'}
  assert case['ratio'] == case['median_s']['xla'] / case['median_s']['ours']
  text = benchmark_conv.markdown({
      'device': 'cpu', 'repeats': 1, 'cases': [case], 'command': 'x',
      'versions': {'jax': '1'}})
  assert f'| {case["ratio"]:.1f} |' in text
