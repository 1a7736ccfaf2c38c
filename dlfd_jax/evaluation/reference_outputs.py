"""Tier 1's figures of answers: gaps, distances, ZRF, relearning."""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np
from scipy import special

from dlfd_jax.evaluation import (
  against_retrained as against,
  comparison,
  inputs as inputs_lib,
  membership,
  records,
  reference_inputs,
)
from dlfd_jax.metrics import distances, forgetting, per_example

Setting = reference_inputs.Setting
GAPS = {'accuracy_forget': 'forget', 'accuracy_retain': 'retain',
        'accuracy_test': 'test', membership.MAIN: 'forget'}
DISTANCE_SPLITS = ('forget', 'retain', 'test')
NO_RANDOM = 'no random network was run'
NO_RELEARN = 'no relearning was run'
_GAP = ('higher means above retrained, lower below it; the aim is 0')
_FAR = 'higher means farther from retrained; the aim is the null, not 0'
_NEAR = 'higher means nearer to retrained; the aim is the null, not 1'
_FOLDED = ('Resampling pulls an absolute gap upwards: the interval is moved '
           'back to the value.')


def gap_records(setting: Setting) -> list[records.Record]:
  """Signed gaps of the deciding figures, average gap and tug of war."""
  inputs = setting.inputs
  margins = {name: inputs.config.accuracy_margin for name in GAPS}
  margins[membership.MAIN] = inputs.config.auc_margin
  made = []
  for name, split in GAPS.items():
    metric = comparison.Metric(
        f'gap_{name}', split, _GAP, margin=margins[name])
    n_units, unit = units_of_tier0(inputs, name)
    made.append(against.gap_record(
        inputs, metric, tier0_figures(setting, name), n_units=n_units,
        unit=unit))
  for name, chosen, direction in (
      ('average_gap', list(GAPS), _FAR),
      ('tow', list(GAPS)[:3], _NEAR),
      ('tow_mia', [membership.MAIN, *list(GAPS)[1:3]], _NEAR)):
    n_units, unit = inputs.units_behind('retain', 'forget', 'test')
    made.append(against.slot_record(
        inputs, comparison.Metric(name, 'all', direction, notes=(_FOLDED,)),
        functools.partial(_summary, setting, name, chosen), n_units=n_units,
        unit=unit))
  return made


def tier0_figures(setting: Setting, name: str) -> against.Estimates:
  """One of tier 0's figures, by model name."""
  return {model: found[name] for model, found in setting.estimates.items()}


def units_of_tier0(inputs: inputs_lib.Inputs, name: str) -> tuple[int, str]:
  """(number, kind) of the units behind one of the deciding figures."""
  if name.startswith('accuracy_'):
    return inputs.units_behind(GAPS[name])
  return inputs.units_behind(*membership.SIDES)


def _summary(setting, name, chosen, slot, references):
  """Average gap or tug of war of a model against the mean of others."""
  def summarise(*signed):
    if name == 'average_gap':
      return distances.average_gap(*signed)
    return 1 - distances.tow(*signed)

  differences = [
      against.combine(
          lambda a, b: a - b, setting.estimates[slot][figure],
          comparison.mean([
              setting.estimates[other][figure] for other in references]))
      for figure in chosen]
  found = against.combine(summarise, *differences)
  if found.value is None:
    return found
  if found.replicates is not None:
    found = dataclasses.replace(
        found, replicates=comparison.centred(found.value, found.replicates))
  if name == 'average_gap':
    return found
  return against.combine(lambda distance: 1 - distance, found)


def distance_records(setting: Setting) -> list[records.Record]:
  """Distances of answers to those of the retrained models."""
  inputs = setting.inputs
  kinds = {
      'js': (_FAR, 'nats'), 'kl': (_FAR, 'nats'),
      'agreement': (_NEAR, 'fraction'),
      'activation_distance': (_FAR, 'norm')}
  made = []
  for split in DISTANCE_SPLITS:
    n_units, unit = inputs.units_behind(split)
    for kind, (direction, units) in kinds.items():
      distance = functools.cache(
          functools.partial(_distance, inputs, split, kind))
      figure = against.pairwise(distance)
      made.append(against.slot_record(
          inputs, comparison.Metric(
              f'{kind}_{split}', split, direction, units=units), figure,
          n_units=n_units, unit=unit))
      if kind == 'js':
        made.append(_normalised_record(setting, split, figure))
  return made


def _distance(inputs, split, kind, slot, reference):
  models = {model.name: model for model in inputs.models}
  given = []
  for name in (slot, reference):
    if split not in models[name].logits:
      return comparison.Estimate.missing(f'no logits on {split}')
    given.append(models[name].logits[split])
  task = inputs.task
  if kind == 'kl':
    values = distances.kl(task, given[1], given[0])
  elif kind == 'agreement':
    values = distances.agreement(task, *given)
  else:
    p, q = (per_example.probabilities(task, z) for z in given)
    values = (distances.js(task, p, q) if kind == 'js' else
              distances.activation_distance(p, q))
  return against.mean_figure(inputs.parts[split], values)


