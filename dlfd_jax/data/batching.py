"""Which images a step reads: index batches that depend on the step alone.

A stream is a pure function of its seed and the step number, so a run can be
resumed at any step without storing a position.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Protocol

import numpy as np

from dlfd_jax.utils import validate

Batch = dict[str, np.ndarray]


class Batches(Protocol):
  """The batch of each step, a pure function of its number."""

  @property
  def steps_per_epoch(self) -> int: ...

  @property
  def epoch_batch(self) -> Callable[[int], Batch]: ...


@dataclasses.dataclass(frozen=True)
class Listed:
  """Batches of a method's own making."""

  steps_per_epoch: int
  epoch_batch: Callable[[int], Batch]


@functools.lru_cache(maxsize=8)
def _permutation(size: int, seed: int, salt: int, epoch: int) -> np.ndarray:
  return np.random.default_rng([seed, salt, epoch]).permutation(size)


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

  def __post_init__(self):
    if len(self.indices) == 0:
      raise ValueError('Expected a stream over at least one image, got 0.')
    validate.integer('batch_size', self.batch_size)
    for name in ('seed', 'salt'):
      validate.integer(name, getattr(self, name), 0)

  @property
  def steps_per_epoch(self) -> int:
    return -(-len(self.indices) // self.batch_size)

  def _order(self, epoch: int) -> np.ndarray:
    if not self.shuffle:
      return np.arange(len(self.indices))
    return _permutation(len(self.indices), self.seed, self.salt, epoch)

  def epoch_batch(self, step: int) -> Batch:
    """The batch of ``step``; each epoch reads every image exactly once.

    Returns:
      ``index`` int32, ``mask`` float32 and ``position`` int32, each ``[b]``.
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
  return {
      'index': np.resize(index, size).astype(np.int32),
      'mask': mask,
      'position': np.arange(size, dtype=np.int32),
  }


@dataclasses.dataclass(frozen=True, eq=False)
class Pairs:
  """A batch of ``retain``, and under ``forget_`` one of ``forget`` in a cycle.

  Every epoch of retain reads each of its images once; forget is walked without
  an end, in full batches, however many there are of either.
  """

  retain: Stream
  forget: Stream

  @property
  def steps_per_epoch(self) -> int:
    return self.retain.steps_per_epoch

  def epoch_batch(self, step: int) -> Batch:
    return {**self.retain.epoch_batch(step),
            **prefixed('forget_', self.forget.cycled_batch(step))}


def prefixed(prefix: str, batch: Batch) -> Batch:
  """The same batch under keys that start with ``prefix``."""
  return {prefix + key: value for key, value in batch.items()}
