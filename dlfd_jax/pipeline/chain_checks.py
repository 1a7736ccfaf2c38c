"""Whether models, data and requests belong together, by their records.

A check gives sentences on what differs from what was recorded (``chain``), and
on what could not be compared; whoever asks decides what becomes of them.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from dlfd_jax.data import dataset as dataset_lib, splits as splits_lib
from dlfd_jax.pipeline import chain, forgotten
from dlfd_jax.utils import files, records, runs, schemas, text

AUDITED = 'audited'  # what an audit calls the model in `unlearned`
FLAG = 'allow_unverified'
_WORDS = {'images': 'pixels', 'labels': 'labels', 'identities': 'identities'}


@dataclasses.dataclass(frozen=True)
class Findings:
  """What a comparison found.

  Attributes:
    differences: sentences, each about what was expected and found.
    unverified: what could not be compared, and why.
    original: which recorded ancestor of the unlearned model the original is,
      where it is not the one that unlearning started from.
    unchanged: the unlearned model equals the original bit by bit.
  """

  differences: tuple[str, ...] = ()
  unverified: tuple[str, ...] = ()
  original: str | None = None
  unchanged: bool = False

  def __add__(self, other: Findings) -> Findings:
    return Findings(
        (*self.differences, *other.differences),
        (*self.unverified, *other.unverified),
        self.original or other.original, self.unchanged or other.unchanged)

  def settled(self, allow: bool) -> dict[str, Any]:
    """The findings for a result.

    Args:
      allow: differences are recorded, and do not stop.

    Raises:
      ValueError: at the first difference, unless they are allowed.
    """
    if self.differences and not allow:
      raise ValueError(f'{self.differences[0]} --{FLAG} goes on, and the '
                       'result says so.')
    return {'unverified': list(dict.fromkeys(self.unverified)),
            'allowed': list(dict.fromkeys(self.differences)),
            'original': self.original, 'unchanged': self.unchanged}


def check_run(one: chain.Judged, name: str,
              dataset: dataset_lib.Dataset | None = None,
              gone: Collection[str] = ()) -> Findings:
  """Compares a model with its run, and its run with the data.

  Args:
    one: the model.
    name: of it in sentences, such as ``original``.
    dataset: the data at hand; None = they are not compared.
    gone: sample ids that may be absent there, besides those that the run itself
      made a model forget.
  """
  called = f'the {name} model {_where(one.place)}'
  if not one.config:
    return _check_import(one, called, dataset)
  found = _check_files(one, called)
  known = one.record.get('weights')
  if known is not None:
    if known.get(one.state) != one.weights:
      found += _differs(f'the weights that the run of {called} saved', 'others '
                        f'in its {runs.CHECKPOINTS}/{one.state}')
  elif one.chain:
    found += Findings(unverified=(
        f'{called} has no {runs.RESULT}, so that nothing says which weights it '
        'saved.',))
  else:
    found += Findings(unverified=(
        f'the weights of {called}: the version that wrote it recorded no hash '
        'of them.',))
  return found if dataset is None else found + _check_data(
      one, called, dataset, gone)


def _where(place: str) -> str:
  return place if place == chain.IN_MEMORY else f'in {place}'


def _differs(expected: str, got: str) -> Findings:
  return Findings((f'Expected {expected}, got {got}.',))


def _check_import(one: chain.Judged, called: str,
                  dataset: dataset_lib.Dataset | None) -> Findings:
  if not one.imported:
    return Findings(unverified=(
        f'{called} is no run of this program: what it was trained on, and by '
        'which recipe, is not known.',))
  found = Findings(unverified=(
      f'{called} was imported: what it was trained on, and by which recipe, is '
      'not known.', *(f'the set-up of {called}, at its import: {sentence}'
                      for sentence in one.imported.get('allowed', ()))))
  if one.imported.get('class_order') == 'assumed':
    found += Findings(unverified=(
        f'the order of the outputs of {called}: nothing states it, that of the '
        'data is assumed.',))
  if one.imported.get('weights') != one.weights:
    found += _differs(f'the weights that import_weights saved in {one.place}',
                      'others')
  known = one.imported.get(chain.KEY) or {}
  if dataset is not None and known.get('ids'):
    now = chain.data_hashes(dataset, np.arange(len(dataset)))
    if now['ids'] == known['ids']:
      found += _compare_data(known, now, called)
    else:
      found += Findings(unverified=(
          f'the data of {called}: they had other images when it was '
          'imported.',))
  return found


def _check_files(one: chain.Judged, called: str) -> Findings:
  """Whether config, result and split of a run belong together."""
  found = Findings()
  record = one.record
  if record and (one.chain or 'run' in record):
    if record.get('run') != chain.run_hash(one.config):
      found += _differs(
          f'{runs.CONFIG} and {runs.RESULT} of {called} from one run', 'two '
          'that do not belong together: one is altered, or from another run')
    elif record.get('sha256') != chain.sealed(record, one.config)['sha256']:
      found += _differs(f'the {runs.RESULT} of {called} as it was written',
                        'one that was altered')
    elif forgotten.is_altered(one):
      found += _differs(f'the {forgotten.JUDGED} of {called} as evaluate '
                        'wrote it', 'one that was altered')
  parts = one.chain.get('parts')
  if parts is not None and one.ids is not None:
    found += _compare_parts(
        parts, {name: chain.ids_hash(ids) for name, ids in one.ids.items()},
        f'the {runs.SPLITS} of {called}')
  return found


def _check_data(one: chain.Judged, called: str, dataset: dataset_lib.Dataset,
                gone: Collection[str] = ()) -> Findings:
  if not one.chain:
    known = one.config.get('fingerprint')
    if known is None:
      return Findings(unverified=(
          f'the data of {called}: it recorded no hash of them.',))
    if known != dataset.fingerprint():
      return _differs(
          f'the data of {called}', 'others; the version that wrote it recorded '
          'one hash of pixels, labels, identities and ids together, so that '
          'what differs is not known')
    return Findings()
  if one.ids is None:
    return Findings(unverified=(
        f'the data of {called}: it has no {runs.SPLITS}.',))
  ids = np.unique(np.concatenate(list(one.ids.values())))
  rows = splits_lib.find_samples(dataset, ids)
  absent = ids[rows < 0]
  if absent.size:
    return _check_rest(one, called, dataset, absent, gone)
  now = chain.data_hashes(dataset, rows)
  if now['ids'] != one.chain.get('ids'):
    return Findings()  # the split is another one, which is said already
  return _compare_data(
      one.chain, now, called, _read_otherwise(one.config, dataset))


def _check_rest(one: chain.Judged, called: str, dataset: dataset_lib.Dataset,
                absent: np.ndarray, gone: Collection[str]) -> Findings:
  """Compares what stays, where forgotten people's images were deleted."""
  ids = one.ids or {}
  forgotten = {*gone, *(str(name) for part in ('forget', 'earlier')
                        for name in ids.get(part, ()))}
  lost = [str(name) for name in absent if name not in forgotten]
  if lost:
    return Findings((text.naming(
        f'Expected the images of {called} in the data, got data without '
        f'{len(lost)} of them.', repr(lost[0]) + (
            ' and others' if len(lost) > 1 else '')),))
  stay = np.concatenate([part for name, part in ids.items()
                         if name not in ('forget', 'earlier', 'of_classes')])
  rows = splits_lib.find_samples(dataset, stay)
  known = one.chain.get(chain.STAY)
  if known is None or (rows < 0).any():
    return Findings(unverified=(
        f'the data of {called}: images that were forgotten are deleted, and '
        'nothing records hashes of the others alone.',))
  return _compare_data(
      known, chain.data_hashes(dataset, rows, by_name=True), called,
      _read_otherwise(one.config, dataset))


