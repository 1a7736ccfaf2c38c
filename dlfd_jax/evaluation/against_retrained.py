"""Records of tier 1: every model in one slot, the retrained ones as measure.

Three kinds of figures. A *single* one belongs to one model (a probe's
accuracy). A *gap* is such a figure minus its mean over the retrained models. A
*slot* figure compares the model in the slot with all retrained ones (a
distance). The null is always ``loo``: each retrained model in the slot, against
the other ones. It needs two retrained models of different seeds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from dlfd_jax.evaluation import comparison, inputs as inputs_lib, records

NEED_TWO = 'it needs at least two retrained models of different seeds'
Estimates = Mapping[str, comparison.Estimate]
# The slot's model and the names of those it is compared with.
SlotFigure = Callable[[str, Sequence[str]], comparison.Estimate]

_FEW_PAIRS = ('Fewer than three retrained models: the interval leaves out '
              'their spread.')


def mean_figure(part: inputs_lib.Part,
                values: np.ndarray) -> comparison.Estimate:
  """The mean of a value per image, resampled by person.

  Args:
    part: the images.
    values: ``[n]``, NaN where an image does not count.
  """
  there = ~np.isnan(values)
  if not there.any():
    return comparison.Estimate.missing('no image counts')
  both = part.resampled_sums(
      np.stack([np.where(there, values, 0.0), there], axis=-1))
  replicates = np.divide(
      both[:, 0], both[:, 1], out=np.full(len(both), np.nan),
      where=both[:, 1] > 0)
  return comparison.Estimate(float(values[there].mean()), replicates)


def combine(function: Callable[..., np.ndarray],
            *given: comparison.Estimate) -> comparison.Estimate:
  """A function of figures, on values and replicates; missing if one is."""
  for estimate in given:
    if estimate.value is None:
      return estimate
  replicates = None
  if all(estimate.replicates is not None for estimate in given):
    replicates = function(*(estimate.replicates for estimate in given))
  return comparison.Estimate(
      float(function(*(estimate.value for estimate in given))), replicates)


def names_of_retrained(inputs: inputs_lib.Inputs) -> list[str]:
  return [model.name for model in inputs.retrained]


def loo_cell(values: Sequence[comparison.Estimate]) -> records.Cell:
  """Mean and smallest to largest over the retrained models in the slot."""
  for estimate in values:
    if estimate.value is None:
      return records.Cell.missing(str(estimate.reason))
  if len(values) < 2:
    return records.Cell.missing(NEED_TWO)
  numbers = np.array([estimate.value for estimate in values])
  mean = float(numbers.mean())
  if abs(mean) <= 1e-12:  # the mean of gaps is 0 but for rounding
    mean = 0.0
  if np.ptp(numbers) <= 1e-12 * max(1.0, np.abs(numbers).max()):
    return records.Cell(mean)
  return records.Cell(mean, float(numbers.min()), float(numbers.max()))


def single_record(inputs: inputs_lib.Inputs, metric: comparison.Metric,
                  found: Estimates, *, n_units: int,
                  unit: str) -> records.Record:
  """The record of a figure of single models, by model name."""
  retrained = [found[name] for name in names_of_retrained(inputs)]
  return comparison.compare(
      metric, found.get('original'), found.get('unlearned'), retrained,
      loo_cell(retrained), n_units=n_units, unit=unit,
      seeds={'evaluation': inputs.config.seed}, tier=1)


def gap_record(inputs: inputs_lib.Inputs, metric: comparison.Metric,
               found: Estimates, *, n_units: int,
               unit: str) -> records.Record:
  """The record of differences to the mean of the retrained models.

  The verdict is that of the figure itself; a retrained model in the slot is
  compared with the other ones, so that the null's mean is 0.
  """
  record = single_record(inputs, metric, found, n_units=n_units, unit=unit)
  retrained = [found[name] for name in names_of_retrained(inputs)]
  if not retrained:
    missing = records.Cell.missing(comparison.NO_MODEL['retrained'])
    return dataclasses.replace(
        record, null=missing,
        original=missing if 'original' in found else record.original,
        unlearned=missing if 'unlearned' in found else record.unlearned)
  loo = loo_cell([
      comparison.Estimate.missing(str(estimate.reason))
      if estimate.value is None else comparison.Estimate(
          _gap(estimate, [other for other in retrained
                          if other is not estimate]))
      for estimate in retrained])
  original = record.original
  if 'original' in found:
    original = _gap_cell(found['original'], retrained, n_units)
  unlearned = record.delta if 'unlearned' in found else record.unlearned
  return dataclasses.replace(
      record, original=original, unlearned=unlearned, retrained=loo, null=loo)


def _gap(estimate, others):
  if not others or any(other.value is None for other in others):
    return 0.0
  return estimate.value - float(np.mean([other.value for other in others]))


def _gap_cell(estimate, retrained, n_units):
  found = comparison.difference(estimate, retrained, n_units)
  if found is None:
    return records.Cell.missing(next(
        str(e.reason) for e in (estimate, *retrained) if e.value is None))
  if np.isnan(found.error):
    return records.Cell(found.value)
  return records.Cell(found.value, found.low, found.high)


def slot_record(inputs: inputs_lib.Inputs, metric: comparison.Metric,
                figure: SlotFigure, *, n_units: int,
                unit: str) -> records.Record:
  """The record of a figure that compares a model with the retrained ones.

  Its retrained column is the floor: the mean over the retrained models, each
  against the others. With fewer than three of them that mean has no spread of
  its own, so that no verdict is given.
  """
  names = names_of_retrained(inputs)
  found: dict[str, comparison.Estimate | None] = {}
  for name, model in (('original', inputs.original),
                      ('unlearned', inputs.unlearned)):
    found[name] = None
    if model is not None:
      found[name] = figure(name, names) if names else (
          comparison.Estimate.missing(comparison.NO_MODEL['retrained']))
  loo = loo_figures(inputs, figure)
  if len(names) < 3 and metric.margin is not None:
    metric = dataclasses.replace(
        metric, margin=None, notes=(*metric.notes, _FEW_PAIRS))
  return comparison.compare(
      metric, found['original'], found['unlearned'], loo, loo_cell(loo)
      if names else records.Cell.missing(comparison.NO_MODEL['retrained']),
      n_units=n_units, unit=unit, seeds={'evaluation': inputs.config.seed},
      tier=1)


def loo_figures(inputs: inputs_lib.Inputs,
                figure: SlotFigure) -> list[comparison.Estimate]:
  """Each retrained model in the slot; one that says why if there is only one.

  Empty without retrained models.
  """
  names = names_of_retrained(inputs)
  if len(names) == 1:
    return [comparison.Estimate.missing(NEED_TWO)]
  return [figure(name, [other for other in names if other != name])
          for name in names]


def pairwise(distance: Callable[[str, str], comparison.Estimate]) -> SlotFigure:
  """The slot figure that is a mean of distances to single models."""
  def figure(slot: str, references: Sequence[str]) -> comparison.Estimate:
    return comparison.mean([distance(slot, name) for name in references])

  return figure
