"""Alters every field of every stored file in every way and reads it again.

  python -m tests.mutations --out=docs/results/mutations

A file that was altered is read as it is, or refused with one sentence; any
other end is a fault, and the program ends with 1.
"""

from __future__ import annotations

import collections
import contextlib
import copy
import dataclasses
import functools
import io
import json
import math
import pathlib
import re
import shutil
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from absl import flags

from dlfd_jax import checkpoint, loop
from dlfd_jax.cli import commands, exit_codes
from dlfd_jax.data import (
  dataset as dataset_lib,
  split_files,
  splits as splits_lib,
)
from dlfd_jax.pipeline import (
  chain,
  chain_checks,
  evaluation_facts,
  evaluation_result,
  job,
  run_configs,
)
from dlfd_jax.report import compare, html, plots, render
from dlfd_jax.utils import records, runs
from experiments.publish import programs
from tests.cli import runs_of

Read = Callable[[pathlib.Path], object]
# Place, way, and what makes the content of the file.
Altered = Iterator[tuple[str, str, Callable[[], bytes]]]
_ABSENT = object()
_LONGEST = 700  # characters of a sentence
_MODELS = ('original', 'unlearned', 'retrained_0', 'retrained_1')


def _deep(levels: int) -> list[Any]:
  found: list[Any] = []
  for _ in range(levels):
    found = [found]
  return found


WAYS: dict[str, Any] = {
    'removed': _ABSENT, 'null': None, 'true': True, 'a text': 'x',
    'an empty text': '', 'a long text': 'x' * 100_000, 'zero': 0,
    'negative': -1, 'a fraction': .5, 'a huge number': 1e308,
    'a huge integer': 10**400, 'NaN': math.nan, 'infinity': -math.inf,
    'an empty list': [], 'a list': [1, 'a'], 'an empty object': {},
    'an object': {'a': {'b': 1}}, 'a deep list': _deep(200),
    'in a list': lambda old: [old], 'twice': lambda old: (
        old + old if isinstance(old, (list, str)) else [old, old]),
    'cut': lambda old: old[:-1] if isinstance(old, (list, str)) else None,
    'with a new field': lambda old: {**old, 'later': 1} if isinstance(
        old, dict) else 'later'}
FILES: dict[str, bytes] = {
    'empty': b'', 'cut': b'{"kind": ', 'a list': b'[]', 'null': b'null',
    'an object': b'{}', 'no text': bytes(range(256)),
    'deep': b'[' * 100_000, 'deep and closed': b'{"a":' * 500 + b'1' + b'}'
    * 500, 'a number that no float holds': b'{"a": 1e999}'}
ARRAYS: dict[str, Callable[[np.ndarray], Any]] = {
    'removed': lambda a: _ABSENT, 'a number': lambda a: np.asarray(1.5),
    'empty': lambda a: a[:0], 'two axes': lambda a: a[..., None],
    'shorter': lambda a: a[:-1], 'longer': lambda a: np.concatenate([a, a]),
    'texts': lambda a: a.astype('U'), 'bytes': lambda a: a.astype('S'),
    'objects': lambda a: np.array([{}] * len(a), object),
    'complex': lambda a: np.full(a.shape, 1j),
    'yes and no': lambda a: np.ones(a.shape, bool),
    'integers': lambda a: np.arange(len(a)), 'dates': lambda a: np.full(
        a.shape, np.datetime64('2026-01-01')),
    **{name: lambda a, value=value: np.full(a.shape, value)
       for name, value in (('NaN', np.nan), ('infinite', np.inf),
                           ('huge', 1e308), ('negative', -1.0))}}


@dataclasses.dataclass(frozen=True)
class Subject:
  """A stored file and what reads it.

  Attributes:
    kind: what it is, in words.
    path: below the folder of the runs.
    read: as a command does, without the device; gets that folder.
    argv: a command that reads it, too.
  """

  kind: str
  path: str
  read: Read
  argv: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Outcome:
  """How one reading ended: ``said`` is empty if it worked."""

  kind: str
  place: str
  way: str
  said: str = ''
  fault: str = ''


