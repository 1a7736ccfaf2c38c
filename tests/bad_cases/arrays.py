"""npz files that are damaged, hostile or of another shape."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable

import numpy as np

from tests.bad_cases import case, edits
from tests.bad_cases.case import Case

THEME = 'npz files'
_N = 24
_TRAIN = ('train --data=faces.npz --labels=smile --width=2 --stem=small '
          '--workdir=out')


def _train(mistake: str, *flags: str, change: Callable | None = None) -> Case:
  return case.of(THEME, mistake, _TRAIN, flags, change)


def _arrays(mistake: str, *flags: str, without: tuple[str, ...] = (),
            **changes) -> Case:
  return _train(mistake, *flags, change=edits.arrays(
      'faces.npz', without, **changes))


def header(shape: tuple[int, ...], dtype: str = '|u1') -> bytes:
  """What an array file of that shape begins with."""
  held = io.BytesIO()
  np.lib.format.write_array_header_1_0(held, {
      'descr': dtype, 'fortran_order': False, 'shape': shape})
  return held.getvalue()


def _member(name: str, content: bytes, how: int = zipfile.ZIP_DEFLATED):
  """Adds a file to the archive."""
  def edit():
    with zipfile.ZipFile('faces.npz', 'a', how) as file:
      file.writestr(name, content)
  return edit


def _bomb():
  """An archive whose one array unpacks to as much as it claims.

  Only the directory is written: the size that it states is what counts.
  """
  begin = header((2**20, 1024, 1024, 3))
  with zipfile.ZipFile('faces.npz', 'w', zipfile.ZIP_DEFLATED) as file:
    file.writestr('images.npy', begin)
    file.getinfo('images.npy').file_size = len(begin) + 3 * 2**40


def _objects(array):
  held = np.empty(len(array), object)
  held[:] = list(array)
  return held


CASES = [
    _train('the file is a folder', '--data=folder.npz',
           change=lambda: os.mkdir('folder.npz')),
    _train('the file is empty', change=edits.write('faces.npz', b'')),
    _train('the file is a single .npy array', change=lambda: edits.write(
        'faces.npz', header((4,)) + bytes(4))()),
    _train('the file is an archive of other files', change=lambda: (
        os.remove('faces.npz'), _member('notes.txt', b'hello')())),
    _train('the archive holds no file', change=lambda: (
        zipfile.ZipFile('faces.npz', 'w').close())),
    _train('the file is a pickle', change=edits.write(
        'faces.npz', b'\x80\x04\x95\x0e\x00\x00\x00\x00\x00\x00\x00\x8c\x05'
        b'posix\x94\x8c\x06system\x94\x93\x94.')),
    _arrays('an array holds pickled objects', images=_objects),
    _arrays('labels are pickled objects', smile=_objects),
    _train('an array claims more bytes than the file has', change=_member(
        'images2.npy', header((2**40,)))),
    _train('an array claims fewer bytes than the file has', change=_member(
        'more.npy', header((2,)) + bytes(4000))),
    _train('the archive unpacks to 3 TB', change=_bomb),
    _train('an array has a header that is no header', change=_member(
        'more.npy', b'\x93NUMPY\x01\x00\x10\x00{"descr": foo}   \n')),
    _arrays('there are no images', without=('images',)),
    _arrays('the label is not in the file', '--labels=laugh'),
    _arrays('images are floats', images=lambda a: a.astype(np.float32) / 255),
    _arrays('images were from 0 to 1', images=lambda a: a // 200),
    _arrays('images are black', images=np.zeros_like),
    _arrays('images were standardised', images=lambda a: (
        (a / 255 - .485) / .229).astype(np.int64).astype(np.uint8)),
    _arrays('a class is 255, where there is no label', smile=lambda a: np.where(
        np.arange(len(a)) == 9, 255, a).astype(np.uint8)),
    _arrays('the split is arrays of positions',
            train_index=np.arange(16), test_index=np.arange(16, 24)),
    _arrays('images have four channels',
            images=np.zeros((_N, 16, 16, 4), np.uint8)),
    _arrays('channels come first', images=lambda a: a.transpose(0, 3, 1, 2)),
    _arrays('images have two axes', images=lambda a: a[0, 0]),
    _arrays('there is not one image', images=lambda a: a[:0]),
    _arrays('labels are floats', smile=lambda a: a.astype(float)),
    _arrays('labels are texts', smile=lambda a: a.astype(str)),
    _arrays('labels are one-hot rows', smile=lambda a: np.eye(2, dtype=int)[a]),
    _arrays('there are fewer labels than images', smile=lambda a: a[:-1]),
    _arrays('a label is below 0', smile=lambda a: a - 1),
    _arrays('labels are counted from 1', smile=lambda a: a + 1),
    _arrays('a label does not fit 32 bits',
            smile=lambda a: a.astype(np.int64) + 2**40),
    _arrays('a label is an absurd number', smile=lambda a: np.where(
        np.arange(_N) == 3, 2_000_000_000, a)),
    _arrays('all persons are words for missing values', identity=lambda a:
            np.array(['nan', 'NA'] * (_N // 2))),
    _arrays('persons are floats', identity=lambda a: a + .5),
    _arrays('a person has a number below -1', identity=lambda a: a - 3),
    _arrays('there are fewer persons than images', identity=lambda a: a[:5]),
    _arrays('two images have one sample id',
            sample_id=np.array(['a', 'a', *(str(i) for i in range(_N - 2))])),
    _arrays('a sample id holds a line break',
            sample_id=np.array(['a\nb', *(str(i) for i in range(_N - 1))])),
    _arrays('sample ids are numbers of floats',
            sample_id=np.full((_N, 2), np.nan)),
    _arrays('a part of the split is misspelt',
            split=np.array(['train'] * 23 + ['tset'])),
    _arrays('the split is numbers', split=np.arange(_N)),
    _arrays('all images show one person', identity=lambda a: a * 0),
]
