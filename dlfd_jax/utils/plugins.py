"""Classes that a user names on the command line: networks, methods.

``file.py:Class`` names a file, ``package.module:Class`` a module that Python
can import.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import inspect
import pathlib
import sys
import types
from collections.abc import Iterator
from typing import Any

from dlfd_jax.utils import files

_HASH = '__sha256__'  # of a module that was imported from a user's file


def is_spec(text: Any) -> bool:
  """Whether a name is a user's class, and none of the built-in names."""
  return isinstance(text, str) and ':' in text


def load_object(spec: str, what: str = 'class') -> Any:
  """Imports what ``file.py:Class`` or ``package.module:Class`` names.

  Args:
    spec: the place and the name in it.
    what: is expected there, for messages, such as ``'network'``.

  Raises:
    FileNotFoundError: if there is no such file.
    ValueError: if there is no colon, no such module, no such name in it, or
      importing it raises an error.

  Example:
    >>> load_object('pathlib:PurePath').__name__
    'PurePath'
    >>> load_object('math')
    Traceback (most recent call last):
    ValueError: Expected a class as module:Class or file.py:Class, got 'math'.
  """
  place, _, name = spec.rpartition(':')
  if not place or not name:
    raise ValueError(f'Expected a {what} as module:Class or file.py:Class, got '
                     f'{spec!r}.')
  if place.endswith('.py'):
    files.check_file(place, f'a Python file with the {what} {name!r}')
  try:
    with _nothing_compiled_is_left():
      module = (_import_file(place) if place.endswith('.py')
                else importlib.import_module(place))
  # Whatever the user's module raises; one that exits would look like success.
  except (Exception, SystemExit) as error:
    kind = 'file' if place.endswith('.py') else 'module'
    where = 'that can be run' if kind == 'file' else 'on the Python path'
    raise ValueError(
        f'Expected the {kind} {place!r} {where}, got '
        f'{type(error).__name__}: {str(error).rstrip(".")}.') from error
  if not hasattr(module, name):
    raise ValueError(f'Expected a {what} {name!r} in {place!r}, got none.')
  return getattr(module, name)


def spec_of(cls: type) -> str:
  """The text that :func:`load_object` finds a class under again.

  That of a user's file has the file's absolute path.
  """
  path = pathlib.Path(getattr(sys.modules[cls.__module__], '__file__', ''))
  place = str(path) if cls.__module__ == _name_of(path) else cls.__module__
  return f'{place}:{cls.__qualname__}'


def file_hash(of: Any) -> str | None:
  """SHA-256 of the file that defines a class or function, None if unknown.

  Of a user's file as it was imported: who edits it during a run of hours does
  not change what the run computes.
  """
  known = getattr(sys.modules.get(of.__module__), _HASH, None)
  if known is not None:
    return known
  try:
    path = inspect.getsourcefile(of)
  except (TypeError, OSError):  # made in an interactive session
    return None
  return files.sha256(path) if path and files.is_file(path) else None


@contextlib.contextmanager
def _nothing_compiled_is_left() -> Iterator[None]:
  """Importing writes nothing beside somebody's file, be it refused or not."""
  before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
  try:
    yield
  finally:
    sys.dont_write_bytecode = before


def _name_of(path: pathlib.Path) -> str:
  """A name of its own, as two files may be called alike.

  Dataclasses and pickle look a class's module up by its name.
  """
  digest = hashlib.sha256(str(path).encode()).hexdigest()[:8]
  return f'{path.stem}_{digest}'


def _import_file(place: str) -> types.ModuleType:
  """The module of a file; the same object for the same path."""
  path = pathlib.Path(place).resolve()
  name = _name_of(path)
  if name in sys.modules:
    return sys.modules[name]
  specification = importlib.util.spec_from_file_location(name, path)
  assert specification is not None and specification.loader is not None
  module = importlib.util.module_from_spec(specification)
  sys.modules[name] = module
  setattr(module, _HASH, files.sha256(path))
  try:
    specification.loader.exec_module(module)
  except BaseException:
    del sys.modules[name]
    raise
  return module
