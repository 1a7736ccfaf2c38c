"""A model beside retrained ones: the numbers of Table 1.

Accuracies, the class-matched attack and two likelihood-ratio attacks, by what
the models answer; features are not read. A retrained model is judged as any
other, beside those that are left.
"""

from __future__ import annotations

import functools
import pathlib
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from dlfd_jax.evaluation import (
  against,
  inputs,
  likelihood_attacks,
  own_metrics,
  registry,
  run,
)
from dlfd_jax.metrics import distances
from dlfd_jax.pipeline import job, predictors
from dlfd_jax.report import tables
from dlfd_jax.utils import runs
from experiments.paper import study as study_lib

# What "near to retrained" is measured in.
GAPS = ('accuracy_test', 'accuracy_retain', 'accuracy_forget',
        'mia_auc_matched')
ATTACKS = ('lira_auc', 'lira_auc_two_sided', 'lira_auc_person')
PAPERS = ('forgetting_score', 'nomus', 'nomus_unbalanced')
GAP = 'gap'
_PERMUTATIONS = 50
Numbers = dict[str, float | None]


def gap(of: Mapping[str, float | None],
        references: Sequence[Mapping[str, float | None]]) -> float:
  """Mean absolute difference to the mean of references, in [0, 1].

  In test, retain and forget accuracy and in the class-matched AUC (the average
  gap of Fan et al. 2024, arXiv:2310.12508, with the AUC as its attack).
  """
  return float(distances.average_gap(*(
      np.float64(of[name]) - statistics.fmean(  # type: ignore[arg-type]
          each[name] for each in references)  # type: ignore[misc]
      for name in GAPS)))


def left_out(references: Sequence[Mapping[str, float | None]]) -> list[float]:
  """The gap of each reference to the others."""
  return [gap(one, [other for other in references if other is not one])
          for one in references]


class Judge:
  """Judges the models of one study.

  Args:
    study: data, splits and original.
    references: folders of retrained models, at least 4.
    bootstrap: resamples behind the intervals of verdicts.
    own: metrics of one's own.

  Raises:
    ValueError: if there are fewer.
  """

  def __init__(self, study: study_lib.Study, references: Sequence[str],
               bootstrap: int, own: Sequence[registry.Metric] = ()):
    if len(references) < likelihood_attacks.LEAST:
      raise ValueError(
          f'Expected at least {likelihood_attacks.LEAST} references, got '
          f'{len(references)}.')
    self._study, self._folders, self._own = study, references, own
    self._config = inputs.EvaluationConfig(
        bootstrap=bootstrap, permutations=_PERMUTATIONS)

  @functools.cached_property
  def _predictors(self):
    return predictors.Predictors(self._study.dataset, self._study.devices)

  def _logits(self, model):
    return self._predictors.logits(
        job.judged(model).saved, self._study.splits.parts)

  @functools.cached_property
  def _references(self):
    return [self._logits(folder) for folder in self._folders]

  @functools.cached_property
  def _original(self):
    return self._logits(self._study.trained['original'])

  def stored(self, name: str, make: Callable[[], Any]) -> Any:
    """What ``make`` returned, JSON, kept in a file of that name."""
    path = self._study.folder / 'judged' / (
        f'{name}-{len(self._folders)}-{self._config.bootstrap}'
        f'{own_metrics.mark(self._own)}.json')
    if not path.is_file():
      path.parent.mkdir(parents=True, exist_ok=True)
      runs.write_json(path, make())
    return runs.read_json(path)

  def references(self) -> list[Numbers]:
    """Of each reference its numbers beside the others, the gap among them."""
    return self.stored('references', self._judge_references)

  def _judge_references(self) -> list[Numbers]:
    found = inputs.prepare(
        {'retrained': self._references}, self._study.dataset,
        self._study.splits, self._config)
    numbers: list[Numbers] = [{} for _ in self._folders]
    every = [registry.find(name) for name in (*GAPS, *ATTACKS, *PAPERS)]
    for metric in (*every, *self._own):
      assert metric is not None
      values = (
          against.leave_one_out(found, metric.value)
          if metric.form == registry.SLOT else
          [metric.value(found, model) for model in found.retrained])
      for each, value in zip(numbers, values, strict=True):
        each[metric.name] = value.value
    for each, value in zip(numbers, left_out(numbers), strict=True):
      each[GAP] = value
    return numbers

  def judge(self, name: str, model: job.ModelRun | pathlib.Path
            ) -> dict[str, Any]:
    """The numbers of a model.

    Args:
      name: of its stored result.
      model: a run.

    Returns:
      ``'metrics'``: by name ``value``, ``low`` and ``high``, the interval over
      people of this one model; the gap has none. ``'verdicts'``: in words.
    """
    return self.stored(name, lambda: self._judge(model))

  def _judge(self, model):
    logits = self._logits(model)
    if not all(np.isfinite(values).all() for values in logits.values()):
      return {'metrics': {}, 'verdicts': {}}
    judged = run.evaluate(
        {'original': self._original, 'unlearned': logits,
         'retrained': self._references}, self._study.dataset,
        self._study.splits, self._config, tier=2, own=self._own)
    cells = {name: tables.find_cell(judged, name, 'unlearned')
             for name in (*GAPS, *ATTACKS, *PAPERS,
                          *(metric.name for metric in self._own))}
    metrics = {name: {'value': cell.value, 'low': cell.low, 'high': cell.high}
               for name, cell in cells.items()}
    metrics[GAP] = {'low': None, 'high': None, 'value': gap(
        {name: cell.value for name, cell in cells.items()},
        self.references())}
    return {'metrics': metrics, 'verdicts': {
        name: of['verdict'] for name, of in judged['verdicts'].items()}}
