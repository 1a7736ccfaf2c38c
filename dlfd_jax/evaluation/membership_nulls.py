"""What the membership figures show when nothing is there to be found.

Permutation nulls swap the member labels of forget and test images of one class
(people, for the figure by person) in one model's scores. They show the value
that the same sample, with the same classes, gives under perfect forgetting.
"""

from __future__ import annotations

import numpy as np

from dlfd_jax.evaluation import (
  held_out_figures,
  inputs as inputs_lib,
  membership,
  records,
)
from dlfd_jax.metrics import (
  accuracy,
  attack,
  cross_validation,
  distances,
  forgetting,
  per_example,
  ranks,
  stats,
)

_NOT_RUN = 'no model was run on both forget and test'


def nulls(inputs: inputs_lib.Inputs) -> dict[str, records.Cell]:
  """The null cell of each membership figure.

  The permuted scores are the unlearned model's, or of the first model that was
  run on forget and test.
  """
  names = [
      metric.name
      for metric in membership.metrics(inputs.task, inputs.config)]
  cells = dict.fromkeys(names, records.Cell.missing(_NOT_RUN))
  parts = [inputs.parts[split] for split in membership.SIDES]
  for rate in membership.RATES:
    cells[f'mia_tpr_at_fpr_{rate}'] = records.Cell(rate)
  cells['ks_loss'] = records.Cell(distances.ks_null(*map(len, parts)))
  cells['rf_jsd'] = _split_null(inputs)
  cells |= _constant_nomus(inputs)
  model = scored_model(inputs)
  if model is not None:
    member = _memberships(
        inputs, np.concatenate([part.keys for part in parts]), len(parts[0]),
        'null images')
    cells |= _rank_nulls(inputs, model, member)
    cells |= _attack_nulls(inputs, model, member)
  return {name: cells[name] for name in names}


def scored_model(inputs: inputs_lib.Inputs) -> inputs_lib.Model | None:
  """The model whose scores are permuted."""
  for model in (inputs.unlearned, inputs.original, *inputs.retrained):
    if model is not None and set(membership.SIDES) <= set(model.losses):
      return model
  return None


def _cell(values):
  """Mean and 95 % range of a statistic under permuted membership."""
  values = values[np.isfinite(values)]
  if not values.size:
    return records.Cell.missing(membership.NO_CLASS)
  return records.Cell(float(values.mean()), *stats.percentile_interval(values))


def _memberships(inputs, keys, n_members, use):
  """Permuted membership within classes, bool ``[permutations, n + m]``."""
  member = np.arange(len(keys)) < n_members
  rng = inputs_lib.generator(inputs.config, use)
  return member[
      stats.permute_within(keys, inputs.config.permutations, rng)]


def _pooled_auc(pool, member, keys=None):
  """AUCs of one pool of scores under many memberships ``[rows, n + m]``."""
  weights = member, 1.0 - member
  if keys is not None:
    weights = ranks.matching_weights(keys, keys, *weights)
  return ranks.area(*ranks.roc(pool, pool, *weights))


def _matched_null(sides, member):
  known = np.concatenate(sides.known) > 0
  if not known.any():
    return records.Cell.missing(membership.NO_CLASS)
  return _cell(_pooled_auc(
      np.concatenate(sides.scores)[known], member[:, known],
      np.concatenate(sides.keys)[known]))


def _rank_nulls(inputs, model, member):
  pool = -np.concatenate([model.losses[split] for split in membership.SIDES])
  cells = {'mia_auc': _cell(_pooled_auc(pool, member))}
  for name, sides in membership.matched_scores(inputs, model).items():
    cells[name] = _matched_null(sides, member)
  parts = [inputs.parts[split] for split in membership.SIDES]
  if any((part.identity < 0).all() for part in parts):
    cells['mia_auc_person'] = records.Cell.missing(membership.NO_PEOPLE)
    return cells
  people = [attack.person_means(-model.losses[split], part.identity)
            for split, part in zip(membership.SIDES, parts)]
  swapped = _memberships(
      inputs, np.zeros(sum(map(len, people))), len(people[0]), 'null people')
  cells['mia_auc_person'] = _cell(
      _pooled_auc(np.concatenate(people), swapped))
  return cells


def _attack_nulls(inputs, model, member):
  """The cross-validated attacks, fitted anew under every permutation."""
  losses = np.concatenate([model.losses[split] for split in membership.SIDES])
  config = inputs.config
  cells = {}
  few = records.Cell.missing(held_out_figures.FEW)
  for name, two_sided in (('mia_accuracy', False),
                          ('mia_accuracy_two_sided', True)):
    cells[name] = few
    if min(member[0].sum(), (~member[0]).sum()) < 2:
      continue
    values = np.array([
        cross_validation.held_out(
            -losses[row], -losses[~row], draws=config.draws, seed=draw,
            two_sided=two_sided).accuracy
        for draw, row in enumerate(member)])
    cells[name] = _cell(values)
    if not two_sided:
      cells['forgetting_score'] = _cell(2 * np.abs(values - .5))
  cells.setdefault('forgetting_score', few)
  cells['forgetting_score_unbalanced'] = records.Cell.missing(
      held_out_figures.FEW_RELEASED)
  if held_out_figures.released_possible(inputs):
    values = attack.permuted_unbalanced_accuracies(losses, member)
    cells['forgetting_score_unbalanced'] = _cell(2 * np.abs(values - .5))
  return cells


def _constant_nomus(inputs):
  """NoMUS of a classifier that always says the most common class."""
  share = accuracy.constant_accuracy(inputs.task, inputs.parts['test'].labels)
  cells = {
      'nomus': records.Cell(forgetting.nomus(share, 0.0)),
      'nomus_unbalanced': records.Cell.missing(held_out_figures.FEW_RELEASED)}
  if held_out_figures.released_possible(inputs):
    floor = attack.unbalanced_constant_accuracy(
        *(len(inputs.parts[split]) for split in membership.SIDES))
    cells['nomus_unbalanced'] = records.Cell(
        forgetting.nomus(share, forgetting.forgetting_score(floor)))
  return cells


def _split_null(inputs):
  """RF-JSD of the original between test and val images like the forget ones."""
  original = inputs.original
  if original is None or not {'val', 'test'} <= set(original.logits):
    return records.Cell.missing('it needs the original model on val and test')
  task, parts = inputs.task, inputs.parts
  drawn = distances.draws_like(
      parts['val'].keys, parts['forget'].keys, inputs.config.permutations,
      inputs_lib.generator(inputs.config, 'null split'))
  means = [
      distances.mean_predictions(
          task, per_example.probabilities(task, original.logits[split]),
          parts[split].labels, weights)
      for split, weights in (('val', drawn), ('test', None))]
  return _cell(distances.rf_jsd(*means))
