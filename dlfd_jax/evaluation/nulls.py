"""What each metric shows when there is nothing to find.

Permutation nulls swap the member labels of forget and test images of one class
(people, for the metric by person) in one model's scores. They show the value
that the same sample, with the same classes, gives under perfect forgetting. The
scores are the unlearned model's, or of the first model that was run on forget
and test.

A metric without a function here has the null of tier 1: each retrained model in
the place of the unlearned one, against the others.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dlfd_jax.evaluation import inputs as inputs_lib, outputs
from dlfd_jax.evaluation.estimate import Estimate
from dlfd_jax.evaluation.inputs import Inputs, Model, once
from dlfd_jax.evaluation.outputs import SIDES
from dlfd_jax.metrics import (
  accuracy,
  attack,
  distances,
  forgetting,
  per_example,
  ranks,
  released_attack,
  stats,
)

_DRAWS = 5  # of each permutation: their spread is little beside the null's
NOT_RUN = 'no model was run on both forget and test'


def left_out(values: Sequence[Estimate]) -> Estimate:
  """Mean and smallest to largest over the retrained models in the slot."""
  for estimate in values:
    if estimate.value is None:
      return Estimate.missing(str(estimate.reason))
  if len(values) < 2:
    return Estimate.missing(outputs.NEED_TWO)
  numbers = np.array([estimate.value for estimate in values])
  mean = float(numbers.mean())
  if abs(mean) <= 1e-12:  # the mean of gaps is 0 but for rounding
    mean = 0.0
  if np.ptp(numbers) <= 1e-12 * max(1.0, np.abs(numbers).max()):
    return Estimate(mean)
  return Estimate(mean, float(numbers.min()), float(numbers.max()))


def constant_guess(inputs: Inputs, *, split: str, top: int = 1) -> Estimate:
  """The best constant guess: what labels alone give."""
  return Estimate(accuracy.constant_accuracy(
      inputs.task, inputs.parts[split].labels, top=top))


def constant_exact_match(inputs: Inputs) -> Estimate:
  """The best constant guess of all attributes."""
  return Estimate(accuracy.constant_exact_match(
      inputs.task, inputs.parts['test'].labels))


def one_half(inputs: Inputs, attribute: str) -> Estimate:
  """One half: a constant guess, balanced."""
  del inputs, attribute
  return Estimate(.5)


def same_rate(inputs: Inputs, *, rate: float) -> Estimate:
  """The false-positive rate itself."""
  del inputs
  return Estimate(rate)


def no_copies(inputs: Inputs) -> Estimate:
  """No copy at all."""
  del inputs
  return Estimate(0)


def _scored(inputs: Inputs) -> Model | None:
  """The model whose scores are permuted."""
  for model in (inputs.unlearned, inputs.original, *inputs.retrained):
    if model is not None and set(SIDES) <= set(model.losses):
      return model
  return None


def _within_classes(inputs: Inputs) -> Model | str:
  """The same where membership is permuted within classes; or why it is not.

  Where the sides share no class nothing changes places, and every permutation
  would give the observed value.
  """
  members, others = (inputs.parts[split] for split in SIDES)
  if not outputs.by_attribute(inputs) and not np.intersect1d(
      members.keys, others.keys).size:
    return outputs.NO_CLASS
  return _scored(inputs) or NOT_RUN


def _mean_and_range(values: np.ndarray) -> Estimate:
  """Mean and 95 % range of a statistic under permuted membership."""
  values = values[np.isfinite(values)]
  if not values.size:
    return Estimate.missing(outputs.NO_CLASS)
  return Estimate(float(values.mean()), *stats.percentile_interval(values))


@once
def _memberships(inputs: Inputs) -> np.ndarray:
  """Permuted membership within classes, bool ``[permutations, n + m]``."""
  parts = [inputs.parts[split] for split in SIDES]
  keys = np.concatenate([part.keys for part in parts])
  if outputs.by_attribute(inputs):  # vectors with gaps: nothing would swap
    keys = np.zeros_like(keys)
  return _permuted(inputs, keys, len(parts[0]), 'null images')


def _permuted(inputs: Inputs, keys: np.ndarray, n_members: int,
              use: str) -> np.ndarray:
  member = np.arange(len(keys)) < n_members
  rng = inputs_lib.generator(inputs.config, use)
  return member[stats.permute_within(keys, inputs.config.permutations, rng)]


def permuted_ks(inputs: Inputs) -> Estimate:
  """The mean for two samples of one law, range of permuted membership."""
  model = _within_classes(inputs)
  if isinstance(model, str):
    return Estimate.missing(model)
  pool = -np.concatenate([model.losses[split] for split in SIDES])
  member = _memberships(inputs)
  band = _mean_and_range(ranks.largest_gap(
      *ranks.roc(pool, pool, member, 1.0 - member)))
  mean = distances.ks_null(*(len(inputs.parts[split]) for split in SIDES))
  if band.low is None or band.high is None or not (
      band.low <= mean <= band.high):
    return band  # many ties: the formula is one of losses that differ
  return dataclasses.replace(band, value=mean)


def _pooled_auc(pool: np.ndarray, member: np.ndarray,
                keys: np.ndarray | None = None) -> np.ndarray:
  """AUCs of one pool of scores under many memberships ``[rows, n + m]``."""
  weights = member, 1.0 - member
  if keys is not None:
    weights = ranks.matching_weights(keys, keys, *weights)
  return ranks.area(*ranks.roc(pool, pool, *weights))


def permuted_auc(inputs: Inputs) -> Estimate:
  """Membership permuted within classes."""
  model = _within_classes(inputs)
  if isinstance(model, str):
    return Estimate.missing(model)
  pool = -np.concatenate([model.losses[split] for split in SIDES])
  return _mean_and_range(_pooled_auc(pool, _memberships(inputs)))


@once
def permuted_matched_auc(inputs: Inputs, attribute: str | None = None, *,
                         score: Callable[..., Any] = outputs.negative_loss,
                         ) -> Estimate:
  """Membership permuted within classes."""
  model = _scored(inputs)
  if model is None:
    return Estimate.missing(NOT_RUN)
  names = (inputs.task.names
           if attribute is None and outputs.by_attribute(inputs) else
           (attribute,))
  found = []
  for name in names:
    sides = outputs.matched_sides(inputs, model, score, name)
    known = np.concatenate(sides.known) > 0
    if outputs.matched_auc(
        inputs, model, name, score=score).value is not None:
      found.append(_pooled_auc(
          np.concatenate(sides.scores)[known], _memberships(inputs)[:, known],
          np.concatenate(sides.keys)[known]))
  if not found:
    return Estimate.missing(outputs.NO_CLASS)
  return _mean_and_range(np.mean(found, axis=0))


def permuted_person_auc(inputs: Inputs) -> Estimate:
  """People permuted between forget and test."""
  model = _scored(inputs)
  if model is None:
    return Estimate.missing(NOT_RUN)
  people = outputs.person_scores(inputs, model)
  if people is None:
    return Estimate.missing(outputs.NO_PEOPLE)
  swapped = _permuted(inputs, np.zeros(sum(map(len, people))), len(people[0]),
                      'null people')
  return _mean_and_range(_pooled_auc(np.concatenate(people), swapped))


@once
def _permuted_accuracies(inputs: Inputs,
                         form: str) -> np.ndarray | str:
  """Accuracies of the attack, fitted anew under every permutation."""
  model = _within_classes(inputs)
  if isinstance(model, str):
    return model
  losses = np.concatenate([model.losses[split] for split in SIDES])
  member = _memberships(inputs)
  if form == 'unbalanced':
    if not outputs.unbalanced_possible(inputs):
      return outputs.FEW_UNBALANCED
    return released_attack.permuted_unbalanced_accuracies(losses, member)
  if min(member[0].sum(), (~member[0]).sum()) < 2:
    return outputs.FEW
  return np.array([
      attack.held_out(
          -losses[row], -losses[~row], seed=draw,
          draws=min(inputs.config.draws or _DRAWS, _DRAWS),
          two_sided=form == 'two-sided').accuracy
      for draw, row in enumerate(member)])


def permuted_accuracy(inputs: Inputs, *, form: str = 'balanced') -> Estimate:
  """Membership permuted within classes, the attack fitted anew."""
  values = _permuted_accuracies(inputs, form)
  if isinstance(values, str):
    return Estimate.missing(values)
  return _mean_and_range(values)


def permuted_score(inputs: Inputs, *, form: str = 'balanced') -> Estimate:
  """Membership permuted within classes, the attack fitted anew."""
  values = _permuted_accuracies(inputs, form)
  if isinstance(values, str):
    return Estimate.missing(values)
  return _mean_and_range(2 * np.abs(values - .5))


def constant_nomus(inputs: Inputs, *, unbalanced: bool = False) -> Estimate:
  """A classifier that always says the most common class."""
  share = accuracy.constant_accuracy(inputs.task, inputs.parts['test'].labels)
  if not unbalanced:
    return Estimate(forgetting.nomus(share, 0.0))
  if not outputs.unbalanced_possible(inputs):
    return Estimate.missing(outputs.FEW_UNBALANCED)
  floor = released_attack.unbalanced_constant_accuracy(
      *(len(inputs.parts[split]) for split in SIDES))
  return Estimate(forgetting.nomus(share, forgetting.forgetting_score(floor)))


def rf_jsd_of_unseen(inputs: Inputs) -> Estimate:
  """The original on val images drawn with the classes of forget."""
  original = inputs.original
  if original is None or not {'val', 'test'} <= set(original.logits):
    return Estimate.missing('it needs the original model on val and test')
  if inputs.by_class:
    return Estimate.missing('val is that of the other classes')
  task, parts = inputs.task, inputs.parts
  drawn = distances.draws_like(
      parts['val'].keys, parts['forget'].keys, inputs.config.permutations,
      inputs_lib.generator(inputs.config, 'null split'))
  means = [
      distances.mean_predictions(
          task, per_example.probabilities(task, original.logits[split]),
          parts[split].labels, weights)
      for split, weights in (('val', drawn), ('test', None))]
  return _mean_and_range(distances.rf_jsd(*means))
