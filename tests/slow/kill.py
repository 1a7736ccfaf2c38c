r"""Kills runs at random moments and starts them again: is anything lost?

  python -m tests.slow.kill --n=20 --out=docs/results/kills

Trains and unlearns on drawn faces in processes of their own, once left alone
and once killed ``--n`` times. The moments take turns: the first compilation
(nothing compiled is kept), files of a checkpoint appear, a random line of the
log, the start (imports, data, the folder), the last line (the model and the
result are written). SIGKILL or SIGTERM is drawn for each. The same command is
then started again until it ends. Parameters have to be bit-identical, and
``metrics.jsonl`` and the result equal line by line but for times.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

from absl import flags

from dlfd_jax import checkpoint
from dlfd_jax.cli import exit_codes
from dlfd_jax.report import render
from dlfd_jax.utils import runs
from experiments.publish import programs

ROOT = pathlib.Path(__file__).parents[2]
_DATA = ['--preset=demo', '--people=40', '--images_per_person=4',
         '--image_size=16']
_RESNET18 = ('--width=4', '--stem=small')
_RUN = ['--batch_size=16', '--checkpoint_seconds=0']
_COMPILING, _SAVING, _ANY, _STARTING, _ENDING = MOMENTS = (
    'first compilation', 'saving', 'any line', 'the start', 'the end')
_KILLED = (-signal.SIGKILL, -signal.SIGTERM, exit_codes.INTERRUPTED)
_PATIENCE_S = 300
# Of a process, not of the run.
_OWN = ('time', 'peak_bytes', 'check_share', 'finished')


@dataclasses.dataclass(frozen=True)
class Kill:
  """One kill."""

  command: str  # `train` or `unlearn`
  signal: str  # name of the signal
  moment: str  # what it aimed at
  at_s: float  # seconds after the start
  steps: int  # that were finished by then, as far as the log tells
  code: int  # how the process ended


def start(argv: Sequence[str], cache: pathlib.Path) -> subprocess.Popen:
  """Starts a command of the package on one CPU device."""
  environment = {
      **os.environ, 'JAX_PLATFORMS': 'cpu', 'OMP_NUM_THREADS': '1',
      'XDG_CACHE_HOME': str(cache),
      'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0'}
  environment.pop('JAX_COMPILATION_CACHE_DIR', None)
  return subprocess.Popen(
      [sys.executable, '-m', 'dlfd_jax', *argv], cwd=ROOT, env=environment,
      stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def finish(argv: Sequence[str], cache: pathlib.Path) -> float:
  """Runs a command to its end; returns its seconds.

  Raises:
    RuntimeError: if it does not end well.
  """
  began = time.monotonic()
  with start(argv, cache) as process:
    _, said = process.communicate(timeout=_PATIENCE_S)
  if process.returncode:
    raise RuntimeError(
        f'{argv} ended with {process.returncode}: {said[-2000:]}')
  return time.monotonic() - began


def kill(argv: Sequence[str], workdir: pathlib.Path, cache: pathlib.Path,
         which: signal.Signals, moment: str, lines: int, wait_s: float
         ) -> Kill | None:
  """Starts a command and kills it.

  Args:
    argv: of the command.
    workdir: of the run.
    cache: of compiled programs.
    which: signal.
    moment: see :class:`Kill`.
    lines: of the log, after which it is due at any moment.
    wait_s: goes by between the event that is waited for and the signal.

  Returns:
    None if the process ended by itself before.

  Raises:
    RuntimeError: if it failed by itself.
  """
  began = time.monotonic()
  before = _temporary(workdir)
  due = {_SAVING: lambda: _temporary(workdir) - before,
         _COMPILING: (workdir / runs.CONFIG).is_file, _STARTING: lambda: True,
         _ANY: lambda: len(_events(workdir)) > lines,
         _ENDING: lambda: len(_events(workdir)) > lines}[moment]
  with start(argv, cache) as process:
    while process.poll() is None and not due():
      time.sleep(.005)
    time.sleep(wait_s)
    seconds = time.monotonic() - began
    process.send_signal(which)
    _, said = process.communicate(timeout=_PATIENCE_S)
  if process.returncode == exit_codes.OK:
    return None
  if process.returncode not in _KILLED:
    raise RuntimeError(
        f'{argv} ended with {process.returncode}: {said[-2000:]}')
  return Kill(argv[0], which.name, moment, round(seconds, 2), max(
      (e.get('step', 0) for e in _events(workdir)), default=0),
              process.returncode)


def _events(workdir):
  log = workdir / runs.METRICS
  return runs.read_events(log) if log.is_file() else []


def _temporary(folder: pathlib.Path) -> set[str]:
  """Unfinished files and folders of checkpoints."""
  found = set()
  for path, folders, _ in os.walk(folder):
    found |= {os.path.join(path, name) for name in folders
              if 'orbax-checkpoint-tmp' in name}
  return found


def without_times(value: Any) -> Any:
  """An event or a result without what may differ from run to run."""
  if isinstance(value, dict):
    return {name: without_times(part) for name, part in value.items()
            if name not in _OWN and not name.endswith('_s')}
  if isinstance(value, list):
    return [without_times(part) for part in value]
  return value


def differences(one: pathlib.Path, other: pathlib.Path) -> list[str]:
  """What two finished runs differ in, times aside; empty if in nothing."""
  found = []
  for name in ('model', 'last'):
    if not (one / runs.CHECKPOINTS / name).is_dir():
      continue
    prints = [checkpoint.fingerprint(checkpoint.load_model(
        run / runs.CHECKPOINTS / name).variables) for run in (one, other)]
    if prints[0] != prints[1]:
      found.append(f'parameters of {name}')
  logs = [[without_times(event) for event in map(
      json.loads, (run / runs.METRICS).read_text('utf-8').splitlines())]
          for run in (one, other)]
  if logs[0] != logs[1]:
    found.append(f'metrics.jsonl ({len(logs[0])} and {len(logs[1])} lines)')
  results = []
  for run in (one, other):
    result = without_times(runs.read_json(run / runs.RESULT))
    result['command'] = result['command'].replace(str(run), 'RUN')
    results.append(result)
  if results[0] != results[1]:
    found.append('result.json: ' + ', '.join(
        name for name in results[0] if results[0][name] != results[1][name]))
  return found


def campaign(name: str, argv: Sequence[str], folder: pathlib.Path, n: int,
             draw: random.Random) -> dict[str, Any]:
  """Leaves a command alone once, kills it ``n`` times, compares.

  Returns:
    The kills, the runs that they made up, and what differed.
  """
  warm = folder / f'{name}_cache'
  alone = folder / f'{name}_alone'
  alone_s = finish([name, *argv, f'--workdir={alone}'], warm)
  most = len(_events(alone))
  kills: list[Kill] = []
  ended = 0
  differing: list[str] = []
  while len(kills) < n:
    workdir = folder / f'{name}_{ended}'
    for _ in range(min(draw.randint(1, 4), n - len(kills))):
      moment, there = MOMENTS[len(kills) % len(MOMENTS)], len(_events(workdir))
      one = kill(
          [name, *argv, f'--workdir={workdir}'], workdir,
          folder / f'{name}_cold_{len(kills)}' if moment == _COMPILING else
          warm, draw.choice((signal.SIGKILL, signal.SIGTERM)), moment,
          most - 1 if moment == _ENDING else
          draw.randint(min(there, most - 1), most - 1), draw.uniform(
              0, {_COMPILING: 2, _STARTING: 5, _ENDING: .5}.get(moment, .05)))
      if one is None:
        break
      kills.append(one)
    finish([name, *argv, f'--workdir={workdir}'], warm)
    differing += differences(alone, workdir)
    ended += 1
  return {
      'command': name, 'kills': [dataclasses.asdict(k) for k in kills],
      'runs': ended, 'differences': differing, 'alone_s': round(alone_s, 1)}


def everything(folder: pathlib.Path, n: int, seed: int, epochs: int,
               network: Sequence[str] = _RESNET18) -> list[dict[str, Any]]:
  """The campaigns on ``train`` and ``unlearn`` below ``folder``."""
  draw = random.Random(seed)
  train = [*_DATA, *network, *_RUN, '--on=all', f'--epochs={epochs}']
  found = [campaign('train', train, folder, n, draw)]
  unlearn = [f'--original={folder / "train_alone"}', '--forget_people=4',
             *_RUN, f'--epochs={epochs}', '--perturb_steps=1']
  return [*found, campaign('unlearn', unlearn, folder, n, draw)]


def _measure(values: flags.FlagValues) -> dict[str, Any]:
  with tempfile.TemporaryDirectory() as folder:
    campaigns = everything(pathlib.Path(folder), values['n'].value,
                           values['seed'].value, values['epochs'].value)
  return {'seed': values['seed'].value, 'campaigns': campaigns}


def _verdict(result: dict[str, Any]) -> None:
  lost = [what for one in result['campaigns'] for what in one['differences']]
  if lost:
    raise ValueError(f'Expected nothing to be lost, but {"; ".join(lost)}.')


def markdown(result: dict[str, Any]) -> str:
  """A row for each command, kind of signal and moment."""
  rows = []
  for found in result['campaigns']:
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for one in found['kills']:
      groups.setdefault((one['signal'], one['moment']), []).append(one)
    for (name, moment), of in sorted(groups.items()):
      steps = [kill['steps'] for kill in of]
      rows.append([found['command'], name, moment, str(len(of)),
                   f'{min(steps)} to {max(steps)}'])
  lines = ['# Kills survived', '', *render.markdown_lines(
      ['command', 'signal', 'moment', 'kills', 'steps done'], rows, 'lllrl')]
  lines += ['', *(
      f'- {found["command"]}: {len(found["kills"])} kills in {found["runs"]} '
      'runs, each then run to its end and compared with one left alone: '
      + (f'differs in {"; ".join(found["differences"])}.'
         if found['differences'] else
         'parameters bit-identical, log and result equal but for times.')
      for found in result['campaigns'])]
  return '\n'.join([*lines, '', programs.made_by(result), ''])


COMMAND = programs.program(
    'kill', __doc__, {
        'n': (20, 'kills of each command', 1), 'epochs': (6, 'of each run', 1),
        'seed': (0, 'of the moments', 0)}, _measure, markdown, kind='kills',
    required=False, package='tests.slow', verdict=_verdict)
main = COMMAND.main

if __name__ == '__main__':
  sys.exit(main())
