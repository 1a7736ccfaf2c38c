"""Tables as text: for the terminal, Markdown, CSV and LaTeX.

``to_*`` write a table of an evaluation; ``markdown_lines``, ``latex_lines`` and
``csv_text`` write any rows of text and escape what each notation requires.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import re
import sys
from collections.abc import Iterable, Iterator, Sequence

import rich.box
import rich.cells
import rich.console
import rich.measure
import rich.table
import rich.text

from dlfd_jax.evaluation.estimate import Estimate
from dlfd_jax.report import tables
from dlfd_jax.utils import text as text_lib

_LABEL, _GAP = 16, 2  # columns of the terminal
# Where Markdown begins a tag of HTML; the one of `p < .05` begins none.
_TAG = re.compile(r'<(?=[A-Za-z/!?])')
_LINK = re.compile(r'\[(?=[^\]]*\]\s*[(:\[])')
_BEFORE_BAR = re.compile(r'\\(?=\\*\|)')  # would escape the escape
# What a spreadsheet takes for the begin of a formula, wide forms included.
_FORMULA = ('=', '+', '-', '@', '\t', '\uff1d', '\uff0b', '\uff0d', '\uff20')
_LATEX = {
    '\\': r'\textbackslash{}', '&': r'\&', '%': r'\%', '$': r'\$', '#': r'\#',
    '_': r'\_', '{': r'\{', '}': r'\}', '~': r'\textasciitilde{}',
    '^': r'\textasciicircum{}', '×': r'$\times$', '±': r'$\pm$',
}
_MINUS = re.compile(r'(?<![\w.-])-(?=\d)')


def to_rich(table: tables.Table) -> rich.console.RenderableType:
  """A table for a terminal; directions and notes stand below.

  Where its columns do not fit beside each other, every row is a block with one
  line a column: no figure is cut or broken.
  """
  return _Fitting(table)


@dataclasses.dataclass(frozen=True)
class _Fitting:
  """What rich prints as the width allows."""

  table: tables.Table

  def __rich_console__(
      self, console: rich.console.Console, options: rich.console.ConsoleOptions
  ) -> Iterator[rich.console.RenderableType]:
    columns = [[column, *(line for row in self.table.rows
                          for line in _lines(row.cells[i]))]
               for i, column in enumerate(self.table.columns)]
    widths = [_width(column) for column in columns]
    label = max(_LABEL, _width(
        word for row in self.table.rows for word in row.label.split()))
    wide = _beside(self.table, [label, *widths])
    if rich.measure.Measurement.get(
        console, options.update(max_width=sys.maxsize), wide
    ).minimum <= options.max_width:
      yield wide
    else:
      yield from _stacked(self.table)


def _lines(cell: Estimate) -> list[str]:
  """A figure and, on a line of its own, its interval."""
  return [text_lib.visible(text)
          for text in (cell.text, cell.short_interval) if text]


def _width(texts: Iterable[str]) -> int:
  return max(map(rich.cells.cell_len, map(text_lib.visible, texts)), default=0)


def _beside(table: tables.Table, widths: Sequence[int]) -> rich.table.Table:
  out = rich.table.Table(
      title=table.title, title_justify='left', title_style='bold',
      box=rich.box.SIMPLE_HEAD, pad_edge=False, padding=(0, _GAP, 0, 0),
      caption='\n'.join(_below(table)) or None, caption_justify='left',
      caption_style='dim')
  out.add_column('', min_width=widths[0])
  for column, width in zip(table.columns, widths[1:], strict=True):
    out.add_column(column, justify='right', no_wrap=True, min_width=width)
  for row in table.rows:
    out.add_row(row.label, *map(_cell, row.cells))
  return out


def _cell(cell: Estimate) -> rich.text.Text:
  first, *interval = _lines(cell)
  text = rich.text.Text(first, 'dim' if cell.value is None else '')
  for line in interval:
    text.append(f'\n{line}', style='dim')
  return text


def _stacked(table: tables.Table) -> Iterator[rich.console.RenderableType]:
  yield rich.text.Text(f'{text_lib.visible(table.title)}\n', 'bold')
  cells = [_lines(cell) for row in table.rows for cell in row.cells]
  figure = _width(lines[0] for lines in cells)
  interval = _width(  # of absurd numbers the ends stand below each other
      end for lines in cells for line in lines[1:] for end in line.split())
  for row in table.rows:
    yield rich.text.Text(text_lib.visible(row.label))
    grid = rich.table.Table.grid(padding=(0, _GAP, 0, 0), pad_edge=False)
    grid.add_column(overflow='fold')
    grid.add_column(justify='right', no_wrap=True, min_width=figure)
    grid.add_column(min_width=interval)
    for column, cell in zip(table.columns, row.cells, strict=True):
      figures = rich.text.Text(_lines(cell)[0],
                               'dim' if cell.value is None else '')
      grid.add_row(rich.text.Text(f'  {text_lib.visible(column)}'), figures,
                   rich.text.Text(' '.join(_lines(cell)[1:]), 'dim'))
    yield grid
  for line in _below(table):
    yield rich.text.Text(text_lib.visible(line), 'dim')
  yield ''


def _below(table: tables.Table) -> list[str]:
  return [*_directions(table), *table.notes]


def _directions(table: tables.Table) -> list[str]:
  """One line per meaning, led by what the labels of its rows have in common."""
  labels: dict[str, list[str]] = {}
  for row in table.rows:
    if row.direction:
      labels.setdefault(row.direction, []).append(row.label)
  lines = []
  for direction, of_rows in labels.items():
    stems = dict.fromkeys(label.partition(',')[0] for label in of_rows)
    lead = of_rows[0] if len(of_rows) == 1 else ', '.join(stems)
    lines.append(f'{lead}: {direction}')
  return lines


def to_markdown(table: tables.Table) -> str:
  """A Markdown table without its title; notes follow as a list."""
  lines = markdown_lines(
      ['', *table.columns, 'direction'],
      [[row.label, *(c.with_interval for c in row.cells), row.direction]
       for row in table.rows], 'l' + 'r' * len(table.columns) + 'l')
  if table.notes:
    lines += ['', *(f'- {_no_html(note)}' for note in table.notes)]
  return '\n'.join(lines) + '\n'


def markdown_lines(header: Sequence[str], rows: Iterable[Sequence[str]],
                   align: str | None = None) -> list[str]:
  r"""The lines of a Markdown table.

  Args:
    header: a title for each column, plain text.
    rows: plain text, as long as the header.
    align: ``l`` or ``r`` for each column; default: only the first is ``l``.

  Example:
    >>> print(*markdown_lines(['a', 'b'], [['x|y', '1']]), sep='\n')
    | a | b |
    |---|---:|
    | x\|y | 1 |
  """
  rules = {'l': '---', 'r': '---:'}
  align = align or 'l' + 'r' * (len(header) - 1)
  return [
      f'| {" | ".join(map(escape_markdown, header))} |',
      f'|{"|".join(rules[side] for side in align)}|',
      *(f'| {" | ".join(map(escape_markdown, row))} |' for row in rows)]


def escape_markdown(text: str) -> str:
  r"""Plain text as a cell of a Markdown table.

  Example:
    >>> print(escape_markdown('a|b <script>'))
    a\|b &lt;script>
  """
  return _BEFORE_BAR.sub('&#92;', _no_html(text)).replace('|', r'\|')


def _no_html(text: str) -> str:
  """One visible line without tags or links; ``p < .05`` stays as it is."""
  line = text_lib.visible(' '.join(text.split()))
  return _LINK.sub(r'\\[', _TAG.sub('&lt;', line))


def to_csv(table: tables.Table) -> str:
  """Full precision; each column is followed by the ends of its interval."""
  header = ['metric']
  for column in table.columns:
    header += [column, f'{column}_low', f'{column}_high']
  lines: list[list[object]] = [[*header, 'units', 'direction']]
  for row in table.rows:
    line: list[object] = [row.key]
    for cell in row.cells:
      line.append(cell.text if cell.value is None else repr(cell.value))
      line += ['' if end is None else repr(end)
               for end in (cell.low, cell.high)]
    lines.append([*line, row.cells[0].units, row.direction])
  return csv_text(lines)


def csv_text(rows: Iterable[Iterable[object]]) -> str:
  """Rows as CSV with Unix line ends; None is an empty cell.

  A text that a spreadsheet would take for a formula follows an apostrophe.

  Example:
    >>> print(csv_text([['=HYPERLINK("x")', '-1.5', None]]), end='')
    "'=HYPERLINK(""x"")",-1.5,
  """
  out = io.StringIO()
  csv.writer(out, lineterminator='\n').writerows(
      [_plain_cell(cell) for cell in row] for row in rows)
  return out.getvalue()


def _plain_cell(cell: object) -> object:
  if not isinstance(cell, str):
    return cell
  cell = text_lib.visible(cell)
  if cell.lstrip().startswith(_FORMULA):
    try:
      float(cell)
    except ValueError:
      return f"'{cell}"
  return cell


def to_latex(table: tables.Table) -> str:
  r"""A ``tabular`` for ``\usepackage{booktabs}``, intervals in small type."""
  def cell_text(cell: Estimate) -> str:
    text = escape_latex(cell.text)
    if not cell.interval:
      return text
    return text + rf' {{\scriptsize ({escape_latex(cell.interval)})}}'

  return '\n'.join(latex_lines(
      [escape_latex(text) for text in ('', *table.columns, 'direction')],
      [[escape_latex(row.label), *map(cell_text, row.cells),
        escape_latex(row.direction)] for row in table.rows],
      'l' + 'r' * len(table.columns) + 'l')) + '\n'


def latex_lines(header: Sequence[str], rows: Iterable[Sequence[str]],
                align: str | None = None) -> list[str]:
  r"""The lines of a ``tabular`` for ``\usepackage{booktabs}``.

  Args:
    header: a title for each column, in LaTeX: see :func:`escape_latex`.
    rows: LaTeX, as long as the header.
    align: ``l`` or ``r`` for each column; default: only the first is ``l``.
  """
  align = align or 'l' + 'r' * (len(header) - 1)
  return [rf'\begin{{tabular}}{{{align}}}', r'\toprule',
          ' & '.join(header) + r' \\', r'\midrule',
          *(' & '.join(row) + r' \\' for row in rows),
          r'\bottomrule', r'\end{tabular}']


def escape_latex(text: str) -> str:
  r"""Plain text as LaTeX, a minus sign before a number as such.

  Example:
    >>> print(escape_latex('5 % of mia_auc: -0.5'))
    5 \% of mia\_auc: $-$0.5
  """
  return _MINUS.sub('$-$', ''.join(
      _LATEX.get(character, character)
      for character in text_lib.visible(text)))
