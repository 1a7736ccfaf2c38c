"""Plots of an evaluation as PNG or SVG bytes, equal for equal input.

Every function draws on a matplotlib figure of its own, outside pyplot.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import patches, ticker

from dlfd_jax.evaluation import registry
from dlfd_jax.evaluation.estimate import Estimate
from dlfd_jax.metrics import ranks
from dlfd_jax.report import drawing, names, tables

Arrays = Mapping[str, np.ndarray]

NARROW = 4.4  # inches: a plot that stands beside text
_LEAST_LOSS = 1e-4  # nats; smaller losses share the first bin
_TICKS = (.001, .01, .1, 1, 10, 100)  # nats
_LINES = {
    'original': ('--', drawing.VERMILION), 'unlearned': ('-', drawing.BLUE),
    'retrained': ('-.', drawing.GREEN)}
_PHASES = {'distance': drawing.ORANGE, 'finetune': drawing.SKY}
_OTHER_PHASE = '#BBBBBB'
_CROWD = 8  # models of a task from which on the nearest are drawn again, larger


def loss_histograms(arrays: Arrays, *, format: str = 'svg',
                    stacked: bool = False) -> bytes:
  """Losses of forget and of unseen (test) images, one panel per model.

  Args:
    arrays: ``{model}/{split}/loss`` in nats, for the splits forget and test.
    format: ``svg`` or ``png``.
    stacked: one panel below the other, as narrow as ``NARROW``.

  Returns:
    The picture. All panels share both axes; the horizontal one is logarithmic
    and losses below 1e-4 nats stand in its first bin. Of several retrained
    models the first is shown.

  Raises:
    ValueError: if there is no model, or no such format.
  """
  models = [model for model in names.models_in(arrays)
            if model in ('original', 'unlearned', 'retrained_0')]
  losses = {part: np.maximum(values, _LEAST_LOSS)
            for part, values in _losses(arrays, models).items()}
  largest = max(float(values.max(initial=1.0)) for values in losses.values())
  edges = np.geomspace(_LEAST_LOSS, largest * 1.001, 31)
  rows, columns, size = ((len(models), 1, (NARROW, .75 + .9 * len(models)))
                         if stacked else (1, len(models), (8.2, 2.7)))
  with drawing.new_figure(*size) as figure:
    axes = figure.subplots(
        rows, columns, sharex=True, sharey=True, squeeze=False).reshape(-1)
    for axis, model in zip(axes, models):
      for split, color, label, fill in (
          ('test', drawing.UNSEEN, 'unseen (test)', True),
          ('forget', drawing.FORGET, 'forget', False)):
        values = losses[model, split]
        share = np.histogram(values, edges)[0] / max(values.size, 1)
        axis.stairs(share, edges, fill=fill, color=color, label=label,
                    alpha=.45 if fill else 1, linewidth=1.6)
      axis.set(title=model.partition('_')[0].capitalize(), xscale='log',
               xlim=(edges[0], edges[-1]))
      axis.yaxis.set_major_formatter(ticker.PercentFormatter(1))
      axis.set_xticks([tick for tick in _TICKS if tick < edges[-1]])
      axis.xaxis.set_major_formatter('{x:g}')
    axes[len(models) // 2 if stacked else 0].set_ylabel('share of images')
    figure.supxlabel(
        f'loss in nats, logarithmic; the first bin holds all below '
        f'{_LEAST_LOSS:g}', fontsize=8 if stacked else 9)
    figure.legend(*axes[0].get_legend_handles_labels(), ncols=2,
                  loc='outside upper right')
    return drawing.to_bytes(figure, format)


def roc_curves(arrays: Arrays, *, format: str = 'svg') -> bytes:
  """ROC curves of the attack "low loss = was a member", forget against test.

  Args:
    arrays: ``{model}/{split}/loss`` in nats, for the splits forget and test.
    format: ``svg`` or ``png``.

  Returns:
    The picture: left the whole curve with the signed AUC, right its part at
    low false-positive rates on logarithmic axes, down to one test image.

  Raises:
    ValueError: if there is no model, or no such format.
  """
  models = names.models_in(arrays)
  losses = _losses(arrays, models)
  with drawing.new_figure(8.2, 3.6) as figure:
    full, low = figure.subplots(1, 2)
    floor = 1.0
    for model in models:
      forget, test = -losses[model, 'forget'], -losses[model, 'test']
      fpr, tpr = ranks.roc(forget, test)
      kind, _, number = model.partition('_')
      several = f'{kind}_1' in models
      label = f'{kind} {number}' if number and several else kind
      line, color = _LINES[kind]
      style = {'color': color, 'linestyle': line,
               'linewidth': 1.0 if several and number else 1.7}
      full.plot(fpr, tpr, label=f'{label}: {ranks.area(fpr, tpr):.3f}', **style)
      # A logarithmic axis has no 0: such rates stand below the least possible.
      least = 1 / test.size
      floor = min(floor, least, 1 / forget.size)
      low.plot(np.maximum(fpr, least), np.maximum(tpr, 1 / forget.size / 2),
               **style)
    grid = np.geomspace(floor, 1, 50)
    full.plot([0, 1], [0, 1], color=drawing.NULL, linewidth=.8,
              linestyle=':', label='guess: 0.500')
    low.plot(grid, grid, color=drawing.NULL, linewidth=.8,
             linestyle=':')
    rates = {'xlabel': 'false-positive rate (test images)',
             'ylabel': 'true-positive rate (forget images)'}
    full.set(title='Membership attack by loss', xlim=(0, 1), ylim=(0, 1.01),
             **rates)
    full.legend(loc='lower right', title='signed AUC', title_fontsize=8)
    low.set(title='At low false-positive rates', xscale='log', yscale='log',
            xlim=(min(floor, .5), 1), ylim=(min(floor, .5), 1.1), **rates)
    for side in (low.xaxis, low.yaxis):
      side.set_major_formatter('{x:g}')
    return drawing.to_bytes(figure, format)


def trace(history: Sequence[Mapping[str, Any]], *,
          thresholds: Mapping[str, tuple[str, float]] | None = None,
          selected_step: int | None = None, format: str = 'svg') -> bytes:
  """How an unlearning run went: score, signed AUC and accuracy over steps.

  Args:
    history: events of ``metrics.jsonl``; those of kind ``check`` are read.
    thresholds: by name, what each is a value of (``forgetting_score``, or
      ``mia_auc`` for ``2 |AUC - .5|``) and the value, from 0 to 1.
    selected_step: the step of the state that was returned.
    format: ``svg`` or ``png``.

  Returns:
    The picture; the background shows the phase of the steps.

  Raises:
    ValueError: if no event is a check, or no such format.
  """
  checks = [event for event in history if event.get('event') == 'check']
  if not checks:
    raise ValueError(
        "Expected at least one event of kind 'check', got none in "
        f'{len(history)} events.')
  steps = [check['step'] for check in checks]
  panels = (('forgetting_score', 'forgetting\nscore'),
            ('mia_auc', 'attack AUC\n(signed)'),
            ('val_accuracy', 'accuracy\non val'))
  with drawing.new_figure(8.2, 4.6) as figure:
    axes = figure.subplots(len(panels), 1, sharex=True)
    for axis, (name, label) in zip(axes, panels):
      _shade_phases(axis, checks)
      values = [math.nan if c.get(name) is None else c[name] for c in checks]
      axis.plot(steps, values, color=drawing.BLUE, marker='o',
                markersize=3, linewidth=1.4)
      axis.set_ylabel(label)
      if selected_step is not None:
        axis.axvline(selected_step, color='black', linewidth=1,
                     label='returned state')
    for (name, (of, value)), style in zip(
        (thresholds or {}).items(), ((0, (1, 2)), '--')):
      axis, at = (axes[1], (.5 + value / 2, .5 - value / 2)) if (
          of == 'mia_auc') else (axes[0], (value,))
      for height in at:
        axis.axhline(height, color=drawing.NULL, linestyle=style, linewidth=1,
                     label=name if height == at[0] else None)
    axes[1].axhline(.5, color=drawing.NULL, linestyle=':', linewidth=1)
    axes[0].set_ylim(bottom=0)
    axes[0].set_title('Unlearning, measured on val')
    axes[0].xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
    axes[-1].set_xlabel('step')
    axes[-1].set_xlim(steps[0], max(steps[-1], steps[0] + 1))
    named = {label: handle for axis in axes[:2] for handle, label in zip(
        *axis.get_legend_handles_labels(), strict=True)}
    if named:
      figure.legend(named.values(), named.keys(), loc='outside lower center',
                    ncols=len(named))
    return drawing.to_bytes(figure, format)


def _shade_phases(axis: Any, checks: Sequence[Mapping[str, Any]]) -> None:
  """Bands in the phase's colour from each check to the next."""
  named: set[str] = set()
  for check, after in zip(checks, checks[1:]):
    phase = str(check.get('next_phase', ''))
    color = _PHASES.get(phase, _OTHER_PHASE)
    label = None if phase in named else f'{phase} steps'
    axis.axvspan(check['step'], after['step'], color=color, alpha=.18,
                 linewidth=0, label=label)
    named.add(phase)


