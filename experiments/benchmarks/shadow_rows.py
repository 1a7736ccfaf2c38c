"""What shadow models still know after unlearning: rows of a table.

Shadow models are trained on retain and half of the people to be forgotten each,
and then forget those; judged is what remains of each person. Two rows are no
unlearning runs: the models that have not unlearned anything yet, and retrained
models in the place of unlearned ones. Nobody of those saw anybody of forget, so
that who is said to have forgotten whom is drawn.
"""

from __future__ import annotations

import dataclasses
import pathlib
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from dlfd_jax import methods as methods_lib, parallel
from dlfd_jax.cli import command
from dlfd_jax.data import splits as splits_lib
from dlfd_jax.data.dataset import Dataset
from dlfd_jax.evaluation import (
  inputs as inputs_lib,
  references as references_lib,
  run,
)
from dlfd_jax.metrics import epsilon, lira, per_example, ulira
from dlfd_jax.pipeline import (
  job,
  predictors as predictors_lib,
  reference_designs as designs,
  reference_models,
  shadow_models,
  train,
  unlearn,
)
from dlfd_jax.report import render
from dlfd_jax.utils import runs

SHADOWS, REFERENCES = 32, 8
METHODS = ('finetune', 'eu_k', 'dlfd')
STAND_INS = 16  # retrained models in the place of unlearned shadow models
METRICS = {
    'u_lira_auc': 'U-LiRA', 'u_lira_auc_person': 'U-LiRA, by person',
    'u_lira_accuracy': 'U-LiRA accuracy', 'lira_online_auc': 'LiRA, online',
    'u_lira_retrained_auc': 'U-LiRA against retrained',
    'klom_forget': 'KLOM', 'epsilon_lb_largest': 'largest epsilon shown'}
_SEED = 1  # of the shadow models

Logits = dict[str, dict[str, np.ndarray]]


@dataclasses.dataclass(frozen=True, eq=False)
class Subject:
  """An original model, who is to be forgotten, and retrained models.

  Attributes:
    dataset: the images.
    splits: who is forgotten.
    original: the run of the original.
    retrained: folders of retrained models: ``REFERENCES`` references, then
      those that stand in for unlearned shadow models.
    config_of: settings of a method.
    root: of the run folders.
    common: of every run.
  """

  dataset: Dataset
  splits: splits_lib.Splits
  original: train.TrainResult
  retrained: Sequence[str]
  config_of: Callable[[str], methods_lib.RunConfig]
  root: pathlib.Path
  common: Mapping[str, Any]

  def predictors(self) -> predictors_lib.Predictors:
    return predictors_lib.Predictors(
        self.dataset, self.common.get('devices') or parallel.Devices())

  def logits(self, runs_of: Mapping[str, job.ModelRun | str],
             splits: Sequence[str] = splits_lib.SPLITS_PARTS) -> Logits:
    """Logits of each model on parts of the split."""
    predictors = self.predictors()
    parts = {name: self.splits.parts[name] for name in splits}
    return {name: predictors.logits(job.judged(of_run).saved, parts)
            for name, of_run in runs_of.items()}

  def margins(self, folders: Sequence[str]) -> np.ndarray:
    """Margins of models on forget, ``[models, n]``."""
    labels = self.dataset.labels[self.splits.forget]
    found = self.logits({folder: folder for folder in folders}, ['forget'])
    return np.stack([per_example.margin(
        self.dataset.task, logits['forget'], labels)
                     for logits in found.values()]).astype(np.float64)

  def before(self) -> dict[str, Any]:
    """Logits of the original and of the references, as an evaluation takes."""
    kept = self.retrained[:REFERENCES]
    logits = self.logits({'original': self.original, **{
        folder: folder for folder in kept}})
    return {'original': logits.pop('original'),
            'retrained': list(logits.values())}

  def judged(self, before: Mapping[str, Any], unlearned: Any, tier: int,
             config: inputs_lib.EvaluationConfig,
             shadows: references_lib.Shadows | None = None) -> dict[str, Any]:
    """The evaluation of a model's logits."""
    return run.evaluate(
        {**before, 'unlearned': unlearned}, self.dataset, self.splits, config,
        tier=tier, references=references_lib.References(shadows=shadows))


