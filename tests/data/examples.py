"""Small data sets that the data tests share."""

from __future__ import annotations

import numpy as np
from PIL import Image

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


def pictures(n, size=32, seed=0):
  """Smooth random pictures: coloured waves, the longer the stronger."""
  generator = np.random.default_rng(seed)
  line = np.arange(size) / size
  waves = np.stack([np.cos(np.pi * k * line) / (1 + k) for k in range(16)])
  mix = generator.normal(size=(n, 3, 16, 16))
  images = np.einsum('ncuv,uh,vw->nhwc', mix, waves, waves)
  images -= images.min((1, 2, 3), keepdims=True)
  return (20 + 200 * images / images.max((1, 2, 3), keepdims=True)
          ).astype(np.uint8)


def face(number, size=48):
  """A smooth picture of its own, as faces are."""
  rng = np.random.default_rng(number)
  small = rng.integers(0, 255, (6, 6, 3)).astype(np.uint8)
  return np.asarray(Image.fromarray(small).resize(
      (size, size), Image.Resampling.BICUBIC))


def window(image, left, top, right, bottom):
  """The part of an image between shares of its sides, at its size."""
  height, width = image.shape[:2]
  return np.asarray(Image.fromarray(image).resize(
      (width, height), Image.Resampling.BILINEAR, box=(
          left * width, top * height, right * width, bottom * height)))
