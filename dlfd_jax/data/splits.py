"""Draws, reads and saves the split of a data set.

Splits are saved by sample id, so that a file still means the same images when
the data set is read in another order. The types and their checks are those of
``index_sets.py`` and can be had from here too.
"""

from __future__ import annotations

import os
import pathlib

import numpy as np

from dlfd_jax.data import dataset as dataset_lib
from dlfd_jax.data.index_sets import (
  PARTITION_PARTS,
  SPLITS_PARTS,
  Partition,
  Splits,
  check_positions,
  check_splits,
  find_samples,
  random_generator,
  retain_forget_by_person,
  splits_notes,
)
from dlfd_jax.utils import files

__all__ = [
    'PARTITION_PARTS', 'SPLITS_PARTS', 'Partition', 'Splits',
    'check_positions', 'check_splits', 'draw_partition', 'find_samples',
    'load_splits', 'partition_from_column', 'random_generator',
    'retain_forget_by_person', 'save_splits', 'splits_notes',
]


def draw_partition(dataset: dataset_lib.Dataset, *, test_fraction: float = 0.2,
                   val_fraction: float = 0.15, seed: int,
                   by: str = 'person') -> Partition:
  """Draws a partition at random, whole persons at a time.

  Args:
    dataset: the data.
    test_fraction: share of the people in ``test``, in (0, 1); at least one.
    val_fraction: share of the people in ``val``, in (0, 1); at least one.
    seed: integer >= 0; the same seed gives the same partition, and ``test``
      does not depend on ``val_fraction``.
    by: ``'person'``, or ``'image'`` for data with unknown persons: each image
      of an unknown person is then drawn by itself; known persons stay whole.

  Raises:
    ValueError: if a fraction or the seed is out of range, persons are unknown
      and ``by`` is ``'person'``, all are known and it is ``'image'``, or there
      are too few people for three parts.
  """
  for name, value in (('test_fraction', test_fraction),
                      ('val_fraction', val_fraction)):
    if not 0 < value < 1:
      raise ValueError(f'Expected {name} in (0, 1), got {value}.')
  if test_fraction + val_fraction >= 1:
    raise ValueError(
        'Expected test_fraction + val_fraction below 1, got '
        f'{test_fraction} + {val_fraction}.')
  if by not in ('person', 'image'):
    raise ValueError(f"Expected by to be 'person' or 'image', got {by!r}.")
  unknown = int((dataset.identity < 0).sum())
  if by == 'person' and unknown:
    raise ValueError(
        f'Expected a known person in every image, got identity -1 in {unknown} '
        f"of {len(dataset)}; ask for by='image' to split such images one by "
        'one.')
  if by == 'image' and not unknown:
    raise ValueError(
        "Expected by='person' where every person is known, got 'image': a "
        'person in both train and test makes membership figures meaningless.')
  units = dataset.identity.astype(np.int64)
  alone = np.flatnonzero(units < 0)
  units[alone] = units.max() + 1 + np.arange(len(alone))
  people = np.unique(units)
  num_test = max(1, round(test_fraction * len(people)))
  num_val = max(1, round(val_fraction * len(people)))
  if num_test + num_val >= len(people):
    raise ValueError(
        'Expected enough people for train, val and test, got '
        f'{len(people)} with test_fraction {test_fraction} and val_fraction '
        f'{val_fraction}.')
  order = random_generator(seed, 'partition').permutation(people)
  drawn = np.split(order, [num_test, num_test + num_val])
  test, val, train = (np.flatnonzero(np.isin(units, part)) for part in drawn)
  return Partition(train=train, val=val, test=test)


