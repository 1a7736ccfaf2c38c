"""How all plots look: style, colours and markers, grids of panels, bytes.

Colours are those of Okabe and Ito (2008), which people with any common colour
vision deficiency tell apart. There are fewer of them than methods, so that a
marker always tells apart what a colour does not.
"""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from matplotlib import (
  axis as axis_lib,
  figure as figure_lib,
  style as style_lib,
  text as text_lib,
  transforms,
)

from dlfd_jax.evaluation.estimate import Estimate
from dlfd_jax.utils import text as own_text

BLACK, ORANGE, SKY, GREEN = '#000000', '#E69F00', '#56B4E9', '#009E73'
YELLOW, BLUE, VERMILION, PURPLE = '#F0E442', '#0072B2', '#D55E00', '#CC79A7'
COLORS = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION, BLACK, YELLOW)
MARKERS = ('o', '^', 's', 'D', 'v', 'P', 'X', '*', '<', '>', 'p', 'h')
EDGE = '#333333'  # of every marker, so that yellow shows on white
NULL = '#595959'  # lines where nothing is learned or nothing differs
FORGET, UNSEEN = '#CC3377', '#8A8A8A'
LAST = '/last'  # ends the name of a run's last state; drawn hollow
MOST_COLUMNS = 4
_HEADING = 26  # characters of a title in one line

_LOOKS = {
    'original': (VERMILION, 's'), 'retrained': (GREEN, 'D'),
    # An evaluation of one method calls its model `unlearned`.
    'unlearned': (BLUE, 'o'),
    'dlfd': (BLUE, 'o'), 'official_compat': (BLUE, '^'),
    'finetune': (ORANGE, 'v'), 'finetune_alike': (ORANGE, '>'),
    'neggrad': (BLACK, 'X'), 'neggrad_plus': (BLACK, 'P'),
    'cf_k': (PURPLE, 'p'), 'eu_k': (PURPLE, 'h'),
    'unsir': (YELLOW, '*'), 'bad_teaching': (YELLOW, '<'),
    'scrub': (SKY, 'd'), 'scrub_r': (SKY, 'o'), 'rewind': (SKY, 'H'),
}
_FURTHER = ((PURPLE, '^'), (BLACK, 'v'), (SKY, 's'), (YELLOW, 'D'),
            (ORANGE, 'P'), (PURPLE, '>'), (BLUE, '*'), (BLACK, '<'),
            (YELLOW, 'p'), (ORANGE, 'X'), (SKY, '^'), (BLUE, 'h'))
MOST_FURTHER = len(_FURTHER)
_STYLE: Any = {
    'axes.axisbelow': True, 'axes.edgecolor': '#444444', 'axes.grid': True,
    'axes.labelsize': 9, 'axes.spines.right': False, 'axes.spines.top': False,
    'axes.titlelocation': 'left', 'axes.titlesize': 10,
    'axes.titleweight': 'bold', 'figure.constrained_layout.use': True,
    'font.family': 'DejaVu Sans', 'font.size': 9, 'grid.color': '#E4E4E4',
    'grid.linewidth': .6, 'legend.fontsize': 8, 'legend.frameon': False,
    'savefig.dpi': 160, 'svg.fonttype': 'path', 'svg.hashsalt': 'dlfd_jax',
    'xtick.labelsize': 8, 'ytick.labelsize': 8,
}


@contextmanager
def new_figure(width: float, height: float, title: str = ''
               ) -> Iterator[figure_lib.Figure]:
  """A figure of that many inches in our style, whatever the user's own is."""
  # Over matplotlib's defaults, or the rest of the look would be the user's.
  with style_lib.context(['default', _STYLE]):
    figure = figure_lib.Figure(figsize=(width, height))
    if title:
      figure.suptitle(title, x=.01, ha='left', fontsize=11, fontweight='bold')
    yield figure


def to_bytes(figure: figure_lib.Figure, format: str) -> bytes:
  """The picture, without date or program name: equal figures, equal bytes.

  Call it inside :func:`new_figure`, whose style also governs saving.

  Raises:
    ValueError: if the format is neither ``svg`` nor ``png``.
  """
  if format not in ('svg', 'png'):
    raise ValueError(f"Expected the format 'svg' or 'png', got {format!r}.")
  nameless = ({'Date': None, 'Creator': None} if format == 'svg'
              else {'Software': None})
  # Names may hold dollar signs: only the numbers of an axis are formulas.
  formulas = {id(label) for tick in figure.findobj(axis_lib.Tick)
              for label in (tick.label1, tick.label2)}
  for text in figure.findobj(text_lib.Text):
    if text.get_text() and id(text) not in formulas:
      text.set_parse_math(False)
      text.set_text(own_text.visible(text.get_text()))
  out = io.BytesIO()
  figure.savefig(out, format=format, metadata=nameless)
  return out.getvalue()