def _read_otherwise(config: Mapping[str, Any],
                    now: dataset_lib.Dataset | Mapping[str, Any]) -> list[str]:
  """What options of reading data differ from those of a run, in words.

  An option that one of them does not know is left out: what it would have been
  there, nothing records.

  Args:
    config: of the run.
    now: the data, or another config.
  """
  if isinstance(now, dataset_lib.Dataset):
    now = {'data': now.options and dataclasses.asdict(now.options)}
  # As in a file: lists for tuples.
  old, new = (json.loads(json.dumps(each.get('data')))
              for each in (config, now))
  if old is None or new is None:
    return []
  both = old.keys() & new.keys()
  old, new = ({'data': {key: one[key] for key in both}} for one in (old, new))
  return [line.removeprefix('data.') for line in runs.differences(old, new)]


def _compare_data(known: Mapping[str, Any], now: Mapping[str, str],
                  called: str, options: Sequence[str] = ()) -> Findings:
  other = [word for key, word in _WORDS.items() if known.get(key) != now[key]]
  if not other:
    return Findings()
  if known.get('any_order') == now['any_order']:
    return _differs(
        f'the rows of the data in the order of {called}', 'the same images in '
        'another order: a sample id now means another image')
  return _differs(f'the data of {called}',
                  f'data with other {" and ".join(other)}'
                  + (f', read with other options: {"; ".join(options)}'
                     if options else ''))


