"""Rows x tasks x seeds: runs what is missing and returns one cell for each.

A cell is one judged model. Its run folder is named by the row and a digest of
its config, so a changed setting makes a new folder and overwrites none.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
from absl import flags

from dlfd_jax import methods, presets
from dlfd_jax.cli import inputs, trackers
from dlfd_jax.evaluation import (
  inputs as inputs_lib,
  own_metrics,
  registry,
)
from dlfd_jax.pipeline import evaluate, tier_1_runs
from dlfd_jax.report import tables
from experiments.paper import costs, study as study_lib
from experiments.publish import programs

METRICS = ('accuracy_test', 'accuracy_retain', 'accuracy_forget',
           'mia_auc_matched', 'mia_auc', 'forgetting_score', 'nomus',
           'forgetting_score_unbalanced', 'nomus_unbalanced')
PROBES = ('probe_label_test', 'probe_people_test', 'silhouette_test')
NULL = 'null'
# Of the others the selected state is the last one.
_BOTH_STATES = ('dlfd', 'official_compat', 'scrub_r')


@dataclasses.dataclass(frozen=True)
class Row:
  """One method with its settings."""

  label: str  # names the row and its folders
  method: str  # registered name
  config: methods.RunConfig  # its settings
  title: str  # for readers
  state: str = 'model'  # `'model'` or `'last'`


Rows = Callable[[study_lib.Task], Sequence[Row]]


def define(values: flags.FlagValues, tasks: list[str]) -> None:
  """Flags of every table."""
  study_lib.define(values, tasks)
  programs.define(
      values, out=programs.OUT,
      seeds=(3, 'seeds of split, request and training', 1),
      tuned=(True, 'the settings that experiments.paper.sweep chose, where it '
             "did; else the presets' starts"),
      bootstrap=(1000, 'resamples behind every interval', 20),
      references=(0, 'further retrained models of each seed, trained once and '
                     'shared by all rows, as `dlfd references` makes them', 0),
      probes=(False, 'also measure features (tier 1 without relearning)'))


def check_methods(names: list[str]) -> list[str]:
  """The names, or a ValueError if one is unknown or there is none."""
  if not names:
    raise ValueError('Expected --methods to name a method, got none.')
  study_lib.check_labels(names)
  for name in names:
    methods.resolve(name)
  return names


def methods_of(task: study_lib.Task, names: list[str]) -> list[Row]:
  """The rows of methods at a preset's settings, DLFD's last state included.

  A class of one's own gives its row its name.
  """
  return [
      Row(study_lib.label_of(name), name, task.preset.config_of(name),
          methods.title_of(name), state)
      for name in names
      for state in ('model', *(('last',) if name in _BOTH_STATES else ()))]


def run(values: flags.FlagValues, line: str, kind: str,
        tasks: Sequence[study_lib.Task], rows_of: Rows) -> dict[str, Any]:
  """Runs a whole table.

  Args:
    values: the parsed flags of :func:`define`.
    line: the command.
    kind: of the result.
    tasks: what to run on.
    rows_of: the rows of a task.

  Returns:
    ``cells`` and what made them.
  """
  asked, root = trackers.of(values), study_lib.root_of(values)
  common = inputs.run_options(values, line)
  own = own_metrics.load(values['metrics'].value)
  cells = []
  for task in tasks:
    for seed in range(values['seeds'].value):
      study = study_lib.open_study(task, seed, root, **common)
      found = run_study(study, rows_of(task), values['bootstrap'].value,
                        values['probes'].value, values['references'].value,
                        own)
      study_lib.tell(asked, root, kind, found)
      cells += found
  searched = {task.preset_name: presets.tuned(task.preset_name)
              for task in tasks if values['tuned'].value}
  return {
      **programs.facts(kind, line), 'devices': common['devices'].count,
      'tuned': {name: _search(found) for name, found in searched.items()
                if found},
      **({own_metrics.KEY: own_metrics.described(own)} if own else {}),
      'cells': cells}


def _search(found):
  """What a reader needs to know of a search."""
  return {
      'command': found['command'], 'trials': found['trials'],
      'cap_s': found['cap_s'], 'task': found['task']['task'],
      'methods': {name: {key: of[key] for key in (
          'values', 'trials', 'score', 'search_s', 'command', 'cap_s')
                         if key in of}
                  for name, of in found['methods'].items()}}


def run_study(study: study_lib.Study, rows: Sequence[Row], bootstrap: int,
              probes: bool = False, references: int = 0,
              own: Sequence[registry.Metric] = ()) -> list[dict[str, Any]]:
  """The cells of one task and seed, original and retrained first.

  ``references`` are further retrained models that every row is judged beside.
  """
  shared = study.references(references)
  cells: list[dict[str, Any]] = []
  for row in rows:
    judged, cell = run_row(study, row, bootstrap, probes, shared, own)
    if not cells:
      cells = [_trained(study, judged, name, own)
               for name in ('original', 'retrained', NULL)]
    cells.append(cell)
    jax.clear_caches()  # compiled programs hold memory maps, which run out
  return cells


def run_row(study: study_lib.Study, row: Row, bootstrap: int, probes: bool,
            shared: Sequence[str], own: Sequence[registry.Metric] = ()
            ) -> tuple[dict[str, Any], dict[str, Any]]:
  """Unlearns and judges one row.

  Returns:
    The evaluation and the cell.
  """
  name = study_lib.folder_of(row.label, row.method, row.config)
  folder = study.folder / name
  # Of a run that became non-finite the last good state counts.
  unlearned = study.unlearn(folder, row.config)
  done = unlearned.record
  judged = evaluate.evaluate(
      study.trained['original'], unlearned,
      [study.trained['retrained'], *shared],
      inputs_lib.EvaluationConfig(bootstrap=bootstrap), state=row.state,
      tier_1=tier_1_runs.Tier1Config(
          relearn_steps=0, recovery_steps=0) if probes else None,
      keep_features=probes, metrics=own,
      workdir=study.folder / (f'evaluation{"1" if probes else ""}-{row.state}-'
                              f'{bootstrap}-{name}'
                              + f'-{1 + len(shared)}' * bool(shared)
                              + own_metrics.mark(own)),
      devices=study.devices, hooks=study.common['hooks'],
      command=study.common['command']).record
  cost = costs.measure(
      study.folder.parent / 'costs' / f'{name}.json', study, row.config)
  return judged, {
      **study.about(), 'model': row.label, 'method': row.method,
      'state': row.state, 'title': row.title,
      'config': dataclasses.asdict(row.config),
      'metrics': metrics_of(judged, 'unlearned', own),
      'time_share': costs.retraining_share(study, done, cost),
      'wall_s': done['time']['total_s'], 'check_share': done['check_share'],
      'epochs': sum(stage.inner.epochs for stage in row.config.stages),
      'perturb_steps': getattr(row.config, 'perturb_steps', None),
      'selected_step': done['selected_step'], 'steps': done['steps'],
      'reason': done['reason'], 'stop': done['stop'],
      'findings': done['findings'], 'history': done['history']}


def _trained(study, judged, name, own):
  """The cell of a model that was trained, or of the null."""
  cell = {**study.about(), 'model': name, 'state': 'model', 'title': name,
          'metrics': metrics_of(judged, name, own)}
  if name != NULL:
    steps = {of: run.record['steps'] for of, run in study.trained.items()}
    cell['time_share'] = steps[name] / steps['retrained']
  return cell


def metrics_of(judged: dict[str, Any], column: str,
               own: Sequence[registry.Metric] = ()) -> dict[str, Any]:
  """The table's metrics of one column of an evaluation."""
  cells = {name: tables.find_cell(judged, name, column)
           for name in (*METRICS, *PROBES, *(m.name for m in own))}
  return {name: {'value': cell.value, 'low': cell.low, 'high': cell.high}
          for name, cell in cells.items()}
