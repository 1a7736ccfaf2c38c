"""Deletion requests: whom or what to forget, and what that leaves.

A request names persons, families, images or classes, or asks for some people
drawn at random.
``resolve_request`` turns it and a ``Partition`` into checked ``Splits``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from dlfd_jax.data import dataset as dataset_lib, index_sets
from dlfd_jax.utils import validate

KINDS = ('identities', 'families', 'sample_ids', 'classes', 'people',
         'fraction')
_FAMILY = 'family'  # the column of families


@dataclasses.dataclass(frozen=True)
class ForgetRequest:
  """What to forget; exactly one of the first six is given.

  Attributes:
    identities: the persons, integers >= 0; all their training images go.
    families: values of the data's column ``family``, integers >= 0; as persons.
    sample_ids: the images; a person's other images stay.
    classes: names of the task's classes; their training images go, those of
      val and test stay, to measure on.
    people: number of persons drawn at random from ``train``, at least 1.
    fraction: share of the persons of ``train`` drawn at random, in (0, 1), at
      least one person. Where no person of ``train`` is known, it is the share
      of the images.
    seed: integer >= 0, of the two random forms.

  Raises:
    ValueError: if none or several are given, or one is empty or out of range.
  """

  identities: Sequence[int] | None = None
  families: Sequence[int] | None = None
  sample_ids: Sequence[str] | None = None
  classes: Sequence[str] | None = None
  people: int | None = None
  fraction: float | None = None
  seed: int = 0

  def __post_init__(self):
    given = [name for name in KINDS if getattr(self, name) is not None]
    if len(given) != 1:
      raise ValueError(
          f'Expected exactly one of {", ".join(KINDS)} in a request, got '
          f'{" and ".join(given) or "none"}.')
    for name in ('identities', 'families', 'sample_ids', 'classes'):
      entries = getattr(self, name)
      if entries is None:
        continue
      if isinstance(entries, str) or not isinstance(
          entries, (Sequence, np.ndarray)):
        raise ValueError(
            f'Expected a sequence of {name.replace("_", " ")}, got '
            f'{validate.shown(entries)}.')
      numbers = name in ('identities', 'families')
      for value in entries if numbers else ():
        if not validate.is_integer(value) or value < 0:
          raise ValueError(
              f'Expected {name} to be integers >= 0, got {value!r}.')
        validate.integer(f'every entry of {name}', value, 0)
      object.__setattr__(
          self, name, tuple(entries if numbers else map(str, entries)))
      if not getattr(self, name):
        raise ValueError(
            f'Expected at least one entry in {name}, got an empty request.')
    if self.people is not None:
      validate.integer('people', self.people)
    if self.fraction is not None:
      validate.number('fraction', self.fraction, 0, 1, ends='()')
    validate.integer('seed', self.seed, 0)


def resolve_request(
    dataset: dataset_lib.Dataset, partition: index_sets.Partition,
    request: ForgetRequest, earlier: np.ndarray | None = None,
) -> tuple[index_sets.Splits, list[str]]:
  """Cuts ``train`` into retain and forget as a request asks.

  Only training images can be forgotten. Images of ``val`` and ``test`` that the
  request names, or that show a person whom it names, are left out of the
  evaluation, and a note says how many.

  Args:
    dataset: the data.
    partition: what the original was trained on, and what it never saw. Persons
      of the request may be in several of its parts, no others.
    request: what to forget.
    earlier: positions that earlier requests made the original forget, none of
      them in the partition.

  Returns:
    The checked splits and notes for the reader of the result, one sentence
    each; no note for a clean request by person.

  Raises:
    ValueError: if a person or image is not in the data, no training image would
      be forgotten, nothing would be left to retain, watch or test on, or
      ``check_splits`` objects to what is left.
  """
  index_sets.check_positions(dataset, partition)
  notes: list[str] = []
  named = images_of(dataset, partition.train, request, notes)
  parts = {}
  for name in ('val', 'test'):
    part = getattr(partition, name)
    parts[name] = part[~np.isin(part, named)]
    dropped = len(part) - len(parts[name])
    if not len(parts[name]):
      raise ValueError(
          f'Expected images left in {name} after the request, got none: all '
          f'{dropped} are to be forgotten.')
    if dropped:
      notes.append(
          f'{dropped} images to be forgotten are in {name}, which the original '
          'was not trained on: they are left out of the evaluation.')
  train = partition.train
  forgotten = np.isin(train, named)
  earlier = np.array([], np.int64) if earlier is None else earlier
  again = int(np.isin(earlier, named).sum())
  if again:
    notes.append(f'{again} images of the request were forgotten by an earlier '
                 'one: nothing more is to be done for them.')
  if not forgotten.any():
    raise ValueError(
        'Expected at least one training image to forget, got none: the '
        f'{len(named)} images of the request are not in train.')
  if forgotten.all():
    raise ValueError(
        'Expected training images left to retain, got none: the request '
        f'forgets all {len(train)}.')
  elsewhere = len(np.setdiff1d(
      named, np.concatenate([*partition.parts.values(), earlier])))
  if elsewhere:
    notes.append(
        f'{elsewhere} images to be forgotten are in none of train, val and '
        'test: nothing is to be done for them.')
  parts.update(retain=train[~forgotten], forget=train[forgotten])
  splits = index_sets.Splits(
      **parts, by_person=index_sets.retain_forget_by_person(
          dataset, parts['retain'], parts['forget']), earlier=earlier)
  index_sets.check_splits(dataset, splits)
  return splits, notes + index_sets.splits_notes(dataset, splits)


def images_of(dataset: dataset_lib.Dataset, train: np.ndarray,
              request: ForgetRequest, notes: list[str]) -> np.ndarray:
  """Every image in the data that a request names, wherever it is.

  Args:
    dataset: the data.
    train: positions that classes, people or images are drawn from.
    request: what to forget.
    notes: receives a sentence if no person is known.

  Returns:
    Sorted positions.

  Raises:
    ValueError: if a person, family, image or class is not in the data, or too
      many are drawn.
  """
  if request.identities is not None:
    return _images_with(
        dataset, dataset.identity, request.identities, 'persons')
  if request.families is not None:
    if _FAMILY not in dataset.columns:
      raise ValueError(f'Expected {dataset.name!r} to have a column {_FAMILY!r}'
                       f', got {sorted(dataset.columns)}.')
    return _images_with(
        dataset, dataset.columns[_FAMILY], request.families, 'families')
  if request.classes is not None:
    return _images_of_classes(dataset, train, request.classes)
  if request.sample_ids is not None:
    return _images_by_id(dataset, request.sample_ids)
  return _draw(dataset, train, request, notes)


def _images_with(dataset, column, values, what):
  """Images whose value in a column is one of ``values``."""
  wanted = np.unique(np.asarray(values, np.int64))
  absent = wanted[~np.isin(wanted, column)]
  if absent.size:
    raise ValueError(
        f'Expected {what} of {dataset.name!r}, got {_some(absent)} that '
        'are not in the data.')
  return np.flatnonzero(np.isin(column, wanted))


def _images_of_classes(dataset, train, classes):
  """Training images of the named classes."""
  if dataset.task.is_multilabel:
    raise ValueError(
        'Expected a task of classes to forget one of, got the attributes '
        f'{", ".join(dataset.task.names)}.')
  unknown = sorted(set(classes) - set(dataset.task.names))
  if unknown:
    raise ValueError(f'Expected classes of {list(dataset.task.names)}, got '
                     f'{unknown}.')
  numbers = [dataset.task.names.index(name) for name in classes]
  return train[np.isin(dataset.labels[train], numbers)]


def _images_by_id(dataset, sample_ids):
  wanted = np.unique(np.asarray(sample_ids, np.str_))
  places = index_sets.find_samples(dataset, wanted)
  absent = wanted[places < 0]
  if absent.size:
    raise ValueError(
        f'Expected sample ids of {dataset.name!r}, got {_some(absent)} that '
        'are not in the data.')
  return np.sort(places)


def _some(values) -> str:
  """The first few of several values, and how many more there are."""
  shown = ', '.join(repr(value) for value in values[:5].tolist())
  return shown + (f' and {len(values) - 5} more' if len(values) > 5 else '')


def _draw(dataset, train, request, notes):
  """Images of people (or, where none is known, images) drawn from train."""
  identity = dataset.identity[train]
  people = np.unique(identity[identity >= 0])
  generator = index_sets.random_generator(request.seed, 'forget')
  if not people.size:
    if request.people is not None:
      raise ValueError(
          f'Expected known persons to draw {request.people} people from, got '
          f'identity -1 in all {len(identity)} training images; give a '
          'fraction or sample ids.')
    notes.append(
        'No person is known: the fraction to forget is one of images.')
    count = max(1, round(request.fraction * len(identity)))
    return np.sort(generator.choice(train, count, replace=False))
  count = (request.people if request.people is not None
           else max(1, round(request.fraction * len(people))))
  if count >= len(people):
    raise ValueError(
        f'Expected fewer people to forget than the {len(people)} known in '
        f'train, got {count}.')
  drawn = generator.choice(people, count, replace=False)
  return np.flatnonzero(np.isin(dataset.identity, drawn))
