"""Tier 0's membership figures: forget images against unseen test images.

Members are the forget set, non-members the test set; the score is minus the
loss. Multiclass margins rank exactly like it, so that their AUC is the same
number and is not repeated.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from dlfd_jax import tasks
from dlfd_jax.evaluation import (
  comparison,
  held_out_figures,
  inputs as inputs_lib,
)
from dlfd_jax.metrics import attack, distances, per_example, ranks, stats

RATES = (.01, .001)
MAIN = 'mia_auc_matched'
SIDES = inputs_lib.MIA_SIDES
NO_CLASS = 'forget and test share no class'
NO_PEOPLE = 'the people in the images are unknown'
_AUC = ('higher means more leakage; above retrained: under-forgetting, below: '
        'over-forgetting')
_NOMUS = ("higher means better by the papers' rule, not nearer to retraining")
_SCORE = ('lower means an attack nearer to a guess, in either direction; the '
          'aim is the value of retrained, not 0')
_UNBALANCED = ('The form of the papers: classes of unequal size, so that a '
               'blind attack is not at 0.')
_HELD_OUT = ('The interval resamples out-of-fold results and leaves out the '
             'spread of the folds.')
_SWAPPED = ('The null swaps images, not people: where people have several '
            'images its range is too narrow.')
_DISTANCE = ('Resampling pulls a distance upwards: the interval is moved back '
             'to the value.')


def metrics(task: tasks.Task,
            config: inputs_lib.EvaluationConfig) -> list[comparison.Metric]:
  """The membership figures of a task, in the order of the tables."""
  margin = config.auc_margin

  def auc(name, **more):
    return comparison.Metric(
        name, 'forget', _AUC, chance=.5, bounds=comparison.SHARE, **more)

  def plain(name, direction, *notes, units='fraction'):
    return comparison.Metric(
        name, 'forget', direction, units=units, bounds=comparison.SHARE,
        notes=notes)

  names = ['entropy', 'modified_entropy']
  if task.is_multilabel:
    names = ['margin', *names]
  parts = task.names if task.is_multilabel else ()
  return [
      auc(MAIN, margin=margin, notes=(_SWAPPED,)),
      auc('mia_auc', margin=margin, notes=(_SWAPPED,)),
      auc('mia_auc_person', margin=margin),
      *(auc(f'{MAIN}_{name}') for name in names),
      *(auc(f'{MAIN}/{name}') for name in parts),
      plain('mia_accuracy', _AUC, _HELD_OUT),
      plain('mia_accuracy_two_sided', _AUC, _HELD_OUT),
      *(plain(f'mia_tpr_at_fpr_{rate}', _AUC) for rate in RATES),
      plain('forgetting_score', _SCORE, _HELD_OUT),
      plain('nomus', _NOMUS),
      plain('forgetting_score_unbalanced', _SCORE, _UNBALANCED),
      plain('nomus_unbalanced', _NOMUS, _UNBALANCED),
      plain('ks_loss', 'higher means more different, blind to the direction',
            _DISTANCE),
      plain('rf_jsd', 'higher means forget predictions look less like unseen '
            'data', _DISTANCE, units='nats'),
  ]


def estimates(
    inputs: inputs_lib.Inputs, model: inputs_lib.Model,
    accuracy_test: comparison.Estimate) -> dict[str, comparison.Estimate]:
  """Each membership figure of one model, by metric name.

  Args:
    inputs: everything that was given.
    model: the model to score.
    accuracy_test: its test accuracy, for NoMUS.
  """
  names = [metric.name for metric in metrics(inputs.task, inputs.config)]
  for split in SIDES:
    if split not in model.losses:
      missing = comparison.Estimate.missing(f'no logits on {split}')
      return dict.fromkeys(names, missing)
  found = {
      **_rank_figures(inputs, model),
      **{name: matched_figure(inputs, sides)
         for name, sides in matched_scores(inputs, model).items()},
      **held_out_figures.estimates(inputs, model, accuracy_test),
      'mia_auc_person': _person_figure(inputs, model),
      'rf_jsd': _rf_jsd(inputs, model)}
  return {name: found[name] for name in names}


def _rank_figures(inputs, model):
  """Plain AUC, KS and TPRs: one sort, one set of curves for all."""
  scores = [-model.losses[split] for split in SIDES]
  n, m = (len(inputs.parts[split]) for split in SIDES)
  readers: dict[str, Any] = {
      'mia_auc': ranks.area, 'ks_loss': ranks.largest_gap}
  found = {}
  for rate in RATES:
    name = f'mia_tpr_at_fpr_{rate}'
    if m * rate >= 1:
      readers[name] = functools.partial(ranks.largest_tpr, limit=rate)
    else:
      found[name] = comparison.Estimate.missing(
          f'{m} unseen images are too few: it needs {round(1 / rate)}')

  def read(*weights):
    curve = ranks.roc(*scores, *weights)
    return np.stack([reader(*curve) for reader in readers.values()], axis=-1)

  values, replicates = read(), inputs.bootstrap(read, *SIDES)
  for column, name in enumerate(readers):
    value = float(values[column])
    interval = None
    if name.startswith('mia_tpr'):
      interval = stats.clopper_pearson(round(value * n), n)
    drawn = replicates[:, column]
    if name == 'ks_loss':
      drawn = comparison.centred(value, drawn)
    found[name] = comparison.Estimate(value, drawn, interval)
  return found


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


def matched_scores(inputs: inputs_lib.Inputs,
                   model: inputs_lib.Model) -> dict[str, Matched]:
  """Minus the loss, the other scores, and each attribute's own loss."""
  task = inputs.task
  forget, test = (inputs.parts[split] for split in SIDES)

  def both(function, **options) -> Pair:
    first, second = (
        function(task, model.logits[split], inputs.parts[split].labels,
                 **options) for split in SIDES)
    return first, second

  scores = {
      '': per_example.loss, '_entropy': per_example.entropy,
      '_modified_entropy': per_example.modified_entropy}
  keys = forget.keys, test.keys
  everything = np.ones(len(forget)), np.ones(len(test))
  found = {
      f'{MAIN}{name}': Matched(_negative(both(function)), keys, everything)
      for name, function in scores.items()}
  if task.is_multilabel:
    found[f'{MAIN}_margin'] = Matched(
        both(per_example.margin), keys, everything)
    losses = both(per_example.loss, per_attribute=True)
    for column, name in enumerate(task.names):
      own = losses[0][:, column], losses[1][:, column]
      found[f'{MAIN}/{name}'] = Matched(
          _negative(own),
          (forget.labels[:, column], test.labels[:, column]),
          (1.0 - np.isnan(own[0]), 1.0 - np.isnan(own[1])))
  return found


