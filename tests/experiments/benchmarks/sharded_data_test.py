"""Memory of processes, and the page."""

import subprocess
import sys

import pytest

from experiments.benchmarks import sharded_data


def test_memory_is_that_of_a_process_and_of_those_below():
  child = 'a = bytearray(b"1" * 90_000_000); print(1, flush=True); input()'
  with subprocess.Popen([sys.executable, '-c', (
      'import subprocess, sys; a = bytearray(b"1" * 60_000_000); '
      f'subprocess.run([sys.executable, "-c", {child!r}])')],
      stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
    assert process.stdout.readline() == b'1\n'
    assert 150e6 < sharded_data.resident(process.pid) < 250e6
    process.communicate(b'\n')
  assert sharded_data.resident(process.pid) == 0


def test_a_command_that_fails_is_named_with_what_it_said():
  with pytest.raises(ValueError, match='to end well, got 3: broken'):
    sharded_data.measured([sys.executable, '-c', (
        'print("broken"); raise SystemExit(3)')])
  found = sharded_data.measured([sys.executable, '-c', 'pass'])
  assert set(found) == {'seconds', 'core_s', 'peak_bytes'}


def _size(images, seconds):
  return {'images': images, 'commands': {
      name: {'seconds': 9., 'core_s': seconds, 'peak_bytes': 5 * images}
      for name in sharded_data.ABOUT}}


def test_the_page_tells_what_a_further_image_costs():
  result = {
      'sizes': [_size(1000, 3.), _size(3000, 7.)], 'workers': 1, 'cores': 2,
      'reading': {'0': 10., 'memory': 1234.}, 'command': 'c', 'device': 'cpu',
      'versions': {'jax': '0'}}
  page = sharded_data.markdown(result)
  assert '| 1,000 to 3,000 | 2.00, 5 |' in page
  assert 'which was not run' in page and '| 1,234 |' in page
  result['sizes'][1]['images'] = 10**6
  assert 'not run' not in sharded_data.markdown(result)
