"""The split of a data set: ``Partition`` and ``Splits``, drawn, read and saved.

A ``Partition`` is what training needs: ``train``, ``val``, ``test``. A
``Splits`` is what unlearning needs: ``train`` cut into ``retain`` and
``forget``; ``requests.py`` turns the one into the other. Both are saved by
sample id, so that a file still means the same images when the data set is read
in another order.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import ClassVar

import numpy as np

from dlfd_jax.data import dataset as dataset_lib, labels as labels_lib
from dlfd_jax.utils import files, rng, storage, text, validate, writes

PARTITION_PARTS = ('train', 'val', 'test')
SPLITS_PARTS = ('retain', 'forget', 'val', 'test')
LEFT_OUT = ('val', 'test', 'earlier', 'elsewhere')
IGNORE = 'ignore'  # as the column of the split: there is none
EARLIER = 'split, if any'  # what versions did that did not ask about others
_WORDS = {
    **{word: word for word in (*PARTITION_PARTS, *SPLITS_PARTS)},
    **dict.fromkeys(('training', 'trn'), 'train'),
    **dict.fromkeys(('valid', 'validation', 'validate', 'dev', 'development'),
                    'val'),
    **dict.fromkeys(('testing', 'tst'), 'test')}
# What CelebA's list_eval_partition says; in a column that a user named alone.
_CELEBA = {'0': 'train', '1': 'val', '2': 'test'}
_FOLDS = ('fold', 'folds')  # their numbers are no parts
_COLUMNS = {*_FOLDS, 'split', 'splits', 'partition', 'partitions', 'part',
            'subset', 'set', 'usage', 'phase', 'datasplit', 'datasetsplit',
            'splitname', 'trainvaltest', 'traintest', 'istrain', 'istest',
            'evaluationstatus'}
# They stand in names of folders and say that these are parts, not which.
_LIKE_PARTS = {'eval', 'evaluation', 'holdout', 'fold', 'split', 'splits',
               'subset', 'partition', 'publictest', 'privatetest'}
# Stand beside such words in names of columns and arrays.
_BETWEEN = {'is', 'in', 'for', 'set', 'data', 'dataset', 'id', 'ids', 'no',
            'nr', 'cv', 'index', 'indices', 'idx', 'rows', 'positions'}
_MOST_PARTS = 10  # values of a column that is a split, but for folds
_NAMED_PEOPLE = 20
_LEFT_OUT = 'left_out_'  # in names of arrays
_OF_EARLIER, _NOT_FOUND = 'left_out_of_earlier', 'not_found'
_PEOPLE = '_people'  # likewise, after the name of the part


class _Parts:
  """What both kinds of split share: their parts by name, checked."""

  names: ClassVar[tuple[str, ...]]

  @property
  def parts(self) -> dict[str, np.ndarray]:
    """The index arrays by name, in the order of the fields."""
    return {name: getattr(self, name) for name in self.names}

  def __post_init__(self) -> None:
    """Sorts each part, makes it read-only int64, and checks it."""
    for name, part in self.parts.items():
      part = np.asarray(part)
      if part.ndim != 1 or (part.size and part.dtype.kind not in 'iu'):
        raise ValueError(
            f'Expected {name} to be a vector of integer positions, got '
            f'{part.dtype} {list(part.shape)}.')
      if part.size == 0:
        raise ValueError(f'Expected at least one image in {name}, got 0.')
      part = np.sort(part).astype(np.int64)
      if part[0] < 0:
        raise ValueError(f'Expected positions >= 0 in {name}, got {part[0]}.')
      repeated = part[1:][part[1:] == part[:-1]]
      if repeated.size:
        raise ValueError(
            f'Expected distinct positions in {name}, got {repeated[0]} more '
            'than once.')
      part.setflags(write=False)
      object.__setattr__(self, name, part)
    for (a, left), (b, right) in itertools.combinations(self.parts.items(), 2):
      common = np.intersect1d(left, right, assume_unique=True)
      if common.size:
        raise ValueError(
            f'Expected {a} and {b} to share no image, got {common.size} in '
            f'both (the first at position {common[0]}).')


@dataclasses.dataclass(frozen=True, eq=False)
class Partition(_Parts):
  """What an original model is trained on, and what it never saw.

  Attributes:
    train: int64, sorted positions of the images the original is fitted to.
    val: unseen, for selection, stopping and the live attack.
    test: unseen, read once, for the final report.

  Raises:
    ValueError: if a part is not a vector of distinct integers >= 0, is empty,
      or holds an image of another part.
  """

  names = PARTITION_PARTS
  train: np.ndarray
  val: np.ndarray
  test: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Start(Partition):
  """What a request after other ones starts from.

  ``train`` is what the last one left to retain; ``val`` and ``test`` are
  without what it forgot whole.

  Attributes:
    earlier: as of ``Splits``, like all others; with what the last request made
      the original forget.
    gone: people by sample id.
    left_out_of_earlier: people by sample id.
    classes: of the last request.
    of_classes: images of val and test that show one of these.
  """

  earlier: np.ndarray
  gone: Mapping[str, str]
  left_out_of_earlier: Mapping[str, str]
  classes: tuple[str, ...]
  of_classes: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class Splits(_Parts):
  """A partition whose ``train`` is cut into ``retain`` and ``forget``.

  Attributes:
    retain: int64, sorted positions of the training images that stay.
    forget: the training images to forget.
    val: unseen, for selection, stopping and the live attack.
    test: unseen, read once, for the final report.
    by_person: retain and forget share no person, and every person in them is
      known.
    earlier: images that earlier requests made the original forget; in no part.
    left_out: images that the request names beyond forget, in no part either, by
      where they were before it: one of ``LEFT_OUT``. None = not recorded, as in
      files of earlier versions.
    classes: what is forgotten whole, as the request names it: classes of the
      task, values of an attribute (``smile:1``) or of a column (``age:30``).
      None of them is left in retain. Empty = the request is not by class.
    of_classes: images of val and test that show one of these. Nobody was
      trained on them: they tell what a model still knows of the class, and are
      no part of its accuracy on what stays.
    gone: the person (blank = unknown) by sample id of images that earlier
      requests made the original forget, too, and that the data no longer have.
    left_out_of_earlier: likewise of what earlier requests named beyond that;
      the data may have these images or not.
    not_found: names of the request that the data do not have, and that a user
      chose to record.

  Raises:
    ValueError: as ``Partition``, and if all of val or test is of ``classes``.
  """

  names = SPLITS_PARTS
  retain: np.ndarray
  forget: np.ndarray
  val: np.ndarray
  test: np.ndarray
  by_person: bool = True
  earlier: np.ndarray = dataclasses.field(
      default_factory=lambda: np.array([], np.int64))
  left_out: Mapping[str, np.ndarray] | None = dataclasses.field(
      default_factory=dict)
  classes: tuple[str, ...] = ()
  of_classes: np.ndarray = dataclasses.field(
      default_factory=lambda: np.array([], np.int64))
  gone: Mapping[str, str] = dataclasses.field(default_factory=dict)
  left_out_of_earlier: Mapping[str, str] = dataclasses.field(
      default_factory=dict)
  not_found: tuple[str, ...] = ()

  def __post_init__(self) -> None:
    super().__post_init__()
    of_classes = np.intersect1d(
        np.asarray(self.of_classes, np.int64),
        np.concatenate([self.val, self.test]))
    of_classes.setflags(write=False)
    object.__setattr__(self, 'of_classes', of_classes)
    for name in ('val', 'test'):
      if not len(self.stays(name)):
        raise ValueError(
            f'Expected images in {name} of something else than what is '
            f'forgotten, got {len(self.parts[name])} of '
            f'{", ".join(self.classes)} alone.')
    earlier = np.unique(np.asarray(self.earlier, np.int64))
    earlier.setflags(write=False)
    object.__setattr__(self, 'earlier', earlier)
    for name, part in self.parts.items():
      common = np.intersect1d(earlier, part, assume_unique=True)
      if common.size:
        raise ValueError(
            f'Expected nothing that was forgotten earlier in {name}, got '
            f'{common.size} such images (the first at position {common[0]}).')

  @property
  def train(self) -> np.ndarray:
    """Sorted positions of everything the original was trained on."""
    return np.sort(np.concatenate([self.retain, self.forget]))

  def stays(self, name: str) -> np.ndarray:
    """The images of a part that show no class that is forgotten whole."""
    return np.setdiff1d(self.parts[name], self.of_classes, assume_unique=True)

  def unseen(self, name: str) -> np.ndarray:
    """The images of val or test to hold forget against.

    Those of the forgotten classes where the request is by class: possibly none.
    """
    if not self.classes:
      return self.parts[name]
    return np.intersect1d(self.parts[name], self.of_classes)


def whole_classes(dataset: dataset_lib.Dataset, retain: np.ndarray,
                  forget: np.ndarray, others: Iterable[np.ndarray],
                  ) -> tuple[tuple[str, ...], np.ndarray]:
  """The classes of forget, where none of its images is of a class that stays.

  So a request that lists all images of a class is one by class.

  Args:
    dataset: the data.
    retain: rows that stay.
    forget: rows to forget.
    others: rows of val and of test.

  Returns:
    Names of the classes, and all rows of them. Both empty where a class of
    forget is in retain, too, where val or test shows nothing else, and of
    attributes, whose values say it alone.
  """
  labels = dataset.labels
  nothing: tuple[tuple[str, ...], np.ndarray] = (), np.array([], np.int64)
  if dataset.task.is_multilabel or np.isin(
      labels[forget], labels[retain]).any():
    return nothing
  gone = np.unique(labels[forget])
  if any(np.isin(labels[rows], gone).all() for rows in others):
    return nothing
  return (tuple(dataset.task.names[k] for k in gone),
          np.flatnonzero(np.isin(labels, gone)))


def shared_people(dataset: dataset_lib.Dataset, left: np.ndarray,
                  right: np.ndarray) -> np.ndarray:
  """Known persons with images in both index arrays, sorted int32."""
  return np.intersect1d(dataset.people_in(left), dataset.people_in(right))


def retain_forget_by_person(dataset: dataset_lib.Dataset, retain: np.ndarray,
                            forget: np.ndarray) -> bool:
  """Whether every person is known and none is in both index arrays."""
  known = ((dataset.identity[retain] >= 0).all()
           and (dataset.identity[forget] >= 0).all())
  return bool(known) and not len(shared_people(dataset, retain, forget))


def check_positions(dataset: dataset_lib.Dataset,
                    parts: Mapping[str, np.ndarray]) -> None:
  """Checks that every position of every part is one of the data set's.

  Raises:
    ValueError: if one is not.
  """
  n = len(dataset)
  for name, part in parts.items():
    if part[-1] >= n:
      raise ValueError(
          f'Expected positions below {n}, the number of images, got {part[-1]} '
          f'in {name}.')


def check_splits(dataset: dataset_lib.Dataset,
                 splits: Partition | Splits) -> None:
  """Checks index arrays against the data set they are about.

  Disjoint and not empty they are from birth. Here: no position outside the data
  set, ``val`` and ``test`` share no known person with any other part, and
  ``retain`` and ``forget`` share none if ``by_person`` says so.

  Raises:
    ValueError: with the first thing that is wrong.
  """
  check_positions(dataset, splits.parts)
  for (a, left), (b, right) in itertools.combinations(splits.parts.items(), 2):
    if (a, b) == ('retain', 'forget'):
      continue
    people = shared_people(dataset, left, right)
    if people.size:
      raise ValueError(
          f'Expected {b} to share no person with {a}, got {people.size} in '
          f'both (the first is identity {dataset.called(people[0])}: '
          f'{_first_of(dataset, people[0], right)} in {b}, '
          f'{_first_of(dataset, people[0], left)} in {a}).')
  if isinstance(splits, Splits) and splits.by_person:
    unknown = int((dataset.identity[splits.train] < 0).sum())
    if unknown:
      raise ValueError(
          'Expected known persons in retain and forget in a split by person, '
          f'got {unknown} images with identity -1.')
    people = shared_people(dataset, splits.retain, splits.forget)
    if people.size:
      raise ValueError(
          'Expected retain and forget to share no person in a split by person, '
          f'got {people.size} in both (the first is identity '
          f'{dataset.called(people[0])}).')


def _first_of(dataset: dataset_lib.Dataset, person: int,
              part: np.ndarray) -> str:
  return dataset.where(part[dataset.identity[part] == person][0])


def splits_notes(dataset: dataset_lib.Dataset,
                 splits: Partition | Splits) -> list[str]:
  """What a reader of a result must know about who is in which part.

  Returns:
    One sentence for each of: images of unknown persons; persons in both retain
    and forget; classes that are forgotten whole; earlier requests. Empty for a
    clean first request by person.
  """
  notes = []
  used = np.concatenate(list(splits.parts.values()))
  unknown = int((dataset.identity[used] < 0).sum())
  if unknown:
    notes.append(
        f'The person is unknown in {unknown} of {len(used)} images: they are '
        'split by image, and one person may be in several parts.')
  if isinstance(splits, Splits) and not splits.by_person:
    people = shared_people(dataset, splits.retain, splits.forget)
    if people.size:
      notes.append(
          'Retain and forget share '
          f'{text.counted(people.size, "person")}: the request is not by '
          'person.')
  if isinstance(splits, Splits) and splits.classes:
    notes.append(_of_classes_note(splits))
  if isinstance(splits, Splits) and (splits.earlier.size or splits.gone):
    earlier = earlier_people(dataset, splits)
    count = splits.earlier.size + len(splits.gone)
    notes.append(text.naming(
        f'{text.counted(count, "image")} of '
        f'{text.counted(len(earlier), "person")} '
        f'{"was" if count == 1 else "were"} forgotten by earlier requests: '
        f'{"it stays" if count == 1 else "they stay"} out of retain.' + (
            f' {len(splits.gone)} of these images are no longer in the data.'
            if splits.gone else ''), _some(earlier)))
  return notes


def earlier_people(dataset: dataset_lib.Dataset, splits: Splits) -> list[str]:
  """Names of the known people of earlier requests, in the data or not."""
  there = dataset.people_in(splits.earlier)
  return list(dict.fromkeys([
      *map(dataset.called, there),
      *labels_lib.natural_order(filter(None, splits.gone.values()))]))


def _of_classes_note(splits: Splits) -> str:
  """What is measured, and how, where whole classes are forgotten."""
  counts = {name: len(splits.unseen(name)) for name in ('val', 'test')}
  said = (f'Forgotten whole: {", ".join(splits.classes)}. Accuracies on val '
          'and test are those on all other images. ')
  if counts['test']:
    said += (
        f'The {counts["test"]} test images of it are a figure of their own, to '
        'be compared with retrained models, which never saw it either; attacks '
        'hold forget against them alone: against other images they would tell '
        'the class, not who was learnt.')
  else:
    said += ('Test has no image of it: no attack can be computed, and no '
             'forgetting score; what is left is accuracy on forget beside '
             'retrained models.')
  if not counts['val']:
    said += ' Val has none: nothing steers the run.'
  return said


def _some(names: Sequence[str], most: int = _NAMED_PEOPLE) -> str:
  """People in words, at most so many: ``3, Ann and 1 more``."""
  words = ', '.join(names[:most]) or 'unknown'
  return words + (f' and {len(names) - most} more' if len(names) > most else '')


def find_samples(dataset: dataset_lib.Dataset,
                 sample_ids: np.ndarray) -> np.ndarray:
  """Positions of sample ids in a data set; -1 where an id is not in it."""
  order = np.argsort(dataset.sample_id)
  ordered = dataset.sample_id[order]
  wanted = np.asarray(sample_ids, dtype=np.str_)
  place = np.minimum(np.searchsorted(ordered, wanted), len(ordered) - 1)
  return np.where(ordered[place] == wanted, order[place], -1)


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
  order = rng.generator(seed, 'partition').permutation(people)
  drawn = np.split(order, [num_test, num_test + num_val])
  test, val, train = (np.flatnonzero(np.isin(units, part)) for part in drawn)
  return Partition(train=train, val=val, test=test)


def part_of(word: str, codes: Mapping[str, str] | None = None) -> str | None:
  """The part that a word means; None if it means none.

  Args:
    word: in any case: the parts themselves; training, trn; valid, validation,
      validate, dev, development; testing, tst.
    codes: parts by further words; they come first.
  """
  word = word.strip()
  codes = codes or {}
  return codes.get(word) or codes.get(word.lower()) or _WORDS.get(word.lower())


def is_like_part(word: str) -> bool:
  """Whether a name may be that of a part, such as ``train_images``."""
  return any(piece in _WORDS or piece in _LIKE_PARTS for piece in _pieces(word))


def _pieces(word: str) -> list[str]:
  return re.findall('[a-z]+', word.lower())


def is_named_like_split(name: str) -> bool:
  """Whether a column's name says that it holds parts, such as ``is_train``."""
  pieces = set(_pieces(name)) - _BETWEEN
  return ''.join(_pieces(name)) in _COLUMNS or bool(pieces) and pieces <= (
      _WORDS.keys() | _LIKE_PARTS)


