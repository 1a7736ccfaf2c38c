"""A preset of one's own: settings of a task in a YAML file.

Sections ``data``, ``network``, ``train`` and, below ``methods``, one for each
method hold what flags of these names would say. ``start`` names the preset
whose settings hold where the file has none.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from dlfd_jax import methods, presets
from dlfd_jax.cli import options
from dlfd_jax.data import sources
from dlfd_jax.utils import storage, text as text_lib, validate, yaml_files

_KEYS = ('about', 'start', 'data', 'network', 'train', 'methods',
         'default_method')


def is_file(name: str) -> bool:
  """Whether the name of a preset is that of a file."""
  return name.endswith(yaml_files.ENDINGS)


def find(name: str) -> presets.Preset:
  """The preset of a name or in a file.

  Raises:
    FileNotFoundError: if there is no such file.
    ValueError: if there is no such preset, or the file has other keys or values
      than a preset.
  """
  if is_file(name):
    return read(name)
  if name not in presets.PRESETS:
    raise ValueError(
        f'Expected --preset to be one of {", ".join(presets.PRESETS)}, or a '
        f'file of your own that ends in .yaml, got '
        f'{name!r}{text_lib.nearest(name, presets.PRESETS)}.')
  return presets.PRESETS[name]


def search_of(name: str, method: str) -> dict[str, Any]:
  """Where a method's settings come from; of a file nobody knows the search."""
  if is_file(name):
    return {'preset': name, 'trials': None, 'search_s': None}
  return presets.search_of(name, method)


def read(path: str) -> presets.Preset:
  """The preset in a file, see the module."""
  found = yaml_files.read(storage.local(path))
  _check_keys(found, _KEYS, path)
  name = yaml_files.text(found.get('start', presets.OWN_DATA),
                         f'start in {path}')
  if name not in presets.PRESETS:
    raise ValueError(
        f'Expected start in {path} to be one of {", ".join(presets.PRESETS)}, '
        f'got {name!r}{text_lib.nearest(name, presets.PRESETS)}.')
  start = presets.PRESETS[name]
  if 'data' not in found and 'start' not in found:
    raise ValueError(f'Expected data or start in {path}, got neither.')

  def changed(config: Any, section: str, given: Any) -> Any:
    texts = _texts(given, section, path)
    own = [option.flag for option in options.of(config)]
    _check_keys(texts, own, f'{section} in {path}')
    return options.replaced(
        config, texts, section, f'{{}} of {section} in {path}'.format)

  given = found.get('methods', {})
  if not isinstance(given, Mapping):
    raise ValueError(f'Expected methods in {path} to hold methods by name.')
  own: dict[str, methods.RunConfig] = {}
  _check_keys(given, methods.METHODS, f'methods in {path}')
  for method, section in given.items():
    own[method] = changed(start.config_of(method), method, section)
  default = yaml_files.text(
      found.get('default_method', start.default_method),
      f'default_method in {path}')
  _check_keys([default], methods.METHODS, f'default_method in {path}')
  return dataclasses.replace(
      start,
      about=yaml_files.text(found.get('about', path), f'about in {path}'),
      data=start.data if 'data' not in found else changed(
          sources.DataOptions(), 'data',
          {'data': presets.FILE, **_texts(found['data'], 'data', path)}),
      network=changed(start.network, 'network', found.get('network', {})),
      train=changed(start.train, 'train', found.get('train', {})),
      methods=start.methods | own, default_method=default)


def _texts(given: Any, section: str, path: str) -> dict[str, str]:
  if given == '':  # a section whose lines are all comments
    return {}
  if not isinstance(given, Mapping):
    raise ValueError(f'Expected {section} in {path} to hold settings by name, '
                     f'got {validate.shown(given)}.')
  return {str(name).replace('-', '_'): yaml_files.text(
      value, f'{name} of {section} in {path}') for name, value in given.items()}


def _check_keys(found: Iterable[str], known: Iterable[str], where: str) -> None:
  known = list(known)
  for name in found:
    if name not in known:
      raise ValueError(f'Expected one of {validate.listed(known, 12)} in '
                       f'{where}, got {name!r}{text_lib.nearest(name, known)}.')
