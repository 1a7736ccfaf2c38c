"""Stored JSON, read in one place through a schema of what it has to be.

A schema is a type: a ``TypedDict`` for a record, see
:mod:`~dlfd_jax.utils.schemas`, or a frozen dataclass for settings, which checks
itself when it is made. A record keeps the fields that its schema does not know,
as a later version may add some that change no other. Settings are complete and
have no unknown field: a default would be a guess, and nobody can say what a
field of a later version changes.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import os
import pathlib
import re
import typing
from collections.abc import Collection, Iterator
from typing import Any

import msgspec

from dlfd_jax.utils import files, validate

LARGEST = 256 * 2**20  # bytes; a million images of a request are 120 MB
DEEPEST = 50  # lists in objects in lists
_LONGEST = 300  # characters of a sentence about a value
_WORDS = {'object': 'an object', 'array': 'a list', 'str': 'a text',
          'int': 'an integer', 'float': 'a number', 'bool': 'true or false',
          'null': 'null'}


def read(path: str | os.PathLike, schema: Any = Any) -> Any:
  """What a JSON file holds.

  Args:
    path: the file.
    schema: see the module, any JSON by default; or several schemas by the
      word that the record has as its ``kind``.

  Returns:
    The value as it stands, or the dataclass of settings.

  Raises:
    FileNotFoundError: if there is no such file.
    ValueError: if it is too large or too deep, no JSON, or does not fit.
  """
  return fit(_decode(_bytes(path), str(path)), schema, str(path))


def parse(text: str, schema: Any, where: str) -> Any:
  """What a JSON text holds; errors as of :func:`read`.

  Args:
    text: the JSON.
    schema: see the module.
    where: it stands, for the message.
  """
  return fit(_decode(text.encode('utf-8', 'surrogatepass'), where), schema,
             where)


def read_lines(path: str | os.PathLike, schema: Any) -> list[Any]:
  """Records, one a line; none without the file.

  The last line may have been cut by a kill, and is then left out.

  Raises:
    ValueError: if the file is too large, or another line is none or does not
      fit.
  """
  lines = _bytes(path).split(b'\n') if files.is_file(path) else []
  found = []
  for number, line in enumerate(lines, 1):
    where = f'line {number} of {path}'
    try:
      value = _decode(line, where)
    except ValueError:
      if number == len(lines):
        break
      raise
    found.append(fit(value, schema, where))
  return found


def _bytes(path: str | os.PathLike) -> bytes:
  """What a file holds, weighed before."""
  path = pathlib.Path(path)
  files.check_file(path, f'the file {path.name}')
  size = path.stat().st_size
  if size > LARGEST:
    raise ValueError(f'Expected at most {LARGEST / 1e6:.0f} MB of JSON in '
                     f'{path}, got {size / 1e6:.0f} MB.')
  return path.read_bytes()


def _decode(data: bytes, where: str) -> Any:
  """JSON without NaN and infinities, of some depth."""
  try:  # not msgspec's, which takes no path that is not UTF-8
    value = json.loads(data.decode('utf-8'), parse_constant=_finite,
                       parse_float=_finite)
  except (ValueError, RecursionError) as error:  # also: no UTF-8
    raise ValueError(f'Expected JSON in {where}: {error}.') from error
  level, depth = [value], 0
  while level:
    level = [inner for outer in level if isinstance(outer, (dict, list))
             for inner in (outer.values() if isinstance(outer, dict)
                           else outer)]
    depth += 1
    if depth > DEEPEST:
      raise ValueError(f'Expected JSON of at most {DEEPEST} levels in {where}, '
                       'got more.')
  return value


def _finite(text: str) -> float:
  number = float(text)
  if not math.isfinite(number):
    raise ValueError(f'{text} is no finite number')
  return number


def fit(value: Any, schema: Any, where: str,
        later: Collection[str] = ()) -> Any:
  """``value`` if it fits a schema; settings as their dataclass.

  Args:
    value: of JSON.
    schema: see the module.
    where: it stands, for the message.
    later: names of settings that earlier versions did not have.

  Raises:
    ValueError: if it does not fit.

  Example:
    >>> fit({'a': 'x'}, dict[str, int], 'a.json')
    Traceback (most recent call last):
    ValueError: Expected a value of a.json to be an integer, got a text.
  """
  if isinstance(schema, dict):
    kind = value.get('kind') if isinstance(value, dict) else None
    if kind not in list(schema):
      raise ValueError(
          f'Expected {where} to be of kind '
          f'{" or ".join(map(repr, schema))}, got {validate.shown(kind)}.')
    schema = schema[kind]
  if typing.is_typeddict(schema) and isinstance(value, dict):
    for name, words in _fixed(schema).items():
      if value.get(name) not in words:
        raise ValueError(
            f'Expected {where} to be of {name} '
            f'{" or ".join(map(repr, words))}, got '
            f'{validate.shown(value.get(name))}.')
  try:
    found = msgspec.convert(value, schema)
  except (ValueError, RecursionError, OverflowError) as error:
    raise ValueError(_sentence(str(error), where)) from error
  if not dataclasses.is_dataclass(found):
    return value
  stored, known = list(_names(value)), list(_names(found))
  for name in known:
    if name not in stored and name.rpartition('.')[2] not in later:
      raise ValueError(f'Expected {name} in {where}, got none.')
  for name in stored:
    if name not in known:
      raise ValueError(f'Expected {where} without fields that this version '
                       f'does not know, got {validate.shorten(name)}.')
  return found


@functools.cache
def _fixed(schema: Any) -> dict[str, tuple[Any, ...]]:
  """The fields of a record that name what it is, and the words for them."""
  hints = typing.get_type_hints(schema)
  return {name: typing.get_args(hint) for name, hint in hints.items()
          if typing.get_origin(hint) is typing.Literal}


def _names(settings: Any, prefix: str = '') -> Iterator[str]:
  """Dotted names of all fields of settings, or of those that are stored."""
  if dataclasses.is_dataclass(settings):
    settings = {field.name: getattr(settings, field.name)
                for field in dataclasses.fields(settings)}
  if isinstance(settings, dict):
    for name, value in settings.items():
      yield f'{prefix}{name}'
      yield from _names(value, f'{prefix}{name}.')


def _sentence(message: str, where: str) -> str:
  """What msgspec says, as this project says it."""
  message, _, way = message.partition(' - at `$')
  way = re.sub(r'\[\.\.\.\]', '.a value', way.rstrip('`')).lstrip('.')
  place = f'{way} of {where}' if way else where
  missing = re.fullmatch(r'Object missing required field `(.*)`', message)
  if missing:
    return f'Expected {missing[1]} in {place}, got none.'
  kinds = re.fullmatch(r'Expected `([^`]*)`(.*?)(?:, got `(.*)`)?', message)
  if kinds:
    wanted, got = (
        ' or '.join(_WORDS.get(word, word) for word in text.split(' | '))
        for text in (kinds[1], kinds[3] or 'another'))
    return f'Expected {place} to be {wanted}{kinds[2]}, got {got}.'
  message = validate.shorten(message.rstrip('.'), _LONGEST)
  return f'{message[:1].upper()}{message[1:]} in {place}.' if (
      message.startswith('Expected')) else (
          f'Expected {place} to fit: {message}.')
