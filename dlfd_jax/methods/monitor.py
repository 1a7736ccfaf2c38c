"""What the live attack finds decides: thresholds, phases, the chosen state."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from dlfd_jax import loop
from dlfd_jax.methods import base, live as live_lib
from dlfd_jax.metrics import usable
from dlfd_jax.models import Variables
from dlfd_jax.utils import hosts

_ACCURACY_SLACK = 0.01
AUC, SCORE = 'mia_auc', 'forgetting_score'  # what a threshold is a value of
_IN_WORDS = {AUC: '2 |attack AUC - .5|', SCORE: 'a forgetting score'}


def strength(metrics: loop.Metrics, by: str) -> float:
  """How well forget is told from val, in [0, 1].

  Thresholds from the null (``'null_mean'``, ``'null_95'``) are values of
  ``2 |AUC - .5|``, which the losses alone decide. A number is one of the
  paper's forgetting score, whose folds move it by up to .2 on one model.
  """
  return float(2 * abs(metrics['mia_auc'] - .5) if by == AUC else metrics[by])


class Monitor:
  """The controller of every method: measures, switches phases, selects.

  Args:
    live: measures.
    original: variables before the first step; they fix the thresholds.
    config: its ``selection`` and ``select_threshold``.
    plan: its phases, stop rule and findings.
    teaches: what it selects only teaches a later stage what to forget, and need
      keep no accuracy.
  """

  def __init__(self, live: live_lib.LiveAttack, original: Variables,
               config: base.MethodConfig, plan: base.Plan,
               teaches: bool = False):
    self._live = live
    self._rule, self._stop = plan.phases, plan.stop
    self._only = next(iter(plan.steps))  # the phase, if no rule chooses one
    self._findings: dict[str, Any] = {
        **plan.findings, 'steering': live.rule.kind,
        'attack_sizes': list(live.sizes)}
    if live.rule.because:
      self._findings['steering_reason'] = live.rule.because
    self._kind = live.rule.kind
    measured = self._kind != live_lib.PASSES
    asked: tuple[Any, ...] = (  # numbers, or names of the null's
        None if plan.phases is None else plan.phases.threshold,
        config.select_threshold)
    # Another pass over the images of the attack: only where its name is used.
    null: dict[Any, Any] = {}  # numbers by these names
    if measured and any(isinstance(threshold, str) for threshold in asked):
      null = dict(zip(base.THRESHOLDS,
                      hosts.from_first(list(live.null(original))), strict=True))
      self._findings |= null
    numbers: list[Any] = [
        null.get(threshold, threshold) if measured else None
        for threshold in asked]
    self._forget_threshold, self._select_threshold = numbers
    self._forget_by, self._select_by = (
        AUC if isinstance(threshold, str) else SCORE for threshold in asked)
    self._original = hosts.from_first(live.measure(original))
    blind = None
    if measured:
      # The released code has no such notion.
      blind = plan.attack != live_lib.RELEASED and (
          strength(self._original, self._select_by) <= self._select_threshold)
    self._selection = None if config.selection == 'last' or (
        blind is None) else Selection(
            self._select_threshold, blind,
            live.num_val if config.selection == 'one_se' else None,
            self._select_by,
            0.0 if teaches else max(
                0.0, self._original['val_accuracy'] - usable.MOST_LOST['val']
                - usable.ROUNDING))
    self._findings |= {
        'forget_threshold': self._forget_threshold,
        'select_threshold': self._select_threshold,
        'forget_by': self._forget_by,
        'select_by': self._select_by,
        'original_forgetting_score': self._original['forgetting_score'],
        'original_mia_auc': self._original['mia_auc'],
        'attack_blind_to_original': blind,
    }

  def measure(self, variables: Variables) -> loop.Metrics:
    """See ``LiveAttack.measure``."""
    return self._live.measure(variables)

  def phase(self, metrics: loop.Metrics) -> str | None:
    """The phase of the next steps; None = stop here."""
    if self._stops(metrics):
      return None
    rule = self._rule
    if rule is None:
      return self._only
    if rule.opening is not None and metrics['step'] == 0:
      return rule.opening
    if self._kind == live_lib.PASSES:
      return rule.active
    under = metrics['mia_auc'] > 0.5 or not rule.signed
    threshold = self._forget_threshold
    high = (threshold is not None
            and strength(metrics, self._forget_by) >= threshold)
    return rule.active if high and under else rule.resting

  def _stops(self, metrics: loop.Metrics) -> bool:
    """The plan's own stop rule, as far as the images can tell."""
    if self._stop is None or self._kind == live_lib.PASSES:
      return False
    # The accuracy on a few images is too coarse to stop by alone.
    known = self._kind == live_lib.RANK and metrics['mia_auc'] > 0.5
    return not known and self._stop(self._original, metrics)

  def keep(self, candidates: Sequence[loop.Metrics]) -> list[int]:
    """The states that may still be selected; never the original."""
    if self._selection is None or candidates[-1]['step'] == 0:
      return []
    return self._selection.keep(candidates)

  def choose(self, kept: Sequence[base.Kept],
             last: Variables) -> tuple[int | None, str]:
    """The selected state (None = the last one) and why."""
    del last
    if self._selection is None:
      return None, 'the last state' + (
          ', as nothing can be measured' if self._kind == live_lib.PASSES
          else '')
    return self._selection.choose([metrics for metrics, _ in kept])

  def findings(self, chosen: loop.Metrics | None) -> dict[str, Any]:
    """Thresholds and flags; what the selected state is like.

    ``select_threshold_met`` and ``loss_gap``, see ``LiveAttack.measure``, are
    None if the selected state was not measured.
    """
    met, gap = None, None
    if chosen is not None:
      if self._select_threshold is not None:
        met = strength(chosen, self._select_by) <= self._select_threshold
      gap = chosen.get('loss_gap')  # not in runs begun by older versions
    return {**self._findings, 'select_threshold_met': met, 'loss_gap': gap}


