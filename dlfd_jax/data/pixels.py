"""Images that lie elsewhere than in memory and are read when they are needed.

``Dataset.images`` is an array, or one of these, which offers the part of an
array's interface that works on some images at a time.
"""

from __future__ import annotations

import abc
import functools
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np

_AT_ONCE = 256


class Stored(abc.ABC):
  """Images ``[n, h, w, 3]``, indexed by rows like an array.

  Attributes:
    shape: ``(n, h, w, 3)``.
    fingerprints: of data sets with these images, known before any is read, by
      ``Dataset.rows_hash``.
  """

  dtype = np.dtype(np.uint8)
  ndim = 4

  def __init__(self, n: int, size: tuple[int, int],
               fingerprints: Mapping[str, str] | None = None):
    self.shape = (int(n), int(size[0]), int(size[1]), 3)
    self.fingerprints = dict(fingerprints or {})

  @abc.abstractmethod
  def read(self, rows: np.ndarray) -> np.ndarray:
    """Images ``[m, h, w, 3]`` at rows ``[m]``."""

  def stream(self, lists: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
    """The images of each of some lists of rows, in turn."""
    return map(self.read, lists)

  def in_order(self, rows: np.ndarray) -> np.ndarray:
    """A permutation of places in ``rows``: the order that reads fastest."""
    return np.arange(len(rows))

  @functools.cached_property
  def hashes(self) -> np.ndarray:
    """SHA-256 of the pixels of every image, uint8 ``[n, 32]``."""
    found = np.empty((len(self), 32), np.uint8)
    for places, images in scan(self, np.arange(len(self))):
      for place, image in zip(places, images, strict=True):
        found[place] = np.frombuffer(sha256(image), np.uint8)
    return found

  def __len__(self) -> int:
    return self.shape[0]

  def __getitem__(self, rows: Any) -> np.ndarray:
    rows = np.arange(len(self))[rows]
    return self.read(rows.reshape(-1)).reshape(*rows.shape, *self.shape[1:])

  @property
  def nbytes(self) -> int:
    """Bytes that all of them would take in memory."""
    n, height, width, channels = self.shape
    return n * height * width * channels

  def __array__(self, *unused: Any, **options: Any) -> NoReturn:
    raise TypeError('Expected some rows of images that are not in memory, got '
                    'all of them at once.')


class Files(Stored):
  """Images of which a function reads one, by its row.

  Raises:
    ValueError: by the function, if an image cannot be read.
  """

  def __init__(self, n: int, size: tuple[int, int],
               read_one: Callable[[int], np.ndarray]):
    super().__init__(n, size)
    self._read_one = read_one

  def read(self, rows: np.ndarray) -> np.ndarray:
    """As above."""
    images = np.empty((len(rows), *self.shape[1:]), np.uint8)
    for k, row in enumerate(rows.tolist()):
      images[k] = self._read_one(row)
    return images


def sha256(image: np.ndarray) -> bytes:
  """SHA-256 of the pixels of one image."""
  return hashlib.sha256(np.ascontiguousarray(image).data).digest()


def scan(images: np.ndarray | Stored, rows: np.ndarray, size: int = _AT_ONCE
         ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
  """Some images, ``size`` at a time, in the order that reads fastest.

  Yields:
    Places in ``rows``, and the images there.
  """
  order = (images.in_order(rows) if isinstance(images, Stored) else
           np.arange(len(rows)))
  places = [order[k:k + size] for k in range(0, len(rows), size)]
  lists = [rows[few] for few in places]
  read = (images.stream(lists) if isinstance(images, Stored) else
          (images[few] for few in lists))
  yield from zip(places, read, strict=True)
