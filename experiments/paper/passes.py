r"""What more passes buy: the gap to retraining by what a method costs.

  python -m experiments.paper.passes --tasks=fgnet_age --workdir=../runs \
      --data=../shared/data/fgnet_128.npz --out=docs/results/passes_fgnet

Each method has the settings that its preset starts from, with all of its epochs
times 1/4, 1/2, 1 and 2. Originals and references are those of Table 1 of the
same flags and workdir: what is there is not trained again. Writes JSON,
Markdown and the curve.
"""

from __future__ import annotations

import collections
import pathlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from absl import flags

from dlfd_jax import methods, presets
from dlfd_jax.cli import command, inputs
from dlfd_jax.report import drawing, render
from dlfd_jax.utils import configs, runs
from experiments.paper import (
  comparison,
  figure_costs,
  study as study_lib,
  summary,
  table1,
)
from experiments.publish import programs

KIND = 'passes'
FACTORS = (.25, .5, 1.0, 2.0)
_METHODS = ['finetune', 'eu_k', 'dlfd', 'dlfd_restore']
_COLUMNS = {
    'passes': 'passes', 'time_share': 's / retraining', 'gap': 'gap',
    'accuracy_retain': 'retain', 'accuracy_forget': 'forget',
    'accuracy_test': 'test', 'mia_auc_matched': 'AUC',
    'lira_auc_two_sided': 'two-sided', 'lira_auc_person': 'person'}


def _define(values: flags.FlagValues) -> None:
  study_lib.define(values, ['demo'])
  programs.define(
      values, out=programs.OUT,
      methods=(_METHODS, 'methods with epochs'),
      seeds=(2, 'seeds of split, request and training', 1), **table1.JUDGING)


def _execute(values: flags.FlagValues, line: str) -> None:
  out = programs.out_of(values)
  plan: dict[str, Any] = {name: values[name].value for name in (
      'methods', 'seeds', *table1.JUDGING)}
  study_lib.check_labels(plan['methods'])
  tasks = study_lib.tasks_of(values, tuned=False)
  root = study_lib.root_of(values)
  common = inputs.run_options(values, line)
  result: dict[str, Any] = {
      **programs.facts(KIND, line), 'devices': common['devices'].count,
      'plan': plan, 'cells': []}
  for task in tasks:
    for seed in range(plan['seeds']):
      study = study_lib.open_study(
          task, seed, root=root, forget_fraction=plan['forget'], **common)
      judge = table1.judge_of(study, plan)
      result['cells'] += table1.trained_cells(study, judge)
      result['cells'] += [
          table1.run_row(study, judge, row)
          for row in rows_of(task, plan['methods'])]
      publish(out, result)
  print(markdown(result))


def rows_of(task: study_lib.Task, names: Sequence[str]) -> list[table1.Row]:
  """Each method with fewer and more epochs, at least one of each stage."""
  starts = {name: task.preset.config_of(name) for name in names}
  return [
      table1.Row(
          f'{name}-x{factor:g}', name, methods.title_of(name), configs.replace(
              start, {path: max(1, round(factor * epochs))
                      for path, epochs in epochs_of(start).items()}))
      for name, start in starts.items() for factor in FACTORS]


def epochs_of(config: methods.RunConfig) -> dict[str, int]:
  """The epochs of a method, or of those that it is made of, by path."""
  return {f'{field}.epochs' if field else 'epochs': stage.epochs
          for field, stage in presets.stages_in(config).items()}


def publish(out: pathlib.Path, result: dict[str, Any]) -> None:
  """Writes the page and the curves, as far as they have come."""
  runs.publish(f'{out}.json', result, {
      f'{out.name}.md': markdown(result),
      **{f'{out.name}.{kind}': draw(result['cells'], format=kind)
         for kind in ('png', 'svg')}})


def markdown(result: Mapping[str, Any]) -> str:
  """A table for each task."""
  lines = [
      '# What more passes buy', '',
      'Epochs times 1/4, 1/2, 1 and 2; mean over seeds of split, request, '
      'original and references. The gap is that of Table 1: the mean distance '
      'to the references in four numbers. A reference that is left out has the '
      'gap of its row.', '']
  for task, cells in summary.tasks_of(dict(result)).items():
    by = comparison.groups(cells)
    rows = [['original', '', *_numbers(by.trained['original'])],
            ['retrained', '', *_numbers(by.trained['retrained'])]]
    rows += [[title, epochs, *_numbers(of)]
             for title, epochs, of in _curves(cells)]
    lines += [
        f'## {task}', '', summary.about(cells), '',
        *render.markdown_lines(
            ['method', 'epochs', *_COLUMNS.values()], rows), '',
        f'Of the references left out nine in ten have a gap of at most '
        f'{comparison.point(cells):.3f}.', '']
  return '\n'.join([*lines, programs.made_by(dict(result)), ''])


def _curves(cells: Sequence[summary.Cell]
            ) -> Iterator[tuple[str, str, list[summary.Cell]]]:
  """Title, epochs and cells of each row, in the order of the run."""
  for label, of in summary.by_model(cells).items():
    if of[0].get('method'):
      yield of[0]['title'], label.rpartition('-x')[2], of


def _numbers(cells: Sequence[summary.Cell]) -> list[str]:
  found = [comparison.spread(cells, name) for name in _COLUMNS]
  return ['' if one is None else f'{one.mean:.3f}' for one in found]


def draw(cells: Sequence[summary.Cell], *, format: str = 'svg') -> bytes:
  """Gap and two-sided attack by cost, a row of panels for each task.

  Args:
    cells: of one result.
    format: ``svg`` or ``png``.
  """
  tasks = summary.tasks_of({'cells': list(cells)})
  with drawing.new_figure(
      8.6, 3.3 * len(tasks) + .5, 'What more passes buy') as figure:
    grid = figure.subplots(len(tasks), len(figure_costs.PANELS), squeeze=False)
    for axes, (task, of_task) in zip(grid, tasks.items(), strict=True):
      for axis, (key, label) in zip(axes, figure_costs.PANELS, strict=True):
        figure_costs.shade_left_out(axis, of_task, key)
        lines = collections.defaultdict(list)
        for title, _, of in _curves(of_task):
          place = [comparison.spread(of, name) for name in ('time_share', key)]
          if None not in place:
            lines[title].append([one.mean for one in place if one])
        looks = drawing.styles(list(lines))
        for title, places in lines.items():
          look = looks[title]
          axis.plot(*zip(*sorted(places)), marker=look.marker,
                    color=look.color, label=title)
        figure_costs.set_axes(axis, label)
      axes[0].set_title(task)
    handles, titles = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, titles, loc='outside lower left', ncols=4)
    return drawing.to_bytes(figure, format)


COMMAND = command.Command(
    'paper.passes', __doc__, _define, _execute, package='experiments', most=(
        'tasks', 'data', 'labels', 'image_size', 'name', 'methods', 'seeds',
        'references', 'forget', 'epochs', 'width', 'workdir', 'out', 'config',
        'devices'))
main = COMMAND.main

if __name__ == '__main__':
  sys.exit(main())