def check_start(original: chain.Judged, dataset: dataset_lib.Dataset,
                splits: splits_lib.Splits) -> Findings:
  """Whether a split is one of what the original was trained on.

  That is what it learned; of an unlearned model also what it was made to
  forget, where the same request is unlearned by a second method.
  """
  if not original.config:
    return Findings()  # said of the model itself
  train = splits.train
  if original.chain:
    known = {original.chain.get('learned'), original.chain.get('train')}
    now = chain.ids_hash(dataset.sample_id[train])
  else:
    rows = original.config.get('rows')
    known = {rows.get('retain') if isinstance(rows, Mapping) else rows}
    if None in known or original.config.get('kind') == 'unlearn':
      return Findings(unverified=(
          f'that the split is that of the original {_where(original.place)}: '
          'the version that wrote it did not record it.',))
    now = chain.rows_hash(dataset, train)
  if now in known:
    return Findings()
  return _differs(
      'retain and forget to be what the original model '
      f'{_where(original.place)} was trained on', 'a split of other images')


def check_request(unlearned: chain.Judged, dataset: dataset_lib.Dataset,
                  splits: splits_lib.Splits) -> Findings:
  """Whether a split is that of the unlearning run."""
  rows = unlearned.config.get('rows')
  if not isinstance(rows, Mapping):
    return Findings()  # said of the model itself
  parts = unlearned.chain.get('parts')
  if parts:
    now = {n: chain.ids_hash(ids)
           for n, ids in chain.ids_of(dataset, splits).items()}
  else:
    parts = rows
    now = {name: chain.rows_hash(dataset, part)
           for name, part in splits.parts.items()}
  return _compare_parts(
      parts, now, f'the split of the unlearned model {_where(unlearned.place)}')


def _compare_parts(known: Mapping[str, str], now: Mapping[str, str],
                   expected: str) -> Findings:
  other = [name for name in dict.fromkeys((*known, *now))
           if known.get(name) != now.get(name)]
  if not other:
    return Findings()
  return _differs(expected, 'that of another split or request: '
                  f'{", ".join(other)} differ{"s" * (len(other) == 1)}')


def check_original(original: chain.Judged, unlearned: chain.Judged,
                   name: str = 'unlearned') -> Findings:
  """Whether the unlearned model descends from the original; names which."""
  now = original.weights
  unchanged = now == unlearned.weights
  known = [unlearned.config.get('original'), *(
      one.get('weights') for one in unlearned.chain.get('ancestors', ())[1:])]
  if known[0] is None:
    return Findings(unverified=(
        f'that the {name} model {_where(unlearned.place)} was made from the '
        f'original {_where(original.place)}: nothing records it.',),
        unchanged=unchanged)
  if now not in known:
    return _differs(
        f'the model that the {name} one {_where(unlearned.place)} was made '
        'from, or one before that', f'an original {_where(original.place)} '
        'that it does not descend from')
  earlier = known.index(now)
  return Findings(unchanged=unchanged, original=None if not earlier else (
      f'{original.place}, the model {earlier} '
      f'{"run" if earlier == 1 else "runs"} before the one that unlearning '
      'started from'))


