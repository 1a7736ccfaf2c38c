"""Commands in rough environments: ``python -m tests.cli.operations``.

Runs every command of :data:`COMMANDS` in every environment of
:data:`ENVIRONMENTS` and writes docs/results/operations.json and .md; started
again, what is missing there. Needs root, for users of another number; about
half an hour on two cores.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
from typing import Any

from dlfd_jax.cli import evaluate, exit_codes, train, unlearn
from dlfd_jax.utils import runs, writes

ROOT = pathlib.Path(__file__).parents[2]
RESULT = ROOT / 'docs/results/operations.json'
DONE, REFUSED = 'done', 'refused'
COMMANDS = {
    'check': '--original=original --forget_people=3 --repeats=0',
    'unlearn': '--original=original --forget_people=3 --method=finetune '
               '--epochs=1 --batch_size=16',
    'evaluate': '--original=original --unlearned=unlearned --bootstrap=20',
    'report': '--evaluation=evaluation',
    'audit': '--model=original --forget_people=3 --bootstrap=20',
}
OTHER = 'setpriv --reuid=54321 --regid=54321 --clear-groups'
# What comes before and after a command's line, `$dlfd COMMAND FLAGS`; the
# outcome that is expected, of some commands another one.
ENVIRONMENTS: dict[str, tuple[str, str | dict[str, str]]] = {
    'nothing odd': ('{}', DONE),
    'nobody reads stdout': ('{} | true; exit ${{PIPESTATUS[0]}}', DONE),
    'stdout is on a full disk': ('{} >/dev/full', REFUSED),
    'stderr is on a full disk': ('{} 2>/dev/full', DONE),
    'all streams are closed': ('{} <&- >&- 2>&-', DONE),
    'output in ASCII': ('PYTHONIOENCODING=ascii {}', DONE),
    'output in Latin-1': ('PYTHONIOENCODING=latin-1 {}', DONE),
    'the C locale, no UTF-8': (
        'LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0 {}', DONE),
    'COLUMNS=0': ('COLUMNS=0 {}', DONE),
    'COLUMNS=10': ('COLUMNS=10 {}', DONE),
    'COLUMNS=99999999': ('COLUMNS=99999999 {}', DONE),
    'COLUMNS=wide': ('COLUMNS=wide {}', DONE),
    'TERM=dumb and NO_COLOR': ('TERM=dumb NO_COLOR=1 {}', DONE),
    'no TERM, colours forced': ('unset TERM; FORCE_COLOR=1 {}', DONE),
    'no HOME': ('unset HOME XDG_CACHE_HOME; {}', DONE),
    'a user without an entry or a HOME': (
        f'unset HOME XDG_CACHE_HOME; {OTHER} {{}}', DONE),
    'a cache folder that is a file': (
        'touch file; XDG_CACHE_HOME=$PWD/file {}', DONE),
    'a cache folder that others can write to': (
        'mkdir -p c/dlfd_jax; chmod 777 c/dlfd_jax; XDG_CACHE_HOME=$PWD/c {}',
        DONE),
    'damaged programs in the cache': (
        'cp -r "$XDG_CACHE_HOME" c; for f in c/*/*/*-cache; do echo x >$f; '
        'done; XDG_CACHE_HOME=$PWD/c {}', DONE),
    'MPLBACKEND of no matplotlib': ('MPLBACKEND=nonsense {}', DONE),
    'the backend of notebooks': (
        'MPLBACKEND=module://matplotlib_inline.backend_inline {}', DONE),
    'a broken matplotlibrc in the folder': (
        "printf 'font.size: 40\\nbackend: \\xff' >matplotlibrc; {}", DONE),
    'MATPLOTLIBRC with other settings': (
        "echo 'axes.facecolor: red' >rc; MATPLOTLIBRC=$PWD/rc {}", DONE),
    'MPLCONFIGDIR cannot be made': (
        'MPLCONFIGDIR=/proc/self/no {}', DONE),
    'TMPDIR is not there': ('TMPDIR=/no/where {}', DONE),
    'TZ of no zone': ('TZ=No/Where {}', DONE),
    'a Turkish locale': ('LANG=tr_TR.UTF-8 LANGUAGE=tr {}', DONE),
    "modules beside the data that hide Python's": (
        "echo 'raise SystemExit(9)' | tee random.py json.py numpy.py jax.py "
        'typing.py >dlfd_jax.py; $dlfd >/dev/null; rm dlfd_jax.py; {}', DONE),
    'PYTHONSTARTUP that is not there': (
        'PYTHONSTARTUP=/no/where {}', DONE),
    'a folder whose name is no UTF-8': (
        "mkdir $'\\xff\\xfc'; mv [!$'\\xff']* $'\\xff\\xfc'; "
        "cd $'\\xff\\xfc'; {}; code=$?; mv * ..; exit $code", DONE),
    'a folder that cannot be written to': (
        f'chmod 755 .; rmdir out; {OTHER} {{}}', REFUSED),
    'two devices by XLA_FLAGS': (
        'XLA_FLAGS="$XLA_FLAGS --xla_force_host_platform_device_count=2" {}',
        DONE),
    'XLA_FLAGS of no XLA': ('XLA_FLAGS=--no_such=1 {}', REFUSED),
    'JAX_PLATFORMS of no platform': (
        'JAX_PLATFORMS=nonsense {}',
        {'check': REFUSED, 'unlearn': REFUSED, 'evaluate': REFUSED,
         'report': DONE, 'audit': REFUSED}),
    'JAX_PLATFORMS=cuda without a GPU': (
        'JAX_PLATFORMS=cuda {}',
        {'check': REFUSED, 'unlearn': REFUSED, 'evaluate': REFUSED,
         'report': DONE, 'audit': REFUSED}),
    'JAX_ENABLE_X64=maybe': ('JAX_ENABLE_X64=maybe {}', REFUSED),
    '20 open files': ('ulimit -n 20; {}', DONE),
    '1 GB of address space': ('ulimit -v 1000000; {}', REFUSED),
}
_FACES = ['--preset=demo', '--people=24', '--images_per_person=4',
          '--image_size=24', '--architecture=tests.models.own_nets:Own']


@dataclasses.dataclass(frozen=True)
class Outcome:
  """What became of a command.

  Attributes:
    environment: its name.
    command: its name.
    code: its exit code.
    said: the last line of stderr.
    faults: what a user would not expect, empty if nothing.
  """

  environment: str
  command: str
  code: int
  said: str
  faults: tuple[str, ...]


def build(folder: pathlib.Path) -> pathlib.Path:
  """Runs that the commands read."""
  original, unlearned = folder / 'original', folder / 'unlearned'
  for code in (
      train.main([*_FACES, '--epochs=2', '--batch_size=16', '--on=all',
                  f'--workdir={original}']),
      unlearn.main([f'--original={original}', '--forget_people=3',
                    '--method=finetune', '--epochs=1', '--batch_size=16',
                    f'--workdir={unlearned}']),
      evaluate.main([f'--original={original}', f'--unlearned={unlearned}',
                     '--bootstrap=20', f'--workdir={folder / "evaluation"}'])):
    assert code in exit_codes.DONE
  return folder


def attempt(environment: str, command: str, template: pathlib.Path,
            cache: pathlib.Path) -> Outcome:
  """Runs a command in a copy of the template."""
  frame, expected = ENVIRONMENTS[environment]
  if isinstance(expected, dict):
    expected = expected[command]
  with tempfile.TemporaryDirectory(dir=template.parent) as name:
    folder = pathlib.Path(name)
    shutil.copytree(template, folder, dirs_exist_ok=True)
    (folder / 'out').mkdir()
    for path in (template.parent, folder, *folder.rglob('*')):
      path.chmod(path.stat().st_mode | 0o555)
    if '--reuid' in frame and expected == DONE:
      subprocess.run(['chown', '-R', '54321', name], check=True)
    line = f'$dlfd {command} {COMMANDS[command]} --workdir=out'
    environ = {
        'PATH': os.environ['PATH'], 'LC_ALL': 'C.UTF-8', 'HOME': str(cache),
        'XDG_CACHE_HOME': str(cache), 'JAX_PLATFORMS': 'cpu',
        'PYTHONPATH': str(ROOT), 'OMP_NUM_THREADS': '1',
        'PYTHONDONTWRITEBYTECODE': '1',
        'dlfd': f'{sys.executable} -m dlfd_jax'}
    made = subprocess.run(
        ['bash', '-c', frame.format(line)], cwd=folder, capture_output=True,
        env=environ, timeout=300, check=False)
    lines = made.stderr.decode(errors='replace').splitlines()
    faults = []
    if made.returncode not in (
        exit_codes.DONE if expected == DONE else [exit_codes.USER_ERROR]):
      faults.append(f'exit code {made.returncode}')
    if any('Traceback' in line for line in lines):
      faults.append('a traceback')
    if len([line for line in lines if not line.startswith('note: ')]) > 1:
      faults.append(f'{len(lines)} lines on stderr')
    wrote = any((folder / 'out').glob('*'))
    if wrote != (expected == DONE or 'full disk' in environment):
      faults.append('files' if wrote else 'no files')
    said = lines[-1] if lines else ''
    return Outcome(environment, command, made.returncode,
                   said.replace(name, '.').replace(str(cache), '~'),
                   (*faults, *(lines[:3] if faults else ())))


def pairs() -> list[tuple[str, str]]:
  """Every environment with every command, each environment once first."""
  names = list(COMMANDS)
  return [(environment, names[(i + shift) % len(names)])
          for shift in range(len(names))
          for i, environment in enumerate(ENVIRONMENTS)]


def main() -> None:
  """Tries what has no outcome yet, and writes the result after each."""
  known = {}
  if RESULT.is_file():
    known = {(o['environment'], o['command']): Outcome(
        **o | {'faults': tuple(o['faults'])})
             for o in json.loads(RESULT.read_text('utf-8'))['outcomes']
             if not o['faults']}
  with tempfile.TemporaryDirectory() as name:
    place = pathlib.Path(name)
    (place / 'cache').mkdir()
    template = build(place / 'template')
    for pair in pairs():
      if pair not in known:
        known[pair] = attempt(*pair, template, place / 'cache')
      print(*pair, known[pair].code, *known[pair].faults, sep=' | ', flush=True)
      outcomes = [known[pair] for pair in pairs() if pair in known]
      writes.write_json(RESULT, {
          'kind': 'operations', 'command': 'python -m tests.cli.operations',
          'versions': runs.versions(), 'tried': len(outcomes),
          'faults': sum(bool(o.faults) for o in outcomes),
          'outcomes': [dataclasses.asdict(o) for o in outcomes]})
      writes.write_text(
          RESULT.with_suffix('.md'), markdown(runs.read_json(RESULT)))


def markdown(found: dict[str, Any]) -> str:
  """A row for each environment: the exit code of each command."""
  outcomes = [Outcome(**outcome) for outcome in found['outcomes']]
  faults = sum(bool(o.faults) for o in outcomes)
  lines = [
      '# Commands in rough environments', '',
      f'{len(outcomes)} runs, {faults} with a fault (a traceback, another exit '
      'code, files missing or left, more than one error on stderr). Empty: not '
      'tried yet. 0: done, '
      'with every file; 2: one sentence and no file, but for a full disk under '
      'stdout, where all files are written.', '',
      f'| environment | {" | ".join(COMMANDS)} | what stderr says |',
      '|---' + '|---:' * len(COMMANDS) + '|---|']
  codes = {(o.environment, o.command): str(o.code) for o in outcomes}
  for environment in ENVIRONMENTS:
    said = next((o.said for o in outcomes
                 if o.environment == environment and o.said), '')
    row = [codes.get((environment, command), '') for command in COMMANDS]
    lines.append('| ' + ' | '.join(
        [environment, *row, said.replace('|', r'\|')]) + ' |')
  return '\n'.join([*lines, '', 'By `python -m tests.cli.operations`.', ''])


if __name__ == '__main__':
  main()
