r"""Table 1: every method beside retraining, at equal tuning, over seeds.

  python -m experiments.paper.table1 --tasks=fgnet_age --workdir=../runs \\
      --data=../shared/data/fgnet_128.npz --out=docs/results/table1_fgnet

For each task: trains the original and retrained models (the references) of seed
0, searches every method's settings on retain and val (the same trials and
seconds for all, see experiments.paper.sweep) and judges the best of each on
test, beside the references. The methods that the search puts first, those of
the paper and your own are then run on further seeds, each with an original and
references of its own. ``restore_NAME`` is a method, restored;
your own method is ``file.py:Class``.

What is finished is not run again, and the files are written after every row: a
table that was stopped says what it lacks, and the same command goes on. Writes
JSON, Markdown, CSV and LaTeX; experiments.paper.figures draws the trade-off.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
from absl import flags

from dlfd_jax import methods
from dlfd_jax.cli import command, inputs, trackers
from dlfd_jax.evaluation import likelihood_attacks, own_metrics, registry
from dlfd_jax.pipeline import job
from dlfd_jax.utils import configs, plugins, runs
from experiments.paper import (
  costs,
  judging,
  study as study_lib,
  sweep,
  table1_page,
)
from experiments.publish import programs

KIND = 'comparison'
TITLE = table1_page.TITLE
# `restore` stands there around each method that it may help.
METHODS = [name for name in methods.METHODS if name != 'restore'] + [
    'restore_finetune', 'restore_eu_k', 'restore_ct']
PAPER = ('dlfd', 'dlfd_restore', 'finetune', 'cf_k', 'eu_k', 'neggrad',
         'neggrad_plus', 'unsir', 'bad_teaching', 'scrub')
# The field that says which measured state is returned, of those that choose.
RULES = {'dlfd': 'selection', 'dlfd_restore': 'restore.selection'}
# Flags of what a method is judged on, and beside what.
JUDGING: dict[str, tuple[Any, ...]] = {
    'references': (4, 'retrained models of each seed',
                   likelihood_attacks.LEAST),
    'forget': (study_lib.FORGET_FRACTION, 'share of the training people who '
               'are forgotten where the data do not say who', 0.0),
    'bootstrap': (200, 'resamples behind every verdict', 20)}


def _define(values: flags.FlagValues) -> None:
  study_lib.define(values, ['demo'])
  programs.define(
      values, out=programs.OUT,
      methods=(METHODS, 'rows of the table; your own as file.py:Class'),
      trials=(4, 'trials of each method', sweep.LEAST_TRIALS),
      cap_s=(200.0, 'processor seconds of unlearning of each method after '
             'which no trial begins', 0),
      seeds=(5, 'seeds of split, request and training', 1),
      best=(8, 'methods beside those of the paper and your own that run on '
            'all seeds', 0),
      rules=(False, 'also DLFD with and without restoring at the other rule of '
             'selection, on all seeds'), **JUDGING)


def _execute(values: flags.FlagValues, line: str) -> None:
  out = programs.out_of(values)
  asked, root = trackers.of(values), study_lib.root_of(values)
  names = values['methods'].value
  if not names:
    raise ValueError('Expected --methods to name a method, got none.')
  study_lib.check_labels(names)
  tasks = study_lib.tasks_of(values, tuned=False)
  for task in tasks:
    for name in names:
      sweep.candidate(task.preset, name)
  plan = {name: values[name].value for name in (
      'methods', 'trials', 'cap_s', 'seeds', 'references', 'best', 'forget',
      'rules', 'bootstrap')}
  own = own_metrics.load(values['metrics'].value)
  common = inputs.run_options(values, line)
  open_study = functools.partial(
      study_lib.open_study, root=root,
      forget_fraction=plan['forget'], **common)
  result: dict[str, Any] = {
      **programs.facts(KIND, line), 'devices': common['devices'].count,
      'plan': plan, 'searches': {}, 'cells': [],
      **({own_metrics.KEY: own_metrics.described(own)} if own else {})}
  for task in tasks:
    for cells in rows(
        task, plan, open_study, result['searches'], asked, own):
      study_lib.tell(asked, root, 'table1', cells)
      result['cells'] += cells
      publish(out, result)
  print(table1_page.markdown(result))


def publish(out: pathlib.Path, result: dict[str, Any]) -> None:
  """Writes all files of a table, as far as it has come."""
  runs.publish(f'{out}.json', result, {
      f'{out.name}.{ending}': content for ending, content in {
          'md': table1_page.markdown(result),
          'csv': table1_page.to_csv(result),
          'tex': table1_page.latex(result)}.items()})


@dataclasses.dataclass(frozen=True)
class Row:
  """A method at the settings that a search chose."""

  label: str  # names the row and its folders
  method: str  # registered name, or a class of one's own
  title: str  # for readers
  config: methods.RunConfig  # its settings
  rule: bool = False  # shown beside the other rule of selection alone


def rows(task: study_lib.Task, plan: dict[str, Any],
         open_study: Callable[[study_lib.Task, int], study_lib.Study],
         searches: dict[str, Any],
         asked: trackers.Trackers = trackers.NONE,
         own: Sequence[registry.Metric] = ()
         ) -> Iterator[list[dict[str, Any]]]:
  """The cells of a task, as they come.

  Args:
    task: what to run on.
    plan: the flags.
    open_study: trains what a seed needs.
    searches: receives what was found, by task and label.
    asked: are told of every trial.
    own: metrics of one's own.
  """
  found = searches.setdefault(task.name, {})
  study = open_study(task, sweep.SEED)
  judge = judge_of(study, plan, own)
  cells = trained_cells(study, judge)
  cells[-1]['scores'] = judge.stored(
      'scores', lambda: sweep.scores(study, _folders(study, plan)))
  yield cells
  candidates = [sweep.candidate(task.preset, name) for name in plan['methods']]
  chosen: dict[str, Row] = {}
  for one in candidates:
    search = sweep.search(
        study, one, plan['trials'], plan['cap_s'], asked)
    found[one.label] = search
    chosen[one.label] = Row(one.label, one.method, one.title, configs.replace(
        one.start, search['values']))
    yield [run_row(study, judge, chosen[one.label])]
  kept = [chosen[label] for label in keep(found, plan['best'], own=[
      row.label for row in chosen.values() if plugins.is_spec(row.method)])]
  if plan['rules']:
    others = [other_rule(row) for row in kept if row.label in RULES]
    for row in others:
      yield [run_row(study, judge, row)]
    kept += others
  for seed in range(plan['seeds']):
    if seed == sweep.SEED:
      continue
    study = open_study(task, seed)
    judge = judge_of(study, plan, own)
    yield trained_cells(study, judge)
    for row in kept:
      yield [run_row(study, judge, row)]


def keep(searches: dict[str, Any], best: int,
         own: Sequence[str] = ()) -> list[str]:
  """Labels of the methods for all seeds, in the order of the searches.

  Those of the paper, ``own`` ones, and the ``best`` others by their score on
  val.
  """
  always = {*PAPER, *own}
  others = [label for label in searches if label not in always]
  others.sort(key=lambda label: -searches[label]['score'])
  kept = {*always, *others[:best]}
  return [label for label in searches if label in kept]


def other_rule(row: Row) -> Row:
  """The same with the other rule of selection."""
  path = RULES[row.label]
  value: Any = row.config
  for name in path.split('.'):
    value = getattr(value, name)
  other = 'best' if value == 'one_se' else 'one_se'
  return dataclasses.replace(
      row, label=f'{row.label}-{other}', title=f'{row.title}, `{other}`',
      config=configs.replace(row.config, {path: other}), rule=True)


def _folders(study: study_lib.Study, plan: dict[str, Any]) -> list[str]:
  """The study's retrained model and further ones: its references."""
  return [str(study.folder / 'retrained'),
          *study.references(plan['references'] - 1)]