class Style(NamedTuple):
  """A model's colour and marker, and the marker's inside and rim."""

  color: str
  marker: str
  face: str
  edge: str = EDGE


def styles(names: Sequence[str]) -> dict[str, Style]:
  """The look of each model.

  Args:
    names: registered methods, ``original``, ``retrained`` or any other name;
      one that ends with ``/last`` looks like its model, but hollow.

  Returns:
    By name. Names with a look of their own look the same whatever else there
    is; the others take further looks in their order, first those in colours
    that none of the former has.

  Raises:
    ValueError: if there are more unknown names than looks.

  Example:
    >>> looks = styles(['dlfd', 'dlfd/last', 'mine'])
    >>> looks['dlfd'].color == looks['dlfd/last'].color, looks['mine'].marker
    (True, '^')
  """
  stems = dict.fromkeys(name.removesuffix(LAST) for name in names)
  unknown = [name for name in stems if name not in _LOOKS]
  if len(unknown) > MOST_FURTHER:
    raise ValueError(
        f'Expected at most {MOST_FURTHER} names beside those of methods, got '
        f'{len(unknown)}.')
  used = {_LOOKS[name][0] for name in stems if name in _LOOKS}
  further = sorted(_FURTHER, key=lambda look: look[0] in used)
  looks = _LOOKS | dict(zip(unknown, further))
  by_name = {}
  for name in names:
    color, marker = looks[name.removesuffix(LAST)]
    by_name[name] = (Style(color, marker, 'none', color)
                     if name.endswith(LAST) else Style(color, marker, color))
  return by_name


def grid_shape(count: int, most_columns: int = MOST_COLUMNS) -> tuple[int, int]:
  """Rows and columns of a grid, as few rows and as even as possible.

  Raises:
    ValueError: if there is no panel.

  Example:
    >>> grid_shape(3), grid_shape(5), grid_shape(14)
    ((1, 3), (2, 3), (4, 4))
  """
  if count < 1:
    raise ValueError('Expected at least one panel, got none.')
  rows = math.ceil(count / most_columns)
  return rows, math.ceil(count / rows)


def grid(figure: figure_lib.Figure, count: int, **options: Any) -> list[Any]:
  """That many axes, filling rows first; ``options`` are those of subplots."""
  axes = figure.subplots(
      *grid_shape(count), squeeze=False, **options).reshape(-1)
  for unused in axes[count:]:
    unused.remove()
  for axis in axes[:count]:
    axis.tick_params(labelbottom=True)
  return list(axes[:count])


def heading(axis: Any, title: str, style: Style) -> None:
  """The title of a panel with its model's marker before it."""
  lines = textwrap.wrap(title, _HEADING) or ['']
  axis.set_title('    ' + '\n    '.join(lines))
  # Axes coordinates, ten points higher: the middle of a title's last line.
  above = axis.transAxes + transforms.ScaledTranslation(
      0, 10 / 72, axis.figure.dpi_scale_trans)
  axis.plot(
      [.02], [1.0], transform=above, marker=style.marker, markersize=7,
      color=style.color, markerfacecolor=style.face,
      markeredgecolor=style.edge, clip_on=False, linestyle='none')


def error_bar(cell: Estimate) -> list[list[float]] | None:
  """Lengths of a cell's interval below and above its value, if it has one."""
  if cell.value is None or cell.low is None or cell.high is None:
    return None
  return [[max(cell.value - cell.low, 0.0)], [max(cell.high - cell.value, 0.0)]]


def interval_text(cell: Estimate, digits: int = 2) -> str:
  """A number with its interval, or why there is none.

  Example:
    >>> interval_text(Estimate(.512, .45, .57))
    '0.51 [0.45, 0.57]'
  """
  if cell.value is None:
    return 'not computed'
  text = f'{cell.value:.{digits}f}'
  if cell.low is None or cell.high is None:
    return text
  return f'{text} [{cell.low:.{digits}f}, {cell.high:.{digits}f}]'
