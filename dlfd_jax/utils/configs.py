"""Fields of nested frozen configs by dotted path."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

# Values that were called otherwise once, by the name of their field: older
# commands and configs of run folders still have them, or lack the field.
_OLD_VALUES: dict[str, dict[str | None, str]] = {
    'batch_norm': {'live': 'batch'}, 'transport': {None: 'global'}}
_Config = TypeVar('_Config')


def current(field: str, value: Any) -> Any:
  """A field's value by its present name.

  Example:
    >>> current('batch_norm', 'live'), current('selection', 'last')
    ('batch', 'last')
  """
  old = _OLD_VALUES.get(field, {})
  return old.get(value, value) if isinstance(value, str | None) else value


def replace(config: _Config, changes: Mapping[str, Any]) -> _Config:
  """``config`` with the fields at some dotted paths replaced, all at once.

  Raises:
    ValueError: if there is no such field or the config refuses a value.

  Example:
    >>> from dlfd_jax import training
    >>> changed = replace(training.TrainConfig(), {'optimizer.momentum': 0.5})
    >>> changed.optimizer.momentum
    0.5
  """
  own: dict[str, Any] = {}
  nested: dict[str, dict[str, Any]] = {}
  for path, value in changes.items():
    name, _, rest = path.partition('.')
    if not dataclasses.is_dataclass(config) or name not in [
        field.name for field in dataclasses.fields(config)]:
      raise ValueError(
          f'Expected the path of a field of {type(config).__name__}, got '
          f'{path!r}.')
    if rest:
      nested.setdefault(name, {})[rest] = value
    else:
      own[name] = value
  for name, inner in nested.items():
    own[name] = replace(own.get(name, getattr(config, name)), inner)
  return dataclasses.replace(config, **own)  # type: ignore[type-var]
