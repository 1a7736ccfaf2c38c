"""How far a model is from retraining, in the figures that everybody quotes.

A gap is signed: unlearned minus the mean of the retrained models.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Number = Any  # a float, or an array of replicates


def average_gap(forget: Number, retain: Number, test: Number,
                mia: Number) -> Number:
  """Mean of the four absolute gaps, in [0, 1]; higher means farther away.

  Args:
    forget: gap of the accuracy on forget, in [-1, 1].
    retain: gap of the accuracy on retain.
    test: gap of the accuracy on test.
    mia: gap of the attack AUC.

  Returns:
    A number or an array, as given.

  Raises:
    ValueError: if a gap is outside [-1, 1].

  Example:
    >>> print(round(average_gap(.10, -.02, .03, .05), 6))
    0.05
  """
  gaps = [_size('forget', forget), _size('retain', retain),
          _size('test', test), _size('mia', mia)]
  return sum(gaps) / len(gaps)


def tow(first: Number, retain: Number, test: Number) -> Number:
  """Tug of war, in [0, 1]; higher means nearer to retraining.

  Args:
    first: gap of the accuracy on forget; for ToW-MIA that of the attack AUC.
    retain: gap of the accuracy on retain.
    test: gap of the accuracy on test.

  Raises:
    ValueError: if a gap is outside [-1, 1].

  Example:
    >>> print(round(tow(.10, .02, -.03), 6))
    0.85554

  Reference: Zhao et al. (2024), arXiv:2406.01257.
  """
  return ((1 - _size('first', first)) * (1 - _size('retain', retain))
          * (1 - _size('test', test)))


def _size(name, gap):
  size = np.abs(gap)
  if np.any(size > 1):
    raise ValueError(
        f'Expected the gap {name} in [-1, 1], got one of {np.max(size)}.')
  return size
