"""Reads the tables that come with the images, and checks what they list.

Every error names the file and the line, and comes before any image is read.
"""

from __future__ import annotations

import csv
import dataclasses
import pathlib
from collections.abc import Iterable, Mapping, Sequence


@dataclasses.dataclass(frozen=True)
class Line:
  """One line of a table: its values by column, and where it stands."""

  values: Mapping[str, str]
  where: str


@dataclasses.dataclass(frozen=True)
class Row:
  """One image as the official tables describe it.

  Attributes:
    sample_id: stable text, distinct in the data set.
    path: the image file.
    part: ``'train'``, ``'val'`` or ``'test'`` of the official split.
    person: the person's name, ``''`` if unknown.
    values: every label and further column.
    where: line and file, for errors.
  """

  sample_id: str
  path: pathlib.Path
  part: str
  person: str
  values: Mapping[str, int]
  where: str


def read_csv(path: pathlib.Path, needed: Sequence[str]) -> list[Line]:
  """Reads a comma-separated table with a header, UTF-8.

  Raises:
    FileNotFoundError: if there is no such file.
    ValueError: if a needed column is missing, a line is short or long, or there
      are no lines.
  """
  try:
    with _existing(path).open(encoding='utf-8-sig', newline='') as file:
      reader = csv.reader(file, strict=True)
      rows = [(reader.line_num, [value.strip() for value in row])
              for row in reader if any(value.strip() for value in row)]
  except (UnicodeDecodeError, csv.Error) as error:
    raise ValueError(
        f'Expected {path} to be a CSV file in UTF-8, got something else: '
        f'{error}.') from error
  header = rows[0][1] if rows else []
  return _lines(path, header, rows[1:], needed)


def read_words(path: pathlib.Path, header: Sequence[str] | None = None,
               needed: Sequence[str] = ()) -> list[Line]:
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
  try:
    text = _existing(path).read_text(encoding='utf-8-sig')
  except UnicodeDecodeError as error:
    raise ValueError(
        f'Expected {path} to be UTF-8 text, got other bytes.') from error
  rows = [(number, line.split())
          for number, line in enumerate(text.splitlines(), start=1)]
  if header is None:
    header = ['file', *(rows[1][1] if len(rows) > 1 else [])]
    rows = rows[2:]
  return _lines(path, header, [row for row in rows if row[1]], needed)


def _existing(path: pathlib.Path) -> pathlib.Path:
  if not path.is_file():
    raise FileNotFoundError(f'Expected the file {path}, found none.')
  return path


def _lines(path, header, rows, needed) -> list[Line]:
  for name in needed:
    if name not in header:
      raise ValueError(
          f'Expected a column {name!r} in line 1 or 2 of {path}, got '
          f'{", ".join(header) or "none"}.')
  if not rows:
    raise ValueError(f'Expected at least one image in {path}, got none.')
  lines = []
  for number, row in rows:
    if len(row) != len(header):
      raise ValueError(
          f'Expected {len(header)} values in line {number} of {path}, got '
          f'{len(row)}.')
    lines.append(Line(dict(zip(header, row)), f'line {number} of {path}'))
  return lines


def by_key(lines: Iterable[Line], key: str) -> dict[str, Line]:
  """Lines by the value of a column, which names each image once.

  Raises:
    ValueError: if a value is there twice.
  """
  found: dict[str, Line] = {}
  for line in lines:
    value = line.values[key]
    if value in found:
      raise ValueError(
          f'Expected every path once, got {value!r} in {found[value].where} '
          f'and in {line.where}.')
    found[value] = line
  return found


def attribute(line: Line, name: str) -> int:
  """An attribute given as 1 or -1, as 1 or 0.

  Raises:
    ValueError: if it is anything else.
  """
  value = line.values[name]
  if value not in ('1', '-1'):
    raise ValueError(
        f'Expected 1 or -1 for {name} in {line.where}, got {value!r}.')
  return int(value == '1')


def number(line: Line, name: str) -> int:
  """An integer >= 0 of at most nine digits.

  Raises:
    ValueError: if it is anything else.
  """
  value = line.values[name]
  if not (value.isascii() and value.isdigit() and len(value) < 10):
    raise ValueError(
        f'Expected an integer >= 0 for {name} in {line.where}, got {value!r}.')
  return int(value)


def check_rows(rows: Sequence[Row]) -> None:
  """Checks what the tables list against each other and against the disk.

  Raises:
    FileNotFoundError: if a listed image is absent.
    ValueError: if an image is listed twice or a person is in two parts.
  """
  seen: dict[str, Row] = {}
  parts: dict[str, Row] = {}
  for row in rows:
    other = seen.setdefault(row.sample_id, row)
    if other is not row:
      raise ValueError(
          f'Expected every path once, got {row.sample_id!r} in {other.where} '
          f'and in {row.where}.')
    if row.person:
      other = parts.setdefault(row.person, row)
      if other.part != row.part:
        raise ValueError(
            f'Expected every person in one part only, got {row.person!r} of '
            f'{other.part} in {other.where} and of {row.part} in {row.where}.')
    if not row.path.is_file():
      raise FileNotFoundError(
          f'Expected an image file for {row.where}, found none at {row.path}.')
