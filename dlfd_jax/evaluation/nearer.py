"""Whether a model is nearer to retrained models or to the original.

See ``metrics.nearer`` for the test. Its false alarms are counted on the models
at hand: each retrained model is judged by the others, as if it had unlearned.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from dlfd_jax.data import splits as splits_lib
from dlfd_jax.evaluation import inputs as inputs_lib, outputs
from dlfd_jax.evaluation.estimate import Estimate, Record
from dlfd_jax.evaluation.features import NO_FEATURES
from dlfd_jax.evaluation.inputs import Inputs, Model, once
from dlfd_jax.metrics import nearer, per_example, stats
from dlfd_jax.utils import text

OUTPUTS, FEATURES = 'outputs', 'features'
ANCHORS = 256  # test images that features are described by
_BOUNDS = (-1.0, 1.0)
_AT_ONCE = 4096  # images
ALIKE = 'original, retrained and this model answer alike'
ALARMS = 'False alarms'
ONE = ('No p-value: one retrained model does not tell how far two of them lie '
       'apart.')


@once
def _anchors(inputs: Inputs) -> np.ndarray:
  n = len(inputs.parts['test'])
  if n <= ANCHORS:
    return np.arange(n)
  rng = inputs_lib.generator(inputs.config, 'anchors')
  return np.sort(rng.choice(n, ANCHORS, replace=False))


def _answers(inputs: Inputs, model: Model, what: str, split: str,
             rows: slice) -> np.ndarray:
  """Answers to some images that can be compared between networks."""
  if what == OUTPUTS:
    return per_example.probabilities(inputs.task, model.logits[split][rows])
  return nearer.to_anchors(
      model.features[split][rows], model.features['test'][_anchors(inputs)])


@once
def distance(inputs: Inputs, model: Model, other: Model, what: str,
             split: str) -> np.ndarray:
  """Distance of two models' answers to each image of a split, ``[n]``."""
  if what == FEATURES and model.apart is not None:
    return model.apart[:, inputs.models.index(other)]
  starts = range(0, len(inputs.parts[split]), _AT_ONCE)
  parts = ([_answers(inputs, each, what, split, slice(start, start + _AT_ONCE))
            for each in (model, other)] for start in starts)
  found = np.concatenate([np.linalg.norm(a - b, axis=1) for a, b in parts])
  # As they are stored, so that they give the same figures again.
  return found.astype(np.float32) if what == FEATURES else found


def missing(models: Sequence[Model | None], what: str,
            split: str) -> str | None:
  """Why answers of models cannot be compared, if so."""
  for model in models:
    if model is None:
      return outputs.NO_ORIGINAL
    if what == OUTPUTS and split not in model.logits:
      return f'no logits on {split}'
    if what == FEATURES and model.apart is None and (
        not {split, 'test'} <= set(model.features)):
      return NO_FEATURES
  return None


@once
def _means(inputs: Inputs, slot: Model, references: tuple[Model, ...],
           what: str, split: str) -> np.ndarray:
  """Distances to the original and, on average, to references, ``[n, 2]``."""
  assert inputs.original is not None
  return np.stack([
      distance(inputs, slot, inputs.original, what, split),
      np.mean([distance(inputs, slot, other, what, split)
               for other in references], axis=0)], axis=1)


def stored(inputs: Inputs, splits: splits_lib.Splits) -> dict[str, np.ndarray]:
  """Distances of features, which are too large to be stored themselves.

  Returns:
    ``{model}/forget/apart``, float32 ``[n, models]``, all images of forget, 0
    without a known label; nothing without an original or features.
  """
  models, split = inputs.models, 'forget'
  if missing((inputs.original, *models), FEATURES, split):
    return {}
  found = {}
  for model in models:
    values = np.zeros((len(splits.forget), len(models)), np.float32)
    values[inputs.parts[split].rows] = np.stack(
        [distance(inputs, model, other, FEATURES, split) for other in models],
        axis=1)
    found[f'{model.name}/{split}/apart'] = values
  return found


def nearness(inputs: Inputs, slot: Model, references: Sequence[Model], *,
             what: str, split: str) -> Estimate:
  """How much nearer to the original than to retrained models, in [-1, 1].

  Args:
    inputs: everything that was given.
    slot: the model to judge.
    references: the retrained models.
    what: ``OUTPUTS`` or ``FEATURES``.
    split: whose images are compared.
  """
  reason = missing((inputs.original, slot, *references), what, split)
  if reason:
    return Estimate.missing(reason)
  both = _means(inputs, slot, tuple(references), what, split)
  value = float(nearer.nearness(*both.mean(0)))
  if np.isnan(value):
    return Estimate.missing(ALIKE)
  part = inputs.parts[split]
  return Estimate.resampled(
      value, nearer.nearness(*part.resampled_sums(both).T), part.n_units,
      _BOUNDS)


def _side(inputs: Inputs, slot: Model, references: Sequence[Model], what: str,
          split: str) -> nearer.Side:
  assert inputs.original is not None
  return nearer.side(
      distance(inputs, slot, inputs.original, what, split),
      np.stack([distance(inputs, slot, other, what, split)
                for other in references]), inputs.parts[split].units,
      inputs_lib.generator(inputs.config, 'nearer'))


def judge(inputs: Inputs, record: Record, *, what: str, split: str) -> Record:
  """The record with side and p as its verdict, which votes nowhere."""
  slot, retrained = inputs.unlearned, inputs.retrained
  if slot is None or record.unlearned.value is None:
    return record
  apart = _means(inputs, slot, tuple(retrained), what, split).mean(0)
  notes = [*record.notes,
           f'Mean distance to the original {apart[0]:.3f}, to the retrained '
           f'model{"s" if len(retrained) > 1 else ""} {apart[1]:.3f}.']
  few = inputs.too_few(split)
  if few:
    notes.append(f'{few[0].upper()}{few[1:]}.')
    return dataclasses.replace(
        record, verdict=stats.TOO_FEW, notes=tuple(notes))
  if len(retrained) < 2:
    return dataclasses.replace(record, notes=(*notes, ONE))
  side = _side(inputs, slot, retrained, what, split)
  alarms = [_side(inputs, model, [
      other for other in retrained if other is not model], what, split).name
            for model in retrained].count(nearer.ORIGINAL)
  notes.append(f'p = {side.p_value:.2g}, two-sided: original and retrained '
               'exchanged within people.')
  notes.append(
      f'{ALARMS}: of {len(retrained)} retrained models, each judged by the '
      f'others, {alarms} {text.are(alarms)} called '
      f'{nearer.ORIGINAL} at {nearer.LEVEL:g}.')
  return dataclasses.replace(
      record, verdict=side.name, p_value=side.p_value, notes=tuple(notes))
