"""What features tell of the label against what they tell of the person.

Correlation collapse (figure 1 of Choi and Na 2024, arXiv:2409.14747) is what an
unlearning method does if it erases the label's direction with the person's:
the model moves down and left together, not down alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from dlfd_jax.report import canvas, palette, tables

_PAPER: Any = {'facecolor': 'white', 'linewidth': 0, 'pad': 1}


@dataclasses.dataclass(frozen=True)
class Point:
  """One model: name, title, two probes' accuracies and silhouette on test."""

  name: str
  title: str
  label: tables.Cell
  person: tables.Cell
  silhouette: tables.Cell = tables.Cell(None)

  @property
  def numbers(self) -> str:
    """What stands under the figure for it."""
    return ' / '.join('-' if cell.value is None else f'{cell.value:.2f}'
                      for cell in (self.label, self.person, self.silhouette))


def draw(points: Sequence[Point], chance: tuple[float, float], *,
         format: str = 'svg') -> bytes:
  """Probe accuracy of the label against that of the person.

  Args:
    points: the models; one that lacks a number is left out.
    chance: accuracy of a guess, of the label and of the person.
    format: ``svg`` or ``png``.

  Returns:
    The picture, with an arrow from original to each other model.

  Raises:
    ValueError: if no point has both numbers, or no such format.
  """
  shown = [p for p in points if None not in (p.label.value, p.person.value)]
  if not shown:
    raise ValueError(
        'Expected a model with a label probe and a person probe, got none.')
  looks = palette.styles([point.name for point in shown])
  start = next((p for p in shown if p.name == 'original'), None)
  with canvas.drawing(8.2, 4.3) as figure:
    axis = figure.subplots()
    for point in shown:
      look = looks[point.name]
      if start is not None and point is not start:
        axis.annotate(
            '', (point.label.value, point.person.value),
            (start.label.value, start.person.value), zorder=1,
            arrowprops={'arrowstyle': '->', 'color': look.color,
                        'linewidth': 1.1, 'shrinkA': 5, 'shrinkB': 5})
      axis.errorbar(
          [point.label.value], [point.person.value],  # type: ignore[arg-type]
          xerr=around(point.label), yerr=around(point.person), zorder=3,
          fmt=look.marker, color=look.color, markerfacecolor=look.face,
          markeredgecolor=look.edge, markersize=9, elinewidth=.8, capsize=2,
          label=f'{point.title}: {point.numbers}')
    for guess, line in zip(chance, (axis.axvline, axis.axhline)):
      line(guess, color=canvas.COLORS['null'], linestyle=':', linewidth=1)
    axis.annotate(
        'collapse: both fall', (.03, .03), xycoords='axes fraction',
        color='#444444', fontsize=8, bbox=_PAPER)
    axis.annotate(
        'the label stays,\nthe person is lost', (.97, .03), ha='right',
        xycoords='axes fraction', color='#444444', fontsize=8, bbox=_PAPER)
    axis.margins(.12)
    axis.set(title='What features still tell on test',
             xlabel='accuracy of a linear probe for the label '
                    '(dotted: a guess)',
             ylabel='accuracy of a linear probe for the person')
    figure.legend(loc='outside right upper',
                  title='label / person / silhouette by class')
    return canvas.to_bytes(figure, format)


def around(cell: tables.Cell) -> list[list[float]] | None:
  """Lengths of a cell's interval below and above its value, if it has one."""
  if cell.value is None or cell.low is None or cell.high is None:
    return None
  return [[max(cell.value - cell.low, 0.0)], [max(cell.high - cell.value, 0.0)]]
