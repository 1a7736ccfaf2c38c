"""Copies of one image: exact, near, mirrored and cropped ones are found.

Exact copies have equal SHA-256 of their pixels. Near copies have 64-bit
perceptual hashes at a distance of at most 4 and a pixel correlation of at least
0.95. On aligned faces a larger distance pairs different people, and the hash
alone pairs faces in like poses.

Of some images two further kinds are looked for. Mirrored copies are near
ones of the image with its sides swapped. Of a cropped copy, one image is a
window of the other that leaves out up to a twentieth at each edge, or at
opposite ones half of that each; the window is found by hashes at a distance of
at most 6 and then moved until the pixels correlate best.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Collection, Iterator, Sequence

import numpy as np

from dlfd_jax.data import dataset as dataset_lib, pixels as pixels_lib

MAX_DISTANCE = 4
MIN_CORRELATION = 0.95
CROP_DISTANCE = 6
CROP_CORRELATION = 0.97

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
      i, j = i[near], j[near]
      # Each pair once: where its first two equal bytes are these.
      new = (some[i, :b] != other[j, :b]).sum(1) == b - 1
      found.append(np.stack([i[new], j[new]], 1))
  pairs = np.concatenate(found)
  return pairs[np.lexsort(pairs.T[::-1])]


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
