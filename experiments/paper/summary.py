"""Cells of a table to rows: means, spreads, distances, paired differences.

Pure functions of a table's result; nothing is run here.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from scipy import stats

from dlfd_jax.utils import plugins

Cell = dict[str, Any]
TRAINED = ('original', 'retrained', 'null')
OURS = ('dlfd', 'model')
_LEAST_SEEDS = 3  # that say how much a difference varies
ONE_SEED = 'One seed: another may put them in another order.'
# What "near to retrained" is measured in.
_GAPS = ('accuracy_test', 'accuracy_retain', 'accuracy_forget',
         'mia_auc_matched')


@dataclasses.dataclass(frozen=True)
class Spread:
  """Values over seeds."""

  values: tuple[float, ...]  # one per seed

  @property
  def mean(self) -> float:
    return statistics.fmean(self.values)

  @property
  def deviation(self) -> float | None:
    """Standard deviation over seeds; None of one seed."""
    return statistics.stdev(self.values) if len(self.values) > 1 else None

  @property
  def interval(self) -> tuple[float, float] | None:
    """95 % interval of the mean by Student's t; None of one seed."""
    if self.deviation is None:
      return None
    n = len(self.values)
    half = float(stats.t.ppf(.975, n - 1)) * self.deviation / math.sqrt(n)
    return self.mean - half, self.mean + half

  def text(self, digits: int = 3) -> str:
    """``mean ± deviation``."""
    if self.deviation is None:
      return f'{self.mean:.{digits}f}'
    return f'{self.mean:.{digits}f} ± {self.deviation:.{digits}f}'


def key_of(cell: Cell) -> tuple[str, str]:
  """Which row a cell belongs to."""
  return cell['model'], cell.get('state', 'model')


def title_of(cell: Cell) -> str:
  """The name of a cell's row."""
  title = cell.get('title', cell['model'])
  return f'{title}, last state' if key_of(cell)[1] == 'last' else title


def about(cells: Sequence[Cell]) -> str:
  """The data, network and training behind a task's cells, in sentences."""
  first = cells[0]
  network = first['network']
  parts = ', '.join(f'{n} {name}' for name, n in first['splits'].items())
  seeds = sorted({cell['seed'] for cell in cells})
  fits = [c['original_train_accuracy'] for c in cells
          if c['model'] == 'original']
  classes = f', {first["classes"]} classes' if 'classes' in first else ''
  width = f' of width {network["width"]}' * (
      not plugins.is_spec(network['architecture']))
  return (
      f'{first["images"]} images at {first["image_size"]} px{classes}; seed '
      f'{seeds[0]}: {parts}. {network["architecture"]}{width}, '
      f'{first["train_epochs"]} epochs; train accuracy of the originals '
      f'{min(fits):.3f} to {max(fits):.3f}. Seeds: '
      f'{", ".join(map(str, seeds))}.')


def origin(result: dict[str, Any]) -> list[str]:
  """The first lines of a page: command and machine, an open paragraph."""
  return [f'Command: `{result["command"]}`', '',
          f'Machine: {result["device"]}, {result["devices"]} device(s), jax '
          f'{result["versions"]["jax"]}. Written by the program']


def own_columns(result: dict[str, Any]) -> list[tuple[str, str]]:
  """Title and name of the metrics of one's own."""
  return [(of['short'], name)
          for name, of in (result.get('own_metrics') or {}).items()]


def value(cell: Cell, metric: str) -> float | None:
  """One metric of a cell, None if it was not computed."""
  return cell['metrics'].get(metric, {}).get('value')


def tasks_of(result: dict[str, Any]) -> dict[str, list[Cell]]:
  """The cells of each task, in order."""
  tasks: dict[str, list[Cell]] = {}
  for cell in result['cells']:
    tasks.setdefault(cell['task'], []).append(cell)
  return tasks


def rows_of(cells: Sequence[Cell]) -> dict[tuple[str, str], list[Cell]]:
  """The cells of each row of one task, in order."""
  rows: dict[tuple[str, str], list[Cell]] = {}
  for cell in cells:
    rows.setdefault(key_of(cell), []).append(cell)
  return rows


def by_model(cells: Sequence[Cell]) -> dict[str, list[Cell]]:
  """The cells of each model of one task, in order."""
  models: dict[str, list[Cell]] = {}
  for cell in cells:
    models.setdefault(cell['model'], []).append(cell)
  return models


def spread(rows: Sequence[Cell], metric: str) -> Spread | None:
  """A metric over seeds; None if a seed lacks it."""
  values = [value(cell, metric) for cell in rows]
  if not values or None in values:
    return None
  return Spread(tuple(float(v) for v in values if v is not None))


def distance(cell: Cell, retrained: Cell) -> float | None:
  """Distance to the retrained model of the same seed, in [0, 1].

  The mean of the absolute differences in test, retain and forget accuracy and
  in the attack's AUC (the average gap of Fan et al. 2024, arXiv:2310.12508,
  with the AUC as its attack).
  """
  gaps = []
  for metric in _GAPS:
    ours, theirs = value(cell, metric), value(retrained, metric)
    if ours is None or theirs is None:
      return None
    gaps.append(abs(ours - theirs))
  return statistics.fmean(gaps)


