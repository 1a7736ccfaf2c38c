"""How much of the package a command enters: ``python -m tests.entered``.

Runs ``unlearn``, ``evaluate`` and ``report`` on a few drawn faces and counts
the files and functions of ``dlfd_jax`` that they enter. All modules are
imported before, so nothing that runs at import counts, and neither do lambdas
and comprehensions. ``python -m tests.entered unlearn`` lists the functions.
"""

from __future__ import annotations

import collections
import contextlib
import importlib
import io
import pathlib
import pkgutil
import sys
import tempfile
import threading
from collections.abc import Callable
from types import CodeType

import dlfd_jax
from dlfd_jax.cli import evaluate, report, train, unlearn
from tests.cli import runs_of

PACKAGE = str(pathlib.Path(dlfd_jax.__file__).parent)
_FACES = ['--preset=demo', '--people=24', '--images_per_person=4',
          '--image_size=24']


def entered(run: Callable[[], object]) -> set[tuple[str, str]]:
  """Functions of the package that ``run`` calls: file and qualified name."""
  codes: set[CodeType] = set()

  def note(frame, event, argument):
    del argument
    if event == 'call':
      codes.add(frame.f_code)

  threading.setprofile(note)
  sys.setprofile(note)
  try:
    run()
  finally:
    sys.setprofile(None)
    threading.setprofile(None)
  return {(code.co_filename.removeprefix(PACKAGE)[1:], code.co_qualname)
          for code in codes if code.co_filename.startswith(PACKAGE)
          and not code.co_name.startswith('<')}


def of_commands(folder: pathlib.Path) -> dict[str, set[tuple[str, str]]]:
  """What each command enters; its runs go to ``folder``."""
  for module in pkgutil.walk_packages(dlfd_jax.__path__, 'dlfd_jax.'):
    if not module.name.endswith('__main__'):
      importlib.import_module(module.name)
  original, unlearned = folder / 'original', folder / 'unlearned'
  retrained, evaluation = folder / 'retrained', folder / 'evaluation'
  evaluated = [f'--original={original}', f'--unlearned={unlearned}',
               f'--retrained={retrained}', '--bootstrap=20']

  def run(command, *flags):
    assert command.main(flags) == 0

  run(train, *_FACES, *runs_of.NETWORK, *runs_of.RECIPE, '--on=all',
      f'--workdir={original}')
  functions = {'unlearn': entered(lambda: run(
      unlearn, f'--original={original}', '--forget_people=3', '--epochs=1',
      '--batch_size=16', f'--workdir={unlearned}'))}
  run(train, '--on=retain', f'--original={original}',
      f'--splits={unlearned / "splits.npz"}', f'--workdir={retrained}')
  functions['evaluate'] = entered(
      lambda: run(evaluate, *evaluated, f'--workdir={evaluation}'))
  functions['report'] = entered(
      lambda: run(report, f'--evaluation={evaluation}'))
  functions['evaluate --tier=1'] = entered(lambda: run(
      evaluate, *evaluated, '--tier=1', '--recovery_steps=2',
      f'--workdir={folder / "tier1"}'))
  return functions


def main() -> None:
  """Prints the table, or the functions of the command that is named."""
  with (tempfile.TemporaryDirectory() as folder,
        contextlib.redirect_stdout(io.StringIO())):
    functions = of_commands(pathlib.Path(folder))
  print(f'{"command":18}{"files":>6}{"functions":>11}')
  for command, pairs in functions.items():
    by_file = collections.defaultdict(list)
    for file, name in sorted(pairs):
      by_file[file].append(name)
    print(f'{command:18}{len(by_file):>6}{len(pairs):>11}')
    if command in sys.argv[1:]:
      for file, names in by_file.items():
        print(f'  {file}: {", ".join(names)}')


if __name__ == '__main__':
  main()