def check_retrained(one: chain.Judged, original: chain.Judged | None,
                    unlearned: chain.Judged,
                    dataset: dataset_lib.Dataset, splits: splits_lib.Splits,
                    name: str = 'unlearned') -> Findings:
  """Whether a model is the original's recipe on retain alone."""
  now = one.weights
  for called, other in (('original', original), (name, unlearned)):
    if other and now == other.weights:
      return _differs(
          f'{one.place} to be trained on the retain images of this request',
          f'the {called} model itself')
  if not one.config:
    return Findings()  # said of the model itself
  found = Findings()
  learned = (one.chain.get('learned'), chain.ids_hash(
      dataset.sample_id[splits.retain])) if one.chain else (
      one.config.get('rows'), chain.rows_hash(dataset, splits.retain))
  if one.config.get('kind') != 'train' or learned[0] != learned[1]:
    found += Findings((
        f'Expected {one.place} to be trained on the retain images of this '
        'request, but it was trained on others.',))
  return found + _compare_recipe(one, original, unlearned, f'{one.place} was',
                                 f'{one.place}, its seed apart')


def check_seeds(judged: Mapping[str, chain.Judged]) -> Findings:
  """Whether retrained models of one recipe are of different seeds.

  Two trainings from one seed, on two machines or numbers of devices, differ by
  rounding first of all: their spread would pass for that of trainings.
  """
  first: dict[str, str] = {}
  for name, one in judged.items():
    if not name.startswith('retrained') or 'train' not in one.config:
      continue  # not known
    training = json.dumps(one.config['train'], sort_keys=True)
    if training in first:
      return _differs('retrained models of different seeds',
                      f'{first[training]} and {one.place}, both trained from '
                      f'seed {one.config["train"].get("seed")}')
    first[training] = one.place
  return Findings()


def _compare_recipe(one: chain.Judged, original: chain.Judged | None,
                    unlearned: chain.Judged, were: str,
                    wanted: str) -> Findings:
  """Whether a model was trained by the recipe of the original.

  Args:
    one: trained model, or a folder of several.
    original: None = not at hand.
    unlearned: whose run may name the recipe, too.
    were: what was trained, with its verb.
    wanted: for what the recipe is wanted.
  """
  known = (original and chain.recipe(original.config)) or chain.recipe(
      unlearned.config)
  if known is None:
    return Findings(unverified=(
        f'that {were} trained as the original was: the recipe of the original '
        'is not known.',))
  lines = runs.differences(known, chain.recipe(one.config) or {})
  return _differs(f'the recipe of the original for {wanted}',
                  'another: ' + '; '.join(lines[:3])) if lines else Findings()


def check_members(one: chain.Judged, name: str, dataset: dataset_lib.Dataset,
                  splits: splits_lib.Splits, trained: Sequence[str]
                  ) -> Findings:
  """Whether a model was trained on some parts, and never saw val and test.

  Args:
    one: the model.
    name: of it in sentences.
    dataset: the images.
    splits: of an audit.
    trained: parts that the model has to have been trained on once.
  """
  called = f'the {name} model {_where(one.place)}'
  seen = chain.seen_ids(one)
  if seen is None:
    return Findings(unverified=(
        f'that {called} was trained on {" and ".join(trained)} and never saw '
        'val and test: the split alone says so.',))
  found = Findings()
  for part, rows in splits.parts.items():
    inside = np.isin(dataset.sample_id[rows], seen)
    if part in trained and not inside.all():
      found += _differs(
          f'{part} of images that {called} was trained on',
          f'{(~inside).sum()} of {len(rows)} that it was not')
    if part in ('val', 'test') and inside.any():
      found += _differs(f'{part} of images that {called} never saw',
                        f'{inside.sum()} that it was trained on')
  return found


def check_unseen(one: chain.Judged, name: str, dataset: dataset_lib.Dataset,
                 splits: splits_lib.Splits) -> Findings:
  """Whether a model was never trained on what is to be forgotten.

  Args:
    one: the model.
    name: of it in sentences.
    dataset: the images.
    splits: of the request.
  """
  called, seen = f'the {name} model {_where(one.place)}', chain.seen_ids(one)
  if seen is None:
    return Findings(unverified=(
        f'that {called} never saw forget: nothing records it.',))
  inside = np.isin(dataset.sample_id[splits.forget], seen)
  return _differs(
      f'{called} never to have seen an image of forget',
      f'one trained on {inside.sum()} of {len(inside)}') if inside.any() else (
          Findings())


