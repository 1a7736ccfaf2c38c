"""Plots of an evaluation as PNG or SVG bytes, equal for equal input.

Every function builds its own matplotlib figure and touches no global state
of pyplot.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import ticker

from dlfd_jax.metrics import ranks
from dlfd_jax.report import canvas, names, tables

Arrays = Mapping[str, np.ndarray]

_LEAST_LOSS = 1e-4  # nats; smaller losses share the first bin
_TICKS = (.001, .01, .1, 1, 10, 100)  # nats


@dataclasses.dataclass(frozen=True)
class Point:
  """One model in the trade-off plot.

  Attributes:
    label: its name in the plot.
    kind: ``original``, ``unlearned`` or ``retrained``; decides its look.
    attack_auc: horizontal position with its interval.
    accuracy_test: vertical position with its interval.
  """

  label: str
  kind: str
  attack_auc: tables.Cell
  accuracy_test: tables.Cell


def loss_histograms(arrays: Arrays, *, format: str = 'svg') -> bytes:
  """Losses of forget and of unseen (test) images, one panel per model.

  Args:
    arrays: ``{model}/{split}/loss`` in nats, for the splits forget and test.
    format: ``svg`` or ``png``.

  Returns:
    The picture. All panels share both axes; the horizontal one is logarithmic
    and losses below 1e-4 nats stand in its first bin. Of several retrained
    models the first is shown.

  Raises:
    ValueError: if there is no model, or no such format.
  """
  models = [model for model in names.models_in(arrays)
            if model in ('original', 'unlearned', 'retrained_0')]
  _check_models(models)
  losses = {
      (model, split): np.maximum(_losses(arrays, model, split), _LEAST_LOSS)
      for model in models for split in ('forget', 'test')}
  largest = max(float(values.max(initial=1.0)) for values in losses.values())
  edges = np.geomspace(_LEAST_LOSS, largest * 1.001, 31)
  with canvas.drawing(8.2, 2.7) as figure:
    axes = figure.subplots(
        1, len(models), sharex=True, sharey=True, squeeze=False)[0]
    for axis, model in zip(axes, models):
      for split, color, label, fill in (
          ('test', canvas.UNSEEN, 'unseen (test)', True),
          ('forget', canvas.FORGET, 'forget', False)):
        values = losses[model, split]
        share = np.histogram(values, edges)[0] / max(values.size, 1)
        axis.stairs(share, edges, fill=fill, color=color, label=label,
                    alpha=.45 if fill else 1, linewidth=1.6)
      axis.set(title=model.partition('_')[0].capitalize(), xscale='log',
               xlim=(edges[0], edges[-1]))
      axis.yaxis.set_major_formatter(ticker.PercentFormatter(1))
      axis.set_xticks([tick for tick in _TICKS if tick < edges[-1]])
      axis.xaxis.set_major_formatter('{x:g}')
    axes[0].set_ylabel('share of images')
    figure.supxlabel(
        f'loss in nats, logarithmic; the first bin holds all below '
        f'{_LEAST_LOSS:g}', fontsize=9)
    figure.legend(*axes[0].get_legend_handles_labels(), ncols=2,
                  loc='outside upper right')
    return canvas.to_bytes(figure, format)


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
  _check_models(models)
  with canvas.drawing(8.2, 3.6) as figure:
    full, low = figure.subplots(1, 2)
    floor = 1.0
    for model in models:
      forget, test = (-_losses(arrays, model, split)
                      for split in ('forget', 'test'))
      fpr, tpr = ranks.roc(forget, test)
      kind, _, number = model.partition('_')
      several = f'{kind}_1' in models
      label = f'{kind} {number}' if number and several else kind
      style = {'color': canvas.COLORS[kind], 'linestyle': canvas.LINES[kind],
               'linewidth': 1.0 if several and number else 1.7}
      full.plot(fpr, tpr, label=f'{label}: {ranks.area(fpr, tpr):.3f}', **style)
      least = 1 / test.size
      floor = min(floor, least, 1 / forget.size)
      low.plot(np.maximum(fpr, least), np.maximum(tpr, 1 / forget.size / 2),
               **style)
    grid = np.geomspace(floor, 1, 50)
    full.plot([0, 1], [0, 1], color=canvas.COLORS['null'], linewidth=.8,
              linestyle=':', label='guess: 0.500')
    low.plot(grid, grid, color=canvas.COLORS['null'], linewidth=.8,
             linestyle=':')
    rates = {'xlabel': 'false-positive rate (test images)',
             'ylabel': 'true-positive rate (forget images)'}
    full.set(title='Membership attack by loss', xlim=(0, 1), ylim=(0, 1.01),
             **rates)
    full.legend(loc='lower right', title='signed AUC', title_fontsize=8)
    low.set(title='At low false-positive rates', xscale='log', yscale='log',
            xlim=(floor, 1), ylim=(floor, 1.1), **rates)
    for side in (low.xaxis, low.yaxis):
      side.set_major_formatter('{x:g}')
    return canvas.to_bytes(figure, format)


def trace(history: Sequence[Mapping[str, Any]], *,
          thresholds: Mapping[str, float] | None = None,
          selected_step: int | None = None, format: str = 'svg') -> bytes:
  """How an unlearning run went: score, signed AUC and accuracy over steps.

  Args:
    history: events of ``metrics.jsonl``; those of kind ``check`` are read.
    thresholds: forgetting scores to draw, by name.
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
  with canvas.drawing(8.2, 4.6) as figure:
    axes = figure.subplots(len(panels), 1, sharex=True)
    for axis, (name, label) in zip(axes, panels):
      _shade_phases(axis, checks)
      values = [math.nan if c.get(name) is None else c[name] for c in checks]
      axis.plot(steps, values, color=canvas.COLORS['unlearned'], marker='o',
                markersize=3, linewidth=1.4)
      axis.set_ylabel(label)
      if selected_step is not None:
        axis.axvline(selected_step, color='black', linewidth=1,
                     label='returned state')
    for (name, value), style in zip((thresholds or {}).items(), (':', '--')):
      axes[0].axhline(value, color=canvas.COLORS['null'], linestyle=style,
                      linewidth=1, label=name)
    axes[1].axhline(.5, color=canvas.COLORS['null'], linestyle=':', linewidth=1)
    axes[0].set_ylim(bottom=0)
    axes[0].set_title('Unlearning, measured on val')
    axes[0].xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
    axes[-1].set_xlabel('step')
    axes[-1].set_xlim(steps[0], max(steps[-1], steps[0] + 1))
    handles, labels = axes[0].get_legend_handles_labels()
    if handles:
      figure.legend(handles, labels, loc='outside lower center',
                    ncols=len(handles))
    return canvas.to_bytes(figure, format)


