"""Copies of images to forget in other parts: counted, listed, left out.

What is a copy of what: :mod:`dlfd_jax.data.copies`.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from dlfd_jax.data import (
  copies as copies_lib,
  dataset as dataset_lib,
  resolution,
  splits as splits_lib,
)
from dlfd_jax.utils import text

MAX_LISTED = 1000
# A search for altered copies costs about len(rest) * (len(forget) + 15,000):
# finding whom a hash may be like counts 1 for each image of forget, and all
# hashes of an image 15,000. With more than this it would take some ten seconds
# on images in memory.
MOST_ALTERED = 1_500_000_000
_HASHES = 15_000

_DECISIONS = {
    'retain': 'retain keeps copies of images to be forgotten, so any model '
              'trained on it may still know them: figures without them stand '
              'beside the others.',
    'val': 'val holds copies of images to be forgotten, which were members: '
           'figures without them stand beside the others.',
    'test': 'test holds copies of images to be forgotten, which were members: '
            'figures without them stand beside the others.',
}


@dataclasses.dataclass(frozen=True, eq=False)
class Search:
  """Copies among the images of a request, each kind looked for at most once.

  Attributes:
    dataset: the data.
    splits: the parts.
  """

  dataset: dataset_lib.Dataset
  splits: splits_lib.Splits

  @functools.cached_property
  def copies(self) -> copies_lib.Copies:
    """Exact and near ones, in and between all parts."""
    return copies_lib.find_copies(
        self.dataset, np.concatenate(list(self.splits.parts.values())))

  @functools.cached_property
  def altered(self) -> list[tuple[int, int, str]] | None:
    """:func:`altered_pairs` of forget in other parts, without :attr:`copies`.

    None where there are too many to look at, see ``MOST_ALTERED``.
    """
    forget = self.splits.forget
    rest = np.concatenate([
        rows for name, rows in self.splits.parts.items() if name != 'forget'])
    if len(rest) * (len(forget) + _HASHES) > MOST_ALTERED:
      return None
    known = {(i, j) for i, j, _ in self.copies.pairs_of(forget)}
    return copies_lib.altered_pairs(self.dataset.images, forget, rest, known)

  def report(self, *, altered: bool = False) -> dict[str, Any]:
    """Counts copies between and inside the parts, and lists those of forget.

    Args:
      altered: also look for mirrored and cropped copies of forget images in the
        other parts, where that takes seconds, see ``MOST_ALTERED``.

    Returns:
      What JSON can hold: ``rule``; ``exact`` and ``near``, the number of pairs
      under names such as ``forget-test`` and ``val-val``; where they were
      looked for ``mirrored`` and ``cropped``, those that are neither, of
      ``forget-test`` and its like alone; ``decisions``, a sentence for each of
      retain, val and test; and ``forget_pairs``, at most 1,000 of ``{'kind',
      'forget', 'other', 'part', 'same_person'}`` with sample ids
      (``same_person`` None if one is unknown), and their full number
      ``forget_pairs_total``. 0 pairs means no leakage by data.
    """
    parts = self.splits.parts
    names = sorted(parts, key=lambda name: name != 'forget')
    exact, near = _pairs_between(self.copies, {n: parts[n] for n in names})
    report: dict[str, Any] = {
        'rule': copies_lib.RULE, 'exact': exact, 'near': near}
    part_of = _part_of(parts)
    pairs: Iterable[tuple[int, int, str]] = (
        pair for pair in self.copies.pairs_of(self.splits.forget)
        if part_of[pair[1]] != 'forget' or pair[1] > pair[0])  # inside it once
    found = self.altered if altered else None
    if found is not None:
      report['rule'] = f'{copies_lib.RULE}; {copies_lib.ALTERED_RULE}'
      for kind in copies_lib.ALTERED:
        report[kind] = {f'forget-{name}': sum(
            pair[2] == kind and part_of[pair[1]] == name for pair in found)
                        for name in names if name != 'forget'}
      pairs = itertools.chain(pairs, found)
    return report | {
        'decisions': {name: _decision(report, name, sentence)
                      for name, sentence in _DECISIONS.items()},
        'forget_pairs': [_listed(self.dataset, i, j, kind, part_of[j])
                         for i, j, kind in itertools.islice(pairs, MAX_LISTED)],
        'forget_pairs_total': sum(
            report.get(kind, {}).get(f'forget-{name}', 0)
            for kind in copies_lib.KINDS for name in names)}

  def like_forget(self) -> np.ndarray:
    """Positions of forget images and of all copies of them.

    Mirrored and cropped ones count where they are looked for.
    """
    copies = self.copies
    bad = np.zeros(copies.group.max() + 1, bool)
    bad[copies.group[np.isin(copies.positions, self.splits.forget)]] = True
    forgotten = bad.copy()
    for a, b in (copies.near.T, copies.near.T[::-1]):
      bad[b[forgotten[a]]] = True
    altered = np.array([j for _, j, _ in self.altered or ()], np.int64)
    return np.union1d(copies.positions[bad[copies.group]], altered)

  def without_duplicates(self) -> splits_lib.Splits:
    """The splits without the copies of forget images in the other parts.

    For final numbers with and without them: those of :meth:`like_forget` leave
    ``retain``, ``val`` and ``test``; ``forget`` stays whole.

    Raises:
      ValueError: if a part would be empty.
    """
    dropped = self.like_forget()
    kept = {name: part[~np.isin(part, dropped)]
            for name, part in self.splits.parts.items() if name != 'forget'}
    for name, part in kept.items():
      if not len(part):
        raise ValueError(
            f'Expected images of {name} that are no copies of forget images, '
            f'got none among {len(self.splits.parts[name])}.')
    return _with_parts(self.splits, kept)


def _decision(report: Mapping[str, Any], name: str, sentence: str) -> str:
  """What copies of forget images in a part ask to be decided."""
  counts = {kind: report[kind][f'forget-{name}'] for kind in copies_lib.KINDS
            if kind in report}
  if any(counts.values()):
    said = text.listed(f'{count} {kind}' for kind, count in counts.items())
    return f'{said} pairs: {sentence}'
  return f'No {text.listed(counts, "or")} copy found: nothing to decide.'


def _pairs_between(copies: copies_lib.Copies, parts: Mapping[str, np.ndarray]
                   ) -> tuple[dict[str, int], dict[str, int]]:
  """How many pairs are exact, and near, under names such as ``val-test``."""
  names = list(parts)
  counts = np.zeros((copies.group.max() + 1, len(names)), np.int64)
  group_of = np.full(copies.positions.max() + 1, -1)
  group_of[copies.positions] = copies.group
  for a, rows in enumerate(parts.values()):
    np.add.at(counts, (group_of[rows], a), 1)
  left, right = counts[copies.near[:, 0]], counts[copies.near[:, 1]]
  exact, near = {}, {}
  for a, name in enumerate(names):
    for b in range(a, len(names)):
      key = f'{name}-{names[b]}'
      if a == b:
        exact[key] = int((counts[:, a] * (counts[:, a] - 1)).sum()) // 2
        near[key] = int((left[:, a] * right[:, a]).sum())
      else:
        exact[key] = int((counts[:, a] * counts[:, b]).sum())
        near[key] = int((left[:, a] * right[:, b]
                         + left[:, b] * right[:, a]).sum())
  return exact, near


def _part_of(parts: Mapping[str, np.ndarray]) -> dict[int, str]:
  """The name of the part of each image, by position."""
  return {i: name for name, rows in parts.items() for i in rows.tolist()}


def _listed(dataset: dataset_lib.Dataset, i: int, j: int, kind: str,
            part: str) -> dict[str, Any]:
  """A pair in JSON values; ``same_person`` is None if either is unknown."""
  a, b = int(dataset.identity[i]), int(dataset.identity[j])
  return {'kind': kind, 'forget': str(dataset.sample_id[i]),
          'other': str(dataset.sample_id[j]), 'part': part,
          'same_person': None if min(a, b) < 0 else a == b}


def copies_outside(resolved: resolution.ResolvedRequest) -> dict[str, Any]:
  """Copies of forget images in what the request does not name.

  Returns:
    What JSON can hold: ``copies``, the number of pairs of each of ``KINDS``;
    ``copies_by_part`` the same by retain, val, test, earlier and data (none of
    these), ``exact`` and ``near`` equal to those of :meth:`Search.report`;
    ``copies_of_other_people``, the pairs of two known persons; and
    ``copies_listed``, at most 1,000 of them as ``forget_pairs`` there.
  """
  dataset, forget = resolved.dataset, resolved.forget
  named = np.concatenate([forget, *(resolved.left_out or {}).values()])
  parts: dict[str, np.ndarray] = {}
  if resolved.others:  # else nobody knows what is where
    parts = {'retain': resolved.retain, **resolved.others,
             'earlier': np.setdiff1d(resolved.earlier, named)}
  everything = np.arange(len(dataset))
  parts['data'] = np.setdiff1d(
      everything, np.concatenate([named, *parts.values()]))
  copies = copies_lib.find_copies(dataset, everything)
  exact, near = _pairs_between(copies, {'forget': forget, **parts})
  by_part = {name: {**dict.fromkeys(copies_lib.KINDS, 0),
                    'exact': exact[f'forget-{name}'],
                    'near': near[f'forget-{name}']} for name in parts}
  part_of = _part_of(parts)
  pairs = [pair for pair in copies.pairs_of(forget) if pair[1] in part_of]
  known = {(i, j) for i, j, _ in pairs}
  rest = np.array(sorted(part_of), np.int64)
  for pair in copies_lib.altered_pairs(dataset.images, forget, rest, known):
    pairs.append(pair)
    by_part[part_of[pair[1]]][pair[2]] += 1
  listed: list[dict[str, Any]] = []
  others = 0
  for i, j, kind in pairs:
    entry = _listed(dataset, i, j, kind, part_of[j])
    others += entry['same_person'] is False
    listed += [entry] if len(listed) < MAX_LISTED else []
  return {
      'copies': {kind: sum(part[kind] for part in by_part.values())
                 for kind in copies_lib.KINDS},
      'copies_by_part': by_part, 'copies_of_other_people': others,
      'copies_listed': listed}


def _with_parts(splits: splits_lib.Splits,
                parts: Mapping[str, Any]) -> splits_lib.Splits:
  return dataclasses.replace(splits, **parts)


def clean_report(dataset: dataset_lib.Dataset, splits: splits_lib.Splits
                 ) -> tuple[splits_lib.Splits, dict[str, Any]]:
  """The splits without duplicates, exact or near, and a report of both.

  In the order forget, retain, val, test an image leaves if it is a copy of any
  image of an earlier part, or of one of its own part that stays. So forget
  images lose their copies everywhere else, and no two that stay are copies.

  Returns:
    The splits, and what JSON can hold: ``rule``, and under ``raw`` and
    ``clean`` each ``images`` by part and the pairs ``exact`` and ``near``.

  Raises:
    ValueError: if a part would be empty.
  """
  search = Search(dataset, splits)
  copies = search.copies
  neighbours, group_of = copies.near_groups(), copies.group_of()
  taken: set[int] = set()  # groups with an image that others must not copy
  kept = {}
  for name in ('forget', 'retain', 'val', 'test'):
    own: set[int] = set()
    stay = []
    for i in splits.parts[name].tolist():
      group = group_of[i]
      if not any(g in taken or g in own for g in (group, *neighbours[group])):
        own.add(group)
        stay.append(i)
    taken.update(group_of[i] for i in splits.parts[name].tolist())
    if not stay:
      raise ValueError(
          f'Expected images of {name} that are no copies of others, got none '
          f'among {len(splits.parts[name])}.')
    kept[name] = np.array(stay)
  cleaned = dataclasses.replace(
      _with_parts(splits, kept), by_person=splits_lib.retain_forget_by_person(
          dataset, kept['retain'], kept['forget']))
  report: dict[str, Any] = {'rule': copies_lib.RULE}
  for name, of in (('raw', search), ('clean', Search(dataset, cleaned))):
    pairs = of.report()
    report[name] = {
        'images': {part: len(rows) for part, rows in of.splits.parts.items()},
        'exact': pairs['exact'], 'near': pairs['near']}
  return cleaned, report