@dataclasses.dataclass(frozen=True)
class Point:
  """A model in the trade-off plot.

  Attributes:
    name: decides its look, see ``drawing.styles``.
    title: for readers.
    attack_auc: horizontal position, maybe with an interval.
    accuracy_test: vertical position, maybe with an interval.
  """

  name: str
  title: str
  attack_auc: Estimate
  accuracy_test: Estimate


def points_of(result: tables.Result,
              unlearned: Mapping[str, tables.Result] | None = None
              ) -> list[Point]:
  """The models of an evaluation as points of the trade-off plot.

  Args:
    result: original and retrained are read from it.
    unlearned: evaluations of the same request by the name of their unlearned
      model; default: ``result`` alone.

  Returns:
    Original, unlearned and retrained; a model that lacks a value is left out.
  """
  columns = [('original', result, 'original')]
  columns += [(name, each, 'unlearned')
              for name, each in (unlearned or {'unlearned': result}).items()]
  points = [
      Point(name, name, tables.find_cell(each, registry.MAIN_ATTACK, column),
            tables.find_cell(each, 'accuracy_test', column))
      for name, each, column in (*columns, ('retrained', result, 'retrained'))]
  return [point for point in points
          if None not in (point.attack_auc.value, point.accuracy_test.value)]


def trade_off(points: Sequence[Point], *, format: str = 'svg',
              narrow: bool = False) -> bytes:
  """:func:`trade_offs` of one request; the bars are 95 % intervals."""
  return trade_offs({'': points}, bars='95 % intervals', format=format,
                    narrow=narrow)


