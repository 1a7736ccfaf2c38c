r"""Per-example epsilon: how surely is unlearned told from retrained?

Margins of one example over unlearned and over retrained models. Where the two
are :math:`(\varepsilon, \delta)`-alike, every rule that tells them apart errs:

.. math:: FPR + e^\varepsilon FNR \ge 1 - \delta, \quad
          FNR + e^\varepsilon FPR \ge 1 - \delta

(Kairouz et al. 2015, arXiv:1311.0776). The *challenge form* takes the best of
some thousand rules at its face value, as the challenge of 2023 did: of equal
models it gives about 1.6, and is read beside its null alone. The *lower bound*
chooses the rule on one half of the models and counts its errors on the other:
it holds with probability .95 if the models of a side are independent.

References: Triantafillou et al. (2024), arXiv:2406.09073 (the challenge);
Clopper and Pearson (1934).
"""

from __future__ import annotations

import math

import numpy as np

from dlfd_jax.metrics import lira, stats
from dlfd_jax.utils import validate

DELTA = 1e-5
LEVEL = .05
CAP = 50.0
_PER_UNIT = 100  # thresholds
_MOST = 200_000  # thresholds; a range of 2000 is no margin's
_AROUND = 2.0  # the interval's ends move this far
_NARROW = .01  # ratio of ranges from which two samples count as told apart
_BUCKET = .5


def of_rates(fpr: np.ndarray, fnr: np.ndarray,
             delta: float = DELTA) -> np.ndarray:
  """The largest epsilon that two error rates rule out, at least 0.

  Infinite if both rates are 0; rules with one rate of 0 say nothing (0): the
  challenge drops them.

  Example:
    >>> print(of_rates(.1, .2).round(6))
    2.079429
  """
  fpr, fnr = np.asarray(fpr, np.float64), np.asarray(fnr, np.float64)
  found = np.maximum(_log_ratio(1 - delta - fpr, fnr),
                     _log_ratio(1 - delta - fnr, fpr))
  found = np.where((fpr == 0) ^ (fnr == 0), 0.0, np.maximum(found, 0.0))
  return np.where((fpr == 0) & (fnr == 0), np.inf, found)


