"""Tier 1's alignment of features: linear CKA, and of every block."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special

from dlfd_jax.evaluation import (
  against_retrained as against,
  comparison,
  inputs as inputs_lib,
  records,
  reference_features,
  reference_inputs,
)
from dlfd_jax.metrics import features as features_lib

Setting = reference_inputs.Setting
CKA_SPLITS = ('forget', 'test')


def cka_records(setting: Setting) -> list[records.Record]:
  """Linear CKA of penultimate features with retrained ones and the original."""
  return [
      record for split in CKA_SPLITS for record in (
          _cka_record(setting, split, '', features_lib.cka_unbiased),
          _cka_record(setting, split, '_biased', features_lib.cka_biased),
          _cka_to_original(setting, split))]


def block_records(setting: Setting) -> list[records.Record]:
  """Linear CKA of every block's mean answer with retrained ones."""
  found = []
  for split in CKA_SPLITS:
    names = dict.fromkeys(
        block for of_model in setting.blocks.values()
        for block in of_model.get(split, {}))
    for block in names:
      of_block = dataclasses.replace(setting, features={
          model: {split: of_model[split][block]}
          for model, of_model in setting.blocks.items()
          if block in of_model.get(split, {})})
      found.append(dataclasses.replace(
          _cka_record(of_block, split, '', features_lib.cka_unbiased),
          metric=f'cka_{split}/{block}'))
  return found


def _cka_record(setting, split, suffix, form):
  inputs = setting.inputs
  distance = functools.cache(functools.partial(_cka, setting, split, form))
  notes = []
  if form is features_lib.cka_biased:
    shape = next((of_model[split].shape for of_model
                  in setting.features.values() if split in of_model), None)
    if shape is not None:
      floor = features_lib.cka_independent_floor(*shape)
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
        _cka(setting, split, features_lib.cka_unbiased, model.name, 'original'))
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
    return comparison.Estimate.missing(reference_features.NO_FEATURES)
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
  half = float(special.stdtrit(count - 1, .975)) * float(replicates.std(ddof=1))
  return comparison.Estimate(value, replicates, (value - half, value + half))
