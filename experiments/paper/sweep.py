r"""Searches every method's settings alike, on val alone.

  python -m experiments.paper.sweep --tasks=fgnet_age --workdir=../runs \\
      --data=../shared/data/fgnet_128.npz --out=dlfd_jax/tuned

The same number of trials for every method, and the same seconds of the
processor: once these are spent no trial begins, but every method has at least
two. The first trial is the preset's start; the last ones follow a
tree-structured Parzen estimator. Objective, of the model that the method itself
selects: accuracy kept on retain and val, and the signed attack on val, see
:func:`score`. Training seed 0; its values serve all seeds. Test is not read.

Every trial is a run folder and each finished one a line of
``<workdir>/<task>/0/sweep/<method>.json``: the same command goes on.
Writes ``<out>/<preset>.json``, which presets read where it lies in
``dlfd_jax/tuned``; a task that has a ``--name`` its ``<out>/<name>.json``.
"""

from __future__ import annotations

import dataclasses
import pathlib
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import jax
from absl import flags

from dlfd_jax import loop, methods, models, presets
from dlfd_jax.cli import command, inputs, trackers
from dlfd_jax.methods import base, live, restore
from dlfd_jax.metrics import accuracy
from dlfd_jax.pipeline import job
from dlfd_jax.report import answers
from dlfd_jax.utils import configs, runs
from experiments.paper import costs, spaces, study as study_lib
from experiments.publish import programs

SEED = 0
LEAST_TRIALS = 2
_FAILED = -2.0  # the least that :func:`score` can be
_KEPT = ('retain', 'val')


def _define(values: flags.FlagValues) -> None:
  study_lib.define(values, ['demo'])
  programs.define(
      values, methods=(list(spaces.SEARCHED), 'methods to search'),
      trials=(8, 'trials of each method', LEAST_TRIALS),
      cap_s=(200.0, 'processor seconds of unlearning of each method after '
             'which no trial begins', 0),
      out=(None, 'folder of the chosen values, one file per preset'))


def _execute(values: flags.FlagValues, line: str) -> None:
  root = study_lib.root_of(values)
  out = pathlib.Path(command.required(values, 'out'))
  programs.check_folder(out)
  asked = trackers.of(values)
  unknown = sorted(set(values['methods'].value) - set(spaces.SEARCHED))
  if unknown:
    raise ValueError(
        f'Expected --methods of {list(spaces.SEARCHED)}, got {unknown}.')
  study_lib.check_once('methods', values['methods'].value)
  for task in study_lib.tasks_of(values, tuned=False):
    study = study_lib.open_study(
        task, SEED, root, **inputs.run_options(values, line))
    path = out / (
        f'{task.name if values["name"].value else task.preset_name}.json')
    for method in values['methods'].value:
      found = search(study, candidate(task.preset, method),
                     values['trials'].value, values['cap_s'].value, asked)
      made = {'command': line, 'trials': values['trials'].value,
              'cap_s': values['cap_s'].value, 'device': job.device_name(),
              'versions': runs.versions()}
      before = runs.read_json(path) if path.is_file() else {}
      runs.publish(path, merge(
          before, {'kind': 'tuned', 'preset': task.preset_name,
                   'task': study.about(), 'seed': SEED}, made, method, found))
    print(f'{path}')


def merge(before: dict[str, Any], about: dict[str, Any], made: dict[str, Any],
          method: str, found: dict[str, Any]) -> dict[str, Any]:
  """The file of a preset with what was found for a method.

  Args:
    before: the file, ``{}`` if there is none.
    about: what it is of.
    made: command and budget. The file keeps what it is of and who made it from
      its first command; a method that a later one searched with another budget
      has its own.
    method: that was searched.
    found: see :func:`search`.
  """
  top = {name: before.get(name, value)
         for name, value in {**about, **made}.items()}
  if any(made[name] != top[name] for name in ('trials', 'cap_s')):
    found = {**found, 'command': made['command'], 'cap_s': made['cap_s']}
  return {**top, 'methods': {**before.get('methods', {}), method: found}}


@dataclasses.dataclass(frozen=True)
class Candidate:
  """A method with the settings that a search begins with."""

  label: str  # names its row and its folders
  method: str  # registered name, or a class of one's own
  title: str  # for readers
  start: methods.RunConfig  # settings of the first trial
  space: spaces.Space  # what the others may change


def candidate(preset: presets.Preset, name: str) -> Candidate:
  """What is searched under a name.

  Args:
    preset: the start.
    name: a method, a class of one's own, or ``restore_NAME``: a method,
      restored.

  Raises:
    ValueError: if there is no such method, or it cannot be restored.
  """
  starts = presets.methods_alike(preset)
  inner = name.removeprefix('restore_')
  if inner != name and name not in methods.METHODS and ':' not in name:
    teacher = candidate(preset, inner)
    return Candidate(
        name, 'restore', f'{teacher.title} + restore', restore.RestoreConfig(
            method=teacher.start, restore=preset.methods['restore'].restore),
        spaces.RESTORED)
  start = starts.get(name, preset.config_of(name))
  return Candidate(
      study_lib.label_of(name), name, methods.title_of(name), start,
      {} if name in spaces.FIXED else spaces.space_of(preset, name))