@dataclasses.dataclass(frozen=True)
class Selection:
  """Which of the measured states is returned.

  What is kept on the way and what is chosen in the end read the same fields:
  a state that could still win must not have been dropped.

  Candidates are metrics with ``val_accuracy``, ``forgetting_score`` and
  ``mia_auc``, in the order of their steps.

  Attributes:
    threshold: largest :func:`strength` of a state that counts as forgotten.
    blind: whether the attack could not see the original.
    num_val: images behind ``val_accuracy`` for the one-standard-error rule;
      None = the most accurate state as it is.
    by: what the threshold is a value of, ``AUC`` or ``SCORE``.
    least: val accuracy that a deletion has to keep, for the one-standard-error
      rule: it takes none below where any state has both.

  Source: the one-standard-error rule of Breiman et al. (1984), section 3.4.3.
  """

  threshold: float
  blind: bool
  num_val: int | None
  by: str = 'forgetting_score'
  least: float = 0.0

  def keep(self, candidates: Sequence[loop.Metrics]) -> list[int]:
    """Positions of the candidates that :meth:`choose` can still choose."""
    if self.blind:
      def beaten(i: int) -> bool:
        a = candidates[i]
        return any(
            b['val_accuracy'] >= a['val_accuracy'] and _off(b) <= _off(a)
            and (b['val_accuracy'] > a['val_accuracy'] or _off(b) < _off(a)
                 or j < i)
            for j, b in enumerate(candidates) if j != i)
      return [i for i in range(len(candidates)) if not beaten(i)]
    near = self._near_the_best(candidates)
    if not near:
      seen, missed = self._missed(candidates)
      # None that is too far from the best for any error, or behind a later one.
      return [i for i in range(len(candidates))
              if missed[i] <= min(missed) + self._error(.5) and not any(
                  seen[j] <= seen[i] and missed[j] <= missed[i]
                  for j in range(i + 1, len(candidates)))]
    # A state that is less accurate than a later one can neither be the best nor
    # outlast it within its standard error.
    later_best = [max((candidates[j]['val_accuracy'] for j in near if j > i),
                      default=-1.0) for i in near]
    return [i for i, other in zip(near, later_best, strict=True)
            if candidates[i]['val_accuracy'] > other]

  def choose(self, candidates: Sequence[loop.Metrics]
             ) -> tuple[int | None, str]:
    """Position of the state to return (None = none was measured), and why.

    The most accurate on val among those at or under the threshold, the earlier
    of equals; or, with ``num_val``, the latest of those within one standard
    error of that accuracy: the best of many measurements on few images is
    partly luck, and under a falling learning rate later states are the better
    trained ones; but none below ``least``. If no state is under the threshold
    (and, with ``num_val``, has ``least``), the one that misses by least, in
    points of AUC and of accuracy, as a state that has unlearned its task hides
    the forget set, too; or, with ``num_val``, the latest one which the attack
    sees no better and whose accuracy is within its standard error of that. If
    the attack could not see the original, the one whose signed AUC is nearest
    .5 among those that have ``least`` or are within 1 point of the best val
    accuracy.
    """
    if not candidates:
      return None, 'no state was measured, so the last one is returned'
    order = range(len(candidates))
    if self.blind:
      lowest = max(c['val_accuracy'] for c in candidates) - _ACCURACY_SLACK
      rule = 'within 1 point of the best val accuracy'
      if 0 < self._kept_accuracy < lowest:
        lowest = self._kept_accuracy
        rule = f'with the val accuracy of {lowest:.3f} that it has to keep'
      near = [i for i in order if candidates[i]['val_accuracy'] >= lowest]
      chosen = min(near, key=lambda i: (
          _off(candidates[i]), -candidates[i]['val_accuracy']))
      return chosen, (
          'the attack cannot see the original at this sample size: the state '
          f'with the val AUC nearest .5 {rule}')
    near = self._near_the_best(candidates)
    if near:
      rule = 'the most accurate state on val'
      if self.num_val is not None:
        rule = ('the latest state within a standard error of the best val '
                'accuracy')
        if self.least > 0:
          rule += f', none below the {self.least:.3f} that it has to keep,'
      return near[-1], (
          f'{rule} with {_IN_WORDS[self.by]} of at most {self.threshold:.3f}')
    seen, missed = self._missed(candidates)
    best = min(order, key=lambda i: (missed[i], -i))
    most = missed[best] + self._error(candidates[best]['val_accuracy'])
    chosen = max(i for i in order
                 if missed[i] <= most and seen[i] <= seen[best])
    bound = f'{_IN_WORDS[self.by]} of {self.threshold:.3f}'
    if self._kept_accuracy > 0:
      return chosen, (
          f'no state both came under the threshold, {bound}, and had the val '
          f'accuracy of {self.least:.3f} that it has to keep: this one misses '
          'the two by least, or is a later one within a standard error of its '
          'accuracy')
    return chosen, (f'no state came under the threshold, {bound}: this one is '
                    'nearest to it')

  def _error(self, accuracy: float) -> float:
    """The standard error of an accuracy on val; 0 where it does not count."""
    return 0.0 if self.num_val is None else math.sqrt(
        accuracy * (1 - accuracy) / self.num_val)

  @property
  def _kept_accuracy(self) -> float:
    return 0.0 if self.num_val is None else self.least

  def _missed(self, candidates: Sequence[loop.Metrics]
              ) -> tuple[list[float], list[float]]:
    """How far each is above the threshold, and from both bounds.

    In points of AUC, or of the attack's accuracy where a score is the measure.
    """
    seen = [max(0.0, strength(c, self.by) - self.threshold) / 2
            for c in candidates]
    return seen, [of + max(0.0, self._kept_accuracy - c['val_accuracy'])
                  for of, c in zip(seen, candidates, strict=True)]

  def _near_the_best(self, candidates: Sequence[loop.Metrics]) -> list[int]:
    """Those under the threshold that count as the most accurate, in order."""
    good = [i for i, c in enumerate(candidates)
            if strength(c, self.by) <= self.threshold
            and c['val_accuracy'] >= self._kept_accuracy]
    if not good:
      return []
    first = max(good, key=lambda i: candidates[i]['val_accuracy'])
    if self.num_val is None:
      return [first]
    best = candidates[first]['val_accuracy']
    lowest = best - self._error(best)
    return [i for i in good if candidates[i]['val_accuracy'] >= lowest]


def _off(metrics: loop.Metrics) -> float:
  return abs(metrics['mia_auc'] - 0.5)
