"""The values of metrics of how soon forget is learnt again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from dlfd_jax.evaluation.estimate import Estimate
from dlfd_jax.evaluation.inputs import Inputs, Model
from dlfd_jax.metrics import forgetting

NO_RELEARN = 'no relearning was run'


def relearn_steps(inputs: Inputs, model: Model) -> Estimate:
  """Steps until forget is learnt again, mean over seeds."""
  if not model.relearned:
    return Estimate.missing(NO_RELEARN)
  return _over_seeds([float(time.steps) for time in model.relearned])


def log2_steps(inputs: Inputs, model: Model) -> Estimate:
  """``log2(t + 1)``, whose gap is log2 of the anamnesis index."""
  if not model.relearned:
    return Estimate.missing(NO_RELEARN)
  if model in inputs.retrained and any(
      time.capped or time.steps == 0 for time in model.relearned):
    return Estimate.missing(
        'a retrained model never relearnt, or knew forget from the start')
  return _over_seeds([forgetting.log2_steps(time) for time in model.relearned])


def _over_seeds(numbers: Sequence[float]) -> Estimate:
  """A mean over seeds; its replicates have the variance of that mean."""
  values, count = np.array(numbers), len(numbers)
  average = float(values.mean())
  if count < 2:
    return Estimate(average)
  return Estimate.resampled(
      average, average + (values - average) / math.sqrt(count), count, least=2)


def relearn_sample(inputs: Inputs) -> tuple[int, str]:
  """The seeds of relearning, which its intervals resample."""
  seeds = [len(model.relearned) for model in inputs.models if model.relearned]
  return max(min(seeds, default=0), 1), 'seed'


def capped_runs(inputs: Inputs, value: Any) -> list[str]:
  """Sentences on models that did not relearn within the cap."""
  del value
  return [
      f'{model.name}: {sum(t.capped for t in model.relearned)} of '
      f'{len(model.relearned)} runs reached the cap; its time is a lower bound.'
      for model in inputs.models if any(t.capped for t in model.relearned)]
