"""The one place that makes NumPy's random generators from a seed."""

from __future__ import annotations

import numpy as np

from dlfd_jax.utils import validate


def generator(seed: int, *purpose: int | str) -> np.random.Generator:
  """A generator of its own for each seed and purpose.

  Streams of different purposes do not overlap, so that one more draw for one of
  them leaves the others as they are; zeros at the end of one do not count.

  Args:
    seed: integer >= 0.
    *purpose: what the draws are for: words, or integers >= 0 such as an epoch.

  Raises:
    ValueError: if the seed is not an integer >= 0.

  Example:
    >>> generator(0, 'partition').integers(100, size=3).tolist()
    [82, 78, 92]
  """
  validate.integer('seed', seed, 0, 2**64 - 1)
  words: list[int] = [int(seed)]
  for part in purpose:
    words += part.encode() if isinstance(part, str) else [int(part)]
  return np.random.default_rng(words)
