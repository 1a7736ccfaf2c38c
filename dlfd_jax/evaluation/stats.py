"""Intervals of proportions, and the units that are resampled."""

from __future__ import annotations

import numpy as np
from scipy import stats as sps


def units_of(identity: np.ndarray) -> np.ndarray:
  """The resampling unit of each image: its person, or itself if unknown.

  Args:
    identity: int ``[n]``, -1 = unknown.

  Returns:
    int64 ``[n]`` in ``[0, units)``, every value used.
  """
  identity = np.asarray(identity, np.int64)
  unknown = identity < 0
  own = identity.max(initial=0) + 1 + np.arange(identity.size)
  _, units = np.unique(np.where(unknown, own, identity), return_inverse=True)
  return units.reshape(-1)


def _check_proportion(successes, trials):
  if trials < 1 or not 0 <= successes <= trials:
    raise ValueError(
        f'Expected 0 <= successes <= trials and trials >= 1, got {successes} '
        f'of {trials}.')


def wilson(successes: float, trials: float,
           confidence: float = .95) -> tuple[float, float]:
  """Wilson's (1927) score interval of a proportion, ``(low, high)`` in [0, 1].

  Raises:
    ValueError: if there are no trials, or more successes than trials.
  """
  _check_proportion(successes, trials)
  z = sps.norm.ppf(.5 + confidence / 2)
  share = successes / trials
  centre = (share + z * z / (2 * trials)) / (1 + z * z / trials)
  half = z / (1 + z * z / trials) * np.sqrt(
      share * (1 - share) / trials + (z / (2 * trials))**2)
  return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def clopper_pearson(successes: int, trials: int,
                    confidence: float = .95) -> tuple[float, float]:
  """The exact interval of Clopper and Pearson (1934), ``(low, high)``.

  Raises:
    ValueError: if there are no trials, or more successes than trials.
  """
  _check_proportion(successes, trials)
  tail = (1 - confidence) / 2
  low, high = 0.0, 1.0
  if successes > 0:
    low = float(sps.beta.ppf(tail, successes, trials - successes + 1))
  if successes < trials:
    high = float(sps.beta.ppf(1 - tail, successes + 1, trials - successes))
  return low, high
