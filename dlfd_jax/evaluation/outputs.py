"""The values of metrics of one model that read its logits.

Two kinds of value functions stand in the registry. ``f(inputs, model)`` is a
metric of one model. ``f(inputs, model, references)`` compares the model in the
slot with the retrained ones, see ``against``. Of a family of metrics
(one per attribute, group, block) the function takes the member's name as its
last argument.

Attacks compare forget (members) with test images (non-members), classes and
people as they are; the score is minus the loss. Multiclass margins rank exactly
like it, so that their AUC is the same number and is not repeated.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

from dlfd_jax.evaluation.estimate import (
  SHARE,
  Estimate,
  combine,
  mean,
)
from dlfd_jax.evaluation.inputs import UNSEEN, Inputs, Model, Part, once
from dlfd_jax.metrics import (
  accuracy,
  attack,
  cross_validation,
  distances,
  per_example,
  ranks,
  released_attack,
  stats,
)

SIDES = ('forget', UNSEEN)  # members and non-members of final attacks
VERDICT_SIDES = {'forgetting': SIDES, 'utility': ('retain', 'test')}
NEED_TWO = 'it needs at least two retrained models of different seeds'
NO_CLASS = 'forget and test share no class'
NO_PEOPLE = 'the people in the images are unknown'
NO_ORIGINAL = 'no original model was given'
FEW = 'it needs at least 2 images a side'
FEW_UNBALANCED = 'it needs at least 2 images a side and 11 in all'
LEAST_IN_GROUP = 10  # images
MOST_GROUPS = 12  # values of a column: more are people or families, not groups
_Function = TypeVar('_Function', bound=Callable[..., Any])


def on_splits(*splits: str) -> Callable[[_Function], _Function]:
  """The metric is missing for a model without logits on one of the splits."""
  def decorate(function: _Function) -> _Function:
    @functools.wraps(function)
    def call(inputs: Inputs, model: Model, *args: Any, **kwargs: Any) -> Any:
      for split in splits:
        if split not in model.logits:
          return Estimate.missing(inputs.no_logits(split))
      return function(inputs, model, *args, **kwargs)

    return call  # type: ignore[return-value]

  return decorate


def mean_over(part: Part, values: np.ndarray,
              bounds: tuple[float, float] | None = None) -> Estimate:
  """The mean of a value per image, resampled by person.

  Args:
    part: the images.
    values: ``[n]``, NaN where an image does not count.
    bounds: that a value cannot leave, see ``Estimate.resampled``.
  """
  there = ~np.isnan(values)
  if not there.any():
    return Estimate.missing('no image counts')
  both = part.resampled_sums(
      np.stack([np.where(there, values, 0.0), there], axis=-1))
  replicates = np.divide(
      both[:, 0], both[:, 1], out=np.full(len(both), np.nan),
      where=both[:, 1] > 0)
  return Estimate.resampled(
      float(values[there].mean()), replicates, part.units_in(there), bounds)


def resampled_counts(part: Part, counts: accuracy.Counts) -> Estimate:
  """An accuracy from hits and tries per image, resampled by person.

  Exact where every image stands for itself.
  """
  tries = counts.tries.sum(1)
  units = part.units_in(tries)
  interval = None
  if units == tries.sum() and counts.hits.shape[1] == 1:
    interval = stats.clopper_pearson(float(counts.hits.sum()), units)
  return Estimate.resampled(
      counts.value, accuracy.mean_of_ratios(
          part.resampled_sums(counts.hits), part.resampled_sums(counts.tries)),
      units, SHARE, interval)


# Accuracies.


@once
def accuracy_on(inputs: Inputs, model: Model, *, split: str,
                kind: Callable[..., accuracy.Counts] = accuracy.accuracy,
                ) -> Estimate:
  """Accuracy of a kind on a split."""
  if split not in model.logits:
    return Estimate.missing(inputs.no_logits(split))
  part = inputs.parts[split]
  counts = kind(inputs.task, model.logits[split], part.labels)
  if np.isnan(counts.value):
    return Estimate.missing('no label is known')
  return resampled_counts(part, counts)


def balanced_accuracy(inputs: Inputs, model: Model,
                      attribute: str) -> Estimate:
  """Balanced accuracy of an attribute on test."""
  kind = functools.partial(
      accuracy.balanced_accuracy,
      attribute=inputs.task.names.index(attribute))
  return accuracy_on(inputs, model, split='test', kind=kind)


@once
def groups(inputs: Inputs, *, split: str,
           ) -> tuple[dict[str, np.ndarray], list[str]]:
  """Classes and the values of the data's own columns, as groups of images.

  Returns:
    Which images each group holds, bool ``[n]`` by its name, and sentences on
    what was left out.
  """
  part, task = inputs.parts[split], inputs.task
  columns = {} if task.is_multilabel else {'class': part.labels}
  masks, notes = {}, []
  for name, values in (columns | dict(part.columns)).items():
    found, counts = np.unique(values[values >= 0], return_counts=True)
    if len(found) > MOST_GROUPS:
      notes.append(f'Accuracy by {name} on {split} is left out: it has '
                   f'{len(found)} values.')
      continue
    small = counts < LEAST_IN_GROUP
    if small.any():
      notes.append(
          f'Accuracy by {name} on {split} leaves out {small.sum()} values '
          f'with fewer than {LEAST_IN_GROUP} images.')
    for group in found[~small]:
      label = task.names[group] if values is columns.get('class') else group
      masks[f'{name} {label}'] = values == group
  return masks, notes


def group_names(inputs: Inputs, *, split: str) -> list[str]:
  return list(groups(inputs, split=split)[0])


def group_sample(inputs: Inputs, group: str, *,
                 split: str) -> tuple[int, str]:
  """(number, kind) of the people or images behind a group's accuracy."""
  part = inputs.parts[split]
  rows = groups(inputs, split=split)[0][group]
  return np.unique(part.units[rows]).size, part.unit


