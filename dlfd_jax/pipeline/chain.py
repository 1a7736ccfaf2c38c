"""The chain of evidence: data, split, original, request, unlearned, result.

Every run records hashes of what it used and of what it made, and every command
that reads a run compares them: an evaluation of other labels, of another
request or of models that do not descend from each other is refused. Pixels,
labels, people and ids are hashed apart, so that a refusal says what differs,
and in the order of the ids: data that are read in another order are the same.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from dlfd_jax import checkpoint
from dlfd_jax.data import dataset as dataset_lib, splits as splits_lib
from dlfd_jax.utils import files, runs, storage

KEY = 'chain'  # of config.json
STAY = 'stay'  # in it: hashes of all but what was to be forgotten
IN_MEMORY = 'in memory'
# Any splits.npz or data; what the parts of another version mean is unknown.
_PARTS = (*splits_lib.SPLITS_PARTS, 'train', 'earlier', 'of_classes')


@dataclasses.dataclass(frozen=True, eq=False)
class Judged:
  """A model that is used, and what is known of its run.

  Attributes:
    saved: the classifier.
    place: its folder as the user names it, or ``in memory``.
    config: of its run; ``{}`` if it is no run of ours, like the next one.
    record: its result.
    events: its log; None = in its folder, if anywhere.
    ids: sample ids of each part of its split; None = not known.
    state: which of its run's states it is.
    imported: what ``import_weights`` recorded; of a file that is read at once
      also its SHA-256 as ``file`` and ``class_order``, see ``Imported``.
  """

  saved: checkpoint.SavedModel
  place: str
  config: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  record: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  events: list[dict[str, Any]] | None = None
  ids: Mapping[str, np.ndarray] | None = None
  state: str = 'model'
  imported: Mapping[str, Any] = dataclasses.field(default_factory=dict)

  @functools.cached_property
  def weights(self) -> str:
    """The model's hash, computed once: an evaluation asks for it often."""
    return checkpoint.fingerprint(self.saved.variables)

  @property
  def chain(self) -> Mapping[str, Any]:
    """What its config records for comparison; ``{}`` in earlier versions."""
    return self.config.get(KEY) or {}


def of_folder(folder: str | os.PathLike) -> dict[str, Any]:
  """Config, record, ids and import of a folder, as fields of ``Judged``."""
  folder = storage.local(folder)
  is_run = files.is_file(folder / runs.CONFIG)
  config = runs.read_config(folder, 'train', 'unlearn') if is_run else {}
  return {
      'config': config,
      'record': runs.read_result(
          folder, *([config['kind']] if is_run else ('train', 'unlearn'))),
      'imported': {} if is_run else checkpoint.imported(folder),
      'ids': _stored_ids(folder / runs.SPLITS)}


def _stored_ids(path: pathlib.Path) -> dict[str, np.ndarray] | None:
  if not files.is_file(path):
    return None
  found = {name: array for name, array in files.read_arrays(
      path, 'sample ids').items() if name in _PARTS}
  for name, array in found.items():
    if array.ndim != 1 or array.dtype.kind != 'U':
      raise ValueError(f'Expected {path} to hold sample ids of {name}, got '
                       f'{array.dtype} {list(array.shape)}.')
  return found


def ids_of(dataset: dataset_lib.Dataset,
           splits: splits_lib.Partition | splits_lib.Splits
           ) -> dict[str, np.ndarray]:
  """The sample ids of each part, of earlier requests and whole classes."""
  found = {name: dataset.sample_id[rows]
           for name, rows in rows_of(splits).items()}
  if isinstance(splits, splits_lib.Splits) and splits.gone:
    found['earlier'] = np.array([*found.get('earlier', ()), *splits.gone])
  return found


def rows_of(splits: splits_lib.Partition | splits_lib.Splits
          ) -> dict[str, np.ndarray]:
  parts = dict(splits.parts)
  if isinstance(splits, splits_lib.Splits) and splits.earlier.size:
    parts['earlier'] = splits.earlier
  if isinstance(splits, splits_lib.Splits) and splits.classes:
    parts['of_classes'] = splits.of_classes
  return parts


def hash_of(tree: Any) -> str:
  """SHA-256 of a JSON value; equal before it is stored and after."""
  text = json.dumps(json.loads(json.dumps(tree)), sort_keys=True)
  return hashlib.sha256(text.encode()).hexdigest()


def hash_of_arrays(arrays: Mapping[str, np.ndarray]) -> str:
  """SHA-256 of arrays by name; not of how a file packs them."""
  digest = hashlib.sha256()
  for name in sorted(arrays):
    array = np.ascontiguousarray(arrays[name])
    digest.update(f'{name} {array.dtype.str} {array.shape}'.encode())
    digest.update(array.tobytes())
  return digest.hexdigest()


def run_hash(config: Mapping[str, Any]) -> str:
  """SHA-256 of a run's config without the places of its files."""
  def stable(tree: Any, name: str) -> Any:
    if not isinstance(tree, Mapping):
      return tree
    found = {key: (f'{name}.{key}' if name else str(key)) for key in tree}
    return {key: stable(value, found[key]) for key, value in tree.items()
            if found[key] not in runs.PLACES}

  return hash_of(stable(config, ''))


def sealed(record: Mapping[str, Any],
           config: Mapping[str, Any]) -> dict[str, Any]:
  """A result with the hash of its run's config, and with its own."""
  whole = {**record, 'run': run_hash(config)}
  for later in ('sha256', 'files'):  # of this, and of pages beside it
    whole.pop(later, None)
  return {**whole, 'sha256': hash_of(whole)}


