"""Shadow models of tier 3: unlearned as the judged model was, and read.

A folder of shadow models (``reference_models``) keeps what was unlearned in it,
so that a second evaluation of the same method unlearns nothing:

* ``unlearned/<method>-<hash of its settings>/000`` ...: an ordinary unlearning
  run of each shadow model, by the method and settings of the judged model and a
  seed of its own. A stopped one goes on from its checkpoint;
* ``000-model.npz`` beside it: margins of that run's selected state (or of
  ``last``), ``before/<split>``, ``unlearned/<split>`` and, with the design
  ``keep``, ``retrained/<split>``, each float32 ``[images of the split]``; and
  ``before/accuracy`` ..., on retain and test, float64 ``[2]``. Earlier versions
  did not keep accuracies: their models are then read again, if they are there;
* ``config.json`` and ``result.json``, the index of those that are finished.

All runs have one data set, one network and one method, and so the same compiled
programs. A shadow model that drew nobody to forget is its own unlearned one.
"""

from __future__ import annotations

import dataclasses
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from dlfd_jax import checkpoint, loop, methods
from dlfd_jax.data import (
  dataset as dataset_lib,
  splits as splits_lib,
)
from dlfd_jax.evaluation import (
  references as references_lib,
  shadows as figures,
)
from dlfd_jax.metrics import accuracy, per_example
from dlfd_jax.pipeline import (
  chain,
  chain_checks,
  expected_cost,
  job,
  predictors as predictors_lib,
  reference_designs as designs,
  reference_models,
  run_configs,
  unlearn,
)
from dlfd_jax.utils import (
  files,
  hosts,
  records,
  runs,
  schemas,
  text,
  writes,
)

UNLEARNED = 'unlearned'
SPLITS = ('forget', 'retain', 'test')  # val chose the state
_ACCURACY = 'accuracy'  # on the last two, beside the names of splits
_KIND = 'unlearned shadows'
_LEAST = {  # models of each design
    designs.RANDOM: 2 * figures.LEAST,
    designs.KEPT: 6 * figures.LEAST,
    designs.REQUEST: figures.LEAST}