def group_accuracy(inputs: Inputs, model: Model, group: str, *,
                   split: str) -> Estimate:
  """Accuracy on one group of images of a split."""
  if split not in model.logits:
    return Estimate.missing(inputs.no_logits(split))
  part = inputs.parts[split]
  rows = groups(inputs, split=split)[0][group][:, None]
  counts = accuracy.accuracy(inputs.task, model.logits[split], part.labels)
  return resampled_counts(
      part, accuracy.Counts(counts.hits * rows, counts.tries * rows))


# Attacks without reference models.


@once
def _curves(inputs: Inputs, model: Model) -> dict[Any, Estimate]:
  """AUC, KS and TPRs of the losses: one sort, one set of curves for all."""
  scores = [-model.losses[split] for split in SIDES]
  m = len(inputs.parts[UNSEEN])
  rates = [rate for rate in (.01, .001) if m * rate >= 1]
  readers: dict[Any, Any] = {'auc': ranks.area, 'ks': ranks.largest_gap}
  readers |= {rate: functools.partial(ranks.largest_tpr, limit=rate)
              for rate in rates}

  def read(*weights: np.ndarray) -> np.ndarray:
    curve = ranks.roc(*scores, *weights)
    return np.stack([reader(*curve) for reader in readers.values()], axis=-1)

  values = dict(zip(readers, map(float, read())))
  drawn = dict(zip(readers, inputs.bootstrap(read, *SIDES).T))
  return {what: Estimate.resampled(
      values[what], drawn[what], inputs.fewest(*SIDES), SHARE)
          for what in readers}


@on_splits(*SIDES)
def auc(inputs: Inputs, model: Model) -> Estimate:
  """Signed AUC of minus the loss."""
  return _curves(inputs, model)['auc']


@on_splits(*SIDES)
def ks_of_losses(inputs: Inputs, model: Model) -> Estimate:
  """Kolmogorov-Smirnov distance of the losses."""
  return _curves(inputs, model)['ks'].without_interval


