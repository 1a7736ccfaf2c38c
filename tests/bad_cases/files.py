"""Manifests, folders, splits and results that take code to spoil."""

from __future__ import annotations

import os
import pathlib
import shutil
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from tests.bad_cases import case, edits
from tests.bad_cases.case import Case

MANIFEST = ('train --data=photos/faces.csv --image_size=16 --width=2 '
            '--stem=small --workdir=out --labels=smile')
_CSV = 'photos/faces.csv'
_HEADER = 'path,identity,smile,age,split'
_COMMANDS = {
    'Manifests': MANIFEST,
    'Trees of folders': 'train --data=tree --root=tree --image_size=16 '
    '--width=2 --stem=small --split_by=image --workdir=out',
    'Deletion requests': 'unlearn --original=original --workdir=out '
    '--forget_identities=people.txt',
    'Stored splits': 'unlearn --original=original --workdir=out '
    '--splits=retrained/splits.npz',
    'Run folders': 'train --data=faces.npz --labels=smile --image_size=16 '
    '--width=2 --stem=small --compute_dtype=float32 --on=all',
    'Evaluations': 'evaluate --original=original --unlearned=unlearned '
    '--retrained=retrained --workdir=out',
    'Reports': 'report --workdir=out --evaluation=evaluation'}


def _cases(theme: str, *rows: tuple[Any, ...]) -> list[Case]:
  """Rows of a mistake, how files change, and the flags."""
  return [case.of(theme, mistake, _COMMANDS[theme], flags, change)
          for mistake, change, *flags in rows]


def _text(change: Callable[[str], str | bytes]) -> edits.Edit:
  """The manifest as text, changed."""
  def edit():
    text = change(pathlib.Path(_CSV).read_text('utf-8'))
    edits.write(_CSV, text)()
  return edit


def _column(position: int, values: Iterable[Any]) -> edits.Edit:
  """Replaces the values of one column from the first row on."""
  def change(text):
    lines = [line.split(',') for line in text.splitlines()]
    for line, value in zip(lines[1:], values):
      line[position] = str(value)
    return '\n'.join(map(','.join, lines)) + '\n'
  return _text(change)


def _splits(without: tuple[str, ...] = (), **changes: Any) -> edits.Edit:
  return edits.arrays('retrained/splits.npz', without, **changes)


def _two(mistake: str, change: Callable | None, *flags: str) -> Case:
  """A comparison of an evaluation with a changed copy."""
  def edit():
    shutil.copytree('evaluation', 'second')
    if change is not None:
      change()
  return case.of(
      'Reports', mistake, 'compare --workdir=out '
      '--evaluations=evaluation,second', flags, edit)


def _losses(**arrays: np.ndarray) -> edits.Edit:
  return lambda: np.savez('evaluation/per_example.npz', **arrays)