def build(folder: pathlib.Path) -> pathlib.Path:
  """Real runs, tiny: two unlearnings of one original, and their evaluations."""
  data = runs_of.write_data(folder)
  original = runs_of.train_original(folder, data)
  request = [f'--original={original}', '--forget_people=3', '--batch_size=16',
             '--epochs=2', '--augment=false', '--checkpoint_seconds=0']
  _run(['unlearn', *request, '--perturb_steps=1',
        f'--workdir={folder / "unlearned"}'])
  _run(['unlearn', *request, '--method=finetune',
        f'--workdir={folder / "other"}'])
  for seed in (0, 1):
    _run(['train', '--on=retain', f'--original={original}', f'--seed={seed}',
          f'--splits={folder / "unlearned" / runs.SPLITS}',
          f'--workdir={folder / f"retrained_{seed}"}'])
  for name, unlearned, more in (('tier_0', 'unlearned', ()),
                                ('second', 'other', ()),
                                ('tier_1', 'unlearned', _TIER_1)):
    _run(_evaluate(folder, unlearned, name, more))
  return folder


_TIER_1 = ('--tier=1', '--relearn_steps=2', '--relearn_seeds=1',
           '--recovery_steps=2')


def _evaluate(folder, unlearned, name, more=()) -> list[str]:
  both = ','.join(str(folder / f'retrained_{seed}') for seed in (0, 1))
  return ['evaluate', f'--original={folder / "original"}',
          f'--unlearned={folder / unlearned}', f'--retrained={both}',
          '--bootstrap=20', *more, f'--workdir={folder / name}']


def _run(argv: Sequence[str]) -> None:
  with contextlib.redirect_stdout(io.StringIO()):
    code = commands.main(argv)
  if code not in exit_codes.DONE:
    raise RuntimeError(f'{code} of {" ".join(argv)}')


@dataclasses.dataclass(frozen=True, eq=False)
class Beside:
  """What stands beside the altered file, read once."""

  dataset: dataset_lib.Dataset
  splits: splits_lib.Splits
  judged: dict[str, chain.Judged]
  configs: dict[str, dict[str, Any]]


def _beside(folder: pathlib.Path) -> Beside:
  dataset = job.load_data(run_configs.data_of(folder / 'original'))
  splits = split_files.load_splits(
      folder / 'unlearned' / runs.SPLITS, dataset)
  assert isinstance(splits, splits_lib.Splits)
  return Beside(
      dataset, splits, {name: job.judged(folder / name) for name in _MODELS},
      {name: runs.read_json(folder / name / runs.CONFIG) for name in _MODELS})


def _a_run(name: str, beside: Beside) -> Read:
  """Reads a run as retraining, resuming and an evaluation of it do."""
  def read(folder):
    run = folder / name
    run_configs.data_of(run)
    run_configs.known_recipe(run)
    if runs.read_json(run / runs.CONFIG).get('kind') == 'unlearn':
      run_configs.data_in(runs.read_config(run, 'unlearn'), run)
    judged = {**beside.judged, name: dataclasses.replace(
        beside.judged[name], **chain.of_folder(run))}
    found = chain_checks.check_all(judged, beside.dataset, beside.splits)
    facts = {'done': evaluation_facts.done(judged),
             'runs': evaluation_facts.runs_of(judged),
             'cost': evaluation_facts.efficiency(judged, 1.0)}
    json.dumps([facts, found.settled(True)], allow_nan=False)
    runs.RunFolder(run, beside.configs[name])  # would be resumed
  return read


