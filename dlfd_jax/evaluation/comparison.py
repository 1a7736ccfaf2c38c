"""From the values of single models to one record with its verdict."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TypeGuard

import numpy as np

from dlfd_jax.evaluation import records
from dlfd_jax.metrics import stats

NO_MODEL = {
    'original': 'no original model was given',
    'unlearned': 'no unlearned model was given',
    'retrained': 'no retrained model was given',
}
SHARE = (0.0, 1.0)  # bounds of an accuracy, an AUC, a share
UNSEEN = 'distinguishable from unseen data'


@dataclasses.dataclass(frozen=True, eq=False)
class Estimate:
  """A metric of one model.

  Attributes:
    value: the number, None if it was not computed.
    replicates: it on every bootstrap resample ``[bootstrap]``, the same
      resamples for all models; None if there is no interval.
    interval: an interval to print instead of the percentiles.
    reason: why there is no value.
  """

  value: float | None
  replicates: np.ndarray | None = None
  interval: tuple[float, float] | None = None
  reason: str | None = None

  @classmethod
  def missing(cls, reason: str) -> Estimate:
    """A metric that was not computed."""
    return cls(None, reason=reason)

  def cell(self) -> records.Cell:
    """The value with its 95 % interval."""
    if self.value is None:
      return records.Cell.missing(str(self.reason))
    interval = self.interval
    if interval is None and self.replicates is not None and _usable(
        self.replicates):
      interval = stats.percentile_interval(self.replicates)
    return records.Cell(self.value, *(interval or (None, None)))


def _usable(replicates: np.ndarray | None) -> TypeGuard[np.ndarray]:
  return replicates is not None and bool(np.isfinite(replicates).sum() > 1)


def _values(estimates: Sequence[Estimate]) -> np.ndarray:
  return np.array([estimate.value for estimate in estimates], np.float64)


def centred(value: float, replicates: np.ndarray) -> np.ndarray:
  """Replicates of a distance moved so that their mean is the value.

  Resampling pulls a distance upwards, often so far that no replicate is as
  small as the value; the move leaves the spread alone. Cut at 0.
  """
  return np.maximum(replicates - np.nanmean(replicates) + value, 0.0)


@dataclasses.dataclass(frozen=True)
class Metric:
  """What a metric is and may decide.

  Attributes:
    name: in results.
    split: what it is measured on.
    direction: what higher means, in words.
    units: of the value.
    margin: differences below it do not matter; None = it decides nothing.
    chance: the value at which members look like unseen data; None if there is
      no such value.
    bounds: that no value can leave: t intervals of few models are cut there;
      None = none are known.
    notes: sentences that always go with it.
  """

  name: str
  split: str
  direction: str
  units: str = 'fraction'
  margin: float | None = None
  chance: float | None = None
  bounds: tuple[float, float] | None = None
  notes: tuple[str, ...] = ()


def compare(metric: Metric,
            original: Estimate | None,
            unlearned: Estimate | None,
            retrained: Sequence[Estimate],
            null: records.Cell,
            *,
            n_units: int,
            unit: str,
            seeds: dict[str, int],
            tier: int = 0) -> records.Record:
  """The record of one metric.

  The verdict is about the difference to retraining where there is a retrained
  model, else about unseen data for metrics that have a chance value. Only from
  tier 1 on, and with two retrained models or more, can it be
  "indistinguishable".

  Args:
    metric: what it is.
    original: of the original model, None if there is none.
    unlearned: of the unlearned model, None if there is none.
    retrained: of each retrained model.
    null: the value of perfect unlearning or of a blind guess.
    n_units: people or images behind the interval.
    unit: which of the two.
    seeds: named seeds.
    tier: of the evaluation.
  """
  notes = list(metric.notes)
  gap = difference(unlearned, retrained, n_units)
  verdict = p_value = power = None
  if gap is None:
    delta = records.Cell.missing(_why_no_delta(unlearned, retrained))
    if metric.chance is not None and unlearned is not None and not retrained:
      verdict = _against_unseen(unlearned.cell(), metric.chance)
  elif np.isnan(gap.error):
    delta = records.Cell(gap.value)
  else:
    low, high = metric.bounds or (-np.inf, np.inf)
    ends = np.clip([gap.low, gap.high], low - high, high - low)
    delta = records.Cell(gap.value, float(ends[0]), float(ends[1]))
    if metric.margin is not None:
      p_value = gap.p_value
      power = stats.power(gap.error, metric.margin)
      verdict = stats.verdict(
          gap.low, gap.high, metric.margin,
          may_be_equal=tier > 0 and len(retrained) > 1)
      if not stats.can_show_equality(gap.error, metric.margin):
        notes.append(
            f'This sample cannot show equivalence within {metric.margin:g}: '
            f'the standard error of the difference is {gap.error:.3f}.')
  return records.Record(
      metric=metric.name, split=metric.split, direction=metric.direction,
      original=_cell(original, 'original'),
      unlearned=_cell(unlearned, 'unlearned'),
      retrained=_mean_cell(retrained, n_units, metric.bounds), null=null,
      delta=delta,
      units=metric.units, n_units=n_units, unit=unit, seeds=seeds,
      verdict=verdict, p_value=p_value, margin=metric.margin, power=power,
      notes=tuple(notes), tier=tier)


def _cell(estimate, name):
  if estimate is None:
    return records.Cell.missing(NO_MODEL[name])
  return estimate.cell()


def _mean_cell(retrained, n_units, bounds):
  """The retrained models' mean; its interval counts their spread too."""
  if not retrained:
    return records.Cell.missing(NO_MODEL['retrained'])
  if len(retrained) == 1:
    return retrained[0].cell()
  found = mean(retrained)
  if found.value is None or not _usable(found.replicates) or n_units < 2:
    return found.cell()
  values = _values(retrained)
  got = stats.difference(
      found.value, float(np.nanvar(found.replicates, ddof=1)), n_units,
      unlearned_variance=float(np.var(values, ddof=1)), seeds=len(values))
  low, high = np.clip([got.low, got.high], *(bounds or (-np.inf, np.inf)))
  return records.Cell(got.value, float(low), float(high))


