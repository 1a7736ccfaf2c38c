"""The split of a data set: ``Partition`` and ``Splits``, checked and drawn.

A ``Partition`` is what training needs: ``train``, ``val``, ``test``. A
``Splits`` is what unlearning needs: ``train`` cut into ``retain`` and
``forget``; ``resolution.py`` turns the one into the other, ``split_columns.py``
reads them from a column, ``split_files.py`` saves them.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

import numpy as np

from dlfd_jax.data import dataset as dataset_lib, labels as labels_lib
from dlfd_jax.utils import rng, text

PARTITION_PARTS = ('train', 'val', 'test')
SPLITS_PARTS = ('retain', 'forget', 'val', 'test')
LEFT_OUT = ('val', 'test', 'earlier', 'elsewhere')
_NAMED_PEOPLE = 20


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
        f'The person is unknown in {unknown} of {len(used)} images: each '
        'counts by itself, and one person may be in several parts.')
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
        f"of {len(dataset)}; ask for by='image' (--split_by=image) to split "
        'such images one by one.')
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
