"""One number with its interval, what is made of several, and one record.

Every number of an evaluation, a table or a plot is an ``Estimate``. A value
that was not computed says why; it is never left out and never 0.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeGuard

import numpy as np
from scipy import special

from dlfd_jax.metrics import stats

NOT_COMPUTED = 'not computed'
SHARE = (0.0, 1.0)
POSITIVE = (0.0, math.inf)
_UNIT_SUFFIX = {'nats': ' nats', 'bits': ' bits', 's': ' s', 'ratio': '×',
                'bytes': ' GB'}


@dataclasses.dataclass(frozen=True)
class Estimate:
  """A number with its 95 % interval, or the reason why there is none.

  Attributes:
    value: a finite number, or None.
    low: lower end of the interval, None if it has none.
    high: upper end.
    reason: why there is no value; None if there is one.
    units: of the value, see :func:`format_number`.
    replicates: the value on every bootstrap resample ``[bootstrap]``, the same
      resamples for all models; kept in memory only.
    error: standard error of a difference, above 0, for Student's t interval.
    freedom: its degrees of freedom; of other estimates those of the variance of
      the replicates, one less than the units on the side that has fewest.
    is_share: whether it is a share or an AUC, see ``stats.leverage``.
    spread: of a difference: standard deviation between the retrained models
      beyond what their images explain; the lower end that they show at 95 %.
    signed: whether a plus is written.

  Raises:
    ValueError: if a number is not finite, or there is both a value and a
      reason, or neither.
  """

  value: float | None
  low: float | None = None
  high: float | None = None
  reason: str | None = None
  units: str = 'fraction'
  replicates: np.ndarray | None = dataclasses.field(
      default=None, compare=False, repr=False)
  error: float | None = None
  freedom: float | None = None
  is_share: bool = dataclasses.field(default=False, compare=False)
  spread: float | None = None
  signed: bool = False

  def __post_init__(self) -> None:
    for name in ('value', 'low', 'high'):
      number = getattr(self, name)
      if number is None:
        continue
      if not math.isfinite(number):
        raise ValueError(f'Expected {name} to be finite, got {number}.')
      object.__setattr__(self, name, float(number))
    if (self.value is None) != (self.reason is not None):
      raise ValueError(
          f'Expected a value or a reason, got {self.value} and '
          f'{self.reason!r}.')

  @classmethod
  def missing(cls, reason: str, units: str = 'fraction') -> Estimate:
    """A number that was not computed."""
    return cls(None, reason=reason, units=units)

  @classmethod
  def refused(cls, error: ValueError) -> Estimate:
    """A number that the data do not allow, as an error says."""
    return cls.missing(str(error).removeprefix('Expected ').rstrip('.'))

  @classmethod
  def resampled(cls, value: float, replicates: np.ndarray, units: int,
                bounds: tuple[float, float] | None = None,
                interval: tuple[float, float] | None = None,
                least: int = stats.ENOUGH) -> Estimate:
    """A value with the interval that its replicates and their units allow.

    Args:
      value: the number.
      replicates: ``[bootstrap]``, NaN where a resample has no data.
      units: independent units behind them, on the side that has fewest.
      bounds: that the value cannot leave; in ``SHARE`` the interval is
        ``stats.effective_interval``, of a mean above 0 ``gamma_interval`` (or
        none), else Student's t; cut at the bounds.
      interval: an exact one to give instead.
      least: of fewer units, resampling says nothing.
    """
    if units < least or not _usable(replicates):
      return cls(value)
    freedom = float(units - 1)
    variance = float(_variance(replicates))
    if interval is None and bounds == SHARE:
      interval = stats.effective_interval(
          float(np.clip(value, *SHARE)), variance, units)
    elif (interval is None and bounds and bounds[0] == 0
          and value > 0 < variance):
      interval = stats.gamma_interval(value, variance, units)
      interval = interval and _cut(interval, bounds)
    elif interval is None and variance > 0:
      ends = stats.t_interval(value, math.sqrt(variance), freedom)
      interval = _cut(ends, bounds)
    low, high = interval or (None, None)
    return cls(value, low, high, replicates=replicates, freedom=freedom,
               is_share=bounds == SHARE)

  def arrays(self) -> dict[str, np.ndarray]:
    """All of it, to be kept."""
    found = {field.name: getattr(self, field.name)
             for field in dataclasses.fields(self)}
    replicates = found.pop('replicates')
    return {'fields': np.array(json.dumps(found)), **(
        {} if replicates is None else {'replicates': replicates})}

  @classmethod
  def of_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Estimate:
    """What :meth:`arrays` gave.

    Example:
      >>> Estimate.of_arrays(Estimate(.1, units='bits').arrays()).units
      'bits'
    """
    return cls(**json.loads(str(arrays['fields'])),
               replicates=arrays.get('replicates'))

  def within(self, bounds: tuple[float, float] | None) -> Estimate:
    """With its interval cut at what the value cannot leave; None = nothing."""
    if self.low is None or self.high is None:
      return self
    low, high = _cut((self.low, self.high), bounds)
    return dataclasses.replace(self, low=low, high=high)

  @property
  def without_interval(self) -> Estimate:
    """Itself where no interval can hold; differences still have one.

    A distance, or an accuracy folded at one half, is as small as it can be
    where there is nothing to find, and every resample is larger.
    """
    return dataclasses.replace(self, low=None, high=None)

  @property
  def p_value(self) -> float:
    """Two-sided p of no difference, from Student's t distribution; above 0."""
    assert self.value is not None and self.error
    return max(sys.float_info.min, float(2 * special.stdtr(
        self.freedom, -abs(self.value) / self.error)))

  @property
  def text(self) -> str:
    """The number alone, or `not computed`."""
    if self.value is None:
      return NOT_COMPUTED
    return format_number(self.value, self.units, self.signed)

  @property
  def with_interval(self) -> str:
    """The number, and its interval where it has one."""
    return f'{self.text} ({self.interval})' if self.interval else self.text

  @property
  def interval(self) -> str:
    """``low to high``, empty if there is none; nats and bits go unsaid."""
    if self.value is None or self.low is None or self.high is None:
      return ''
    units = 'fraction' if self.units in ('nats', 'bits') else self.units
    return ' to '.join(format_number(end, units, self.signed)
                       for end in (self.low, self.high))

  @property
  def short_interval(self) -> str:
    """``[.81, .85]``-like, without leading zeros, for narrow columns."""
    low, _, high = self.interval.partition(' to ')
    if not high:
      return ''
    return '[{}, {}]'.format(*(
        re.sub(r'^([+-]?)0\.', r'\1.', end) for end in (low, high)))

  def as_dict(self) -> dict[str, Any]:
    """What ``result.json`` holds of it."""
    return {'value': self.value, 'low': self.low, 'high': self.high,
            'reason': self.reason}