def _report(name: str) -> Read:
  """Reads an evaluation as its report does, but for the pictures."""
  def read(folder):
    found = evaluation_result.load_evaluation(
        folder / name, allow_unverified=True)
    found.table()
    facts = html.report_facts(found.record, found.per_example)
    json.dumps(facts, allow_nan=False).encode()
    html.fill(
        'report.html.jinja', html._context(
            found.record, found.per_example or {}),
        pictures=collections.defaultdict(str)).encode()
    plots.points_of(found.record)
    render.to_csv(compare.table({'a': found.record, 'b': found.record}))
    if name == 'tier_0':
      compare.check_comparable({'a': found.config, 'b': runs.read_config(
          folder / 'second', 'evaluation')})
  return read


def _checkpoint(folder: pathlib.Path, hashed: bool = True) -> None:
  with tempfile.TemporaryDirectory() as scratch:
    place = pathlib.Path(scratch) / runs.CHECKPOINTS
    shutil.copytree(folder / 'unlearned' / runs.CHECKPOINTS, place,
                    ignore=shutil.ignore_patterns('model', 'last'))
    # A run falls back on an earlier checkpoint where there is one.
    for earlier in sorted(
        (place / 'loop').iterdir(), key=lambda step: int(step.name))[:-1]:
      shutil.rmtree(earlier)
    if not hashed:
      (place / 'sha256.json').unlink()
    saver = checkpoint.LoopCheckpoints(place)
    try:
      step = saver.latest()
      assert step is not None
      loop.stored(saver.meta(step), 'the checkpoint')
    finally:
      saver.close()


def subjects(folder: pathlib.Path) -> list[Subject]:
  """Every stored file that a command reads again, of some runs."""
  beside = _beside(folder)
  again = tuple(_evaluate(folder, 'unlearned', 'tier_1', _TIER_1))
  report = ('report', f'--evaluation={folder / "tier_1"}',
            f'--workdir={folder / "out"}')
  found = []
  for name in ('original', 'unlearned', 'retrained_0'):
    what = 'unlearning' if name == 'unlearned' else 'training'
    found += [Subject(f'{file} of {what}', f'{name}/{file}',
                      _a_run(name, beside), again)
              for file in (runs.CONFIG, runs.RESULT)]
  found += [
      Subject('result.json of an evaluation, tier 0', 'tier_0/result.json',
              _report('tier_0'), ('report', f'--evaluation={folder / "tier_0"}',
                                  f'--workdir={folder / "out"}')),
      Subject('result.json of an evaluation, tier 1', 'tier_1/result.json',
              _report('tier_1'), report),
      Subject('config.json of an evaluation', 'tier_0/config.json',
              _report('tier_0'), tuple(_evaluate(
                  folder, 'unlearned', 'tier_0'))),
      Subject('model.json', 'original/checkpoints/model/model.json',
              lambda place: checkpoint.load_model(place / 'original'), again),
      Subject('metrics.jsonl', 'unlearned/metrics.jsonl',
              lambda place: runs.read_events(
                  place / 'unlearned' / runs.METRICS), report),
      Subject('sha256.json of a checkpoint',
              'unlearned/checkpoints/sha256.json', _checkpoint)]
  meta = max((folder / 'unlearned' / runs.CHECKPOINTS).glob(
      'loop/*/meta/metadata'),
             key=lambda path: int(path.parts[-3])).relative_to(folder)
  found += [
      Subject('meta of a checkpoint', str(meta), _checkpoint),
      Subject('meta of a checkpoint without hashes', str(meta),
              functools.partial(_checkpoint, hashed=False))]
  found += [
      Subject('per_example.npz', 'tier_0/per_example.npz', _report('tier_0'),
              ('report', f'--evaluation={folder / "tier_0"}',
               f'--workdir={folder / "out"}')),
      Subject('splits.npz', 'unlearned/splits.npz',
              lambda place: split_files.load_splits(
                  place / 'unlearned' / runs.SPLITS, beside.dataset), again)]
  return found


def _places(tree: Any, way: tuple = ()) -> Iterator[tuple]:
  """The way to every node; of a list, to the first and the last one."""
  yield way
  if isinstance(tree, dict):
    for name, value in tree.items():
      yield from _places(value, (*way, name))
  elif isinstance(tree, list):
    for i in sorted({0, len(tree) - 1}) if tree else ():
      yield from _places(tree[i], (*way, i))


