"""The process of a command: its streams, its settings, what it starts with.

A command, not a call from a notebook or a program of one's own, which keep
theirs. Only the standard library is imported here: it comes before the rest,
whose import takes seconds and which a machine may stop.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import importlib.util
import io
import logging
import os
import pathlib
import re
import resource
import select
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from dlfd_jax.cli import exit_codes
from dlfd_jax.utils import stops

# The reader has gone (`| head`), or the terminal: nobody misses the rest.
_NOBODY = (errno.EPIPE, errno.ECONNRESET, errno.EIO)
_SPELLED = {'…': '~', '×': 'x', '±': '+-'}  # in tables, where width counts
_DEVICE_COUNT = re.compile(r'--xla_force_host_platform_device_count=[1-9]\d*')
_LEAST_SPACE = 2 * 10**9  # bytes
BEGUN = time.perf_counter()  # of the process, but for Python's own start
_PROBE = 'from jaxlib import xla_client; xla_client.CompileOptions()'


def run(main: Callable[[Sequence[str]], int]) -> int:
  """The exit code of ``main``, given this process and its words."""
  _open_streams()  # first: it sees to closed ones, whose numbers others take
  stops.guard()
  _draw_alike()
  code = main(sys.argv[1:])
  return _unwritten() or code


class _Output(io.FileIO):
  """What is printed; what cannot be written is dropped.

  A command's work is files. It goes on if nobody reads what it prints, or the
  disk is full that a log is on.

  Attributes:
    failed: why nothing was written any more.
  """

  failed: OSError | None = None

  def write(self, data: Any) -> int:
    while self.failed is None:
      try:
        written = super().write(data)
      except OSError as error:
        self.failed = error
      else:
        if written is not None:
          return written
        select.select([], [self], [])  # somebody made it non-blocking
    return len(data)


def _open_streams() -> None:
  """Makes stdout and stderr take every text, and never raise."""
  for number in range(3):
    try:
      os.fstat(number)
    except OSError:  # closed: the next file to be opened would be in its place
      os.open(os.devnull, os.O_RDWR)
  codecs.register_error('dlfd_jax', _spelled)
  for number, name in ((1, 'stdout'), (2, 'stderr')):
    stream = getattr(sys, name)
    if stream is not getattr(sys, f'__{name}__'):
      continue  # somebody else catches it
    if stream is None:  # closed from the start; the number may be taken by now
      number = os.open(os.devnull, os.O_WRONLY)
    setattr(sys, name, io.TextIOWrapper(
        io.BufferedWriter(_Output(number, 'w', closefd=False)),
        encoding=getattr(stream, 'encoding', 'utf-8'), errors='dlfd_jax',
        line_buffering=True))


def _spelled(error: UnicodeError) -> tuple[str, int]:
  """Characters that a terminal's encoding lacks, in ASCII."""
  assert isinstance(error, UnicodeEncodeError)
  return ''.join(
      _SPELLED.get(c) or c.encode('ascii', 'backslashreplace').decode()
      for c in error.object[error.start:error.end]), error.end


def _unwritten() -> int | None:
  """Says so where stdout took less than was printed; the code of that."""
  sys.stdout.flush()
  failed = getattr(getattr(
      getattr(sys.stdout, 'buffer', None), 'raw', None), 'failed', None)
  if failed is None or failed.errno in _NOBODY:
    return None
  print(f'error: Expected to print to stdout, got: {failed.strerror}. Files '
        'are written all the same.', file=sys.stderr)
  return exit_codes.USER_ERROR


def _draw_alike() -> None:
  """Lets plots look and work alike whatever matplotlib's user settings are."""
  if os.path.expanduser('~') == '~':  # unset, and the user has no entry
    os.environ['HOME'] = os.sep
  os.environ['MPLBACKEND'] = 'agg'
  logging.getLogger('matplotlib').setLevel(logging.ERROR)
  found = importlib.util.find_spec('matplotlib')
  if found is None or found.origin is None:
    return
  settings = pathlib.Path(found.origin).parent / 'mpl-data'
  os.environ['MATPLOTLIBRC'] = str(settings / 'matplotlibrc')
  if os.path.lexists('matplotlibrc'):  # this one would come first
    with contextlib.chdir(settings):
      importlib.import_module('matplotlib')


def start_jax() -> str | None:
  """Imports jax; what to tell the user if that is impossible here.

  jax reads variables of the environment when it is imported, and XLA ends a
  process for a flag that it does not know.
  """
  if 'jax' in sys.modules:
    return None
  space, _ = resource.getrlimit(resource.RLIMIT_AS)
  if 0 < space < _LEAST_SPACE:  # XLA and BLAS end the process for lack of it
    return (f'Expected at least {_LEAST_SPACE / 1e9:.0f} GB of address space '
            f'(ulimit -v), got {space / 1e9:.1f} GB.')
  try:
    importlib.import_module('jax')
  except ValueError as error:
    return f'Expected a value that jax knows in the environment, got: {error}.'
  except Exception as error:  # of any module that is in the place of another
    sentence = (f'Expected to import jax, got {type(error).__name__}: '
                f'{str(error).rstrip(".")}.')
    hidden = _hidden()
    return f'{sentence} {hidden}' if hidden else sentence
  given = os.environ.get('XLA_FLAGS', '')
  if _DEVICE_COUNT.sub('', given).strip():
    probe = subprocess.run(
        [sys.executable, '-P', '-c', _PROBE], capture_output=True, check=False)
    said = re.search(
        r'^[EF]\d{4}.*?\] (.*)', probe.stderr.decode(errors='replace'), re.M)
    if probe.returncode and said:
      return (f'Expected XLA_FLAGS that XLA knows, got {given!r}: '
              f'{said[1].rstrip(".")}.')
  return None


def _hidden() -> str:
  """Which modules of Python's a file of the user's is taken for."""
  own = os.path.dirname(os.__file__)
  hiding = [
      module.__file__ for name, module in sorted(sys.modules.items())
      if name in sys.stdlib_module_names and getattr(module, '__file__', None)
      and not str(module.__file__).startswith(own)]
  return (f"Python takes {', '.join(map(str, hiding))} for its own: rename it, "
          'or correct PYTHONPATH.' if hiding else '')


def has_folder() -> bool:
  """Whether the folder is there in which the command was started."""
  try:
    os.getcwd()
  except FileNotFoundError:
    return False
  return True


def no_device() -> str | None:
  """Why jax has no device to compute on, if it has none."""
  import jax

  try:
    jax.devices()
  except (RuntimeError, AssertionError) as error:  # jax asserts for plugins
    asked = {name: os.environ[name] for name in (
        'JAX_PLATFORMS', 'JAX_NUM_CPU_DEVICES', 'XLA_FLAGS')
             if name in os.environ}
    settings = ' '.join(f'{k}={v}' for k, v in asked.items()) or 'no settings'
    reason = str(error).partition(' (set JAX_PLATFORMS')[0].rstrip('.')
    return (f'Expected devices that jax can use here, got {settings}: '
            f'{reason or "there are none"}.')
  return None
