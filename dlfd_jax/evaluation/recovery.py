"""Whether forget comes back, as the registry has it: see ``metrics.recovery``.

A treated model is a model like any other (``Model.treated``), so that its
figures are those of ``outputs``. All say `not computed` where the treatment was
not run.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from dlfd_jax.evaluation import outputs
from dlfd_jax.evaluation.estimate import Estimate, Record, combine
from dlfd_jax.evaluation.inputs import Inputs, Model
from dlfd_jax.metrics import accuracy, recovery, stats

NOT_RUN = 'no recovery was run'
NOT_FINITE = 'its answers after the treatment are not finite'


def accuracy_after(inputs: Inputs, model: Model) -> Estimate:
  """Accuracy on forget after some steps on retain alone."""
  treated = model.treated.get(recovery.RETAIN)
  if treated is None:
    return Estimate.missing(_why(inputs, recovery.RETAIN))
  return outputs.accuracy_on(inputs, treated, split='forget')


def accuracy_on_rest(inputs: Inputs, model: Model, part: str) -> Estimate:
  """Accuracy on the rest of forget after some steps on a part of it."""
  treated, rest = model.treated.get(part), _rest(inputs, part)
  if treated is None or rest is None:
    return Estimate.missing(_why(inputs, part))
  counts = accuracy.accuracy(
      inputs.task, treated.logits['forget'], inputs.parts['forget'].labels)
  counts = accuracy.Counts(counts.hits * rest[:, None],
                           counts.tries * rest[:, None])
  if np.isnan(counts.value):
    return Estimate.missing('no label of the rest is known')
  return outputs.resampled_counts(inputs.parts['forget'], counts)


def units_of_rest(inputs: Inputs, part: str) -> tuple[int, str]:
  """(number, kind) of the people or images that were not taught."""
  forget, rest = inputs.parts['forget'], _rest(inputs, part)
  return (forget.n_units if rest is None else forget.units_in(rest)), (
      forget.unit)


def copies_accuracy(inputs: Inputs, model: Model, copy: str) -> Estimate:
  """Accuracy on copies of forget images minus that on copies of test images."""
  treated = model.treated.get(copy)
  if treated is None:
    return Estimate.missing(_why(inputs, copy))
  return combine(lambda forget, test: forget - test, *(
      outputs.accuracy_on(inputs, treated, split=split)
      for split in outputs.SIDES))


def copies_auc(inputs: Inputs, model: Model, copy: str) -> Estimate:
  """Class-matched AUC of copies of forget images against those of test."""
  treated = model.treated.get(copy)
  if treated is None:
    return Estimate.missing(_why(inputs, copy))
  return outputs.matched_auc(inputs, treated)


def remarks(*treatments: str) -> Callable[[Inputs, Any], list[str]]:
  """The function of the registry that gives the notes on some treatments."""
  def notes(inputs: Inputs, value: Any) -> list[str]:
    del value
    found = inputs.recovery.notes if inputs.recovery else {}
    return list(dict.fromkeys(
        note for name in treatments for note in found.get(name, ())))

  return notes


def accuse_above(inputs: Inputs, record: Record) -> Record:
  """The record, told apart only above the retrained models.

  Damage keeps accuracy from coming back, and is no trace of anybody.
  """
  del inputs
  if record.verdict != stats.DISTINGUISHABLE or (
      record.delta.value is None or record.delta.value > 0):
    return record
  return dataclasses.replace(
      record, verdict=stats.INCONCLUSIVE, notes=(
          *record.notes, 'It stays below the retrained models: a sign of '
          'damage, which is no trace.'))


def _rest(inputs: Inputs, part: str) -> np.ndarray | None:
  taught = inputs.recovery.taught.get(part) if inputs.recovery else None
  return None if taught is None else ~taught


def _why(inputs: Inputs, treatment: str) -> str:
  if inputs.recovery is None:
    return NOT_RUN
  return inputs.recovery.left_out.get(treatment, NOT_FINITE)