def partition_from_column(dataset: dataset_lib.Dataset, *,
                          check: bool = True) -> Partition | Splits:
  """The split that the source fixes, from ``dataset.split``.

  Args:
    dataset: the data.
    check: whether a person in two parts is an error here. Say False only where
      ``resolve_request`` follows: it leaves listed persons out of ``val`` and
      ``test``, and checks the rest.

  Returns:
    ``Partition`` if the column says train/val/test, ``Splits`` if it says
    retain/forget/val/test.

  Raises:
    ValueError: if there is no column, a value is none of the five words, train
      is mixed with retain or forget, a part is empty, or ``check_splits``
      objects.
  """
  if dataset.split is None:
    raise ValueError(
        f'Expected a split column in {dataset.name!r}, got none.')
  column = np.char.strip(dataset.split.astype(str))
  allowed = sorted({*PARTITION_PARTS, *SPLITS_PARTS})
  bad = np.flatnonzero(~np.isin(column, allowed))
  if bad.size:
    raise ValueError(
        f'Expected split to be one of {", ".join(allowed)}, got '
        f'{str(column[bad[0]])!r} for {dataset.where(bad[0])}.')
  cut = bool(np.isin(column, ('retain', 'forget')).any())
  if cut and (column == 'train').any():
    raise ValueError(
        'Expected split to say either train or retain and forget, got both.')
  parts = {name: np.flatnonzero(column == name)
           for name in (SPLITS_PARTS if cut else PARTITION_PARTS)}
  for name, rows in parts.items():
    if not rows.size:
      raise ValueError(
          f'Expected at least one image in {name}, got 0 among the '
          f'{len(column)} of {dataset.name!r}, whose split says '
          f'{", ".join(np.unique(column))}.')
  splits: Partition | Splits
  if cut:
    splits = Splits(**parts, by_person=retain_forget_by_person(
        dataset, parts['retain'], parts['forget']))
  else:
    splits = Partition(**parts)
  if check:
    check_splits(dataset, splits)
  return splits


def save_splits(path: str | os.PathLike, dataset: dataset_lib.Dataset,
                splits: Partition | Splits) -> None:
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
  check_splits(dataset, splits)
  path = pathlib.Path(path)
  if not path.parent.is_dir():
    raise FileNotFoundError(
        f'Expected an existing folder for {path.name}, got {path.parent}.')
  arrays = {name: dataset.sample_id[part]
            for name, part in splits.parts.items()}
  if isinstance(splits, Splits):
    arrays['by_person'] = np.asarray(splits.by_person)
    if splits.earlier.size:
      arrays['earlier'] = dataset.sample_id[splits.earlier]
  temporary = path.with_name(f'.{path.name}.{os.getpid()}.tmp')
  try:
    with open(temporary, 'wb') as file:
      np.savez(file, **arrays)
      file.flush()
      os.fsync(file.fileno())
    os.replace(temporary, path)
  except BaseException:
    temporary.unlink(missing_ok=True)
    raise


def load_splits(path: str | os.PathLike,
                dataset: dataset_lib.Dataset) -> Partition | Splits:
  """Reads what ``save_splits`` wrote and finds the images in ``dataset``.

  Returns:
    A ``Partition`` or a ``Splits``, whichever was saved; checked.

  Raises:
    FileNotFoundError: if there is no such file.
    ValueError: if it is not such a file, names an image that is not in the
      data, or ``check_splits`` objects.
  """
  path = pathlib.Path(path)
  if not files.is_file(path):
    raise FileNotFoundError(f'Expected a splits file, got no file at {path}.')
  arrays = files.read_arrays(path, 'sample ids')
  by_person = arrays.pop('by_person', None)
  names = PARTITION_PARTS if by_person is None else SPLITS_PARTS
  if by_person is not None and 'earlier' in arrays:
    names = (*names, 'earlier')
  if set(arrays) != set(names) or any(
      array.ndim != 1 or array.dtype.kind != 'U' for array in arrays.values()):
    found = (f'{name} {array.dtype} {list(array.shape)}'
             for name, array in sorted(arrays.items()))
    raise ValueError(
        f'Expected {path} to hold sample ids of {", ".join(names)}, got '
        f'{", ".join(found) or "nothing"}.')
  if by_person is not None and (by_person.shape or by_person.dtype != bool):
    raise ValueError(f'Expected by_person in {path} to be True or False, got '
                     f'{by_person.dtype} {list(by_person.shape)}.')
  parts = {}
  for name in names:
    parts[name] = find_samples(dataset, arrays[name])
    absent = arrays[name][parts[name] < 0]
    if absent.size:
      raise ValueError(
          f'Expected every image of {path} in {dataset.name!r}, got '
          f'{absent.size} of {name} that are not (the first is '
          f'{str(absent[0])!r}).')
  splits = (Partition(**parts) if by_person is None
            else Splits(**parts, by_person=bool(by_person)))
  check_splits(dataset, splits)
  return splits
