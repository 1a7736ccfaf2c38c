"""What an evaluation records beside its metrics: the request and the cost."""

from __future__ import annotations

import hashlib
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dlfd_jax.data import (
  dataset as dataset_lib,
  index_sets,
  splits as splits_lib,
)
from dlfd_jax.evaluation import efficiency as efficiency_lib
from dlfd_jax.utils import runs, validate


def result_of(run: str | os.PathLike) -> dict[str, Any] | None:
  """The result of a run, None if the folder holds none."""
  path = pathlib.Path(run) / runs.RESULT
  if not path.is_file():
    return None
  result = runs.read_object(path)
  for name in ('time', 'findings'):
    validate.instance(f'{name} in {path}', result.get(name, {}), dict)
  validate.instance(f'notes in {path}', result.get('notes', []), list)
  return result


def check_distinct(prints: Mapping[str, str], retrained: Sequence[str]) -> None:
  """Raises ValueError if two retrained models are the same one.

  The same model twice would look like a spread of 0 between trainings.
  """
  first: dict[str, str] = {}
  for i, run in enumerate(retrained):
    found = prints[f'retrained_{i}']
    if found in first:
      raise ValueError(
          'Expected retrained models of different seeds, got the same one in '
          f'{first[found]} and {run}.')
    first[found] = str(run)


def request(dataset: dataset_lib.Dataset, splits: splits_lib.Splits,
            unlearned: Mapping[str, Any]) -> dict[str, Any]:
  """What is known of the deletion request, for the report.

  Args:
    dataset: the images.
    splits: whose forget set the request became.
    unlearned: result of the unlearning run.
  """
  forget = splits.forget
  people = np.unique(dataset.identity[forget])
  people = people[people >= 0]
  ids = '\n'.join(dataset.sample_id[forget].tolist())
  earlier = np.unique(dataset.identity[splits.earlier])
  return {
      'images': len(forget), 'people': len(people),
      'subject_codes': index_sets.named_people(dataset, people),
      'earlier_images': len(splits.earlier),
      'earlier_subject_codes': (index_sets.named_people(dataset, earlier)
                                if len(earlier) else 'none'),
      'by_person': bool(splits.by_person),
      'method': unlearned.get('method'),
      'sha256_of_image_ids': hashlib.sha256(ids.encode()).hexdigest()}


def done(runs_of: Mapping[str, str | os.PathLike]) -> dict[str, Any]:
  """Commands of the runs, and the settings of unlearning.

  Args:
    runs_of: folder of each model; one that is no run of ours has no command.
  """
  found = {name: result_of(folder) or {} for name, folder in runs_of.items()}
  config = pathlib.Path(runs_of['unlearned'], runs.CONFIG)
  return {
      'commands': {name: result['command'] for name, result in found.items()
                   if result.get('command')},
      'settings': (runs.read_object(config).get('config', {})
                   if config.is_file() else {})}


def runs_of(folders: Mapping[str, str | os.PathLike]) -> list[dict[str, Any]]:
  """When, how long, on what and from which seed each model was made.

  Args:
    folders: of each model; one that is no run of ours has None everywhere.
  """
  rows = []
  for model, folder in folders.items():
    found = result_of(folder) or {}
    rows.append({
        'model': model, 'work_s': (found.get('time') or {}).get('work_s'),
        **{name: found.get(name) for name in (
            'finished', 'seed', 'steps', 'device', 'devices',
            'compute_dtype')}})
  return rows


def request_images(dataset: dataset_lib.Dataset, splits: splits_lib.Splits
                   ) -> list[dict[str, str]]:
  """Sample id and SHA-256 of the pixels of every image to forget."""
  return [{'id': str(dataset.sample_id[row]), 'sha256': hashlib.sha256(
      dataset.images[row].tobytes()).hexdigest()}
          for row in splits.forget]


def efficiency(original: str, unlearned: Mapping[str, Any],
               retrained: Sequence[str],
               search_s: float | None) -> dict[str, Any]:
  """Seconds of steps, checks and choice, compilation apart; the speed-up.

  ``select_s`` is the part of unlearning that measures and chooses states.
  """
  def work(result):
    return (result or {}).get('time', {}).get('work_s')

  trained, again = result_of(original), [result_of(run) for run in retrained]
  timed = [work(r) for r in again if r]
  times = {'original': work(trained), 'unlearned': work(unlearned),
           'retrained': float(np.mean(timed)) if timed else None}
  compiled = {
      name: sum(r.get('time', {}).get('compile_s', {}).values())
      for name, r in (('original', trained), ('unlearned', unlearned)) if r}
  ups = {}
  if times['unlearned']:
    ups = {name: cell.as_dict() for name, cell in efficiency_lib.speed_up(
        times['retrained'], times['unlearned'], search_s).items()}
  clock = unlearned.get('time', {})
  chosen = None
  if 'choose_s' in clock:  # runs of older versions lack it
    chosen = clock['check_s'] + clock['choose_s']
  return {'time_s': times, 'compile_s': compiled, 'select_s': chosen,
          'search_s': search_s, **ups,
          'check_share': unlearned.get('check_share'),
          'peak_bytes': unlearned.get('peak_bytes'),
          'steps': unlearned.get('steps'),
          'images_processed': clock.get('images'),
          'precision': unlearned.get('compute_dtype')}
