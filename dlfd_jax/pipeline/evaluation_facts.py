"""What an evaluation records beside its metrics: the request and the cost."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from dlfd_jax.data import (
  dataset as dataset_lib,
  resolution,
  splits as splits_lib,
)
from dlfd_jax.evaluation.estimate import Estimate
from dlfd_jax.pipeline import chain
from dlfd_jax.report import facts

_MACHINE = ('device', 'devices', 'compute_dtype')  # seconds are compared on one
_NO_DEVICE_MEMORY = ('the platform counts no memory of devices: on a CPU it is '
                     'that of the host')
_NOT_RECORDED = 'not recorded'
_NO_RETRAIN = 'no retrained model was timed'
_NO_SEARCH = ('the time spent on finding hyper-parameters was not stated; '
              'state 0 if there was none')


def check_distinct(prints: Mapping[str, str],
                   places: Mapping[str, str]) -> None:
  """Raises ValueError if two retrained models are the same one.

  The same model twice would look like a spread of 0 between trainings.
  """
  first: dict[str, str] = {}
  for name, place in places.items():
    if not name.startswith('retrained'):
      continue
    if prints[name] in first:
      raise ValueError(
          'Expected retrained models of different seeds, got the same one in '
          f'{first[prints[name]]} and {place}.')
    first[prints[name]] = place


def request(dataset: dataset_lib.Dataset, splits: splits_lib.Splits,
            unlearned: chain.Judged) -> dict[str, Any]:
  """What is known of the deletion request, for the report.

  Args:
    dataset: the images.
    splits: whose forget set the request became.
    unlearned: the model that is judged.
  """
  ids = '\n'.join(dataset.sample_id[splits.forget].tolist())
  number = unlearned.config.get('request_id')
  return {
      **({'id': number} if number else {}),
      **resolution.ResolvedRequest.of(dataset, splits).counts(),
      'method': _method(unlearned) or (
          'none: a training run' if unlearned.config.get('kind') == 'train'
          else 'not known'),
      'sha256_of_image_ids': hashlib.sha256(ids.encode()).hexdigest()}


def names(dataset: dataset_lib.Dataset, splits: splits_lib.Splits,
          found: Mapping[str, Any]) -> dict[int, str]:
  """Names of the people whom an evaluation tells of, where the data have names.

  Args:
    dataset: the images.
    splits: whose people to forget are named.
    found: the evaluation, of which those who are harmed are.
  """
  codes = [*dataset.people_in(splits.forget).tolist(),
           *(one['person'] for one in found.get('harm', {}).get('worst', ()))]
  return {code: dataset.people[code] for code in codes
          if code in dataset.people}


def _method(unlearned: chain.Judged) -> str | None:
  """The method of its run; of one that chose, also what it took."""
  method, chosen = (unlearned.record.get(name) for name in ('method', 'auto'))
  if chosen is None:
    return method
  return f'{method}, which took ' + next(
      one['title'] for one in chosen['candidates']
      if one['outcome'] == 'taken')


def done(judged: Mapping[str, chain.Judged]) -> dict[str, Any]:
  """Commands of the runs, and the settings of unlearning."""
  return {
      'commands': {name: one.record['command'] for name, one in judged.items()
                   if one.record.get('command')},
      'settings': judged['unlearned'].config.get('config', {})}


def audit(judged: Mapping[str, chain.Judged], dataset: dataset_lib.Dataset,
          splits: splits_lib.Splits) -> dict[str, Any]:
  """What is known of an audited model itself.

  Returns:
    ``kind`` (``'train'`` or ``'unlearn'`` of a run of ours, else None) and
    ``forget_in_training``: how many of the forget images its run was last
    trained on, None = not known.
  """
  audited = judged['unlearned']
  learned = chain.learned_ids(audited)
  return {
      'kind': audited.config.get('kind'),
      'forget_in_training': None if learned is None else int(np.isin(
          dataset.sample_id[splits.forget], learned).sum())}


def runs_of(judged: Mapping[str, chain.Judged]) -> list[dict[str, Any]]:
  """When, how long, on what and from which seed each model was made.

  None everywhere for a model that is no run of ours.
  """
  return [{
      'model': model, 'work_s': (one.record.get('time') or {}).get('work_s'),
      **{name: one.record.get(name) for name in (
          'finished', 'seed', 'steps', 'device', 'devices', 'compute_dtype')}}
          for model, one in judged.items()]


def request_images(dataset: dataset_lib.Dataset, splits: splits_lib.Splits
                   ) -> list[dict[str, str]]:
  """Sample id and SHA-256 of the pixels of every image to forget."""
  return [{'id': str(dataset.sample_id[row]), 'sha256': hashlib.sha256(
      dataset.images[row].tobytes()).hexdigest()}
          for row in splits.forget]


def efficiency(judged: Mapping[str, chain.Judged],
               search_s: float | None) -> dict[str, Any]:
  """Seconds of steps, checks and choice, compilation apart; the speed-up.

  ``select_s`` is the part of unlearning that measures and chooses states.
  """
  work = {name: one.record.get('time', {}).get('work_s')
          for name, one in judged.items()}
  timed = [work[name] for name in judged
           if name.startswith('retrained') and work[name] is not None]
  times = {'original': work.get('original'), 'unlearned': work['unlearned'],
           'retrained': float(np.mean(timed)) if timed else None}
  compiling = {
      name: sum(one.record.get('time', {}).get('compile_s', {}).values())
      for name, one in judged.items() if one.record}
  compiled: dict[str, float] = {
      name: compiling[name] for name in ('original', 'unlearned')
      if name in compiling}
  again = [seconds for name, seconds in compiling.items()
           if name.startswith('retrained')]
  if again:
    compiled['retrained'] = float(np.mean(again))
  ups = {}
  if not _on_one_machine(judged):
    ups = dict.fromkeys(('speed_up', 'speed_up_with_search'),
                        Estimate.missing(facts.OTHER_MACHINE).as_dict())
  elif times['unlearned']:
    ups = {name: estimate.as_dict() for name, estimate in speed_up(
        times['retrained'], times['unlearned'], search_s).items()}
  unlearned = judged['unlearned'].record
  clock = unlearned.get('time', {})
  chosen = None
  if 'choose_s' in clock:  # runs of older versions lack it
    chosen = clock['check_s'] + clock['choose_s']
  return {'time_s': times, 'compile_s': compiled, 'select_s': chosen,
          'search_s': search_s, **ups,
          'check_share': unlearned.get('check_share'),
          'peak_bytes': unlearned.get('peak_bytes'),
          'device_peak_bytes': device_peak(unlearned),
          'step_flops': clock.get('step_flops'),
          'steps': unlearned.get('steps'),
          'images_processed': clock.get('images'),
          'precision': unlearned.get('compute_dtype')}


def _on_one_machine(judged: Mapping[str, chain.Judged]) -> bool:
  """Whether unlearning and retraining ran on like devices, at one precision."""
  known = [tuple(one.record[name] for name in _MACHINE)
           for name, one in judged.items()
           if name != 'original' and set(_MACHINE) <= set(one.record)]
  return len(set(known)) <= 1


def device_peak(record: Mapping[str, Any]) -> dict[str, Any]:
  """Most memory of a device in use during a run, as a cell."""
  peak = record.get('device_peak_bytes')
  if peak is None:
    return Estimate.missing(
        _NO_DEVICE_MEMORY if 'device_peak_bytes' in record else
        _NOT_RECORDED).as_dict()
  return Estimate(float(peak)).as_dict()


def speed_up(retrain_s: float | None, unlearn_s: float,
             search_s: float | None) -> dict[str, Estimate]:
  """Retraining time over unlearning time, without and with the search.

  Args:
    retrain_s: seconds of one retraining on one device at one precision, or
      None if unknown.
    unlearn_s: seconds of the unlearning run on the same device and precision.
    search_s: seconds spent on choosing hyper-parameters, 0 if none were, None
      if not stated: then no speed-up is given at all.

  Returns:
    ``speed_up`` and ``speed_up_with_search``, each above 0; higher means
    cheaper, retraining is 1.

  Raises:
    ValueError: if a time is not positive (the search's: negative).

  Example:
    >>> [estimate.value for estimate in speed_up(600., 30., 270.).values()]
    [20.0, 2.0]
  """
  for name, value in (('retrain_s', retrain_s), ('unlearn_s', unlearn_s)):
    if value is not None and not value > 0:
      raise ValueError(f'Expected {name} > 0, got {value}.')
  if search_s is not None and not search_s >= 0:
    raise ValueError(f'Expected search_s >= 0, got {search_s}.')
  if retrain_s is None or search_s is None:
    reason = _NO_RETRAIN if retrain_s is None else _NO_SEARCH
    missing = Estimate.missing(reason)
    return {'speed_up': missing, 'speed_up_with_search': missing}
  return {
      'speed_up': Estimate(retrain_s / unlearn_s),
      'speed_up_with_search': Estimate(retrain_s / (unlearn_s + search_s)),
  }
