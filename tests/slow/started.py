"""Commands as children of a process that has imported everything already.

To import the package takes seconds of every command's life; a child that is
forked after that has the rest of it: the handlers of signals are set as in a
process of its own, the devices and their threads begin in it, and it ends by
Python's own exit. ``python -m tests.slow.started`` reads one request a line and
answers with the child's pid, then with how it ended.
"""

from __future__ import annotations

import importlib
import json
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

ROOT = pathlib.Path(__file__).parents[2]
MODULES = ('dlfd_jax', 'experiments.paper.table1', 'experiments.paper.sweep')
_MORE = ('dlfd_jax._api', 'dlfd_jax.cli.check', 'dlfd_jax.cli.demo',
         'dlfd_jax.cli.report', 'dlfd_jax.cli.compare', 'dlfd_jax.cli.weights',
         'matplotlib.pyplot', 'sklearn.linear_model', 'torch', 'optuna',
         'safetensors.numpy')


def environment(cache: pathlib.Path, temporary: pathlib.Path
                ) -> dict[str, str]:
  """That of a command on one CPU device."""
  values = {
      **os.environ, 'JAX_PLATFORMS': 'cpu', 'OMP_NUM_THREADS': '1',
      'XDG_CACHE_HOME': str(cache), 'TMPDIR': str(temporary),
      'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0', 'PYTHONPATH': str(ROOT)
  }
  values.pop('JAX_COMPILATION_CACHE_DIR', None)
  return values


class Server:
  """Starts commands, one at a time."""

  def __init__(self, cache: pathlib.Path, temporary: pathlib.Path):
    self._process = subprocess.Popen(
        [sys.executable, '-m', 'tests.slow.started'], cwd=ROOT, text=True,
        env=environment(cache, temporary), stdin=subprocess.PIPE,
        stdout=subprocess.PIPE)

  def start(self, argv: Sequence[str], out: pathlib.Path,
            calls: Mapping[str, Any], cold: str | None = None) -> int:
    """The pid of a command.

    Args:
      argv: module and arguments.
      out: what it prints goes there, ``.out`` and ``.err``.
      calls: ``{'at': k, 'signal': number}`` = after ``k`` calls of Python
        functions it sends itself the signal; ``{'count': file}`` = it writes
        how many there are.
      cold: another cache of compiled programs.
    """
    self._tell({'argv': list(argv), 'out': str(out), 'calls': dict(calls),
                'cold': cold})
    return int(self._hear())

  def ended(self) -> int:
    """How the last one ended, as ``subprocess`` says it."""
    return int(self._hear())

  def close(self) -> None:
    self._process.communicate('')

  def _tell(self, request):
    self._process.stdin.write(json.dumps(request) + '\n')
    self._process.stdin.flush()

  def _hear(self):
    return self._process.stdout.readline()


def _profile(calls: dict[str, Any]) -> None:
  """Counts the main thread's calls of Python functions."""
  seen = 0

  def note(frame: Any, event: str, arg: Any) -> None:
    nonlocal seen
    del frame, arg
    if event == 'call':
      seen += 1
      if seen == calls.get('at'):
        os.kill(os.getpid(), calls['signal'])

  sys.setprofile(note)
  if 'count' in calls:
    import atexit
    atexit.register(
        lambda: pathlib.Path(calls['count']).write_text(str(seen)))


def _become(request: dict[str, Any]) -> None:
  """Runs a command in this process, to Python's end."""
  os.setsid()
  for number, name in ((0, os.devnull), (1, request['out'] + '.out'),
                       (2, request['out'] + '.err')):
    file = os.open(name, os.O_RDONLY if number == 0 else
                   os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, number)
    os.close(file)
  if request['cold']:
    os.environ['XDG_CACHE_HOME'] = request['cold']
  module, *argv = request['argv']
  sys.argv = [module, *argv]
  main = (importlib.import_module('dlfd_jax.cli.commands').main
          if module == 'dlfd_jax' else importlib.import_module(module).main)
  if request['calls']:
    _profile(request['calls'])
  sys.exit(main())


def _serve() -> None:
  for name in (*MODULES[1:], *_MORE):
    try:
      importlib.import_module(name)
    except ImportError:  # an extra
      continue
  while True:
    # Unbuffered: a child must not find what the next one is told.
    line = b''
    while not line.endswith(b'\n'):
      byte = os.read(0, 1)
      if not byte:
        return
      line += byte
    pid = os.fork()
    if not pid:
      _become(json.loads(line))
    os.write(1, f'{pid}\n'.encode())
    _, status = os.waitpid(pid, 0)
    os.write(1, f'{os.waitstatus_to_exitcode(status)}\n'.encode())


if __name__ == '__main__':
  signal.signal(signal.SIGINT, signal.default_int_handler)
  _serve()
