"""What a command keeps for later: freed memory, and compiled programs."""

from __future__ import annotations

import ctypes
import hashlib
import os
import pathlib
import platform

# Parameters of mallopt, from glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8
_NEVER = 2**31 - 1
_LEAST = 'jax_persistent_cache_min_compile_time_secs'
_CPU_FLAGS = pathlib.Path('/proc/cpuinfo')


def keep_memory() -> bool:
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


def keep_programs() -> pathlib.Path | None:
  """Keeps compiled programs in the user's cache folder.

  ``$XDG_CACHE_HOME/dlfd_jax`` (by default below ``~/.cache``), one folder for
  each version of jax and kind of CPU, whose machine code is no other's. Small
  ones are kept, too: a command has about sixty, which take seconds together.
  jax's own settings come first: ``JAX_COMPILATION_CACHE_DIR`` names another
  folder, ``JAX_ENABLE_COMPILATION_CACHE=0`` means none, and
  ``JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS`` leaves small ones out.

  Returns:
    The folder, or None where jax's settings decide.
  """
  import jax  # freed memory is kept without it

  values = jax.config.values
  if (values['jax_compilation_cache_dir'] is not None
      or not values['jax_enable_compilation_cache']):
    return None
  root = os.environ.get('XDG_CACHE_HOME')
  folder = (pathlib.Path(root) if root else pathlib.Path.home() / '.cache'
            ) / 'dlfd_jax' / f'jax-{jax.__version__}-{_machine()}'
  try:
    folder.mkdir(parents=True, exist_ok=True)
  except OSError:
    return None  # a run without a cache is only slower
  jax.config.update('jax_compilation_cache_dir', str(folder))
  if _LEAST.upper() not in os.environ:
    jax.config.update(_LEAST, 0.0)
  return folder


def _machine() -> str:
  """A name of what this CPU can execute."""
  able = platform.machine()
  if _CPU_FLAGS.is_file():
    able += next((line for line in _CPU_FLAGS.read_text('utf-8').splitlines()
                  if line.startswith(('flags', 'Features'))), '')
  return hashlib.sha256(able.encode()).hexdigest()[:12]