def format_number(value: float, units: str = 'fraction',
                  signed: bool = False) -> str:
  """A number as reports print it.

  Args:
    value: finite.
    units: ``fraction``, ``nats``, ``bits``, ``s``, ``bytes``, ``count``,
      ``ratio`` or any other word, which is then left out.
    signed: also write a plus.

  Example:
    >>> format_number(.8416), format_number(75.4, 's')
    ('0.842', '75.4 s')
    >>> format_number(-.0123, signed=True), format_number(1638, 'count')
    ('-0.012', '1,638')
    >>> format_number(3.2e9, 'bytes'), format_number(11.42, 'ratio')
    ('3.20 GB', '11.4×')
  """
  plus = '+' if signed else ''
  if units == 'count':
    digits = 0
  elif units == 'bytes':
    value, digits = value / 1e9, 2
  elif units in ('s', 'ratio'):
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 1 else 2
  else:
    digits = 3
  # z: nothing is "-0.000" by rounding
  return f'{value:{plus}z,.{digits}f}{_UNIT_SUFFIX.get(units, "")}'


def _usable(replicates: np.ndarray | None) -> TypeGuard[np.ndarray]:
  return replicates is not None and bool(np.isfinite(replicates).sum() > 1)


def _variance(replicates: np.ndarray) -> np.ndarray:
  """Along the last axis; NaN is left out, which is slow and rarely there."""
  variance = np.nanvar if np.isnan(replicates).any() else np.var
  return variance(replicates, axis=-1, ddof=1)


