r"""KLOM: the divergence of unlearned from retrained margins, per example.

Each example has a distribution of its margin over unlearned models and one over
retrained models; KL(unlearned || retrained) in nats is 0 for equal ones. Of
samples it is not: perfect unlearning gives the null, which has a formula for
the Gaussian form. The histogram form is the published one; below 128 models a
side its null is far above anything that it could see.

Reference: Georgiev et al. (2025), arXiv:2410.23232.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from dlfd_jax.metrics import lira
from dlfd_jax.utils import validate

LEAST = 4  # retrained models: below it the null is infinite
ENOUGH_FOR_HISTOGRAM = 128
_PEAK = .01  # the smallest ratio of two standard deviations that is believed
_TWO_CONSTANTS = 1e-9  # of equal value: 0 nats; of others: a very large number
_REACH, _BINS, _FLOOR = 100.0, 20, 1e-5


def normal_divergence(mean: np.ndarray, sigma: np.ndarray,
                      other_mean: np.ndarray,
                      other_sigma: np.ndarray) -> np.ndarray:
  """KL(N(mean, sigma^2) || N(other_mean, other_sigma^2)) in nats.

  Example:
    >>> float(normal_divergence(1., 1., 0., 1.))
    0.5
  """
  return (np.log(other_sigma / sigma) + (
      sigma**2 + (mean - other_mean)**2) / (2 * other_sigma**2) - .5)


def gaussian(unlearned: np.ndarray,
             retrained: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """The divergence of the normal distributions of each example's margins.

  Args:
    unlearned: margins ``[N, n]``.
    retrained: margins ``[M, n]``.

  Returns:
    Nats, at least 0, ``[n]``; and bool ``[n]``, whether one standard deviation
    was below 1 % of the other and was taken for 1 % of it.

  Raises:
    ValueError: if a side has fewer than 2 models.
  """
  unlearned, retrained = lira.check_sides(unlearned, retrained, 2)
  sigma, other = unlearned.std(0, ddof=1), retrained.std(0, ddof=1)
  least = _PEAK * np.maximum(sigma, other)
  peaky = np.minimum(sigma, other) < least
  least = np.where(least > 0, least, _TWO_CONSTANTS)
  means = unlearned.mean(0), retrained.mean(0)
  return normal_divergence(
      means[0], np.maximum(sigma, least), means[1], np.maximum(other, least)
      ), peaky


def gaussian_null(unlearned: int, retrained: int) -> float:
  """Mean of the Gaussian form where both sides have one normal distribution.

  Args:
    unlearned: models N, at least 2.
    retrained: models M, at least 4.
  """
  validate.integer('unlearned models', unlearned, 2)
  validate.integer('retrained models', retrained, LEAST)
  n, m = unlearned, retrained
  halves = (m - 1) / 2, (n - 1) / 2
  logs = [float(special.digamma(half)) - math.log(half) for half in halves]
  return .5 * ((1 + 1 / n + 1 / m) * (m - 1) / (m - 3) - 1 + logs[0] - logs[1])


def histogram(unlearned: np.ndarray, retrained: np.ndarray) -> np.ndarray:
  """The divergence of each example's histograms, the published form.

  Margins are cut to [-100, 100] and counted in 20 bins over the range of both
  sides, the last one closed; a bin of retrained models has at least 1e-5 where
  there are unlearned ones.

  Args:
    unlearned: margins ``[N, n]``.
    retrained: margins ``[M, n]``.

  Returns:
    Nats in [0, 11.51], ``[n]``.
  """
  unlearned, retrained = (
      np.clip(side, -_REACH, _REACH)
      for side in lira.check_sides(unlearned, retrained, 1))
  both = np.concatenate([unlearned, retrained])
  low, width = both.min(0), np.ptp(both, axis=0)
  shares = []
  for side in (unlearned, retrained):
    place = np.floor((side - low) / np.where(width > 0, width, 1.0) * _BINS)
    # The largest value belongs to the last bin, not to none.
    counts = (np.minimum(place, _BINS - 1)[..., None] == np.arange(_BINS))
    shares.append(counts.sum(0) / len(side))
  p, q = shares
  q = np.where(p > 0, np.maximum(q, _FLOOR), q)
  q = q / q.sum(-1, keepdims=True)
  terms = p * np.log(np.where(p > 0, p, 1.0) / np.where(p > 0, q, 1.0))
  return np.maximum(terms.sum(-1), 0.0)
