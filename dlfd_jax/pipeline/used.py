"""What a run uses, whoever chose it: a flag, a preset, the data or the machine.

Commands print these facts before the work begins, and results hold them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from dlfd_jax import models, parallel
from dlfd_jax.data import dataset as dataset_lib
from dlfd_jax.pipeline import job
from dlfd_jax.utils import storage, validate

_MOST_NAMES = 100  # classes that are recorded
_MOST_SHOWN = 16  # of classes, and of settings, in a line


def facts(dataset: dataset_lib.Dataset, *, network: models.ModelConfig,
          devices: parallel.Devices, parts: Mapping[str, np.ndarray] | None,
          split_from: str, settings: Any = None, preset: str | None = None
          ) -> dict[str, Any]:
  """What is used, in JSON values.

  Args:
    dataset: the images.
    network: of the model, or of the one that is to be trained.
    devices: where it runs.
    parts: of the split; None = there is none.
    split_from: where it comes from, in words.
    settings: a config, or a mapping of values by name; None = there are none.
    preset: that the settings start from; None = no preset.
  """
  names = dataset.task.names
  if dataclasses.is_dataclass(settings) and not isinstance(settings, type):
    settings = dataclasses.asdict(settings)
  return {
      'data': {
          'source': storage.shown(
              dataset.options.source if dataset.options else 'arrays'),
          'images': len(dataset),
          'people': len(dataset.people_in(np.arange(len(dataset)))),
          'image_size': list(dataset.image_size), 'task': dataset.task.kind,
          'outputs': len(names), 'names': list(names[:_MOST_NAMES])},
      'split': {'from': split_from, **{
          name: {'images': len(rows), 'people': len(dataset.people_in(rows))}
          for name, rows in (parts or {}).items()}},
      'network': {
          **dataclasses.asdict(network), 'mean': list(network.mean),
          'std': list(network.std),
          'compute_dtype': models.resolve_dtype(network.compute_dtype)},
      'preset': preset, 'settings': settings or {},
      'devices': {'count': devices.count, 'name': job.device_name()}}


def lines(used: Mapping[str, Any]) -> list[str]:
  """The facts for people, a line each, however many there are."""
  data, network, devices = used['data'], used['network'], used['devices']
  split = dict(used['split'])
  origin = split.pop('from')
  names = validate.listed(data['names'], _MOST_SHOWN)
  if data['outputs'] > len(data['names']):
    names = validate.listed(data['names'][:_MOST_SHOWN]) + (
        f' and more, {data["outputs"]} in all')
  parts = ', '.join(
      f'{name} {part["images"]} ({part["people"]} people)'
      for name, part in split.items())
  found = [
      f'Data: {validate.shorten_path(data["source"])}, {data["images"]} images '
      f'of {data["people"]} known people, '
      f'{" x ".join(map(str, data["image_size"]))} px; {data["task"]}, outputs '
      f'in this order: {names}.',
      f'Split: {origin}' + (f': {parts}.' if parts else '.'),
      f'Network: {validate.shorten_path(network["architecture"])} of width '
      f'{network["width"]}, stem {network["stem"]}, head {network["head"]}, '
      f'{network["compute_dtype"]}; normalises by mean '
      f'{_numbers(network["mean"])} and deviation {_numbers(network["std"])}.']
  settings = [f'{name} {_value(value)}'
              for name, value in _flat(used['settings'])]
  if settings:
    preset = f' (preset {used["preset"]})' if used['preset'] else ''
    found.append(f'Settings{preset}: '
                 f'{validate.listed(settings, _MOST_SHOWN)}.')
  return [*found, f'Devices: {devices["count"]} of {devices["name"]}.']


def _flat(tree: Mapping[str, Any], front: str = ''
          ) -> Iterable[tuple[str, Any]]:
  """Settings by their dotted names, those of the top first."""
  inner = []
  for name, value in tree.items():
    if isinstance(value, Mapping):
      inner.append((name, value))
    elif value is not None:
      yield front + name, value
  for name, value in inner:
    yield from _flat(value, f'{front}{name}.')


def _value(value: Any) -> str:
  return f'{value:.4g}' if isinstance(value, float) else str(value)


def _numbers(values: Iterable[float]) -> str:
  return ', '.join(f'{value:.4g}' for value in values)
