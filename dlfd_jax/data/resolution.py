"""What a deletion request leaves: its images, and the splits of the rest.

``resolve_request`` turns a request and a ``Partition`` into checked ``Splits``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from dlfd_jax.data import (
  dataset as dataset_lib,
  request_names,
  requests,
  splits as splits_lib,
)
from dlfd_jax.utils import text as text_lib

MOST_LISTED = 1000


def resolve_request(
    dataset: dataset_lib.Dataset, partition: splits_lib.Partition,
    request: requests.ForgetRequest, earlier: np.ndarray | None = None,
) -> tuple[splits_lib.Splits, list[str]]:
  """Cuts ``train`` into retain and forget as a request asks.

  An entry means the person, family or image of exactly that name, else the one
  whose name is the same once both are in one spelling (``spelling.clean``);
  else, if it begins with ``#`` and was read from a file, it is a comment; else
  it is refused.

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
    ValueError: if a person or image is not in the data, a name has a twin and
      ``same_person`` does not say what that means, no training image would be
      forgotten, nothing would be left to retain, watch or test on, or
      ``check_splits`` objects to what is left.
  """
  resolved = resolve(dataset, partition.parts, request, earlier)
  splits = resolved.splits()
  return splits, resolved.notes() + splits_lib.splits_notes(dataset, splits)


@dataclasses.dataclass(frozen=True, eq=False)
class ResolvedRequest:
  """A request on one data set and one split: the rows behind every count of it.

  Attributes:
    dataset: the images.
    retain: training images that stay.
    forget: training images to be forgotten.
    others: ``val`` and ``test`` without what the request names; empty where
      nobody knows them.
    by_person: as of ``Splits``, like the next two.
    earlier: what earlier requests made the original forget.
    left_out: what the request names beyond forget; None = not recorded.
    said: sentences on how its names were read.
    classes: as of ``Splits``, like all others.
    of_classes: rows of val and test.
    gone: people by sample id of images that are no longer in the data.
    left_out_of_earlier: people by sample id.
    not_found: names of the request that the data do not have.
  """

  dataset: dataset_lib.Dataset
  retain: np.ndarray
  forget: np.ndarray
  others: Mapping[str, np.ndarray]
  by_person: bool
  earlier: np.ndarray
  left_out: Mapping[str, np.ndarray] | None
  said: tuple[str, ...] = ()
  classes: tuple[str, ...] = ()
  of_classes: np.ndarray = dataclasses.field(
      default_factory=lambda: np.array([], np.int64))
  gone: Mapping[str, str] = dataclasses.field(default_factory=dict)
  left_out_of_earlier: Mapping[str, str] = dataclasses.field(
      default_factory=dict)
  not_found: tuple[str, ...] = ()

  @classmethod
  def of(cls, dataset: dataset_lib.Dataset,
         splits: splits_lib.Splits) -> ResolvedRequest:
    """The request that became some splits."""
    return cls(dataset, splits.retain, splits.forget,
               {'val': splits.val, 'test': splits.test}, splits.by_person,
               splits.earlier, splits.left_out, (), splits.classes,
               splits.of_classes, splits.gone, splits.left_out_of_earlier,
               splits.not_found)

  @property
  def parts(self) -> dict[str, np.ndarray]:
    """Rows by part, as of ``Splits``."""
    return {'retain': self.retain, 'forget': self.forget, **self.others}

  def splits(self) -> splits_lib.Splits:
    """What unlearning works on.

    Raises:
      ValueError: if nothing would be left to watch or test on, or
        ``check_splits`` objects to what is left.
    """
    for name, rows in self.others.items():
      if not len(rows):
        raise ValueError(
            f'Expected images left in {name} after the request, got none: all '
            f'{len((self.left_out or {})[name])} are to be forgotten.')
    splits = splits_lib.Splits(
        self.retain, self.forget, **self.others, by_person=self.by_person,
        earlier=self.earlier, left_out=self.left_out, classes=self.classes,
        of_classes=self.of_classes, gone=self.gone,
        left_out_of_earlier=self.left_out_of_earlier,
        not_found=self.not_found)
    splits_lib.check_splits(self.dataset, splits)
    return splits

  def counts(self) -> dict[str, Any]:
    """Every number of the request, in JSON values; None = not known."""
    data = self.dataset
    people, stay = data.people_in(self.forget), data.people_in(self.retain)
    trained = len(np.union1d(people, stay))
    return {
        'images': len(self.forget), 'people': len(people),
        'images_of_nobody_known': int((data.identity[self.forget] < 0).sum()),
        'share_of_images': len(self.forget) / (
            len(self.forget) + len(self.retain)),
        'share_of_people': len(people) / trained if trained else None,
        'retain_images': len(self.retain), 'retain_people': len(stay),
        'left_out': None if self.left_out is None else {
            name: len(self.left_out.get(name, ()))
            for name in splits_lib.LEFT_OUT},
        'earlier_images': len(self.earlier) + len(self.gone),
        'earlier_people': len({
            *map(data.called, data.people_in(self.earlier)),
            *filter(None, self.gone.values())}),
        **({'earlier_gone': len(self.gone)} if self.gone else {}),
        **({'not_found': list(self.not_found)} if self.not_found else {}),
        'by_person': bool(self.by_person),
        **({'classes': list(self.classes)} if self.classes else {})}

  def notes(self) -> list[str]:
    """What a reader must know of names, and of images that are left out."""
    left_out = self.counts()['left_out'] or {}
    notes = list(self.said)
    for name, count in left_out.items():
      if count:
        words = _ONE if count == 1 else _MANY
        notes.append(f'{text_lib.counted(count, "image")} '
                     f'{_LEFT_OUT[name].format(name, **words)}')
    return notes


_ONE = {'are': 'is', 'were': 'was', 'they': 'it', 'them': 'it'}
_MANY = {word: word for word in _ONE}
_LEFT_OUT = {
    **dict.fromkeys(
        ('val', 'test'), 'to be forgotten {are} in {0}, which the original was '
        'not trained on: {they} {are} left out of the evaluation.'),
    'earlier': 'of the request {were} forgotten by an earlier one: nothing '
               'more is to be done for {them}.',
    'elsewhere': 'to be forgotten {are} in none of train, val and test: '
                 'nothing is to be done for {them}.'}


def resolve(dataset: dataset_lib.Dataset, parts: Mapping[str, np.ndarray],
            request: requests.ForgetRequest, earlier: np.ndarray | None = None,
            gone: Mapping[str, str] | None = None) -> ResolvedRequest:
  """Looks a request up, as :func:`resolve_request` does.

  Args:
    dataset: the data.
    parts: positions of ``train``, ``val`` and ``test``, or ``train`` alone.
    request: what to forget.
    earlier: as of ``resolve_request``.
    gone: people by sample id of images that earlier requests named, too: a name
      of these is known, though it may be no longer in the data.

  Raises:
    ValueError: if a name is not in the data or has a twin, or no training image
      would be forgotten or left.
  """
  splits_lib.check_positions(dataset, parts)
  gone = gone or {}
  look = request_names.Lookup(
      request, frozenset(gone), frozenset(gone.values()))
  train = parts['train']
  named = request_names.images_of(dataset, train, look)
  inside = np.isin(train, named)
  if not inside.any():
    raise ValueError(
        'Expected at least one training image to forget, got none: the '
        f'{text_lib.counted(len(named), "image")} of the request '
        f'{text_lib.are(len(named))} not in train'
        + (', as earlier requests forgot '
           f'{"it" if len(named) == 1 else "them"}.' if len(named) and
           earlier is not None and np.isin(named, earlier).all() else '.')
        + ''.join(f' {sentence}' for sentence in look.sentences()))
  if inside.all():
    raise ValueError(
        'Expected training images left to retain, got none: the request '
        f'forgets all {len(train)}.')
  earlier = np.array([], np.int64) if earlier is None else earlier
  others = {name: part for name, part in parts.items() if name != 'train'}
  left_out = {name: np.intersect1d(part, named)
              for name, part in (*others.items(), ('earlier', earlier))}
  left_out['elsewhere'] = np.setdiff1d(
      named, np.concatenate([*parts.values(), earlier]))
  retain, forget = train[~inside], train[inside]
  others = {name: np.setdiff1d(part, named) for name, part in others.items()}
  classes, of_classes = splits_lib.whole_classes(
      dataset, retain, forget, others.values())
  if request.classes is not None or request.subclasses is not None:
    asked = dict.fromkeys(request.classes or request.subclasses or ())
    classes = tuple(one for one in asked if one not in look.not_found)
    of_classes = request_names.images_of_classes(
        dataset, train, request_names.Lookup(request))
  unseen = np.concatenate([np.array([], np.int64), *others.values()])
  return ResolvedRequest(
      dataset, retain, forget, others,
      splits_lib.retain_forget_by_person(dataset, retain, forget), earlier,
      left_out, tuple(look.sentences()), classes,
      np.intersect1d(of_classes, unseen), not_found=tuple(look.not_found))


def resolve_next(dataset: dataset_lib.Dataset, start: splits_lib.Start,
                 request: requests.ForgetRequest) -> ResolvedRequest:
  """A request after other ones.

  Args:
    dataset: the data.
    start: what they left.
    request: what to forget.

  Raises:
    ValueError: as ``resolve``.
  """
  found = dataclasses.replace(
      resolve(dataset, start.parts, request, start.earlier,
              {**start.gone, **start.left_out_of_earlier}),
      gone=start.gone, left_out_of_earlier=start.left_out_of_earlier)
  if not start.of_classes.size:
    return found
  return dataclasses.replace(found, said=(*found.said, (
      f'{start.of_classes.size} images of val and test show what an earlier '
      f'request forgot whole ({", ".join(start.classes)}): they are left out '
      'of the evaluation.')))


def people_in_two_parts(dataset: dataset_lib.Dataset,
                        parts: Mapping[str, np.ndarray]
                        ) -> dict[int, list[str]]:
  """People with images in more than one part, and in which."""
  seen: dict[int, list[str]] = {}
  for name, rows in parts.items():
    for person in np.unique(dataset.identity[rows]).tolist():
      if person >= 0:
        seen.setdefault(person, []).append(name)
  return {person: where for person, where in seen.items() if len(where) > 1}


def describe(resolved: ResolvedRequest, copies: Mapping[str, Any],
             twice: Mapping[int, list[str]]) -> dict[str, Any]:
  """What a request touches, in JSON values.

  Args:
    resolved: the request.
    copies: see ``leakage.copies_outside``.
    twice: see :func:`people_in_two_parts`.
  """
  dataset, forget = resolved.dataset, resolved.forget
  called = dataset.called
  by_person = {
      called(person): dataset.sample_id[
          forget[dataset.identity[forget] == person]].tolist()
      for person in np.unique(dataset.identity[forget])}
  return {
      **resolved.counts(),
      'images_by_person': {
          name: len(samples) for name, samples in by_person.items()},
      'samples_by_person': by_person, **copies,
      'people_in_two_parts': {
          called(person): where for person, where in list(
              twice.items())[:MOST_LISTED]},
      'people_in_two_parts_total': len(twice)}
