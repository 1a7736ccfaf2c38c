"""The quick evaluation: everything that needs no further training.

A pure function of logits, labels and people. It can say "distinguishable from
unseen data" and "distinguishable" from retraining, never "indistinguishable
from retraining": that is for the tiers with several retrained models.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from dlfd_jax.data import dataset as dataset_lib, splits as splits_lib
from dlfd_jax.evaluation import (
  comparison,
  inputs as inputs_lib,
  membership,
  membership_nulls,
  records,
  utility,
)
from dlfd_jax.metrics import per_example

EvaluationConfig = inputs_lib.EvaluationConfig

_FEW_PEOPLE = 10
_COPIES = ('retain', 'test', 'val')


def evaluate(outputs: Mapping[str, Any],
             dataset: dataset_lib.Dataset,
             splits: splits_lib.Splits,
             config: EvaluationConfig | None = None,
             *,
             leakage: Mapping[str, Any] | None = None) -> dict[str, Any]:
  """All tier-0 records of an unlearning run.

  Args:
    outputs: ``'original'`` and ``'unlearned'``: a mapping from split to logits
      float32 ``[images of the split, outputs]``, in evaluation mode and in the
      order of the split, or None; ``'retrained'``: a list of such mappings,
      possibly empty. Logits of a split may be left out; the figures that need
      them then say so.
    dataset: the data.
    splits: retain, forget (the members), val, test (the non-members).
    config: settings; the defaults if None.
    leakage: what ``data.leakage.leakage_report`` gave; its counts become
      records.

  Returns:
    ``'data'``, ``'metrics'`` (records as dictionaries), ``'notes'`` and
    ``'not_computed'`` of a result file, all plain JSON without NaN, and
    ``'per_example'``: arrays by name, ``{model}/{split}/loss`` and ``margin``
    (float32 ``[n]``, all images of the split), ``{split}/sample_id``,
    ``{split}/identity`` and ``{split}/labels``.

  Raises:
    ValueError: if a name is unknown, no model was given, a split does not fit
      the data, or logits do not fit the split or are not finite.
  """
  config = config or EvaluationConfig()
  inputs = inputs_lib.prepare(outputs, dataset, splits, config)
  return assemble(
      inputs, estimates(inputs), outputs, dataset, splits, leakage)


def estimates(
    inputs: inputs_lib.Inputs) -> dict[str, dict[str, comparison.Estimate]]:
  """Every figure of every model: model -> metric -> estimate."""
  found = {}
  for model in inputs.models:
    ours = utility.estimates(inputs, model)
    found[model.name] = ours | membership.estimates(
        inputs, model, ours['accuracy_test'])
  return found


def assemble(inputs: inputs_lib.Inputs,
             found_estimates: Mapping[str, Mapping[str, comparison.Estimate]],
             outputs: Mapping[str, Any],
             dataset: dataset_lib.Dataset,
             splits: splits_lib.Splits,
             leakage: Mapping[str, Any] | None) -> dict[str, Any]:
  """What :func:`evaluate` returns, from figures that were computed before.

  Args:
    inputs: as prepared from the next three.
    found_estimates: see :func:`estimates`.
    outputs: see :func:`evaluate`, like the rest.
    dataset: the data.
    splits: its parts.
    leakage: copies of images.
  """
  found = _records(inputs, found_estimates) + _copies(leakage)
  return {
      'data': _describe(dataset, splits, leakage),
      'metrics': [record.as_dict() for record in found],
      'notes': _notes(inputs, dataset, splits),
      'not_computed': [
          line for record in found for line in missing_lines(record)],
      'per_example': _per_example(outputs, dataset, splits),
  }


def _records(inputs, found):
  """One record per metric, and the warning."""
  nulls = utility.nulls(inputs) | membership_nulls.nulls(inputs)
  made = []
  for metric in (utility.metrics(inputs.task, inputs.config)
                 + membership.metrics(inputs.task, inputs.config)):
    made.append(_record(inputs, metric, found, nulls[metric.name]))
    if metric.name == membership.MAIN:
      made.append(_over_forgetting(made[-1]))
  return made


def _record(inputs, metric, found, null):
  original, unlearned = (
      None if model is None else found[model.name][metric.name]
      for model in (inputs.original, inputs.unlearned))
  behind: tuple[str, ...] = (metric.split,)
  if metric.split == 'forget' and metric.name != 'accuracy_forget':
    behind = membership.SIDES
  n_units, unit = inputs.units_behind(*behind)
  return comparison.compare(
      metric, original, unlearned,
      [found[model.name][metric.name] for model in inputs.retrained],
      null, n_units=n_units, unit=unit,
      seeds={'evaluation': inputs.config.seed})


def _over_forgetting(main):
  """The signed warning: the main AUC's interval lies wholly below one half."""
  notes = []
  verdict = None
  if main.unlearned.high is not None:
    verdict = 'over-forgotten' if main.unlearned.high < .5 else 'none'
    if main.retrained.high is not None and main.retrained.high < .5:
      notes.append('The retrained model is below one half too: forget and test '
                   'differ by themselves.')
  return dataclasses.replace(
      main, metric='over_forgetting', verdict=verdict, notes=tuple(notes),
      direction='raised where the main attack AUC and its interval are below '
                'one half: forget images look less seen than unseen ones')


