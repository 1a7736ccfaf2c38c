"""Splits in files: saved by sample id, and found again in the data.

So a file still means the same images when the data set is read in another
order.
"""

from __future__ import annotations

import os

import numpy as np

from dlfd_jax.data import dataset as dataset_lib, splits as splits_lib
from dlfd_jax.data.splits import LEFT_OUT, PARTITION_PARTS, SPLITS_PARTS
from dlfd_jax.utils import files, storage, validate, writes

_LEFT_OUT = 'left_out_'  # in names of arrays
_OF_EARLIER, _NOT_FOUND = 'left_out_of_earlier', 'not_found'
_PEOPLE = '_people'  # likewise, after the name of the part


def save_splits(path: str | os.PathLike, dataset: dataset_lib.Dataset,
                splits: splits_lib.Partition | splits_lib.Splits) -> None:
  """Writes the parts as sample ids, whole or not at all.

  The file replaces an older one of that name only when it is complete.

  Args:
    path: an ``.npz`` file in an existing folder.
    dataset: the data the positions are about.
    splits: what to save; checked first.

  Raises:
    FileNotFoundError: if the folder does not exist.
    ValueError: if ``check_splits`` objects.
  """
  splits_lib.check_splits(dataset, splits)
  arrays = {name: dataset.sample_id[part]
            for name, part in splits.parts.items()}
  if isinstance(splits, splits_lib.Splits):
    arrays['by_person'] = np.asarray(splits.by_person)
    arrays['forget' + _PEOPLE] = _people(dataset, splits.forget)
    if splits.earlier.size or splits.gone:
      arrays['earlier'] = np.array([
          *dataset.sample_id[splits.earlier], *splits.gone], np.str_)
      arrays['earlier' + _PEOPLE] = np.array([
          *_people(dataset, splits.earlier), *splits.gone.values()], np.str_)
    if splits.left_out_of_earlier:
      before = splits.left_out_of_earlier
      arrays[_OF_EARLIER] = np.array(list(before), np.str_)
      arrays[_OF_EARLIER + _PEOPLE] = np.array(list(before.values()), np.str_)
    if splits.not_found:
      arrays[_NOT_FOUND] = np.array(splits.not_found, np.str_)
    if splits.classes:
      arrays['classes'] = np.array(splits.classes, np.str_)
      arrays['of_classes'] = dataset.sample_id[splits.of_classes]
    if splits.left_out is not None:
      for name in LEFT_OUT:
        rows = splits.left_out.get(name, np.array([], np.int64))
        arrays[_LEFT_OUT + name] = dataset.sample_id[rows]
        if rows.size:
          arrays[_LEFT_OUT + name + _PEOPLE] = _people(dataset, rows)
  writes.write_arrays(path, arrays)


def _people(dataset: dataset_lib.Dataset, rows: np.ndarray) -> np.ndarray:
  """The person in each image, blank where nobody is known."""
  return np.array([who or '' for who in dataset.named(rows)], np.str_)


def forgotten_ids(path: str | os.PathLike) -> frozenset[str]:
  """Sample ids of all that a saved request and those before it named.

  Only their images may be missing from the data of a later request. Empty for
  the split of a training run.
  """
  path = storage.local(path)
  files.check_file(path, 'a splits file')
  arrays = files.read_arrays(path, 'sample ids')
  names = ('forget', 'earlier', _OF_EARLIER,
           *(_LEFT_OUT + name for name in LEFT_OUT))
  return frozenset(str(one) for name in names if name in arrays
                   for one in arrays[name].ravel())