def _negative(pair: Pair) -> Pair:
  """Minus both; 0 where a value is NaN (unknown, and given no weight)."""
  return -np.nan_to_num(pair[0]), -np.nan_to_num(pair[1])


def matched_figure(inputs: inputs_lib.Inputs,
                   sides: Matched) -> comparison.Estimate:
  """AUC in the limit of infinitely many matching draws.

  Value and replicates are one functional of the weights (``draws=None`` of
  ``attack.class_matched_auc``), and the matching is repeated in every resample.
  """

  def read(weights, other_weights):
    matched = ranks.matching_weights(
        *sides.keys, weights * sides.known[0], other_weights * sides.known[1])
    return ranks.area(*ranks.roc(*sides.scores, *matched))

  value = float(read(1.0, 1.0))
  if np.isnan(value):
    return comparison.Estimate.missing(NO_CLASS)
  return comparison.Estimate(value, inputs.bootstrap(read, *SIDES))


def _person_figure(inputs, model):
  parts = [inputs.parts[split] for split in SIDES]
  if any((part.identity < 0).all() for part in parts):
    return comparison.Estimate.missing(NO_PEOPLE)
  people = [
      attack.person_means(-model.losses[split], part.identity)
      for split, part in zip(SIDES, parts)]
  value = attack.auc(*people)
  if any(part.n_units != len(side) for part, side in zip(parts, people)):
    return comparison.Estimate(value)  # one person: its images are the units
  weights = [part.multiplicities.astype(np.float64) for part in parts]
  return comparison.Estimate(
      value, ranks.area(*ranks.roc(*people, *weights)))


def _rf_jsd(inputs, model):
  original = inputs.original
  if original is None or 'test' not in original.logits:
    return comparison.Estimate.missing(
        'it needs the original model on test')
  forget, test = (inputs.parts[split] for split in SIDES)
  mine = per_example.probabilities(inputs.task, model.logits['forget'])
  unseen = per_example.probabilities(inputs.task, original.logits['test'])

  def read(forget_weights=None, test_weights=None):
    return distances.rf_jsd(
        distances.mean_predictions(
            inputs.task, mine, forget.labels, forget_weights),
        distances.mean_predictions(
            inputs.task, unseen, test.labels, test_weights))

  value = float(read())
  if np.isnan(value):
    return comparison.Estimate.missing(NO_CLASS)
  return comparison.Estimate(
      value, comparison.centred(value, inputs.bootstrap(read, *SIDES)))
