"""An evaluation computed again from the outputs that it stored.

Every metric goes through its entry of the registry, so that a new one is
compared as soon as its inputs are stored, and is named as one that was not
computed until then.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from dlfd_jax import tasks
from dlfd_jax.data import (
  copies as copies_lib,
  dataset as dataset_lib,
  splits as splits_lib,
)
from dlfd_jax.evaluation import (
  harm,
  inputs as inputs_lib,
  kept,
  people as people_lib,
  references as references_lib,
  registry,
  run,
  shadows as shadows_lib,
)
from dlfd_jax.evaluation.estimate import Estimate, Record
from dlfd_jax.metrics import forgetting, usable
from dlfd_jax.utils import records, validate

_TOLERANCE = 1e-6  # numerical libraries add in another order elsewhere
_COLUMNS = ('original', 'unlearned', 'retrained', 'null', 'delta')
_SECTIONS = {  # they need images or models
    'without_duplicates': 'the figures without copies',
    'earlier': 'the figures of earlier requests'}
Arrays = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Checked:
  """What follows from stored outputs.

  Attributes:
    values: numbers of all columns and intervals that agree.
    left: names of metrics, and words for sections, that need more than what is
      stored.
  """

  values: int
  left: tuple[str, ...]

  def left_in_words(self) -> str:
    """What is left as tables call it, a metric of several parts once."""
    return ', '.join(dict.fromkeys(
        registry.label(name.partition('/')[0]) if '_' in name else name
        for name in self.left))


def check(record: Mapping[str, Any], arrays: Arrays) -> Checked:
  """Computes an evaluation again and compares it with what is stored.

  Values, intervals, nulls, verdicts, accuracy that was lost, ranks of people
  and, per image, losses and margins.

  Args:
    record: of an evaluation, as in ``result.json``.
    arrays: as in ``per_example.npz``, with logits.

  Raises:
    ValueError: at the first difference.
  """
  outputs, data, splits = _rebuilt(record, arrays)
  for name, values in run.per_example_arrays(outputs, data, splits).items():
    if name not in arrays or not _same(arrays[name], values):
      raise _unlike(name, '', 'others')
  inputs = _prepare(record, arrays, outputs, data, splits)
  by_image = shadows_lib.stored(inputs, splits)
  if (shadows_lib.EPSILON in arrays) != bool(by_image) or not all(
      _same(arrays[name], values) for name, values in by_image.items()):
    raise _unlike(shadows_lib.EPSILON, '', 'others' if shadows_lib.EPSILON
                  in arrays else 'none')
  fresh = _records(inputs, record)
  left = _left(record, fresh)
  sections = tuple(words for key, words in _SECTIONS.items() if record.get(key))
  stored = {one['metric']: one for one in record.get('metrics') or ()}
  if more := [name for name in fresh if name not in stored]:
    raise ValueError(f'Expected {more[0]} among the metrics, got none.')
  agree = 0
  for name, one in stored.items():
    for field, value in (
        fresh[name].as_dict() if name in fresh else {}).items():
      if name in left and (
          field not in _COLUMNS or value['value'] is None):
        continue
      agree += _compare(one.get(field), value, f'{name}, {field}')
  merged = [fresh[name] if name in fresh and name not in left
            else _as_record(one) for name, one in stored.items()]
  agree += _compare(record.get('not_computed'), [
      line for one in merged for line in one.missing_lines], 'not computed')
  agree += _compare((record.get('data') or {}).get('splits'),
                    run.parts_of(data, splits), 'the parts of the data')
  if _tier(record):
    agree += _compare(record.get('verdicts'), run.overall_verdicts(
        inputs, merged, people_lib.smallest_p(inputs)), 'the verdict')
    agree += _compare((record.get('harm') or {}).get('worst'),
                      harm.worst_people(inputs), 'the worst people')
  if inputs.shadows is not None:
    agree += _compare((record.get('shadows') or {}).get('worst'),
                      shadows_lib.worst(inputs), 'the worst images')
  if record.get('sha256'):  # a whole record, which judges what was lost
    agree += _losses(record, arrays, outputs, data, splits)
  agree += _compare(record.get('people'), people_lib.ranks(
      inputs, arrays['forget/sample_id'][inputs.parts['forget'].rows]),
                    'the ranks of people')
  return Checked(agree, (*left, *sections))


def _losses(record: Mapping[str, Any], arrays: Arrays,
            outputs: Mapping[str, Any], data: dataset_lib.Dataset,
            splits: splits_lib.Splits) -> int:
  """Compares the accuracy that was lost, and the warning that follows."""
  lost = kept.drops(outputs, data, splits, {
      part: arrays[name] for part in splits.parts
      if (name := f'{part}/{kept.LEARNT}') in arrays})
  return _compare(record.get('losses'), [one.as_dict() for one in lost],
                  'the accuracy that was lost') + _compare(
                      record.get('do_not_use'), usable.sentences(lost),
                      'the warning not to use the model')


def check_copies(record: Mapping[str, Any], leakage: Mapping[str, Any]) -> None:
  """Compares the metrics of the data, and the other kinds of copies.

  Args:
    record: of an evaluation, as in ``result.json``.
    leakage: what ``data.leakage.Search.report`` gives for the same images.

  Raises:
    ValueError: at the first difference.
  """
  stored = {one['metric']: one for one in record.get('metrics') or ()}
  for metric in registry.METRICS:
    for member in ('forget-retain', 'forget-test', 'forget-val') if (
        metric.form == registry.DATA) else ():
      name, count = f'{metric.name}/{member}', metric.value(leakage, member)
      for column in ('original', 'unlearned', 'retrained'):
        if name in stored and stored[name][column]['value'] != count:
          raise ValueError(f'Expected {name} of {count}, as the data give it, '
                           f'got {_shown(_cell(stored[name], column).value)}.')
  counted = (record.get('data') or {}).get('leakage') or {}
  for kind in copies_lib.ALTERED:  # where they were looked for
    if counted.get(kind) != leakage.get(kind):
      raise ValueError(f'Expected {kind} copies of {leakage.get(kind)}, as the '
                       f'data give them, got {counted.get(kind)}.')


def _rebuilt(record: Mapping[str, Any], arrays: Arrays
             ) -> tuple[dict[str, Any], dataset_lib.Dataset, splits_lib.Splits]:
  """Logits by model and split, and data whose images are not there."""
  about = record.get('data') or {}
  task = records.fit(about.get('task'), tasks.Task,
                     'the task of the evaluation')
  parts: dict[str, Any] = {}
  start = 0
  for part in splits_lib.SPLITS_PARTS:
    n = len(arrays[f'{part}/sample_id'])
    parts[part] = np.arange(start, start + n)
    start += n

  def joined(name: str) -> np.ndarray:
    return np.concatenate([arrays[f'{part}/{name}'] for part in parts])

  columns = arrays.get('columns')
  data = dataset_lib.Dataset(
      images=np.broadcast_to(np.uint8(0), (start, 1, 1, 3)),
      labels=joined('labels'), identity=joined('identity'),
      sample_id=joined('sample_id'), task=task, columns={} if columns is None
      else dict(zip(columns.tolist(), joined('columns').T.copy())))
  by_model: dict[str, dict[str, np.ndarray]] = {}
  for name, values in arrays.items():
    model, _, split = name.removesuffix('/logits').partition('/')
    if name.endswith('/logits'):
      by_model.setdefault(model, {})[split] = values
  return {
      'original': by_model.get('original'),
      'unlearned': by_model.get('unlearned'),
      'retrained': _in_order(by_model, 'retrained_'),
      'random': _in_order(by_model, 'random_'),
      }, data, splits_lib.Splits(
          **parts, by_person=bool(about.get('by_person')),
          classes=tuple(map(str, arrays.get('classes', ()))),
          of_classes=np.flatnonzero(joined('of_classes'))
          if 'classes' in arrays else np.array([], np.int64))


def _shadows(arrays: Arrays) -> references_lib.Shadows | None:
  found: dict[str, dict[str, np.ndarray]] = {}
  for name, values in arrays.items():
    if name.startswith('shadows/') and name.count('/') == 2:
      _, split, field = name.split('/')
      found.setdefault(split, {})[field] = values
  of_forget, accuracies = (
      found.pop(name, {}) for name in ('forget', run.ACCURACIES))
  if not {'before', 'states'} <= set(of_forget):
    return None
  fields: dict[str, Any] = {
      field: of_forget.get(field) for field in run.SHADOW_ARRAYS}
  return references_lib.Shadows(
      **fields, elsewhere=found, accuracies=accuracies,
      why=str(arrays.get('shadows/why', '')))


def _in_order(by_model: Mapping[str, Any], kind: str) -> list[Any]:
  return [by_model[name] for name in sorted(
      (name for name in by_model if name.startswith(kind)),
      key=lambda name: int(name.removeprefix(kind)))]


def _prepare(record: Mapping[str, Any], arrays: Arrays,
             outputs: Mapping[str, Any], data: dataset_lib.Dataset,
             splits: splits_lib.Splits) -> inputs_lib.Inputs:
  settings = record.get('config') or {}
  config = records.fit(
      {field.name: settings[field.name]
       for field in dataclasses.fields(inputs_lib.EvaluationConfig)
       if field.name in settings},
      inputs_lib.EvaluationConfig, 'the settings of the evaluation')
  references = None
  if settings.get('tier_1') is not None:
    references = records.fit(
        settings['tier_1'], inputs_lib.ReferenceConfig, 'those of tier 1')
  random = [of.get('forget') for of in outputs['random']]
  return inputs_lib.prepare(
      {name: of for name, of in outputs.items() if name != 'random'}, data,
      splits, config, references_lib.References(
          random_logits=random, shadows=_shadows(arrays), relearned={
              name.removesuffix('/relearned'): [
                  forgetting.RelearnTime(int(steps), bool(capped))
                  for steps, capped in values]
              for name, values in arrays.items()
              if name.endswith('/relearned')},
          recovery=references_lib.Recovery.of_arrays(arrays), apart={
              name.removesuffix('/forget/apart'): values
              for name, values in arrays.items()
              if name.endswith('/forget/apart')}), references)


def _records(inputs: inputs_lib.Inputs, record: Mapping[str, Any]
             ) -> dict[str, Record]:
  return {found.metric: found for metric in registry.METRICS
          if metric.tier <= _tier(record)
          for found in run.records(inputs, metric)}


def _tier(record: Mapping[str, Any]) -> int:
  return int((record.get('config') or {}).get('tier') or 0)


def _left(record: Mapping[str, Any], fresh: Mapping[str, Record]
          ) -> tuple[str, ...]:
  """Stored metrics of which a cell is not there again, or for other reasons."""
  left = []
  for one in record.get('metrics') or ():
    for column in _COLUMNS:
      stored = _cell(one, column)
      found = (fresh[one['metric']].estimates[column]
               if one['metric'] in fresh else Estimate.missing(''))
      if found.value is None and (stored.value, stored.reason) != (
          None, found.reason):
        left.append(one['metric'])
        break
  return tuple(left)


def _cell(stored: Mapping[str, Any], column: str) -> Estimate:
  cell = stored.get(column)
  value = cell.get('value') if isinstance(cell, Mapping) else cell
  if value is None:
    reason = cell.get('reason') if isinstance(cell, Mapping) else None
    return Estimate.missing(reason or 'not computed')
  low, high = (cell.get(end) if isinstance(cell, Mapping) else None
               for end in ('low', 'high'))
  return Estimate(value, low, high)


def _as_record(stored: Mapping[str, Any]) -> Record:
  fields: dict[str, Any] = {field.name: stored.get(field.name)
                            for field in dataclasses.fields(Record)}
  return Record(**fields | {
      column: _cell(stored, column) for column in _COLUMNS})


def _compare(stored: Any, found: Any, where: str) -> int:
  """How many numbers agree.

  Raises:
    ValueError: if something differs.
  """
  if isinstance(found, Mapping) and isinstance(stored, Mapping) and (
      set(found) == set(stored)):
    return sum(_compare(stored[key], value, f'{where}, {key}')
               for key, value in found.items())
  if isinstance(found, (list, tuple)) and isinstance(stored, list) and (
      len(found) == len(stored)):
    return sum(_compare(one, other, where)
               for one, other in zip(stored, found))
  if type(found) is float and type(stored) in (int, float):
    if not math.isclose(stored, found, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE):
      raise _unlike(where, _shown(found), _shown(stored))
    return 1
  if type(found) is not type(stored) or found != stored:
    raise _unlike(where, _shown(found), _shown(stored))
  return type(found) is int


def _shown(value: Any) -> str:
  return f'{value:.6g}' if type(value) is float else validate.shown(value)


def _unlike(where: str, wanted: str, got: str) -> ValueError:
  return ValueError(f'Expected {where} as the stored outputs give it'
                    f'{wanted and f", {wanted}"}, got {got}.')


def _same(stored: np.ndarray, found: np.ndarray) -> bool:
  if stored.shape != found.shape:
    return False
  if found.dtype.kind != 'f':
    return np.array_equal(stored, found)
  return np.allclose(stored, found, _TOLERANCE, _TOLERANCE, equal_nan=True)
