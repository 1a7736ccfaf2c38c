"""Numbers of Table 1 from its cells: means, ties, pairs, aims.

Pure functions of a table's result; nothing is run here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.paper import summary

Cell = summary.Cell
MINE = 'dlfd_restore'
ORIGINAL, RETRAINED = 'original', 'retrained'
POINT = .9  # of the references left out
REACHED, MISSED, OPEN = 'reached', 'missed', 'cannot say'
# What is compared with retraining, and the margin inside which it is equal.
MARGINS = {'accuracy_test': .03, 'mia_auc_matched': .05,
           'lira_auc_two_sided': .05, 'lira_auc_person': .05}
LEAST_RETAIN, MOST_TIME, NEXT_TIME = .97, 1 / 3, 1 / 10


def value(cell: Cell, name: str) -> float | None:
  """A metric of a cell, or ``'passes'`` or ``'time_share'``."""
  found = cell['metrics'].get(name, {}).get('value')
  return cell.get(name) if found is None else found


def spread(cells: Sequence[Cell], name: str) -> summary.Spread | None:
  """A number over seeds; None if a seed lacks it."""
  values = [value(cell, name) for cell in cells]
  if not values or None in values:
    return None
  return summary.Spread(tuple(float(v) for v in values if v is not None))


def left_out(cells: Sequence[Cell], name: str = 'gap') -> list[float]:
  """A number of every reference of every seed, beside the others."""
  return [each[name] for cell in cells if cell['model'] == RETRAINED
          for each in cell['references'] if each.get(name) is not None]


def point(cells: Sequence[Cell]) -> float:
  """The gap below which nine of ten references lie that were left out."""
  return float(np.quantile(left_out(cells), POINT))


@dataclasses.dataclass(frozen=True)
class Groups:
  """The rows of one task.

  Attributes:
    trained: original and retrained.
    full: methods on all seeds that the task has, the smallest gap first.
    screened: those on fewer, likewise.
    rules: rows that only another rule of selection tells from a full one.
  """

  trained: dict[str, list[Cell]]
  full: dict[str, list[Cell]]
  screened: dict[str, list[Cell]]
  rules: dict[str, list[Cell]]


def groups(cells: Sequence[Cell]) -> Groups:
  """Sorts the cells of one task."""
  by: dict[str, list[Cell]] = {}
  for cell in cells:
    by.setdefault(cell['model'], []).append(cell)
  trained = {name: by.pop(name) for name in (ORIGINAL, RETRAINED) if name in by}
  rules = {name: by.pop(name) for name in list(by) if by[name][0].get('rule')}

  def order(item):
    found = spread(item[1], 'gap')
    return found.mean if found else np.inf

  seeds = len(trained.get(RETRAINED, ()))
  ranked = dict(sorted(by.items(), key=order))
  most = max(map(len, ranked.values()), default=0)
  full = {name: of for name, of in ranked.items() if len(of) == most > 0}
  del seeds
  return Groups(trained, full, {
      name: of for name, of in ranked.items() if name not in full}, rules)
