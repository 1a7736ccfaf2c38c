"""Which output of a network is which class of the data."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import numpy as np

from dlfd_jax.data import labels as labels_lib
from dlfd_jax.utils import validate

# Classes that are integers are called by their column: "age 0", "age 1".
_NUMBERED = re.compile(r'(.* )?(\d+)')


def are_numbers(names: Sequence[str]) -> bool:
  """Whether all classes are integers, called by one column or by none.

  Names that end in numbers otherwise, such as years, are texts.
  """
  found = [_NUMBERED.fullmatch(name) for name in names]
  pairs = [match.groups() for match in found if match]
  return len(pairs) == len(names) == len(
      {int(number) for _, number in pairs}) and len(
          {column for column, _ in pairs}) == 1


def short(names: Sequence[str]) -> tuple[str, ...]:
  """The names, integers without their column.

  Example:
    >>> short(['age 2', 'age 10'])
    ('2', '10')
  """
  return tuple(str(int(name.rpartition(' ')[2])) for name in names
               ) if are_numbers(names) else tuple(names)


def usual(names: Sequence[str]) -> dict[str, tuple[str, ...]]:
  """The orders in which programs put classes, by what they are called.

  Folders (``ImageFolder``) and texts are sorted by their characters, ``1, 10,
  2``; numbers and people's own lists go ``1, 2, 10``.
  """
  return {'sorted as texts': tuple(sorted(short(names))),
          'in natural order': labels_lib.natural_order(short(names))}


def rows_of(names: Sequence[str], head: Sequence[str],
            where: str) -> np.ndarray:
  """The head's row of every class of the data.

  Classes that are integers may be called by their numbers alone.

  Args:
    names: the classes of the data.
    head: those of the outputs, in their order.
    where: who says so, for the message.

  Raises:
    ValueError: if the two do not have the same classes, each once.
  """
  numbered = are_numbers(names)

  def key(name: str) -> str:
    name = unicodedata.normalize('NFC', name).strip()
    if numbered and (name in names or name.isdecimal()):
      return str(int(name.rpartition(' ')[2]))
    return name

  rows = {key(name): i for i, name in enumerate(head)}
  unknown = [name for name in head if key(name) not in map(key, names)]
  lacking = [name for name in names if key(name) not in rows]
  if unknown or lacking or not len(rows) == len(head) == len(names):
    raise ValueError(
        f'Expected each class of the data once in {where}, '
        f'{validate.listed(names)}, got {validate.listed(head)}'
        + (f'; the data have no {validate.listed(unknown)}' if unknown else '')
        + (f'; {validate.listed(lacking)} is missing' if lacking else '') + '.')
  return np.array([rows[key(name)] for name in names])
