"""Tier 1's figures of frozen features: probes, alignment, class structure."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import stats as sps

from dlfd_jax.evaluation import accuracy
from dlfd_jax.evaluation import against_retrained as against
from dlfd_jax.evaluation import cka
from dlfd_jax.evaluation import comparison
from dlfd_jax.evaluation import inputs as inputs_lib
from dlfd_jax.evaluation import membership
from dlfd_jax.evaluation import probe
from dlfd_jax.evaluation import records
from dlfd_jax.evaluation import reference_inputs
from dlfd_jax.evaluation import silhouette

Setting = reference_inputs.Setting
PROBE = 'probe_membership'
CKA_SPLITS = ('forget', 'test')
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
  right = probe.membership(
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
  values = probe.permuted_membership(
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
  rows, right = probe.people(
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
    right = probe.labels_probe(
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
    values[known] = silhouette.silhouettes(features[known], labels[known])
    if not many and column is not None:
      values[labels != column] = np.nan
    found.append(against.mean_figure(part, values))
  return comparison.mean(found)


def cka_records(setting: Setting) -> list[records.Record]:
  """Linear CKA of penultimate features with retrained ones and the original."""
  return [
      record for split in CKA_SPLITS for record in (
          _cka_record(setting, split, '', cka.unbiased),
          _cka_record(setting, split, '_biased', cka.biased),
          _cka_to_original(setting, split))]


def _cka_record(setting, split, suffix, form):
  inputs = setting.inputs
  distance = functools.cache(functools.partial(_cka, setting, split, form))
  notes = []
  if form is cka.biased:
    shape = next((of_model[split].shape for of_model
                  in setting.features.values() if split in of_model), None)
    if shape is not None:
      floor = cka.independent_floor(*shape)
      notes.append(f'Independent features of this size give {floor:.3f}.')
  groups = _groups(setting, inputs.parts[split])
  record = against.slot_record(
      inputs, comparison.Metric(
          f'cka{suffix}_{split}', split, 'higher means features more similar '
          'to retrained; the aim is the null, not 1', units='cka',
          margin=None if suffix else setting.config.cka_margin,
          notes=tuple(notes)), against.pairwise(distance),
      n_units=len(groups), unit=inputs.parts[split].unit)
  return dataclasses.replace(record, n_units=inputs.parts[split].n_units)


def _cka_to_original(setting, split):
  """Each model against the original: how much has moved."""
  inputs = setting.inputs
  found = {}
  for model in inputs.models:
    found[model.name] = (
        comparison.Estimate.missing(comparison.NO_MODEL['original'])
        if inputs.original is None else
        _cka(setting, split, cka.unbiased, model.name, 'original'))
  part = inputs.parts[split]
  record = against.single_record(
      inputs, comparison.Metric(
          f'cka_original_{split}', split,
          'higher means features more similar to the original', units='cka'),
      found, n_units=len(_groups(setting, part)), unit=part.unit)
  return dataclasses.replace(record, n_units=part.n_units)


def _groups(setting: Setting, part: inputs_lib.Part) -> list[np.ndarray]:
  """Images of each group of people that the jackknife leaves out."""
  rng = inputs_lib.generator(setting.inputs.config, 'jackknife')
  order = rng.permutation(part.n_units)
  count = min(setting.config.jackknife_groups, part.n_units)
  group = np.empty(part.n_units, np.int64)
  group[order] = np.arange(part.n_units) % count
  return [np.flatnonzero(group[part.units] == i) for i in range(count)]


def _cka(setting: Setting, split: str,
         form: Callable[[Any, Any], float], slot: str,
         reference: str) -> comparison.Estimate:
  """CKA of two models' features, with jackknife pseudo-replicates.

  The replicates' variance is the delete-a-group jackknife's, and models share
  the groups, so that the variance of a difference is right too.
  """
  x, y = (setting.features.get(name, {}).get(split)
          for name in (slot, reference))
  if x is None or y is None:
    return comparison.Estimate.missing(NO_FEATURES)
  if len(x) < 4:
    return comparison.Estimate.missing('it needs at least 4 images')
  value = form(x, y)
  if np.isnan(value):
    return comparison.Estimate.missing('the features are constant')
  groups = _groups(setting, setting.inputs.parts[split])
  if len(groups) < 2 or len(x) - max(map(len, groups)) < 4:
    return comparison.Estimate(value)
  without = np.array([
      form(np.delete(x, rows, axis=0), np.delete(y, rows, axis=0))
      for rows in groups])
  if np.isnan(without).any():
    return comparison.Estimate(value)
  count = len(groups)
  replicates = value + (count - 1) / math.sqrt(count) * (
      without - without.mean())
  half = float(sps.t.ppf(.975, count - 1)) * float(replicates.std(ddof=1))
  return comparison.Estimate(value, replicates, (value - half, value + half))
