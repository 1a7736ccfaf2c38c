"""What each metric shows when there is nothing to find.

Permutation nulls swap people of forget and test in one model's scores, with all
their images: those of one person are alike, and swapped one by one they would
give a range that is too narrow. An image whose person is unknown stands for
itself. They show the value that the same sample, with the same classes as far
as whole people keep them, gives under perfect forgetting. The scores are the
unlearned model's, or of the first model that was run on forget and test.

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
_MIXED = -1  # the class of people with images of several, none of most
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
  """The same where people are swapped within classes; or why they are not.

  Where the sides share no class nobody changes places, and every permutation
  would give the observed value.
  """
  members, others = (inputs.parts[split] for split in SIDES)
  if not outputs.by_attribute(inputs) and not np.intersect1d(
      members.keys, others.keys).size:
    return outputs.NO_CLASS
  return _scored(inputs) or NOT_RUN


def _mean_and_range(values: np.ndarray) -> Estimate:
  """Mean and 95 % range of a statistic under permuted membership; no NaN."""
  values = values[np.isfinite(values)]
  if not values.size:
    return Estimate.missing(outputs.NO_CLASS)
  return Estimate(float(values.mean()), *stats.percentile_interval(values))


def _units(inputs: Inputs) -> np.ndarray:
  """The person of each image of forget, then of test, int ``[n + m]``.

  Also one person alone is one: what is swapped is not what is resampled.
  """
  members, others = (
      stats.units_of(inputs.parts[split].identity) for split in SIDES)
  return np.concatenate([members, others + members.max(initial=-1) + 1])


@once
def _memberships(inputs: Inputs) -> np.ndarray:
  """Membership of people swapped in classes, bool ``[permutations, n + m]``.

  Each side keeps its number of people of a class, not that of images.
  """
  parts = [inputs.parts[split] for split in SIDES]
  keys = np.concatenate([part.keys for part in parts])
  if outputs.by_attribute(inputs):  # vectors with gaps: nothing would swap
    keys = np.zeros_like(keys)
  units, member = _units(inputs), np.arange(len(keys)) < len(parts[0])
  n_members = int(units[member].max(initial=-1)) + 1
  return _permuted(
      inputs, classes_of_people(units, keys, member), n_members, 'null images'
      )[:, units]


def classes_of_people(units: np.ndarray, keys: np.ndarray,
                      member: np.ndarray) -> np.ndarray:
  """Whom each person may change places with: people of the same number.

  The class that more than half of a person's images have. People without one,
  and those whose class nobody else on the other side mostly has although it
  occurs there, change places with each other. Where nobody could, all do.

  Args:
    units: person of each image, int ``[n]`` in ``[0, people)``, on one side.
    keys: class of each, int ``[n]``.
    member: whether it is of forget, bool ``[n]``.

  Returns:
    int ``[people]``: places of classes among the sorted ones, or -1.

  Example:
    >>> print(classes_of_people(
    ...     np.array([0, 0, 0, 1, 2, 2, 3]), np.array([5, 5, 9, 9, 5, 9, 5]),
    ...     np.arange(7) < 4))
    [ 0 -1 -1  0]
  """
  classes, key = np.unique(keys, return_inverse=True)
  pairs, counts = np.unique(units * len(classes) + key, return_counts=True)
  person, of = np.divmod(pairs, len(classes))
  most = 2 * counts > np.bincount(units)[person]
  found = np.full(int(units.max()) + 1, _MIXED)
  found[person[most]] = of[most]
  forget = np.zeros(found.size, bool)
  forget[units[member]] = True
  both = np.intersect1d(found[forget], found[~forget])
  there = np.intersect1d(key[member], key[~member])
  found[~np.isin(found, both) & np.isin(found, there)] = _MIXED
  if not np.intersect1d(found[forget], found[~forget]).size:
    found[:] = _MIXED
  return found


def _permuted(inputs: Inputs, keys: np.ndarray, n_members: int,
              use: str) -> np.ndarray:
  """Membership of people swapped within keys, bool ``[permutations, n]``."""
  member = np.arange(len(keys)) < n_members
  rng = inputs_lib.generator(inputs.config, use)
  return member[stats.permute_within(keys, inputs.config.permutations, rng)]


def permuted_ks(inputs: Inputs) -> Estimate:
  """People swapped within classes; of images alone the mean by formula."""
  model = _within_classes(inputs)
  if isinstance(model, str):
    return Estimate.missing(model)
  pool = -np.concatenate([model.losses[split] for split in SIDES])
  member = _memberships(inputs)
  band = _mean_and_range(ranks.largest_gap(
      *ranks.roc(pool, pool, member, 1.0 - member)))
  mean = distances.ks_null(*(len(inputs.parts[split]) for split in SIDES))
  several = np.bincount(_units(inputs)).max() > 1
  if several or band.low is None or band.high is None or not (
      band.low <= mean <= band.high):
    # The formula is one of independent losses that differ, without many ties.
    return band
  return dataclasses.replace(band, value=mean)


def _pooled_auc(pool: np.ndarray, member: np.ndarray,
                keys: np.ndarray | None = None) -> np.ndarray:
  """AUCs of one pool of scores under many memberships ``[rows, n + m]``."""
  weights = member, 1.0 - member
  if keys is not None:
    weights = ranks.matching_weights(keys, keys, *weights)
  return ranks.area(*ranks.roc(pool, pool, *weights))


def permuted_auc(inputs: Inputs) -> Estimate:
  """People swapped between forget and test within classes."""
  model = _within_classes(inputs)
  if isinstance(model, str):
    return Estimate.missing(model)
  pool = -np.concatenate([model.losses[split] for split in SIDES])
  return _mean_and_range(_pooled_auc(pool, _memberships(inputs)))


@once
def permuted_matched_auc(inputs: Inputs, attribute: str | None = None, *,
                         score: Callable[..., Any] = outputs.negative_loss,
                         ) -> Estimate:
  """People swapped between forget and test within classes."""
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
  """People swapped between forget and test."""
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
  """Accuracies of the attack, fitted anew under every permutation.

  NaN where swapped people leave a side fewer than two images.
  """
  model = _within_classes(inputs)
  if isinstance(model, str):
    return model
  losses = np.concatenate([model.losses[split] for split in SIDES])
  sizes = [len(inputs.parts[split]) for split in SIDES]
  if form == 'unbalanced' and not outputs.unbalanced_possible(inputs):
    return outputs.FEW_UNBALANCED
  if min(sizes) < 2:
    return outputs.FEW
  member = _memberships(inputs)
  counts = member.sum(1)
  possible = np.minimum(counts, losses.size - counts) >= 2
  if 2 * possible.sum() < possible.size:
    return ('of most people that change places forget or test would have fewer '
            'than 2 images')
  found = np.full(len(member), np.nan)
  if form == 'unbalanced':
    found[possible] = released_attack.permuted_unbalanced_accuracies(
        losses, member[possible], sizes[0])
    return found
  for draw in np.flatnonzero(possible).tolist():
    row = member[draw]
    found[draw] = attack.held_out(
        -losses[row], -losses[~row], seed=draw,
        draws=min(inputs.config.draws or _DRAWS, _DRAWS),
        two_sided=form == 'two-sided').accuracy
  return found


def permuted_accuracy(inputs: Inputs, *, form: str = 'balanced') -> Estimate:
  """People swapped within classes, the attack fitted anew."""
  values = _permuted_accuracies(inputs, form)
  if isinstance(values, str):
    return Estimate.missing(values)
  return _mean_and_range(values)


def permuted_score(inputs: Inputs, *, form: str = 'balanced') -> Estimate:
  """People swapped within classes, the attack fitted anew."""
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
