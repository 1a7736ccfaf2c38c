"""Intervals, nulls and verdicts, and the units that are resampled."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import special

from dlfd_jax.utils import validate

ENOUGH = 5  # people, or images, on each side, to say anything
_NO_SPREAD = 1e-20  # of a variance: rounding alone
_TAIL = .975  # of the two-sided 95 % intervals
_LEAST = 2.0  # degrees of freedom: the upper end is 2000 means away
POWER = .8  # with which silence is an acquittal
_LEVELS = 100  # of a standard error's own distribution


def units_of(identity: np.ndarray) -> np.ndarray:
  """The resampling unit of each image: its person, or itself if unknown.

  Args:
    identity: int ``[n]``, -1 = unknown.

  Returns:
    int64 ``[n]`` in ``[0, units)``, every value used.

  Raises:
    ValueError: if the persons are no integers.
  """
  identity = validate.array('persons', identity)
  if identity.size and identity.dtype.kind not in 'iu':
    raise ValueError(f'Expected persons to be integers, got {identity.dtype}.')
  identity = identity.astype(np.int64)
  unknown = identity < 0
  own = identity.max(initial=0) + 1 + np.arange(identity.size)
  _, units = np.unique(np.where(unknown, own, identity), return_inverse=True)
  return units.reshape(-1)


def places_in_units(units: np.ndarray, keys: np.ndarray) -> np.ndarray:
  """The place of each example among those of its unit, by rising key.

  Args:
    units: int ``[n]``.
    keys: numbers that order the examples, ``[..., n]``; random ones give a
      random choice of as many of each unit.

  Returns:
    int64 ``[..., n]``, from 0 on in each unit.

  Example:
    >>> print(places_in_units([5, 5, 7, 5], [.3, .1, .9, .2]))
    [2 0 0 1]
  """
  units, keys = np.asarray(units), np.asarray(keys)
  order = np.lexsort((keys, np.broadcast_to(units, keys.shape)), axis=-1)
  _, counts = np.unique(units, return_counts=True)
  within = np.arange(units.size) - np.repeat(
      np.cumsum(counts) - counts, counts)
  places = np.empty(keys.shape, np.int64)
  np.put_along_axis(
      places, order, np.broadcast_to(within, keys.shape), axis=-1)
  return places


def benjamini_hochberg(p_values: Sequence[float]) -> np.ndarray:
  """p-values adjusted for the share of false discoveries, ``[n]``.

  Those of at most a level are the hypotheses that the rule of Benjamini and
  Hochberg (1995) rejects at it.

  Example:
    >>> print(benjamini_hochberg([.01, .04, .03, .5]).round(4))
    [0.04   0.0533 0.0533 0.5   ]
  """
  values = np.asarray(p_values, np.float64)
  order = np.argsort(values, kind='stable')
  scaled = values[order] * len(values) / np.arange(1, len(values) + 1)
  adjusted = np.empty(len(values))
  adjusted[order] = np.minimum(
      np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
  return adjusted


def _check_proportion(successes: float, trials: float,
                      confidence: float) -> None:
  validate.number('confidence', confidence, 0, 1, ends='()')
  validate.number('successes', successes)
  validate.number('trials', trials)
  if trials < 1 or not 0 <= successes <= trials:
    raise ValueError(
        f'Expected 0 <= successes <= trials and trials >= 1, got {successes} '
        f'of {trials}.')


def clopper_pearson(successes: float, trials: float,
                    confidence: float = .95) -> tuple[float, float]:
  """The exact interval of Clopper and Pearson (1934), ``(low, high)``.

  Counts need not be whole: see :func:`effective_interval`.

  Raises:
    ValueError: if there are no trials, or more successes than trials.
  """
  _check_proportion(successes, trials, confidence)
  tail = (1 - confidence) / 2
  low, high = 0.0, 1.0
  if successes > 0:
    low = float(special.betaincinv(
        successes, trials - successes + 1, tail))
  if successes < trials:
    high = float(special.betaincinv(
        successes + 1, trials - successes, 1 - tail))
  return low, high


def effective_interval(share: float, variance: float, units: int,
                       ) -> tuple[float, float]:
  """The 95 % interval of a share or an AUC whose observations are not alone.

  Clopper and Pearson's interval of as many independent trials as have this
  variance, fewer where the variance itself is known from few units (Korn and
  Graubard 1998). Without any variance the units are the trials: that all images
  of five people are right says no more than five rights.

  Args:
    share: the value, in [0, 1].
    variance: of the value, from resampled units.
    units: independent units on the side that has fewest, at least 2.

  Returns:
    ``(low, high)`` in [0, 1].

  Example:
    >>> [round(end, 3) for end in effective_interval(1.0, 0.0, 5)]
    [0.478, 1.0]
  """
  validate.integer('units', units, 2)
  validate.number('variance', variance, 0)
  trials = float(units)
  if variance > _NO_SPREAD and 0 < share < 1:
    widening = special.ndtri(_TAIL) / special.stdtrit(units - 1, _TAIL)
    trials = max(1.0, share * (1 - share) / variance * float(widening)**2)
  return clopper_pearson(share * trials, trials)


def draw_multiplicities(units: int, draws: int,
                        rng: np.random.Generator) -> np.ndarray:
  """How often each unit is in each bootstrap sample, uint8 ``[draws, units]``.

  Each row sums to ``units - 1``: drawing one less than there are makes the
  variance of the replicates unbiased (Rao and Wu 1988), which counts where
  there are few. A single unit is always drawn.
  """
  # Up to 256 units none is drawn more than 255 times; of more, one in 10^500.
  drawn = max(1, units - 1)
  rows = max(1, 4_000_000 // units)
  counts = np.empty((draws, units), np.uint8)
  for start in range(0, draws, rows):
    few = min(rows, draws - start)
    picks = rng.integers(0, units, (few, drawn))
    picks += units * np.arange(few)[:, None]
    counts[start:start + few] = np.bincount(
        picks.ravel(), minlength=few * units).reshape(few, units)
  return counts


def percentile_interval(replicates: np.ndarray,
                        confidence: float = .95) -> tuple[float, float]:
  """Percentile bootstrap interval, NaN replicates (no data) left out."""
  tail = 50 * (1 - confidence)
  low, high = np.nanpercentile(replicates, [tail, 100 - tail])
  return float(low), float(high)


def standard_error(unit_variance: float,
                   units: int,
                   *,
                   retrained_variance: float = 0.0,
                   noise_variance: float = 0.0,
                   retrains: int = 1,
                   share: float | None = None,
                   judged: float = 1.0) -> tuple[float, float]:
  r"""Of a model minus the mean of R retrained ones, with degrees of freedom.

  The model is one draw of its recipe, as each retrained model is, so that the
  spread :math:`s_r^2` of the retrained ones counts 1 + 1 / R times. It already
  holds the noise :math:`v` that the sampled people add to every model on its
  own, so that only what the people add beyond it is counted beside it:

  .. math:: V = S + W, \quad S = (1 + 1/R) s_r^2 + (k - 1) \max(0, s_r^2 - v),
            \quad W = \max(0, V_{unit} - (1 + 1/R) v)

  with k for what the judged model's level makes of the same spread, see
  :func:`leverage`.

  The half-width is :math:`t \sqrt V`, t the mean of Student's quantiles for
  R - 1 and for units - 1 degrees of freedom, weighted by S and W (Cochran and
  Cox 1950). S is taken as large as lets V be a sixteenth of :math:`V_{unit}`,
  lest models that agree by chance give certainty. Where the model is
  exchangeable with the retrained ones W is nearly 0 and the interval Student's
  exact one: none that holds for every amount of seed noise is much narrower.

  With one retrained model nothing is known of its spread, and only
  :math:`V_{unit}` counts: that interval is too narrow, which a reader must be
  told.

  Args:
    unit_variance: V_unit, over resampled units with all models fixed.
    units: on the side that has fewest, at least 2.
    retrained_variance: sample variance s_r^2 over retrained models.
    noise_variance: v, the mean over resampled units of the same sample variance
      beyond that of the sample itself.
    retrains: R, number of retrained models.
    share: of the retrained variance in V; None = 1 + 1 / R. The error of their
      mean alone has 1 / R.
    judged: k, the judged model's variance between trainings over that of a
      retrained one.

  Returns:
    The square root of V, and the degrees of freedom whose quantile is t. No
    spread at all is no certainty: of G units without an event, up to 3 / G may
    have one (the rule of three, whose end is 1.96 standard errors away), and
    that error, 1.5 / G, is returned with G - 1.

  Raises:
    ValueError: if a variance is negative or a count is too small.
  """
  for name, number in (('unit_variance', unit_variance),
                       ('retrained_variance', retrained_variance),
                       ('noise_variance', noise_variance)):
    validate.number(name, number, 0)
  validate.integer('units', units, 2)
  validate.integer('retrains', retrains, 1)
  spread, beside, freedom = 0.0, unit_variance, float(units - 1)
  if retrains > 1:
    share = 1 + 1 / retrains if share is None else share
    beside = max(0.0, unit_variance - share * noise_variance)
    spread = max(share * retrained_variance, unit_variance / 16 - beside)
    spread += (judged - 1) * max(0.0, retrained_variance - noise_variance)
  variance = spread + beside
  if variance <= _NO_SPREAD:
    return 1.5 / units, freedom
  if retrains > 1:
    quantiles = special.stdtrit([retrains - 1, units - 1], _TAIL)
    quantile = float(np.average(quantiles, weights=[spread, beside]))
    freedom = float(special.stdtridf(_TAIL, quantile))
  return math.sqrt(variance), freedom


def leverage(share: float, retrained: float, units: int) -> float:
  r"""How much more a share varies between trainings than retrained models' do.

  A training that moves all margins alike moves a share near one half more than
  one near 1: by the normal density at its quantile, :math:`\phi(\Phi^{-1}(p))`.

  Args:
    share: accuracy or AUC of the judged model, in [0, 1].
    retrained: mean over the retrained models.
    units: shares count as at least half a unit from 0 and 1.

  Returns:
    The ratio of variances, at least 1.

  Example:
    >>> round(leverage(.8, .95, 100), 2), leverage(.95, .8, 100)
    (7.37, 1.0)
  """
  least = .5 / units
  quantiles = special.ndtri(np.clip([share, retrained], least, 1 - least))
  return max(1.0, float(np.exp(quantiles[1]**2 - quantiles[0]**2)))


def t_interval(value: float, error: float, freedom: float,
               confidence: float = .95) -> tuple[float, float]:
  """Interval of a value by Student's t distribution.

  Args:
    value: a difference or a mean.
    error: its standard error; without one the interval is the value.
    freedom: degrees of freedom.
    confidence: of the interval.

  Raises:
    ValueError: if the value is not finite or the confidence not in (0, 1).
  """
  validate.number('value', value)
  validate.number('confidence', confidence, 0, 1, ends='()')
  if error == 0:
    return value, value
  half = float(special.stdtrit(freedom, .5 + confidence / 2)) * error
  return value - half, value + half


def gamma_interval(value: float, variance: float,
                   units: int) -> tuple[float, float] | None:
  r"""The 95 % interval of a mean above 0 that is skewed to the right.

  As a mean of gamma variables: :math:`d x / \mu` is :math:`\chi^2_d` with
  :math:`d = 2 x^2 / \mathrm{Var}(x)`, fewer where the variance is known from
  few units (as in :func:`effective_interval`), and one less for the upper end:
  means that are too small come with variances that are too small.

  Args:
    value: the mean x, above 0.
    variance: of the mean, above 0.
    units: independent units behind it, at least 2.

  Returns:
    ``(low, high)``; None where a unit or two make nearly all of the mean, so
    that d is below 2: nothing is known of its upper end.

  Example:
    >>> [round(end, 2) for end in gamma_interval(1.0, .25**2, 5)]
    [0.55, 2.56]
  """
  validate.number('value', value, 0, ends='(]')
  validate.number('variance', variance, 0, ends='(]')
  validate.integer('units', units, 2)
  widening = special.ndtri(_TAIL) / special.stdtrit(units - 1, _TAIL)
  freedom = 2 * value**2 / variance * float(widening)**2
  if freedom < _LEAST:
    return None
  ends = (value * freedom / special.chdtri(freedom, 1 - _TAIL),
          value * freedom / special.chdtri(freedom - 1, _TAIL))
  return float(ends[0]), float(ends[1])


INDISTINGUISHABLE = 'indistinguishable'
DISTINGUISHABLE = 'distinguishable'
TOO_FEW = 'too few to say'
INCONCLUSIVE = 'inconclusive'


def verdict(low: float, high: float, margin: float,
            *, may_be_equal: bool) -> str:
  """Equivalence test of an interval against a margin fixed before the run.

  Args:
    low: lower end of the 95 % interval of the difference.
    high: upper end.
    margin: differences below it do not matter, above 0.
    may_be_equal: whether "indistinguishable" can be said at all: never with
      fewer than two retrained models, never at tier 0.

  Returns:
    ``'indistinguishable'`` if the interval is inside (-margin, margin)
    (``'inconclusive'`` where that cannot be said), else ``'distinguishable'``
    if it leaves 0 out, else ``'inconclusive'``.

  Reference: Schuirmann (1987), two one-sided tests.
  """
  validate.number('margin', margin, 0, ends='(]')
  if not low <= high:
    raise ValueError(
        f'Expected an interval from low to high, got {low} to {high}.')
  if -margin < low and high < margin:
    return INDISTINGUISHABLE if may_be_equal else INCONCLUSIVE
  return DISTINGUISHABLE if low > 0 or high < 0 else INCONCLUSIVE


def least_margin(error: float, freedom: float = math.inf) -> float:
  """The smallest margin within which equality has an 80 % chance to be shown.

  Args:
    error: standard error of the difference.
    freedom: its degrees of freedom; without limit it is 3.2415 errors.

  Example:
    >>> round(least_margin(.01542), 4), round(least_margin(.01542, 4), 3)
    (0.05, 0.067)
  """
  return error * _reach(round(freedom, 2))


def power(error: float, margin: float, freedom: float = math.inf) -> float:
  """Chance of "indistinguishable" if there is no difference.

  That Student's interval of 95 % lies within the margin, for a normal estimate
  of that standard error. With few degrees of freedom the interval's own width
  is a matter of chance, over which this is the mean.

  Example:
    >>> round(power(.05 / 3.2415, .05), 3), power(.05, .05)
    (0.8, 0.0)
  """
  validate.number('error', error, 0, ends='(]')
  inside = 2 * special.ndtr(margin / error - _halves(round(freedom, 2))) - 1
  return float(np.maximum(0.0, inside).mean())


@functools.lru_cache(1000)
def _halves(freedom: float) -> np.ndarray:
  """Half-widths, equally likely, of intervals whose standard error is 1."""
  found: Any = np.ones(1)
  if not math.isinf(freedom):
    levels = (np.arange(_LEVELS) + .5) / _LEVELS
    found = np.sqrt(special.chdtri(freedom, levels) / freedom)
  return np.asarray(_quantile(freedom) * found)


@functools.lru_cache(1000)
def _reach(freedom: float) -> float:
  """Standard errors in the least margin."""
  low, high = 0.0, 100.0
  for _ in range(30):
    middle = (low + high) / 2
    low, high = ((low, middle) if power(1.0, middle, freedom) > POWER else
                 (middle, high))
  return high


@dataclasses.dataclass(frozen=True)
class Shortfall:
  """A difference whose interval is too wide for its margin.

  Attributes:
    error: its standard error.
    spread: standard deviation between retrained models beyond what their images
      explain, at least: from few models alone it is not known well.
    margin: within which equality was to be shown.
  """

  error: float
  spread: float
  margin: float

  def growth(self, retrains: int, of: int) -> float:
    """How many times as many people it takes at least.

    More people lessen what they add to the variance, not what the trainings
    add; more retrained models lessen neither much, but tell how large it is.

    Args:
      retrains: number of retrained models that would be there, at least 2.
      of: how many there are.

    Returns:
      For a power of 80 %; infinite where no number of people would do.
    """
    enough = (self.margin / _reach(float(retrains - 1)))**2
    seeds = (1 + 1 / retrains) * self.spread**2
    people = (1 + 1 / retrains) * max(
        0.0, self.error**2 / (1 + 1 / of) - self.spread**2)
    return people / (enough - seeds) if seeds < enough else math.inf


def _quantile(freedom: float) -> float:
  return float(special.ndtri(_TAIL) if math.isinf(freedom) else
               special.stdtrit(freedom, _TAIL))


def permute_within(keys: np.ndarray, rows: int,
                   rng: np.random.Generator) -> np.ndarray:
  """Random orders that only swap examples of one class, int ``[rows, n]``.

  Args:
    keys: int class of each example ``[n]``.
    rows: permutations.
    rng: the generator.

  Returns:
    Positions: ``values[result]`` has the permuted values in each row.
  """
  orders = np.empty((rows, len(keys)), np.int64)
  for key in np.unique(keys):
    places = np.flatnonzero(keys == key)
    orders[:, places] = rng.permuted(np.tile(places, (rows, 1)), axis=1)
  return orders
