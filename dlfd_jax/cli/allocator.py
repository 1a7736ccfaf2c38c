"""Memory of a step is kept for the next one, on CPUs."""

from __future__ import annotations

import ctypes
import platform

# Parameters of mallopt, from glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8
_NEVER = 2**31 - 1


def keep() -> bool:
  """Tells glibc's malloc to keep what is freed instead of returning it.

  XLA asks for the temporary memory of every execution anew. By default malloc
  gives it back to the system after each step, and the next one pays for its
  pages again: docs/decisions.md has the times. The process keeps its peak
  until it ends. Settings of the environment that this would
  override, such as ``MALLOC_TRIM_THRESHOLD_``, hold for other programs only.

  Returns:
    Whether it was done; never outside glibc.
  """
  if platform.libc_ver()[0] != 'glibc':
    return False
  mallopt = ctypes.CDLL(None).mallopt
  return all([mallopt(_ARENA_MAX, 1), mallopt(_MMAP_MAX, 0),
              mallopt(_TRIM_THRESHOLD, _NEVER)])
