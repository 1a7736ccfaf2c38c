r"""Whether a model remembers less than another one, person by person.

Each person to forget has a value under both models, such as a place among
unseen people. If the second model remembers as the first one does, the two
values may change places, so that the sign of each difference is a fair coin:

.. math:: p = P\Big(\sum_g s_g d_g \ge \sum_g d_g\Big), \quad s_g = \pm 1

All signs are enumerated where there are few people, and drawn otherwise.

Source: the randomisation test of paired differences, Fisher (1935), section 21.
"""

from __future__ import annotations

import math

import numpy as np

from dlfd_jax.metrics import ranks
from dlfd_jax.utils import validate

_ENUMERATED = 12  # people whose 2^n signs are all tried
_ROUNDING = 1e-9


def fewest(level: float) -> int:
  """How many people it takes for p to reach a level: p is 2^-n at least.

  Example:
    >>> fewest(.05), fewest(.0125)
    (5, 7)
  """
  validate.number('level', level, 0, 1, ends='()')
  return math.ceil(-math.log2(level) - _ROUNDING)


def p_no_less(differences: np.ndarray, draws: int = 20_000) -> float:
  """One-sided p of the hypothesis that the second model remembers no less.

  Args:
    differences: of each person the first model's value minus the second's,
      ``[n]``; higher values = better remembered.
    draws: of signs, where they are not all tried.

  Returns:
    In (0, 1]; 1 where nothing differs.

  Raises:
    ValueError: if there is nobody, or a difference is not finite.

  Example:
    >>> p_no_less([.3, .1, .2]), p_no_less([0., 0.])
    (0.125, 1.0)
  """
  values = ranks.check_scores('differences', differences)
  n, total = values.size, float(values.sum())
  limit = total - _ROUNDING * max(np.abs(values).sum(), 1)
  if n <= _ENUMERATED:
    bits = np.arange(2 ** n)[:, None] >> np.arange(n) & 1
    return float((((1 - 2 * bits) @ values) >= limit).mean())
  rng = np.random.default_rng(0)
  signs = rng.integers(0, 2, (draws, n), dtype=np.int8)
  reached = int((((1 - 2 * signs) @ values) >= limit).sum())
  return (1 + reached) / (1 + draws)
