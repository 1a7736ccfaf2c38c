"""Which images a step reads, and how their pixels reach it.

Index batches depend on the step alone: a stream is a pure function of its seed
and the step number, so a run can be resumed at any step without storing a
position.

Images stay uint8 until they are on the device. If the data set fits, the whole
array lies there and a batch is only indices; else the rows travel with each
batch, read ahead by a thread; those of stored images are decoded ahead by
threads or processes, see ``data.shards``. Of several processes each reads its
own rows of the global batch, and nothing lies on the devices.
"""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from dlfd_jax.data import dataset as dataset_lib, pixels
from dlfd_jax.utils import hosts, rng, validate

_AHEAD = 2
_LISTED = 2**20  # rows whose steps are known before the first is read


class Batch(flax.struct.PyTreeNode):
  """The rows that a step reads, ``[b]``; jit and pmap take it as a pytree.

  Attributes:
    index: int32, rows of the data set.
    mask: float32, 1 = counts, 0 = padding.
    position: int32, place in the global batch; every random draw is by it.
    images: uint8 ``[b, h, w, 3]``, filled by the feed unless all images lie on
      the device.
    labels: ``[b, ...]``, like ``images``.
    weights: float32 that multiply the mask, as the membership of a model in an
      ensemble; None = 1.
  """

  index: Any
  mask: Any
  position: Any
  images: Any = None
  labels: Any = None
  weights: Any = None


class Pair(NamedTuple):
  """A batch of each side."""

  retain: Batch
  forget: Batch


class Batches(Protocol):
  """What each step reads, a pure function of its number.

  That is a :class:`Batch`, or any tree of them and other arrays ``[b, ...]``.
  """

  @property
  def steps_per_epoch(self) -> int: ...

  @property
  def batch(self) -> Callable[[int], Any]: ...


@dataclasses.dataclass(frozen=True)
class Listed:
  """Batches of a method's own making."""

  steps_per_epoch: int
  batch: Callable[[int], Any]


def map_batches(function: Callable[[Batch], Batch], tree: Any) -> Any:
  """``tree`` with a function of every :class:`Batch` in it."""
  return jax.tree.map(
      lambda node: function(node) if isinstance(node, Batch) else node, tree,
      is_leaf=lambda node: isinstance(node, Batch))


def real_rows(tree: Any) -> int:
  """Rows of all batches in a tree, without padding."""
  nodes = jax.tree.leaves(tree, is_leaf=lambda node: isinstance(node, Batch))
  return sum(int(node.mask.sum()) for node in nodes if isinstance(node, Batch))


