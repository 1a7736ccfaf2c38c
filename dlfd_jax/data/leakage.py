"""Copies of one image in several parts of a split: found, counted, listed.

Exact copies have equal SHA-256 of their pixels. Near copies have 64-bit
perceptual hashes at a distance of at most 4 and a pixel correlation of at least
0.95. On aligned faces a larger distance pairs different people, and the hash
alone pairs faces in like poses.
"""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any

import numpy as np

from dlfd_jax.data import dataset as dataset_lib, index_sets

MAX_DISTANCE = 4
MIN_CORRELATION = 0.95
MAX_LISTED = 1000

_SIDE = 32  # the hash sees the image at 32 x 32 pixels,
_LOW = 8  # and of that the 8 x 8 lowest frequencies
_IMAGES_AT_ONCE = 256
_ROWS_AT_ONCE = 64
_GREY = np.array([0.299, 0.587, 0.114], np.float32)  # luma, ITU-R BT.601

RULE = (
    'exact: equal SHA-256 of the pixels; near: not exact, distance of 64-bit '
    f'perceptual hashes at most {MAX_DISTANCE} and pixel correlation at least '
    f'{MIN_CORRELATION}')

_DECISIONS = {
    'retain': 'retain keeps copies of images to be forgotten, so any model '
              'trained on it still knows them: final numbers are to be given '
              'with and without them.',
    'val': 'val holds copies of images to be forgotten, which were members: '
           'final numbers are to be given with and without them.',
    'test': 'test holds copies of images to be forgotten, which were members: '
            'final numbers are to be given with and without them.',
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


def perceptual_hash(images: np.ndarray,
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
  for start in range(0, len(positions), _IMAGES_AT_ONCE):
    few = positions[start:start + _IMAGES_AT_ONCE]
    grey = images[few].astype(np.float32) @ _GREY
    low = (rows @ grey @ columns.T).reshape(len(grey), _LOW * _LOW)
    bits = low > np.median(low, axis=1, keepdims=True)
    packed = np.packbits(bits, axis=1, bitorder='little')
    hashes[start:start + len(grey)] = packed.view('<u8')[:, 0]
  return hashes


def _low_frequencies(side: int) -> np.ndarray:
  """Averages a line of pixels to 32 and takes its lowest 8 DCT-II terms."""
  edges = np.linspace(0, side, _SIDE + 1)
  pixel = np.arange(side)
  overlap = (np.minimum(edges[1:, None], pixel + 1)
             - np.maximum(edges[:-1, None], pixel))
  average = np.maximum(overlap, 0) * _SIDE / side
  angle = np.pi * np.outer(np.arange(_LOW), np.arange(_SIDE) + 0.5) / _SIDE
  return (np.cos(angle) @ average).astype(np.float32)


def near_pairs(images: np.ndarray,
               positions: np.ndarray | None = None) -> np.ndarray:
  """Pairs of near copies among images, without the rule for exact ones.

  Compares all hashes, some rows at a time: memory is linear in ``n``, and
  30,000 images take a few seconds.

  Args:
    images: uint8 ``[n, h, w, 3]``; read some at a time.
    positions: int ``[m]``, which of them; all by default.

  Returns:
    int64 ``[k, 2]``, pairs ``i < j`` that count in ``positions``, sorted.
  """
  positions = np.arange(len(images)) if positions is None else positions
  hashes = perceptual_hash(images, positions)
  found = []
  for start in range(0, len(hashes), _ROWS_AT_ONCE):
    rows = hashes[start:start + _ROWS_AT_ONCE]
    distance = np.bitwise_count(rows[:, None] ^ hashes[None, start:])
    pairs = np.argwhere(distance <= MAX_DISTANCE) + start
    pairs = pairs[pairs[:, 0] < pairs[:, 1]]
    for part in range(0, len(pairs), _IMAGES_AT_ONCE):
      few = pairs[part:part + _IMAGES_AT_ONCE]
      alike = _correlation(images, positions[few]) >= MIN_CORRELATION
      found.append(few[alike])
  return np.concatenate([np.empty((0, 2), np.int64), *found])


def _correlation(images, pairs):
  """Pearson correlation of the pixels of each pair; 0 for a flat image."""
  values = []
  for side in pairs.T:
    pixels = images[side].astype(np.float32).reshape(len(side), -1)
    pixels -= pixels.mean(1, keepdims=True)
    norm = np.sqrt((pixels**2).sum(1, keepdims=True))
    values.append(pixels / np.maximum(norm, 1e-6))
  return (values[0] * values[1]).sum(1)


def find_copies(dataset: dataset_lib.Dataset,
                splits: index_sets.Partition | index_sets.Splits) -> Copies:
  """Looks for exact and near copies among the images of a split."""
  return copies_among(
      dataset, np.concatenate(list(splits.parts.values())))


def copies_among(dataset: dataset_lib.Dataset,
                 positions: np.ndarray) -> Copies:
  """Looks for exact and near copies among the images at some positions."""
  digests = np.array([
      hashlib.sha256(dataset.images[i].tobytes()).digest()
      for i in positions], dtype='S32').view('V32')
  _, first, group = np.unique(
      digests, return_index=True, return_inverse=True)
  near = near_pairs(dataset.images, positions[first])
  return Copies(positions=positions, group=group.reshape(-1), near=near)


def leakage_report(
    dataset: dataset_lib.Dataset,
    splits: index_sets.Partition | index_sets.Splits,
    copies: Copies | None = None) -> dict:
  """Counts copies between and inside the parts, and lists those of forget.

  Args:
    dataset: the data.
    splits: the parts to compare.
    copies: what ``find_copies`` gave for them, if it is at hand.

  Returns:
    What JSON can hold: ``rule``; ``exact`` and ``near``, the number of pairs
    under names such as ``forget-test`` and ``val-val``; and for ``Splits``
    ``decisions``, a sentence for each of retain, val and test, and
    ``forget_pairs``, at most 1,000 of ``{'kind', 'forget', 'other', 'part',
    'same_person'}`` with sample ids (``same_person`` None if one is unknown),
    and their full number ``forget_pairs_total``. 0 pairs means no leakage by
    data.
  """
  copies = copies or find_copies(dataset, splits)
  names = sorted(splits.parts, key=lambda name: name != 'forget')
  counts = np.zeros((copies.group.max() + 1, len(names)), np.int64)
  where = np.concatenate([
      np.full(len(part), names.index(name))
      for name, part in splits.parts.items()])
  np.add.at(counts, (copies.group, where), 1)
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
  report: dict[str, Any] = {'rule': RULE, 'exact': exact, 'near': near}
  if isinstance(splits, index_sets.Splits):
    total = sum(pairs[f'forget-{name}'] for pairs in (exact, near)
                for name in names)
    report |= {
        'decisions': {
            name: _decide(exact[f'forget-{name}'], near[f'forget-{name}'],
                          sentence)
            for name, sentence in _DECISIONS.items()},
        'forget_pairs': _forget_pairs(dataset, splits, copies),
        'forget_pairs_total': total,
    }
  return report


def _decide(exact, near, sentence):
  if not exact + near:
    return 'No copies found: nothing to decide.'
  return f'{exact} exact and {near} near pairs: {sentence}'


def _neighbours(copies: Copies) -> dict[int, list[tuple[str, int]]]:
  """For each group with near copies: ('near', group) of each of them."""
  neighbours: dict[int, list[tuple[str, int]]] = {}
  for a, b in copies.near.tolist():
    neighbours.setdefault(a, []).append(('near', b))
    neighbours.setdefault(b, []).append(('near', a))
  return neighbours


def _forget_pairs(dataset, splits, copies):
  """The first pairs with an image of forget, those inside forget once."""
  part_of = {int(i): name for name, part in splits.parts.items() for i in part}
  order = np.argsort(copies.group, kind='stable')
  starts = np.searchsorted(copies.group[order],
                           np.arange(copies.group.max() + 2))
  neighbours = _neighbours(copies)
  group_of = dict(zip(copies.positions.tolist(), copies.group.tolist(),
                      strict=True))
  pairs: list[dict[str, Any]] = []
  for i in splits.forget.tolist():
    own = group_of[i]
    for kind, group in [('exact', own), *neighbours.get(own, [])]:
      members = copies.positions[order[starts[group]:starts[group + 1]]]
      for j in members.tolist():
        if j == i or (part_of[j] == 'forget' and j < i):
          continue
        if len(pairs) == MAX_LISTED:
          return pairs
        a, b = int(dataset.identity[i]), int(dataset.identity[j])
        pairs.append({
            'kind': kind,
            'forget': str(dataset.sample_id[i]),
            'other': str(dataset.sample_id[j]),
            'part': part_of[j],
            'same_person': None if min(a, b) < 0 else a == b,
        })
  return pairs


def without_duplicates(dataset: dataset_lib.Dataset,
                       splits: index_sets.Splits,
                       copies: Copies | None = None) -> index_sets.Splits:
  """The splits without the copies of forget images in the other parts.

  For final numbers with and without them: exact and near copies leave
  ``retain``, ``val`` and ``test``; ``forget`` stays whole.

  Args:
    dataset: the data.
    splits: the parts.
    copies: what ``find_copies`` gave for them, if it is at hand.

  Raises:
    ValueError: if a part would be empty.
  """
  copies = copies or find_copies(dataset, splits)
  bad = np.zeros(copies.group.max() + 1, bool)
  bad[copies.group[np.isin(copies.positions, splits.forget)]] = True
  forgotten = bad.copy()
  for a, b in (copies.near.T, copies.near.T[::-1]):
    bad[b[forgotten[a]]] = True
  dropped = copies.positions[bad[copies.group]]
  kept = {name: part[~np.isin(part, dropped)]
          for name, part in splits.parts.items() if name != 'forget'}
  for name, part in kept.items():
    if not len(part):
      raise ValueError(
          f'Expected images of {name} that are no copies of forget images, got '
          f'none among {len(splits.parts[name])}.')
  return index_sets.Splits(
      **kept, forget=splits.forget, by_person=splits.by_person,
      earlier=splits.earlier)
