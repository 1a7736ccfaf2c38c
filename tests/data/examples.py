"""Small data sets that the data tests share."""

from __future__ import annotations

import numpy as np

from dlfd_jax import tasks
from dlfd_jax.data import dataset as dataset_lib


def random_dataset(identity=None, split=None, images=None, size=4, seed=0):
  """Random images and labels; by default 20 people with 3 images each."""
  if identity is None:
    identity = np.repeat(np.arange(20), 3)
  identity = np.asarray(identity, np.int32)
  n = len(identity)
  generator = np.random.default_rng(seed)
  if images is None:
    images = generator.integers(0, 256, (n, size, size, 3), dtype=np.uint8)
  return dataset_lib.Dataset(
      images=images,
      labels=generator.integers(0, 2, n).astype(np.int32),
      identity=identity,
      sample_id=np.array([f'image_{i}' for i in range(n)]),
      task=tasks.Task(tasks.MULTICLASS, ('no', 'yes')),
      split=None if split is None else np.asarray(split, np.str_))


def same_parts(left, right):
  """Whether two splits are of one kind and have the same rows."""
  return type(left) is type(right) and all(
      np.array_equal(part, right.parts[name])
      for name, part in left.parts.items())