def entry(dataset: dataset_lib.Dataset,
          splits: splits_lib.Partition | splits_lib.Splits,
          learned: np.ndarray, **more: Any) -> dict[str, Any]:
  """What the config of a run records for comparison.

  Args:
    dataset: the images.
    splits: of the run.
    learned: rows that the model may know once the run is finished.
    **more: recorded as it is.
  """
  stay = np.concatenate([rows for name, rows in splits.parts.items()
                         if name != 'forget'])
  return {**data_hashes(dataset, np.unique(np.concatenate(
      list(rows_of(splits).values())))),
          # Once the others are deleted, numbers of persons may be others', too.
          STAY: data_hashes(dataset, stay, by_name=True),
          'parts': {name: ids_hash(ids)
                    for name, ids in ids_of(dataset, splits).items()},
          'learned': ids_hash(dataset.sample_id[learned]), **more}


def import_record(saved: checkpoint.SavedModel, dataset: dataset_lib.Dataset,
                  path: str | os.PathLike,
                  allowed: Sequence[str] = ()) -> dict[str, Any]:
  """What is recorded with a model that was trained elsewhere.

  Args:
    saved: the model.
    dataset: that it was imported with.
    path: where its weights were read; of a file its SHA-256 is recorded.
    allowed: why its set-up is likely wrong; the user went on.
  """
  return {'weights': checkpoint.fingerprint(saved.variables),
          KEY: data_hashes(dataset, np.arange(len(dataset))),
          **({'file': files.sha256(path)} if files.is_file(path) else {}),
          **({'allowed': list(allowed)} if allowed else {})}


def exported(one: Judged) -> dict[str, Any]:
  """What goes with weights that are written for use elsewhere."""
  return {
      'weights': one.weights,
      'run': run_hash(one.config) if one.config else None,
      'data': {name: value for name, value in one.chain.items()
               if isinstance(value, str)}}


def data_hashes(dataset: dataset_lib.Dataset, rows: np.ndarray,
                by_name: bool = False) -> dict[str, str]:
  """Hashes of pixels, labels, people and ids of some rows.

  Args:
    dataset: the images.
    rows: some of them.
    by_name: persons are their names, and not their numbers.

  Returns:
    ``images``, ``labels``, ``identities`` and ``ids`` in the order of the ids,
    and ``any_order`` of all but the ids in no order.
  """
  rows = rows[np.argsort(dataset.sample_id[rows])]
  columns = {
      'images': dataset.image_hashes[rows],
      'labels': dataset.labels[rows].astype('<i4').reshape(len(rows), -1),
      'identities': dataset.identity[rows].astype('<i4')[:, None]}
  if by_name:
    known, of_row = np.unique(dataset.identity[rows], return_inverse=True)
    columns['identities'] = np.stack([np.frombuffer(hashlib.sha256(
        dataset.called(code).encode()).digest(), np.uint8)
                                      for code in known])[of_row.reshape(-1)]
  joined = np.concatenate(
      [np.ascontiguousarray(column).view(np.uint8)
       for column in columns.values()], axis=1)
  anyhow = np.sort(np.ascontiguousarray(joined).view(
      f'V{joined.shape[1]}').ravel())
  found = {name: hashlib.sha256(column.tobytes()).hexdigest()
           for name, column in columns.items()}
  found['labels'] = hashlib.sha256(
      (repr(dataset.task) + found['labels']).encode()).hexdigest()
  return {**found, 'ids': ids_hash(dataset.sample_id[rows]),
          'any_order': hashlib.sha256(anyhow.tobytes()).hexdigest()}


def ids_hash(ids: np.ndarray | Iterable[str]) -> str:
  text = '\n'.join(np.sort(np.asarray(ids)).tolist())
  return hashlib.sha256(text.encode()).hexdigest()


def rows_hash(dataset: dataset_lib.Dataset, rows: np.ndarray) -> str:
  """SHA-256 of the sample ids of some rows, in their order."""
  text = '\n'.join(dataset.sample_id[rows].tolist())
  return hashlib.sha256(text.encode()).hexdigest()


def recipe(config: Mapping[str, Any]) -> dict[str, Any] | None:
  """Network and training behind a run, the seed apart; None = not known."""
  if 'train' in config and 'network' in config:
    return {'network': config['network'], 'train': {
        name: value for name, value in config['train'].items()
        if name != 'seed'}}
  return (config.get(KEY) or {}).get('recipe')


def ancestors(original: Judged) -> list[dict[str, Any]]:
  """Models behind one that starts from ``original``, the nearest first."""
  kind = original.config.get('kind', 'model')
  return [{'weights': original.weights,
           'kind': kind, 'method': original.config.get('method')},
          *original.chain.get('ancestors', ())]


def knows_forget(config: Mapping[str, Any]) -> bool:
  """Whether a run was trained on the forget set of its own split, if any."""
  return config.get('kind') == 'train' and config.get('on') != 'retain'


def learned_ids(one: Judged) -> np.ndarray | None:
  """Sample ids that a finished run was last trained on; None = not known."""
  if not one.config or one.ids is None:
    return None
  ids = dict(one.ids)
  if knows_forget(one.config):
    return np.concatenate([ids[name] for name in ('train', 'retain', 'forget')
                           if name in ids])
  return ids.get('retain')


def seen_ids(one: Judged) -> np.ndarray | None:
  """Sample ids that a run or those before it were trained on, likewise."""
  ids = learned_ids(one)
  if ids is None or one.ids is None or one.config['kind'] == 'train':
    return ids
  return np.concatenate([ids, *(one.ids[name] for name in (
      'forget', 'earlier') if name in one.ids)])


