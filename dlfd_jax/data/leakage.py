"""Copies of one image in a data set: found, counted, listed, left out.

Exact copies have equal SHA-256 of their pixels. Near copies have 64-bit
perceptual hashes at a distance of at most 4 and a pixel correlation of at least
0.95. On aligned faces a larger distance pairs different people, and the hash
alone pairs faces in like poses.

Of images to forget two further kinds are looked for. Mirrored copies are near
ones of the image with its sides swapped. Of a cropped copy, one image is a
window of the other that leaves out up to a twentieth at each edge, or at
opposite ones half of that each; the window is found by hashes at a distance of
at most 6 and then moved until the pixels correlate best.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from dlfd_jax.data import (
  dataset as dataset_lib,
  pixels as pixels_lib,
  resolution,
  splits as splits_lib,
)
from dlfd_jax.utils import text

MAX_DISTANCE = 4
MIN_CORRELATION = 0.95
CROP_DISTANCE = 6
CROP_CORRELATION = 0.97
MAX_LISTED = 1000
# A search for altered copies costs about len(rest) * (len(forget) + 15,000):
# finding whom a hash may be like counts 1 for each image of forget, and all
# hashes of an image 15,000. With more than this it would take some ten seconds
# on images in memory.
MOST_ALTERED = 1_500_000_000
_HASHES = 15_000

_SIDE = 32  # the hash sees the image at 32 x 32 pixels,
_LOW = 8  # and of that the 8 x 8 lowest frequencies
_IMAGES_AT_ONCE = 256
# Of more parts of a hash than may differ, two are equal in a pair.
_PARTS = np.linspace(0, 64, MAX_DISTANCE + 3).astype(int)
_GREY = np.array([0.299, 0.587, 0.114], np.float32)  # luma, ITU-R BT.601

RULE = (
    'exact: equal SHA-256 of the pixels; near: not exact, distance of 64-bit '
    f'perceptual hashes at most {MAX_DISTANCE} and pixel correlation at least '
    f'{MIN_CORRELATION}')

ALTERED_RULE = (
    'mirrored: near, with left and right swapped; cropped: one is the other '
    f'without about 5 % at edges, hashes at most {CROP_DISTANCE} apart, '
    f'correlation of grey pixels at least {CROP_CORRELATION}')
ALTERED = ('mirrored', 'cropped')
KINDS = ('exact', 'near', *ALTERED)
_EDGES = ((0., 1.), (0., .95), (.05, 1.), (.025, .975), (.05, .95))
_WINDOWS = tuple(itertools.product(_EDGES, _EDGES))[1:]  # down, across
_WORTH = .85  # correlation from which on moving a window is tried
_MOVES = (.02, .01, .005)
_FURTHEST = .1  # of an edge
_PAIRS_AT_ONCE = 2**22

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
class Copies:
  """Which images are copies of each other.

  Attributes:
    positions: int64 ``[m]``, the images looked at.
    group: int64 ``[m]``, the number of each one's pixels: exact copies have the
      same.
    near: int64 ``[k, 2]``, pairs of groups that are near copies.
  """

  positions: np.ndarray
  group: np.ndarray
  near: np.ndarray

  def group_of(self) -> dict[int, int]:
    """The group of each image, by position."""
    return dict(zip(self.positions.tolist(), self.group.tolist(), strict=True))

  def near_groups(self) -> list[list[int]]:
    """For each group, the groups that are near copies of it."""
    neighbours: list[list[int]] = [[] for _ in range(self.group.max() + 1)]
    for a, b in self.near.tolist():
      neighbours[a].append(b)
      neighbours[b].append(a)
    return neighbours

  def pairs_of(self, rows: np.ndarray) -> Iterator[tuple[int, int, str]]:
    """(image, copy, ``'exact'`` or ``'near'``) of each of some images.

    In the order of ``rows``, an image's exact copies first; a pair that is
    exact is not given as near.
    """
    order = np.argsort(self.group, kind='stable')
    starts = np.searchsorted(
        self.group[order], np.arange(self.group.max() + 2))
    group_of, neighbours = self.group_of(), self.near_groups()
    for i in rows.tolist():
      own = group_of[i]
      for group in (own, *neighbours[own]):
        for j in self.positions[order[starts[group]:starts[group + 1]]]:
          if j != i:
            yield i, int(j), 'exact' if group == own else 'near'


def perceptual_hash(images: np.ndarray | pixels_lib.Stored,
                    positions: np.ndarray | None = None) -> np.ndarray:
  """64-bit hashes that small changes of an image hardly touch.

  The grey image, averaged to 32 x 32, is transformed by a DCT-II; bit ``8 u +
  v`` says whether its coefficient ``(u, v)``, both below 8, is above the median
  of the 64.

  Args:
    images: uint8 ``[n, h, w, 3]``; read some at a time.
    positions: int ``[m]``, which of them; all by default.

  Returns:
    uint64 ``[m]``; compare by the number of bits that differ.

  Source: the "pHash" of Zauner (2010), Implementation and benchmarking of
    perceptual image hash functions.
  """
  rows, columns = (_low_frequencies(side) for side in images.shape[1:3])
  positions = np.arange(len(images)) if positions is None else positions
  hashes = np.empty(len(positions), np.uint64)
  for few, found in pixels_lib.scan(images, positions, _IMAGES_AT_ONCE):
    grey = found.astype(np.float32) @ _GREY
    hashes[few] = _bits(rows @ grey @ columns.T)
  return hashes


def _bits(low: np.ndarray) -> np.ndarray:
  """The hashes of the lowest frequencies, ``[m, 8, 8]``."""
  low = low.reshape(len(low), _LOW * _LOW)
  bits = low > np.median(low, axis=1, keepdims=True)
  return np.packbits(bits, axis=1, bitorder='little').view('<u8')[:, 0]


def _low_frequencies(side: int, start: float = 0.0,
                     stop: float = 1.0) -> np.ndarray:
  """Averages a line of pixels to 32 and takes its lowest 8 DCT-II terms.

  Args:
    side: pixels of the line.
    start: of it, as a share; what is before does not count.
    stop: likewise; nor what is after.
  """
  edges = np.linspace(start * side, stop * side, _SIDE + 1)
  pixel = np.arange(side)
  overlap = (np.minimum(edges[1:, None], pixel + 1)
             - np.maximum(edges[:-1, None], pixel))
  average = np.maximum(overlap, 0) * _SIDE / (side * (stop - start))
  angle = np.pi * np.outer(np.arange(_LOW), np.arange(_SIDE) + 0.5) / _SIDE
  return (np.cos(angle) @ average).astype(np.float32)


def near_pairs(images: np.ndarray | pixels_lib.Stored,
               positions: np.ndarray | None = None) -> np.ndarray:
  """Pairs of near copies among images, without the rule for exact ones.

  Memory is linear in ``n``, and so is time but for images of like hashes.

  Args:
    images: uint8 ``[n, h, w, 3]``; read some at a time.
    positions: int ``[m]``, which of them; all by default.

  Returns:
    int64 ``[k, 2]``, pairs ``i < j`` that count in ``positions``, sorted.
  """
  positions = np.arange(len(images)) if positions is None else positions
  pairs = like_hashes(perceptual_hash(images, positions))
  found = [np.empty((0, 2), np.int64)]
  for part in range(0, len(pairs), _IMAGES_AT_ONCE):
    few = pairs[part:part + _IMAGES_AT_ONCE]
    alike = _correlation(images, positions[few]) >= MIN_CORRELATION
    found.append(few[alike])
  return np.concatenate(found)


def like_hashes(hashes: np.ndarray) -> np.ndarray:
  """Pairs of hashes that differ in at most ``MAX_DISTANCE`` bits.

  Cut into two parts more than bits may differ, the hashes of such a pair have
  two parts at least in common. So for every two parts all hashes are sorted by
  these, and only those that are equal there are compared.

  Args:
    hashes: uint64 ``[n]``.

  Returns:
    int64 ``[k, 2]``, pairs ``i < j``, sorted.
  """
  masks = [np.uint64((1 << int(high)) - (1 << int(low)))
           for low, high in itertools.pairwise(_PARTS)]
  found = [np.empty((0, 2), np.int64)]
  for a, b in itertools.combinations(range(len(masks)), 2):
    key = hashes & (masks[a] | masks[b])
    order = np.argsort(key, kind='stable')
    key = key[order]
    left = np.arange(len(key))
    for step in range(1, len(key)):
      left = left[left + step < len(key)]
      left = left[key[left] == key[left + step]]
      if not len(left):
        break
      i, j = order[left], order[left + step]
      differ = hashes[i] ^ hashes[j]
      # Each pair once: where its first two equal parts are these.
      earlier = [differ & masks[k] != 0 for k in range(b) if k != a]
      new = np.logical_and.reduce(
          [np.bitwise_count(differ) <= MAX_DISTANCE, *earlier])
      found.append(np.stack([i[new], j[new]], 1))
  pairs = np.concatenate(found)
  return pairs[np.lexsort(pairs.T[::-1])]


def _correlation(images: np.ndarray | pixels_lib.Stored,
                 pairs: np.ndarray) -> np.ndarray:
  """Pearson correlation of the pixels of each pair; 0 for a flat image."""
  return _correlate(*(images[side] for side in pairs.T))


def _correlate(left: np.ndarray, right: np.ndarray) -> np.ndarray:
  """Likewise of images ``[m, ...]``, each with the other of its number."""
  values = []
  for images in (left, right):
    pixels = images.astype(np.float32).reshape(len(images), -1)
    pixels -= pixels.mean(1, keepdims=True)
    norm = np.sqrt((pixels**2).sum(1, keepdims=True))
    values.append(pixels / np.maximum(norm, 1e-6))
  return (values[0] * values[1]).sum(1)


def altered_pairs(images: np.ndarray | pixels_lib.Stored, some: np.ndarray,
                  others: np.ndarray,
                  known: Collection[tuple[int, int]] = ()
                  ) -> list[tuple[int, int, str]]:
  """Mirrored and cropped copies of some images among others.

  An image that is cropped and mirrored is not found, nor one that is turned or
  loses more than about 5 % at an edge.

  Args:
    images: uint8 ``[n, h, w, 3]``; read some at a time.
    some: int ``[m]``, of which images.
    others: int ``[k]``, none of these; their copies, or what they are cropped
      from.
    known: (image, copy) of pairs that are copies anyway: not to be tried.

  Returns:
    (image, copy, ``'mirrored'`` or ``'cropped'``), sorted.
  """
  mine, theirs = (_altered_hashes(images, rows) for rows in (some, others))
  found: dict[tuple[int, int], str] = {}
  pairs = _close(mine[1], theirs[0], MAX_DISTANCE)
  for part in range(0, len(pairs), _IMAGES_AT_ONCE):
    few = pairs[part:part + _IMAGES_AT_ONCE]
    alike = _correlate(images[some[few[:, 0]]][:, :, ::-1],
                       images[others[few[:, 1]]]) >= MIN_CORRELATION
    found |= {(int(some[a]), int(others[b])): 'mirrored'
              for a, b in few[alike].tolist()}
  windows: dict[tuple[int, int], list[int]] = {}  # of the first in the second
  for k in range(len(_WINDOWS)):
    for a, b in _close(mine[2 + k], theirs[0], CROP_DISTANCE).tolist():
      windows.setdefault((int(some[a]), int(others[b])), []).append(k)
    for a, b in _close(mine[0], theirs[2 + k], CROP_DISTANCE).tolist():
      windows.setdefault((int(others[b]), int(some[a])), []).append(k)
  own = set(some.tolist())
  for (whole, part), tried in windows.items():
    pair = (whole, part) if whole in own else (part, whole)
    if pair not in found and pair not in known:
      large, small = images[np.array(pair)].astype(np.float32) @ _GREY
      if pair[0] != whole:
        large, small = small, large
      if _is_window(large, small, tried):
        found[pair] = 'cropped'
  return sorted((*pair, kind) for pair, kind in found.items()
                if pair not in known)


def _altered_hashes(images: np.ndarray | pixels_lib.Stored,
                    positions: np.ndarray) -> np.ndarray:
  """Hashes of images as they are, mirrored, and of every window, ``[., m]``."""
  rows, columns = ({edges: _low_frequencies(side, *edges) for edges in _EDGES}
                   for side in images.shape[1:3])
  # A mirrored image has its odd frequencies across with the other sign.
  signs = np.where(np.arange(_LOW) % 2, np.float32(-1), np.float32(1))
  hashes = np.empty((2 + len(_WINDOWS), len(positions)), np.uint64)
  for few, found in pixels_lib.scan(images, positions, _IMAGES_AT_ONCE):
    grey = found.astype(np.float32) @ _GREY
    down = {edges: of_side @ grey for edges, of_side in rows.items()}
    whole = down[_EDGES[0]] @ columns[_EDGES[0]].T
    hashes[0, few], hashes[1, few] = _bits(whole), _bits(whole * signs)
    for k, (high, wide) in enumerate(_WINDOWS, start=2):
      hashes[k, few] = _bits(down[high] @ columns[wide].T)
  return hashes


def _close(left: np.ndarray, right: np.ndarray, distance: int) -> np.ndarray:
  """Pairs of hashes that differ in at most so many bits, sorted.

  The eight bytes of such a pair are equal in two places at least. So for every
  two of them all hashes are put in order by these, and only those that are
  equal there are compared; a few are all compared at once.

  Args:
    left: uint64 ``[n]``.
    right: uint64 ``[m]``.
    distance: at most 6.

  Returns:
    int64 ``[k, 2]``.
  """
  if len(left) * len(right) <= _PAIRS_AT_ONCE:
    return np.argwhere(
        np.bitwise_count(left[:, None] ^ right[None]) <= distance)
  found = [np.empty((0, 2), np.int64)]
  some, other = (np.ascontiguousarray(side, '<u8').view(np.uint8).reshape(-1, 8)
                 .astype(np.int64) for side in (left, right))
  for a, b in itertools.combinations(range(8), 2):
    key, wanted = (256 * side[:, a] + side[:, b] for side in (some, other))
    order = np.argsort(key, kind='stable')
    starts = np.searchsorted(key[order], np.arange(2**16 + 1))
    many = np.diff(starts)[wanted]
    for part in _parts(many, _PAIRS_AT_ONCE):
      j = np.repeat(np.arange(part.start, part.stop), many[part])
      nth = np.arange(len(j)) - np.repeat(
          np.cumsum(many[part]) - many[part], many[part])
      i = order[starts[wanted[j]] + nth]
      near = np.bitwise_count(left[i] ^ right[j]) <= distance
      found.append(np.stack([i[near], j[near]], 1))
  return np.unique(np.concatenate(found), axis=0)


def _parts(sizes: np.ndarray, limit: int) -> Iterator[slice]:
  """Runs of neighbours whose sizes sum to about a limit at most."""
  number = (np.cumsum(sizes) - sizes) // limit
  edges = np.flatnonzero(np.diff(number)) + 1
  for start, stop in itertools.pairwise([0, *edges.tolist(), len(sizes)]):
    yield slice(start, stop)


def _is_window(whole: np.ndarray, part: np.ndarray,
               tried: Sequence[int]) -> bool:
  """Whether a grey image is a window of another one, both ``[h, w]``."""
  def alike(edges: Sequence[float]) -> float:
    down, across = (_resampling(side, *edges[k:k + 2]) for side, k in zip(
        whole.shape, (0, 2)))
    return float(_correlate((down @ whole @ across.T)[None], part[None])[0])

  best, edges = max((alike(edges), edges) for edges in (
      [*_WINDOWS[k][0], *_WINDOWS[k][1]] for k in tried))
  if best < _WORTH:
    return False
  for move, k, sign in itertools.product(_MOVES, range(4), (-1, 1)):
    moved = [*edges]
    low, high = (0., _FURTHEST) if k % 2 == 0 else (1 - _FURTHEST, 1.)
    moved[k] = min(max(edges[k] + sign * move, low), high)
    value = alike(moved)
    if value > best:
      best, edges = value, moved
  return best >= CROP_CORRELATION


def _resampling(side: int, start: float, stop: float) -> np.ndarray:
  """Takes as many pixels from a part of a line, between them linearly."""
  x = np.clip(start * side + (np.arange(side) + .5) * (stop - start) - .5,
              0, side - 1)
  low = np.floor(x).astype(int)
  matrix = np.zeros((side, side), np.float32)
  matrix[np.arange(side), low] = 1 - (x - low)
  matrix[np.arange(side), np.minimum(low + 1, side - 1)] += x - low
  return matrix


def find_copies(dataset: dataset_lib.Dataset,
                positions: np.ndarray) -> Copies:
  """Looks for exact and near copies among the images at some positions."""
  digests = dataset.image_hashes[positions].view('V32')[:, 0]
  _, first, group = np.unique(
      digests, return_index=True, return_inverse=True)
  near = near_pairs(dataset.images, positions[first])
  return Copies(positions=positions, group=group.reshape(-1), near=near)


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
  def copies(self) -> Copies:
    """Exact and near ones, in and between all parts."""
    return find_copies(
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
    return altered_pairs(self.dataset.images, forget, rest, known)

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
    report: dict[str, Any] = {'rule': RULE, 'exact': exact, 'near': near}
    part_of = _part_of(parts)
    pairs: Iterable[tuple[int, int, str]] = (
        pair for pair in self.copies.pairs_of(self.splits.forget)
        if part_of[pair[1]] != 'forget' or pair[1] > pair[0])  # inside it once
    found = self.altered if altered else None
    if found is not None:
      report['rule'] = f'{RULE}; {ALTERED_RULE}'
      for kind in ALTERED:
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
            report.get(kind, {}).get(f'forget-{name}', 0) for kind in KINDS
            for name in names)}

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
  counts = {kind: report[kind][f'forget-{name}'] for kind in KINDS
            if kind in report}
  if any(counts.values()):
    said = text.listed(f'{count} {kind}' for kind, count in counts.items())
    return f'{said} pairs: {sentence}'
  return f'No {text.listed(counts, "or")} copy found: nothing to decide.'


def _pairs_between(copies: Copies, parts: Mapping[str, np.ndarray]
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
  copies = find_copies(dataset, everything)
  exact, near = _pairs_between(copies, {'forget': forget, **parts})
  by_part = {name: {**dict.fromkeys(KINDS, 0),
                    'exact': exact[f'forget-{name}'],
                    'near': near[f'forget-{name}']} for name in parts}
  part_of = _part_of(parts)
  pairs = [pair for pair in copies.pairs_of(forget) if pair[1] in part_of]
  known = {(i, j) for i, j, _ in pairs}
  rest = np.array(sorted(part_of), np.int64)
  for pair in altered_pairs(dataset.images, forget, rest, known):
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
                 for kind in KINDS},
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
  report: dict[str, Any] = {'rule': RULE}
  for name, of in (('raw', search), ('clean', Search(dataset, cleaned))):
    pairs = of.report()
    report[name] = {
        'images': {part: len(rows) for part, rows in of.splits.parts.items()},
        'exact': pairs['exact'], 'near': pairs['near']}
  return cleaned, report
