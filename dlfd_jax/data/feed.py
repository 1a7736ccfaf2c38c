"""How pixels reach a step: from an array on the device, or with the batch.

Images stay uint8 until they are on the device. If the data set fits, the whole
array lies there and a batch is only indices; else the rows travel with each
batch, read ahead by a thread. Of several processes each reads its own rows of
the global batch, and nothing lies on the devices.
"""

from __future__ import annotations

import collections
import concurrent.futures
from collections.abc import Callable, Iterator
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

  def frozen(self) -> dict[str, Any]:
    """What a step's ``frozen`` holds of the data: all of it, or nothing."""
    if not self.on_device:
      return {}
    return {'images': self._dataset.images, 'labels': self._dataset.labels}

  def fill(self, batch: batching.Batch) -> batching.Batch:
    """Adds the rows that a batch names, unless they are on the device."""
    if self.on_device:
      return batch
    filled = dict(batch)
    for key in batch:
      if key.endswith('index'):
        prefix = key.removesuffix('index')
        filled[prefix + 'images'] = self._dataset.images[batch[key]]
        filled[prefix + 'labels'] = self._dataset.labels[batch[key]]
    return filled

  def batches(self, make: Callable[[int], batching.Batch], start: int,
              stop: int) -> Iterator[batching.Batch]:
    """Filled batches of steps ``start`` to ``stop``, read ahead if streamed.

    ``make`` gives global batches; of several processes each gets its rows, with
    their positions in the global batch.
    """
    if self.on_device:
      for step in range(start, stop):
        yield make(step)
      return

    def filled(step: int) -> batching.Batch:
      return self.fill({key: rows[hosts.own_rows(len(rows))]
                        for key, rows in make(step).items()})

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
      ahead: collections.deque = collections.deque()
      for step in range(start, stop + _AHEAD):
        if step < stop:
          ahead.append(pool.submit(filled, step))
        if step >= start + _AHEAD and ahead:
          yield ahead.popleft().result()
      while ahead:
        yield ahead.popleft().result()


def read(frozen: dict[str, Any], batch: dict[str, jax.Array],
         prefix: str = '') -> tuple[jax.Array, jax.Array]:
  """Inside a step: the batch's images and labels.

  Args:
    frozen: may hold ``images`` uint8 ``[n, h, w, 3]`` and ``labels``.
    batch: holds ``<prefix>index``, or the rows themselves.
    prefix: names one of several index sets in the batch.

  Returns:
    images float32 ``[b, h, w, 3]`` in [0, 1], and labels ``[b, ...]``.
  """
  if prefix + 'images' in batch:
    images, labels = batch[prefix + 'images'], batch[prefix + 'labels']
  else:
    index = batch[prefix + 'index']
    images = jnp.take(frozen['images'], index, axis=0)
    labels = jnp.take(frozen['labels'], index, axis=0)
  return images.astype(jnp.float32) / 255.0, labels
