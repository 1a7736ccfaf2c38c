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
_ROUNDING = 1e-9
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


def quantile(values: Sequence[float]) -> float:
  """The point below which nine in ten values lie."""
  return float(np.quantile(values, POINT))


def point(cells: Sequence[Cell]) -> float:
  """The gap below which nine in ten references lie that were left out."""
  return quantile(left_out(cells))


def sees(cells: Sequence[Cell]) -> bool:
  """Whether the gap tells the original, which has forgotten nobody, apart."""
  original = spread([c for c in cells if c['model'] == ORIGINAL], 'gap')
  return original is None or original.mean > point(cells)


def tied(cells: Sequence[Cell], of_task: Sequence[Cell]) -> bool:
  """Whether a method's mean gap is one that a reference may have.

  Nobody's is where the original's is one, too.

  Args:
    cells: of the method.
    of_task: all cells of the task.
  """
  found = spread(cells, 'gap')
  return (found is not None and found.mean <= point(of_task)
          and sees(of_task))


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
  by = summary.by_model(cells)
  trained = {name: by.pop(name) for name in (ORIGINAL, RETRAINED) if name in by}
  rules = {name: by.pop(name) for name in list(by) if by[name][0].get('rule')}

  def order(item):
    found = spread(item[1], 'gap')
    return found.mean if found else np.inf

  ranked = dict(sorted(by.items(), key=order))
  most = max(map(len, ranked.values()), default=0)
  full = {name: of for name, of in ranked.items() if len(of) == most > 0}
  return Groups(trained, full, {
      name: of for name, of in ranked.items() if name not in full}, rules)


def numbers(cells: Sequence[Cell],
            names: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
  """Means and intervals of every row of every task, as a result holds them."""
  found: dict[str, list[dict[str, Any]]] = {}
  for task, of_task in summary.tasks_of({'cells': list(cells)}).items():
    by = groups(of_task)
    found[task] = [
        {'name': name, 'title': rows[0]['title'], 'seeds': len(rows), **{
            key: summary.numbers(spread(rows, key)) for key in names}}
        for name, rows in {**by.trained, **by.full, **by.screened}.items()]
  return found


@dataclasses.dataclass(frozen=True)
class Aim:
  """What a deletion asks for, and what was found.

  Attributes:
    text: the aim, in words.
    found: what there is, None if nothing was measured.
    low: lower end of the 95 % interval over seeds, None of one seed.
    high: upper end.
    verdict: ``REACHED``, ``MISSED`` or ``OPEN``.
  """

  text: str
  found: float | None
  low: float | None
  high: float | None
  verdict: str


def within(of: summary.Spread | None, margin: float, text: str) -> Aim:
  """Whether a difference is equal to 0 but for a margin.

  Reached where the whole interval lies inside the margin, missed where it lies
  outside, open otherwise: few seeds cannot show equality.
  """
  if of is None or of.interval is None:
    return Aim(text, of and of.mean, None, None, OPEN)
  low, high = of.interval
  verdict = (REACHED if -margin < low <= high < margin else
             MISSED if low > margin or high < -margin else OPEN)
  return Aim(text, of.mean, low, high, verdict)


def at_most(of: summary.Spread | None, most: float, text: str) -> Aim:
  """Whether the mean over seeds is not above a limit; a sign turns it round."""
  if of is None:
    return Aim(text, None, None, None, OPEN)
  low, high = of.interval or (None, None)
  return Aim(text, of.mean, low, high, REACHED if (
      of.mean <= most + _ROUNDING) else MISSED)


def paired(cells: Sequence[Cell], label: str,
           name: str) -> summary.Spread | None:
  """A method minus retraining, seed by seed; None if a seed lacks the number.

  Retraining is the mean of the references, each beside the others where the
  number is of an attack with references.
  """
  found = _by_seed([cell for cell in cells if cell['model'] == label],
                   [cell for cell in cells if cell['model'] == RETRAINED], name)
  if not found or any(None in pair for pair in found):
    return None
  return summary.Spread(tuple(
      float(one) - float(other) for one, other in found))  # type: ignore


def _by_seed(of: Sequence[Cell], than: Sequence[Cell], name: str
             ) -> list[tuple[float | None, float | None]]:
  """A number of two rows on each seed that both have."""
  others = {cell['seed']: cell for cell in than}
  return [(value(cell, name), value(others[cell['seed']], name))
          for cell in of if cell['seed'] in others]


def larger(of: Sequence[Cell], than: Sequence[Cell],
           name: str = 'gap') -> bool | None:
  """Whether one row's number is above another's by more than seeds vary.

  By the 95 % interval of the differences, paired by seed; None where fewer than
  two seeds have both.
  """
  over = summary.Spread(tuple(
      one - other for one, other in _by_seed(of, than, name)
      if one is not None and other is not None))
  if len(over.values) < 2 or over.interval is None:
    return None
  return over.interval[0] > 0


def aims(cells: Sequence[Cell], label: str = MINE) -> list[Aim]:
  """The aims of one method on one task; none if it was not run."""
  mine = [cell for cell in cells if cell['model'] == label]
  if not mine:
    return []
  limit = point(cells)
  words = {'accuracy_test': 'test accuracy', 'mia_auc_matched': 'attack AUC',
           'lira_auc_two_sided': 'LiRA, two-sided',
           'lira_auc_person': 'LiRA, by person'}
  near = at_most(spread(mine, 'gap'), limit,
                 'gap at most that of nine in ten references left out '
                 f'({limit:.3f})')
  if not sees(cells):
    near = dataclasses.replace(near, verdict=OPEN)
  retain = spread(mine, 'accuracy_retain')
  below = at_most(
      retain and summary.Spread(tuple(-v for v in retain.values)),
      -LEAST_RETAIN, f'retain accuracy of at least {LEAST_RETAIN}')
  return [
      near,
      *(within(paired(cells, label, name), margin,
               f'{words[name]} minus retraining inside {margin}')
        for name, margin in MARGINS.items()),
      dataclasses.replace(
          below, found=below.found and -below.found,
          low=below.high and -below.high, high=below.low and -below.low),
      *(at_most(spread(mine, 'time_share'), most,
                f"at most {words} of retraining's seconds")
        for most, words in ((MOST_TIME, 'a third'), (NEXT_TIME, 'a tenth')))]


def missing(plan: dict[str, Any], cells: Sequence[Cell],
            labels: Sequence[str]) -> list[str]:
  """What the plan asks for and a task lacks, in sentences; none if whole.

  Args:
    plan: the flags of the table.
    cells: of the task.
    labels: of all methods of the plan.
  """
  by = groups(cells)
  seeds = {name: len(of) for name, of in {
      **by.full, **by.screened, **by.rules}.items()}
  untried = [label for label in labels if label not in seeds]
  found = []
  if untried:
    found.append(f'not run yet: {", ".join(untried)}')
  most = max(seeds.values(), default=0)
  if most < plan['seeds']:
    found.append(f'{most} of {plan["seeds"]} seeds')
  started = len(by.trained.get(RETRAINED, ()))
  few = [name for name, n in seeds.items() if 1 < n < most] if most > 1 else []
  if started > most:
    found.append(f'seed {started - 1} has been trained but no method run')
  if few:
    found.append(f'on fewer seeds than others: {", ".join(few)}')
  return found