def altered_json(text: str) -> Altered:
  """Place, way and content of a JSON file after every single mutation."""
  tree = json.loads(text)
  seen: set[Any] = set()
  for place in _places(tree):
    node = tree
    for key in place:
      node = node[key]
    # Fields of one name and kind below several parents are one.
    alike = (tuple('[]' if isinstance(key, int) else key for key in place),
             type(node))
    if alike in seen or not place:
      continue
    seen.add(alike)
    for way, value in WAYS.items():
      value = value(copy.deepcopy(node)) if callable(value) else value
      if value is _ABSENT or type(value) is not type(node) or value != node:
        yield '.'.join(map(str, place)), way, functools.partial(
            _replaced, tree, place, value)
  for way, content in FILES.items():
    yield 'the file', way, functools.partial(bytes, content)


def _replaced(tree: Any, place: tuple, value: Any) -> bytes:
  after = at = copy.deepcopy(tree)
  for key in place[:-1]:
    at = at[key]
  if value is _ABSENT:
    del at[place[-1]]
  else:
    at[place[-1]] = value
  return json.dumps(after).encode()


def altered_lines(text: str) -> Altered:
  """The same of a log: its first line of each event, in its place."""
  lines = text.splitlines()
  first: dict[Any, int] = {}
  for number, line in enumerate(lines):
    first.setdefault(json.loads(line).get('event'), number)
  for event, number in first.items():
    for place, way, make in altered_json(lines[number]):
      yield f'{event}: {place}', way, lambda make=make, number=number: (
          b'\n'.join([*(line.encode() for line in lines[:number]), make(),
                      *(line.encode() for line in lines[number + 1:]), b'']))