def _copies(leakage):
  """Copies of forget images in the other parts, as counted by the report."""
  if leakage is None:
    return []
  made = []
  for kind in ('exact', 'near'):
    for part in _COPIES:
      count = records.Cell(leakage[kind][f'forget-{part}'])
      made.append(records.Record(
          metric=f'duplicates_{kind}/forget-{part}', split=None,
          direction='higher means more leakage by the data', original=count,
          unlearned=count, retrained=count, null=records.Cell(0),
          delta=records.Cell(0), units='count',
          notes=('A property of the data, the same for all models.',)))
  return made


def missing_lines(record: records.Record) -> list[str]:
  """``metric (cells): reason``, one line per reason."""
  cells: dict[str, list[str]] = {}
  for name, cell in record.cells.items():
    if cell.value is None:
      cells.setdefault(str(cell.reason), []).append(name)
  return [f'{record.metric} ({", ".join(names)}): {reason}'
          for reason, names in cells.items()]


def _describe(dataset, splits, leakage):
  def people(identity):
    return len(np.unique(identity[identity >= 0]))

  return {
      'name': dataset.name, 'n': len(dataset),
      'people': people(dataset.identity),
      'image_size': [int(side) for side in dataset.image_size],
      'task': {'kind': dataset.task.kind, 'names': list(dataset.task.names)},
      'splits': {
          name: {'images': len(part), 'people': people(dataset.identity[part])}
          for name, part in splits.parts.items()},
      'by_person': bool(splits.by_person),
      'leakage': dict(leakage) if leakage is not None else None,
  }


def _notes(inputs, dataset, splits):
  notes = splits_lib.splits_notes(dataset, splits)
  people = len(np.unique(inputs.parts['forget'].identity))
  if inputs.parts['forget'].unit == 'image' and dataset.has_identities:
    notes.append('Forget shows one person: intervals resample the images of '
                 'that person and say nothing about other people.')
  elif people < _FEW_PEOPLE and dataset.has_identities:
    notes.append(f'Forget shows only {people} people: intervals are rough.')
  if len(inputs.retrained) == 1:
    notes.append('One retrained model: the spread between trainings is in no '
                 'interval, so a difference may be that of two seeds.')
  dropped = {
      name: len(part) - len(inputs.parts[name])
      for name, part in splits.parts.items()}
  if any(dropped.values()):
    notes.append('Images without a known label are left out: ' + ', '.join(
        f'{count} of {name}' for name, count in dropped.items() if count)
        + '.')
  return notes


def _per_example(outputs, dataset, splits):
  arrays = {}
  for name, positions in splits.parts.items():
    arrays[f'{name}/sample_id'] = dataset.sample_id[positions]
    arrays[f'{name}/identity'] = dataset.identity[positions]
    arrays[f'{name}/labels'] = dataset.labels[positions]
  given = {name: outputs.get(name) or {} for name in ('original', 'unlearned')}
  given |= {f'retrained_{i}': logits
            for i, logits in enumerate(outputs.get('retrained') or ())}
  for model, logits in given.items():
    for split, values in logits.items():
      labels = dataset.labels[splits.parts[split]]
      for key, function in (('loss', per_example.loss),
                            ('margin', per_example.margin)):
        arrays[f'{model}/{split}/{key}'] = function(
            dataset.task, values, labels).astype(np.float32)
  return arrays
