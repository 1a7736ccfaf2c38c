"""Unlearning methods by name; a method is its config."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any, cast

from dlfd_jax.methods import base
from dlfd_jax.methods.base import Method, MethodConfig, Problem
from dlfd_jax.methods.run import UnlearnResult, prepare, unlearn
from dlfd_jax.utils import plugins

__all__ = ['METHODS', 'Method', 'MethodConfig', 'Problem', 'RunConfig',
           'UnlearnResult', 'WRAPPERS', 'method_of', 'own_code', 'prepare',
           'resolve', 'title_of', 'unlearn']


RunConfig = MethodConfig | base.Composite
# A method is one line here: its name, and its config's module and class.
_CONFIGS = {
    'dlfd': 'dlfd:DLFDConfig',
    'official_compat': 'dlfd_released:DLFDReleasedConfig',
    'finetune': 'finetune:FinetuneConfig',
    'neggrad': 'neggrad:NegGradConfig',
    'neggrad_plus': 'neggrad_plus:NegGradPlusConfig',
    'cf_k': 'cf_k:CFKConfig',
    'eu_k': 'eu_k:EUKConfig',
    'unsir': 'unsir:UnsirConfig',
    'bad_teaching': 'bad_teaching:BadTeachingConfig',
    'scrub': 'scrub:ScrubConfig',
    'scrub_r': 'rewind:ScrubRConfig',
    'random_labels': 'random_labels:RandomLabelsConfig',
    'l1_sparse': 'l1_sparse:L1SparseConfig',
    'salun': 'salun:SalUnConfig',
    'ssd': 'ssd:SSDConfig',
    'lfssd': 'ssd:LFSSDConfig',
    'ct': 'transpose:TransposeConfig',
    'msg': 'msg:MSGConfig',
    'regun': 'regun:ReGUnConfig',
    'margin_matching': 'margin_matching:MarginMatchingConfig',
    'amun': 'amun:AMUNConfig',
    'align': 'align:AlignConfig',
    'sfr_on': 'sfr_on:SFROnConfig',
    'kgl_top1': 'kgl_top1:KGLTop1Config',
    'lotus': 'lotus:LotusConfig',
    'fisher': 'fisher:FisherConfig',
    'rewind': 'rewind:RewindConfig',
    'restore': 'restore:RestoreConfig',
    'dlfd_restore': 'restore:DLFDRestoreConfig',
    'rum': 'rum:RumConfig',
}
METHODS: dict[str, type[Any]] = {
    name: plugins.load_object(f'{__name__}.{place}')
    for name, place in _CONFIGS.items()}
# Methods that run others.
WRAPPERS = tuple(name for name, config in METHODS.items()
                 if issubclass(config, base.Composite))


def resolve(name: str) -> type[Any]:
  """The config class of a method.

  Args:
    name: one of ``METHODS``, ``package.module:Class`` or
      ``path/to/file.py:Class``.

  Raises:
    ValueError: if there is no such method, or the class is none.
  """
  if name in METHODS:
    return METHODS[name]
  if not plugins.is_spec(name):
    raise ValueError(
        f'Expected a method of {sorted(METHODS)}, or your own as '
        f'path/to/file.py:Class or package.module:Class, got {name!r}.')
  config = plugins.load_object(name, 'method')
  if not (inspect.isclass(config) and issubclass(config, base.Method)):
    raise ValueError(
        f'Expected {name} to be a MethodConfig, got a {type(config).__name__}.')
  if not config.title:
    raise ValueError(f'Expected a `title` in the method {name}, got none.')
  if (inspect.get_annotations(config)
      and '__dataclass_fields__' not in vars(config)):
    raise ValueError(f'Expected the method {name} to be a dataclass: put '
                     '@dataclasses.dataclass(frozen=True, kw_only=True) over '
                     'it.')
  for field in dataclasses.fields(cast(Any, config)):
    if field.default is field.default_factory is dataclasses.MISSING:
      raise ValueError(f'Expected a default of the field {field.name} of the '
                       f'method {name}, got none.')
  return config


def method_of(config: RunConfig) -> str:
  """The name that :func:`resolve` finds this config's method under.

  That of a user's own file has the file's absolute path.

  Raises:
    ValueError: if the config is that of no method.
  """
  for name, registered in METHODS.items():
    if type(config) is registered:
      return name
  if not isinstance(config, base.Method) or not config.title:
    raise ValueError(
        f'Expected the config of a method, got {type(config).__name__}.')
  return plugins.spec_of(type(config))


def own_code(config: RunConfig) -> dict[str, str | None]:
  """The file's hash of every class that is not ours, by the class's name.

  Settings do not tell what a user's code does with them, so a run, and a folder
  that stands for a method, is one of this code.
  """
  found = {}
  for each in (config, *(getattr(config, part) for part in (
      config.parts if isinstance(config, base.Composite) else ()))):
    if each is not None and type(each) not in METHODS.values():
      found[type(each).__name__] = plugins.file_hash(type(each))
  return found


def title_of(name: str) -> str:
  """A method's name for people, also where a user's file is no longer there."""
  try:
    return resolve(name).title
  except (ValueError, FileNotFoundError):
    return name.rpartition(':')[2]