def distances(cells: Sequence[Cell]) -> dict[tuple[str, str], Spread]:
  """Each row's distance to retrained over seeds; rows without it are out."""
  retrained = {c['seed']: c for c in cells if c['model'] == 'retrained'}
  found = {}
  for key, rows in rows_of(cells).items():
    gaps = [distance(c, retrained[c['seed']]) for c in rows]
    if None not in gaps:
      found[key] = Spread(tuple(float(g) for g in gaps if g is not None))
  return found


def paired(cells: Sequence[Cell], first: tuple[str, str],
           second: tuple[str, str], metric: str) -> Spread | None:
  """``first`` minus ``second`` by seed; None if they share no seed.

  ``metric`` is one of a cell or ``'distance'``.
  """
  by = rows_of(cells)
  retrained = {c['seed']: c for c in cells if c['model'] == 'retrained'}

  def of(cell):
    if metric == 'distance':
      return distance(cell, retrained[cell['seed']])
    return value(cell, metric)

  one, other = ({c['seed']: of(c) for c in by.get(key, ())}
                for key in (first, second))
  shared = sorted(set(one) & set(other))
  found = [one[s] - other[s] for s in shared
           if one[s] is not None and other[s] is not None]
  return Spread(tuple(found)) if found else None


def ranked(cells: Sequence[Cell]) -> list[tuple[str, str]]:
  """Unlearned rows, the nearest to retrained first, then by NoMUS."""
  found = {key: of for key, of in distances(cells).items()
           if key[0] not in TRAINED}
  by = rows_of(cells)

  def order(key):
    nomus = spread(by[key], 'nomus')
    return found[key].mean, -(nomus.mean if nomus else 0.0)

  return sorted(found, key=order)


def standing(cells: Sequence[Cell], ours: str = 'dlfd') -> list[str]:
  """Where one method stands among the others, in sentences."""
  keys = [key for key in ranked(cells) if key[1] == 'model']
  mine = (ours, 'model')
  if mine not in keys or len(keys) < 2:
    return []
  by = rows_of(cells)
  title = {key: by[key][0]['title'] for key in keys}
  found = distances(cells)
  place = keys.index(mine) + 1
  lines = [
      f'By distance to the retrained model {title[mine]} is number {place} of '
      f'{len(keys)} ({found[mine].text()}); the nearest is {title[keys[0]]} '
      f'({found[keys[0]].text()}).']
  nomus = {key: of for key in keys
           if (of := spread(by[key], 'nomus')) is not None}
  if mine in nomus:
    best = sorted(nomus, key=lambda key: -nomus[key].mean)
    lines.append(
        f'By NoMUS it is number {best.index(mine) + 1} of {len(best)} '
        f'({nomus[mine].text()}); the highest is {title[best[0]]} '
        f'({nomus[best[0]].text()}).')
  lines += _beside_the_order(cells, found, mine)
  rival = next(key for key in keys if key != mine)
  for metric, what in (('distance', 'distance to retrained'),
                       ('nomus', 'NoMUS')):
    change = paired(cells, mine, rival, metric)
    if change is None or change.interval is None:
      continue
    low, high = change.interval
    verdict = ('two seeds do not say how much it varies'
               if len(change.values) < _LEAST_SEEDS else
               'the seeds cannot tell them apart' if low <= 0 <= high
               else 'the difference is larger than the seeds vary')
    lines.append(
        f'{title[mine]} minus {title[rival]}, paired by seed, {what}: '
        f'{change.mean:+.3f} [{low:+.3f}, {high:+.3f}]; {verdict}.')
  return lines


def _beside_the_order(cells: Sequence[Cell],
                      found: Mapping[tuple[str, str], Spread],
                      mine: tuple[str, str]) -> list[str]:
  """What the order of the methods does not say."""
  lines = []
  if len({cell['seed'] for cell in cells}) == 1:
    lines.append(ONE_SEED)
  last = found.get((mine[0], 'last'))
  if last is not None and last.mean < found[mine].mean:
    lines.append('Ranked are the states that the methods select; its last '
                 f'state is nearer ({last.text()}).')
  original = found.get(('original', 'model'))
  if original is not None and original.mean <= found[mine].mean:
    lines.append('The original, which has forgotten nobody, is as near as that '
                 f'or nearer ({original.text()}): a small distance is no sign '
                 'of forgetting here.')
  return lines


def of(result: dict[str, Any]) -> list[dict[str, Any]]:
  """Every row's metrics over seeds, and ours minus them, paired by seed.

  Returns:
    One entry for each task, row and metric, ``'distance'`` among them: ``mean``
    and ``dlfd_minus``, each with value and 95 % interval of Student's
    t (None of one seed), or None where a seed lacks it.
  """
  found = []
  for task, cells in tasks_of(result).items():
    for key, rows in rows_of(cells).items():
      for metric in ('distance', *rows[0]['metrics']):
        over = (distances(cells).get(key) if metric == 'distance'
                else spread(rows, metric))
        change = None if key == OURS else paired(cells, OURS, key, metric)
        found.append({
            'task': task, 'model': key[0], 'state': key[1], 'metric': metric,
            'mean': numbers(over), 'dlfd_minus': numbers(change)})
  return found


def numbers(found: Spread | None) -> dict[str, float | None] | None:
  """A spread as a result holds it."""
  if found is None:
    return None
  low, high = found.interval or (None, None)
  return {'value': found.mean, 'low': low, 'high': high}