def search(study: study_lib.Study, of: Candidate, trials: int,
           cap_s: float, asked: trackers.Trackers = trackers.NONE
           ) -> dict[str, Any]:
  """Runs what is missing of a method's trials.

  Args:
    study: with the original.
    of: what to search.
    trials: wanted; a method without anything to change has one.
    cap_s: no trial begins after so many seconds of trials, see
      ``costs.seconds_of``.
    asked: are told of every trial.

  A stored trial that an earlier space allowed and this one does not is left
  out; trials of another version of one's own file are in another store.

  Returns:
    ``values`` and ``score`` of the best trial, the number of ``trials``, their
    seconds as ``search_s``, the ``space`` and every trial as ``tried``.
  """
  name = f'{of.label}{study_lib.own_mark(of.start)}'
  store = study.folder / 'sweep' / f'{name}.json'
  tried = [trial for trial in (
      runs.read_json(store) if store.is_file() else [])
           if spaces.lies_in(of.space, trial['values'])]
  store.parent.mkdir(parents=True, exist_ok=True)
  while wants_more(tried, trials if of.space else 1, cap_s):
    values = spaces.suggest(
        of.space, spaces.start_of(of.start, of.space), tried, SEED)
    config = configs.replace(of.start, values)
    done = study.unlearn(
        study.folder / study_lib.folder_of(of.label, of.method, config),
        config).record
    # Its first trial says what a step of a method costs.
    cost = costs.measure(
        study.folder.parent / 'costs' / f'{name}.json', study, config)
    tried.append({'values': values, **objective(done),
                  'time_s': costs.seconds_of(done, cost)})
    runs.write_json(store, tried)
    asked.note(
        study.folder.parents[1] / study_lib.TRACKED / (
            f'{study.task.name}-{study.seed}-{of.label}-trial_{len(tried)}'),
        'trial', f'sweep {study.task.name}', {
            'task': study.task.name, 'seed': study.seed, 'method': of.label,
            **values}, {name: tried[-1][name] for name in tried[-1]
                        if name != 'values'})
    print(f'{study.task.name} {of.label} {len(tried)}: '
          f'{tried[-1]["score"]:.4f} {values}', flush=True)
    jax.clear_caches()  # compiled programs hold memory maps
  best = max(tried, key=lambda trial: trial['score'])
  return {'values': best['values'], 'score': best['score'],
          'trials': len(tried), 'search_s': sum(t['time_s'] for t in tried),
          'space': spaces.describe(of.space), 'tried': tried}


def wants_more(tried: list[dict[str, Any]], trials: int,
               cap_s: float) -> bool:
  """Whether another trial begins."""
  spent = sum(trial['time_s'] for trial in tried)
  return len(tried) < min(trials, LEAST_TRIALS) or (
      len(tried) < trials and spent < cap_s)


def objective(done: Mapping[str, Any]) -> dict[str, float | None]:
  """``score`` of a finished run and its parts, of the model that it selected.

  A run that became non-finite, or whose attack could not be measured, has the
  worst score.
  """
  auc = answers.live_auc(done)
  if done['stop'] == loop.NOT_FINITE or auc is None:
    return {'score': _FAILED}
  before, after = (done['accuracies'][name] for name in (
      'original', 'unlearned'))
  lost = {part: before[part] - after[part] for part in _KEPT}
  return {'score': score(lost.values(), auc), 'auc': auc, **{
      f'lost_{part}': value for part, value in lost.items()}}


def scores(study: study_lib.Study, folders: Iterable[str]) -> list[float]:
  """What :func:`score` says of trained models, such as references."""
  setting = base.Setting.of(methods.Problem(
      models.build(study.saved.config), study.saved.variables, study.dataset,
      study.splits, study.seed), study.devices)
  attack = live.LiveAttack(setting, base.MethodConfig.live_limit)

  def accuracies(variables):
    return {part: float(accuracy.accuracy(
        study.dataset.task, setting.predictor(variables, rows).logits,
        study.dataset.labels[rows]).value) for part in _KEPT for rows in [
            live.labelled(study.dataset, study.splits.parts[part])]}

  before, found = accuracies(setting.original), []
  for folder in folders:
    variables = study.devices.place(dict(job.judged(folder).saved.variables))
    auc, after = attack.measure(variables)['mia_auc'], accuracies(variables)
    found.append(_FAILED if auc is None else score(
        [before[part] - after[part] for part in _KEPT], auc))
  return found


def score(lost: Iterable[float], auc: float) -> float:
  r"""Accuracy kept and signed attack together; 1 is the most.

  .. math:: 1 - \\sum_p \\max(0, l_p) - 2 |A - 1/2|

  A retrained model has lost little on the people who stay and on unseen ones,
  and its attack cannot tell forget from unseen images. NoMUS would rank a model
  above it that has gained on both. An AUC above one half leaks; one below it
  shows who was forgotten.

  Args:
    lost: accuracy of the original minus that of the model, by part.
    auc: of the attack, forget against val.
  """
  return 1 - sum(max(0.0, part) for part in lost) - 2 * abs(auc - .5)


COMMAND = command.Command(
    'paper.sweep', __doc__, _define, _execute, package='experiments', most=(
        'tasks', 'data', 'labels', 'image_size', 'name', 'methods', 'trials',
        'cap_s', 'epochs', 'width', 'workdir', 'out', 'config', 'devices'))
main = COMMAND.main

if __name__ == '__main__':
  sys.exit(main())
