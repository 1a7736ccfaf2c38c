"""Tier 1's figures of harm: visible forgetting, and those who stay."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np

from dlfd_jax.evaluation import (
  against_retrained as against,
  comparison,
  membership,
  records,
  reference_inputs,
  reference_outputs,
)
from dlfd_jax.metrics import accuracy, forgetting, ranks, stats

Setting = reference_inputs.Setting
GROUP_SPLITS = ('retain', 'test')
LEAST_IN_GROUP = 10  # images
MOST_GROUPS = 12  # values of a column: more are people or families, not groups
_PLAIN = 'higher means more correct'


def tail_figures(setting: Setting) -> against.Estimates:
  """Share of forget losses above nearly all unseen ones, by model."""
  inputs = setting.inputs
  found = {}
  for model in inputs.models:
    if not set(membership.SIDES) <= set(model.losses):
      found[model.name] = comparison.Estimate.missing(
          'it needs logits on forget and test')
      continue
    losses = [model.losses[split] for split in membership.SIDES]
    share = functools.partial(forgetting.tail_share, *losses)
    value = float(share())
    interval = None
    part = inputs.parts['forget']
    if part.n_units == len(part):
      interval = stats.clopper_pearson(round(value * len(part)), len(part))
    found[model.name] = comparison.Estimate(
        value, inputs.bootstrap(share, *membership.SIDES), interval)
  return found


def streisand_records(setting: Setting) -> list[records.Record]:
  """The tail of forget losses, and the flag with its three conditions."""
  inputs = setting.inputs
  n_units, unit = inputs.units_behind(*membership.SIDES)
  tails = tail_figures(setting)
  tail_record = against.single_record(
      inputs, comparison.Metric(
          'forget_tail', 'forget', 'higher means that more forget losses are '
          'unusually high, above 99 % of the unseen ones',
          bounds=comparison.SHARE), tails,
      n_units=n_units, unit=unit)
  figures = (reference_outputs.tier0_figures(setting, membership.MAIN), tails,
             reference_outputs.tier0_figures(setting, 'mia_accuracy_two_sided'))

  def conditions(slot, references):
    auc, tail, two_sided = (
        _with_interval(comparison.difference(
            of[slot], [of[name] for name in references], n_units))
        for of in figures)
    if auc is None or tail is None:
      return None
    return forgetting.over_forgetting(
        auc, tail, two_sided, inputs.config.auc_margin)

  def count(slot, references):
    found = conditions(slot, references)
    if found is None:
      return comparison.Estimate.missing(
          'a difference to retraining has no interval')
    return comparison.Estimate(found.count)

  record = against.slot_record(
      inputs, comparison.Metric(
          'streisand', 'forget', 'higher means more of three signs that '
          'forgetting itself is visible; the aim is 0', units='signs'), count,
      n_units=n_units, unit=unit)
  names = against.names_of_retrained(inputs)
  ours = (conditions('unlearned', names)
          if names and inputs.unlearned is not None else None)
  if ours is None:
    return [tail_record, record]
  notes = (*record.notes, *ours.sentences)
  return [tail_record, dataclasses.replace(
      record, verdict=ours.flag, notes=notes)]


def _with_interval(found):
  return None if found is None or np.isnan(found.error) else found


def harm_records(setting: Setting) -> list[records.Record]:
  """How many retained people are worse off, and whether they leak more."""
  inputs = setting.inputs
  n_units, unit = inputs.units_behind('retain')
  attack_units, attack_unit = inputs.units_behind('retain', 'test')
  return [
      against.slot_record(
          inputs, comparison.Metric(
              'harmed_people', 'retain', 'higher means that more retained '
              f'people lose more than {setting.config.harm_limit:g} of '
              'accuracy against retraining', bounds=comparison.SHARE),
          functools.partial(_share_harmed, setting), n_units=n_units,
          unit=unit),
      against.gap_record(
          inputs, comparison.Metric(
              'gap_mia_auc_retain', 'retain', 'higher than 0 means that '
              'retained people look more like members than after retraining'),
          {model.name: _retain_auc(inputs, model) for model in inputs.models},
          n_units=attack_units, unit=attack_unit)]


def worst_off(setting: Setting, count: int = 10) -> list[dict[str, Any]]:
  """The retained people who lose most, by code; empty if nothing is known."""
  names = against.names_of_retrained(setting.inputs)
  if not names or setting.inputs.unlearned is None:
    return []
  losses = _person_losses(setting, 'unlearned', names)
  if isinstance(losses, str):
    return []
  part = setting.inputs.parts['retain']
  codes = np.zeros(part.n_units, np.int64)
  codes[part.units] = part.identity
  known = codes >= 0
  return accuracy.worst_people(
      losses[known], codes[known], np.bincount(part.units)[known], count)


def _correct(inputs, model):
  """Correctness of each retained image, in [0, 1]."""
  counts = accuracy.accuracy(
      inputs.task, model.logits['retain'], inputs.parts['retain'].labels)
  return counts.hits.sum(1) / counts.tries.sum(1)


def _person_losses(setting, slot, references):
  """By unit of retain, or the reason why there are none."""
  inputs = setting.inputs
  models = {model.name: model for model in inputs.models}
  if any('retain' not in models[name].logits for name in (slot, *references)):
    return 'no logits on retain'
  part = inputs.parts['retain']
  if part.unit != 'person':
    return membership.NO_PEOPLE
  reference = np.mean(
      [_correct(inputs, models[name]) for name in references], axis=0)
  return accuracy.person_losses(
      reference, _correct(inputs, models[slot]), part.units)


def _share_harmed(setting, slot, references):
  losses = _person_losses(setting, slot, references)
  if isinstance(losses, str):
    return comparison.Estimate.missing(losses)
  flags = accuracy.harmed(losses, setting.config.harm_limit).astype(np.float64)
  part = setting.inputs.parts['retain']
  return comparison.Estimate(
      float(flags.mean()), part.multiplicities @ flags / part.n_units)


def _retain_auc(inputs, model):
  if not {'retain', 'test'} <= set(model.losses):
    return comparison.Estimate.missing('it needs logits on retain and test')
  scores = [-model.losses[split] for split in GROUP_SPLITS]

  def read(*weights):
    return ranks.area(*ranks.roc(*scores, *weights))

  return comparison.Estimate(
      float(read()), inputs.bootstrap(read, *GROUP_SPLITS))


def group_records(setting: Setting) -> tuple[list[records.Record], list[str]]:
  """Accuracy of each class and of each value of the data's columns.

  Returns:
    The records, and sentences on what was left out.
  """
  made, notes = [], []
  for split in GROUP_SPLITS:
    part = setting.inputs.parts[split]
    for name, values in _columns(setting, split):
      groups, counts = np.unique(values[values >= 0], return_counts=True)
      if len(groups) > MOST_GROUPS:
        notes.append(f'Accuracy by {name} on {split} is left out: it has '
                     f'{len(groups)} values.')
        continue
      small = counts < LEAST_IN_GROUP
      if small.any():
        notes.append(
            f'Accuracy by {name} on {split} leaves out {small.sum()} values '
            f'with fewer than {LEAST_IN_GROUP} images.')
      for group in groups[~small]:
        rows = values == group
        label = _group_name(setting, name, group)
        made.append(against.single_record(
            setting.inputs, comparison.Metric(
                f'accuracy_{split}/{label}', split, _PLAIN,
                bounds=comparison.SHARE),
            {model.name: _group_accuracy(setting.inputs, model, split, rows)
             for model in setting.inputs.models},
            n_units=np.unique(part.units[rows]).size, unit=part.unit))
  return made, notes


def _columns(setting, split):
  """Classes first, then the data's own columns."""
  task, part = setting.inputs.task, setting.inputs.parts[split]
  found = [] if task.is_multilabel else [('class', part.labels)]
  return found + [(name, of_split[split])
                  for name, of_split in setting.columns.items()]


def _group_name(setting, name, group):
  if name == 'class':
    return f'class {setting.inputs.task.names[group]}'
  return f'{name} {group}'


def _group_accuracy(inputs, model, split, rows):
  if split not in model.logits:
    return comparison.Estimate.missing(f'no logits on {split}')
  part = inputs.parts[split]
  counts = accuracy.accuracy(inputs.task, model.logits[split], part.labels)
  hits, tries = counts.hits * rows[:, None], counts.tries * rows[:, None]
  return comparison.Estimate(
      accuracy.Counts(hits, tries).value, accuracy.mean_of_ratios(
          part.resampled_sums(hits), part.resampled_sums(tries)))