CASES = [
    *_cases(
        'Manifests',
        ('the manifest is a folder', lambda: os.mkdir('folder.csv'),
         '--data=folder.csv'),
        ('the path of the manifest is longer than a file system allows', None,
         f'--data={"x" * 400}.csv'),
        ('a person is called like a word for missing values beside it', _column(
            1, ['N A', 'NA'] * 12)),
        ('a spreadsheet was renamed to .csv', edits.write(
            _CSV, b'PK\x03\x04' + bytes(200))),
        ('a value is longer than any path or name', edits.write(
            _CSV, f'{_HEADER}\n{"x" * 200_000},a,1,2,train\n')),
        # With a word that shows the encoding.
        *((f'the file is {name}', _text(
            lambda text, name=name: text.replace('person11', 'Zoë').encode(
                name))) for name in ('UTF-16', 'Latin-1')),
        *((f'columns are separated by {name}', _text(
            lambda text, sign=sign: text.replace(',', sign)))
          for name, sign in (('semicolons', ';'), ('tabs', '\t'))),
        ('a folder in the manifest is a link out of the folder', edits.both(
            edits.replace(_CSV, '23.png', 'more/0_0.png'),
            lambda: os.symlink('../tree/a', 'photos/more'))),
        ('a path names a folder', edits.both(
            edits.remove('photos/23.png'), lambda: os.mkdir('photos/23.png'))),
        ('a path names a pipe', edits.both(
            edits.remove('photos/23.png'), lambda: os.mkfifo('photos/23.png'))),
        ('a path is longer than a file system allows', edits.replace(
            _CSV, '23.png', 'x' * 5000)),
        ('a person has a number below -1', _column(1, [-5, *range(23)])),
        ('all persons are words for missing values', _column(
            1, ['NA', 'nan', '?', 'unknown'] * 6)),
        ('labels are counted from 1', _column(2, [1, 2] * 12)),
        ('all images have one label', _column(2, [0] * 24)),
        ('a class has a name with a line break', _column(
            2, ['no', '"y\nes"'] * 12)),
        ('the split has no val', _column(4, ['train'] * 20 + ['test'] * 4))),
    *_cases(
        'Trees of folders',
        ('there is one class alone', lambda: shutil.rmtree('tree/b')),
        ('images lie beside the classes, not in them', lambda: [
            shutil.move(f'tree/{name}/{file}', f'tree/{file}')
            for name in 'ab' for file in os.listdir(f'tree/{name}')]),
        ('a class has no image', lambda: os.mkdir('tree/c')),
        ('the pattern of persons finds one person in all of a class', lambda: [
            shutil.copy('tree/a/0_0.png', f'tree/a/9_{k}.png')
            for k in range(3)], '--identity_pattern=(png)$'),
        ('a class is a link out of the folder',
         lambda: os.symlink('../photos', 'tree/c')),
        ('a file has a name that is no UTF-8', lambda: os.rename(
            b'tree/a/0_0.png', b'tree/a/0\xff0.png')),
        ('all first folders are parts, and one holds no class', edits.both(
            edits.rename('tree/a', 'tree/train'),
            edits.rename('tree/b', 'tree/test')))),
    *_cases(
        'Deletion requests',
        ('the list is no text', edits.write('people.txt', bytes(range(256)))),
        ('the list is UTF-16', edits.write(
            'people.txt', '0\n1\n'.encode('utf-16')))),
    *_cases(
        'Stored splits',
        ('the file is a pickle', edits.write(
            'retrained/splits.npz', b'\x80\x04N.')),
        ('the splits are those of other images', lambda: os.replace(
            'other.npz', 'faces.npz')),
        ('a part is absent', _splits(('val',))),
        ('a part is empty', _splits(val=lambda a: a[:0])),
        ('parts are positions, not sample ids', _splits(
            forget=lambda a: np.arange(len(a)))),
        ('a part has two axes', _splits(forget=lambda a: a[:, None])),
        ('an image is in no data', _splits(
            forget=lambda a: np.append(a, 'ghost'))),
        ('an image is listed twice', _splits(
            forget=lambda a: np.append(a, a[:1]))),
        ('a part is unknown', _splits(bonus=np.array(['faces_00000']))),
        ('a flag is a text', _splits(by_person=np.array('no'))),
        ('a flag is a vector', _splits(by_person=np.array([True, False]))),
        ('a person is in two parts', edits.arrays(
            'faces.npz', identity=lambda a: np.arange(len(a)) % 12))),
    case.of('Stored splits', 'images of an earlier request are in a part',
            'evaluate --original=original --unlearned=unlearned --workdir=out',
            change=edits.arrays('unlearned/splits.npz', earlier=np.array(
                ['faces_00000', 'faces_00001', 'faces_00002']))),
    *_cases(
        'Run folders',
        ('the name is longer than a file system allows', None,
         f'--workdir={"x" * 300}'),
        ('the name is a link to itself', lambda: os.symlink('me', 'me'),
         '--workdir=me'),
        ('the config in the folder is a folder', edits.both(
            edits.remove('original/config.json'),
            lambda: os.mkdir('original/config.json')), '--workdir=original')),
    *_cases(
        'Evaluations',
        ('the unlearned run has no last state', lambda: shutil.rmtree(
            'unlearned/checkpoints/last'), '--state=last'),
        ('the split of the unlearned run has no forget set',
         lambda: shutil.copy('original/splits.npz', 'unlearned/splits.npz')),
        ('the config of the unlearned run is no text', edits.write(
            'unlearned/config.json', b'\xff\xfe{')),
        ('the images are others now', edits.arrays(
            'faces.npz', **dict.fromkeys(
                ('images', 'smile', 'identity'), lambda a: a[:12])))),
    *_cases(
        'Reports',
        ('the result is nested too deeply', edits.write(
            'evaluation/result.json', '[' * 10**5)),
        ('the result is larger than any', lambda: os.truncate(
            'evaluation/result.json', 2**30)),
        ('a number of the result is beyond any', edits.replace(
            'evaluation/result.json', '"seed": 0', '"seed": 1e999')),
        ('the losses are not numbers', _losses(**{
            f'unlearned/{split}/loss': np.full(3, np.nan, np.float32)
            for split in ('forget', 'test')})),
        ('the losses are those of forget alone', _losses(**{
            'unlearned/forget/loss': np.ones(3, np.float32)})),
        ('the losses are pickled', _losses(**{
            'unlearned/forget/loss': np.array([{}], object)})),
        ('the losses are texts', _losses(**{
            f'{model}/{split}/{what}': np.array(['a', 'b'])
            for model in ('original', 'unlearned')
            for split in ('forget', 'test') for what in ('loss', 'margin')})),
        ('the id of the request is a whole letter', None,
         f'--request_id={"Dear all, " * 50}'),
        ('the report is to be a folder below a file', None,
         '--workdir=people.txt/report')),
    _two('one evaluation is of other data', edits.fields(
        'second/config.json', 'fingerprint', '0' * 64)),
    _two('one evaluation has no config', edits.remove('second/config.json')),
    _two('one config is a list', edits.write('second/config.json', '[]')),
    _two('one result lacks its metrics', edits.fields(
        'second/result.json', 'metrics')),
    _two('no evaluation is named', None, '--evaluations='),
    _two('an evaluation is not there', None,
         '--evaluations=evaluation,nowhere'),
    _two('an evaluation is named twice', None,
         '--evaluations=evaluation,evaluation'),
    _two('there are more names than evaluations', None, '--names=a,b,c'),
    _two('two columns get one name', None, '--names=a,a'),
    _two('a column gets the name of another model', None,
         '--names=a,retrained'),
    _two('the folder holds other files', None, '--workdir=photos'),
]