def load_splits(path: str | os.PathLike, dataset: dataset_lib.Dataset,
                following: bool = False
                ) -> splits_lib.Partition | splits_lib.Splits:
  """Reads what ``save_splits`` wrote and finds the images in ``dataset``.

  Images of earlier requests, and those that the request named beyond forget,
  may be absent.

  Args:
    path: the file.
    dataset: the data.
    following: another request follows: then what this one made the original
      forget may be absent, too.

  Returns:
    A ``Partition`` or a ``Splits``, whichever was saved; checked. With
    ``following`` a ``Start`` instead of a ``Splits``.

  Raises:
    FileNotFoundError: if there is no such file.
    ValueError: if it is not such a file, names any other image that is not in
      the data, or ``check_splits`` objects.
  """
  path = storage.local(path)
  files.check_file(path, 'a splits file')
  arrays = files.read_arrays(path, 'sample ids')
  by_person = arrays.pop('by_person', None)
  classes = arrays.pop('classes', np.array([], np.str_))
  people = {name: arrays.pop(name + _PEOPLE) for name in list(arrays)
            if name + _PEOPLE in arrays}
  not_found = arrays.pop(_NOT_FOUND, np.array([], np.str_))
  names = PARTITION_PARTS if by_person is None else SPLITS_PARTS
  left_out = tuple(_LEFT_OUT + name for name in LEFT_OUT)
  if by_person is not None:
    names = (*names, *(name for name in (
        'earlier', 'of_classes', _OF_EARLIER, *left_out) if name in arrays))
  if set(arrays) != set(names) or any(
      array.ndim != 1 or array.dtype.kind != 'U'
      for array in (classes, not_found, *arrays.values())) or any(
          array.ndim != 1 or array.dtype.kind != 'U'
          for array in people.values()):
    found = (f'{name} {array.dtype} {list(array.shape)}'
             for name, array in sorted(arrays.items()))
    raise ValueError(
        f'Expected {path} to hold sample ids of {", ".join(names)}, got '
        f'{validate.listed(found) or "nothing"}.')
  if by_person is not None and (by_person.shape or by_person.dtype != bool):
    raise ValueError(f'Expected by_person in {path} to be True or False, got '
                     f'{by_person.dtype} {list(by_person.shape)}.')
  may_be_gone = {'earlier', _OF_EARLIER, *left_out,
                 *(['forget'] if following else [])}

  def people_of(name: str, which: np.ndarray | slice) -> dict[str, str]:
    blank = np.full(len(arrays[name]), '')
    who = people.get(name, blank)
    who = who if len(who) == len(blank) else blank  # others than they were for
    return dict(zip(arrays[name][which].tolist(), who[which].tolist()))

  nothing = np.array([], np.int64)
  parts: dict[str, np.ndarray] = {}
  gone: dict[str, str] = {}
  for name in names:
    rows = splits_lib.find_samples(dataset, arrays[name])
    absent = rows < 0
    if absent.any() and name not in may_be_gone:
      raise ValueError(
          f'Expected every image of {path} in {dataset.name!r}, got '
          f'{absent.sum()} of {name} that are not (the first is '
          f'{str(arrays[name][absent][0])!r}).')
    if name in ('forget', 'earlier'):
      gone |= people_of(name, absent)
    parts[name] = rows[~absent]
  before = people_of(_OF_EARLIER, slice(None)) if _OF_EARLIER in names else {}
  splits: splits_lib.Partition | splits_lib.Splits
  if by_person is None:
    splits = splits_lib.Partition(**parts)
  elif following:
    of_classes = parts.get('of_classes', nothing)
    splits = splits_lib.Start(
        parts['retain'], np.setdiff1d(parts['val'], of_classes),
        np.setdiff1d(parts['test'], of_classes),
        np.union1d(parts['forget'], parts.get('earlier', nothing)), gone,
        before | {one: who for name in left_out if name in arrays
                  for one, who in people_of(name, slice(None)).items()},
        tuple(classes.tolist()), of_classes)
  else:
    kept = {name: parts[_LEFT_OUT + name] for name in LEFT_OUT
            if _LEFT_OUT + name in parts}
    splits = splits_lib.Splits(
        parts['retain'], parts['forget'], parts['val'], parts['test'],
        by_person=bool(by_person), earlier=parts.get('earlier', nothing),
        left_out=kept or None, classes=tuple(classes.tolist()),
        of_classes=parts.get('of_classes', nothing), gone=gone,
        left_out_of_earlier=before,
        not_found=tuple(not_found.tolist()))
  splits_lib.check_splits(dataset, splits)
  return splits