def references_of(subject: Subject, n: int, design: str, name: str,
                  seed: int) -> reference_models.ReferenceModels:
  """What ``dlfd references`` would train."""
  return reference_models.train_references(
      reference_models.plan(
          subject.original, subject.splits, n=n, design=design, seed=seed),
      subject.root / name, each=command.check_finite, **subject.common)


def unlearned_of(subject: Subject, method: str) -> unlearn.UnlearnResult:
  """The original without the people to be forgotten, by a method."""
  return unlearn.unlearn(
      subject.original, subject.config_of(method), subject.splits, seed=0,
      workdir=subject.root / 'unlearned' / method, **subject.common)


def measure(subject: Subject, config: inputs_lib.EvaluationConfig,
            shadows: int = SHADOWS,
            methods: Sequence[str] = METHODS) -> list[dict[str, Any]]:
  """A row for the original, for each method, and for retraining.

  Shadow models unlearn as those of ``dlfd evaluate --tier=3`` do.
  """
  made = references_of(
      subject, shadows, designs.RANDOM, 'shadows', _SEED)
  states, units = made.membership.of_images(), made.membership.unit
  stand_ins = subject.retrained[REFERENCES:]
  before, exact = subject.margins(made.folders), subject.margins(stand_ins)
  drawn = designs.random_states(
      len(stand_ins), units.max() + 1, _SEED)[:, units]
  logits = subject.before()
  found = {'nothing': (references_lib.Shadows(before, before, states),
                       logits['original'])}
  costs = {'retrained': cpu_s(subject.retrained),
           'shadows': shadows * cpu_s(made.folders)}
  for method in methods:
    one = unlearned_of(subject, method)
    plan = shadow_models.plan(
        made, job.judged(one), job.judged(subject.original), subject.dataset,
        subject.splits)
    found[method] = shadow_models.unlearned_shadows(
        plan, subject.predictors(),
        hooks=subject.common.get('hooks', ())), subject.logits({'': one})['']
    costs[method] = shadows * cpu_s([
        one for one in plan.folder.iterdir() if (one / runs.RESULT).is_file()])
    jax.clear_caches()  # compiled programs hold memory maps, which run out
  # The judged one is no reference, but one of those that stand in.
  found['retrained'] = (references_lib.Shadows(exact, exact, drawn),
                        subject.logits({'': stand_ins[0]})[''])
  rows = []
  for name, (shadows_of, of_model) in found.items():
    started = time.process_time()
    record = subject.judged(logits, of_model, 3, config, shadows_of)
    cost, one = None, costs['retrained']
    if name in methods and one:
      cost = {'train': costs['shadows'] / one, 'unlearn': costs[name] / one,
              'evaluate': (time.process_time() - started) / one}
    rows.append({**_row(name, shadows_of, record), 'retrainings': cost})
  return rows


def cpu_s(folders: Sequence[str | pathlib.Path]) -> float:
  """Median seconds of the processor of runs; 0 where nobody kept account.

  The first run of a process has the seconds of all that came before it.
  """
  return statistics.median(
      runs.read_json(pathlib.Path(folder) / runs.RESULT)['time'].get(
          'cpu_s', 0.0) for folder in folders)


def _row(name: str, shadows: references_lib.Shadows,
         record: Mapping[str, Any]) -> dict[str, Any]:
  forgetting = record['verdicts']['forgetting']
  assert shadows.unlearned is not None
  return {
      'method': name, 'models': len(shadows.states),
      'metrics': figures(record, METRICS),
      'unaware': unaware_auc(shadows.unlearned, shadows.before, shadows.states),
      'verdict': forgetting['verdict'], 'because': forgetting['because']}


