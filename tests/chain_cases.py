"""Real runs whose files are altered, exchanged or taken from another run.

    python -m tests.chain_cases

makes tiny runs, tries every situation in a copy of them with the commands that
a user types, and writes docs/results/chain.md and chain.json.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import pathlib
import shutil
import tempfile
from collections.abc import Callable

import numpy as np

from dlfd_jax.cli import commands, exit_codes
from dlfd_jax.data import (
  requests,
  resolution,
  sources,
  split_files,
  splits as splits_lib,
)
from dlfd_jax.pipeline import forgotten
from dlfd_jax.report import render
from dlfd_jax.utils import records, runs
from tests.cli import runs_of

RESULT = pathlib.Path(__file__).parents[1] / 'docs' / 'results' / 'chain.json'
_DATA = 'faces.npz'
_OF = '--data=faces.npz'  # the copy's, whatever the runs recorded
_QUICK = '--epochs=1 --batch_size=16 --method=finetune'
_FIRST = ('Not verified', 'Nothing changed', 'Original:')
_MODEL = 'checkpoints/model'
TRAIN = f'train {_OF} --original=original --on=retain'
UNLEARN = f'unlearn {_OF} --original=original --forget_people=2 {_QUICK}'
# A rate that is 0 in float32; several devices round the averages of statistics.
NOTHING = f'{UNLEARN} --learning_rate=1e-46 --weight_decay=0 --devices=1'
EVALUATE = (f'evaluate {_OF} --original=original --unlearned=unlearned '
            '--bootstrap=20')
# At tier 1 and 2 with settings that take no time.
TIERED = (f'{EVALUATE} --relearn_steps=1 --relearn_seeds=1 --devices=1')
AUDIT = (f'audit {_OF} --original=original --model=unlearned --bootstrap=20 '
         '--splits=unlearned/splits.npz --devices=1')
DEMO = 'demo --architecture=tests.models.own_nets:Own --epochs=1 --devices=1'
CHECK = f'check {_OF} --original=original --forget_people=2 --repeats=0'


@dataclasses.dataclass(frozen=True)
class Case:
  """A situation and what has to come of it.

  Attributes:
    what: is altered or exchanged; heading of the table.
    situation: in words.
    command: that a user types, without ``--workdir``.
    says: what its answer must hold; of one that ends well, its first lines.
    change: made to the files before.
    code: the exit code.
  """

  what: str
  situation: str
  command: str
  says: str
  change: Callable[[], object] | None = None
  code: int = exit_codes.USER_ERROR


def build(folder: pathlib.Path) -> pathlib.Path:
  """Trains, unlearns and evaluates in a new folder."""
  folder.mkdir(parents=True)
  with contextlib.chdir(folder):
    runs_of.write_data(pathlib.Path())
    arrays = dict(np.load(_DATA))
    os.mkdir('other')  # the name of the file is that of the images
    np.savez('other/faces.npz', **{**arrays, 'shade': 1 - arrays['shade']})
    start = ' '.join([*runs_of.data_flags(pathlib.Path(_DATA)),
                      *runs_of.NETWORK, *runs_of.RECIPE])
    retrain = '--on=retain --splits=unlearned/splits.npz --original=original'
    for name, line in {
        'original': f'train {start}', 'original_1': f'train {start} --seed=1',
        'unlearned': f'unlearn --original=original --forget_people=3 {_QUICK}',
        'unlearned_1': 'unlearn --original=original --forget_people=3 '
                       f'--forget_seed=1 {_QUICK}',
        'second': 'unlearn --original=unlearned --forget_people=2 '
                  f'--forget_seed=2 {_QUICK}',
        'retrained': f'train {retrain}',
        'retrained_other': f'train {retrain} --data=other/faces.npz '
                           '--allow_unverified',
        'retrained_longer': f'train {retrain} --epochs=3',
        'retrained_1': 'train --on=retain --original=original '
                       '--splits=unlearned_1/splits.npz',
        'evaluation': f'{EVALUATE} --retrained=retrained',
        'evaluation_1': 'evaluate --original=original --bootstrap=20 '
                        '--unlearned=unlearned_1 --retrained=retrained_1',
        'references': 'references --original=original --unlearned=unlearned '
                      '--n=4 --repeats=0',
        'references_1': 'references --original=original '
                        '--unlearned=unlearned_1 --n=1 --repeats=0',
        'audited': AUDIT, 'demo': DEMO,
    }.items():
      _run(f'{line} --workdir={name}')
    code, said = _run(f'{NOTHING} --workdir=nothing', check=False)
    assert code == exit_codes.NOT_FORGOTTEN, said
    dataset = sources.load(sources.DataOptions(
        source=_DATA, labels=('shade',), image_size=runs_of.SIZE))
    splits, _ = resolution.resolve_request(
        dataset, splits_lib.draw_partition(dataset, seed=9),
        requests.ForgetRequest(people=3))
    split_files.save_splits('foreign.npz', dataset, splits)
  return folder


def _run(line: str, check: bool = True) -> tuple[int, str]:
  """Exit code of a command, and its error or its first lines."""
  out, err = io.StringIO(), io.StringIO()
  with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
    code = commands.main(line.split())
  if check and code:
    raise AssertionError(f'{line}: {err.getvalue()}')
  if code == exit_codes.USER_ERROR:
    return code, err.getvalue().strip().removeprefix('error: ')
  lines = ' '.join(out.getvalue().split()) if code else ''
  found = [line.strip() for line in out.getvalue().splitlines()
           if line.startswith(_FIRST)]
  return code, ' '.join(found) or lines[:0]


def attempt(case: Case, template: pathlib.Path) -> tuple[int, str]:
  """Exit code and answer of a case, tried in a copy of the runs."""
  with tempfile.TemporaryDirectory() as scratch:
    place = pathlib.Path(scratch).resolve() / 'here'
    shutil.copytree(template, place)
    with contextlib.chdir(place):
      if case.change is not None:
        case.change()
      workdir = '' if case.command.startswith('export') or (
          '--workdir' in case.command) else ' --workdir=out'
      code, said = _run(case.command + workdir, check=False)
      wrote = (place / 'out').exists()
    said = said.replace(f'{place}{os.sep}', '').replace(
        f'{template}{os.sep}', '')
  if code == exit_codes.USER_ERROR and wrote:
    said += ' (AND WROTE FILES)'
  return code, said


def holds(case: Case, code: int, said: str) -> bool:
  """Whether the answer is the one that the case asks for."""
  plain = not case.says and not said  # accepted without a word
  # Beside another original, tiny models may well have lost accuracy.
  codes = {case.code} if case.code else {case.code, exit_codes.UNUSABLE}
  return (code in codes and (plain or bool(case.says) and case.says in said)
          and 'AND WROTE' not in said)


def _arrays(path: str = _DATA, **changes: Callable[[np.ndarray], np.ndarray]):
  """Rewrites entries of an npz file."""
  def change() -> None:
    arrays = dict(np.load(path))
    np.savez(path, **{
        name: changes.get(name, changes.get('every', lambda a: a))(array)
        for name, array in arrays.items()})
  return change


def _copy(source: str, target: str):
  """Puts a file or folder in the place of another."""
  def change() -> None:
    if os.path.isdir(source):
      shutil.rmtree(target, ignore_errors=True)
      shutil.copytree(source, target)
    else:
      shutil.copy(source, target)
  return change


def _edit(path: str, **fields):
  """Sets fields of a JSON file."""
  def change() -> None:
    tree = json.loads(pathlib.Path(path).read_text())
    pathlib.Path(path).write_text(json.dumps({**tree, **fields}))
  return change


def _as_before(*folders: str):
  """Takes from runs what earlier versions did not write."""
  def change() -> None:
    for folder in folders:
      for name in (runs.CONFIG, runs.RESULT, forgotten.JUDGED):
        path = pathlib.Path(folder, name)
        if not path.exists():
          continue
        tree = json.loads(path.read_text())
        for key in ('chain', 'run', 'sha256', 'weights', 'verification',
                    'arrays'):
          tree.pop(key, None)
        path.write_text(json.dumps(tree))
  return change


def _imported(then: Callable[[], object] | None = None):
  """Exports the original and imports it; then the change."""
  def change() -> None:
    _run(f'import_weights --weights=original/{_MODEL}/variables {_OF} '
         '--labels=shade --image_size=12 --model=tests.models.own_nets:Own '
         '--allow_unverified --workdir=imported')
    if then is not None:
      then()
  return change


_REVERSED = _arrays(every=lambda a: a[::-1])
_FLIPPED = _arrays(shade=lambda a: 1 - a)
_LONGER = _arrays(
    images=lambda a: np.concatenate([a, a[:2]]),
    shade=lambda a: np.concatenate([a, a[:2]]),
    identity=lambda a: np.concatenate([a, [90, 91]]))
_ORDER = 'in another order: a sample id now means another image'
_IMPORTED = '--original=imported --splits=unlearned/splits.npz --labels=shade'
CASES = (
    *(Case('data', f'rows reordered since training, {line.split()[0]}', line,
           _ORDER, _REVERSED) for line in (TRAIN, UNLEARN, EVALUATE, CHECK)),
    *(Case('data', f'labels flipped since training, {line.split()[0]}', line,
           'other labels', _FLIPPED) for line in (UNLEARN, EVALUATE, CHECK)),
    Case('data', 'pixels inverted since training', EVALUATE, 'other pixels',
         _arrays(images=lambda a: 255 - a)),
    Case('data', 'persons exchanged since training', EVALUATE,
         'other identities', _arrays(identity=lambda a: a[::-1])),
    Case('data', 'images removed since training', EVALUATE, 'that are not',
         _arrays(every=lambda a: a[:-4])),
    Case('data', 'images added since training', EVALUATE, '', _LONGER, 0),
    Case('data', 'labels flipped before an interrupted training goes on',
         ' '.join(['train', *runs_of.data_flags(pathlib.Path(_DATA)),
                   *runs_of.NETWORK, *runs_of.RECIPE, '--workdir=original']),
         'other labels', lambda: (
             os.remove('original/result.json'), _FLIPPED())),
    Case('split', 'splits.npz of another request', EVALUATE,
         'another split or request: retain, forget differ',
         _copy('unlearned_1/splits.npz', 'unlearned/splits.npz')),
    Case('split', 'splits.npz of the original from its unlearning run', UNLEARN,
         'another split or request',
         _copy('unlearned/splits.npz', 'original/splits.npz')),
    Case('split', 'splits.npz of another request, retraining',
         f'{TRAIN} --splits=unlearned/splits.npz', 'another split or request',
         _copy('unlearned_1/splits.npz', 'unlearned/splits.npz')),
    Case('split', '--splits of another partition',
         f'unlearn {_OF} --original=original --splits=foreign.npz {_QUICK}',
         'a split of other images'),
    Case('original', 'another seed', f'{EVALUATE} --original=original_1',
         'that it does not descend from'),
    Case('original', 'the retrained model', f'{EVALUATE} --original=retrained',
         'that it does not descend from'),
    Case('original', 'two unlearnings in a row, exchanged',
         f'{EVALUATE} --original=second', 'that it does not descend from'),
    Case('original', 'the one before two unlearnings in a row',
         f'{EVALUATE} --unlearned=second',
         'Original: original, the model 1 run before', None, 0),
    Case('original', 'the one between two unlearnings in a row',
         f'{EVALUATE} --original=unlearned --unlearned=second', '', None, 0),
    Case('original', 'the retrained model, to unlearn from',
         f'unlearn {_OF} --original=retrained --splits=unlearned/splits.npz '
         f'{_QUICK}', 'retain and forget to be what the original'),
    *(Case('original', f'weights of another seed in its folder, {name}', line,
           'Expected the weights that the run of the',
           _copy(f'original_1/{_MODEL}', f'original/{_MODEL}'))
      for name, line in (
          ('unlearn', UNLEARN), ('evaluate', EVALUATE), ('check', CHECK),
          ('export_weights',
           'export_weights --model=original --weights=out.safetensors'))),
    Case('original', 'an imported model', f'unlearn {_OF} {_IMPORTED} '
         f'--image_size=12 {_QUICK}', 'was imported: what it was '
         'trained on', _imported(), 0),
    Case('original', 'labels flipped since it was imported',
         f'unlearn {_OF} {_IMPORTED} --image_size=12 {_QUICK} '
         '--splits=foreign.npz', 'other labels', _imported(_FLIPPED)),
    Case('unlearned', 'weights of another request in its folder', EVALUATE,
         'Expected the weights that the run of the unlearned model',
         _copy(f'unlearned_1/{_MODEL}', f'unlearned/{_MODEL}')),
    Case('unlearned', 'its last state from another run',
         f'{EVALUATE} --state=last', 'others in its checkpoints/last',
         _copy('unlearned_1/checkpoints/last', 'unlearned/checkpoints/last')),
    *(Case('unlearned', f'its judged.json altered, {line.split()[0]}', line,
           'the judged.json of', _edit('unlearned/judged.json', people={}))
      for line in (EVALUATE, UNLEARN.replace('=original', '=unlearned', 1))),
    *(Case('unlearned', f'its {name} from another run', EVALUATE,
           'altered, or from another run',
           _copy(f'unlearned_1/{name}', f'unlearned/{name}'))
      for name in (runs.CONFIG, runs.RESULT)),
    Case('unlearned', 'its config.json altered', EVALUATE,
         'altered, or from another run',
         _edit('unlearned/config.json', seed=5)),
    Case('unlearned', 'its result.json altered', EVALUATE, 'one that was '
         'altered', _edit('unlearned/result.json', steps=5)),
    Case('unlearned', 'its result.json altered, the same command again',
         f'unlearn --original=original --forget_people=3 {_QUICK} '
         '--workdir=unlearned', 'one that was altered',
         _edit('unlearned/result.json', steps=5)),
    Case('unlearned', 'its result.json lost', EVALUATE, 'has no result.json',
         lambda: os.remove('unlearned/result.json'), 0),
    Case('unlearned', 'equal to the original, unlearn',
         NOTHING,
         'Nothing changed: the unlearned model equals', None,
         exit_codes.NOT_FORGOTTEN),
    Case('unlearned', 'equal to the original, evaluate',
         f'{EVALUATE} --unlearned=nothing', 'Nothing changed', None,
         exit_codes.NOT_FORGOTTEN),
    *(Case('retrained', situation, f'{EVALUATE} --retrained={name}', says)
      for situation, name, says in (
          ('the original itself', 'original', 'the original model itself'),
          ('the unlearned model itself', 'unlearned', 'the unlearned model'),
          ('of another request', 'retrained_1', 'it was trained on others'),
          ('of other labels', 'retrained_other', 'other labels'),
          ('of another recipe', 'retrained_longer', 'epochs was 2, is now 3'),
          ('the same one twice', 'retrained,retrained', 'different seeds'))),
    *(Case('evaluation', f'{name} of another evaluation, report',
           'report --evaluation=evaluation', says,
           _copy(f'evaluation_1/{name}', f'evaluation/{name}'))
      for name, says in (
          ('per_example.npz', 'altered, or from another evaluation'),
          ('result.json', 'altered, or from another run'),
          ('config.json', 'altered, or from another run'))),
    Case('evaluation', 'a loss altered in per_example.npz',
         'report --evaluation=evaluation',
         'altered, or from another evaluation',
         _arrays('evaluation/per_example.npz', **{
             'unlearned/forget/loss': lambda a: a + 1})),
    Case('evaluation', 'a sentence added to result.json',
         'report --evaluation=evaluation', 'one that was altered',
         _edit('evaluation/result.json', notes=['All is well.'])),
    Case('evaluation', 'per_example.npz lost', 'report --evaluation=evaluation',
         'has lost its per_example.npz',
         lambda: os.remove('evaluation/per_example.npz'), 0),
    Case('evaluation', 'per_example.npz of another evaluation, compare',
         'compare --evaluations=evaluation,evaluation_1',
         'altered, or from another evaluation',
         _copy('evaluation_1/per_example.npz', 'evaluation/per_example.npz')),
    Case('evaluation', 'of other requests, compared',
         'compare --evaluations=evaluation,evaluation_1',
         'the same split and request'),
    Case('tier 1', 'reference models of another request',
         f'{TIERED} --tier=1 --references=references_1',
         'it was trained on others'),
    Case('tier 1', 'weights of one reference model in the folder of another',
         f'{TIERED} --tier=1 --references=references',
         'different seeds', _copy(
             f'references/000/{_MODEL}', f'references/001/{_MODEL}')),
    Case('tier 1', 'a reference model from another request in the folder',
         f'{TIERED} --tier=1 --references=references', 'Expected',
         _copy('references_1/000', 'references/003')),
    Case('tier 1', 'labels flipped since the reference models were trained',
         f'{TIERED} --tier=1 --references=references', 'other labels',
         _FLIPPED),
    Case('tier 2', 'as it should be', f'{TIERED} --tier=2 '
         '--references=references', '', None, 0),
    Case('tier 2', 'one reference model more, trained on other people',
         f'{TIERED} --tier=2 --references=references --retrained=retrained_1',
         'Expected'),
    Case('tier 2', 'too few reference models',
         f'{TIERED} --tier=2 --retrained=retrained',
         'at least 4 retrained models at tier 2'),
    *(Case('audit', f'{situation} since training', AUDIT, says, change)
      for situation, says, change in (
          ('labels flipped', 'other labels', _FLIPPED),
          ('rows reordered', _ORDER, _REVERSED),
          ('images removed', 'got data without 4 of them', _arrays(
              every=lambda a: a[:-4])))),
    Case('audit', 'another original',
         f'{AUDIT} --original=original_1', 'that it does not descend from'),
    Case('audit', 'weights of another request in its folder', AUDIT,
         'Expected the weights that the run of',
         _copy(f'unlearned_1/{_MODEL}', f'unlearned/{_MODEL}')),
    Case('audit', 'splits.npz of another request', AUDIT,
         'another split or request',
         _copy('unlearned_1/splits.npz', 'unlearned/splits.npz')),
    Case('audit', 'a retrained model of another request',
         f'{AUDIT} --retrained=retrained_1', 'it was trained on others'),
    Case('audit', 'its result.json altered, report',
         'report --evaluation=audited', 'one that was altered',
         _edit('audited/result.json', notes=['All is well.'])),
    Case('demo', 'the result of its unlearning altered, the same command again',
         f'{DEMO} --workdir=demo', 'one that was altered',
         _edit('demo/unlearned/result.json', steps=5)),
    Case('demo', 'weights of one retrained model in the folder of another, the '
         'same command again', f'{DEMO} --workdir=demo', 'different seeds',
         _copy(f'demo/retrained_1/{_MODEL}', f'demo/retrained/{_MODEL}')),
    Case('earlier versions', 'original and unlearned without hashes', EVALUATE,
         'recorded no hash of them', _as_before('original', 'unlearned'), 0),
    Case('earlier versions', 'the same, labels flipped', EVALUATE,
         'recorded one hash', lambda: (
             _as_before('original', 'unlearned')(), _FLIPPED())),
    Case('earlier versions', 'an evaluation without hashes',
         'report --evaluation=evaluation', 'recorded no hashes',
         _as_before('evaluation'), 0),
    Case('--allow_unverified', 'labels flipped, evaluate',
         f'{EVALUATE} --allow_unverified',
         'Not verified, allowed by --allow_unverified: Expected', _FLIPPED, 0),
    Case('--allow_unverified', 'labels flipped, unlearn',
         f'{UNLEARN} --allow_unverified',
         'Not verified, allowed by --allow_unverified: Expected', _FLIPPED, 0),
    Case('--allow_unverified', 'another original, evaluate',
         f'{EVALUATE} --original=original_1 --allow_unverified',
         'allowed by --allow_unverified: Expected', None, 0),
)


def main() -> None:
  """Tries all cases and writes the table."""
  with tempfile.TemporaryDirectory() as scratch:
    template = build(pathlib.Path(scratch).resolve() / 'runs')
    tried = [(case, *attempt(case, template)) for case in CASES]
  for case, code, said in tried:
    if not holds(case, code, said):
      print(f'DIFFERS {case.what}: {case.situation}: {code} {said}')
  outcomes = [{
      'artefact': case.what, 'situation': case.situation,
      'command': f'dlfd {case.command}', 'exit_code': code, 'said': said,
      'holds': holds(case, code, said)} for case, code, said in tried]
  runs.write_json(RESULT, {
      'kind': 'chain', 'command': 'python -m tests.chain_cases',
      'versions': runs.versions(), 'tried': len(outcomes),
      'otherwise': sum(not o['holds'] for o in outcomes),
      'outcomes': outcomes})
  runs.write_text(RESULT.with_suffix('.md'), markdown(
      records.read(RESULT)))


def markdown(found: dict) -> str:
  """The page of the table."""
  outcomes = found['outcomes']
  lines = [
      '# Evidence belongs to its models', '',
      f'{found["tried"]} situations with tiny real runs: a file altered, '
      'exchanged or taken from another run, and what the command answers. '
      f'Answered otherwise than they should be: {found["otherwise"]}. Exit '
      'codes: 2 refused, 0 done, 4 done and nothing changed, 5 done and much '
      'accuracy lost. Written by '
      f'`{found["command"]}`.']
  for what in dict.fromkeys(o['artefact'] for o in outcomes):
    lines += ['', f'## {what[0].upper()}{what[1:]}', '', *render.markdown_lines(
        ['situation', 'exit code', 'answer'],
        [[o['situation'], str(o['exit_code']),
          o['said'] or 'accepted without a word'] for o in outcomes
         if o['artefact'] == what], 'lrl')]
  return '\n'.join(lines) + '\n'


if __name__ == '__main__':
  main()
