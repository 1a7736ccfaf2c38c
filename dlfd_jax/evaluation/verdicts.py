"""From estimates to verdicts: of one metric, and over all that vote."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dlfd_jax.evaluation import estimate as estimate_lib, outputs
from dlfd_jax.evaluation.estimate import Estimate, Record
from dlfd_jax.evaluation.registry import Metric
from dlfd_jax.metrics import stats

LEVEL = .05
NO_MODEL = {
    'original': outputs.NO_ORIGINAL,
    'unlearned': 'no unlearned model was given',
    'retrained': 'no retrained model was given',
}
UNSEEN = 'distinguishable from unseen data'
OVER_FORGOTTEN = f'{stats.DISTINGUISHABLE} (over-forgotten)'


def compare(metric: Metric,
            original: Estimate | None,
            unlearned: Estimate | None,
            retrained: Sequence[Estimate],
            null: Estimate,
            *,
            n_units: int,
            unit: str,
            seeds: Mapping[str, int],
            margin: float | None = None,
            notes: Sequence[str] = (),
            name: str | None = None,
            direction: str | None = None,
            freedom: int | None = None,
            too_few: str | None = None) -> Record:
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
    margin: differences below it do not matter; None = no verdict on equality.
    notes: sentences that go with it.
    name: in the result, where it is not the metric's own.
    direction: likewise.
    freedom: independent units behind the variance, by default ``n_units``.
    too_few: why nothing can be said of a difference, see ``Inputs.too_few``.
  """
  notes = list(notes)
  behind = n_units if freedom is None else freedom
  gap = estimate_lib.difference(unlearned, retrained, behind)
  verdict = p_value = power = None
  if gap is None:
    delta = Estimate.missing(_why_no_delta(unlearned, retrained))
    if metric.chance is not None and unlearned is not None and not retrained:
      verdict = _against_unseen(unlearned, metric.chance)
  elif gap.error is None or gap.low is None or gap.high is None:
    delta = gap
  else:
    low, high = metric.bounds or (-np.inf, np.inf)
    ends = np.clip([gap.low, gap.high], low - high, high - low)
    delta = dataclasses.replace(gap, low=ends[0], high=ends[1])
    if margin is not None:
      p_value = gap.p_value
      power = stats.power(gap.error, margin)
      verdict = stats.verdict(
          gap.low, gap.high, margin,
          may_be_equal=metric.tier > 0 and len(retrained) > 1)
      if not stats.can_show_equality(gap.error, margin):
        notes.append(
            f'This sample cannot show equivalence within {margin:g}: '
            f'the standard error of the difference is {gap.error:.3f}.')
  if too_few and unlearned is not None and (margin, metric.chance) != (
      None, None):
    verdict, p_value, power = stats.TOO_FEW, None, None
    notes.append(f'{too_few[0].upper()}{too_few[1:]}.')
  return Record(
      metric=name or metric.name, split=metric.split,
      direction=direction or metric.direction,
      original=original or Estimate.missing(NO_MODEL['original']),
      unlearned=unlearned or Estimate.missing(NO_MODEL['unlearned']),
      retrained=estimate_lib.mean_of_models(retrained, behind, metric.bounds)
      if retrained else Estimate.missing(NO_MODEL['retrained']),
      null=null, delta=delta, units=metric.units, n_units=n_units, unit=unit,
      seeds=seeds, verdict=verdict, p_value=p_value, margin=margin, power=power,
      notes=tuple(notes), tier=metric.tier)


def _why_no_delta(unlearned: Estimate | None,
                  retrained: Sequence[Estimate]) -> str:
  if unlearned is None:
    return NO_MODEL['unlearned']
  if not retrained:
    return NO_MODEL['retrained']
  return next(str(estimate.reason) for estimate in (unlearned, *retrained)
              if estimate.value is None)


def _against_unseen(estimate: Estimate, chance: float) -> str | None:
  if estimate.low is None or estimate.high is None:
    return None
  outside = estimate.low > chance or estimate.high < chance
  return UNSEEN if outside else stats.INCONCLUSIVE


def holm(p_values: Sequence[float], level: float = LEVEL) -> list[bool]:
  """Which hypotheses Holm's (1979) step-down rule rejects.

  Example:
    >>> holm([.03, .01, .04])
    [False, True, False]
  """
  order = sorted(range(len(p_values)), key=lambda i: p_values[i])
  rejected = [False] * len(p_values)
  for rank, i in enumerate(order):
    if p_values[i] > level / (len(p_values) - rank):
      break
    rejected[i] = True
  return rejected


def overall(votes: Sequence[Record], *, over_forgotten: bool = False,
            retrained: int = 2, too_few: str | None = None) -> dict[str, Any]:
  """One verdict from several deciding metrics.

  "indistinguishable" only if every metric is; "distinguishable" if one is after
  Holm's correction; else "inconclusive". A metric that was not computed can
  only keep the verdict from being "indistinguishable".

  Args:
    votes: records of the metrics that vote, at least one.
    over_forgotten: the Streisand flag, which forces "distinguishable".
    retrained: how many retrained models there are.
    too_few: why the sample can show nothing; then that is the verdict.

  Returns:
    ``verdict``, ``metrics`` (name to its own verdict) and ``because``, words.

  Raises:
    ValueError: if there is no metric.
  """
  if not votes:
    raise ValueError('Expected at least one deciding metric, got none.')
  computed = [vote for vote in votes if vote.p_value is not None]
  rejected = holm([float(vote.p_value or 0.0) for vote in computed])
  apart = [vote.metric for vote, is_rejected in zip(computed, rejected)
           if is_rejected and vote.verdict == stats.DISTINGUISHABLE]
  single = {vote.metric: vote.verdict for vote in votes}
  missing = [name for name, verdict in single.items() if verdict is None]
  if too_few:
    verdict, because = stats.TOO_FEW, too_few
  elif over_forgotten:
    verdict, because = OVER_FORGOTTEN, 'the over-forgetting flag is raised'
  elif apart:
    verdict = stats.DISTINGUISHABLE
    because = 'told apart by ' + ', '.join(apart)
  elif all(v == stats.INDISTINGUISHABLE for v in single.values()):
    verdict = stats.INDISTINGUISHABLE
    because = 'every deciding metric lies within its margin'
  else:
    verdict = stats.INCONCLUSIVE
    because = 'the intervals are too wide to say either'
    if missing:
      because = 'not computed: ' + ', '.join(missing)
    if retrained < 2:
      because = outputs.NEED_TWO
  return {'verdict': verdict, 'because': because, 'metrics': single}