_UNKNOWN = ('by which method the model was unlearned, which the shadow models '
            'would have to be, too, is not known')


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Plan:
  """Shadow models and how they are to unlearn, all of it checked.

  Attributes:
    models: the folder of shadow models.
    dataset: the images.
    splits: of the request.
    config: of the judged model's method; None = it is not known, and nothing is
      unlearned.
    method: its name.
    judged: the judged model's record.
    state: which of its states is judged.
    findings: what was compared.
  """

  models: reference_models.ReferenceModels
  dataset: dataset_lib.Dataset
  splits: splits_lib.Splits
  config: methods.RunConfig | None
  method: str | None
  judged: Mapping[str, Any]
  state: str
  findings: chain_checks.Findings

  @property
  def count(self) -> int:
    """Shadow models; of the design ``keep`` half of all models."""
    return len(self.models.folders) // (1 + self.paired)

  @property
  def paired(self) -> bool:
    """Whether each is there without whom it forgets, too."""
    return self.models.design == designs.KEPT

  @property
  def fields(self) -> dict[str, Any]:
    """The method and its settings, as runs record them."""
    own_code = methods.own_code(self.config) if self.config else None
    return {'method': self.method, 'config': self.config and (
        unlearn.settings_of(self.config)),
            **({runs.OWN_CODE: own_code} if own_code else {})}

  @property
  def folder(self) -> pathlib.Path:
    """Where unlearned shadow models of this method lie."""
    name = ''.join(c if c.isalnum() else '_' for c in str(
        self.method).rpartition(':')[2])
    return (self.models.folder / UNLEARNED
            / f'{name}-{chain.hash_of(self.fields)[:8]}')

  def states(self) -> np.ndarray:
    """int8 ``[models, images of forget]``."""
    members = self.models.membership
    if members is None:
      return np.full((self.count, len(self.splits.forget)),
                     references_lib.FORGET, np.int8)
    return members.of_images(
        self.dataset.sample_id[self.splits.forget])[:self.count]

  def identity(self) -> dict[str, Any]:
    """What decides the figures."""
    return {
        'references': chain.run_hash(self.models.config),
        'models': [one['weights'] for one in self.models.record['models']],
        **self.fields}

  def left(self) -> list[int]:
    """Shadow models whose margins are not there yet."""
    if self.config is None:
      return []
    known = _index(self.folder)
    return [k for k in range(self.count)
            if self.state not in known.get(_name(k), {}).get('margins', {})]

  def cost(self) -> dict[str, Any]:
    """What unlearning them is expected to cost, by the judged run's times."""
    inside = (self.states() == references_lib.FORGET).any(1)
    waiting = [k for k in self.left() if inside[k] and not files.is_file(
        self.folder / _name(k) / runs.RESULT)]
    return expected_cost.unlearn_again(self.judged, len(waiting))

  def say_expected(self, hooks: Sequence[loop.Hook]) -> None:
    """Tells hooks what is to be unlearned, and how long that may take."""
    cost = self.cost()
    if self.config is None:
      sentence = (f'{self.count} shadow models. Nothing is unlearned: the '
                  'method of the judged model is not known.')
    else:
      sentence = (f'{self.count} shadow models, to be unlearned as the judged '
                  f'model was ({methods.title_of(str(self.method))})')
      done = self.count - len(self.left())
      sentence += f'; {done} finished already.' if done else '.'
    if 'expected_s' in cost:
      sentence += (f' Expected: {text.duration(cost["expected_s"])}, '
                   f'{cost["each_s"]:.2g} s each as the judged model took on '
                   f'{cost["device"]}.')
    for hook in hooks:
      hook({'event': 'expected', 'seconds': cost.get('expected_s'),
            'sentence': sentence})


def plan(shadows: job.Folder | reference_models.ReferenceModels,
         judged: chain.Judged, original: chain.Judged | None,
         dataset: dataset_lib.Dataset, splits: splits_lib.Splits, *,
         allow_unverified: bool = False) -> Plan:
  """Checks shadow models for an evaluation, and how they have to unlearn.

  Args:
    shadows: their folder, or what ``train_references`` returned.
    judged: the unlearned model, or any of an audit.
    original: the original model, None = not at hand.
    dataset: the images.
    splits: of the request.
    allow_unverified: see ``reference_models.load_references``.

  Raises:
    FileNotFoundError: if no model is finished, or one of them is gone.
    ValueError: if they are no shadow models, too few, of other data, another
      request or recipe, or the method's settings cannot be read.
  """
  shadows = reference_models.finished(
      shadows, _LEAST, 'tier 3', allow_unverified=allow_unverified)
  found = chain_checks.check_references(
      chain.Judged(judged.saved, str(shadows.folder), shadows.config), original,
      judged, dataset, splits)
  found.settled(allow_unverified)  # before anything is counted by their ids
  config = method = None
  if judged.config.get('kind') == 'unlearn':
    method = judged.config['method']
    config = run_configs.method_in(judged.config, judged.place)
  return Plan(
      models=shadows, dataset=dataset, splits=splits, config=config,
      method=method, judged=judged.record, state=judged.state, findings=found)