def unaware_auc(unlearned: np.ndarray, before: np.ndarray,
                states: np.ndarray) -> float:
  """AUC of online LiRA whose references have not unlearned.

  Args:
    unlearned: margins of the judged models ``[models, n]``.
    before: of the same models before they unlearned; each is left out of the
      references of itself.
    states: ``FORGET`` or ``OUT``, ``[models, n]``.
  """
  first, second = states == references_lib.FORGET, states == references_lib.OUT
  fitted = lira.fit_sides(before, first, second, left_out=True)
  return float(ulira.Scores(
      lira.online(unlearned, *fitted), first, second).auc())


def figures(record: Mapping[str, Any],
            names: Mapping[str, str]) -> dict[str, dict[str, Any]]:
  """Of each metric of an evaluation what a table prints."""
  return {one['metric']: {
      **{key: one[key]['value'] for key in (
          'original', 'unlearned', 'retrained', 'null', 'delta')},
      'low': one['unlearned']['low'], 'high': one['unlearned']['high'],
      'why': one['unlearned']['reason'],
      'verdict': one['verdict'], 'gate': one['gate']}
          for one in record['metrics'] if one['metric'] in names}


def title_of(method: str) -> str:
  """What a row is called."""
  return {'nothing': 'Nothing (the original)', 'retrained': 'Retraining'}.get(
      method) or methods_lib.METHODS[method].title


def cell(of: Mapping[str, Any] | None, beside: str | None = None) -> str:
  """A figure with its interval, and another one of the same metric."""
  if of is None or of['unlearned'] is None:
    return '-'
  said = f'{of["unlearned"]:.3f}'
  if of['low'] is not None:
    said += f' [{of["low"]:.2f}, {of["high"]:.2f}]'
  if beside and of[beside] is not None:
    said += f', null {of[beside]:.3f}'
  return said


def table(rows: Sequence[Mapping[str, Any]], shadows: int) -> list[str]:
  """Lines of Markdown: what was done, and a row for each method."""
  return [
      f'{shadows} shadow models, each trained on retain and half of the people '
      'to be forgotten, then made to forget them. The null is the same figure '
      'where there is nothing to find. The last attack is online LiRA fitted '
      'to the models before they unlearned.', '',
      *render.markdown_lines(
          ['unlearned by', 'models', *METRICS.values(),
           'LiRA, online, unaware', 'verdict on forgetting, tier 3'],
          [[title_of(row['method']), str(row['models']), *(
              cell(row['metrics'].get(name), 'null') for name in METRICS),
            f'{row["unaware"]:.3f}', row['verdict']] for row in rows])]


def sentences(rows: Sequence[Mapping[str, Any]], shadows: int,
              images: int) -> list[str]:
  """What the table says, in words.

  Args:
    rows: of :func:`measure`.
    shadows: models.
    images: of forget.
  """
  found = []
  for row in rows:
    of = row['metrics']['u_lira_auc']
    found.append(
        f'{title_of(row["method"])}: U-LiRA {of["unlearned"]:.3f} where there '
        f'is nothing to find {of["null"]:.3f} ({of["verdict"]}); the attack '
        f'that does not know of the unlearning {row["unaware"]:.3f}.')
  of_cost = [
      f'{title_of(row["method"])} {cost["unlearn"]:.1f} and '
      f'{cost["evaluate"]:.2g}' for row in rows
      if (cost := row.get('retrainings')) is not None]
  if of_cost:
    trained = next(row['retrainings']['train'] for row in rows
                   if row.get('retrainings'))
    found.append(
        f'Cost in retrainings, by seconds of the processor: {trained:.1f} to '
        'train the shadow models; to make them forget, and to evaluate: '
        + ', '.join(of_cost) + '.')
  if rows and not epsilon.most_shown(
      shadows // 2, REFERENCES, epsilon.LEVEL / images):
    found.append(
        'The largest epsilon says nothing here: so few models of an image '
        f'could not show any at {epsilon.LEVEL} over {images} images, whatever '
        'a method leaves.')
  return found