def inherited(every: Iterable[chain.Judged]) -> Findings:
  """What the runs behind a result could not verify themselves."""
  found = Findings()
  for one in every:
    own = one.record.get('verification') or {}
    found += Findings(unverified=(*own.get('unverified', ()), *(
        f'{line} (allowed when {one.place} was made)'
        for line in own.get('allowed', ()))))
  return found


def check_all(judged: Mapping[str, chain.Judged], dataset: dataset_lib.Dataset,
              splits: splits_lib.Splits) -> Findings:
  """Compares everything that an evaluation reads.

  Args:
    judged: ``'original'``, ``'unlearned'`` and ``'retrained_0'`` to the last.
    dataset: the data at hand.
    splits: to evaluate on.
  """
  original, unlearned = judged['original'], judged['unlearned']
  return together([
      *(check_run(one, name.partition('_')[0], dataset, splits.gone)
        for name, one in judged.items()),
      check_request(unlearned, dataset, splits),
      check_original(original, unlearned),
      *(check_retrained(one, original, unlearned, dataset, splits)
        for name, one in judged.items() if name.startswith('retrained')),
      check_seeds(judged), inherited(judged.values())])


def check_audit(judged: Mapping[str, chain.Judged],
                dataset: dataset_lib.Dataset,
                splits: splits_lib.Splits) -> Findings:
  """Compares everything that an audit reads.

  Args:
    judged: as of :func:`check_all`, the audited model as ``'unlearned'``;
      ``'original'`` may be absent.
    dataset: the data at hand.
    splits: forget as the members, val and test as the non-members.
  """
  audited, original = judged['unlearned'], judged.get('original')
  found = [check_run(one, AUDITED if one is audited else
                     name.partition('_')[0], dataset, splits.gone)
           for name, one in judged.items()]
  if original is None:
    found.append(check_members(
        audited, AUDITED, dataset, splits,
        ['retain'] if audited.config else ['retain', 'forget']))
  else:
    found += [
        check_members(original, 'original', dataset, splits,
                      ['retain', 'forget']),
        check_members(audited, AUDITED, dataset, splits, ['retain'])]
    if audited.config.get('kind') == 'train':  # from scratch
      found.append(Findings(unchanged=original.weights == audited.weights))
    else:
      found.append(check_original(original, audited, AUDITED))
  found += [check_retrained(one, original, audited, dataset, splits, AUDITED)
            for name, one in judged.items() if name.startswith('retrained')]
  return together([*found, check_seeds(judged), inherited(judged.values())])


def check_result(place: str, config: Mapping[str, Any],
                 record: Mapping[str, Any]) -> Findings:
  """Whether the config and the result of an evaluation belong together."""
  if 'run' not in record and not config.get(chain.KEY):
    return Findings(unverified=(
        f'{place}: the version that wrote it recorded no hashes of its '
        'files.',))
  saved: Any = None
  return _check_files(
      chain.Judged(saved, place, config, record), f'the evaluation {place}')


def check_arrays(place: str, record: Mapping[str, Any], name: str,
                 arrays: Mapping[str, np.ndarray] | None) -> Findings:
  """Whether arrays of an evaluation are those that it wrote."""
  known = (record.get('arrays') or {}).get(name)
  if known is None:
    return Findings()  # an earlier version, which is said of the result
  if arrays is None:
    return Findings(unverified=(f'{place} has lost its {name}.',))
  if known == chain.hash_of_arrays(arrays):
    return Findings()
  return _differs(f'the {name} of the evaluation {place}',
                  'one that is altered, or from another evaluation')


def check_names(path: pathlib.Path, known: str | None) -> Findings:
  """Whether people are called as they were, where a file says their names."""
  if known is None or not files.is_file(path):
    return Findings()
  if chain.hash_of(runs.read_json(path)) == known:
    return Findings()
  return _differs(f'the names in {path} as evaluate wrote them', 'others')


def check_same_run(place: str | None, known: str | None) -> Findings:
  """Whether the run that a result names is still the one in its folder."""
  path = place and pathlib.Path(place) / runs.CONFIG
  if not path or known is None or not files.is_file(path):
    return Findings()
  if chain.run_hash(records.read(path, dict[str, Any])) == known:
    return Findings()
  return _differs(f'the unlearning run of this evaluation in {place}',
                  'another run')