def unlearned_shadows(
    plan: Plan, predictors: predictors_lib.Predictors, *,
    checkpoint_seconds: float = 60.0, hooks: Sequence[loop.Hook] = (),
    command: str | None = None, allow_unverified: bool = False
) -> references_lib.Shadows:
  """Unlearns what is missing, and reads the margins of all.

  Args:
    plan: see :func:`plan`.
    predictors: shared with the evaluation.
    checkpoint_seconds: least time between two checkpoints.
    hooks: called with every event.
    command: how a user started this, for the records.
    allow_unverified: runs and margins whose files do not belong together are
      read all the same.

  Raises:
    ValueError: if a folder holds something else, or its files are altered.
    job.Interrupted: on SIGTERM or SIGINT.
  """
  def answers(saved: checkpoint.SavedModel) -> dict[str, np.ndarray]:
    return _answers(saved, plan, predictors)

  plan.say_expected(hooks)
  if plan.config is None:
    found = [{'before': answers(checkpoint.load_model(folder))}
             for folder in plan.models.folders[:plan.count]]
  else:
    found = _of_folder(plan, answers, hooks, {
        'devices': predictors.devices,
        'checkpoint_seconds': checkpoint_seconds, 'command': command,
        'allow_unverified': allow_unverified})

  def stack(name: str, split: str) -> np.ndarray | None:
    every = [one.get(name, {}).get(split) for one in found]
    there = [values for values in every if values is not None]
    return None if len(there) < len(every) else (
        np.stack(there).astype(np.float64))

  names = 'unlearned', 'before', 'retrained'
  of_forget: dict[str, Any] = {name: stack(name, 'forget') for name in names}
  others = {
      split: {name: values for name in names
              if (values := stack(name, split)) is not None}
      for split in (*SPLITS[1:], _ACCURACY)}
  return references_lib.Shadows(
      states=plan.states(), **of_forget, accuracies=others.pop(_ACCURACY),
      elsewhere=others, why=_UNKNOWN)


def _of_folder(
    plan: Plan,
    answers: Callable[[checkpoint.SavedModel], dict[str, np.ndarray]],
    hooks: Sequence[loop.Hook], shared: Mapping[str, Any]
) -> list[dict[str, dict[str, np.ndarray]]]:
  """Answers of all shadow models, kept in the folder of their method."""
  opened = _open(plan)
  started = time.perf_counter() - (  # of all sessions
      ((opened.result or {}).get('time') or {}).get('total_s', 0.0))
  every, states = [], plan.states()
  for k in range(plan.count):
    listed = plan.models.record['models'][k]
    path = opened.path / f'{_name(k)}-{plan.state}.npz'
    known = _index(opened.path).get(_name(k))
    if known and plan.state in known['margins'] and files.is_file(path):
      found = files.read_arrays(path, f'the margins of shadow model {k}')
      saved: Any = None
      checked = chain_checks.check_unlearned(chain.Judged(
          saved, str(opened.path), runs.read_config(opened.path, _KIND),
          opened.result or {}), _name(k), known, found, plan.state)
      if known['original'] != listed['weights']:
        checked += chain_checks.Findings((
            f'Expected the shadow model {plan.models.folders[k]} that was '
            f'unlearned in {opened.path / _name(k)}, got another one.',))
      checked.settled(shared['allow_unverified'])
      of_model = _tree(found)
      if not checked.differences and all(
          _ACCURACY in one for one in of_model.values()) or (
              _is_all_there_is(opened.path, known, found, plan.state,
                               listed['weights'])):
        every.append(of_model)
        continue  # else they are read anew
    before = checkpoint.load_model(plan.models.folders[k])
    after, run = before, None
    if (states[k] == references_lib.FORGET).any():
      parts = designs.parts_of(plan.splits, states[k])
      assert isinstance(parts, splits_lib.Splits) and plan.config is not None
      run = unlearn.unlearn(
          before, plan.config, parts, plan.dataset, seed=listed['seed'],
          notes=(), workdir=opened.path / _name(k),
          hooks=[_titled(hook, f'unlearn shadow {k + 1} of {plan.count}')
                 for hook in hooks],
          original_path=plan.models.folders[k], **shared)
      after = run.state(plan.state)
    of_model = {'before': answers(before), 'unlearned': answers(after)}
    if plan.paired:
      of_model['retrained'] = answers(
          checkpoint.load_model(plan.models.folders[plan.count + k]))
    arrays = {f'{name}/{split}': values for name, of_split in of_model.items()
              for split, values in of_split.items()}
    _keep(opened, path, arrays, {
        'folder': _name(k), 'stop': run and run.stop,
        'original': listed['weights'],
        'sha256': run and run.record['sha256'],
        'margins': {**(known or {}).get('margins', {}),
                    plan.state: chain.hash_of_arrays(arrays)}},
          time.perf_counter() - started)
    every.append(_tree(arrays))
  return every


