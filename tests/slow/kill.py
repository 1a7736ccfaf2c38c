r"""Stops every command at random moments and starts it again: is all there?

  python -m tests.slow.kill --n=300 --out=docs/results/kills

With ``--names=train,verify`` only these are stopped, and the result keeps the
other commands' kills from the file that is there.

Each command runs on drawn faces, once left alone and ``--n`` times in all
stopped: by SIGKILL, SIGTERM, SIGINT (Ctrl-C) or SIGHUP, drawn for each. The
moments take turns: while a process of its own imports (from the moment that its
first line has run), at a random call of a Python function, at a random time,
when a temporary file appears, during the first compilation (nothing compiled is
kept), when the last file is written. The same command is then started again
until it ends.

A signal other than SIGKILL has to end in one line and the exit code that is
promised, no process of the session may be left, and the folder of temporary
files has to be empty. In the end parameters have to be bit-identical, logs,
results and tables equal but for times, and the files those of the run left
alone: none lost, none left over.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import json
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from absl import flags
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from dlfd_jax import checkpoint
from dlfd_jax.cli import exit_codes
from dlfd_jax.report import render
from dlfd_jax.utils import runs
from experiments.publish import programs
from tests.slow import started

_DATA = ['--preset=demo', '--people=40', '--images_per_person=4',
         '--image_size=16']
_NETWORK = ['--architecture=tests.models.own_nets:Own']
_RESNET18 = ['--width=4', '--stem=small']
_RUN = ['--batch_size=16', '--checkpoint_seconds=0']
_IMPORTS, _CALL, _TIME, _SAVING, _COMPILING, _ENDING = MOMENTS = (
    'imports', 'a call', 'a time', 'a temporary file', 'first compilation',
    'the last file')
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_PATIENCE_S = 300
_KEY = 'key.pem'
_ROUNDS = 8
# Of a process or of a machine, not of the run.
_OWN = ('time', 'peak_bytes', 'device_peak_bytes', 'read_peak_bytes',
        'check_share', 'finished',
        'time_share', 'time_s', 'wall_s', 'cost', 'command', 'commands',
        'versions', 'sha256', 'files')  # hashes of results and pages with times
# Names that a checkpoint draws.
_DRAWN = re.compile(r'(?:[0-9a-f]{32})')


@dataclasses.dataclass(frozen=True)
class Command:
  """A command that is stopped.

  Attributes:
    name: in the page.
    argv: module and arguments, ``{here}`` for the folder that it writes.
    last: a file that it writes last, below this folder.
    share: of all kills.
    before: other commands whose folders it reads, as ``{name}``.
    whole: what it says, as an error, if it had written everything before.
  """

  name: str
  argv: tuple[str, ...]
  last: str
  share: int
  before: tuple[str, ...] = ()
  whole: str = ''


def _dlfd(name: str, *argv: str, last: str, share: int, title: str = '',
          before: Sequence[str] = (), whole: str = '') -> Command:
  return Command(title or name, ('dlfd_jax', name, *argv), last, share,
                 tuple(before), whole)


def commands(epochs: int) -> list[Command]:
  """All of them, a command after those whose folders it reads."""
  train = [*_DATA, *_NETWORK, *_RUN, f'--epochs={epochs}', '--workdir={here}']
  judged = ['--original={train}', '--unlearned={unlearn}', '--bootstrap=20',
            '--workdir={here}']
  read = ('train', 'unlearn')
  torch = [*_DATA, *_RESNET18]
  paper = ['--tasks=demo', *_DATA[1:], *_NETWORK, '--epochs=1',
           '--checkpoint_seconds=0', '--workdir={here}/runs']
  return [
      _dlfd('train', *train, '--on=all', last=runs.RESULT, share=45),
      _dlfd('unlearn', '--original={train}', '--forget_people=4', *_RUN,
            f'--epochs={epochs}', '--perturb_steps=1', '--workdir={here}',
            last=runs.RESULT, share=45, before=['train']),
      _dlfd('check', '--original={train}', '--forget_people=4', '--repeats=1',
            '--workdir={here}', last=runs.RESULT, share=30, before=['train']),
      _dlfd('evaluate', *judged, last=runs.RESULT, share=35, before=read),
      _dlfd('evaluate', *judged, '--tier=1', '--relearn_steps=4',
            '--relearn_seeds=1', '--recovery_steps=4',
            title='evaluate --tier=1', last=runs.RESULT, share=25, before=read),
      _dlfd('report', '--evaluation={evaluate}', '--workdir={here}',
            last='report.json', share=25, before=['evaluate']),
      _dlfd('report', '--evaluation={evaluate}', '--workdir={here}',
            '--sign={key}', title='report --sign',
            last='bundle/signature.json', share=20, before=['evaluate']),
      _dlfd('verify', '{report --sign}/bundle', last='(it writes none)',
            share=10, before=['report --sign']),
      _dlfd('audit', '--model={train}', '--forget_people=4', '--bootstrap=20',
            '--workdir={here}', last=runs.RESULT, share=20, before=['train']),
      _dlfd('references', '--original={train}', '--unlearned={unlearn}',
            '--n=2', '--repeats=0', '--checkpoint_seconds=0',
            '--workdir={here}', last=runs.RESULT, share=25, before=read),
      _dlfd('unlearn', '--original={train}', '--forget_people=4', *_RUN,
            '--method=finetune', '--epochs=1', '--workdir={here}',
            title='unlearn by finetuning', last=runs.RESULT, share=0,
            before=['train']),
      _dlfd('evaluate', '--original={train}',
            '--unlearned={unlearn by finetuning}', *judged[2:],
            title='evaluate by finetuning', last=runs.RESULT, share=0,
            before=['train', 'unlearn by finetuning']),
      _dlfd('compare', '--evaluations={evaluate},{evaluate by finetuning}',
            '--workdir={here}', last='comparison.svg', share=15,
            before=['evaluate', 'evaluate by finetuning']),
      _dlfd('train', *torch, *_RUN, '--epochs=1', '--on=all',
            '--workdir={here}', title='train resnet18', last=runs.RESULT,
            share=0),
      _dlfd('export_weights', '--model={train resnet18}',
            '--weights={here}/model.pth', last='model.pth', share=20,
            before=['train resnet18'], whole='is there already'),
      _dlfd('import_weights', '--weights={export_weights}/model.pth',
            *torch[1:], '--allow_unverified', '--workdir={here}',
            last='model.json', share=25,
            before=['export_weights'], whole='holds a whole model'),
      Command('table1', (
          'experiments.paper.table1', *paper, '--methods=finetune,neggrad',
          '--seeds=1', '--bootstrap=20', '--out={here}/table1'),
              'table1.md', 20),
      Command('sweep', (
          'experiments.paper.sweep', *paper, '--methods=finetune', '--trials=2',
          '--out={here}'), 'demo.json', 10),
      _dlfd('demo', *_NETWORK, '--epochs=1', '--workdir={here}',
            last=runs.REPORT, share=5)]


@dataclasses.dataclass(frozen=True)
class Kill:
  """One kill."""

  command: str  # see Command.name
  signal: str  # name of the signal
  moment: str  # what it aimed at
  at_s: float  # seconds after the start
  code: int  # how the process ended


class Campaign:
  """Kills of one command."""

  def __init__(self, command: Command, folder: pathlib.Path,
               temporary: pathlib.Path, server: started.Server,
               draw: random.Random):
    self.command, self.draw, self._temporary = command, draw, temporary
    self.kills: list[Kill] = []
    self.broken: list[str] = []  # promises
    self.runs: list[pathlib.Path] = []
    self._folder, self._server = folder, server
    self._out = folder / f'{self.slug}_said'
    self._alone_s, self._calls, self._begun = 0.0, 0, 0

  @property
  def slug(self) -> str:
    return re.sub(r'\W+', '_', self.command.name)

  @property
  def alone(self) -> pathlib.Path:
    """The folder of the run that was left alone."""
    return self._folder / self.slug

  def argv(self, here: pathlib.Path) -> list[str]:
    places = {name: str(self._folder / re.sub(r'\W+', '_', name))
              for name in self.command.before}
    words = []
    for word in self.command.argv:
      for name, place in {**places, 'here': str(here),
                          'key': str(self._folder / _KEY)}.items():
        word = word.replace('{' + name + '}', place)
      words.append(word)
    return words

  def finish(self, here: pathlib.Path, calls: Any = ()) -> bool:
    """Runs the command to its end; whether it was one as promised."""
    here.mkdir(exist_ok=True)
    pid = self._server.start(self.argv(here), self._out, dict(calls))
    code = self._server.ended()
    self._check_alone(pid)
    if not self._is_whole(code):
      self.broken.append(
          f'{" ".join(self.argv(here))} ended with {code}: {self.said[-500:]}')
      return False
    return True

  @property
  def said(self) -> str:
    return self._out.with_suffix('.err').read_text('utf-8', 'replace')

  def prepare(self) -> None:
    """Leaves the command alone once; counts its calls where it is stopped."""
    again = self._folder / f'{self.slug}_counted'
    count, seconds = (self._folder / f'{self.slug}_{what}'
                      for what in ('calls', 'seconds'))
    good = (self.alone / self.command.last).exists() or self.finish(self.alone)
    if good and self.command.share:
      if not seconds.exists():
        began = time.monotonic()
        good = self.finish(again, {'count': str(count)})
        seconds.write_text(f'{time.monotonic() - began:.1f}')
      self._alone_s = float(seconds.read_text())
      self._calls = int(count.read_text())
      self.runs.append(again)
    if not good:
      raise RuntimeError(self.broken[0])

  def _is_whole(self, code: int) -> bool:
    """Whether a command had written everything, now or before."""
    return code in exit_codes.DONE or bool(
        self.command.whole and self.command.whole in self.said)

  def run(self, n: int, server: started.Server) -> None:
    """Kills it until it was ``n`` times, each run some times before its end."""
    self._server = server
    while len(self.kills) < n:
      here = self._folder / f'{self.slug}_{self._begun}'
      while here.exists():  # of an earlier start
        self._begun += 1
        here = self._folder / f'{self.slug}_{self._begun}'
      here.mkdir()
      for _ in range(min(self.draw.randint(1, 3), n - len(self.kills))):
        moment = self.draw.choices(MOMENTS, (5, 8, 5, 4, 1, 3))[0]
        one = self._kill(here, moment, self.draw.choice(SIGNALS))
        if one is None:  # it had ended
          break
        self.kills.append(one)
      if self.finish(here):
        self.runs.append(here)

  def _kill(self, here: pathlib.Path, moment: str, which: signal.Signals
            ) -> Kill | None:
    began = time.monotonic()
    if moment == _IMPORTS:
      code = self._kill_own(here, which)
    else:
      code = self._kill_forked(here, moment, which)
    if self._is_whole(code):
      return None
    said = self.said.strip().splitlines()
    where = f'{self.command.name}, {which.name} at {moment}: '
    if which == signal.SIGKILL:
      if code != -which:
        self.broken.append(f'{where}exit code {code}, {said[-1:]}')
    elif code not in (exit_codes.INTERRUPTED, 128 + which) or (
        len(said) != 1 or not said[0].startswith('Stopped')):
      self.broken.append(f'{where}exit code {code}, {said[-3:]}')
    return Kill(self.command.name, which.name, moment,
                round(time.monotonic() - began, 2), code)

  def _kill_own(self, here, which) -> int:
    """Kills a process that has imported nothing."""
    with open(self._out.with_suffix('.err'), 'wb') as err:
      process = subprocess.Popen(
          [sys.executable, '-m', *self.argv(here)], cwd=started.ROOT,
          env=started.environment(self._folder / 'cache', self._temporary),
          stdout=subprocess.DEVNULL, stderr=err, start_new_session=True)
      while process.poll() is None and not _guarded(process.pid):
        time.sleep(.002)
      time.sleep(self.draw.uniform(0, 4))
      process.send_signal(which)
      code = process.wait(_PATIENCE_S)
    self._check_alone(process.pid)
    return code

  def _kill_forked(self, here, moment, which) -> int:
    calls, cold = {}, None
    if moment == _CALL:
      calls = {'at': self.draw.randint(1, self._calls), 'signal': int(which)}
    elif moment == _COMPILING:
      cold = str(self._folder / f'cold_{self.slug}_{len(self.kills)}')
    last = here / self.command.last
    before, ended_before = _temporary(here), last.exists()
    due: Callable[[], bool] = {
        _CALL: lambda: False, _TIME: lambda: True, _COMPILING: lambda: True,
        _SAVING: lambda: bool(_temporary(here) - before),
        _ENDING: lambda: last.exists() and not ended_before}[moment]
    wait_s = self.draw.uniform(0, {
        _TIME: self._alone_s, _COMPILING: 2 * self._alone_s,
        _ENDING: .3}.get(moment, .05))
    pid = self._server.start(self.argv(here), self._out, calls, cold)
    pool = concurrent.futures.ThreadPoolExecutor(1)
    end = pool.submit(self._server.ended)
    while not end.done() and not (_guarded(pid) and due()):
      time.sleep(.002)
    if moment != _CALL:
      concurrent.futures.wait([end], wait_s)
      if not end.done():
        os.kill(pid, which)
    code = end.result(_PATIENCE_S)
    pool.shutdown()
    self._check_alone(pid)
    return code

  def _check_alone(self, session: int) -> None:
    """No process of it is left."""
    for status in pathlib.Path('/proc').glob('[0-9]*/stat'):
      try:
        fields = status.read_text().rpartition(')')[2].split()
      except OSError:  # it has ended
        continue
      if int(fields[3]) == session and fields[0] != 'Z':
        self.broken.append(f'{self.command.name}: {status} is left')

  def verdict(self) -> dict[str, Any]:
    """The kills, the runs that they made up, and what differed."""
    return {
        'command': self.command.name, 'runs': len(self.runs),
        'kills': [dataclasses.asdict(kill) for kill in self.kills],
        'broken': self.broken, 'alone_s': round(self._alone_s, 1),
        'differences': [line for run in self.runs for line in differences(
            self.alone, run)]}


def _guarded(pid: int) -> bool:
  """Whether a process meets SIGTERM."""
  try:
    status = pathlib.Path(f'/proc/{pid}/status').read_text()
  except OSError:
    return False
  caught = int(re.search(r'SigCgt:\s*(\w+)', status)[1], 16)
  return bool(caught >> (signal.SIGTERM - 1) & 1)


def _temporary(folder: pathlib.Path) -> set[str]:
  """Unfinished files and folders."""
  found = set()
  for path, folders, names in os.walk(folder):
    found |= {os.path.join(path, name) for name in (*folders, *names)
              if 'tmp' in name or name.startswith('.') and name != runs.LOCK}
  return found


def without_times(value: Any) -> Any:
  """An event or a result without what may differ from run to run."""
  if isinstance(value, dict):
    return {name: without_times(part) for name, part in value.items()
            if name not in _OWN and not name.endswith('_s')}
  if isinstance(value, list):
    return [without_times(part) for part in value]
  return value


def _files(folder: pathlib.Path) -> set[str]:
  # Which checkpoints of the loop there are depends on when it was saved.
  return {name for name in (
      _DRAWN.sub('', path.relative_to(folder).as_posix())
      for path in folder.rglob('*') if path.is_file())
          if '/loop/' not in f'/{name}'
          and not name.endswith('/sha256.json')}


def differences(one: pathlib.Path, other: pathlib.Path) -> list[str]:
  """What two finished runs differ in, times aside; empty if in nothing."""
  names, there = _files(one), _files(other)
  found = [f'{other.name}: {name} is {"lost" if name in names else "left over"}'
           for name in sorted(names ^ there)]
  for name in sorted(names & there):
    left, right = one / name, other / name
    if name.endswith('model.json') and left.parent.joinpath(
        'variables').is_dir():
      same = len({checkpoint.fingerprint(checkpoint.load_model(
          path.parent).variables) for path in (left, right)}) == 1
    else:
      same = _content(left, one) == _content(right, other)
    if not same:
      found.append(f'{other.name}: {name} differs')
  return found


def _content(path: pathlib.Path, root: pathlib.Path) -> Any:
  """What has to be equal in a file; None where nothing has."""
  if path.parent.name == 'costs' or (path.parent / 'evaluation').is_dir():
    return None  # measured times, and a report of these
  if path.suffix == '.json' and 'checkpoints' not in path.parts:
    text = path.read_text('utf-8').replace(str(root), 'RUN')
    return without_times(json.loads(text)) if path.name not in (
        runs.VERSIONS,) else None
  if path.name == runs.METRICS:
    return [without_times(json.loads(line))
            for line in path.read_text('utf-8').splitlines()]
  if path.suffix == '.npz':
    with np.load(path, allow_pickle=False) as file:
      return {name: file[name].tobytes() for name in file.files}
  if path.suffix in ('.pth', '.safetensors') or (
      path.name == 'comparison.csv'):
    return path.read_bytes()
  return None  # pages: of the same results, with times


def everything(folder: pathlib.Path, n: int, seed: int, epochs: int,
               minutes: float, names: Sequence[str] = (), at_once: int = 2
               ) -> list[dict[str, Any]]:
  """The campaigns on all commands, or on some, below ``folder``.

  Args:
    folder: for all their files.
    n: kills in all.
    seed: of the moments and signals.
    epochs: of trainings and unlearnings.
    minutes: after which no command is stopped any more.
    names: of the commands that are stopped.
    at_once: commands that run at the same time.
  """
  temporary = pathlib.Path(tempfile.mkdtemp(prefix='tmp', dir=folder))
  if not (folder / _KEY).exists():
    (folder / _KEY).write_bytes(_new_key())
  chosen = [c for c in commands(epochs) if not names or c.name in names]
  wanted, known = set(), {c.name: c for c in commands(epochs)}
  waiting = [c.name for c in chosen]
  while waiting:
    name = waiting.pop()
    wanted.add(name)
    waiting += known[name].before
  whole = sum(c.share for c in chosen)
  servers = [started.Server(folder / 'cache', temporary)
             for _ in range(at_once)]
  campaigns: dict[str, Campaign] = {}
  for name, command in known.items():
    if name in wanted:
      campaigns[name] = Campaign(
          command, folder, temporary, servers[0],
          random.Random(f'{seed} {name}'))
      campaigns[name].prepare()
  # In turns, so that all commands have their share when the time is over.
  todo = [c for c in campaigns.values() if c.command in chosen
          and c.command.share]
  stopped = list(todo)
  end = time.monotonic() + 60 * minutes

  def work(server: started.Server) -> None:
    while todo and time.monotonic() < end:
      campaign = todo.pop(0)
      most = -(-n * campaign.command.share // whole)
      campaign.run(min(
          most, len(campaign.kills) + max(1, most // _ROUNDS)), server)
      if len(campaign.kills) < most:
        todo.append(campaign)

  with concurrent.futures.ThreadPoolExecutor(len(servers)) as pool:
    for done in [pool.submit(work, server) for server in servers]:
      done.result()
  for server in servers:
    server.close()
  found = [json.loads(json.dumps(campaign.verdict()).replace(
      f'{folder}/', 'RUNS/')) for campaign in stopped]
  left = sorted(p.name for p in temporary.iterdir())
  if left:
    found[0]['broken'].append(f'left in the folder of temporary files: {left}')
  return found


def _new_key() -> bytes:
  return ed25519.Ed25519PrivateKey.generate().private_bytes(
      serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
      serialization.NoEncryption())


def merged(found: list[dict[str, Any]], earlier: dict[str, Any]
           ) -> dict[str, Any]:
  """Campaigns beside those of other commands in an earlier result."""
  by_name = {one['command']: one for one in (
      *earlier.get('campaigns', ()), *found)}
  order = [c.name for c in commands(1) if c.name in by_name]
  return {'campaigns': [by_name[name] for name in order], 'earlier': [
      *earlier.get('earlier', ()), *([earlier['command']] if earlier else [])]}


def _measure(values: flags.FlagValues) -> dict[str, Any]:
  # Children inherit what nohup ignores, and go on.
  signal.signal(signal.SIGHUP, signal.SIG_DFL)
  with tempfile.TemporaryDirectory() as folder:
    campaigns = everything(
        pathlib.Path(values['folder'].value or folder), values['n'].value,
        values['seed'].value, values['epochs'].value, values['minutes'].value,
        values['names'].value, at_once=values['at_once'].value)
  path = pathlib.Path(f'{values["out"].value}.json')
  earlier = runs.read_json(path) if (
      values['names'].value and path.is_file()) else {}
  return {'seed': values['seed'].value, **merged(campaigns, earlier)}


def _verdict(result: dict[str, Any]) -> None:
  lost = [what for one in result['campaigns']
          for what in (*one['differences'], *one['broken'])]
  if lost:
    raise ValueError(f'Expected nothing to be lost, but {"; ".join(lost)}.')


def markdown(result: dict[str, Any]) -> str:
  """Counts by command and signal and by command and moment, and verdicts."""
  campaigns = result['campaigns']
  every = [kill for one in campaigns for kill in one['kills']]
  lines = ['# Kills survived', '',
           f'{len(every)} kills of {len(campaigns)} commands in '
           f'{sum(one["runs"] for one in campaigns)} runs, each then run to '
           'its end and compared with one left alone: parameters bit for bit, '
           'logs, results and tables but for times, names of files.', '']
  by_code = {code: sum(kill['code'] == code for kill in every)
             for code in sorted({kill['code'] for kill in every})}
  lines += ['Exit codes: ' + ', '.join(
      f'{code} ({count})' for code, count in by_code.items()) + '.', '']
  for field, names in (('signal', [s.name for s in SIGNALS]),
                       ('moment', MOMENTS)):
    rows = [[one['command'], *(
        str(sum(kill[field] == name for kill in one['kills']))
        for name in names), str(len(one['kills']))] for one in campaigns]
    lines += [*render.markdown_lines(
        ['command', *names, 'all'], rows, 'l' + 'r' * (len(names) + 1)), '']
  bad = [f'- {one["command"]}: {what}' for one in campaigns
         for what in (*one['differences'], *one['broken'])]
  lines += bad or ['Nothing was lost or left over, nothing differs, and every '
                   'signal ended in one line and a promised exit code.']
  lines += [f'Earlier: `{line}`.' for line in result.get('earlier', ())]
  return '\n'.join([*lines, '', programs.made_by(result), ''])


COMMAND = programs.program(
    'kill', __doc__, {
        'names': ([], 'of the commands that are stopped; default all'),
        'n': (300, 'kills in all', 1), 'epochs': (3, 'of each run', 1),
        'minutes': (60.0, 'after which no command is stopped any more', 0),
        'at_once': (2, 'commands that run at the same time', 1),
        'folder': (None, 'keeps the runs; those left alone are used again'),
        'seed': (0, 'of the moments', 0)}, _measure, markdown, kind='kills',
    required=False, package='tests.slow', verdict=_verdict)
main = COMMAND.main

if __name__ == '__main__':
  sys.exit(main())
