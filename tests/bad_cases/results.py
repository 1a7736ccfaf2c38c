"""Run folders, evaluations, reports and comparisons of the wrong things."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.bad_cases import edits
from tests.bad_cases.case import Case

FOLDERS, EVALUATIONS, REPORTS = 'Run folders', 'Evaluations', 'Reports'
_TRAIN = ('train', '--data=faces.npz', '--labels=smile', '--image_size=16',
          '--width=2', '--stem=small', '--compute_dtype=float32', '--on=all')
_RESULT = 'evaluation/result.json'


def _folder(mistake: str, change: Callable | None, workdir: str) -> Case:
  return Case(FOLDERS, mistake, (*_TRAIN, f'--workdir={workdir}'), change)


def _evaluate(mistake: str, *flags: str,
              change: Callable | None = None) -> Case:
  given = {flag.split('=')[0] for flag in flags}
  kept = [flag for flag in (
      '--original=original', '--unlearned=unlearned', '--retrained=retrained',
      '--workdir=out') if flag.split('=')[0] not in given]
  return Case(EVALUATIONS, mistake, ('evaluate', *kept, *flags), change)


def _report(mistake: str, change: Callable | None = None,
            *flags: str) -> Case:
  return Case(REPORTS, mistake, (
      'report', '--workdir=out', *(flags or ('--evaluation=evaluation',))),
              change)


def _result(mistake: str, **changes: Any) -> Case:
  return _report(mistake, edits.fields(_RESULT, **changes))


def _compare(mistake: str, *flags: str,
             change: Callable | None = None) -> Case:
  copied = lambda: shutil.copytree('evaluation', 'second')
  return Case(REPORTS, mistake, ('compare', '--workdir=out', *flags),
              edits.both(copied, change) if change else copied)


def _two(mistake: str, change: Callable, *flags: str) -> Case:
  return _compare(
      mistake, '--evaluations=evaluation,second', *flags, change=change)


def _nothing():
  pass


CASES = [
    _folder('the folder is a file', None, 'people.txt'),
    _folder('the folder lies below a file', None, 'people.txt/run'),
    _folder('the folder holds other files', None, 'photos'),
    _folder('the folder holds a run with other settings', edits.fields(
        'original/config.json', train__epochs=7), 'original'),
    _folder('the folder holds an unlearning run', None, 'unlearned'),
    _folder('the name is longer than a file system allows', None, 'x' * 300),
    _folder('the name is a link to itself', lambda: os.symlink('me', 'me'),
            'me'),
    _folder('the config in the folder is cut short', edits.cut(
        'original/config.json'), 'original'),
    _folder('the config in the folder is a list', edits.write(
        'original/config.json', '[1, 2]'), 'original'),
    _folder('the config in the folder is a folder', edits.both(
        edits.remove('original/config.json'),
        lambda: os.mkdir('original/config.json')), 'original'),
    _evaluate('the original is not there', '--original=nowhere'),
    _evaluate('the unlearned run is not there', '--unlearned=nowhere'),
    _evaluate('the original is given as the unlearned run',
              '--unlearned=original'),
    _evaluate('the retrained run is not there', '--retrained=nowhere'),
    _evaluate('the retrained model saw the people to forget',
              '--retrained=original'),
    _evaluate('one retrained run is given twice',
              '--retrained=retrained,retrained'),
    _evaluate('the unlearned run has no last state', '--state=last',
              change=lambda: shutil.rmtree('unlearned/checkpoints/last')),
    _evaluate('the state is unknown', '--state=first'),
    _evaluate('there is no such tier', '--tier=2'),
    _evaluate('resamples are too few', '--bootstrap=5'),
    _evaluate('resamples are a word', '--bootstrap=many'),
    _evaluate('the seed is below 0', '--evaluation_seed=-1'),
    _evaluate('the time of the search is below 0', '--search_s=-5'),
    _evaluate('the time of the search is no number', '--search_s=nan'),
    _evaluate('relearning has a rate of 0', '--tier=1', '--relearn_rate=0'),
    _evaluate('relearning has no run', '--tier=1', '--relearn_seeds=0'),
    _evaluate('the split of the unlearned run is gone', change=edits.remove(
        'unlearned/splits.npz')),
    _evaluate('the split of the unlearned run has no forget set',
              change=lambda: shutil.copy(
                  'original/splits.npz', 'unlearned/splits.npz')),
    _evaluate('the config of the unlearned run lacks the data',
              change=edits.fields('unlearned/config.json', data=...)),
    _evaluate('the config of the unlearned run is no text',
              change=edits.write('unlearned/config.json', b'\xff\xfe{')),
    _evaluate('the images are others now', change=edits.arrays(
        'faces.npz', images=lambda a: a[:12], smile=lambda a: a[:12],
        identity=lambda a: a[:12])),
    _evaluate('the result of the unlearned run is a list', change=edits.write(
        'unlearned/result.json', '[]')),
    _report('the evaluation is not there', None, '--evaluation=nowhere'),
    _report('the evaluation is not finished', edits.remove(_RESULT)),
    _report('a training run is given', edits.write(
        'original/result.json', '{"kind": "train"}'), '--evaluation=original'),
    _report('the result is cut short', edits.cut(_RESULT)),
    _report('the result is empty', edits.write(_RESULT, '{}')),
    _report('the result is a list', edits.write(_RESULT, '[]')),
    _result('the result is of another version', schema=9),
    _result('the figures are a text', metrics='good'),
    _result('a figure is a number without a name', metrics=[1.5]),
    _result('the data are a list', data=[1]),
    _result('the models are a text', models='both'),
    _result('the request is a number', request=3),
    _result('the versions are a list', versions=['1', '2']),
    _result('the config is not a number', config__bootstrap=float('nan')),
    _report('the losses are no archive', edits.write(
        'evaluation/per_example.npz', 'losses')),
    _report('the losses are pickled', lambda: np.savez(
        'evaluation/per_example.npz', **{
            'unlearned/forget/loss': np.array([{}], object)})),
    _report('the losses are texts', lambda: np.savez(
        'evaluation/per_example.npz', **{
            f'{model}/{split}/{what}': np.array(['a', 'b'])
            for model in ('original', 'unlearned')
            for split in ('forget', 'test') for what in ('loss', 'margin')})),
    _report('the day of the request is no date', None,
            '--evaluation=evaluation', '--received=last week'),
    _report('the day of the request does not exist', None,
            '--evaluation=evaluation', '--received=2026-02-30'),
    _report('the id of the request is a whole letter', None,
            '--evaluation=evaluation', f'--request_id={"Dear all, " * 50}'),
    _report('the report is to be a folder below a file', None,
            '--evaluation=evaluation', '--workdir=people.txt/report'),
    _compare('no evaluation is named'),
    _compare('an evaluation is not there', '--evaluations=evaluation,nowhere'),
    _compare('an evaluation is named twice',
             '--evaluations=evaluation,evaluation'),
    _two('there are more names than evaluations', _nothing, '--names=a,b,c'),
    _two('two columns get one name', _nothing, '--names=a,a'),
    _two('a column gets the name of another model', _nothing,
         '--names=a,retrained'),
    _two('one evaluation is of other data', edits.fields(
        'second/config.json', fingerprint='0' * 64)),
    _two('one evaluation has no config', edits.remove('second/config.json')),
    _two('one config is a list', edits.write('second/config.json', '[]')),
    _two('one result lacks its figures', edits.fields(
        'second/result.json', metrics=...)),
    _two('the folder holds other files', _nothing, '--workdir=photos'),
]