def _cut(ends: tuple[float, float],
         bounds: tuple[float, float] | None) -> tuple[float, float]:
  low, high = bounds or (-math.inf, math.inf)
  return max(ends[0], low), min(ends[1], high)


def combine(function: Callable[..., Any], *estimates: Estimate) -> Estimate:
  """A function of estimates, on values and replicates; missing if one is."""
  for estimate in estimates:
    if estimate.value is None:
      return estimate
  return _from(float(function(*(estimate.value for estimate in estimates))),
               function, estimates)


def _from(value: float, function: Callable[..., Any],
          estimates: Sequence[Estimate],
          bounds: tuple[float, float] | None = None) -> Estimate:
  """A value whose replicates are a function of those of estimates."""
  if not all(_usable(estimate.replicates) for estimate in estimates):
    return Estimate(value)
  return Estimate.resampled(
      value, function(*(estimate.replicates for estimate in estimates)),
      _units(estimates), bounds, least=2)


def _units(estimates: Sequence[Estimate]) -> int:
  """Units behind the estimate that has fewest."""
  return 1 + int(min(estimate.freedom or 0 for estimate in estimates))


def _values(estimates: Sequence[Estimate]) -> np.ndarray:
  return np.array([estimate.value for estimate in estimates], np.float64)


def mean(estimates: Sequence[Estimate],
         bounds: tuple[float, float] | None = None) -> Estimate:
  """The mean of a metric over models or attributes, resample by resample.

  Missing if one of them is; one alone is itself. For ``bounds`` see
  ``Estimate.resampled``; shares have their own.
  """
  for estimate in estimates:
    if estimate.value is None:
      return estimate
  if len(estimates) == 1:
    return estimates[0]
  if bounds is None and all(estimate.is_share for estimate in estimates):
    bounds = SHARE
  return _from(float(_values(estimates).mean()),
               lambda *drawn: np.mean(drawn, axis=0), estimates, bounds)


def _spread(estimates: Sequence[Estimate],
            widening: float = 1.0) -> dict[str, Any]:
  """What ``stats.standard_error`` is told of retrained models."""
  if len(estimates) < 2:
    return {}
  drawn = np.stack([
      estimate.replicates for estimate in estimates
      if estimate.replicates is not None])
  noise = _variance(drawn - drawn.mean(0)).sum()
  return {
      'retrains': len(estimates),
      'retrained_variance': widening * float(
          np.var(_values(estimates), ddof=1)),
      'noise_variance': widening * float(noise) / (len(estimates) - 1)}


def mean_of_models(estimates: Sequence[Estimate],
                   bounds: tuple[float, float] | None = None) -> Estimate:
  """The mean over retrained models; its interval counts their spread too.

  Args:
    estimates: of each model, at least one.
    bounds: that the interval is cut at.
  """
  if len(estimates) == 1:
    return estimates[0]
  over = mean(estimates)
  if over.value is None or not _usable(over.replicates) or any(
      estimate.low is None for estimate in estimates):
    return Estimate(over.value, reason=over.reason)
  error, freedom = stats.standard_error(
      float(_variance(over.replicates)), _units(estimates),
      share=1 / len(estimates), **_spread(estimates))
  ends = stats.t_interval(over.value, error, freedom)
  return Estimate(over.value, *_cut(ends, bounds))