def altered_arrays(path: pathlib.Path) -> Altered:
  """The same of an npz file."""
  with np.load(path) as file:
    arrays = {name: file[name] for name in file.files}
  for name, array in arrays.items():
    for way, change in ARRAYS.items():
      try:
        value = change(array)
      except (ValueError, TypeError, IndexError):  # there is no such array
        continue
      yield name, way, functools.partial(_stored, {
          key: value if key == name else other for key, other in arrays.items()
          if key != name or value is not _ABSENT})
  whole = path.read_bytes()
  for way, content in (*FILES.items(), ('half', whole[:len(whole) // 2])):
    yield 'the file', way, functools.partial(bytes, content)


def _stored(arrays: dict[str, np.ndarray]) -> bytes:
  out = io.BytesIO()
  np.savez(out, **arrays)
  return out.getvalue()


def attempt(subject: Subject, folder: pathlib.Path, place: str, way: str,
            by_command: bool = False) -> Outcome:
  """Reads the altered file that lies there."""
  out, err = io.StringIO(), io.StringIO()
  fault = said = ''
  try:
    with warnings.catch_warnings(), contextlib.redirect_stdout(out), (
        contextlib.redirect_stderr(err)):
      warnings.simplefilter('error')
      warnings.filterwarnings('ignore', 'The checkpoint of step')
      if by_command:
        code = commands.main(subject.argv)
        said = err.getvalue().strip().removeprefix('error: ')
        if code not in (0, exit_codes.USER_ERROR) or 'Traceback' in said or (
            code and len(said.splitlines()) != 1):
          fault = f'exit code {code}'
        said = said if code else ''
      else:
        subject.read(folder)
  except (ValueError, FileNotFoundError) as error:
    said = str(error) or 'nothing'
  except Exception as error:  # any is the fault that is looked for
    where = traceback.extract_tb(error.__traceback__)[-1]
    fault = (f'{type(error).__name__}: {str(error)[:200]} in '
             f'{pathlib.Path(where.filename).name}:{where.lineno}')
  # Neither the folder of the runs nor a copy beside it is any reader's.
  said = re.sub(rf'{re.escape(tempfile.gettempdir())}/tmp\w+/', '',
                said.replace(f'{folder}/', ''))
  if said and not fault and (
      not said.startswith('Expected ') or len(said) > _LONGEST):
    fault = 'no sentence that says what was expected, or a long one'
  return Outcome(subject.kind, place, way, said[:_LONGEST], fault)


def try_all(folder: pathlib.Path, of: Sequence[Subject], every: int = 1,
            command_every: int = 900) -> Iterator[Outcome]:
  """Each mutation, or every so manieth, and some by a command, too."""
  for number, subject in enumerate(of):
    path = folder / subject.path
    whole = path.read_bytes()
    subject.read(folder)  # unaltered, it can be read
    if path.suffix == '.npz':
      changes = altered_arrays(path)
    elif path.suffix == '.jsonl':
      changes = altered_lines(whole.decode())
    else:
      changes = altered_json(whole.decode())
    try:
      for k, (place, way, make) in enumerate(changes, number):
        if k % every == 0:
          path.write_bytes(make())
          yield attempt(subject, folder, place, way)
        if subject.argv and command_every and k % command_every == 0:
          path.write_bytes(make())
          yield attempt(subject, folder, place, f'{way}, by a command', True)
      if path.suffix == '.json':
        path.write_bytes(b'')
        with path.open('r+b') as file:  # sparse
          file.truncate(records.LARGEST + 1)
        yield attempt(subject, folder, 'the file', 'too large')
    finally:
      path.write_bytes(whole)


def _measure(values: flags.FlagValues) -> dict[str, Any]:
  with tempfile.TemporaryDirectory() as scratch:
    folder = build(pathlib.Path(scratch).resolve())
    outcomes = list(try_all(folder, subjects(folder), values['every'].value))
  return summary(outcomes)


def summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
  """Counts by kind of file, a sentence of each, and the faults."""
  kinds = {}
  for outcome in outcomes:
    counts = kinds.setdefault(outcome.kind, {
        'tried': 0, 'read': 0, 'refused': 0, 'faults': 0, 'examples': {}})
    end = ('faults' if outcome.fault else 'refused' if outcome.said else 'read')
    counts['tried'] += 1
    counts[end] += 1
    if end == 'refused':
      counts['examples'].setdefault(
          outcome.way, f'{outcome.place}: {outcome.said}'[:300])
  return {
      'tried': len(outcomes), 'kinds': kinds,
      'distinct_sentences': len({o.said for o in outcomes if o.said}),
      'faults': [dataclasses.asdict(o) for o in outcomes if o.fault]}


def markdown(result: dict[str, Any]) -> str:
  """A row for each kind of file."""
  rows = [[kind, *(str(of[end]) for end in (
      'tried', 'read', 'refused', 'faults'))]
          for kind, of in result['kinds'].items()]
  rows.append(['all', *(str(sum(of[end] for of in result['kinds'].values()))
                        for end in ('tried', 'read', 'refused', 'faults'))])
  return '\n'.join([
      '# Stored files, altered', '',
      'Of real runs on tiny images, one field or array at a time was removed '
      f'or replaced, in {len(WAYS)} ways of JSON and {len(ARRAYS)} of '
      'arrays, or the whole file was. It was then read as commands read it '
      'with --allow_unverified; without it, the recorded hashes stop most. '
      '*Read*: what was changed is optional, or another value of its kind. '
      '*Refused*: one '
      f'sentence, of {result["distinct_sentences"]} different ones. *Faults*: '
      'anything else.', '',
      *render.markdown_lines(
          ['file', 'tried', 'read', 'refused', 'faults'], rows), '',
      programs.made_by(result), ''])


def _verdict(result: dict[str, Any]) -> None:
  if result['faults']:
    raise ValueError(f'Expected no fault, got {len(result["faults"])}.')


COMMAND = programs.program(
    'mutations', __doc__, {
        'every': (13, 'of so many mutations one is tried', 1)}, _measure,
    markdown, required=False, package='tests', verdict=_verdict)
main = COMMAND.main

if __name__ == '__main__':
  sys.exit(main())