@dataclasses.dataclass(frozen=True, eq=False)
class Stream:
  """Batches of indices over one split.

  Attributes:
    indices: positions in the dataset, ``[n]``, at least one.
    batch_size: rows of every batch.
    seed: of the shuffling.
    salt: tells streams of one run apart.
    shuffle: a new permutation in each epoch; else the given order.

  Raises:
    ValueError: if ``indices`` is empty or ``batch_size`` is below 1.
  """

  indices: np.ndarray
  batch_size: int
  seed: int = 0
  salt: int = 0
  shuffle: bool = True

  def __post_init__(self) -> None:
    if len(self.indices) == 0:
      raise ValueError('Expected a stream over at least one image, got 0.')
    validate.integer('batch_size', self.batch_size)
    for name in ('seed', 'salt'):
      validate.integer(name, getattr(self, name), 0)

  @property
  def steps_per_epoch(self) -> int:
    return -(-len(self.indices) // self.batch_size)

  @functools.cached_property
  def _order(self) -> Callable[[int], np.ndarray]:
    """The order of an epoch; the last two are kept."""
    n = len(self.indices)
    return functools.lru_cache(2)(lambda epoch: (
        rng.generator(self.seed, self.salt, epoch).permutation(n)
        if self.shuffle else np.arange(n)))

  def batch(self, step: int) -> Batch:
    """The batch of ``step``; each epoch reads every image exactly once.

    The last batch of an epoch is filled with copies of its own rows, mask 0.
    """
    epoch, b = divmod(step, self.steps_per_epoch)
    rows = self._order(epoch)[b * self.batch_size:(b + 1) * self.batch_size]
    return pad(self.indices[rows], self.batch_size)

  def cycled_batch(self, step: int) -> Batch:
    """A full batch from the endless concatenation of shuffled epochs."""
    n = len(self.indices)
    flat = step * self.batch_size + np.arange(self.batch_size)
    epochs, offsets = np.divmod(flat, n)
    rows = np.empty(self.batch_size, np.int64)
    for epoch in np.unique(epochs):
      here = epochs == epoch
      rows[here] = self._order(int(epoch))[offsets[here]]
    return pad(self.indices[rows], self.batch_size)


def pad(index: np.ndarray, size: int) -> Batch:
  """Fills ``index [n]`` up to ``size`` rows; copies of real rows, mask 0."""
  mask = np.zeros(size, np.float32)
  mask[:len(index)] = 1
  return Batch(np.resize(index, size).astype(np.int32), mask,
               np.arange(size, dtype=np.int32))


@dataclasses.dataclass(frozen=True, eq=False)
class Pairs:
  """Every retain batch of an epoch, each with the next one of forget.

  Every epoch of retain reads each of its images once; forget is walked in an
  endless cycle, in full batches, however many there are of either. With
  ``once`` images that do not fill a batch are not repeated in it: the rest is
  padding.
  """

  retain: Stream
  forget: Stream
  once: bool = False

  @property
  def steps_per_epoch(self) -> int:
    return self.retain.steps_per_epoch

  def batch(self, step: int) -> Pair:
    few = self.once and self.forget.steps_per_epoch == 1
    return Pair(self.retain.batch(step), (
        self.forget.batch if few else self.forget.cycled_batch)(step))


class Feed:
  """Serves the images and labels of one dataset.

  Args:
    dataset: the images.
    device_bytes: a data set in memory is kept on the device if its pixels take
      at most this many bytes; 0 always streams, None never.

  Raises:
    ValueError: if ``device_bytes`` is negative.
  """

  def __init__(self, dataset: dataset_lib.Dataset,
               device_bytes: int | None = None):
    if device_bytes is not None and device_bytes < 0:
      raise ValueError(f'Expected device_bytes >= 0, got {device_bytes}.')
    self._dataset = dataset
    self.on_device = (
        hosts.count() == 1 and not isinstance(dataset.images, pixels.Stored)
        and (device_bytes is None
             or dataset.images.nbytes <= device_bytes))
    # What a step's `constants` hold of the data: all of it, or nothing.
    self.constants: dict[str, Any] = {
        'images': dataset.images, 'labels': dataset.labels
    } if self.on_device else {}

  def fill(self, tree: Any) -> Any:
    """Adds the rows that the batches name, unless they are on the device."""
    if self.on_device:
      return tree
    return map_batches(lambda batch: batch.replace(
        images=self._dataset.images[batch.index],
        labels=self._dataset.labels[batch.index]), tree)

  def batches(self, make: Callable[[int], Any], start: int,
              stop: int) -> Iterator[Any]:
    """Filled batches of steps ``start`` to ``stop``, read ahead if streamed.

    ``make`` gives global batches; of several processes each gets its rows, with
    their positions in the global batch.
    """
    if self.on_device:
      for step in range(start, stop):
        yield make(step)
      return

    def own(step: int) -> Any:
      return jax.tree.map(
          lambda rows: rows[hosts.own_rows(len(rows))], make(step))

    if isinstance(self._dataset.images, pixels.Stored):
      yield from self._stored(self._dataset.images, own, start, stop)
      return
    filled = lambda step: self.fill(own(step))
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
      ahead: collections.deque = collections.deque()
      for step in range(start, stop + _AHEAD):
        if step < stop:
          ahead.append(pool.submit(filled, step))
        if step >= start + _AHEAD and ahead:
          yield ahead.popleft().result()
      while ahead:
        yield ahead.popleft().result()


  def _stored(self, images: pixels.Stored, make: Callable[[int], Any],
              start: int, stop: int) -> Iterator[Any]:
    """The same of stored images, which are told many steps' rows at once."""
    trees: list[Any] = []
    lists: list[np.ndarray] = []
    count = 0
    for step in range(start, stop):
      trees.append(make(step))
      nodes = jax.tree.leaves(
          trees[-1], is_leaf=lambda node: isinstance(node, Batch))
      lists.append(np.concatenate([np.empty(0, np.int32), *(
          node.index.reshape(-1) for node in nodes
          if isinstance(node, Batch))]))
      count += len(lists[-1])
      if count < _LISTED and step + 1 < stop:
        continue
      for tree, found in zip(trees, images.stream(lists), strict=True):
        yield self._filled(tree, found)
      trees, lists, count = [], [], 0

  def _filled(self, tree: Any, found: np.ndarray) -> Any:
    """The batches of a tree with their images, one batch's after another's."""
    end = 0

    def fill(batch: Batch) -> Batch:
      nonlocal end
      start, end = end, end + batch.index.size
      return batch.replace(
          images=found[start:end].reshape(*batch.index.shape, *found.shape[1:]),
          labels=self._dataset.labels[batch.index])

    return map_batches(fill, tree)


def read(constants: Mapping[str, Any],
         batch: Batch) -> tuple[jax.Array, jax.Array]:
  """Inside a step: the batch's images and labels.

  Args:
    constants: may hold ``images`` uint8 ``[n, h, w, 3]`` and ``labels``.
    batch: names rows of them, or holds the rows themselves.

  Returns:
    images float32 ``[b, h, w, 3]`` in [0, 1], and labels ``[b, ...]``.
  """
  images, labels = batch.images, batch.labels
  if images is None:
    images = jnp.take(constants['images'], batch.index, axis=0)
    labels = jnp.take(constants['labels'], batch.index, axis=0)
  return images.astype(jnp.float32) / 255.0, labels