def judge_of(study: study_lib.Study, plan: dict[str, Any],
             own: Sequence[registry.Metric] = ()) -> judging.Judge:
  """Who judges a study's models."""
  return judging.Judge(study, _folders(study, plan), plan['bootstrap'], own)


def trained_cells(study: study_lib.Study, judge: judging.Judge
             ) -> list[dict[str, Any]]:
  """The cells of the original and of the retrained models."""
  references = judge.references()
  steps = {name: run.record['steps'] for name, run in study.trained.items()}
  about = {**study.about(), 'state': 'model', 'forget_people': len(
      study.dataset.people_in(study.splits.forget))}
  epochs = study.task.preset.train.epochs
  return [
      {**about, 'model': 'original', 'title': 'original',
       'passes': None, 'time_share': steps['original'] / steps['retrained'],
       **judge.judge('original', study.trained['original'])},
      {**about, 'model': 'retrained', 'title': 'retrained', 'passes': epochs,
       'time_share': 1.0, 'verdicts': {}, 'references': references,
       'metrics': {name: {
           'value': _mean([each[name] for each in references]),
           'low': None, 'high': None} for name in references[0]}}]


def _mean(values: list[float | None]) -> float | None:
  """Of one number of every reference; None if it is not known of all."""
  known = [value for value in values if value is not None]
  return statistics.fmean(known) if len(known) == len(values) else None


def run_row(study: study_lib.Study, judge: judging.Judge, row: Row
            ) -> dict[str, Any]:
  """Unlearns with a method and judges it: one cell."""
  folder = study_lib.folder_of(row.label, row.method, row.config)
  unlearned = study.unlearn(study.folder / folder, row.config)
  done = unlearned.record
  cost = costs.measure(
      study.folder.parent / 'costs' / f'{folder}.json', study, row.config)
  judged = judge.judge(folder, unlearned)
  jax.clear_caches()  # compiled programs hold memory maps, which run out
  return {
      **study.about(), 'model': row.label, 'method': row.method,
      'state': 'model', 'title': row.title, 'rule': row.rule,
      'config': dataclasses.asdict(row.config), **judged,
      'passes': done['time']['images'] / len(study.splits.retain),
      'seconds': costs.seconds_of(done, cost),
      'time_share': costs.retraining_share(study, done, cost),
      'epochs': sum(stage.inner.epochs for stage in row.config.stages),
      'perturb_steps': getattr(row.config, 'perturb_steps', None),
      'selected_step': done['selected_step'],
      'steps': done['steps'], 'reason': done['reason'], 'stop': done['stop'],
      'do_not_use': done['do_not_use'],
      'device': job.device_name()}


COMMAND = command.Command(
    'paper.table1', __doc__, _define, _execute, package='experiments', most=(
        'tasks', 'data', 'labels', 'image_size', 'name', 'methods', 'trials',
        'cap_s', 'seeds', 'best', 'references', 'forget', 'epochs', 'width',
        'workdir', 'out', 'config', 'devices'))
main = COMMAND.main

if __name__ == '__main__':
  sys.exit(main())