@on_splits(*SIDES)
def tpr_at(inputs: Inputs, model: Model, *, rate: float) -> Estimate:
  """True-positive rate at a false-positive rate."""
  m = len(inputs.parts[UNSEEN])
  return _curves(inputs, model).get(rate) or Estimate.missing(
      f'{m} unseen images are too few: it needs {round(1 / rate)}')


Pair = tuple[np.ndarray, np.ndarray]


class Matched(NamedTuple):
  """What a class-matched AUC compares; each a pair (forget, test).

  Attributes:
    scores: float ``[n]`` and ``[m]``.
    keys: classes, int ``[n]`` and ``[m]``.
    known: 1.0 for the images that count, else 0.0, ``[n]`` and ``[m]``.
  """

  scores: Pair
  keys: Pair
  known: Pair


def minus(quantity: Callable[..., np.ndarray], *args: Any,
          **kwargs: Any) -> np.ndarray:
  """Minus a quantity per example; 0 where it is NaN (and given no weight)."""
  return -np.nan_to_num(quantity(*args, **kwargs))


negative_loss = functools.partial(minus, per_example.loss)
negative_entropy = functools.partial(minus, per_example.entropy)
negative_modified_entropy = functools.partial(
    minus, per_example.modified_entropy)


def matched_sides(inputs: Inputs, model: Model,
                  score: Callable[..., np.ndarray],
                  attribute: str | None = None) -> Matched:
  """Scores, classes and what is known of forget and test images.

  Args:
    inputs: everything that was given.
    model: with logits on forget and test.
    score: of task, logits and labels, ``[n]``; higher = more member-like.
    attribute: whose own scores and labels count; None = all classes.
  """
  task = inputs.task
  scores: list[np.ndarray] = []
  keys: list[np.ndarray] = []
  known: list[np.ndarray] = []
  for split in SIDES:
    part = inputs.parts[split]
    if attribute is None:
      scores.append(score(task, model.logits[split], part.labels))
      keys.append(part.keys)
      known.append(np.ones(len(part)))
      continue
    column = task.names.index(attribute)
    of_attribute = score(
        task, model.logits[split], part.labels, per_attribute=True)[:, column]
    scores.append(np.where(part.labels[:, column] < 0, 0.0, of_attribute))
    keys.append(part.labels[:, column])
    known.append(1.0 - (part.labels[:, column] < 0))
  return Matched((scores[0], scores[1]), (keys[0], keys[1]),
                 (known[0], known[1]))


def by_attribute(inputs: Inputs, splits: Sequence[str] = SIDES) -> bool:
  """Whether classes are those of each attribute, not the whole label vectors.

  Vectors with gaps are classes that the other side may lack, and none may be
  on both sides: what is known can still be compared.
  """
  members, others = (inputs.parts[split] for split in splits)
  return inputs.task.is_multilabel and (
      any((part.labels < 0).any() for part in (members, others))
      or not np.intersect1d(members.keys, others.keys).size)


def attributes_in(inputs: Inputs,
                  value: Callable[..., Estimate] | None) -> list[str]:
  """The remark of a class-matched AUC that is a mean over attributes."""
  del value
  return ['The mean over attributes, each matched by its own known labels: '
          'forget and test share no complete label vectors, or some labels are '
          'unknown.'] if by_attribute(inputs) else []


@on_splits(*SIDES)
@once
def matched_auc(inputs: Inputs, model: Model, attribute: str | None = None, *,
                score: Callable[..., np.ndarray] = negative_loss) -> Estimate:
  """AUC at equal class counts, in the limit of infinitely many draws.

  Value and replicates are one function of the weights (``draws=None`` of
  ``attack.class_matched_auc``), and the matching is repeated in every resample.
  See :func:`by_attribute` for partly unknown label vectors.
  """
  if attribute is None and by_attribute(inputs):
    each = [matched_auc(inputs, model, name, score=score)
            for name in inputs.task.names]
    return mean([one for one in each if one.value is not None] or each)
  return auc_of_matched(
      inputs, matched_sides(inputs, model, score, attribute))


