"""Tier 1's figures of frozen features: probes and class structure."""

from __future__ import annotations

import functools

import numpy as np

from dlfd_jax.evaluation import (
  against_retrained as against,
  comparison,
  membership,
  records,
  reference_inputs,
)
from dlfd_jax.metrics import accuracy, features as features_lib

Setting = reference_inputs.Setting
PROBE = 'probe_membership'
NO_FEATURES = 'no features were given'
_HELD_OUT = ('The interval resamples out-of-fold results and leaves out the '
             'spread of the folds.')
_PROBE_PEOPLE = 'higher means that features tell people apart better'
_FIXED = "The interval keeps each image's silhouette and resamples people."


def probe_figures(setting: Setting) -> against.Estimates:
  """Accuracy of the membership probe, by model; also a random network's."""
  return _by_model(setting, membership.SIDES,
                   functools.partial(_membership, setting))


def _by_model(setting, splits, figure, random=True):
  """``figure(features of each split)`` of every model with these features."""
  names = [model.name for model in setting.inputs.models]
  found = {}
  for name in [*names, *([reference_inputs.RANDOM] if random else [])]:
    given = setting.features.get(name, {})
    if not set(splits) <= set(given):
      found[name] = comparison.Estimate.missing(NO_FEATURES)
      continue
    try:
      found[name] = figure(*(given[split] for split in splits))
    except ValueError as error:  # too few people, images or classes
      found[name] = comparison.Estimate.missing(
          str(error).removeprefix('Expected ').rstrip('.'))
  return found


def _membership(setting, forget, test):
  parts = [setting.inputs.parts[split] for split in membership.SIDES]
  right = features_lib.membership_probe(
      forget, test, *(part.units for part in parts),
      folds=setting.config.probe_folds, seed=setting.inputs.config.seed)
  sums = [part.resampled_sums(np.stack([r, np.ones_like(r)], axis=-1))
          for part, r in zip(parts, right)]
  return comparison.Estimate(
      float(np.mean([r.mean() for r in right])),
      np.mean([s[:, 0] / s[:, 1] for s in sums], axis=0))


def probe_records(setting: Setting) -> list[records.Record]:
  """Who was a member, and who is who among the forgotten."""
  inputs = setting.inputs
  found = probe_figures(setting)
  n_units, unit = inputs.units_behind(*membership.SIDES)
  notes = [_HELD_OUT, *_random_note(found), *_permuted_note(setting)]
  return [
      against.single_record(
          inputs, comparison.Metric(
              PROBE, 'forget', 'higher means that features still tell forget '
              'people from unseen ones', margin=inputs.config.auc_margin,
              bounds=comparison.SHARE, notes=tuple(notes)), found,
          n_units=n_units, unit=unit),
      _single(setting, 'probe_people_forget', 'forget', _PROBE_PEOPLE, _people)]


def _random_note(found):
  estimate = found.get(reference_inputs.RANDOM)
  if estimate is None or estimate.value is None:
    return []
  return [f'A randomly initialised network: {estimate.value:.3f}.']


def _permuted_note(setting):
  """The unlearned model's probe when people swap sides."""
  given = setting.features.get('unlearned', {})
  if not set(membership.SIDES) <= set(given):
    return []
  parts = [setting.inputs.parts[split] for split in membership.SIDES]
  if min(part.n_units for part in parts) < 2:
    return []
  values = features_lib.permuted_membership_probe(
      *(given[split] for split in membership.SIDES),
      *(part.units for part in parts),
      permutations=setting.config.probe_permutations,
      folds=setting.config.probe_folds, seed=setting.inputs.config.seed)
  return [f'With people swapped between the sides: {values.mean():.3f}, from '
          f'{values.min():.3f} to {values.max():.3f} in {len(values)} draws.']


def _single(setting, name, split, direction, figure, notes=(_HELD_OUT,),
            units='fraction'):
  inputs = setting.inputs
  found = _by_model(
      setting, (split,), functools.partial(figure, setting, split))
  n_units, unit = inputs.units_behind(split)
  return against.single_record(
      inputs, comparison.Metric(
          name, split, direction, units=units,
          notes=(*notes, *_random_note(found))), found, n_units=n_units,
      unit=unit)


def _people(setting, split, features):
  part = setting.inputs.parts[split]
  if part.unit != 'person':
    raise ValueError('Expected several known people.')
  rows, right = features_lib.people_probe(
      features, part.identity, limit=setting.config.probe_people,
      seed=setting.inputs.config.seed)
  units = part.units[rows]
  tried = np.bincount(units, minlength=part.n_units)
  hits = np.bincount(units, right, part.n_units)
  share = np.divide(hits, tried, out=np.zeros(part.n_units), where=tried > 0)
  weights = part.multiplicities.astype(np.float64)
  drawn = weights @ (tried > 0)
  return comparison.Estimate(
      float(share[tried > 0].mean()),
      np.divide(weights @ share, drawn, out=np.full(len(drawn), np.nan),
                where=drawn > 0))


def collapse_records(setting: Setting) -> list[records.Record]:
  """Correlation collapse in numbers, on test features.

  What a linear probe reads of the task's label and of the person, and how far
  the classes keep apart.
  """
  task = setting.inputs.task
  label = 'higher means that features tell the label better'
  apart = 'higher means that classes keep apart more clearly'
  columns = task.names if task.is_multilabel else ()
  made = [
      _single(setting, 'probe_label_test', 'test', label,
              functools.partial(_label, None)),
      *(_single(setting, f'probe_label_test/{name}', 'test', label,
                functools.partial(_label, column))
        for column, name in enumerate(columns)),
      _single(setting, 'probe_people_test', 'test', _PROBE_PEOPLE, _people),
      _single(setting, 'silhouette_test', 'test', apart,
              functools.partial(_silhouette, None), (_FIXED,), 'silhouette')]
  return made + [
      _single(setting, f'silhouette_test/{name}', 'test', apart,
              functools.partial(_silhouette, column), (_FIXED,), 'silhouette')
      for column, name in enumerate(task.names)]


def _targets(setting, split, column):
  """Class of each image: of the task, or of one attribute or all of them."""
  labels = setting.inputs.parts[split].labels
  if not setting.inputs.task.is_multilabel:
    return [labels]
  if column is not None:
    return [labels[:, column]]
  return list(labels.T)


def _label(column, setting, split, features):
  part = setting.inputs.parts[split]
  found = []
  for labels in _targets(setting, split, column):
    right = features_lib.labels_probe(
        features, labels, part.units, folds=setting.config.probe_folds,
        seed=setting.inputs.config.seed)
    classes = np.unique(labels[labels >= 0])
    tries = (labels[:, None] == classes).astype(np.float64)
    hits = tries * np.nan_to_num(right)[:, None]
    found.append(comparison.Estimate(
        accuracy.Counts(hits, tries).value, accuracy.mean_of_ratios(
            part.resampled_sums(hits), part.resampled_sums(tries))))
  return comparison.mean(found)


def _silhouette(column, setting, split, features):
  part = setting.inputs.parts[split]
  many = setting.inputs.task.is_multilabel
  found = []
  for labels in _targets(setting, split, column if many else None):
    known = labels >= 0
    values = np.full(len(labels), np.nan)
    values[known] = features_lib.silhouettes(features[known], labels[known])
    if not many and column is not None:
      values[labels != column] = np.nan
    found.append(against.mean_figure(part, values))
  return comparison.mean(found)
