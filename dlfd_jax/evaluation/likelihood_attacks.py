"""Attacks of tier 2: likelihoods and margins beside four retrained models.

Retrained models saw neither forget nor test images, so that they are OUT
references for both. One that is itself judged is left out of its own. RMIA
weighs an image's likelihood against those of val, which is neither a member nor
ever a non-member of the final attack; LiRA gives every image a variance of its
own, shrunk towards that of all.

For those who stay retrained models are no such references: they all saw them.
It takes half-references, each trained on a random half of those who stay.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from dlfd_jax.evaluation import outputs, releases
from dlfd_jax.evaluation.estimate import Estimate
from dlfd_jax.evaluation.inputs import Inputs, Model, generator, once
from dlfd_jax.evaluation.outputs import SIDES
from dlfd_jax.evaluation.reference_attack import margins
from dlfd_jax.evaluation.references import HALVES
from dlfd_jax.metrics import accuracy, lira, per_example, rmia

LEAST = 4
NEED_FOUR = f'it needs at least {LEAST} retrained models'
POPULATION = 'val'
Scores = Callable[[Inputs, Model, tuple[Model, ...]], Sequence[np.ndarray]]


def _missing(inputs: Inputs, models: Sequence[Model],
             splits: Sequence[str]) -> Estimate | None:
  if len(inputs.retrained) < LEAST:
    return Estimate.missing(NEED_FOUR)
  for split in splits:
    if any(split not in model.logits for model in models):
      return Estimate.missing(inputs.no_logits(split))
  return None


@once
def _likelihood(inputs: Inputs, model: Model, split: str) -> np.ndarray:
  return per_example.likelihood(
      inputs.task, model.logits[split], inputs.parts[split].labels)


@once
def rmia_scores(inputs: Inputs, slot: Model,
                references: tuple[Model, ...]) -> list[np.ndarray]:
  """Shares of val that forget ``[n]`` and test images ``[m]`` reach."""
  forget, test, population = (
      rmia.ratio(_likelihood(inputs, slot, split), np.stack(
          [_likelihood(inputs, model, split) for model in references]))
      for split in (*SIDES, POPULATION))
  return [rmia.score(side, population) for side in (forget, test)]


@once
def _fitted(inputs: Inputs, references: tuple[Model, ...]) -> lira.Normals:
  """Of forget and test images in a row: one spread of their variances."""
  return lira.fit(np.stack([
      np.concatenate([margins(inputs, model, split) for split in SIDES])
      for model in references]))


def _both(inputs: Inputs, slot: Model) -> np.ndarray:
  return np.concatenate([margins(inputs, slot, split) for split in SIDES])


def _cut(inputs: Inputs, values: np.ndarray) -> list[np.ndarray]:
  return np.split(values, [len(inputs.parts[SIDES[0]])])


def lira_scores(inputs: Inputs, slot: Model,
                references: tuple[Model, ...]) -> list[np.ndarray]:
  """Deviations from the references' margins, in standard deviations."""
  return _cut(inputs, lira.distance(
      _both(inputs, slot), _fitted(inputs, references)))


def lira_two_sided(inputs: Inputs, slot: Model,
                   references: tuple[Model, ...]) -> list[np.ndarray]:
  """Deviations to either side."""
  return [np.abs(side) for side in lira_scores(inputs, slot, references)]


def auc(inputs: Inputs, slot: Model, references: Sequence[Model], *,
        scores: Scores, by_person: bool = False) -> Estimate:
  """AUC of an attack's scores, forget against test.

  Args:
    inputs: everything that was given.
    slot: the model to judge.
    references: the models it is compared with.
    scores: of the attack.
    by_person: of people, each with the mean over their images.
  """
  splits = (*SIDES, POPULATION) if scores is rmia_scores else SIDES
  missing = _missing(inputs, (slot, *references), splits)
  if missing is not None:
    return missing
  read = outputs.auc_by_person if by_person else outputs.auc_by_image
  return read(inputs, scores(inputs, slot, tuple(references)))


def lira_rate(inputs: Inputs, slot: Model, references: Sequence[Model], *,
              rate: float, split: str) -> Estimate:
  """Share of a split that LiRA calls members at a calibrated rate.

  The rate is one of each image: its chance to be called a member by a model
  that never saw it, from Student's t distribution.
  """
  missing = _missing(inputs, (slot, *references), SIDES)
  if missing is not None:
    return missing
  p = lira.p_values(_both(inputs, slot), _fitted(inputs, tuple(references)))
  called = _cut(inputs, p <= rate)[SIDES.index(split)].astype(np.float64)
  hits = called[:, None]
  return outputs.resampled_counts(
      inputs.parts[split], accuracy.Counts(hits, np.ones_like(hits)))


@once
def _expected(inputs: Inputs) -> list[np.ndarray]:
  """Mean likelihood under models that never saw an image, by split.

  Nobody of test and val was ever seen: of each person a random half of the
  models counts, as of those who stay.
  """
  halves = inputs.halves
  assert halves is not None
  rng = generator(inputs.config, 'half-references')
  found = []
  for split in HALVES:
    outside, part = halves.outside, inputs.parts[split]
    if split != 'retain':
      models = len(outside)
      drawn = rng.permuted(np.tile(
          np.arange(models)[:, None] < models // 2, part.n_units), axis=0)
      outside = drawn[:, part.units]
    values = halves.likelihoods[split]
    found.append(np.where(outside, values, 0.0).sum(0) / outside.sum(0))
  return found


@once
def _stay_scores(inputs: Inputs, model: Model) -> list[np.ndarray]:
  retain, test, population = (
      rmia.ratio(_likelihood(inputs, model, split), expected[None])
      for split, expected in zip(HALVES, _expected(inputs), strict=True))
  return [rmia.score(side, population) for side in (retain, test)]


def rmia_retain(inputs: Inputs, model: Model, *,
                by_person: bool = False) -> Estimate:
  """RMIA AUC of retained against unseen images, or people."""
  if inputs.halves is None:
    return Estimate.missing('no half-references were given')
  if not set(HALVES) <= set(model.logits):
    return Estimate.missing(f'it needs logits on {", ".join(HALVES)}')
  sides = _stay_scores(inputs, model)
  auc = outputs.auc_by_person if by_person else outputs.auc_by_image
  return auc(inputs, sides, releases.STAY)
