"""Faces to time with: what they show plays no part, so few are drawn."""

from __future__ import annotations

import numpy as np

from dlfd_jax.data import dataset as dataset_lib
from dlfd_jax.data.faces import synthetic

_PIXELS = 32  # drawn; larger images repeat their pixels
_PEOPLE = 50
_EACH = 8


def faces(people: int, size: int) -> dataset_lib.Dataset:
  """``people`` with eight images each, ``size`` pixels a side.

  At most 50 people are drawn, at 32 pixels or less; others are copies under
  numbers of their own. For timing alone.

  Raises:
    ValueError: if ``size`` is above 32 and no multiple of it.
  """
  drawn_size = min(size, _PIXELS)
  if size % drawn_size:
    raise ValueError(
        f'Expected image_size up to {_PIXELS} or a multiple of it, got {size}.')
  drawn = synthetic.synthetic_faces(
      people=min(people, _PEOPLE), images_per_person=_EACH, size=drawn_size)
  copies = -(-people // _PEOPLE)
  rows = np.tile(np.arange(len(drawn)), copies)[:people * _EACH]
  scale = size // drawn_size
  images = drawn.images.repeat(scale, axis=1).repeat(scale, axis=2)
  return dataset_lib.Dataset(
      images=images[rows], labels=drawn.labels[rows],
      identity=np.repeat(np.arange(people, dtype=np.int32), _EACH),
      sample_id=np.array([f'{i:06d}' for i in range(len(rows))]),
      task=drawn.task)
