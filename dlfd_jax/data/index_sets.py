"""Sets of positions in one data set: ``Partition`` and ``Splits``, checked.

A ``Partition`` is what training needs: ``train``, ``val``, ``test``. A
``Splits`` is what unlearning needs: ``train`` cut into ``retain`` and
``forget``. How they are drawn, read and saved is in ``splits.py``; how a
deletion request turns the one into the other is in ``requests.py``.
"""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np

from dlfd_jax.data import dataset as dataset_lib

PARTITION_PARTS = ('train', 'val', 'test')
SPLITS_PARTS = ('retain', 'forget', 'val', 'test')
_NAMED_PEOPLE = 20


@dataclasses.dataclass(frozen=True, eq=False)
class Partition:
  """What an original model is trained on, and what it never saw.

  Attributes:
    train: int64, sorted positions of the images the original is fitted to.
    val: unseen, for selection, stopping and the live attack.
    test: unseen, read once, for the final report.

  Raises:
    ValueError: if a part is not a vector of distinct integers >= 0, is empty,
      or holds an image of another part.
  """

  train: np.ndarray
  val: np.ndarray
  test: np.ndarray

  def __post_init__(self):
    _normalise(self)

  @property
  def parts(self) -> dict[str, np.ndarray]:
    """The index arrays by name, in the order train, val, test."""
    return {name: getattr(self, name) for name in PARTITION_PARTS}


@dataclasses.dataclass(frozen=True, eq=False)
class Splits:
  """A partition whose ``train`` is cut into ``retain`` and ``forget``.

  Attributes:
    retain: int64, sorted positions of the training images that stay.
    forget: the training images to forget.
    val: unseen, for selection, stopping and the live attack.
    test: unseen, read once, for the final report.
    by_person: retain and forget share no person, and every person in them is
      known.
    earlier: images that earlier requests made the original forget; in no part.

  Raises:
    ValueError: as ``Partition``.
  """

  retain: np.ndarray
  forget: np.ndarray
  val: np.ndarray
  test: np.ndarray
  by_person: bool = True
  earlier: np.ndarray = dataclasses.field(
      default_factory=lambda: np.array([], np.int64))

  def __post_init__(self):
    _normalise(self)
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

  @property
  def parts(self) -> dict[str, np.ndarray]:
    """The index arrays by name, in the order retain, forget, val, test."""
    return {name: getattr(self, name) for name in SPLITS_PARTS}


def _normalise(splits):
  """Sorts each part, makes it read-only int64, and checks it."""
  for name, part in splits.parts.items():
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
          f'Expected distinct positions in {name}, got {repeated[0]} more than '
          'once.')
    part.setflags(write=False)
    object.__setattr__(splits, name, part)
  for (a, left), (b, right) in itertools.combinations(
      splits.parts.items(), 2):
    common = np.intersect1d(left, right, assume_unique=True)
    if common.size:
      raise ValueError(
          f'Expected {a} and {b} to share no image, got {common.size} in both '
          f'(the first at position {common[0]}).')


def shared_people(dataset: dataset_lib.Dataset, left: np.ndarray,
                  right: np.ndarray) -> np.ndarray:
  """Known persons with images in both index arrays, sorted int32."""
  common = np.intersect1d(dataset.identity[left], dataset.identity[right])
  return common[common >= 0]


def retain_forget_by_person(dataset: dataset_lib.Dataset, retain: np.ndarray,
                            forget: np.ndarray) -> bool:
  """Whether every person is known and none is in both index arrays."""
  known = ((dataset.identity[retain] >= 0).all()
           and (dataset.identity[forget] >= 0).all())
  return bool(known) and not len(shared_people(dataset, retain, forget))


def check_positions(dataset: dataset_lib.Dataset,
                    splits: Partition | Splits) -> None:
  """Checks that every position is one of the data set's.

  Raises:
    ValueError: if one is not.
  """
  n = len(dataset)
  for name, part in splits.parts.items():
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
  check_positions(dataset, splits)
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


def _first_of(dataset, person, part) -> str:
  return dataset.where(part[dataset.identity[part] == person][0])


def splits_notes(dataset: dataset_lib.Dataset,
                 splits: Partition | Splits) -> list[str]:
  """What a reader of a result must know about who is in which part.

  Returns:
    One sentence for each of: images of unknown persons; persons in both retain
    and forget; earlier requests. Empty for a clean first request by person.
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
          f'Retain and forget share {people.size} persons: the request is not '
          'by person.')
  if isinstance(splits, Splits) and splits.earlier.size:
    people = np.unique(dataset.identity[splits.earlier])
    notes.append(
        f'{splits.earlier.size} images of {(people >= 0).sum()} people were '
        'forgotten by earlier requests: they stay out of retain. People: '
        f'{named_people(dataset, people)}.')
  return notes


def named_people(dataset: dataset_lib.Dataset, people: np.ndarray,
                 most: int = _NAMED_PEOPLE) -> str:
  """People in words, at most so many; -1 is unknown.

  Names where the source of the data has names, else numbers: ``3, 5 and 1
  more``.
  """
  known = people[people >= 0]
  words = ', '.join(map(dataset.called, known[:most])) or 'unknown'
  return words + (f' and {len(known) - most} more' if len(known) > most else '')


def find_samples(dataset: dataset_lib.Dataset,
                 sample_ids: np.ndarray) -> np.ndarray:
  """Positions of sample ids in a data set; -1 where an id is not in it."""
  order = np.argsort(dataset.sample_id)
  ordered = dataset.sample_id[order]
  wanted = np.asarray(sample_ids, dtype=np.str_)
  place = np.minimum(np.searchsorted(ordered, wanted), len(ordered) - 1)
  return np.where(ordered[place] == wanted, order[place], -1)


def random_generator(seed: int, purpose: str) -> np.random.Generator:
  """A generator of its own for each (seed, purpose).

  Raises:
    ValueError: if the seed is not an integer >= 0.
  """
  if isinstance(seed, bool) or not isinstance(
      seed, (int, np.integer)) or seed < 0:
    raise ValueError(f'Expected seed to be an integer >= 0, got {seed!r}.')
  return np.random.default_rng([int(seed), *purpose.encode()])