def difference(unlearned: Estimate | None, retrained: Sequence[Estimate],
               widening: float = 1.0) -> Estimate | None:
  """Unlearned minus the mean of the retrained models.

  None without two values; without replicates it has neither an interval nor a
  standard error.

  Args:
    unlearned: of the model that is judged.
    retrained: of each retrained model.
    widening: of the retrained models' variance, where their values are not
      independent, see :func:`widening_of_slots`.
  """
  if unlearned is None or unlearned.value is None or not retrained:
    return None
  reference = mean(retrained)
  if reference.value is None:
    return None
  value = unlearned.value - reference.value
  if not _usable(unlearned.replicates) or not _usable(reference.replicates):
    return Estimate(value, signed=True)
  models = _spread(retrained, widening)
  if all(estimate.is_share for estimate in (unlearned, *retrained)):
    models['judged'] = stats.leverage(
        unlearned.value, reference.value, _units([unlearned, *retrained]))
  error, freedom = stats.standard_error(
      float(_variance(unlearned.replicates - reference.replicates)),
      _units([unlearned, *retrained]), **models)
  beyond = 0.0
  if len(retrained) > 1:
    count = len(retrained) - 1
    beyond = models['retrained_variance'] * count / float(
        special.chdtri(count, .05)) - models['noise_variance']
  return Estimate(
      value, *stats.t_interval(value, error, freedom), error=error,
      freedom=freedom, spread=math.sqrt(max(0.0, beyond)), signed=True)


def widening_of_slots(retrained: int) -> float:
  """Of the variance of left-out models' mean distances to the other ones.

  A pair's distance is the sum of what each of the two adds. A left-out model's
  mean distance holds the other models too, so that of the differences between
  models only (R - 2) / (R - 1) is left; the judged model's distance to all of
  them has them whole.
  """
  return ((retrained - 1) / (retrained - 2))**2 if retrained > 2 else 1.0


@dataclasses.dataclass(frozen=True)
class Record:
  """One metric for the three models, the null and the difference.

  Attributes:
    metric: its name.
    split: what it was measured on, None if on none.
    direction: what higher means, in words.
    original: the model before unlearning.
    unlearned: the model after it.
    retrained: mean over the models trained on retain alone.
    null: the value that perfect unlearning or a blind guess would give.
    delta: unlearned - retrained.
    units: of the value: ``'fraction'``, ``'nats'``, ``'count'``.
    n_units: how many people (or images) the interval resamples.
    unit: ``'person'`` or ``'image'``.
    seeds: named seeds behind the value.
    verdict: words, None where the metric decides nothing.
    p_value: of no difference to retraining, None likewise.
    margin: differences below it do not matter, None likewise.
    power: chance of "indistinguishable" if there is no difference, None
      likewise.
    notes: sentences to be read with it.
    tier: of the evaluation that made it.
    gate: whether a metric of forgetting can see what there was to forget, see
      ``verdicts``; None where there is nothing to see it by.
  """

  metric: str
  split: str | None
  direction: str
  original: Estimate
  unlearned: Estimate
  retrained: Estimate
  null: Estimate
  delta: Estimate
  units: str = 'fraction'
  n_units: int | None = None
  unit: str | None = None
  seeds: Mapping[str, int] = dataclasses.field(default_factory=dict)
  verdict: str | None = None
  p_value: float | None = None
  margin: float | None = None
  power: float | None = None
  notes: tuple[str, ...] = ()
  tier: int = 0
  gate: str | None = None

  @property
  def estimates(self) -> dict[str, Estimate]:
    """The five numbers by name, in the order of the tables."""
    return {name: getattr(self, name) for name in (
        'original', 'unlearned', 'retrained', 'null', 'delta')}

  @property
  def missing_lines(self) -> list[str]:
    """``metric (columns): reason``, one line per reason."""
    columns: dict[str, list[str]] = {}
    for name, estimate in self.estimates.items():
      if estimate.value is None:
        columns.setdefault(str(estimate.reason), []).append(name)
    return [f'{self.metric} ({", ".join(names)}): {reason}'
            for reason, names in columns.items()]

  def as_dict(self) -> dict[str, Any]:
    """Plain dictionaries, lists, strings and numbers, none of them NaN."""
    return {
        'metric': self.metric, 'split': self.split, 'tier': self.tier,
        'direction': self.direction,
        **{name: estimate.as_dict()
           for name, estimate in self.estimates.items()},
        'units': self.units, 'n_units': self.n_units, 'unit': self.unit,
        'seeds': dict(self.seeds), 'verdict': self.verdict,
        'p_value': self.p_value, 'margin': self.margin, 'power': self.power,
        'gate': self.gate, 'notes': list(self.notes),
    }
