"""How persons are read: the one place where an identity becomes a number."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from dlfd_jax.data import labels

UNKNOWN = -1


def read_identities(texts: Sequence[str], where: Callable[[int], str]
                    ) -> tuple[np.ndarray, dict[int, str]]:
  """The persons of a column of texts; blank or -1 is unknown.

  Integers stay as they are; other texts are names, numbered in sorted order.

  Args:
    texts: one for each image.
    where: names row ``i`` in an error.

  Returns:
    int32 ``[n]``, and the names by number (none where persons are integers).

  Raises:
    ValueError: if an integer is below -1.
  """
  texts = ['' if text == '-1' else text for text in texts]
  codes, names = labels.read_column(texts)
  bad = np.flatnonzero(codes < UNKNOWN)
  if bad.size:
    raise ValueError(
        'Expected identity to be a name, an integer >= 0 or -1 (unknown), got '
        f'{texts[bad[0]]!r} in {where(bad[0])}.')
  return codes, dict(enumerate(names))


def check_identities(name: str, values: np.ndarray,
                     where: Callable[[int], str]) -> np.ndarray:
  """The persons of an integer array, -1 unknown, as int32.

  Raises:
    ValueError: if the values are no vector of integers, or one is below -1 or
      does not fit.
  """
  identity = labels.to_int32(name, values)
  bad = np.flatnonzero(identity < UNKNOWN)
  if bad.size:
    raise ValueError(f'Expected identity >= -1 in {where(bad[0])}, got '
                     f'{identity[bad[0]]}.')
  return identity