def check_splits_file(path: str | os.PathLike,
                      dataset: dataset_lib.Dataset) -> Findings:
  """Whether a split file and the data are those of the run beside it.

  Nothing is known of a file that lies in no run folder.
  """
  folder = pathlib.Path(path).parent
  if (pathlib.Path(path).name != runs.SPLITS
      or not files.is_file(folder / runs.CONFIG)):
    return Findings()
  saved: Any = None
  one = chain.Judged(saved, str(folder), **chain.of_folder(folder))
  called = f'the run {folder}'
  return _check_files(one, called) + _check_data(one, called, dataset)


def check_finished(folder: str | os.PathLike) -> Findings:
  """Whether config, result and split of a finished run belong together."""
  saved: Any = None
  one = chain.Judged(saved, str(folder), **chain.of_folder(folder))
  return _check_files(one, f'the run {folder}')


def check_resumed(folder: str | os.PathLike,
                  config: Mapping[str, Any]) -> None:
  """Raises ValueError if a run in a folder was started with other data."""
  path = pathlib.Path(folder) / runs.CONFIG
  if not files.is_file(path):
    return
  old = records.read(path, schemas.CONFIGS)
  known, now = old.get(chain.KEY), config.get(chain.KEY)
  if (old.get('kind') != config.get('kind') or not known or not now
      or known.get('ids') != now['ids']):
    return
  found = _compare_data(known, now, f'the run {folder}',
                        _read_otherwise(old, config)).differences
  if found:
    raise ValueError(found[0])


def check_index(one: chain.Judged) -> Findings:
  """Whether a folder of reference models is as its index says.

  Args:
    one: the folder, with the config and the index.
  """
  found = _check_files(one, f'the references {one.place}')
  for listed in one.record['models']:
    folder = pathlib.Path(one.place) / listed['folder']
    known = runs.read_result(folder, 'train')
    if not known:
      found += _differs(f'the model {folder} that the index of {one.place} '
                        'names', 'no finished run')
    elif known.get('sha256') != listed['sha256']:
      found += _differs(f'the model {folder} that the index of {one.place} '
                        'names', 'another one')
  return found


def check_references(one: chain.Judged, original: chain.Judged | None,
                     unlearned: chain.Judged, dataset: dataset_lib.Dataset,
                     splits: splits_lib.Splits) -> Findings:
  """Whether reference models are of this data, request and recipe.

  Args:
    one: their folder, with its config.
    original: of the evaluation, None = not at hand.
    unlearned: the judged model.
    dataset: the images.
    splits: of the request.
  """
  called = f'the reference models in {one.place}'
  if not one.chain:
    return Findings(unverified=(
        f'the data and the request of {called}: nothing records them.',))
  found = _compare_parts(
      one.chain['parts'],
      {name: chain.ids_hash(ids)
       for name, ids in chain.ids_of(dataset, splits).items()},
      f'the split of {called}')
  now = chain.data_hashes(dataset, np.unique(np.concatenate(
      list(chain.rows_of(splits).values()))))
  if now['ids'] == one.chain['ids']:
    found += _compare_data(
        one.chain, now, called, _read_otherwise(one.config, dataset))
  return found + _compare_recipe(
      one, original, unlearned, f'{called} were', called)


def check_unlearned(one: chain.Judged, name: str, known: Mapping[str, Any],
                    arrays: Mapping[str, np.ndarray], state: str) -> Findings:
  """Whether margins of a shadow model are those that were kept of its run.

  Args:
    one: the folder of unlearned shadow models, with its config and index.
    name: of the shadow model there.
    known: its entry in the index.
    arrays: its margins.
    state: whose margins they are.
  """
  found = _check_files(one, f'the unlearned shadow models {one.place}')
  folder = pathlib.Path(one.place) / name
  now = runs.read_result(folder, 'unlearn').get('sha256')
  if known['sha256'] is not None and now != known['sha256']:
    found += _differs(f'the run {folder} whose margins are kept',
                      'none' if now is None else 'another one')
  if known['margins'].get(state) != chain.hash_of_arrays(arrays):
    found += _differs(f'the margins of {folder} as they were written',
                      'others')
  return found


def together(every: Sequence[Findings]) -> Findings:
  """All findings as one."""
  return sum(every, Findings())
