"""Figures of trade-off and gain, from the cells of tables."""

from __future__ import annotations

import collections
import json
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from dlfd_jax.report import figure_dlfd
from dlfd_jax.utils import runs
from experiments.paper import (
  comparison,
  figure_costs,
  figure_evaluations,
  summary,
)

SPREAD = 'one standard deviation over seeds'
_OURS = ('dlfd', 'model')


def read(paths: Sequence[str]) -> list[summary.Cell]:
  """The cells of some tables; what stands in several is taken once.

  Raises:
    FileNotFoundError: if a file is absent.
    ValueError: if a file is no table, or two tables differ in a cell.
  """
  found: dict[tuple, summary.Cell] = {}
  for path in paths:
    table = runs.read_json(path)
    if not isinstance(table, dict) or not isinstance(table.get('cells'), list):
      raise ValueError(f'Expected a table with cells in --table={path}.')
    for cell in table['cells']:
      cell = {'state': 'model', 'title': cell['model'], **cell}
      key = (cell['task'], cell['seed'], *summary.key_of(cell))
      if key in found and json.dumps(found[key]['metrics'], sort_keys=True) != (
          json.dumps(cell['metrics'], sort_keys=True)):
        raise ValueError(
            'Expected one value of each cell in the files of --table, got two '
            f'of {key}.')
      found.setdefault(key, cell)
  if not found:
    raise ValueError('Expected at least one cell in --table, got none.')
  return list(found.values())


def _title(rows, key):
  title = rows[0]['title']
  if title == key[0]:
    return figure_evaluations.title_of(key[0])
  return f'{title}, last state' if key[1] == 'last' else title


def seeds_of(cells: Sequence[summary.Cell]) -> dict[str, list[int]]:
  """The seeds of each task."""
  return {task: sorted({cell['seed'] for cell in of_task})
          for task, of_task in summary.tasks_of({'cells': list(cells)}).items()}


def classes_of(cells: Sequence[summary.Cell],
               given: Mapping[str, int]) -> dict[str, int]:
  """The number of classes of each task, from its cells or as given.

  Raises:
    ValueError: if a task has none, or ``given`` names no task.
  """
  tasks = summary.tasks_of({'cells': list(cells)})
  unknown = sorted(set(given) - set(tasks))
  if unknown:
    raise ValueError(
        f'Expected tasks of {sorted(tasks)} in --classes, got {unknown}.')
  found = {}
  for task, of_task in tasks.items():
    stated = [cell['classes'] for cell in of_task if 'classes' in cell]
    if task not in given and not stated:
      raise ValueError(
          f'Expected --classes={task}=N: the cells of --table do not say how '
          'many classes the task has.')
    found[task] = given[task] if task in given else int(stated[0])
  return found


def gains(cells: Sequence[summary.Cell], classes: Mapping[str, int]
          ) -> list[figure_dlfd.Gain]:
  """DLFD minus fine-tuning and minus the best other, NoMUS, seed by seed.

  The best other is the row of the highest mean NoMUS over these seeds, so its
  value leans upwards; no row of DLFD's, its last state or a part, is another.
  Where fine-tuning alone was run, it stands there once.
  """
  found = []
  for task, of_task in summary.tasks_of({'cells': list(cells)}).items():
    by = summary.rows_of(of_task)
    others = {
        key: spread.mean for key, rows in by.items()
        if key[0] not in (*summary.TRAINED, 'dlfd')
        and rows[0].get('method') != 'dlfd'
        and (spread := summary.spread(rows, 'nomus')) is not None}
    rivals = {'finetune': ('finetune', 'model')}
    if set(others) - {rivals['finetune']}:
      rivals['best'] = max(others, key=lambda key: others[key])
    for against, key in rivals.items():
      change = summary.paired(of_task, _OURS, key, 'nomus')
      if change is not None:
        found.append(figure_dlfd.Gain(
            task, classes[task], against, _title(by[key], key),
            change.values))
  return found


def as_numbers(gain: figure_dlfd.Gain) -> dict[str, Any]:
  """A gain as it stands in ``figures.json``."""
  return {'task': gain.task, 'classes': gain.classes, 'against': gain.against,
          'rival': gain.rival, 'values': list(gain.values), 'mean': gain.mean,
          'deviation': statistics.stdev(gain.values)
          if len(gain.values) > 1 else None}


def has_gains(cells: Sequence[summary.Cell]) -> bool:
  """Whether some task has DLFD and another method."""
  return bool(gains(cells, collections.defaultdict(int)))


def beside_references(cells: Sequence[summary.Cell]) -> bool:
  """Whether the cells are of table1, which has references."""
  return all(cell.get('references') for cell in cells
             if cell['model'] == comparison.RETRAINED)


def tradeoff(cells: Sequence[summary.Cell]) -> figure_evaluations.Figure:
  """Gap and two-sided attack against cost on every task.

  Raises:
    ValueError: if a retrained model has no references beside it.
  """
  if not beside_references(cells):
    raise ValueError('Expected results of table1 in --table for the figure '
                     'tradeoff, got another table.')
  rows = comparison.numbers(cells, ('time_share', 'gap', 'lira_auc_two_sided'))
  return figure_evaluations.Figure({
      'bars': figure_costs.BARS, 'seeds': seeds_of(cells), 'tasks': rows}, {
          'tradeoff': lambda format: figure_costs.draw(cells, format=format)})


def complexity(cells: Sequence[summary.Cell],
               given: Mapping[str, int]) -> figure_evaluations.Figure:
  """DLFD's gain in NoMUS by the number of classes."""
  found = gains(cells, classes_of(cells, given))
  return figure_evaluations.Figure({
      'bars': SPREAD, 'seeds': seeds_of(cells),
      'gains': [as_numbers(gain) for gain in found]}, {
          'complexity': lambda format: figure_dlfd.draw_complexity(
              found, format=format)})
