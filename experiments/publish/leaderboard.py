r"""Writes docs/leaderboard.md: methods by data sets, from result files alone.

  python -m experiments.publish.leaderboard

Reads the results of ``experiments.paper.table1`` in ``docs/results`` and what
others added in ``docs/results/leaderboard``, or those of ``--tables``.
:class:`Table` is their schema. A test holds the page and the results together.
"""

from __future__ import annotations

import dataclasses
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Required, TypedDict

from absl import flags

from dlfd_jax.cli import command
from dlfd_jax.evaluation import likelihood_attacks
from dlfd_jax.report import render
from dlfd_jax.utils import records, runs, schemas
from experiments.paper import comparison, summary

ROOT = pathlib.Path(__file__).parents[2]
PAGE = ROOT / 'docs' / 'leaderboard.md'
_OURS, _ADDED = 'docs/results/table1_*.json', 'docs/results/leaderboard/*.json'
_RANKED = {
    'gap': 'By gap to retraining',
    'lira_auc_two_sided': 'By the two-sided attack'}
_SAME = ('images', 'image_size', 'splits', 'network', 'train_epochs')


class Number(TypedDict, total=False):
  """One number of one model: a share or an AUC."""

  value: Required[schemas.Share | None]
  low: float | None
  high: float | None


class Cell(TypedDict, total=False):
  """One model: a method (or original, retrained) on a task at a seed."""

  task: Required[str]  # preset, with what was changed in it
  seed: Required[schemas.Count]  # of split, request and training
  model: Required[str]  # name of the row
  title: Required[str]  # for readers
  images: Required[schemas.Count]  # of the data set
  image_size: Required[schemas.Count]  # pixels a side
  splits: Required[dict[str, schemas.Count]]  # images of each part
  network: Required[dict[str, Any]]
  train_epochs: Required[schemas.Count]
  metrics: Required[dict[str, Number]]  # gap, lira_auc_two_sided, ...
  time_share: Required[schemas.Amount]  # seconds over retraining's
  references: list[dict[str, schemas.Share | None]]  # of `retrained`


class Table(TypedDict, total=False):
  """What ``experiments.paper.table1`` writes."""

  kind: Required[str]  # 'comparison'
  command: Required[str]
  device: Required[str]
  versions: Required[dict[str, str]]
  plan: Required[dict[str, Any]]
  cells: Required[list[Cell]]


@dataclasses.dataclass(frozen=True)
class Entry:
  """A method on a task."""

  title: str
  task: str
  numbers: Mapping[str, float]  # means over seeds
  seeds: int
  tied: bool  # its gap is one that a reference may have


def read(path: pathlib.Path) -> Table:
  """A result file, checked.

  Raises:
    FileNotFoundError: if there is none.
    ValueError: if it is no table, or a task has too little to compare with.
  """
  table: Table = records.read(path, {'comparison': Table})
  for task, cells in summary.tasks_of(table).items():
    where = f'{task} in {path.name}'
    retrained = {cell['seed']: cell.get('references', ()) for cell in cells
                 if cell['model'] == comparison.RETRAINED}
    seeds = {cell['seed'] for cell in cells} - set(retrained)
    if seeds or not retrained:
      raise ValueError(f'Expected the row retrained of each seed of {where}, '
                       f'got none of {sorted(seeds) or "any"}.')
    few = min(map(len, retrained.values()))
    if few < likelihood_attacks.LEAST:
      raise ValueError(f'Expected at least {likelihood_attacks.LEAST} '
                       f'references of each seed of {where}, got {few}.')
    keys = [(cell['model'], cell['seed']) for cell in cells]
    if len(set(keys)) < len(keys):
      raise ValueError(f'Expected every model and seed once in {where}, got '
                       f'{max(keys, key=keys.count)} more than once.')
    for cell in cells:
      lacks = [name for name in _RANKED if cell['metrics'] and (
          cell['metrics'].get(name, {}).get('value') is None)]
      if lacks:
        raise ValueError(f'Expected {" and ".join(lacks)} of '
                         f'{cell["model"]} on {where}, got none.')
  return table


def entries(tables: Mapping[str, Table]) -> list[Entry]:
  """The methods of all tables.

  Args:
    tables: by the name that stands behind their methods, empty for ours.

  Raises:
    ValueError: if two tables call different data by one name.
  """
  found, known = [], {}
  for name, table in tables.items():
    for task, cells in summary.tasks_of(table).items():
      about = {key: cells[0][key] for key in _SAME}
      if known.setdefault(task, about) != about:
        differ = [key for key in _SAME if known[task][key] != about[key]]
        raise ValueError(
            f'Expected {task} of {name or "our table"} to be that of the other '
            f'tables, got other {", ".join(differ)}.')
      by = comparison.groups(cells)
      found += [
          Entry(rows[0]['title'] + (f' ({name})' if name else ''), task, {
              key: spread.mean for key in (*_RANKED, 'time_share')
              if (spread := comparison.spread(rows, key))},
                len(rows), comparison.tied(rows, cells))
          for rows in (*by.full.values(), *by.screened.values())]
  return [entry for entry in found if set(_RANKED) <= set(entry.numbers)]


def aims(tables: Mapping[str, Table]) -> dict[str, dict[str, float]]:
  """By task and number what a retrained model has: the mean of ours."""
  found: dict[str, dict[str, float]] = {}
  for table in tables.values():
    for task, cells in summary.tasks_of(table).items():
      found.setdefault(task, {
          key: summary.Spread(tuple(comparison.left_out(cells, key))).mean
          for key in _RANKED})
  return found