def _is_all_there_is(folder: pathlib.Path, known: Mapping[str, Any],
                     arrays: Mapping[str, np.ndarray], state: str,
                     original: str) -> bool:
  """Whether a run is gone, and its margins are those that were written.

  To read anything else of it, it would have to be unlearned again.
  """
  return (known['sha256'] is not None
          and not files.is_file(folder / known['folder'] / runs.RESULT)
          and known['original'] == original
          and known['margins'][state] == chain.hash_of_arrays(arrays))


def _answers(saved: checkpoint.SavedModel, plan: Plan,
             predictors: predictors_lib.Predictors) -> dict[str, np.ndarray]:
  """Margins of a model, float32, 0 without a known label; its accuracies."""
  dataset, splits = plan.dataset, plan.splits
  found = predictors.logits(
      saved, {split: splits.parts[split] for split in SPLITS})
  values, right = {}, []
  for split, logits in found.items():
    part = splits.parts[split]
    labels = dataset.labels[part]
    there = per_example.has_label(dataset.task, labels)
    values[split] = np.zeros(len(labels), np.float32)
    values[split][there] = per_example.margin(
        dataset.task, logits[there], labels[there])
    there &= np.isin(part, splits.stays(split))  # as in the table of accuracies
    right.append(accuracy.accuracy(
        dataset.task, logits[there], labels[there]).value)
  values[_ACCURACY] = np.array(right[1:])
  return values


def _tree(arrays: Mapping[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
  found: dict[str, dict[str, np.ndarray]] = {}
  for name, values in arrays.items():
    model, _, split = name.partition('/')
    found.setdefault(model, {})[split] = values
  return found


def _titled(hook: loop.Hook, title: str) -> loop.Hook:
  """A hook that is told another title of the job."""
  return lambda event: hook(
      {**event, 'title': title} if event['event'] == 'begin' else event)


def _name(k: int) -> str:
  return reference_models.folder_of('', k).name


def _open(plan: Plan) -> runs.RunFolder:
  opened = job.open_folder(plan.folder, {
      'kind': _KIND, **plan.fields,
      'references': chain.run_hash(plan.models.config),
      'rows': {name: chain.rows_hash(plan.dataset, rows)
               for name, rows in plan.splits.parts.items()},
      chain.KEY: chain.entry(plan.dataset, plan.splits, plan.splits.retain)})
  if opened.result is not None:  # it may grow
    hosts.first(opened.lock)
  return opened


def _index(folder: pathlib.Path) -> dict[str, Any]:
  """Entries of finished shadow models by name."""
  path = folder / runs.RESULT
  if not files.is_file(path):
    return {}
  record = records.read(path, schemas.RESULTS[_KIND])
  return {one['folder']: one for one in record['models']}


def _keep(opened: runs.RunFolder, path: pathlib.Path,
          arrays: Mapping[str, np.ndarray], entry: Mapping[str, Any],
          total_s: float) -> None:
  """Writes margins, then the index that has them."""
  listed = {**_index(opened.path), entry['folder']: entry}
  index = chain.sealed({
      'kind': _KIND, 'models': [listed[name] for name in sorted(listed)],
      'versions': runs.versions(), 'finished': runs.now(),
      'time': {'total_s': total_s}}, runs.read_config(opened.path, _KIND))

  def write() -> None:
    writes.write_arrays(path, dict(arrays), compressed=True)
    opened.write_result(index)

  hosts.first(write)
