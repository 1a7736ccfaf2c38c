"""What a run's config says: its data, its network and its recipe."""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Iterator
from typing import Any

from dlfd_jax import presets, training as train
from dlfd_jax.data import augment as augment_lib, labels, sources, splits
from dlfd_jax.utils import runs, validate


def recipe_of(run: str | os.PathLike) -> tuple[
    sources.DataOptions | None, presets.Network, train.TrainConfig]:
  """Data, network and recipe of a training run, from its config.

  The data are None where they were a user's arrays, not read from anywhere.

  Of an unlearning run they are those of the run that trained its original.

  Raises:
    FileNotFoundError: if there is no such run.
    ValueError: if it is another kind of run.
  """
  config = runs.read_object(pathlib.Path(run) / runs.CONFIG)
  seen = [pathlib.Path(run).resolve()]
  while config.get('kind') == 'unlearn':
    if 'original_path' in config and config['original_path'] is None:
      raise FileNotFoundError(f'Expected the run that trained the original of '
                              f'{run}, but it was never saved.')
    validate.instance(
        f'original_path in the config of {run}', config.get('original_path'),
        str)
    run = config['original_path']
    if pathlib.Path(run).resolve() in seen:
      raise ValueError(f'Expected the run that trained the original of {run}, '
                       'got a circle of unlearning runs.')
    seen.append(pathlib.Path(run).resolve())
    config = runs.read_object(pathlib.Path(run) / runs.CONFIG)
  if config.get('kind') != 'train':
    raise ValueError(
        f'Expected a training run in {run}, got {config.get("kind")!r}.')
  with of_config(run):
    return (data_from_json(config['data']),
            presets.Network(**config['network']),
            train_from_json(config['train']))


@contextlib.contextmanager
def of_config(run: str | os.PathLike) -> Iterator[None]:
  """Says whose config it is that does not fit."""
  try:
    yield
  except KeyError as error:
    raise ValueError(f'Expected a whole config of the run {run}, got one '
                     f'without {error}.') from error
  except (TypeError, ValueError, AttributeError) as error:
    raise ValueError(f'Expected a whole config of the run {run}, got one that '
                     f'does not fit: {error}') from error


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
  config = runs.read_object(pathlib.Path(run) / runs.CONFIG)
  if config.get('kind') not in ('train', 'unlearn'):
    raise ValueError(
        f'Expected a training or unlearning run in {run}, got '
        f'{config.get("kind")!r}.')
  with of_config(run):
    return data_from_json(config['data'])


def data_from_json(fields: dict[str, Any] | None
                   ) -> sources.DataOptions | None:
  """The data options of a run's config; None of arrays in memory."""
  if fields is None:
    return None
  fields = dict(fields)
  fields['labels'] = tuple(fields['labels'])
  fields['thresholds'] = tuple((n, v) for n, v in fields['thresholds'])
  source = fields['source'].lower()  # an earlier version did as it did then
  if source == sources.TREE or source.endswith('.csv'):
    fields.setdefault('class_names', labels.SORTED)
  if source.endswith(('.csv', '.npz')):
    fields.setdefault('split_column', splits.EARLIER)
  if fields.get('class_names') is not None:
    fields['class_names'] = tuple(fields['class_names'])
  if fields.get('split_codes') is not None:
    fields['split_codes'] = tuple((n, v) for n, v in fields['split_codes'])
  return sources.DataOptions(**fields)


def recipe_in(config: dict[str, Any]) -> train.TrainConfig | None:
  """The recipe in the config of a training run; None in another one."""
  return train_from_json(config['train']) if 'train' in config else None


def train_from_json(fields: dict[str, Any]) -> train.TrainConfig:
  """The recipe of a run's config."""
  fields = dict(fields)
  fields['optimizer'] = train.OptimizerConfig(**fields['optimizer'])
  if fields['augment'] is not None:
    fields['augment'] = augment_lib.AugmentConfig(**fields['augment'])
  return train.TrainConfig(**fields)
