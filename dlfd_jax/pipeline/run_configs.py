"""What a run's config says: its data, its network and its recipe."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Mapping
from typing import Any, TypedDict

from dlfd_jax import methods, presets, training as train
from dlfd_jax.data import labels, sources, split_columns
from dlfd_jax.methods import base
from dlfd_jax.pipeline import chain
from dlfd_jax.utils import files, records, runs, storage

AUTO = 'auto'  # in the place of a method: it chooses among candidates
_KINDS = 'train', 'unlearn'
# Fields that configs of earlier versions lack: their defaults are what it did.
_LATER = ('kind', 'remat', 'identity_pattern', 'class_names', 'same_classes',
          'negative', 'split_column', 'split_codes', 'trial', 'shown',
          'transport')


def recipe_of(run: str | os.PathLike) -> tuple[
    sources.DataOptions | None, presets.Network, train.TrainConfig]:
  """Data, network and recipe of a training run, from its config.

  The data are None where they were a user's arrays, not read from anywhere.

  Of an unlearning run they are those of the run that trained its original;
  where that was deleted, as a model that still knows people has to be, what the
  unlearning run recorded of it, with its own data.

  Raises:
    FileNotFoundError: if there is no such run.
    ValueError: if it is another kind of run.
  """
  config = runs.read_config(run, *_KINDS)
  seen = [pathlib.Path(run).resolve()]
  while config['kind'] == 'unlearn':
    if config['original_path'] is None:
      raise FileNotFoundError(f'Expected the run that trained the original of '
                              f'{run}, but it was never saved.')
    known = recorded(config, str(pathlib.Path(run) / runs.CONFIG))
    if known and not files.is_there(
        storage.local(config['original_path']) / runs.CONFIG):
      return (data_in(config, run), *known)
    run = config['original_path']
    if pathlib.Path(run).resolve() in seen:
      raise ValueError(f'Expected the run that trained the original of {run}, '
                       'got a circle of unlearning runs.')
    seen.append(pathlib.Path(run).resolve())
    config = runs.read_config(run, *_KINDS)
  where = str(pathlib.Path(run) / runs.CONFIG)
  return (data_in(config, run), network_in(config, where),
          recipe_in(config, where))


def recorded(config: Mapping[str, Any], where: str = 'the original'
             ) -> tuple[presets.Network, train.TrainConfig] | None:
  """Network and recipe as the config of a run records them; None = it does not.

  Of an unlearning run those of the model that it began with, with seed 0.
  """
  known = config if 'train' in config else chain.recipe(config)
  if known is None:
    return None
  return network_in(known, where), recipe_in(
      {'train': {'seed': 0, **known['train']}}, where)


def known_recipe(run: str | os.PathLike
                 ) -> tuple[presets.Network, train.TrainConfig] | None:
  """Network and recipe as ``recipe_of``; None if nobody knows them.

  So it is with a model that was imported, and where the original's run was
  deleted after it had been unlearned.
  """
  try:
    return recipe_of(run)[1:]
  except FileNotFoundError:
    return None


def data_of(run: str | os.PathLike) -> sources.DataOptions | None:
  """The data as ``recipe_of``; the run's own where nobody knows that.

  Raises:
    FileNotFoundError: if there is no such run.
    ValueError: if it is another kind of run.
  """
  try:
    return recipe_of(run)[0]
  except FileNotFoundError:
    pass  # the run that trained the original is gone, or there was none
  return data_in(runs.read_config(run, *_KINDS), run)


def data_in(config: dict[str, Any], run: str | os.PathLike
            ) -> sources.DataOptions | None:
  """The data options in the config of a run; None of arrays in memory."""
  fields = config['data']
  if fields is None:
    return None
  # What an earlier version did is what it did then.
  source = str(fields.get('source')).lower()
  earlier: dict[str, Any] = {}
  if source == sources.TREE or source.endswith('.csv'):
    earlier['class_names'] = labels.SORTED
  if source.endswith(('.csv', '.npz')):
    earlier['split_column'] = split_columns.EARLIER
  return records.fit({**earlier, **fields}, sources.DataOptions,
                     f'data of {pathlib.Path(run) / runs.CONFIG}', _LATER)


def network_in(config: Mapping[str, Any], where: str) -> presets.Network:
  """The network in the config of a training run."""
  return records.fit(
      config['network'], presets.Network, f'network of {where}', _LATER)


def recipe_in(config: Mapping[str, Any], where: str) -> train.TrainConfig:
  """The recipe in the config of a training run."""
  return records.fit(
      config['train'], train.TrainConfig, f'train of {where}', _LATER)


class _Settings(TypedDict):
  """What an unlearning run records of its method."""

  method: str
  config: dict[str, Any]


class _Named(TypedDict):
  name: str


def method_in(config: Mapping[str, Any], where: str) -> methods.RunConfig:
  """The method's config in the config of an unlearning run.

  Raises:
    FileNotFoundError: if it is a user's own, whose file is gone.
    ValueError: if there is no such method, or this version has other settings.
  """
  if config.get('method') == AUTO:
    raise ValueError(
        f'Expected an unlearning run of one method, but {where} chose among '
        'candidates: name the folder of one of them below it.')
  where = f'settings of {where}'

  def settings(name: str, fields: dict[str, Any]) -> Any:
    kind = methods.resolve(name)
    if not issubclass(kind, base.Composite):
      return records.fit(fields, kind, where, _LATER)
    parts, any_method = {}, dataclasses.asdict(methods.MethodConfig())
    for part in kind.parts:  # of any method, which its name tells
      nothing = base.may_be_nothing(kind, part)
      inner = records.fit(records.fit(fields, dict[str, Any], where).get(part),
                          _Named | None if nothing else _Named,
                          f'{part} of {where}')
      parts[part] = inner and settings(inner['name'], {
          key: value for key, value in inner.items() if key != 'name'})
    outer = records.fit(
        {**fields, **dict.fromkeys(parts, any_method)}, kind, where, _LATER)
    return dataclasses.replace(outer, **parts)

  found = records.fit(dict(config), _Settings, where)
  return settings(found['method'], dict(found['config']))
