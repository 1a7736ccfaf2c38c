"""The look of all plots, and how a figure becomes bytes.

Colours are those of Okabe and Ito (2008), which people with any common colour
vision deficiency tell apart; lines and markers differ in style too.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib
from matplotlib import axis as axis_lib, figure as figure_lib, text as text_lib

COLORS = {'original': '#D55E00', 'unlearned': '#0072B2',
          'retrained': '#009E73', 'null': '#595959'}
LINES = {'original': '--', 'unlearned': '-', 'retrained': '-.'}
MARKERS = {'original': 's', 'unlearned': 'o', 'retrained': 'D'}
FORGET, UNSEEN = '#CC3377', '#8A8A8A'
PHASES = {'distance': '#E69F00', 'finetune': '#56B4E9'}
OTHER_PHASE = '#BBBBBB'
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
def drawing(width: float, height: float) -> Iterator[figure_lib.Figure]:
  """A figure of that many inches, inside our style."""
  with matplotlib.rc_context(_STYLE):
    yield figure_lib.Figure(figsize=(width, height))


def to_bytes(figure: figure_lib.Figure, format: str) -> bytes:
  """The picture, without date or program name: equal figures, equal bytes.

  Call it inside :func:`drawing`, whose style also governs saving.

  Raises:
    ValueError: if the format is neither ``svg`` nor ``png``.
  """
  if format not in ('svg', 'png'):
    raise ValueError(f"Expected the format 'svg' or 'png', got {format!r}.")
  nameless = ({'Date': None, 'Creator': None} if format == 'svg'
              else {'Software': None})
  _take_literally(figure)
  out = io.BytesIO()
  figure.savefig(out, format=format, metadata=nameless)
  return out.getvalue()


def _take_literally(figure):
  """Names may hold dollar signs: only the numbers of an axis are formulas."""
  formulas = {id(label) for tick in figure.findobj(axis_lib.Tick)
              for label in (tick.label1, tick.label2)}
  for text in figure.findobj(text_lib.Text):
    if text.get_text() and id(text) not in formulas:
      text.set_parse_math(False)
