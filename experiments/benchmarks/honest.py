r"""How often an honest retrained model is accused, on real faces.

  python -m experiments.benchmarks.honest --data_dir=../shared/data \
      --workdir=../runs/shadowed --out=docs/results/honest

Each of the retrained models of ``shadowed`` is judged once as if it had been
unlearned, beside references drawn from the others. It never learnt the people,
so every "distinguishable" is a false alarm; those of ``verdict_rates`` are of
simulated models. Judged are logits, so that nothing that learns again and no
features have a vote. The models share their references: the counts are not
independent.
"""

from __future__ import annotations

import collections
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from absl import flags

from dlfd_jax.cli import command, inputs
from dlfd_jax.data import dataset as dataset_lib, splits as splits_lib
from dlfd_jax.evaluation import inputs as inputs_lib, registry, run
from dlfd_jax.metrics import stats
from dlfd_jax.pipeline import job, predictors as predictors_lib
from dlfd_jax.report import render
from experiments.benchmarks import judged, shadow_rows, shadowed
from experiments.paper import study as study_lib
from experiments.publish import programs

REFERENCES = (3, 5, 8)
TIER = 2
VERDICTS = (registry.FORGETTING, registry.UTILITY)


def _measure(values: flags.FlagValues) -> dict[str, Any]:
  root = study_lib.root_of(values)
  folder = pathlib.Path(command.required(values, 'data_dir'))
  common = inputs.run_options(values)
  models = shadow_rows.REFERENCES + shadow_rows.STAND_INS
  config = inputs_lib.EvaluationConfig(
      bootstrap=command.value(values, 'bootstrap'), permutations=20, draws=5)
  tasks = []
  for data, _ in shadowed.DATA:
    study = study_lib.open_study(
        data.task(folder), 0, root, data.forget, **common)
    predictors = predictors_lib.Predictors(study.dataset, common['devices'])
    original, *retrained = (
        predictors.logits(job.judged(one).saved, study.splits.parts)
        for one in (study.trained['original'], *study.references(models)))
    tasks.append({
        **judged.about(study, data, models), 'accused': accused(
            study.dataset, study.splits, original, retrained, config)})
  return {'tasks': tasks}


def accused(dataset: dataset_lib.Dataset, splits: splits_lib.Splits,
            original: Mapping[str, np.ndarray],
            retrained: Sequence[Mapping[str, np.ndarray]],
            config: inputs_lib.EvaluationConfig) -> list[dict[str, Any]]:
  """What is said of each retrained model beside some of the others.

  Args:
    dataset: the images.
    splits: of the request.
    original: its logits by split.
    retrained: likewise of models that never saw the people to forget.
    config: of the evaluations.

  Returns:
    A row for each number of references that the others are enough for, with
    how many ``models`` were judged, and by kind of verdict how many models have
    each, under ``by`` how many each metric tells apart among all that vote.
  """
  rng = np.random.default_rng(0)
  rows = []
  for count in REFERENCES:
    if count >= len(retrained):
      break
    found: dict[str, Any] = {what: collections.Counter() for what in VERDICTS}
    by: collections.Counter[str] = collections.Counter()
    for i, model in enumerate(retrained):
      others = rng.permutation([j for j in range(len(retrained)) if j != i])
      judgement = run.evaluate(
          {'original': original, 'unlearned': model,
           'retrained': [retrained[j] for j in others[:count]]},
          dataset, splits, config, tier=TIER)['verdicts']
      for what in VERDICTS:
        verdict = judgement[what]['verdict']
        found[what][verdict] += 1
        if verdict.startswith(stats.DISTINGUISHABLE):
          by.update(name for name, one in judgement[what]['metrics'].items()
                    if one == stats.DISTINGUISHABLE)
    rows.append({'references': count, 'models': len(retrained), 'by': dict(by),
                 **{what: dict(counts) for what, counts in found.items()}})
  return rows


def markdown(result: Mapping[str, Any]) -> str:
  """A table for each data set."""
  lines = [
      '# Honest retrained models, judged', '',
      'No model here ever learnt the people, and each is judged beside others '
      'like it, so that every "distinguishable" is a false alarm. A verdict '
      'allows one in twenty: of 24 models up to 3 are no surprise.', '']
  for task in result['tasks']:
    given = [(what, one) for what in VERDICTS
             for one in _verdicts(task['accused'], what)]
    lines += [
        *judged.heading(task, 'Judged are logits.'),
        *render.markdown_lines(
            ['references', 'models', *(
                f'{what}: {one}' for what, one in given), 'accused by'],
            [[str(row['references']), str(row['models']), *(
                str(row[what].get(one, 0)) for what, one in given),
              ', '.join(f'{registry.short_label(name)} ({times})'
                        for name, times in row['by'].items()) or '-']
             for row in task['accused']]), '']
  return '\n'.join([*lines, programs.made_by(dict(result)), ''])


def _verdicts(rows: Sequence[Mapping[str, Any]], what: str) -> list[str]:
  """The verdicts that were given, false alarms first."""
  given = {verdict for row in rows for verdict in row[what]}
  return sorted(given, key=lambda one: (
      not one.startswith(stats.DISTINGUISHABLE), one))


COMMAND = programs.program(
    'benchmarks.honest', __doc__, {
        'data_dir': (None, 'folder of the npz files'),
        'bootstrap': (200, 'resamples of an interval', 20)},
    _measure, markdown, runs_models=True)
main = COMMAND.main

if __name__ == '__main__':
  sys.exit(main())
