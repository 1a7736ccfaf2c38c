"""The values of metrics that compare a model's outputs with retrained ones."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence

import numpy as np

from dlfd_jax import tasks
from dlfd_jax.evaluation.estimate import (
  POSITIVE,
  SHARE,
  Estimate,
  combine,
  mean,
)
from dlfd_jax.evaluation.inputs import Inputs, Model, once
from dlfd_jax.evaluation.outputs import (
  NEED_TWO,
  NO_ORIGINAL,
  accuracy_on,
  matched_auc,
  mean_over,
)
from dlfd_jax.metrics import distances, per_example

NO_WIDTH = ('the original is no farther from the retrained models than they '
            'are from each other')
GAPS = (functools.partial(accuracy_on, split='forget'),
        functools.partial(accuracy_on, split='retain'),
        functools.partial(accuracy_on, split='test'), matched_auc)


def _gaps(inputs: Inputs, slot: Model,
          references: Sequence[Model]) -> list[Estimate]:
  """The four signed gaps: accuracy on forget, retain and test, attack AUC."""
  return [
      combine(lambda a, b: a - b, value(inputs, slot),
              mean([value(inputs, other) for other in references]))
      for value in GAPS]


def average_gap(inputs: Inputs, slot: Model,
                references: Sequence[Model]) -> Estimate:
  """Mean of the four absolute gaps."""
  return combine(distances.average_gap, *_gaps(
      inputs, slot, references)).without_interval


def tow(inputs: Inputs, slot: Model, references: Sequence[Model], *,
        by_attack: bool = False) -> Estimate:
  """Tug of war; ``by_attack``: the attack's gap in place of forget's."""
  forget, retain, test, mia = _gaps(inputs, slot, references)
  return combine(distances.tow, mia if by_attack else forget, retain,
                 test).without_interval


def js(task: tasks.Task, reference: np.ndarray,
       logits: np.ndarray) -> np.ndarray:
  """JS divergence of two models' outputs from their logits, ``[n]``."""
  return distances.js(task, *(
      per_example.probabilities(task, z) for z in (logits, reference)))


def activation_distance(task: tasks.Task, reference: np.ndarray,
                        logits: np.ndarray) -> np.ndarray:
  """Norm of the difference of probabilities, from logits, ``[n]``."""
  return distances.activation_distance(*(
      per_example.probabilities(task, z) for z in (logits, reference)))


@once
def _distance(inputs: Inputs, slot: Model, reference: Model,
              kind: Callable[..., np.ndarray], split: str) -> Estimate:
  for model in (slot, reference):
    if split not in model.logits:
      return Estimate.missing(inputs.no_logits(split))
  return mean_over(inputs.parts[split], kind(
      inputs.task, reference.logits[split], slot.logits[split]), bounds(kind))


def bounds(kind: Callable[..., np.ndarray]) -> tuple[float, float]:
  """What a distance cannot leave, which decides its kind of interval."""
  return {distances.agreement: SHARE, js: (0.0, math.log(2))}.get(
      kind, POSITIVE)


def distance(inputs: Inputs, slot: Model, references: Sequence[Model], *,
             kind: Callable[..., np.ndarray], split: str) -> Estimate:
  """Mean over references of a distance of outputs.

  Args:
    inputs: everything that was given.
    slot: the model to judge.
    references: the models it is compared with.
    kind: of task, reference logits and logits, ``[n]``.
    split: whose images are compared.
  """
  return mean([_distance(inputs, slot, reference, kind, split)
               for reference in references], bounds(kind))


def leave_one_out(inputs: Inputs,
                  value: Callable[..., Estimate]) -> list[Estimate]:
  """Each retrained model in the slot against the other ones.

  One estimate that says why if there is only one; none without any.
  """
  retrained = inputs.retrained
  if len(retrained) == 1:
    return [Estimate.missing(NEED_TWO)]
  return [value(inputs, model, tuple(
      other for other in retrained if other is not model))
          for model in retrained]


@once
def _js_scale(inputs: Inputs, split: str) -> tuple[Estimate, float] | str:
  """(floor, ceiling - floor), or the reason why there is none."""
  value = functools.partial(distance, kind=js, split=split)
  if len(inputs.retrained) < 2:
    return NEED_TWO
  if inputs.original is None:
    return NO_ORIGINAL
  floor = mean(leave_one_out(inputs, value))
  ceiling = value(inputs, inputs.original, inputs.retrained)
  width = combine(lambda c, f: c - f, ceiling, floor)
  if width.value is None or floor.value is None or ceiling.value is None:
    return str(width.reason)
  error = 0.0
  if width.replicates is not None:
    error = float(np.std(width.replicates, ddof=1))
  if distances.normalised(
      floor.value, floor.value, ceiling.value, error) is None:
    return NO_WIDTH
  return floor, width.value


def normalised_js(inputs: Inputs, slot: Model, references: Sequence[Model], *,
                  split: str) -> Estimate:
  """JS distance: 0 = as another retrained model, 1 = as the original."""
  scale = _js_scale(inputs, split)
  if isinstance(scale, str):
    return Estimate.missing(scale)
  floor, width = scale
  return combine(lambda d, f: (d - f) / width, distance(
      inputs, slot, references, kind=js, split=split), floor)
