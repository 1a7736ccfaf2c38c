"""What a deletion costs and what it leaves: gap and two-sided attack."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib import ticker

from dlfd_jax.report import drawing
from experiments.paper import comparison, summary

PANELS = (('gap', 'gap to retraining'),
           ('lira_auc_two_sided', 'LiRA, two-sided, AUC'))
BARS = '95 % intervals over seeds'
_ACROSS = 4  # titles in a line below
_LEAST = 1e-2  # of retraining's seconds: cheaper methods stand there
_COLORS = {comparison.ORIGINAL: drawing.VERMILION,
           comparison.RETRAINED: drawing.GREEN, comparison.MINE: drawing.BLUE,
           'dlfd': drawing.SKY}
_LETTERS = {comparison.ORIGINAL: 'O', comparison.RETRAINED: 'R'}


def draw(cells: Sequence[summary.Cell], *, format: str = 'svg') -> bytes:
  """Gap and two-sided attack against cost, a row of panels for each task.

  Args:
    cells: of a table; a method that lacks a number is left out.
    format: ``svg`` or ``png``.

  Returns:
    The picture: methods by number, the smallest gap on the first task first.
    Retraining stands at a cost of 1 with the mean of the references left out;
    the band ends at their 90 % point. Bars are 95 % intervals over seeds; what
    ran on fewer seeds than others is hollow.

  Raises:
    ValueError: if there is no cell, or no such format.
  """
  if not cells:
    raise ValueError('Expected cells of a table, got none.')
  tasks = summary.tasks_of({'cells': list(cells)})
  titles = {}
  for of_task in tasks.values():
    by = comparison.groups(of_task)
    titles |= {name: rows[0]['title'] for name, rows in {
        **by.trained, **by.full, **by.screened}.items()}
  numbers = [name for name in titles if name not in _LETTERS]
  signs = _LETTERS | {name: str(i) for i, name in enumerate(numbers, 1)}
  lines = [f'{signs[name]}  {title}' for name, title in titles.items()]
  high = -(-len(lines) // _ACROSS)
  with drawing.new_figure(
      8.6, 3.3 * len(tasks) + .16 * high + .7,
      'What is left against what it costs') as figure:
    grid = figure.subplots(len(tasks), len(PANELS), squeeze=False)
    for axes, (task, of_task) in zip(grid, tasks.items(), strict=True):
      for axis, (key, label) in zip(axes, PANELS, strict=True):
        _panel(axis, of_task, key, signs)
        set_axes(axis, label)
      axes[0].set_title(task)
    handles = [grid[0][0].plot([], [], linestyle='none')[0] for _ in lines]
    figure.legend(handles, lines, loc='outside lower left', ncols=_ACROSS,
                  handlelength=0, handletextpad=0)
    return drawing.to_bytes(figure, format)


def set_axes(axis: Any, label: str) -> None:
  """Cost to the right, logarithmic, and ``label`` upwards."""
  axis.set(xscale='log', ylabel=label,
           xlabel="seconds over retraining's, logarithmic")
  axis.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
  axis.xaxis.set_major_formatter('{x:g}')
  axis.xaxis.set_minor_formatter(ticker.NullFormatter())


def shade_left_out(axis: Any, cells: Sequence[summary.Cell], key: str) -> None:
  """A band of what nine in ten references have that were left out."""
  left_out = sorted(comparison.left_out(cells, key))
  if left_out:
    # Of an attack both ends count, of a gap the upper one.
    low = 0.0 if key == 'gap' else left_out[len(left_out) // 10]
    axis.axhspan(low, comparison.quantile(left_out), alpha=.12, linewidth=0,
                 color=drawing.GREEN)


def _panel(axis: Any, cells: Sequence[summary.Cell], key: str,
           signs: dict[str, str]) -> None:
  by = comparison.groups(cells)
  shade_left_out(axis, cells, key)
  for rows, hollow in ((by.screened, True), (by.full, False),
                       (by.trained, False)):
    for name, of in rows.items():
      height, cost = (comparison.spread(of, each)
                      for each in (key, 'time_share'))
      if height is None or cost is None:
        continue
      color, ends = _COLORS.get(name, drawing.NULL), height.interval
      place = max(cost.mean, _LEAST), height.mean
      axis.errorbar(
          *place, yerr=None if ends is None else [
              [height.mean - ends[0]], [ends[1] - height.mean]],
          fmt='o', color=color, markersize=11, elinewidth=.7,
          markerfacecolor='white' if hollow else color, alpha=.85,
          zorder=4 if name in _COLORS else 3)
      axis.annotate(
          signs[name], place, ha='center', va='center', fontsize=6.5,
          color=color if hollow else 'white', zorder=5)