def auc_of_matched(inputs: Inputs, sides: Matched,
                   splits: Sequence[str] = SIDES) -> Estimate:
  """AUC of scores on two splits at equal class counts, see `matched_auc`."""
  def matched(weights: Any = 1.0, other_weights: Any = 1.0) -> Pair:
    return ranks.matching_weights(
        *sides.keys, weights * sides.known[0], other_weights * sides.known[1])

  def read(*weights: Any) -> np.ndarray:
    return ranks.area(*ranks.roc(*sides.scores, *matched(*weights)))

  value = float(read())
  if np.isnan(value):
    return Estimate.missing(
        f'{" and ".join(map(inputs.called, splits))} share no class')
  units = min(inputs.parts[split].units_in(counts)
              for split, counts in zip(splits, matched()))
  return Estimate.resampled(
      value, inputs.bootstrap(read, *splits), units, SHARE)


def auc_by_image(inputs: Inputs, scores: Sequence[np.ndarray],
                 splits: Sequence[str] = SIDES) -> Estimate:
  """AUC of scores on one split ``[n]`` over those on another ``[m]``."""
  def read(*weights: np.ndarray) -> np.ndarray:
    return ranks.area(*ranks.roc(scores[0], scores[1], *weights))

  return Estimate.resampled(
      float(read()), inputs.bootstrap(read, *splits), inputs.fewest(*splits),
      SHARE)


def by_person(inputs: Inputs, scores: Sequence[np.ndarray],
              splits: Sequence[str] = SIDES) -> Pair | None:
  """Mean score of each person of two splits, None if they are unknown."""
  parts = [inputs.parts[split] for split in splits]
  if any((part.identity < 0).all() for part in parts):
    return None
  forget, test = (attack.person_means(of_side, part.identity)
                  for of_side, part in zip(scores, parts, strict=True))
  return forget, test


def auc_by_person(inputs: Inputs, scores: Sequence[np.ndarray],
                  splits: Sequence[str] = SIDES) -> Estimate:
  """AUC over people, each with the mean score of their images."""
  people = by_person(inputs, scores, splits)
  if people is None:
    return Estimate.missing(NO_PEOPLE)
  value = attack.auc(*people)
  parts = [inputs.parts[split] for split in splits]
  if any(part.n_units != len(side) for part, side in zip(parts, people)):
    return Estimate(value)  # one person: its images are the units
  if not all(part.has_interval for part in parts):
    return Estimate(value)
  drawn = inputs.bootstrap(
      lambda *weights: ranks.area(*ranks.roc(*people, *weights)), *splits,
      by_unit=True)
  return Estimate.resampled(value, drawn, inputs.fewest(*splits), SHARE)


def person_scores(inputs: Inputs, model: Model) -> Pair | None:
  """Mean of minus the loss of each person, see :func:`by_person`."""
  return by_person(inputs, [-model.losses[split] for split in SIDES])


@on_splits(*SIDES)
@once
def person_auc(inputs: Inputs, model: Model) -> Estimate:
  """AUC over people, each with the mean of minus their losses."""
  return auc_by_person(inputs, [-model.losses[split] for split in SIDES])


def unbalanced_possible(inputs: Inputs) -> bool:
  """Whether there are enough images for the papers' form of the attack."""
  sizes = [len(inputs.parts[split]) for split in SIDES]
  return min(sizes) >= 2 and sum(sizes) >= 11


