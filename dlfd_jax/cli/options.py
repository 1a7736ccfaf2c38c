"""Flags that fill the fields of frozen configs, derived from their classes.

A field is a flag of its name, or of the name in its metadata,
``dataclasses.field(default=..., metadata={'flag': 'data'})``. The text is read
as the field's type says, and explained as the docstring of the class does under
``Attributes:``. Fields of a nested config have its name in front, but for an
optimizer and a wrapped method: ``sinkhorn.epsilon`` is ``--sinkhorn_epsilon``,
``optimizer.momentum`` is ``--momentum``, ``repair_optimizer.momentum`` is
``--repair_momentum``. Metadata of ``{'flag': '--name'}`` are the whole name. A
nested config that may be None is also a flag itself, true (its defaults) or
false.

Metadata of ``{'flag': None}`` are those of a field without a flag of its own,
such as a method that may be absent; its fields have theirs while it is there.

A flag that is not given leaves the preset's value; one that the config lacks is
refused.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from absl import flags

from dlfd_jax import methods, presets, training
from dlfd_jax.data import sources
from dlfd_jax.utils import configs, validate

_WORDS = {int: 'an integer', float: 'a number', str: 'a text',
          bool: 'true or false'}
_BOOLEANS = {'true': True, '1': True, 'yes': True,
             'false': False, '0': False, 'no': False}


@dataclasses.dataclass(frozen=True)
class Option:
  """One flag.

  Attributes:
    flag: its name.
    path: of the field that it sets, such as ``optimizer.momentum``.
    kind: the field's type.
    help: what it means.
  """

  flag: str
  path: str
  kind: Any
  help: str

  @property
  def takes(self) -> str:
    """What its text has to be, in words."""
    return _words(self.kind) or ''


def of(config: Any, path: str = '', front: str = '') -> tuple[Option, ...]:
  """The flags of a config.

  Args:
    config: a frozen dataclass, or its class: then of its defaults.
    path: where it stands in another config.
    front: in front of its flags' names.

  Example:
    >>> [option.flag for option in of(training.TrainConfig().optimizer)][:3]
    ['optimizer', 'learning_rate', 'momentum']
  """
  cls = config if isinstance(config, type) else type(config)
  kinds, entries = typing.get_type_hints(cls), _entries(cls)
  own: dict[str, Option] = {}
  inner: dict[str, Option] = {}
  for field in dataclasses.fields(cls):
    kind, value = kinds[field.name], getattr(config, field.name, None)
    named = field.metadata.get('flag', field.name)
    nested = value if dataclasses.is_dataclass(value) else next(
        (k for k in (kind, *typing.get_args(kind))
         if dataclasses.is_dataclass(k) and named), None)
    if nested:
      name = re.sub('(optimizer|method)_$', '', f'{field.name}_')
      inner |= {option.flag: option for option in of(
          nested, f'{path}{field.name}.', front + name)}
    words = _words(kind)
    if words and named:
      flag = named[2:] if named.startswith('--') else front + named
      own[flag] = Option(flag, path + field.name, kind,
                         entries.get(field.name, words))
  return tuple((inner | own).values())


def of_methods(named: Mapping[str, Any]) -> tuple[Option, ...]:
  """The flags of several methods by name; their help says which have them."""
  texts: dict[str, dict[str, list[str]]] = {}
  found: dict[str, Option] = {}
  for name, config in named.items():
    for option in of(config):
      found.setdefault(option.flag, option)
      texts.setdefault(option.flag, {}).setdefault(
          option.help, []).append(name)
  def having(names: list[str]) -> str:
    others = [name for name in named if name not in names]
    return '' if not others else f' (all but {", ".join(others)})' if (
        len(others) < len(names) / 2) else f' ({", ".join(names)})'

  return tuple(dataclasses.replace(option, help='; '.join(
      f'{text}{having(names)}' for text, names in texts[flag].items()))
      for flag, option in found.items())


def _entries(cls: type) -> dict[str, str]:
  """What docstrings say of fields under ``Attributes:``, in words of flags.

  Without markup, and None is what is typed: none.
  """
  entries = {}
  for base in reversed(cls.__mro__):
    section = re.search(r'^Attributes:\n((?:  .*\n|\n)*)',
                        inspect.cleandoc(base.__doc__ or '') + '\n', re.M)
    for name, text in re.findall(r'^  (\w+): (.*(?:\n    .*)*)',
                                 section[1] if section else '', re.M):
      text = re.sub(r'(?::\w+:)?`+~?([^`]*)`+', r'\1', ' '.join(text.split()))
      entries[name] = re.sub(r'\bNone\b', 'none', text.rstrip('.'))
  return entries


def _words(kind: Any) -> str | None:
  """What the text of a type has to be; None if text cannot give it."""
  parts = typing.get_args(kind)
  if _is_union(kind):
    if any(dataclasses.is_dataclass(part) for part in parts):
      return _WORDS[bool]
    words = [_words(part) for part in parts if part is not types.NoneType]
    return None if None in words else ' or '.join(
        [str(word) for word in words] + ['none'] * (types.NoneType in parts))
  if typing.get_origin(kind) is tuple:
    if typing.get_origin(parts[0]) is tuple:
      return 'name:value pairs with commas between'
    words = [_words(part) for part in parts if part is not Ellipsis]
    return words[0] and f'{words[0]}, or several with commas between'
  return _WORDS.get(kind)


def _is_union(kind: Any) -> bool:
  return typing.get_origin(kind) in (types.UnionType, typing.Union)


def read(kind: Any, text: str, comma: str = ',') -> Any:
  """The value of a type that a text says.

  Raises:
    ValueError: if it says none.

  Example:
    >>> read(int | None, 'none'), read(tuple[tuple[str, int], ...], 'age:30')
    (None, (('age', 30),))
  """
  parts = typing.get_args(kind)
  if _is_union(kind):
    if types.NoneType in parts and text.lower() == 'none':
      return None
    for part in sorted(parts, key=lambda part: part is str):  # a text last
      try:
        return read(part, text)
      except ValueError:
        continue
  elif typing.get_origin(kind) is tuple:
    texts = [t.strip() for t in text.split(comma)] if text.strip() else []
    if '' in texts:  # something is missing there
      raise ValueError(f'Expected a value between all commas, got {text!r}.')
    parts = parts[:1] * len(texts) if parts[-1] is Ellipsis else parts
    if len(parts) == len(texts):
      return tuple(read(*pair, ':') for pair in zip(parts, texts, strict=True))
  elif kind is bool:
    if text.lower() in _BOOLEANS:
      return _BOOLEANS[text.lower()]
  elif dataclasses.is_dataclass(kind):
    return typing.cast(Any, kind)() if read(bool, text) else None
  elif kind in _WORDS:
    return kind(text)
  raise ValueError(f'Expected {_words(kind)}, got {text!r}.')


def text_of(value: Any, comma: str = ',') -> str | None:
  """The text that :func:`read` takes for a value; None if there is none.

  Example:
    >>> text_of(None), text_of((('age', 30),)), text_of(3e-05)
    ('none', 'age:30', '3e-05')
  """
  if value is None:
    return 'none'
  if isinstance(value, bool):
    return str(value).lower()
  if isinstance(value, tuple):
    parts = [text_of(part, ':') for part in value]
    return None if None in parts else comma.join(map(str, parts))
  return str(value) if isinstance(value, (int, float, str)) else None


def texts_of(config: Any) -> dict[str, str]:
  """What the flags of a config would have to be given to leave it as it is."""
  found = {}
  for option in of(config):
    value = config
    for name in option.path.split('.'):
      value = getattr(value, name, None)
    if dataclasses.is_dataclass(value):
      value = True
    text = text_of(value)
    outer = option.path.rpartition('.')[0]
    if text is not None and (not outer or functools.reduce(
        getattr, outer.split('.'), config) is not None):
      found[option.flag] = text
  return found


def define(options: Iterable[Option], values: flags.FlagValues) -> None:
  """Declares one text flag per option; unset is None.

  Raises:
    ValueError: if the command has another flag of that name.
  """
  for option in options:
    if option.flag in values:
      raise ValueError(
          f'Expected a field {option.path} whose flag is no other, got '
          f'--{option.flag}: name another one in the metadata of the field.')
    flags.DEFINE_string(option.flag, None, option.help, flag_values=values)


def apply(config: Any, options: Sequence[Option], values: flags.FlagValues,
          owner: str) -> Any:
  """``config`` with the fields of all given flags replaced, all at once.

  Args:
    config: a frozen dataclass.
    options: the flags that may set it.
    values: the parsed flags.
    owner: what has no such field, for the message.

  Raises:
    ValueError: if a flag's text cannot be read, the config has no such field,
      or the config refuses the value.
  """
  given = {option.flag: values[option.flag].value for option in options}
  return replaced(config, {flag: text for flag, text in given.items()
                           if text is not None}, owner)


def replaced(config: Any, texts: Mapping[str, str], owner: str,
             name: Callable[[str], str] = '--{}'.format) -> Any:
  """``config`` with fields replaced by what texts say, by the fields' flags.

  Args:
    config: a frozen dataclass.
    texts: by flag.
    owner: what has no such field, for the message.
    name: what a flag is called in messages.

  Raises:
    ValueError: see :func:`apply`.
  """
  own = {option.flag: option for option in of(config)}
  changes: dict[str, Any] = {}
  for flag, text in texts.items():
    if flag not in own:
      raise ValueError(f'Expected no {name(flag)}: {owner} has no such field.')
    option = own[flag]
    try:
      changes[option.path] = read(option.kind, text)
    except ValueError as error:
      raise ValueError(
          f'Expected {name(flag)} to be {option.takes}, got {text!r} '
          f'({validate.shorten(option.help)}).') from error
  for option in own.values():
    outer = option.path.rpartition('.')[0]
    if (option.path in changes and outer and changes.get(
        outer, functools.reduce(getattr, outer.split('.'), config)) is None):
      raise ValueError(
          f'Expected {name(option.flag)} with {outer}, got none.')
  return configs.replace(config, changes)


DATA = of(sources.DataOptions)
NETWORK = of(presets.Network)
TRAIN = of(training.TrainConfig)
METHOD = of_methods(methods.METHODS)
FLAGS = {option.flag: option for option in (*METHOD, *TRAIN, *NETWORK, *DATA)}
