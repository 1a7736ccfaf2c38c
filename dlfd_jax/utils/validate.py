"""Checks of single values: one sentence that names the value and its range.

Configs and functions call these before anything is computed. Numbers are
finite, NaN is never in a range, ``True`` is no number, and integers fit the
int32 of a device.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from dlfd_jax.utils import storage, text as text_lib

LARGEST = 2**31 - 1
LONGEST = 4096  # characters of a name; as many as Linux allows a path
# C0 and C1 controls, line and paragraph separators, halves of characters.
_CONTROL = re.compile('[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]')


def is_integer(value: Any) -> bool:
  """Whether a value is an integer of Python or NumPy, and no boolean."""
  return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
  """Whether a value is a number of Python or NumPy, and no boolean."""
  return is_integer(value) or isinstance(value, (float, np.floating))


def integer(name: str, value: Any, least: int = 1, most: int = LARGEST) -> None:
  """Raises ValueError unless ``value`` is an integer in [least, most].

  Example:
    >>> integer('epochs', 0)
    Traceback (most recent call last):
    ValueError: Expected epochs of at least 1, got 0.
  """
  if not is_integer(value):
    raise ValueError(f'Expected {name} to be an integer, got {value!r}.')
  if value < least:
    low = f'of at least {least}' if least else '>= 0'
    raise ValueError(f'Expected {name} {low}, got {value}.')
  if value > most:
    raise ValueError(f'Expected {name} of at most {most}, got {value}.')


def number(name: str, value: Any, low: float = -math.inf,
           high: float = math.inf, *, ends: str = '[]') -> None:
  """Raises ValueError unless ``value`` is a finite number in the interval.

  Args:
    name: of the value, for the message.
    value: to check.
    low: lower end; infinite = none.
    high: upper end.
    ends: ``'['`` or ``'('``, then ``']'`` or ``')'``: whether ends belong to
      it.

  Example:
    >>> number('momentum', 1.0, 0, 1, ends='[)')
    Traceback (most recent call last):
    ValueError: Expected momentum in [0, 1), got 1.0.
  """
  if not is_number(value):
    raise ValueError(f'Expected {name} to be a number, got {value!r}.')
  if math.isinf(value):
    raise ValueError(f'Expected {name} to be finite, got {value}.')
  above = low < value if ends[0] == '(' else low <= value
  below = value < high if ends[1] == ')' else value <= high
  if not (above and below):
    raise ValueError(
        f'Expected {name} {_range(low, high, ends)}, got {value}.')


def _range(low: float, high: float, ends: str) -> str:
  if low == -math.inf and high == math.inf:
    return 'to be finite'
  if high == math.inf:
    return f'above {low}' if ends[0] == '(' else f'>= {low}'
  return f'in {ends[0]}{low}, {high}{ends[1]}'


def boolean(name: str, value: Any) -> None:
  """Raises ValueError unless ``value`` is True or False."""
  if not isinstance(value, (bool, np.bool_)):
    raise ValueError(f'Expected {name} to be True or False, got {value!r}.')


def one_of(name: str, value: Any, choices: Sequence[str]) -> None:
  """Raises ValueError unless ``value`` is one of some words."""
  if not isinstance(value, str) or value not in choices:
    raise ValueError(f'Expected {name} in {tuple(choices)}, got {value!r}.')


def instance(name: str, value: Any, kind: type | tuple[type, ...]) -> None:
  """Raises ValueError unless ``value`` is an instance of a class.

  Example:
    >>> instance('optimizer', None, dict)
    Traceback (most recent call last):
    ValueError: Expected optimizer to be a dict, got None.
  """
  if not isinstance(value, kind):
    kinds = kind if isinstance(kind, tuple) else (kind,)
    raise ValueError(
        f'Expected {name} to be a {" or a ".join(k.__name__ for k in kinds)}, '
        f'got {shown(value)}.')


def printable(name: str, value: Any, most: int) -> None:
  """Raises ValueError unless ``value`` is a text of 1 to ``most`` characters.

  Example:
    >>> printable('id', '', 100)
    Traceback (most recent call last):
    ValueError: Expected id of 1 to 100 printable characters, got ''.
  """
  if not isinstance(value, str) or not (
      value.isprintable() and 0 < len(value) <= most):
    raise ValueError(
        f'Expected {name} of 1 to {most} printable characters, got '
        f'{str(value)[:most]!r}.')


def texts(name: str, value: Any) -> None:
  """Raises ValueError unless ``value`` is a tuple of texts, none empty."""
  if not isinstance(value, tuple) or not all(
      isinstance(text, str) and text.strip() for text in value):
    raise ValueError(f'Expected {name} to be a tuple of texts, none of them '
                     f'blank, got {shown(value)}.')
  check_text(name, value)


def check_text(name: str, values: Iterable[str]) -> None:
  """Raises ValueError if a text cannot be written, or spoils what it is in.

  Names of people and images go into lists of one a line, tables and pages: a
  line break or another control character there is an accident or an attack,
  and so is a whole book.
  """
  for value in values:
    if len(value) > LONGEST:
      raise ValueError(f'Expected {name} of at most {LONGEST} characters, got '
                       f'{len(value)}: {shown(value[:LONGEST])}.')
    if _CONTROL.search(value):
      raise ValueError(f'Expected {name} without line breaks, control or '
                       f'broken characters, got {shown(value)}.')


def array(name: str, values: Any) -> np.ndarray:
  """``values`` as an array; ValueError if their lengths differ."""
  try:
    return np.asarray(values)
  except ValueError as error:
    raise ValueError(f'Expected {name} to be an array, got '
                     f'{shown(values)}.') from error


def floats(name: str, values: Any, dtype: Any = np.float64) -> np.ndarray:
  """``values`` as an array of floating-point numbers.

  Raises:
    ValueError: if they are words, complex, or of no common shape.
  """
  try:
    found = np.asarray(values)
    if found.dtype.kind not in 'fiub' and found.size:
      raise TypeError(found.dtype)
    with np.errstate(over='ignore'):
      return found.astype(dtype)
  except (TypeError, ValueError) as error:
    raise ValueError(
        f'Expected {name} to be real numbers, got {shown(values)}.') from error


def same_length(name: str, values: Any, other: str, n: int) -> np.ndarray:
  """``values`` as a vector of ``n``; ValueError if they are no such vector."""
  vector = array(name, values)
  if vector.shape != (n,):
    raise ValueError(f'Expected {name} [{n}], one for each of {other}, got '
                     f'{list(vector.shape)}.')
  return vector


def channels(mean: Any, std: Any) -> None:
  """Raises ValueError unless both are three numbers, those of std above 0."""
  for values in (mean, std):
    if not isinstance(values, tuple) or len(values) != 3 or not all(
        is_number(value) and math.isfinite(value) for value in values) or (
            values is std and min(values) <= 0):
      raise ValueError(
          'Expected three means and three positive deviations, got '
          f'mean={shown(mean)}, std={shown(std)}.')


def listed(items: Iterable[object], most: int = 10, comma: str = ', ') -> str:
  """The first of some things, fit to be shown, and the number of the others.

  Example:
    >>> listed('abcd', 2)
    'a, b and 2 more'
  """
  items = list(items)
  words = [text_lib.bounded(str(item), 480) for item in items[:most]]
  rest = len(items) - most
  return comma.join(words) + (f' and {rest} more' if rest > 0 else '')


def shown(value: Any) -> str:
  """A value for a message, cut to a length that can be read."""
  return shorten(storage.shown(repr(value)))


def shorten(text: str, most: int = 80) -> str:
  """A text cut to a length that can be read."""
  return text if len(text) <= most else f'{text[:most - 3]}...'


def shorten_path(path: object, most: int = 80) -> str:
  """A path cut to that length in front: the file's name is at its end."""
  text = storage.shown(str(path))
  return text if len(text) <= most else f'...{text[3 - most:]}'