def trade_offs(tasks: Mapping[str, Sequence[Point]], *, bars: str,
               format: str = 'svg', narrow: bool = False) -> bytes:
  """Test accuracy against the main attack, one panel a task.

  Args:
    tasks: the models of each task; ``retrained`` is the target.
    bars: what the intervals are, in words.
    format: ``svg`` or ``png``.
    narrow: as narrow as ``NARROW`` where there is one task of few models.

  Returns:
    The picture; the shaded cross is the retrained model's interval on both
    axes. A task of many models has a second panel, of the half nearest to
    retrained.

  Raises:
    ValueError: if there is no task, a task has no model, or no such format.
  """
  empty = [task for task, points in tasks.items() if not points]
  if empty or not tasks:
    raise ValueError(
        'Expected models with an attack AUC and a test accuracy, got none'
        f'{" for " + ", ".join(empty) if any(empty) else ""}.')
  titles = {p.name: p.title for points in tasks.values() for p in points}
  looks = drawing.styles(list(titles))
  windows = {task: _window(points) for task, points in tasks.items()}
  rows, columns = drawing.grid_shape(len(tasks), 3)
  if any(windows.values()):
    rows, columns = len(tasks), 2
  across = max(columns + 1, 3)  # titles in a row of the legend
  height = (2.2 if narrow else 3.0) * rows + .5
  height += .25 * math.ceil(len(titles) / across)
  with drawing.new_figure(
      max(3.5 * columns, NARROW if narrow else 6.4), height,
      'Test accuracy against attack AUC' + (
          '' if narrow else f'; bars: {bars}')) as figure:
    grid = list(figure.subplots(rows, columns, squeeze=False).reshape(-1))
    for task, points in tasks.items():
      axis, window = grid.pop(0), windows[task]
      _trade_off_panel(axis, task, points, looks)
      if window is not None:
        _zoom(axis, grid.pop(0), window, points, looks)
      elif any(windows.values()):
        grid.pop(0).remove()
    for unused in grid:
      unused.remove()
    handles = [
        figure.axes[0].plot(
            [], [], linestyle='none', marker=look.marker, markersize=7,
            color=look.color, markerfacecolor=look.face,
            markeredgecolor=look.edge)[0] for look in looks.values()]
    figure.legend(handles, list(titles.values()), loc='outside lower left',
                  ncols=across)
    return drawing.to_bytes(figure, format)