def _is_like_split(name: str, values: Sequence[str]) -> bool:
  """Whether a column may be a split, by its name or by its values."""
  distinct = {value for value in values if value.strip()}
  if ''.join(_pieces(name)) in _COLUMNS:
    return True
  if not 1 < len(distinct) <= _MOST_PARTS:
    return False
  alike = [value for value in distinct if is_like_part(value)]
  parts = {_WORDS.get(piece) for value in alike for piece in _pieces(value)}
  return is_named_like_split(name) or (
      1 < len(alike) > len(distinct) / 2 and 'train' in parts)


def split_column(
    columns: Mapping[str, Sequence[str]], others: Collection[str],
    name: str | None = None,
    codes: Mapping[str, str] | None = None) -> tuple[str | None, list[str]]:
  """Which column of a table says what part each image is in, and what it says.

  Args:
    columns: all of the table, as texts.
    others: those that say something else, such as the labels.
    name: of the column that a user named; ``'ignore'`` = none is to be read,
      and the split is drawn; None = the one that is called ``split``, if any.
    codes: parts by the values of the column, where these are no words that
      ``part_of`` knows; by default 0, 1 and 2 are train, val and test in a
      column that was named and has all three.

  Returns:
    The column's name, None if there is none, and the parts; values that mean
    no part are left for ``read_split_column`` to refuse.

  Raises:
    ValueError: if the named column is not there, or a value of it has no part,
      or none was named and a column looks like a split.
  """
  if name == IGNORE or name == EARLIER and 'split' not in columns:
    return None, []
  name = None if name == EARLIER else name
  if name is None and 'split' not in columns:
    if codes:
      raise ValueError('Expected a split column for split_codes, got none: '
                       'name it by --split_column.')
    for other, values in columns.items():
      if other not in others and _is_like_split(other, values):
        raise ValueError(
            f'Expected --split_column where a column looks like a split, got '
            f'none and the column {other!r} with '
            f'{validate.listed(sorted(set(values)), 5)}: say '
            f'--split_column={other}, or --split_column={IGNORE} to draw a '
            'split.')
    return None, []
  if name is not None and (name not in columns or name in others):
    raise ValueError(
        f'Expected --split_column to name a column that is not read otherwise, '
        f'got {name!r} among {validate.listed(columns)}.')
  column = 'split' if name is None else name
  values = columns[column]
  if (name is not None and not codes and name.lower() not in _FOLDS
      and set(_CELEBA) <= set(values)):  # 0 and 1 alone may be no and yes
    codes = _CELEBA
  parts = [part_of(value, codes) for value in values]
  if name is not None and None in parts:
    raise ValueError(
        f'Expected train, val or test in column {name!r}, got '
        f'{values[parts.index(None)]!r}: say by --split_codes what its values '
        f'{validate.listed(sorted(set(values)), 5)} mean, such as '
        '--split_codes=a:train,b:val,c:test.')
  return column, [part or value for part, value in zip(parts, values)]