def ranked(found: Sequence[Entry], key: str,
           aim: Mapping[str, Mapping[str, float]]) -> list[list[str]]:
  """Rows of text, the nearest to retraining first; a column for each task.

  A row's place is its mean place over the tasks that it is on.
  """
  def far(entry):
    if key == 'gap':
      return entry.numbers[key]
    return abs(entry.numbers[key] - aim[entry.task][key])

  places: dict[str, list[int]] = {}
  for task in aim:
    order = sorted((e for e in found if e.task == task), key=far)
    for place, entry in enumerate(order, 1):
      places.setdefault(entry.title, []).append(place)
  mean = {title: sum(of) / len(of) for title, of in places.items()}
  cells = {(entry.title, entry.task): _cell(entry, key) for entry in found}
  rows = [['retrained', *(f'{aim[task][key]:.3f} at 1.00' for task in aim)]]
  return rows + [[title, *(cells.get((title, task), '') for task in aim)]
                 for title in sorted(mean, key=lambda title: mean[title])]


def _cell(entry, key):
  text = f'{entry.numbers[key]:.3f}'
  text += ' =' * (key == 'gap' and entry.tied)
  seeds = ' (one seed)' if entry.seeds == 1 else ''
  return f'{text} at {entry.numbers["time_share"]:.2f}{seeds}'


def markdown(tables: Mapping[str, Table]) -> str:
  """The page."""
  aim = aims(tables)
  found = entries(tables)
  lines = [
      '# Leaderboard', '',
      'How near a deletion comes to retraining, and what it costs. Written by '
      '`python -m experiments.publish.leaderboard` from the results of '
      '[Table 1](results/README.md); do not edit it.', '',
      'A cell is a mean over seeds of split, request, original and references, '
      "and behind *at* the processor's seconds over those of retraining. What "
      'a method should have is the row *retrained*: a retrained model beside '
      'the others. "=" after a gap: at most that of nine in ten retrained '
      'models, so that it is a tie with retraining by this number alone. Cells '
      'on one seed are from the seed on which settings were chosen (on val) '
      'and rank less surely. Rows are in the order of their mean place over '
      'the data sets; as these hold different methods, two rows compare on the '
      'data sets that both are on.', '']
  for key, title in _RANKED.items():
    lines += [f'## {title}', '', _ABOUT[key], '', *render.markdown_lines(
        ['method', *aim], ranked(found, key, aim)), '']
  lines += ['## Data sets', '']
  for task in aim:
    cells = [cell for table in tables.values() for cell in table['cells']
             if cell['task'] == task]
    lines.append(f'- `{task}`: {summary.about(cells)}')
  return '\n'.join([*lines, '', _HOW_TO, ''])


_ABOUT = {
    'gap': 'Mean absolute difference to the mean of the references in test, '
           'retain and forget accuracy and in the class-matched attack AUC.',
    'lira_auc_two_sided': 'AUC of the distance of each image to what the '
           'references answer, forget against test: what is above the row '
           '*retrained* stands out on the forgotten people, to either side.'}
_HOW_TO = """## Adding a row

One command on your own machine, with your method as a class in a file
([extending.md](extending.md)) and the data, image size, width, epochs and share
of people to forget of a table above (its command is in the JSON):

```sh
python -m experiments.paper.table1 --tasks=demo --methods=my_method.py:Mine \\
    --workdir=runs --out=docs/results/leaderboard/yourname
```

It trains originals and references, searches your method's settings with the
same trials and seconds, runs five seeds and writes one JSON file. Keep
`docs/results/leaderboard/yourname.json`, leave out the rest, and run

```sh
python -m experiments.publish.leaderboard
```

which checks the file and writes this page; your rows carry the file's name. The
schema is `Table` in `experiments/publish/leaderboard.py`: `kind`
(`comparison`), `command`, `device`, `versions`, `plan` (the flags) and `cells`.
A cell is one model on one task and seed: `task`, `seed`, `model`, `title`,
`images`, `image_size`, `splits`, `network`, `train_epochs`, `time_share`
(seconds over retraining's) and `metrics`, each with a `value` in [0, 1]; `gap`
and `lira_auc_two_sided` must be there. The cell `retrained` of every seed has
`references`: the numbers of at least four retrained models, each beside the
others. Another data set, or the same one at another size, is a column of its
own."""


def _define(values: flags.FlagValues) -> None:
  flags.DEFINE_list(
      'tables', [], f'results of table1; default {_OURS} and {_ADDED}',
      flag_values=values)


def find(paths: Sequence[str] = ()) -> dict[str, Table]:
  """The tables by name: those of ``paths``, or all that are in docs.

  Raises:
    FileNotFoundError: if a file is absent.
    ValueError: if one is no table, or there is none.
  """
  found = [pathlib.Path(path) for path in paths] or [
      *sorted(ROOT.glob(_OURS)), *sorted(ROOT.glob(_ADDED))]
  if not found:
    raise ValueError(f'Expected at least one result as {_OURS}, got none.')
  ours = 'table1_'
  names = ['' if path.stem.startswith(ours) else path.stem for path in found]
  tables: dict[str, Table] = {}
  for name, path in zip(names, found, strict=True):
    table = read(path)
    if name in tables:  # all of ours are one
      twice = set(summary.tasks_of(tables[name])) & set(summary.tasks_of(table))
      if twice:
        raise ValueError(f'Expected every task in one of the tables, got '
                         f'{min(twice)} in {path} and another.')
      table = {**tables[name], 'cells': [*tables[name]['cells'],
                                         *table['cells']]}
    tables[name] = table
  return tables


def _execute(values: flags.FlagValues, line: str) -> None:
  del line
  runs.write_text(PAGE, markdown(find(values['tables'].value)))
  print(PAGE)


COMMAND = command.Command(
    'publish.leaderboard', __doc__, _define, _execute, package='experiments')
main = COMMAND.main

if __name__ == '__main__':
  sys.exit(main())
