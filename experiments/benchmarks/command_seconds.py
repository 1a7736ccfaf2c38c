r"""Where the seconds of a deletion's commands go, from start to end.

  python -m experiments.benchmarks.command_seconds \
      --data=../shared/data/fgnet_128.npz --labels=age_class --image_size=64 \
      --workdir=../runs/command_seconds --out=docs/results/command_seconds

Trains for --epochs, forgets --fraction of the people by the default method and
evaluates and reports that, each by its command in a process of its own: first
with an empty cache of programs, then, from evaluating on, again with what the
first left there. The parts are those of the account that every command ends
with.
A network so little trained is no use to anybody: this is about time alone.
"""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import sys
from typing import Any

from absl import flags

from dlfd_jax.cli import command, exit_codes
from dlfd_jax.report import render
from experiments.publish import programs

ROUNDS = {'first': ('train', 'unlearn', 'evaluate', 'report'),
          'again': ('evaluate', 'report')}
_COLUMNS = ('start', 'data', 'trial', 'first steps', 'steps', 'checks',
            'checkpoints', 'outputs', 'figures', 'rest')


def account_of(root: pathlib.Path, name: str, *options: str) -> dict[str, Any]:
  """Runs a command and reads its account.

  Args:
    root: holds the cache of programs.
    name: of the command.
    *options: its flags.

  Returns:
    ``wall``, ``cpu`` and ``compiling`` seconds, ``compiled`` and ``from_cache``
    programs, and ``parts``, seconds by name.

  Raises:
    RuntimeError: if the command does not end well.
  """
  done = subprocess.run(
      [sys.executable, '-m', 'dlfd_jax', name, *options, '--json'], text=True,
      capture_output=True,
      env={**os.environ, 'XDG_CACHE_HOME': str((root / 'cache').resolve())})
  if done.returncode not in exit_codes.DONE:
    raise RuntimeError(
        f'dlfd {name} ended with {done.returncode}: {done.stderr[-2000:]}')
  found = json.loads(done.stdout)['account']
  return {**{name: found[f'{name}_s'] for name in ('wall', 'cpu', 'compiling')},
          **{name: found[name] for name in ('compiled', 'from_cache', 'parts')}}


def _measure(values: flags.FlagValues) -> dict[str, Any]:
  root = pathlib.Path(command.required(values, 'workdir'))
  if root.exists():
    raise FileExistsError(
        f'Expected no {root}: with its cache nothing would be compiled.')
  given = {name: command.value(values, name) for name in (
      'labels', 'image_size', 'width', 'stem', 'epochs')}
  given = {name: value for name, value in given.items() if value is not None}
  original = root / 'original'
  try:
    rows = []
    for turn, names in ROUNDS.items():
      unlearned, judged = root / 'unlearned', root / f'judged_{turn}'
      options = {
          'train': [f'--data={command.required(values, "data")}',
                    *(f'--{name}={value}' for name, value in given.items()),
                    f'--workdir={original}'],
          'unlearn': [f'--original={original}', f'--workdir={unlearned}',
                      '--forget_fraction='
                      f'{command.value(values, "fraction")}'],
          'evaluate': [f'--original={original}', f'--unlearned={unlearned}',
                       f'--workdir={judged}'],
          'report': [f'--evaluation={judged}']}
      for name in names:
        rows.append({'command': name, 'turn': turn,
                     **account_of(root, name, *options[name])})
        print(name, turn, rows[-1]['wall'], 's', flush=True)
  finally:
    shutil.rmtree(root, ignore_errors=True)
  return {**given, 'fraction': command.value(values, 'fraction'), 'rows': rows}


def markdown(result: dict[str, Any]) -> str:
  """A row for each command."""
  rows = result['rows']
  columns = [name for name in _COLUMNS
             if any(name in row['parts'] for row in rows)]
  return '\n'.join([
      '# Where the seconds of a deletion go', '',
      f'A ResNet18 of width {result["width"]} ({result["stem"]} stem), images '
      f'of {result["image_size"]} px, trained for {result["epochs"]} '
      f'epoch(s); {result["fraction"]:.0%} of the people forgotten by the '
      'defaults. "first": with an empty cache of programs; "again": the same '
      'with what the first left. "compiling" is part of the others.', '',
      *render.markdown_lines(
          ['command', '', 'wall s', 'CPU s', *columns, 'compiling', 'anew',
           'cached'],
          [[f'`{row["command"]}`', row['turn'], f'{row["wall"]:.1f}',
            f'{row["cpu"]:.1f}', *(
                f'{row["parts"][name]:.1f}' if name in row['parts'] else ''
                for name in columns), f'{row["compiling"]:.1f}',
            str(row['compiled']), str(row['from_cache'])] for row in rows]),
      '', programs.made_by(result)]) + '\n'


COMMAND = programs.program(
    'benchmarks.command_seconds', __doc__, {
        'data': (None, 'the images'), 'labels': (None, 'its column'),
        'image_size': (64, 'pixels a side', 1),
        'width': (64, 'of the ResNet18', 1), 'stem': ('imagenet', 'its first '
        "layers: 'imagenet' or 'small'"), 'epochs': (1, 'of training', 1),
        'fraction': (.15, 'of the training people that are forgotten'),
        'workdir': (None, 'folder of the runs, removed in the end')},
    _measure, markdown)
main = COMMAND.main

if __name__ == '__main__':
  sys.exit(main())