@on_splits(*SIDES)
@once
def attack_accuracy(inputs: Inputs, model: Model, *,
                    two_sided: bool = False) -> Estimate:
  """Cross-validated accuracy of an attack on as many members as others.

  No interval: what differs between cuts and folds is in no resample of the
  out-of-fold results. Those of differences have it in the models' spread.
  """
  sides = [-model.losses[split] for split in SIDES]
  if min(map(len, sides)) < 2:
    return Estimate.missing(FEW)
  return _held_out(inputs, attack.held_out(
      *sides, draws=inputs.config.draws or attack.enough_draws(
          *map(len, sides)), seed=inputs.config.seed,
      two_sided=two_sided)).without_interval


@on_splits(*SIDES)
@once
def unbalanced_accuracy(inputs: Inputs, model: Model) -> Estimate:
  """Accuracy of the papers' form of the attack."""
  if not unbalanced_possible(inputs):
    return Estimate.missing(FEW_UNBALANCED)
  return _held_out(inputs, released_attack.unbalanced_held_out(
      *(model.losses[split] for split in SIDES)))


def _held_out(inputs: Inputs, results: cross_validation.HeldOut) -> Estimate:
  forget, test = (inputs.parts[split] for split in SIDES)
  if not (forget.has_interval and test.has_interval):
    return Estimate(results.accuracy)
  members = forget.resampled_sums(
      np.stack([results.members, results.members_tried], axis=-1))
  others = test.resampled_sums(
      np.stack([results.non_members, results.non_members_tried], axis=-1))
  both = np.stack([members, others], axis=-1)
  if not results.balanced:
    both = both.sum(axis=-1, keepdims=True)
  return Estimate.resampled(
      results.accuracy, accuracy.mean_of_ratios(both[:, 0], both[:, 1]),
      inputs.fewest(*SIDES), SHARE)


def forgetting_score(inputs: Inputs, model: Model, *,
                     of: Callable[..., Estimate]) -> Estimate:
  """Twice the distance of an attack's accuracy to one half."""
  return combine(
      lambda a: 2 * np.abs(a - .5), of(inputs, model)).without_interval


def nomus(inputs: Inputs, model: Model, *,
          of: Callable[..., Estimate]) -> Estimate:
  """Half test accuracy, half one minus the forgetting score."""
  score = forgetting_score(inputs, model, of=of)
  if score.value is None:
    return score
  return combine(lambda a, fs: .5 * (a + 1 - fs),
                 accuracy_on(inputs, model, split='test'),
                 score).without_interval


@on_splits(*SIDES)
def rf_jsd(inputs: Inputs, model: Model) -> Estimate:
  """Retrain-free JS divergence to the original's predictions on test."""
  original = inputs.original
  if original is None or UNSEEN not in original.logits:
    return Estimate.missing('it needs the original model on test')
  forget, test = (inputs.parts[split] for split in SIDES)
  mine = per_example.probabilities(inputs.task, model.logits['forget'])
  unseen = per_example.probabilities(inputs.task, original.logits[UNSEEN])

  def read(forget_weights: np.ndarray | None = None,
           test_weights: np.ndarray | None = None) -> np.ndarray:
    return distances.rf_jsd(
        distances.mean_predictions(
            inputs.task, mine, forget.labels, forget_weights),
        distances.mean_predictions(
            inputs.task, unseen, test.labels, test_weights))

  value = float(read())
  if np.isnan(value):
    return Estimate.missing(NO_CLASS)
  return Estimate.resampled(
      value, inputs.bootstrap(read, *SIDES),
      inputs.fewest(*SIDES)).without_interval


# Beside random networks.


def zrf(inputs: Inputs, model: Model) -> Estimate:
  """Likeness to random networks on forget."""
  if not inputs.random_logits:
    return Estimate.missing('no random network was run')
  if 'forget' not in model.logits:
    return Estimate.missing(inputs.no_logits('forget'))
  task = inputs.task
  mine = per_example.probabilities(task, model.logits['forget'])
  values = [
      distances.zrf(task, mine, per_example.probabilities(task, random))
      for random in inputs.random_logits]
  return mean_over(inputs.parts['forget'], np.mean(values, axis=0), SHARE)
