"""What a command keeps for later: freed memory, and compiled programs."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import importlib.metadata
import os
import pathlib
import platform
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

# Parameters of mallopt, from glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8
_NEVER = 2**31 - 1
_ENTRY = 'persistent compilation cache entry'
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


@contextlib.contextmanager
def keep_programs() -> Iterator[pathlib.Path | None]:
  """Keeps compiled programs in the user's cache folder while inside.

  ``$XDG_CACHE_HOME/dlfd_jax`` (by default below ``~/.cache``), one folder for
  each version of jax and kind of CPU, whose machine code is no other's. Small
  ones are kept, too: a command has about sixty, which take seconds together.
  jax's own settings come first: ``JAX_COMPILATION_CACHE_DIR`` names another
  folder, ``JAX_ENABLE_COMPILATION_CACHE=0`` means none, and
  ``JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS`` leaves small ones out.

  A folder that cannot be written, or that others can write to and plant code
  in, is not used; programs in it that cannot be read are removed. Either is
  one line on stderr.

  Yields:
    The folder, or None where jax's settings decide or it is not used.
  """
  import jax  # freed memory is kept without it

  values = jax.config.values
  folder = None
  if (values['jax_compilation_cache_dir'] is None
      and values['jax_enable_compilation_cache']):
    try:
      folder = _own_folder()
    except OSError as error:
      reason = error.strerror or error
      print(f'note: compiled programs are not kept, as {error.filename} cannot '
            f'be used: {reason}; each start compiles anew.', file=sys.stderr)
    else:
      jax.config.update('jax_compilation_cache_dir', str(folder))
      if _LEAST.upper() not in os.environ:
        jax.config.update(_LEAST, 0.0)
  troubles: list[str] = []
  with warnings.catch_warnings():
    warnings.filterwarnings('always', f'Error (reading|writing) {_ENTRY}')
    show = warnings.showwarning

    def note(message: Warning | str, *rest: Any, **more: Any) -> None:
      if _ENTRY in str(message):
        troubles.append(str(message))
      else:
        show(message, *rest, **more)

    warnings.showwarning = note
    try:
      yield folder
    finally:
      if troubles:
        _mend(folder, troubles)


def _own_folder() -> pathlib.Path:
  """The folder of compiled programs, which nobody else can write to.

  Raises:
    OSError: if there is none; with its name and why.
  """
  root = os.environ.get('XDG_CACHE_HOME', '')
  if not os.path.isabs(root):  # relative ones do not count, says the standard
    root = os.path.join(os.path.expanduser('~'), '.cache')
  ours = pathlib.Path(root, 'dlfd_jax')
  folder = ours / f'jax-{importlib.metadata.version("jax")}-{_machine()}'
  folder.parent.mkdir(0o700, parents=True, exist_ok=True)
  folder.mkdir(0o700, exist_ok=True)
  for path in (ours, folder):  # what is read from it is run
    link, place = os.lstat(path), os.stat(path)
    if {link.st_uid, place.st_uid} != {os.geteuid()}:
      raise PermissionError(errno.EPERM, "it is another user's", str(path))
    if place.st_mode & 0o022:
      raise PermissionError(
          errno.EPERM, 'others can write to it (chmod go-w)', str(path))
  try:
    with tempfile.TemporaryFile(dir=folder) as file:
      file.write(bytes(1 << 16))
  except OSError as error:
    raise OSError(error.errno, error.strerror, str(folder)) from error
  return folder


def _mend(folder: pathlib.Path | None, troubles: Sequence[str]) -> None:
  """Removes programs that cannot be read, and says what was wrong."""
  unread = any(trouble.startswith('Error reading') for trouble in troubles)
  if unread and folder:
    for entry in folder.glob('*-cache'):
      with contextlib.suppress(OSError):
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
  done = ('read' if unread else 'written') + (
      ', and the folder was emptied' if unread and folder else '')
  print(f'note: {len(troubles)} compiled programs in '
        f'{folder or "JAX_COMPILATION_CACHE_DIR"} could not be {done}: '
        f'{troubles[0].partition(": ")[2]}.', file=sys.stderr)


def _machine() -> str:
  """A name of what this CPU can execute."""
  able = platform.machine()
  if _CPU_FLAGS.is_file():
    able += next((line for line in _CPU_FLAGS.read_text('utf-8').splitlines()
                  if line.startswith(('flags', 'Features'))), '')
  return hashlib.sha256(able.encode()).hexdigest()[:12]
