"""From estimates to verdicts: of one metric, and over all that vote.

A metric of forgetting has a gate: it votes only if the original lies outside
the left-out retrained models' interval of it. One that would not have seen the
original says nothing of what the unlearned model still knows. With one
retrained model nothing is told apart: two trainings of one recipe differ, too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dlfd_jax.evaluation import (
  against,
  estimate as estimate_lib,
  inputs as inputs_lib,
  outputs,
  registry,
  shadows,
)
from dlfd_jax.evaluation.estimate import Estimate, Record
from dlfd_jax.evaluation.registry import Metric
from dlfd_jax.metrics import stats

LEVEL = .05
RULES = 2  # results without this number were judged by the first ones
MANY = {'person': 'people', 'image': 'images'}  # units of which more help
MOST_TIMES, MOST_RETRAINED = 100, 64  # that anybody would gather or train
SEES, BLIND = 'sees the original', 'cannot see the original'
UNCHECKED, NEEDS_THREE = 'unchecked', 'it takes three retrained models'
CANNOT_SAY = 'cannot say'
RANK = 'a rank among unseen people'
ONE_REFERENCE = ('one retrained model cannot tell the difference of two seeds '
                 'from a trace')
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
            widening: float = 1.0,
            too_few: str | None = None,
            gate: str | None = None) -> Record:
  """The record of one metric.

  The verdict is about the difference to retraining where there is a retrained
  model, else about unseen data for metrics that have a chance value. With one
  retrained model it is "inconclusive", without a p-value. Only from tier 1 on
  can it be "indistinguishable". A metric of forgetting that does not see the
  original says so in its place, unless it tells the unlearned model apart.

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
    widening: of the retrained models' variance, see ``estimate.difference``.
    too_few: why nothing can be said of a difference, see ``Inputs.too_few``.
    gate: why it does not vote, where that is known beforehand.
  """
  notes = list(notes)
  if gate is None and margin is not None:
    gate = _gate(metric, original, retrained, widening)
  gap = estimate_lib.difference(unlearned, retrained, widening)
  verdict = p_value = power = None
  if gap is None:
    delta = Estimate.missing(_why_no_delta(unlearned, retrained))
    if metric.chance is not None and unlearned is not None and not retrained:
      verdict = _against_unseen(unlearned, metric.chance)
  elif gap.error is None or gap.low is None or gap.high is None:
    delta = gap
  else:
    delta = gap.within(of_differences(metric))
    if margin is not None and len(retrained) == 1:
      verdict = stats.INCONCLUSIVE
    elif margin is not None:
      p_value = gap.p_value
      power = stats.power(gap.error, margin, float(gap.freedom or np.inf))
      verdict = stats.verdict(
          gap.low, gap.high, margin, may_be_equal=metric.tier > 0)
      if gate == BLIND and verdict != stats.DISTINGUISHABLE:
        verdict = BLIND
    least = stats.least_margin(gap.error, float(gap.freedom or np.inf))
    if margin is not None and least > margin and len(retrained) > 1:
      notes.append(
          f'This sample cannot show equivalence within {margin:g}, only '
          f'within {least:.3f} or more: the standard error of the difference '
          f'is {gap.error:.3f}, and a smaller margin leaves less than an '
          '80 % chance.')
      if unit in MANY:
        said = would_do(
            [stats.Shortfall(gap.error, gap.spread or 0.0, margin)],
            len(retrained), unit)
        notes.append(f'{said[0].upper()}{said[1:]}.')
  if too_few and unlearned is not None and unlearned.value is not None and (
      margin, metric.chance) != (None, None):
    verdict, p_value, power = stats.TOO_FEW, None, None
    notes.append(f'{too_few[0].upper()}{too_few[1:]}.')
  return Record(
      metric=name or metric.name, split=metric.split,
      direction=direction or metric.direction,
      original=original or Estimate.missing(NO_MODEL['original']),
      unlearned=unlearned or Estimate.missing(NO_MODEL['unlearned']),
      retrained=estimate_lib.mean_of_models(retrained, metric.bounds)
      if retrained else Estimate.missing(NO_MODEL['retrained']),
      null=null, delta=delta, units=metric.units, n_units=n_units, unit=unit,
      seeds=seeds, verdict=verdict, p_value=p_value, margin=margin, power=power,
      notes=tuple(notes), tier=metric.tier, gate=gate)


def of_shadows(metric: Metric, figure: shadows.Figure, *, n_units: int,
               unit: str, seeds: Mapping[str, int], margin: float | None,
               direction: str, too_few: str | None,
               name: str | None = None) -> Record:
  """The record of a figure of shadow models, judged against its null."""
  notes = [*metric.notes, *figure.notes]
  value, null = figure.value.within(metric.bounds), figure.null
  delta = Estimate.missing(str(value.reason or null.reason))
  verdict = power = p_value = None
  if value.value is not None and null.value is not None:
    gap = value.value - null.value
    delta = Estimate(gap, signed=True)
    if figure.error is not None:
      ends = stats.t_interval(gap, figure.error, figure.freedom)
      delta = Estimate(
          gap, *ends, error=figure.error, freedom=figure.freedom, signed=True
      ).within(of_differences(metric))
      if margin is not None:
        p_value = delta.p_value
        power = stats.power(figure.error, margin)
        verdict = stats.verdict(*ends, margin, may_be_equal=True)
    p_value = p_value if figure.p is None else figure.p
    if metric.votes and margin is None and p_value is not None:
      verdict = stats.DISTINGUISHABLE
  if too_few and metric.votes and value.value is not None:
    verdict, p_value, power = stats.TOO_FEW, None, None
    notes.append(f'{too_few[0].upper()}{too_few[1:]}.')
  gate = figure.gate if metric.votes else None
  if gate is None and metric.votes and figure.sees is not None:
    gate = SEES if figure.sees else BLIND
  return Record(
      metric=name or metric.name, split=metric.split, direction=direction,
      original=figure.before or Estimate.missing('not part of this figure'),
      unlearned=value,
      retrained=Estimate.missing('the null stands for retraining'),
      null=null, delta=delta, units=metric.units, n_units=n_units, unit=unit,
      seeds=seeds, verdict=verdict, p_value=p_value, margin=margin,
      power=power, notes=tuple(notes), tier=metric.tier, gate=gate)


def _gate(metric: Metric, original: Estimate | None,
          retrained: Sequence[Estimate], widening: float) -> str | None:
  """Whether a metric of forgetting can see the original.

  The original is judged as the unlearned model is: outside the left-out
  retrained models' interval, that is if its difference to them leaves out 0.
  """
  of_request = metric.split == 'forget' or metric.sides == (inputs_lib.UNSEEN,)
  if not of_request or len(retrained) < 2:
    return None
  if original is not None and original.reason == against.NO_WIDTH:
    return BLIND
  gap = estimate_lib.difference(original, retrained, widening)
  if gap is None or gap.low is None or gap.high is None:
    return UNCHECKED
  return BLIND if gap.low <= 0 <= gap.high else SEES


def of_differences(metric: Metric) -> tuple[float, float] | None:
  """What no difference of two values can leave."""
  if metric.bounds is None:
    return None
  low, high = metric.bounds
  return low - high, high - low


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


def overall(votes: Sequence[Record], *, retrained: int,
            roles: Mapping[str, str] | None = None,
            over_forgotten: bool = False, too_few: str | None = None,
            people: int | None = None,
            rank_p: float | None = None) -> dict[str, Any]:
  """One verdict from several deciding metrics.

  "distinguishable" if a metric is after Holm's correction, "indistinguishable"
  if every voter is, else "inconclusive"; "cannot say" if no voter sees the
  original. A voter that was not computed can only keep the verdict from being
  "indistinguishable". Without an original nobody knows what the voters see:
  then it is "distinguishable" or "inconclusive".

  Args:
    votes: records of the metrics that vote, at least one.
    retrained: how many retrained models there are.
    roles: of the metrics that are no plain voters, see ``registry.Metric``.
    over_forgotten: the Streisand flag, which forces "distinguishable" from two
      retrained models on.
    too_few: why the sample can show nothing; then that is the verdict.
    people: on the smaller side, None if they are unknown.
    rank_p: the smallest adjusted p of a person's rank, which can tell apart.

  Returns:
    ``verdict``, ``metrics`` (name to its own verdict, or why it has no vote),
    ``because``, words, and ``rules``, the number of these rules.

  Raises:
    ValueError: if there is no metric.
  """
  if not votes:
    raise ValueError('Expected at least one deciding metric, got none.')
  roles = roles or {}
  silent = (BLIND, NEEDS_THREE, shadows.NOT_OF_DESIGN)
  by_role: dict[str, list[Record]] = {
      role: [] for role in (
          registry.VOTER, registry.COMPANION, registry.ACCUSER)}
  for vote in votes:
    role = roles.get(vote.metric, registry.VOTER)
    if role == registry.ACCUSER or vote.gate not in silent:
      by_role[role].append(vote)
  voters, companions, accusers = by_role.values()
  companions = [vote for vote in companions if vote.verdict is not None]
  said = _judged(voters, companions, accusers, retrained=retrained,
                 over_forgotten=over_forgotten, too_few=too_few, people=people,
                 rank_p=rank_p)
  without = {
      BLIND: [vote.metric for vote in votes if vote.gate == BLIND
              and vote not in accusers],
      'not computed': [
          vote.metric for vote in votes if vote.verdict is None
          and vote.gate not in silent and vote not in accusers]}
  because = '; '.join([said[1], *(
      f'{why}: {", ".join(names)}' for why, names in without.items()
      if names and retrained > 1 and not too_few)])
  return {
      'verdict': said[0], 'because': because, 'rules': RULES,
      'metrics': {
          vote.metric: vote.gate if vote.gate in silent and (
              vote not in accusers or vote.verdict is None)
          else vote.verdict for vote in votes}}


def _judged(voters: Sequence[Record], companions: Sequence[Record],
            accusers: Sequence[Record], *, retrained: int,
            over_forgotten: bool, too_few: str | None,
            people: int | None, rank_p: float | None) -> tuple[str, str]:
  """The verdict and its first reason; see :func:`overall`."""
  everybody = [*voters, *companions, *accusers]
  if too_few:
    return stats.TOO_FEW, too_few
  if not retrained:
    return stats.INCONCLUSIVE, outputs.NEED_TWO
  if retrained == 1:
    differ = [vote.metric for vote in everybody if leaves_out_0(vote.delta)]
    said = (f'{", ".join(differ)} {"differ" if len(differ) > 1 else "differs"} '
            'by more than chance between images explains, but ' if differ
            else '')
    flag = '; the over-forgetting flag is raised' if over_forgotten else ''
    return stats.INCONCLUSIVE, f'{said}{ONE_REFERENCE}{flag}'
  if over_forgotten:
    return OVER_FORGOTTEN, 'the over-forgetting flag is raised'
  computed = [vote for vote in everybody if vote.p_value is not None]
  rejected = holm([*(float(vote.p_value or 0.0) for vote in computed),
                   *([] if rank_p is None else [rank_p])])
  apart = [vote for vote, is_apart in zip(computed, rejected)
           if is_apart and vote.verdict == stats.DISTINGUISHABLE]
  names = _names(apart)
  by_rank = rank_p is not None and rejected[-1]
  if by_rank or any(vote not in companions for vote in apart):
    return stats.DISTINGUISHABLE, 'told apart by ' + ', '.join(
        [*([names] if apart else []), *([RANK] if by_rank else [])])
  if not voters:
    return CANNOT_SAY, 'no metric that votes sees the original'
  if any(vote.verdict is None for vote in voters):
    return stats.INCONCLUSIVE, 'not every metric that votes was computed'
  if any(vote.gate == UNCHECKED for vote in voters):
    return stats.INCONCLUSIVE, ('whether these metrics could see the original '
                                'is unchecked')
  if apart:
    return stats.INCONCLUSIVE, (
        f'told apart by {names} alone, which does not decide alone')
  unsure = _unsure([*voters, *companions])
  if unsure:
    # Accusers do not block, but what they see alone is not kept back.
    alone = [vote for vote in accusers
             if vote.verdict == stats.DISTINGUISHABLE]
    return stats.INCONCLUSIVE, _why_unsure(
        [*alone, *unsure], voters, retrained)
  unsure = _unsure(accusers)
  if any(vote.gate == SEES and _has_power(vote) for vote in unsure):
    return stats.INCONCLUSIVE, _could_have(unsure)
  if any((metric := registry.find(vote.metric)) and metric.by_person
         for vote in unsure):
    return (f'{stats.INDISTINGUISHABLE} per image; persons: cannot say at '
            f'{people}', 'every metric that votes lies within its margin')
  return (stats.INDISTINGUISHABLE,
          'every metric that votes lies within its margin')


def _unsure(votes: Sequence[Record]) -> list[Record]:
  return [vote for vote in votes
          if vote.verdict not in (None, stats.INDISTINGUISHABLE)]


def _has_power(vote: Record) -> bool:
  return (vote.power or 0.0) >= stats.POWER


def _could_have(votes: Sequence[Record]) -> str:
  return f'{_names(votes)} could have shown equality and did not'


def _names(votes: Sequence[Record]) -> str:
  return ', '.join(vote.metric for vote in votes)


def _why_unsure(unsure: Sequence[Record], voters: Sequence[Record],
                retrained: int) -> str:
  """What keeps a verdict from being "indistinguishable", and what would do.

  What would do is said of plain voters, which logits alone determine: whoever
  computes a report's figures again from those finds the same words.
  """
  apart = [vote for vote in unsure if vote.verdict == stats.DISTINGUISHABLE]
  rest = [vote for vote in unsure if vote not in apart]
  wide = [vote for vote in rest if not _has_power(vote)]
  able = [vote for vote in rest if _has_power(vote)]
  said = [f'{_names(apart)} would be told apart alone, not among several '
          'metrics (Holm)'] if apart else []
  if able:
    said.append(_could_have(able))
  if wide:
    said.append(f'the intervals are too wide to say either: {_names(wide)}')
    short = [stats.Shortfall(vote.delta.error, vote.delta.spread, vote.margin)
             for vote in wide if vote in voters and vote.unit in MANY
             and vote.margin and vote.delta.error
             and vote.delta.spread is not None]
    if short:
      said.append(would_do(short, retrained, str(wide[0].unit)))
  return '; '.join(said)


def would_do(short: Sequence[stats.Shortfall], retrained: int,
             unit: str) -> str:
  """How many people or retrained models would show equality, in words.

  At least: the spread between trainings is taken as small as the retrained
  models allow, so that "no number would do" is shown, not guessed.

  Args:
    short: differences whose intervals are too wide.
    retrained: how many retrained models there are, at least two.
    unit: what intervals resample.
  """
  many = MANY.get(unit, MANY['image'])

  def times(models: int) -> float:
    return max(one.growth(models, retrained) for one in short)

  def people(growth: float) -> str:
    return f'about {max(growth, 1.1):.2g} times as many {many} in each part'

  ways = []
  if times(retrained) <= MOST_TIMES:
    ways.append(people(times(retrained)))
  alone = next((models for models in range(retrained + 1, MOST_RETRAINED + 1)
                if times(models) <= 1), None)
  if alone:
    ways.append(f'about {alone} retrained models')
  if not ways:
    ways = [f'{people(times(models))} and {models} retrained models'
            for models in (8, 16, 32, MOST_RETRAINED)
            if models > retrained and times(models) <= MOST_TIMES][:1]
  if ways:
    return f'it takes at least {", or ".join(ways)}'
  if math.isfinite(times(MOST_RETRAINED)):
    return f'it takes more than {MOST_TIMES} times as many {many} in each part'
  return (f'no number of {many} would do: the retrained models differ too much '
          'from each other')


def leaves_out_0(delta: Estimate) -> bool:
  """Whether an interval of a difference has 0 outside."""
  if delta.low is None or delta.high is None:
    return False
  return delta.low > 0 or delta.high < 0