def _shade_phases(axis, checks):
  """Bands in the phase's colour from each check to the next."""
  named = set()
  for check, after in zip(checks, checks[1:]):
    phase = str(check.get('next_phase', ''))
    color = canvas.PHASES.get(phase, canvas.OTHER_PHASE)
    label = None if phase in named else f'{phase} steps'
    axis.axvspan(check['step'], after['step'], color=color, alpha=.18,
                 linewidth=0, label=label)
    named.add(phase)


def trade_off(points: Sequence[Point], *, format: str = 'svg') -> bytes:
  """Test accuracy against the main attack, with retrained as the target.

  Args:
    points: models with both numbers; one that lacks a number is left out.
    format: ``svg`` or ``png``.

  Returns:
    The picture; bars are 95 % intervals, and the shaded cross is the interval
    of the first retrained point.

  Raises:
    ValueError: if no point has both numbers, or no such format.
  """
  shown = [p for p in points
           if None not in (p.attack_auc.value, p.accuracy_test.value)]
  if not shown:
    raise ValueError(
        'Expected a model with an attack AUC and a test accuracy, got none.')
  with canvas.drawing(6.0, 4.0) as figure:
    axis = figure.subplots()
    target = next((p for p in shown if p.kind == 'retrained'), None)
    if target is not None:
      for cell, span in ((target.attack_auc, axis.axvspan),
                         (target.accuracy_test, axis.axhspan)):
        _, low, high = _bounds(cell)
        span(low, high, color=canvas.COLORS['retrained'], alpha=.12,
             linewidth=0)
    for point in shown:
      x, x_low, x_high = _bounds(point.attack_auc)
      y, y_low, y_high = _bounds(point.accuracy_test)
      axis.errorbar(
          x, y, xerr=[[x - x_low], [x_high - x]],
          yerr=[[y - y_low], [y_high - y]], label=point.label,
          color=canvas.COLORS.get(point.kind, canvas.COLORS['null']),
          marker=canvas.MARKERS.get(point.kind, '^'), markersize=7, capsize=3,
          linewidth=1.2, linestyle='none')
    axis.axvline(.5, color=canvas.COLORS['null'], linestyle=':', linewidth=1)
    axis.set(title='Skill kept against traces left',
             xlabel='attack AUC, class-matched (dotted: a guess)',
             ylabel='accuracy on test')
    figure.legend(loc='outside lower center', ncols=min(len(shown), 4))
    return canvas.to_bytes(figure, format)


def points_of(result: tables.Result) -> list[Point]:
  """The three models of a result as points of the trade-off plot."""
  return [
      Point(kind, kind, tables.find_cell(result, tables.MAIN_ATTACK, kind),
            tables.find_cell(result, 'accuracy_test', kind))
      for kind in ('original', 'unlearned', 'retrained')]


def _bounds(cell):
  """Value, low and high; without an interval, all three are the value."""
  low = cell.value if cell.low is None else min(cell.low, cell.value)
  high = cell.value if cell.high is None else max(cell.high, cell.value)
  return cell.value, low, high


def _losses(arrays, model, split):
  """Losses as float64; one that is not finite counts as the largest."""
  values = np.asarray(arrays[f'{model}/{split}/loss'], np.float64)
  finite = np.isfinite(values)
  return np.where(finite, values, values.max(initial=1.0, where=finite))


def _check_models(models):
  if not models:
    raise ValueError('Expected arrays of at least one model, got none.')
