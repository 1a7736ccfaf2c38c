"""Mistakes in a CSV manifest."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable

from tests.bad_cases import edits
from tests.bad_cases.case import Case

THEME = 'Manifests'
CSV = 'photos/faces.csv'
FLAGS = ('--data=photos/faces.csv', '--image_size=16', '--width=2',
         '--stem=small', '--workdir=out')
_HEADER = 'path,identity,smile,age,split'
_ROW = '23.png,person11,1,43,test'


def _train(mistake: str, *flags: str, change: Callable | None = None) -> Case:
  given = {flag.split('=')[0] for flag in flags}
  kept = [flag for flag in (*FLAGS, '--labels=smile')
          if flag.split('=')[0] not in given]
  return Case(THEME, mistake, ('train', *kept, *flags), change)


def _edit(mistake: str, old: str, new: str, *flags: str) -> Case:
  return _train(mistake, *flags, change=edits.replace(CSV, old, new))


def _file(mistake: str, content: str | bytes) -> Case:
  return _train(mistake, change=edits.write(CSV, content))


def _encoded(name):
  """The manifest in another encoding, with a word that shows it."""
  def edit():
    path = pathlib.Path(CSV)
    text = path.read_text('utf-8').replace('person11', 'Zoë')
    path.write_bytes(text.encode(name))
  return edit


def _separator(character):
  def edit():
    path = pathlib.Path(CSV)
    path.write_text(path.read_text('utf-8').replace(',', character), 'utf-8')
  return edit


def _column(position, values):
  """Replaces the values of one column from the first row on."""
  def edit():
    path = pathlib.Path(CSV)
    lines = [line.split(',') for line in path.read_text('utf-8').splitlines()]
    for line, value in zip(lines[1:], values):
      line[position] = str(value)
    path.write_text('\n'.join(map(','.join, lines)) + '\n', 'utf-8')
  return edit


CASES = [
    _train('the manifest is not there', '--data=photos/none.csv'),
    _train('the manifest is a folder', '--data=folder.csv',
           change=lambda: os.mkdir('folder.csv')),
    _train('the path of the manifest is longer than a file system allows',
           f'--data={"x" * 400}.csv'),
    _file('the file is empty', ''),
    _file('there is a header but no row', _HEADER + '\n'),
    _file('a spreadsheet was renamed to .csv', b'PK\x03\x04' + bytes(200)),
    _file('a value is longer than any path or name',
          f'{_HEADER}\n{"x" * 200_000},a,1,2,train\n'),
    _file('a quotation mark is never closed',
          f'{_HEADER}\n"00.png,person00,0,20,train\n'),
    _train('the file is UTF-16', change=_encoded('utf-16')),
    _train('the file is Latin-1', change=_encoded('latin-1')),
    _train('columns are separated by semicolons', change=_separator(';')),
    _train('columns are separated by tabs', change=_separator('\t')),
    _edit('there is no column path', 'path,', 'file,'),
    _edit('there is no column identity', 'identity,', 'person,'),
    _train('the label is no column', '--labels=laugh'),
    _edit('two columns have one name', 'age,', 'smile,'),
    _edit('a column has no name', 'age,', ','),
    _edit('a row lacks a value', _ROW, '23.png,person11,1,43'),
    _edit('a row has a value too many', _ROW, _ROW + ',x'),
    _edit('an image is not there', '23.png', '99.png'),
    _edit('a path is listed twice', '23.png', '22.png'),
    _edit('a file is listed twice in two spellings', '23.png', './a/../22.png'),
    _edit('a path is blank', '23.png', ''),
    _edit('a path leads out of the folder', '23.png', '../people.txt'),
    _edit('a path is absolute', '23.png', '/etc/hostname'),
    _train('a path is a link out of the folder', change=edits.link(
        'photos/23.png', '../tree/a/0_0.png')),
    _train('a path is a link to itself', change=edits.link(
        'photos/23.png', '23.png')),
    _train('a folder in the manifest is a link out of the folder',
           change=edits.both(
               edits.replace(CSV, '23.png', 'more/0_0.png'),
               lambda: os.symlink('../tree/a', 'photos/more'))),
    _train('a path names a folder', change=edits.both(
        edits.remove('photos/23.png'), lambda: os.mkdir('photos/23.png'))),
    _train('a path names a pipe', change=edits.both(
        edits.remove('photos/23.png'), lambda: os.mkfifo('photos/23.png'))),
    _edit('a path is longer than a file system allows', '23.png', 'x' * 5000),
    _edit('a path holds a NUL character', '23.png', '23\0.png'),
    _edit('a path holds a line break', '23.png', '"23\n.png"'),
    _train('a person has a number below -1', change=_column(
        1, [-5, *range(23)])),
    _train('a person is unknown, and the split is to be by person',
           change=edits.both(
               edits.replace(CSV, _HEADER, 'path,identity,smile,age,part'),
               edits.replace(CSV, 'person11', ''))),
    _edit('a label is below 0', _ROW, '23.png,person11,-2,43,test'),
    _edit('a label is blank', _ROW, '23.png,person11,,43,test'),
    _edit('a label is an absurd number', _ROW,
          '23.png,person11,2000000000,43,test'),
    _train('labels are counted from 1', change=_column(2, [1, 2] * 12)),
    _train('all images have one label', change=_column(2, [0] * 24)),
    _train('a class has a name with a line break', change=_column(
        2, ['no', '"y\nes"'] * 12)),
    _edit('an attribute is neither 0 nor 1', _ROW, '23.png,person11,7,43,test',
          '--multilabel=true'),
    _edit('an attribute is a word', _ROW, '23.png,person11,yes,43,test',
          '--multilabel=true'),
    _train('a threshold is for no label', '--labels=smile,age',
           '--thresholds=height:3'),
    _train('a threshold is for classes', '--thresholds=smile:1'),
    _train('the first merged class is no class', '--merge_from=9'),
    _train('attributes cannot be merged', '--labels=smile,age',
           '--merge_from=1', '--thresholds=age:30'),
    _edit('a part of the split is misspelt', 'val', 'valid'),
    _train('the split has no val', change=_column(4, ['train'] * 20 + [
        'test'] * 4)),
    _edit('the split says both train and retain', 'train', 'retain'),
    _edit('a person is in train and in test', 'person11', 'person00'),
    _train('the folder of the images is not there', '--root=nowhere'),
    _train('the folder of the images is a file', '--root=people.txt'),
    _train('no image size is given', '--image_size=none'),
]
