"""Figures over tasks and seeds: the trade-off, and the gain by complexity."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import patches, ticker

from dlfd_jax.report import canvas, palette, panels as panels_lib


@dataclasses.dataclass(frozen=True)
class Figure:
  """A number over seeds.

  Attributes:
    mean: over seeds.
    low: mean minus the spread.
    high: mean plus the spread.
  """

  mean: float
  low: float
  high: float


@dataclasses.dataclass(frozen=True)
class Point:
  """One row of a table on one task: its look, title and two figures."""

  name: str
  title: str
  attack_auc: Figure
  accuracy_test: Figure


@dataclasses.dataclass(frozen=True)
class Gain:
  """DLFD minus another method on one task.

  Attributes:
    task: its name.
    classes: of the task.
    against: ``'finetune'`` or ``'best'``.
    rival: title of the other method.
    values: difference of each seed.
  """

  task: str
  classes: int
  against: str
  rival: str
  values: tuple[float, ...]

  @property
  def mean(self) -> float:
    return float(np.mean(self.values))

  @property
  def deviation(self) -> float:
    """Standard deviation over seeds; 0 of one seed."""
    return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else 0.0


def tradeoff(tasks: Mapping[str, Sequence[Point]], *, spread: str,
             format: str = 'svg') -> bytes:
  """Test accuracy against attack AUC, one panel a task.

  Args:
    tasks: rows of each task; ``retrained`` is the target.
    spread: what the bars are, in words.
    format: ``svg`` or ``png``.

  Returns:
    The picture; the shaded cross is the retrained model's bar on both axes. A
    task of many rows has a second panel, of the half nearest to that model.

  Raises:
    ValueError: if there is no task, a task has no row, or no such format.
  """
  empty = [task for task, points in tasks.items() if not points]
  if empty or not tasks:
    raise ValueError(
        'Expected rows with an attack AUC and a test accuracy, got none'
        f'{" for " + ", ".join(empty) if empty else ""}.')
  titles = {p.name: p.title for points in tasks.values() for p in points}
  looks = palette.styles(list(titles))
  windows = {task: _window(points) for task, points in tasks.items()}
  rows, columns = panels_lib.shape(len(tasks), 3)
  if any(windows.values()):
    rows, columns = len(tasks), 2
  across = columns + (columns > 1)
  legend_rows = -(-len(titles) // across)
  with canvas.drawing(max(3.5 * columns, 6.4),
                      3.0 * rows + .25 * legend_rows + .5) as figure:
    grid = list(figure.subplots(rows, columns, squeeze=False).reshape(-1))
    for task, points in tasks.items():
      axis, window = grid.pop(0), windows[task]
      _panel(axis, task, points, looks)
      if window is not None:
        _zoom(axis, grid.pop(0), window, points, looks)
      elif any(windows.values()):
        grid.pop(0).remove()
    for unused in grid:
      unused.remove()
    figure.suptitle(f'Skill kept against traces left; bars: {spread}', x=.01,
                    ha='left', fontsize=11, fontweight='bold')
    figure.legend(
        [_handle(figure.axes[0], looks[name]) for name in titles],
        list(titles.values()), loc='outside lower left', ncols=across)
    return canvas.to_bytes(figure, format)


def _panel(axis, title, points, looks):
  _target(axis, points)
  for point in points:
    _mark(axis, point, looks[point.name])
  axis.axvline(.5, color=canvas.COLORS['null'], linestyle=':', linewidth=1)
  axis.margins(.08)
  axis.set(title=title, xlabel='attack AUC, class-matched (dotted: a guess)',
           ylabel='accuracy on test')


_CROWD = 8  # rows of a task from which on the nearest are drawn again, larger


def _window(points) -> tuple[tuple[float, float], tuple[float, float]] | None:
  """Limits of both axes around the half nearest to retrained; None of few."""
  targets = [point for point in points if point.name == 'retrained']
  if not targets or len(points) < _CROWD:
    return None

  def place(point):
    return np.array([point.attack_auc.mean, point.accuracy_test.mean])

  target = place(targets[0])
  near = sorted((place(point) for point in points),
                key=lambda at: float(np.hypot(*(at - target))))
  shown = np.array(near[:len(points) // 2 + 1])
  low, high = shown.min(0), shown.max(0)
  pad = .15 * (high - low) + .003
  first, second = zip((low - pad).tolist(), (high + pad).tolist(), strict=True)
  return first, second


def _zoom(axis, other, window, points, looks):
  """``other`` shows what lies in ``window`` of ``axis``, where it is framed."""
  (left, right), (bottom, top) = window
  inside = [point for point in points
            if left <= point.attack_auc.mean <= right
            and bottom <= point.accuracy_test.mean <= top]
  _panel(other, 'in the dashed frame', inside, looks)
  other.set_xlim(left, right)
  other.set_ylim(bottom, top)
  axis.add_patch(patches.Rectangle(
      (left, bottom), right - left, top - bottom, fill=False, linestyle='--',
      linewidth=.9, edgecolor=canvas.COLORS['null'], zorder=5))


def _target(axis, points):
  for point in points:
    if point.name == 'retrained':
      for found, span in ((point.attack_auc, axis.axvspan),
                          (point.accuracy_test, axis.axhspan)):
        span(found.low, found.high, color=canvas.COLORS['retrained'],
             alpha=.12, linewidth=0)


def _mark(axis, point, look):
  x, y = point.attack_auc, point.accuracy_test
  _, _, bars = axis.errorbar(
      x.mean, y.mean, xerr=[[x.mean - x.low], [x.high - x.mean]],
      yerr=[[y.mean - y.low], [y.high - y.mean]], fmt=look.marker,
      color=look.color, markerfacecolor=look.face, markeredgecolor=look.edge,
      markersize=7 if look.filled else 10,  # a ring around what it hides
      elinewidth=.8, capsize=2,
      zorder=4 if point.name in ('dlfd', 'retrained') else 3)
  for bar in bars:
    bar.set_alpha(.6)


def _handle(axis, look) -> Any:
  return axis.plot([], [], linestyle='none', marker=look.marker, markersize=7,
                   color=look.color, markerfacecolor=look.face,
                   markeredgecolor=look.edge)[0]


_AGAINST = {
    'finetune': ('minus fine-tuning', palette.ORANGE, 'v', -.12),
    'best': ('minus the best other', palette.BLACK, 'D', .12)}


def complexity(gains: Sequence[Gain], *, format: str = 'svg') -> bytes:
  """DLFD's gain in NoMUS by the number of classes.

  Args:
    gains: at least one.
    format: ``svg`` or ``png``.

  Returns:
    The picture: mean and standard deviation over seeds, each seed a dot.

  Raises:
    ValueError: if there is no gain, or no such format.
  """
  if not gains:
    raise ValueError('Expected a task with DLFD and another row, got none.')
  places = _places(gains)
  apart = len({gain.against for gain in gains}) > 1
  with canvas.drawing(7.2, 4.0) as figure:
    axis = figure.subplots()
    for against, (label, color, marker, shift) in _AGAINST.items():
      chosen = [gain for gain in gains if gain.against == against]
      if not chosen:
        continue
      x = np.array([places[gain.task] + shift * apart for gain in chosen])
      for place, gain in zip(x, chosen):
        axis.scatter(np.full(len(gain.values), place), gain.values, s=9,
                     color=color, alpha=.5, linewidths=0, zorder=2)
      axis.errorbar(
          x, [gain.mean for gain in chosen],
          yerr=[gain.deviation for gain in chosen], fmt=marker, color=color,
          markeredgecolor=palette.EDGE, markersize=7, capsize=3,
          linewidth=1.1, label=f'DLFD {label}', zorder=3)
    axis.axhline(0, color=canvas.COLORS['null'], linewidth=1)
    names = {gain.task: gain.classes for gain in gains}
    order = sorted(names, key=places.__getitem__)
    alone = len(set(names.values())) == len(names)
    axis.xaxis.set_major_locator(ticker.FixedLocator(
        [places[name] for name in order]))
    axis.set_xticklabels([
        f'{names[name]}' if alone else f'{names[name]}\n{name}'
        for name in order], rotation=0 if alone or len(order) < 5 else 20)
    axis.set_xlim(min(places.values()) - .6, max(places.values()) + .6)
    shared = os.path.commonprefix(order) if alone else ''
    shared = (shared.rpartition('-')[0] or shared).strip('-_ ')
    axis.set(title='Gain of DLFD by the complexity of the task',
             xlabel='number of classes or label vectors'
             + (f' of {shared}' if shared else '' if alone else ' and task')
             + '\ndots: seeds; bars: one standard deviation over them',
             ylabel='NoMUS of DLFD minus the other')
    figure.legend(loc='outside lower center', ncols=2)
    return canvas.to_bytes(figure, format)


def _places(gains) -> dict[str, float]:
  """Position of each task: its classes, moved apart where they are equal."""
  tasks = {gain.task: gain.classes for gain in gains}
  found = {}
  for classes in sorted(set(tasks.values())):
    alike = [task for task, count in tasks.items() if count == classes]
    for i, task in enumerate(alike):
      found[task] = classes + .9 * (i - (len(alike) - 1) / 2) / max(
          len(alike), 1)
  return found