def mean(estimates: Sequence[Estimate]) -> Estimate:
  """The mean of a metric over models, resample by resample.

  Missing if one of them is.
  """
  for estimate in estimates:
    if estimate.value is None:
      return estimate
  drawn = [estimate.replicates for estimate in estimates
           if _usable(estimate.replicates)]
  replicates = np.mean(drawn, 0) if len(drawn) == len(estimates) else None
  return Estimate(float(_values(estimates).mean()), replicates)


def difference(unlearned: Estimate | None, retrained: Sequence[Estimate],
               n_units: int) -> stats.Difference | None:
  """Unlearned minus the mean of the retrained models.

  None without two values; its error is NaN without replicates.
  """
  if unlearned is None or unlearned.value is None or not retrained:
    return None
  reference = mean(retrained)
  if reference.value is None:
    return None
  value = unlearned.value - reference.value
  if n_units < 2 or not _usable(unlearned.replicates) or not _usable(
      reference.replicates):
    return stats.Difference(value, value, value, np.nan, np.nan)
  values = _values(retrained)
  spread = float(np.var(values, ddof=1)) if len(values) > 1 else 0.0
  return stats.difference(
      value,
      float(np.nanvar(unlearned.replicates - reference.replicates, ddof=1)),
      n_units, retrained_variance=spread, retrains=len(values))


def _why_no_delta(unlearned, retrained):
  if unlearned is None:
    return NO_MODEL['unlearned']
  if not retrained:
    return NO_MODEL['retrained']
  return next(estimate.reason for estimate in (unlearned, *retrained)
              if estimate.value is None)


def _against_unseen(cell, chance):
  if cell.low is None:
    return None
  outside = cell.low > chance or cell.high < chance
  return UNSEEN if outside else stats.INCONCLUSIVE
