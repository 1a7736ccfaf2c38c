"""YAML, of which JSON is a part, with every value as the text that it is.

``no`` is no boolean, ``1e-3`` no text beside numbers and a date no date: what
reads a setting knows its kind, as with a flag of the command line.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping
from typing import Any

import yaml

from dlfd_jax.utils import files, validate

ENDINGS = ('.yaml', '.yml', '.json')
_LARGEST = 2**20  # bytes


class _Loader(yaml.BaseLoader):
  """Texts, lists and mappings; a key twice is refused."""

  def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
    keys = [self.construct_object(key, deep=True) for key, _ in node.value]
    for at, key in enumerate(keys):
      if key in keys[:at]:
        raise yaml.constructor.ConstructorError(
            None, None, f'{validate.shown(key)} is there twice',
            node.value[at][0].start_mark)
    return super().construct_mapping(node, deep)


def read(path: str | os.PathLike) -> dict[str, Any]:
  """What a file of settings says.

  Returns:
    Texts, lists and mappings by name; hyphens in a name are underscores.

  Raises:
    FileNotFoundError: if there is no such file.
    ValueError: if it is too large, no YAML or no mapping.
  """
  path = pathlib.Path(path)
  files.check_file(path, f'a file of settings at {path}')
  if path.stat().st_size > _LARGEST:
    raise ValueError(f'Expected at most {_LARGEST / 1e6:.0f} MB of settings in '
                     f'{path}, got {path.stat().st_size / 1e6:.0f} MB.')
  try:
    found = yaml.load(path.read_bytes().decode('utf-8-sig'), _Loader)
  except yaml.MarkedYAMLError as error:
    mark = error.problem_mark or error.context_mark
    line = f'line {mark.line + 1} of ' if mark else ''
    raise ValueError(f'Expected YAML in {line}{path}: '
                     f'{error.problem or error.context}.') from error
  except (yaml.YAMLError, ValueError, RecursionError, TypeError) as error:
    raise ValueError(
        f'Expected YAML in {path}, got {" ".join(str(error).split())}.'
    ) from error
  if not isinstance(found, dict) or not all(
      isinstance(name, str) for name in found):
    raise ValueError(f'Expected name: value in every line of {path}.')
  return {name.replace('-', '_'): value for name, value in found.items()}


def text(value: Any, name: str) -> str:
  """One value as it would be typed: lists with commas, pairs with colons.

  Args:
    value: what was read.
    name: what it is the value of, for messages.

  Raises:
    ValueError: if it is null, or nested further.

  Example:
    >>> text(['age', 'smile'], 'labels'), text({'age': '30'}, 'thresholds')
    ('age,smile', 'age:30')
  """
  if isinstance(value, Mapping):
    value = [f'{key}:{inner}' if isinstance(inner, str) else inner
             for key, inner in value.items()]
  if isinstance(value, list) and all(isinstance(part, str) for part in value):
    return ','.join(value)
  if not isinstance(value, str):
    raise ValueError(f'Expected one value of {name}, or a list of some, got '
                     'lists or names inside others.')
  if value in ('null', '~'):
    raise ValueError(f'Expected a value of {name}, got {value}: leave the line '
                     'out, or say none where that is a value.')
  return value


class _Dumper(yaml.emitter.Emitter, yaml.serializer.Serializer,
              yaml.representer.SafeRepresenter, yaml.resolver.BaseResolver):
  """Texts without quotation marks where :func:`read` needs none."""

  def __init__(self, stream: Any, **options: Any) -> None:
    yaml.emitter.Emitter.__init__(self, stream, width=10**6, allow_unicode=True)
    yaml.serializer.Serializer.__init__(self)
    yaml.representer.SafeRepresenter.__init__(
        self, default_flow_style=False, sort_keys=False)
    yaml.resolver.BaseResolver.__init__(self)


def written(settings: Mapping[str, str | list[str]]) -> str:
  """Settings as :func:`read` reads them, one a line.

  Example:
    >>> print(written({'on': 'all', 'seed': '0', 'labels': ''}), end='')
    on: all
    seed: 0
    labels:
  """
  return str(yaml.dump(dict(settings), Dumper=_Dumper)) if settings else ''
