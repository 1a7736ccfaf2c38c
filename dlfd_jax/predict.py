"""Logits and features of any images under any variables, each image once."""

from __future__ import annotations

import collections
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from dlfd_jax import parallel
from dlfd_jax.data import batching, dataset as dataset_lib
from dlfd_jax.models import Outputs, Variables
from dlfd_jax.utils import memo

_AHEAD = 2  # batches that may wait on the device before one is fetched
# Rows a call: an accelerator evaluates 10,240 images of 128 px in half the time
# if they come by 1,024 instead of 256.
_ROWS = {'cpu': 256}
_ROWS_ELSEWHERE = 1024


@memo.one_for_equal
def make_evaluation_step(
    model: nn.Module,
    outputs_of: Callable[[Variables, jax.Array], Any] | None = None,
    change: Callable[[jax.Array, jax.Array, Any], jax.Array] | None = None
) -> Callable[..., Any]:
  """``(variables, constants, batch)`` to rows; see :class:`Predictor`."""
  def evaluation_step(
      variables: Variables, constants: Any, batch: batching.Batch) -> Any:
    images, _ = batching.read(constants, batch)
    if change is not None:
      images = change(images, batch.index, constants['change'])
    if outputs_of is not None:
      return outputs_of(variables, images)
    return model.apply(variables, images, train=False)

  return evaluation_step


class Predictor:
  """Runs a classifier in evaluation mode over rows of one dataset.

  One compiled function serves every call: the last batch is padded, and
  variables from the host are placed first.

  Args:
    model: the classifier.
    dataset: the images.
    devices: where to run.
    batch_size: rows per call on all devices together, rounded up to a multiple
      of the device count; default 256 on a CPU, 1,024 elsewhere.
    feed: shares the images already placed for training.
    constants: the placed data of ``feed``; placed here if None.
    outputs_of: what to compute of variables and images, a tree of rows
      ``[n, ...]`` in the place of ``Outputs``; None = the model's own outputs.
    change: of images, their rows and ``constants['change']``: what the model is
      shown in their place.
  """

  def __init__(self, model: nn.Module, dataset: dataset_lib.Dataset,
               devices: parallel.Devices | None = None, *,
               batch_size: int | None = None, feed: batching.Feed | None = None,
               constants: dict | None = None,
               outputs_of: Callable[[Variables, jax.Array], Any] | None = None,
               change: Callable[[jax.Array, jax.Array, Any], jax.Array]
               | None = None):
    self._devices = devices or parallel.Devices()
    count = self._devices.count
    if batch_size is None:
      batch_size = _ROWS.get(self._devices.platform, _ROWS_ELSEWHERE)
    batch_size = min(batch_size, len(dataset))
    self.batch_size = -(-batch_size // count) * count
    self._feed = feed or batching.Feed(dataset, self._devices.image_bytes)
    if constants is None:
      constants = self._devices.share(self._feed.constants)
    self._constants = constants

    self._run = self._devices.compile_map(make_evaluation_step(
        model, outputs_of, change))

  def __call__(self, variables: Variables,
               indices: np.ndarray) -> Outputs[np.ndarray]:
    """Evaluates rows ``indices [n]``; host arrays in their order.

    Args:
      variables: placed on the devices (see ``Devices.place``) or on the host.
      indices: rows of the dataset.

    Returns:
      ``Outputs(logits [n, c], features [n, d])``, float32 NumPy arrays; or
      what ``outputs_of`` gives.
    """
    stream = batching.Stream(
        np.asarray(indices), self.batch_size, shuffle=False)
    variables = self._devices.share(dict(variables))
    parts: list[Any] = []
    waiting: collections.deque[Any] = collections.deque()
    for batch in self._feed.batches(
        stream.batch, 0, stream.steps_per_epoch):
      waiting.append(self._run(variables, self._constants, batch))
      if len(waiting) > _AHEAD:
        parts.append(parallel.fetch_rows(waiting.popleft()))
    parts += [parallel.fetch_rows(part) for part in waiting]
    n = len(indices)
    return jax.tree.map(lambda *rows: np.concatenate(rows)[:n], *parts)

  def parts(self, variables: Variables, parts: Mapping[str, np.ndarray]
            ) -> dict[str, Outputs[np.ndarray]]:
    """Several sets of rows in one pass, by their names.

    One batch is padded in all, where a call for each set pads one of each.
    """
    found = self(variables, np.concatenate(list(parts.values())))
    cuts = np.cumsum([len(rows) for rows in parts.values()])[:-1]
    outs, tree = jax.tree.flatten(found)
    each = zip(*(np.split(out, cuts) for out in outs), strict=True)
    return {name: jax.tree.unflatten(tree, leaves)
            for name, leaves in zip(parts, each, strict=True)}
