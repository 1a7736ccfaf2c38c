"""Requests as text files: persons, families or images, one a line."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping

from dlfd_jax.utils import files, validate


def read_identity_file(path: str | os.PathLike,
                       names: Mapping[str, int] | None = None,
                       what: str = 'identity') -> tuple[int, ...]:
  """Reads persons (or families) from a text file, one a line.

  Blank lines are skipped; ``#`` starts a comment at the start of a line or
  after a space.

  Args:
    path: a UTF-8 text file.
    names: the number of each by name, where the source of the data names them
      (``sources.person_names``, ``sources.family_names``); lines are then
      names.
    what: ``'identity'`` or ``'family'``, for messages.

  Returns:
    Their numbers, in the file's order, each once.

  Raises:
    FileNotFoundError: if there is no such file.
    ValueError: if a line is no integer >= 0 (or no known name), the file is no
      text, or it names nobody.
  """
  found = []
  for number, line in _read_lines(path):
    if names:
      if line not in names:
        raise ValueError(
            f'Expected a known {what} in line {number} of {path}, got '
            f'{line!r}.')
      found.append(int(names[line]))
    elif line.isascii() and line.isdigit():
      found.append(int(line))
    else:
      raise ValueError(
          f'Expected an integer {what} >= 0 in line {number} of {path}, got '
          f'{line!r}.')
  return tuple(dict.fromkeys(found))


def read_sample_id_file(path: str | os.PathLike) -> tuple[str, ...]:
  """Reads sample ids from a text file, one a line; else as persons are read.

  Returns:
    The sample ids, in the file's order, each once.

  Raises:
    FileNotFoundError: if there is no such file.
    ValueError: if the file is no text, or holds no id.
  """
  return tuple(dict.fromkeys(line for _, line in _read_lines(path)))


def _read_lines(path) -> list[tuple[int, str]]:
  """(line number, content) of the lines that say something."""
  path = pathlib.Path(path)
  if not files.is_file(path):
    raise FileNotFoundError('Expected a text file, got no file at '
                            f'{validate.shorten_path(path)}.')
  try:
    text = path.read_text(encoding='utf-8-sig')
  except UnicodeDecodeError as error:
    raise ValueError(
        f'Expected {path} to be UTF-8 text, got other bytes.') from error
  lines = []
  for number, line in enumerate(text.splitlines(), start=1):
    line = '' if line.startswith('#') else line.split(' #')[0].strip()
    if line:
      lines.append((number, line))
  if not lines:
    raise ValueError(f'Expected at least one entry in {path}, got none.')
  return lines
