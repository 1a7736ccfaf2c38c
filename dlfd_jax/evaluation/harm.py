"""Whether forgetting itself is visible, and what it does to those who stay."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from dlfd_jax.evaluation import releases
from dlfd_jax.evaluation.estimate import SHARE, Estimate, Record, difference
from dlfd_jax.evaluation.inputs import UNSEEN, Inputs, Model, once
from dlfd_jax.evaluation.outputs import (
  NO_PEOPLE,
  SIDES,
  attack_accuracy,
  auc_by_image,
  matched_auc,
  on_splits,
)
from dlfd_jax.metrics import accuracy, forgetting


def few_unseen(inputs: Inputs, value: Any) -> list[str]:
  """The remark of a share above a quantile that few images do not have."""
  del value
  return [] if _has_tail(inputs) else [
      f'No interval: {len(inputs.parts[UNSEEN])} unseen images have no '
      f'{100 * forgetting.TAIL:g} % quantile beyond their largest loss, which '
      'more forget losses than 1 % exceed by chance. The null is the '
      'yardstick.']


def _has_tail(inputs: Inputs) -> bool:
  return len(inputs.parts[UNSEEN]) * (1 - forgetting.TAIL) >= 1 - 1e-9


@once
def loss_tail(inputs: Inputs, model: Model) -> Estimate:
  """Share of forget losses above nearly all unseen ones."""
  if not set(SIDES) <= set(model.losses):
    return Estimate.missing('it needs logits on forget and test')
  share = functools.partial(
      forgetting.tail_share, *(model.losses[split] for split in SIDES))
  found = Estimate.resampled(
      float(share()), inputs.bootstrap(share, *SIDES), inputs.fewest(*SIDES),
      SHARE)
  return found if _has_tail(inputs) else found.without_interval


def over_forgetting(inputs: Inputs, slot: Model, references: Sequence[Model],
                    ) -> forgetting.OverForgetting | None:
  """The three signs that forgetting is visible; None without intervals."""
  intervals = []
  for value in (matched_auc, loss_tail,
                functools.partial(attack_accuracy, two_sided=True)):
    gap = difference(
        value(inputs, slot), [value(inputs, other) for other in references])
    intervals.append(None if gap is None or gap.low is None or gap.high is None
                     else (gap.low, gap.high))
  auc_gap, tail_gap, two_sided_gap = intervals
  if auc_gap is None or tail_gap is None:
    return None
  return forgetting.over_forgetting(
      auc_gap, tail_gap, two_sided_gap, inputs.config.auc_margin)


def over_forgetting_signs(inputs: Inputs, slot: Model,
                          references: Sequence[Model]) -> Estimate:
  """How many of the three signs are there."""
  signs = over_forgetting(inputs, slot, references)
  if signs is None:
    return Estimate.missing('a difference to retraining has no interval')
  return Estimate(signs.count)


def warn_of_over_forgetting(inputs: Inputs, record: Record) -> Record:
  """The main AUC's record as a warning: raised if it lies below one half."""
  notes = []
  verdict = None
  if record.unlearned.high is not None and not inputs.too_few(*SIDES):
    verdict = 'over-forgotten' if record.unlearned.high < .5 else 'none'
    if record.retrained.high is not None and record.retrained.high < .5:
      notes.append('The retrained model is below one half too: forget and test '
                   'differ by themselves.')
  return dataclasses.replace(record, verdict=verdict, notes=tuple(notes))


def raise_flag(inputs: Inputs, record: Record) -> Record:
  """The record of over-forgetting's signs with the flag as its verdict."""
  if (inputs.unlearned is None or not inputs.retrained
      or inputs.too_few(*SIDES)):
    return record
  signs = over_forgetting(inputs, inputs.unlearned, inputs.retrained)
  if signs is None:
    return record
  notes = [*record.notes, *signs.sentences]
  if signs.count and len(inputs.retrained) == 1:
    notes.append('With one retrained model this may be the difference of two '
                 'seeds: the flag decides nothing.')
  return dataclasses.replace(record, verdict=signs.flag, notes=tuple(notes))


def share_harmed(inputs: Inputs, slot: Model,
                 references: Sequence[Model]) -> Estimate:
  """Share of retained people who lose more accuracy than the limit."""
  losses = person_losses(inputs, slot, references)
  if isinstance(losses, str):
    return Estimate.missing(losses)
  part = inputs.parts['retain']
  known = np.zeros(part.n_units, bool)  # an image of nobody known is no person
  known[part.units[part.identity >= 0]] = True
  flags = accuracy.harmed(
      losses[known], inputs.reference_config.harm_limit).astype(np.float64)
  totals = np.zeros((part.n_units, 2))
  totals[known] = np.stack([flags, np.ones(len(flags))], 1)
  return Estimate.resampled(
      float(flags.mean()), part.resampled_share(totals), int(known.sum()),
      SHARE)


def person_losses(inputs: Inputs, slot: Model,
                  references: Sequence[Model]) -> np.ndarray | str:
  """Accuracy that each unit of retain loses, or why it is unknown."""
  if any('retain' not in model.logits for model in (slot, *references)):
    return 'no logits on retain'
  part = inputs.parts['retain']
  if part.unit != 'person':
    return NO_PEOPLE
  reference = np.mean([_correct(inputs, other) for other in references], axis=0)
  return accuracy.person_losses(reference, _correct(inputs, slot), part.units)


def _correct(inputs: Inputs, model: Model) -> np.ndarray:
  """Correctness of each retained image, in [0, 1]."""
  counts = accuracy.accuracy(
      inputs.task, model.logits['retain'], inputs.parts['retain'].labels)
  return counts.hits.sum(1) / counts.tries.sum(1)


def worst_people(inputs: Inputs, count: int = 10) -> list[dict[str, Any]]:
  """The retained people who lose most, by code; empty if nothing is known."""
  if not inputs.retrained or inputs.unlearned is None:
    return []
  losses = person_losses(inputs, inputs.unlearned, inputs.retrained)
  if isinstance(losses, str):
    return []
  part = inputs.parts['retain']
  codes = np.zeros(part.n_units, np.int64)
  codes[part.units] = part.identity
  known = codes >= 0
  return accuracy.worst_people(
      losses[known], codes[known], np.bincount(part.units)[known], count)


@on_splits(*releases.STAY)
def retain_auc(inputs: Inputs, model: Model) -> Estimate:
  """Attack AUC of retained against unseen images."""
  return auc_by_image(
      inputs, [-model.losses[split] for split in releases.STAY], releases.STAY)