def _normalised_record(setting, split, distance):
  """0 = as another retrained model, 1 = as the original."""
  inputs = setting.inputs
  n_units, unit = inputs.units_behind(split)
  names = against.names_of_retrained(inputs)
  scale = _scale(inputs, names, distance)

  def figure(slot, references):
    if isinstance(scale, str):
      return comparison.Estimate.missing(scale)
    floor, width = scale
    return against.combine(
        lambda d, f: (d - f) / width, distance(slot, references), floor)

  return against.slot_record(
      inputs, comparison.Metric(
          f'normalised_js_{split}', split,
          'higher means nearer to the original: 0 as another retrained model, '
          '1 as the original', units='ratio of distances',
          margin=setting.config.distance_margin), figure, n_units=n_units,
      unit=unit)


def _scale(inputs, names, distance):
  """(floor, ceiling - floor), or the reason why there is none."""
  if len(names) < 2:
    return against.NEED_TWO
  if inputs.original is None:
    return comparison.NO_MODEL['original']
  floor = comparison.mean(against.loo_figures(inputs, distance))
  ceiling = distance('original', names)
  width = against.combine(lambda c, f: c - f, ceiling, floor)
  if width.value is None or floor.value is None or ceiling.value is None:
    return str(width.reason)
  error = 0.0
  if width.replicates is not None:
    error = float(np.std(width.replicates, ddof=1))
  if distances.normalised(
      floor.value, floor.value, ceiling.value, error) is None:
    return ('the original is no farther from the retrained models than they '
            'are from each other')
  return floor, width.value


def zrf_record(setting: Setting) -> records.Record:
  """Likeness to random networks on forget."""
  inputs = setting.inputs
  metric = comparison.Metric(
      'zrf', 'forget', 'higher means more like a random network; above '
      'retrained: over-forgetting', bounds=comparison.SHARE)
  n_units, unit = inputs.units_behind('forget')
  found = {model.name: _zrf(setting, model) for model in inputs.models}
  return against.single_record(
      inputs, metric, found, n_units=n_units, unit=unit)


def _zrf(setting, model):
  if not setting.random_logits:
    return comparison.Estimate.missing(NO_RANDOM)
  if 'forget' not in model.logits:
    return comparison.Estimate.missing('no logits on forget')
  task = setting.inputs.task
  mine = per_example.probabilities(task, model.logits['forget'])
  values = [
      distances.zrf(task, mine, per_example.probabilities(task, random))
      for random in setting.random_logits]
  return against.mean_figure(
      setting.inputs.parts['forget'], np.mean(values, axis=0))


def relearn_figures(setting: Setting) -> tuple[against.Estimates, int]:
  """``log2(t + 1)`` by model, and the number of seeds behind it."""
  found = {}
  for model in setting.inputs.models:
    times = setting.relearned.get(model.name)
    if not times:
      found[model.name] = comparison.Estimate.missing(NO_RELEARN)
      continue
    values = np.array([forgetting.log2_steps(time) for time in times])
    found[model.name] = _over_seeds(values)
    if model.name.startswith('retrained') and any(
        time.capped or time.steps == 0 for time in times):
      found[model.name] = comparison.Estimate.missing(
          'a retrained model never relearnt, or knew forget from the start')
  seeds = [len(times) for times in setting.relearned.values()]
  return found, min(seeds, default=0)


def _over_seeds(values):
  """A mean over seeds; its replicates have the variance of that mean."""
  mean, count = float(values.mean()), len(values)
  if count < 2:
    return comparison.Estimate(mean)
  error = float(values.std(ddof=1)) / math.sqrt(count)
  half = float(special.stdtrit(count - 1, .975)) * error
  return comparison.Estimate(
      mean, mean + (values - mean) / math.sqrt(count),
      (mean - half, mean + half))


def relearn_records(setting: Setting) -> list[records.Record]:
  """Relearn time and the anamnesis index."""
  inputs = setting.inputs
  found, seeds = relearn_figures(setting)
  steps = {
      model.name: _over_seeds(np.array([
          time.steps for time in setting.relearned[model.name]], np.float64))
      if setting.relearned.get(model.name)
      else comparison.Estimate.missing(NO_RELEARN)
      for model in inputs.models}
  capped = [f'{name}: {sum(t.capped for t in times)} of {len(times)} runs '
            'reached the cap; its time is a lower bound.'
            for name, times in setting.relearned.items()
            if any(t.capped for t in times)]
  n_units = max(seeds, 1)
  return [
      against.single_record(
          inputs, comparison.Metric(
              'relearn_steps', 'forget', 'higher means that forget is learnt '
              'again more slowly; below retrained: knowledge is left',
              units='steps', notes=tuple(capped)), steps,
          n_units=n_units, unit='seed'),
      against.gap_record(
          inputs, comparison.Metric(
              'log2_ain', 'forget', 'higher means over-forgetting, below 0: '
              'knowledge is left; the aim is 0', units='log2',
              margin=setting.config.ain_margin, notes=tuple(capped)), found,
          n_units=n_units, unit='seed')]
