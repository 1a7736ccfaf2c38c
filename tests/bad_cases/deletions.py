"""Mistakes in a deletion request and in stored splits."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.bad_cases import edits
from tests.bad_cases.case import Case

REQUESTS, SPLITS = 'Deletion requests', 'Stored splits'
_LIST = '--forget_identities=people.txt'


def _ask(mistake: str, *flags: str, change: Callable | None = None) -> Case:
  """A request on the trained model."""
  return Case(REQUESTS, mistake, (
      'unlearn', '--original=original', '--workdir=out', *flags), change)


def _named(mistake: str, *flags: str, change: Callable | None = None) -> Case:
  """A request on the manifest, whose persons have names."""
  return Case(REQUESTS, mistake, (
      'check', '--data=photos/faces.csv', '--labels=smile', '--image_size=16',
      '--repeats=0', '--workdir=out', *flags), change)


def _list(mistake: str, content: str | bytes, flag: str = _LIST) -> Case:
  return _ask(mistake, flag, change=edits.write('people.txt', content))


def _split(mistake: str, change: Callable | None, *flags: str) -> Case:
  return Case(SPLITS, mistake, (
      'unlearn', '--original=original', '--workdir=out',
      '--splits=retrained/splits.npz', *flags), change)


def _arrays(mistake: str, without: tuple[str, ...] = (),
            **changes: Any) -> Case:
  return _split(mistake, edits.arrays(
      'retrained/splits.npz', without, **changes))


CASES = [
    _ask('nobody is named'),
    _ask('a request is given in two ways', _LIST, '--forget_people=2'),
    _ask('the list is not there', '--forget_identities=none.txt'),
    _ask('the list is a folder', '--forget_identities=photos'),
    _list('the list is empty', ''),
    _list('the list holds comments alone', '# nobody\n\n'),
    _list('the list is no text', bytes(range(256))),
    _list('the list is UTF-16', '0\n1\n'.encode('utf-16')),
    _list('a person is named, where persons are numbers', 'Ann\n'),
    _list('a person has a number below 0', '-1\n'),
    _list('a person is a number with a point', '1.0\n'),
    _list('a line names two persons', '0, 1\n'),
    _list('a person is in no image', '0\n999\n'),
    _list('a person has an absurd number', '9' * 30 + '\n'),
    _list('everybody is named', '\n'.join(map(str, range(12)))),
    _list('sample ids are unknown', 'photo_1\nphoto_2\n',
          '--forget_sample_ids=people.txt'),
    _ask('families are named, where the data tell of none',
         '--forget_families=people.txt'),
    _ask('a class is unknown', '--forget_classes=laugh'),
    _ask('all classes are named', '--forget_classes=smile 0,smile 1'),
    _ask('0 people are to be drawn', '--forget_people=0'),
    _ask('more people are to be drawn than there are', '--forget_people=100'),
    _ask('half a person is to be drawn', '--forget_people=1.5'),
    _ask('no share is to be drawn', '--forget_fraction=0'),
    _ask('all are to be drawn', '--forget_fraction=1'),
    _ask('the share is in per cent', '--forget_fraction=15'),
    _ask('the share is no number', '--forget_fraction=nan'),
    _ask('the seed of the draw is below 0', '--forget_people=2',
         '--forget_seed=-1'),
    _named('a name is misspelt', _LIST,
           change=edits.write('people.txt', 'person0\n')),
    _named('a number is given, where persons have names', _LIST),
    _named('all persons of train are named', _LIST, change=edits.write(
        'people.txt', '\n'.join(f'person{k:02d}' for k in range(12)))),
    _named('nobody of train is named', _LIST,
           change=edits.write('people.txt', 'person11\n')),
    _split('the file is not there', edits.remove('retrained/splits.npz')),
    _split('the file is text', edits.write('retrained/splits.npz', '0 1 2')),
    _split('the file is cut short', edits.cut('retrained/splits.npz')),
    _split('the file is a pickle', edits.write(
        'retrained/splits.npz', b'\x80\x04N.')),
    _split('a request is added to finished splits', None, '--forget_people=2'),
    _split('the splits are those of other images', lambda: os.replace(
        'other.npz', 'faces.npz')),
    _arrays('a part is absent', without=('val',)),
    _arrays('a part is empty', val=lambda a: a[:0]),
    _arrays('parts are positions, not sample ids',
            forget=lambda a: np.arange(len(a))),
    _arrays('a part has two axes', forget=lambda a: a[:, None]),
    _arrays('an image is in no data', forget=lambda a: np.append(a, 'ghost')),
    _arrays('an image is listed twice', forget=lambda a: np.append(a, a[:1])),
    _arrays('a part is unknown', bonus=np.array(['faces_00000'])),
    _arrays('a flag is a text', by_person=np.array('no')),
    _arrays('a flag is a vector', by_person=np.array([True, False])),
    Case(SPLITS, 'a person is in two parts', (
        'unlearn', '--original=original', '--workdir=out',
        '--splits=retrained/splits.npz'), edits.arrays(
            'faces.npz', identity=lambda a: np.arange(len(a)) % 12)),
    Case(SPLITS, 'images of an earlier request are in a part', (
        'evaluate', '--original=original', '--unlearned=unlearned',
        '--workdir=out'), edits.arrays(
            'unlearned/splits.npz',
            earlier=np.array(['faces_00000', 'faces_00001', 'faces_00002']))),
    Case(SPLITS, 'nobody knows the split of the original', (
        'unlearn', '--original=original/checkpoints/model', '--data=faces.npz',
        '--labels=smile', '--image_size=16', '--forget_people=2',
        '--workdir=out')),
]
