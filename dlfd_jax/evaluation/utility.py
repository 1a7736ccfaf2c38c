"""Tier 0's accuracies: what each model gets right on each split."""

from __future__ import annotations

import numpy as np

from dlfd_jax import tasks
from dlfd_jax.evaluation import comparison, inputs as inputs_lib, records
from dlfd_jax.metrics import accuracy, stats

_PLAIN = 'higher means more correct'
_FORGET = ('higher means more correct; above retrained: under-forgetting, '
           'below: over-forgetting')
SPLITS = ('retain', 'forget', 'val', 'test')


def metrics(task: tasks.Task,
            config: inputs_lib.EvaluationConfig) -> list[comparison.Metric]:
  """The accuracies of a task, in the order of the tables."""
  found = [
      comparison.Metric(
          f'accuracy_{split}', split, _FORGET if split == 'forget' else _PLAIN,
          margin=None if split == 'val' else config.accuracy_margin,
          bounds=comparison.SHARE)
      for split in SPLITS]
  if task.is_multilabel:
    names = ['exact_match_test', *(
        f'balanced_accuracy_test/{name}' for name in task.names)]
  else:
    names = ['top2_accuracy_test'] if task.num_outputs > 2 else []
  return found + [
      comparison.Metric(name, 'test', _PLAIN, bounds=comparison.SHARE)
      for name in names]


def estimates(inputs: inputs_lib.Inputs,
              model: inputs_lib.Model) -> dict[str, comparison.Estimate]:
  """Each accuracy of one model, by metric name."""
  return {
      metric.name: _estimate(inputs, model, metric)
      for metric in metrics(inputs.task, inputs.config)}


def _estimate(inputs, model, metric):
  if metric.split not in model.logits:
    return comparison.Estimate.missing(f'no logits on {metric.split}')
  part = inputs.parts[metric.split]
  counts = _counts(
      inputs.task, metric.name, model.logits[metric.split], part.labels)
  value = counts.value
  if np.isnan(value):
    return comparison.Estimate.missing('no label is known')
  replicates = accuracy.mean_of_ratios(
      part.resampled_sums(counts.hits), part.resampled_sums(counts.tries))
  interval = None
  if part.n_units == len(part) and counts.hits.shape[1] == 1:
    interval = stats.wilson(counts.hits.sum(), counts.tries.sum())
  return comparison.Estimate(value, replicates, interval)


def _counts(task, name, logits, labels):
  name, _, attribute = name.partition('/')
  if name == 'top2_accuracy_test':
    return accuracy.top2_accuracy(task, logits, labels)
  if name == 'exact_match_test':
    return accuracy.exact_match(task, logits, labels)
  if name == 'balanced_accuracy_test':
    return accuracy.balanced_accuracy(
        task, logits, labels, task.names.index(attribute))
  return accuracy.accuracy(task, logits, labels)


def nulls(inputs: inputs_lib.Inputs) -> dict[str, records.Cell]:
  """The best constant guess on each split: what labels alone give."""
  task, parts = inputs.task, inputs.parts
  cells = {
      f'accuracy_{split}': records.Cell(
          accuracy.constant_accuracy(task, parts[split].labels))
      for split in SPLITS}
  labels = parts['test'].labels
  if task.is_multilabel:
    cells['exact_match_test'] = records.Cell(
        accuracy.constant_exact_match(task, labels))
    for name in task.names:
      cells[f'balanced_accuracy_test/{name}'] = records.Cell(.5)
  elif task.num_outputs > 2:
    cells['top2_accuracy_test'] = records.Cell(
        accuracy.constant_accuracy(task, labels, top=2))
  return cells
