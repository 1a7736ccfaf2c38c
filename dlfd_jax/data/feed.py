"""How pixels reach a step: from an array on the device, or with the batch.

Images stay uint8 until they are on the device. If the data set fits, the whole
array lies there and a batch is only indices; else the rows travel with each
batch, read ahead by a thread. Of several processes each reads its own rows of
the global batch, and nothing lies on the devices.
"""

from __future__ import annotations

import collections
import concurrent.futures
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from dlfd_jax.data import batching, dataset as dataset_lib
from dlfd_jax.utils import hosts

DEFAULT_DEVICE_BYTES = 2 * 2**30
_AHEAD = 2


class Feed:
  """Serves the images and labels of one dataset.

  Args:
    dataset: the images.
    device_bytes: the data set is kept on the device if its pixels take at most
      this many bytes; 0 always streams.

  Raises:
    ValueError: if ``device_bytes`` is negative.
  """

  def __init__(self, dataset: dataset_lib.Dataset,
               device_bytes: int = DEFAULT_DEVICE_BYTES):
    if device_bytes < 0:
      raise ValueError(f'Expected device_bytes >= 0, got {device_bytes}.')
    self._dataset = dataset
    self.on_device = (
        hosts.count() == 1 and dataset.images.nbytes <= device_bytes)

  def constants(self) -> dict[str, Any]:
    """What a step's ``constants`` hold of the data: all of it, or nothing."""
    if not self.on_device:
      return {}
    return {'images': self._dataset.images, 'labels': self._dataset.labels}

  def fill(self, tree: Any) -> Any:
    """Adds the rows that the batches name, unless they are on the device."""
    if self.on_device:
      return tree
    return batching.map_batches(lambda batch: batch.replace(
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

    def filled(step: int) -> Any:
      return self.fill(jax.tree.map(
          lambda rows: rows[hosts.own_rows(len(rows))], make(step)))

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
      ahead: collections.deque = collections.deque()
      for step in range(start, stop + _AHEAD):
        if step < stop:
          ahead.append(pool.submit(filled, step))
        if step >= start + _AHEAD and ahead:
          yield ahead.popleft().result()
      while ahead:
        yield ahead.popleft().result()


def read(constants: Mapping[str, Any],
         batch: batching.Batch) -> tuple[jax.Array, jax.Array]:
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