def _trade_off_panel(axis: Any, title: str, points: Sequence[Point],
                     looks: Mapping[str, drawing.Style]) -> None:
  for point in points:
    look = looks[point.name]
    auc, accuracy = point.attack_auc, point.accuracy_test
    _, _, bars = axis.errorbar(
        auc.value, accuracy.value, xerr=drawing.error_bar(auc),
        yerr=drawing.error_bar(accuracy), fmt=look.marker, color=look.color,
        markerfacecolor=look.face, markeredgecolor=look.edge,
        # A hollow marker is a ring around the one that it may hide.
        markersize=10 if look.face == 'none' else 7, elinewidth=.8, capsize=2,
        zorder=4 if point.name in ('dlfd', 'retrained') else 3)
    for bar in bars:
      bar.set_alpha(.6)
    if point.name == 'retrained':
      for cell, span in ((auc, axis.axvspan), (accuracy, axis.axhspan)):
        span(cell.value if cell.low is None else cell.low,
             cell.value if cell.high is None else cell.high,
             color=look.color, alpha=.12, linewidth=0)
  axis.axvline(.5, color=drawing.NULL, linestyle=':', linewidth=1)
  axis.margins(.08)
  for side in (axis.xaxis, axis.yaxis):  # one tick alone is no scale
    side.set_major_locator(ticker.MaxNLocator(6, min_n_ticks=3))
  axis.set(title=title, xlabel='attack AUC, class-matched (dotted: a guess)',
           ylabel='accuracy on test')


def _window(points: Sequence[Point]
            ) -> tuple[tuple[float, float], tuple[float, float]] | None:
  """Limits of both axes around the half nearest to retrained; None of few."""
  places = np.array([(p.attack_auc.value, p.accuracy_test.value)
                     for p in points], float)
  targets = [place for point, place in zip(points, places)
             if point.name == 'retrained']
  if not targets or len(points) < _CROWD:
    return None
  order = np.argsort(np.hypot(*(places - targets[0]).T), kind='stable')
  nearest = places[order[:len(points) // 2 + 1]]
  low, high = nearest.min(0), nearest.max(0)
  pad = .15 * (high - low) + .003
  first, second = zip((low - pad).tolist(), (high + pad).tolist(), strict=True)
  return first, second


def _zoom(axis: Any, other: Any,
          window: tuple[tuple[float, float], tuple[float, float]],
          points: Sequence[Point], looks: Mapping[str, drawing.Style]) -> None:
  """``other`` shows what lies in ``window`` of ``axis``, where it is framed."""
  (left, right), (bottom, top) = window
  # A point outside would send its bars across the panel.
  inside = [point for point in points
            if left <= float(point.attack_auc.value or 0) <= right
            and bottom <= float(point.accuracy_test.value or 0) <= top]
  _trade_off_panel(other, 'in the dashed frame', inside, looks)
  other.set_xlim(left, right)
  other.set_ylim(bottom, top)
  axis.add_patch(patches.Rectangle(
      (left, bottom), right - left, top - bottom, fill=False, linestyle='--',
      linewidth=.9, edgecolor=drawing.NULL, zorder=5))


def _losses(arrays: Arrays, models: Sequence[str]
            ) -> dict[tuple[str, str], np.ndarray]:
  """Losses by model and split, float64; not finite ones count as the largest.

  Of test those of the classes that are forgotten whole, if some are.

  Raises:
    ValueError: if there is no model.
  """
  if not models:
    raise ValueError('Expected arrays of at least one model, got none.')
  by_part = {}
  unseen = arrays.get('test/of_classes', np.array(False))
  for model in models:
    for split in ('forget', 'test'):
      values = np.asarray(arrays[f'{model}/{split}/loss'], np.float64)
      if split == 'test' and unseen.any():
        values = values[unseen]
      finite = np.isfinite(values)
      by_part[model, split] = np.where(
          finite, values, values.max(initial=1.0, where=finite))
  return by_part
