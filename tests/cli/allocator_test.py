"""Freed memory stays with the process."""

import platform
import subprocess
import sys

import pytest

from dlfd_jax.cli import allocator

_FAULTS = """
import resource, runpy, sys
import numpy as np
allocator = runpy.run_path(sys.argv[2])  # without all of jax
kept = sys.argv[1] == 'keep' and allocator['keep']()
def step():
  np.ones(64 << 17)  # 64 MiB
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(4):
  step()
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def _faults(how):
  kept, faults = subprocess.run(
      [sys.executable, '-c', _FAULTS, how, allocator.__file__],
      capture_output=True, text=True, check=True,
      env={'NUMPY_MADVISE_HUGEPAGE': '0'}).stdout.split()
  assert kept == str(how == 'keep')
  return int(faults)


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='no glibc here')
def test_a_steps_pages_are_there_for_the_next():
  assert _faults('keep') < _faults('leave') / 20


def test_elsewhere_nothing_is_done(monkeypatch):
  monkeypatch.setattr(platform, 'libc_ver', lambda: ('', ''))
  assert not allocator.keep()
