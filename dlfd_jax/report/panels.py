"""Grids of small panels, one a model, with a heading and a caption each."""

from __future__ import annotations

import math
import textwrap
from typing import Any

from matplotlib import figure as figure_lib, transforms

from dlfd_jax.report import palette

MOST_COLUMNS = 4
_HEADING = 26  # characters of a title in one line


def shape(count: int, most_columns: int = MOST_COLUMNS) -> tuple[int, int]:
  """Rows and columns of a grid, as few rows and as even as possible.

  Raises:
    ValueError: if there is no panel.

  Example:
    >>> shape(3), shape(5), shape(14)
    ((1, 3), (2, 3), (4, 4))
  """
  if count < 1:
    raise ValueError('Expected at least one panel, got none.')
  rows = math.ceil(count / most_columns)
  return rows, math.ceil(count / rows)


def grid(figure: figure_lib.Figure, count: int, **options: Any) -> list[Any]:
  """That many axes, filling rows first; ``options`` are those of subplots."""
  rows, columns = shape(count)
  axes = figure.subplots(rows, columns, squeeze=False, **options).reshape(-1)
  for unused in axes[count:]:
    unused.remove()
  for axis in axes[:count]:
    axis.tick_params(labelbottom=True)
  return list(axes[:count])


def heading(axis: Any, title: str, style: palette.Style) -> None:
  """The title of a panel with its model's marker before it."""
  lines = textwrap.wrap(title, _HEADING) or ['']
  axis.set_title('    ' + '\n    '.join(lines))
  axis.plot(
      [.02], [1.0], transform=_above(axis), marker=style.marker, markersize=7,
      color=style.color, markerfacecolor=style.face,
      markeredgecolor=style.edge, clip_on=False, linestyle='none')


def _above(axis):
  """Axes coordinates, nine points higher: the middle of a title's last line."""
  return axis.transAxes + transforms.ScaledTranslation(
      0, 10 / 72, axis.figure.dpi_scale_trans)