def read_split_column(dataset: dataset_lib.Dataset) -> np.ndarray:
  """The part of each image as the source fixes it, text ``[n]``.

  Raises:
    ValueError: if there is no column, or a value is none of train, retain,
      forget, val and test.
  """
  if dataset.split is None:
    raise ValueError(
        f'Expected a split column in {dataset.name!r}, got none.')
  column = np.array([part_of(word) or word for word in
                     np.char.strip(dataset.split.astype(str)).tolist()])
  allowed = sorted({*PARTITION_PARTS, *SPLITS_PARTS})
  bad = np.flatnonzero(~np.isin(column, allowed))
  if bad.size:
    raise ValueError(
        f'Expected split to be one of {", ".join(allowed)}, got '
        f'{str(column[bad[0]])!r} for {dataset.where(bad[0])}.')
  return column


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
  column = read_split_column(dataset)
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
          f'{validate.listed(np.unique(column))}.')
  splits: Partition | Splits
  if cut:
    retain, forget, val, test = parts.values()
    classes, of_classes = whole_classes(dataset, retain, forget, (val, test))
    splits = Splits(
        retain, forget, val, test,
        by_person=retain_forget_by_person(dataset, retain, forget),
        classes=classes, of_classes=of_classes)
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
  arrays = {name: dataset.sample_id[part]
            for name, part in splits.parts.items()}
  if isinstance(splits, Splits):
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
                following: bool = False) -> Partition | Splits:
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
    rows = find_samples(dataset, arrays[name])
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
  splits: Partition | Splits
  if by_person is None:
    splits = Partition(**parts)
  elif following:
    of_classes = parts.get('of_classes', nothing)
    splits = Start(
        parts['retain'], np.setdiff1d(parts['val'], of_classes),
        np.setdiff1d(parts['test'], of_classes),
        np.union1d(parts['forget'], parts.get('earlier', nothing)), gone,
        before | {one: who for name in left_out if name in arrays
                  for one, who in people_of(name, slice(None)).items()},
        tuple(classes.tolist()), of_classes)
  else:
    kept = {name: parts[_LEFT_OUT + name] for name in LEFT_OUT
            if _LEFT_OUT + name in parts}
    splits = Splits(
        parts['retain'], parts['forget'], parts['val'], parts['test'],
        by_person=bool(by_person), earlier=parts.get('earlier', nothing),
        left_out=kept or None, classes=tuple(classes.tolist()),
        of_classes=parts.get('of_classes', nothing), gone=gone,
        left_out_of_earlier=before,
        not_found=tuple(not_found.tolist()))
  check_splits(dataset, splits)
  return splits