def _log_ratio(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
  ratio = np.divide(top, bottom, out=np.zeros(np.broadcast(top, bottom).shape),
                    where=bottom > 0)
  return np.log(np.maximum(ratio, 1e-300))


def challenge(unlearned: np.ndarray, retrained: np.ndarray) -> np.ndarray:
  """Epsilon of each example by the challenge's rules, for comparison only.

  Perfect is not 0: see :func:`forgetting_quality`.

  Args:
    unlearned: margins ``[N, n]``.
    retrained: margins ``[M, n]``.

  Returns:
    In [0, 50], ``[n]``; higher = easier to tell from retraining.

  Raises:
    ValueError: if a side has fewer than 2 models.
  """
  sides = lira.check_sides(unlearned, retrained, 2)
  return np.array([_challenge(u, o) for u, o in zip(*(s.T for s in sides))])


def _challenge(unlearned: np.ndarray, retrained: np.ndarray) -> float:
  narrow, wide = sorted((unlearned, retrained), key=np.ptp)
  if np.ptp(narrow) < _NARROW * np.ptp(wide):
    return CAP
  low, high = (f(np.concatenate([narrow, wide])) for f in (np.min, np.max))
  count = min(int(math.ceil((high - low) * _PER_UNIT)), _MOST) + 1
  above, below = sorted(
      (unlearned, retrained), key=np.median, reverse=True)
  thresholds = np.linspace(low, high, count)
  best = of_rates(1 - _share_below(below, thresholds),
                  _share_below(above, thresholds)).max()
  width = np.ptp(narrow)
  steps = np.arange(int(2 * _AROUND * _PER_UNIT) + 1) / _PER_UNIT - _AROUND
  right = (narrow.max() + steps)[:, None]
  left = right - width + steps
  hit, false = (np.maximum(
      _count_below(side, right) - _count_below(side, left, 'left'), 0)
                for side in (narrow, wide))
  # Of many thousand intervals few have different counts.
  there = np.zeros((len(narrow) + 1, len(wide) + 1), bool)
  there[hit, false] = True
  hit, false = np.nonzero(there)
  return float(min(max(best, of_rates(
      false / len(wide), 1 - hit / len(narrow)).max()), CAP))


def _count_below(values: np.ndarray, thresholds: np.ndarray,
                 side: str = 'right') -> np.ndarray:
  """How many values are at most (``'left'``: below) each threshold."""
  return np.searchsorted(  # type: ignore[call-overload]
      np.sort(values), thresholds, side=side)


def _share_below(values: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
  return _count_below(values, thresholds) / len(values)


def forgetting_quality(epsilons: np.ndarray, models: int) -> float:
  """The challenge's F: mean of 1, 1/2, 1/4 ... by buckets of epsilon.

  Args:
    epsilons: of each example, at least 0.
    models: per side, N; buckets of 1/2 end at the integer from ln(N - 1) on,
      and what lies above gives 0.

  Returns:
    In [0, 1], higher = better by the challenge's rule. The value of perfect
    unlearning is far below 1 and moves with the scale of margins: read it
    beside F of retrained against retrained models.
  """
  validate.integer('models', models, 3)
  buckets = math.ceil(math.log(models - 1)) / _BUCKET
  place = np.floor(np.asarray(epsilons, np.float64) / _BUCKET)
  return float(np.where(place < buckets, 2.0**-place, 0.0).mean())


def final_score(quality: float, unlearned: np.ndarray,
                retrained: np.ndarray) -> float:
  r"""The challenge's final score, at least 0, higher = better by its rule.

  .. math:: F \cdot \frac{RA_u}{RA_r} \cdot \frac{TA_u}{TA_r}

  It passes 1 where a method makes models more accurate than retraining does.

  Args:
    quality: F, see :func:`forgetting_quality`.
    unlearned: mean accuracies on retain and on test, ``[2]``.
    retrained: the same of retrained models, above 0.

  Raises:
    ValueError: if an accuracy is out of its range.
  """
  validate.number('F', quality, 0, 1)
  for accuracy, other in zip(unlearned, retrained, strict=True):
    validate.number('accuracy of unlearned models', float(accuracy), 0, 1)
    validate.number('accuracy of retrained models', float(other), 0, 1,
                    ends='(]')
  return float(quality * np.prod(np.divide(unlearned, retrained)))


def bound(fpr: np.ndarray, fnr: np.ndarray,
          delta: float = DELTA) -> np.ndarray:
  """Epsilon shown by upper limits of both error rates, at least 0."""
  return np.maximum(np.maximum(_log_ratio(1 - delta - fpr, fnr),
                               _log_ratio(1 - delta - fnr, fpr)), 0.0)


def error_limit(errors: int, models: int, level: float = LEVEL) -> float:
  """Clopper and Pearson's upper limit of an error rate at 1 - level / 2."""
  return stats.clopper_pearson(errors, models, 1 - level)[1]


def most_shown(unlearned: int, retrained: int, level: float = LEVEL) -> float:
  """What :func:`lower_bound` gives of so many models if no error is made.

  Every other model of a side only chooses, so that half of them count.

  Example:
    >>> most_shown(16, 8, .05 / 240), round(most_shown(56, 56, .05 / 240), 2)
    (0.0, 0.95)
  """
  fpr, fnr = (np.array(error_limit(0, models // 2, level))
              for models in (retrained, unlearned))
  return float(bound(fpr, fnr))


def lower_bound(unlearned: np.ndarray, retrained: np.ndarray,
                level: float = LEVEL) -> np.ndarray:
  """Epsilon that is shown for each example, with confidence 1 - level.

  Every other model chooses an interval and which side it is for; the others
  count its errors.

  Args:
    unlearned: margins ``[N, n]``.
    retrained: margins ``[M, n]``.
    level: chance of a value above the true epsilon, for one example; for the
      worst of n examples take level / n.

  Returns:
    ``[n]``, at least 0, which means "not shown", never "private".

  Raises:
    ValueError: if a side has fewer than 4 models.
  """
  sides = lira.check_sides(unlearned, retrained, 4)
  validate.number('level', level, 0, 1, ends='()')
  limits = [[np.array([error_limit(k, n, level) for k in range(n + 1)])
             for n in (len(side[0::2]), len(side[1::2]))] for side in sides]
  found = []
  for u, o in zip(*(side.T for side in sides)):
    low, high, swapped = _choose(
        u[0::2], o[0::2], *(of_side[0] for of_side in limits))
    misses, false = (np.sum((side[1::2] > low) & (side[1::2] < high))
                     for side in (u, o))
    errors = [len(u[1::2]) - misses, false]
    if swapped:
      errors = [misses, len(o[1::2]) - false]
    found.append(bound(limits[1][1][errors[1]], limits[0][1][errors[0]]))
  return np.array(found)


def _choose(unlearned: np.ndarray, retrained: np.ndarray,
            unlearned_limits: np.ndarray, retrained_limits: np.ndarray
            ) -> tuple[float, float, bool]:
  """The interval with the largest bound; whether retrained lie inside it."""
  values = np.sort(np.concatenate([unlearned, retrained]))
  ends = np.concatenate(
      [[-np.inf], (values[1:] + values[:-1]) / 2, [np.inf]])
  inside = []
  for side in (unlearned, retrained):
    below = np.searchsorted(np.sort(side), ends)
    inside.append(np.maximum(below[None, :] - below[:, None], 0))
  best: tuple[tuple[float, float], int, bool] | None = None
  for swapped in (False, True):
    misses, false = len(unlearned) - inside[0], inside[1]
    if swapped:
      misses, false = inside[0], len(retrained) - inside[1]
    bounds = bound(retrained_limits[false], unlearned_limits[misses])
    errors = misses / len(unlearned) + false / len(retrained)
    place = int(np.lexsort((errors.ravel(), -bounds.ravel()))[0])
    key = float(bounds.flat[place]), -float(errors.flat[place])
    if best is None or key > best[0]:
      best = key, place, swapped
  assert best is not None
  low, high = np.unravel_index(best[1], inside[0].shape)
  return float(ends[low]), float(ends[high]), best[2]
