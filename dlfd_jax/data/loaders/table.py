"""Tables of text as a user or a data set's authors wrote them, row by row."""

from __future__ import annotations

import csv
import dataclasses
import io
import os
import pathlib
from collections.abc import Mapping, Sequence

from dlfd_jax.utils import files, storage, validate


@dataclasses.dataclass(frozen=True)
class Line:
  """One line of a table: its values by column, and where it stands."""

  values: Mapping[str, str]
  where: str


@dataclasses.dataclass(frozen=True)
class Table:
  """The rows of a table as columns of text.

  Attributes:
    path: the file, or the folder that was listed instead.
    columns: all values by column.
    lines: number of each row's line; None where no file was read.
  """

  path: pathlib.Path
  columns: dict[str, list[str]]
  lines: list[int] | None = None

  def where(self, i: int) -> str:
    """Names a row in an error."""
    if self.lines is None:
      return f'{self.columns["path"][i]} of {self.path.name}'
    return f'line {self.lines[i]} of {self.path.name}'

  def rows(self) -> list[Line]:
    """The table row by row."""
    return [Line(dict(zip(self.columns, values)), self.where(i))
            for i, values in enumerate(zip(*self.columns.values()))]

  def by(self, key: str) -> dict[str, Line]:
    """The rows by the value of a column, which names each image once.

    Raises:
      ValueError: if a value is there twice.
    """
    lines: dict[str, Line] = {}
    for line in self.rows():
      value = line.values[key]
      if value in lines:
        raise ValueError(
            f'Expected every path once, got {value!r} in {lines[value].where} '
            f'and in {line.where}.')
      lines[value] = line
    return lines


def read_csv(path: str | os.PathLike, needed: Sequence[str] = ()) -> Table:
  """Reads a comma-separated table with a header, UTF-8; blank lines are none.

  Raises:
    FileNotFoundError: if there is no such file.
    ValueError: if it is no such table, a needed column is missing, a line is
      short or long, or there are no lines.
  """
  path = storage.local(path)
  text = files.read_text(path, 'a CSV manifest')
  try:
    reader = csv.reader(io.StringIO(text), strict=True)
    rows = [(reader.line_num, [value.strip() for value in row])
            for row in reader if any(value.strip() for value in row)]
  except csv.Error as error:
    raise ValueError(f'Expected {path} to be a CSV file, got something else: '
                     f'{error}.') from error
  if len(rows) < 2:
    raise ValueError(
        f'Expected a header and at least one image in {path}, got {len(rows)} '
        'rows.')
  return _table(path, rows[0][1], rows[1:], needed)


def read_words(path: str | os.PathLike, header: Sequence[str] | None = None,
               needed: Sequence[str] = ()) -> Table:
  """Reads a table of words between blanks.

  Args:
    path: the file.
    header: names of the columns; None where the file has two lines of its own:
      the number of lines, then the names of all columns but the first, which
      is then called ``file``.
    needed: columns that must be there.

  Raises:
    FileNotFoundError, ValueError: as ``read_csv``.
  """
  path = storage.local(path)
  text = files.read_text(path, f'the file {path.name}')
  rows = [(number, line.split())
          for number, line in enumerate(text.splitlines(), start=1)]
  if header is None:
    header = ['file', *(rows[1][1] if len(rows) > 1 else [])]
    rows = rows[2:]
  rows = [row for row in rows if row[1]]
  if not rows:
    raise ValueError(f'Expected at least one image in {path}, got none.')
  return _table(path, header, rows, needed)


_ABOVE = 10  # lines of titles, or one that names the separator
_MARKS = {';': 'semicolons', '\t': 'tabs', '|': 'bars'}


def _table(path: pathlib.Path, header: Sequence[str],
           rows: Sequence[tuple[int, list[str]]],
           needed: Sequence[str]) -> Table:
  for name in needed:
    if name not in header:
      below = next((line for line, row in rows[:_ABOVE]
                    if set(needed) <= set(row)), None)
      if below is not None:
        raise ValueError(
            f'Expected the header in the first line of {path}, got it in line '
            f'{below}: delete what stands above it.')
      other = [mark for mark, words in _MARKS.items()
               if len(header) == 1 and mark in header[0]]
      raise ValueError(
          f'Expected a column {name!r} in {path}, got '
          f'{validate.listed(header)}' + (
              f': its columns have {_MARKS[other[0]]} between them, write it '
              'with commas.' if other else '.'))
  if '' in header:
    raise ValueError(
        f'Expected a name for each column of {path}, got none for column '
        f'{list(header).index("") + 1}: name it, or leave it out (in pandas: '
        'index=False).')
  if len(set(header)) != len(header):
    raise ValueError(
        f'Expected distinct column names in {path}, got '
        f'{validate.listed(header)}.')
  for line, row in rows:
    if len(row) != len(header):
      raise ValueError(
          f'Expected {len(header)} values in line {line} of {path}, got '
          f'{len(row)}.')
  return Table(
      path=path, lines=[line for line, _ in rows],
      columns={name: [row[k] for _, row in rows]
               for k, name in enumerate(header)})
