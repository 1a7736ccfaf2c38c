"""What a deletion request touches: images, people, copies."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from dlfd_jax.data import dataset as dataset_lib, leakage

MOST_LISTED = 1000


@dataclasses.dataclass(frozen=True)
class Copy:
  """An image outside the request that copies one inside it.

  Attributes:
    forget: row of the image to be forgotten.
    other: row of its copy.
    kind: ``'exact'`` or ``'near'``, see ``leakage``.
    part: where the copy is: a part's name, or ``'data'`` without a split.
    same_person: None if either person is unknown.
  """

  forget: int
  other: int
  kind: str
  part: str
  same_person: bool | None


def copies_outside(dataset: dataset_lib.Dataset, forget: np.ndarray,
                   parts: dict[str, np.ndarray]) -> list[Copy]:
  """Exact and near copies of forget images anywhere else in the data.

  Args:
    dataset: all images.
    forget: rows to be forgotten.
    parts: rows of each other part, for the copies' addresses.

  Returns:
    Sorted by forget image; a pair that is exact is not listed as near.
  """
  found = leakage.copies_among(dataset, np.arange(len(dataset)))
  part_of = {int(i): name for name, rows in parts.items() for i in rows}
  inside = set(forget.tolist())
  order = np.argsort(found.group, kind='stable')
  starts = np.searchsorted(
      found.group[order], np.arange(found.group.max() + 2))
  near: dict[int, list[int]] = {}
  for a, b in found.near.tolist():
    near.setdefault(a, []).append(b)
    near.setdefault(b, []).append(a)
  group_of = dict(zip(found.positions.tolist(), found.group.tolist(),
                      strict=True))

  def members(group):
    return found.positions[order[starts[group]:starts[group + 1]]].tolist()

  copies = []
  for i in sorted(inside):
    own = group_of[i]
    for kind, group in [('exact', own)] + [
        ('near', g) for g in near.get(own, [])]:
      for j in members(group):
        if j in inside:
          continue
        a, b = int(dataset.identity[i]), int(dataset.identity[j])
        copies.append(Copy(
            i, j, kind, part_of.get(j, 'data'),
            None if min(a, b) < 0 else a == b))
  return copies


def people_in_two_parts(dataset: dataset_lib.Dataset,
                        parts: dict[str, np.ndarray]) -> dict[int, list[str]]:
  """People with images in more than one part, and in which."""
  seen: dict[int, list[str]] = {}
  for name, rows in parts.items():
    for person in np.unique(dataset.identity[rows]).tolist():
      if person >= 0:
        seen.setdefault(person, []).append(name)
  return {person: where for person, where in seen.items() if len(where) > 1}


def describe(dataset: dataset_lib.Dataset, forget: np.ndarray,
             train: np.ndarray, copies: list[Copy],
             twice: dict[int, list[str]]) -> dict[str, Any]:
  """The findings in JSON values.

  Args:
    dataset: all images.
    forget: rows to be forgotten.
    train: rows that the original was trained on, those of forget among them.
    copies: see :func:`copies_outside`.
    twice: see :func:`people_in_two_parts`.
  """
  called = dataset.called
  people, counts = np.unique(dataset.identity[forget], return_counts=True)
  trained = np.unique(dataset.identity[train])
  by_kind = {kind: sum(copy.kind == kind for copy in copies)
             for kind in ('exact', 'near')}
  return {
      'images': len(forget), 'people': int((people >= 0).sum()),
      'share_of_images': len(forget) / len(train),
      'share_of_people': (float((people >= 0).sum() / (trained >= 0).sum())
                          if (trained >= 0).any() else None),
      'images_by_person': {
          called(person): int(count) for person, count in zip(
              people, counts, strict=True)},
      'samples_by_person': {
          called(person): dataset.sample_id[
              forget[dataset.identity[forget] == person]].tolist()
          for person in people},
      'copies': by_kind, 'copies_listed': [
          {'forget': str(dataset.sample_id[copy.forget]),
           'other': str(dataset.sample_id[copy.other]), 'kind': copy.kind,
           'part': copy.part, 'same_person': copy.same_person}
          for copy in copies[:MOST_LISTED]],
      'copies_of_other_people': sum(
          copy.same_person is False for copy in copies),
      'people_in_two_parts': {
          called(person): where for person, where in list(
              twice.items())[:MOST_LISTED]},
      'people_in_two_parts_total': len(twice)}
