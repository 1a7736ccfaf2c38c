r"""Searches every method's settings alike, on val alone.

  python -m experiments.paper.sweep --tasks=fgnet_age --workdir=../runs \\
      --data=../shared/data/fgnet_128.npz --out=dlfd_jax/tuned

The same number of trials for every method, and the same seconds: once these
are spent no trial begins, but every method has at least two. The first trial is
the preset's start; the last ones follow a tree-structured Parzen estimator.
Objective, of the model that the method itself selects: NoMUS on val minus the
over-forgetting part, the attack AUC on val below one half. Training seed 0;
its values serve all seeds. Test is not read.

Every trial is a run folder and each finished one a line of
``<workdir>/<task>/0/sweep/<method>/trials.json``: the same command goes on.
Writes ``<out>/<preset>.json``, which presets read where it lies in
``dlfd_jax/tuned``.
"""

from __future__ import annotations

import pathlib
import sys
from typing import Any

import jax
import numpy as np
from absl import flags

from dlfd_jax import loop, models, predict, presets
from dlfd_jax.cli import command
from dlfd_jax.metrics import accuracy, attack, forgetting, per_example
from dlfd_jax.pipeline import job
from dlfd_jax.utils import configs, runs
from experiments.paper import spaces, study as study_lib
from experiments.publish import programs

SEED = 0
LEAST_TRIALS = 2
_ATTACK_DRAWS = 5
_FAILED = -1.0  # of a run that became non-finite; any finite one is above


def _define(values: flags.FlagValues) -> None:
  study_lib.define(values, ['demo'])
  programs.define(
      values, methods=(list(spaces.SEARCHED), 'methods to search'),
      trials=(8, 'trials of each method', LEAST_TRIALS),
      cap_s=(900.0, 'seconds of unlearning of each method after which no trial '
             'begins', 0),
      out=(None, 'folder of the chosen values, one file per preset'))


def _execute(values: flags.FlagValues, line: str) -> None:
  root = study_lib.root_of(values)
  out = pathlib.Path(command.required(values, 'out'))
  if not out.is_dir():
    raise FileNotFoundError(f'Expected the folder {out} of --out.')
  unknown = sorted(set(values['methods'].value) - set(spaces.SEARCHED))
  if unknown:
    raise ValueError(
        f'Expected --methods of {list(spaces.SEARCHED)}, got {unknown}.')
  study_lib.check_once('methods', values['methods'].value)
  for task in study_lib.tasks_of(values, tuned=False):
    study = study_lib.open_study(
        task, SEED, root, **study_lib.common_of(values, line))
    path = out / f'{task.preset_name}.json'
    for method in values['methods'].value:
      found = search(study, method, values['trials'].value,
                     values['cap_s'].value)
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


def search(study: study_lib.Study, method: str, trials: int,
           cap_s: float) -> dict[str, Any]:
  """Runs what is missing of a method's trials.

  Args:
    study: with the original.
    method: to search.
    trials: wanted.
    cap_s: no trial begins after so many seconds of trials.

  Returns:
    ``values`` and ``score`` of the best trial, the number of ``trials``, their
    seconds as ``search_s``, the ``space`` and every trial as ``tried``.
  """
  preset = study.task.preset
  start = presets.methods_alike(preset).get(method, preset.config_of(method))
  space = spaces.space_of(preset, method)
  folder = study.folder / 'sweep' / method
  store = folder / 'trials.json'
  tried = runs.read_json(store) if store.is_file() else []
  while wants_more(tried, trials, cap_s):
    values = spaces.suggest(
        space, spaces.start_of(start, space), tried, SEED)
    trial = _run(study, folder / str(len(tried)),
                 configs.replace(start, values))
    tried.append({'values': values, **trial})
    runs.write_json(store, tried)
    print(f'{study.task.name} {method} {len(tried)}: {trial["score"]:.4f} '
          f'{values}', flush=True)
    jax.clear_caches()  # compiled programs hold memory maps
  best = max(tried, key=lambda trial: trial['score'])
  return {'values': best['values'], 'score': best['score'],
          'trials': len(tried), 'search_s': sum(t['time_s'] for t in tried),
          'space': spaces.describe(space), 'tried': tried}


def wants_more(tried: list[dict[str, Any]], trials: int,
               cap_s: float) -> bool:
  """Whether another trial begins."""
  spent = sum(trial['time_s'] for trial in tried)
  return len(tried) < trials and (len(tried) < LEAST_TRIALS or spent < cap_s)


def _run(study, folder, config):
  """Score and time of one trial; a run that diverged has the worst score."""
  done = study.unlearn(folder, config)
  found = ({'score': _FAILED} if done.stop == loop.NOT_FINITE else
           objective(study, done.selected))
  return {**found, 'time_s': done.record['time']['total_s']}


def objective(study: study_lib.Study,
              variables: models.Variables) -> dict[str, float]:
  """``score`` and its parts on val, each in [0, 1]."""
  predictor = predict.Predictor(
      models.build(study.saved.config), study.dataset, study.devices)
  placed = study.devices.place(dict(variables))
  losses, task = {}, study.dataset.task
  found = {}
  for name in ('forget', 'val'):
    rows = study.splits.parts[name]
    rows = rows[per_example.has_label(task, study.dataset.labels[rows])]
    logits = predictor(placed, rows).logits
    if not np.isfinite(logits).all():
      return {'score': _FAILED}
    labels = study.dataset.labels[rows]
    losses[name] = per_example.loss(task, logits, labels)
    found[name] = float(accuracy.accuracy(task, logits, labels).value)
  return {**score(found['val'], losses['forget'], losses['val']),
          'accuracy_val': found['val']}


def score(accuracy_val: float, forget: np.ndarray,
          val: np.ndarray) -> dict[str, float]:
  """NoMUS on val minus the part of over-forgetting.

  Args:
    accuracy_val: in [0, 1].
    forget: losses of forget images, nats ``[n]``.
    val: losses of val images, nats ``[m]``.
  """
  mia = float(attack.balanced_accuracy(-forget, -val, draws=_ATTACK_DRAWS))
  auc = float(attack.auc(-forget, -val))
  nomus = forgetting.nomus(accuracy_val, forgetting.forgetting_score(mia))
  return {'score': nomus - max(0.0, 0.5 - auc), 'nomus': nomus, 'auc': auc}


COMMAND = command.Command(
    'paper.sweep', __doc__, _define, _execute, package='experiments')
main = COMMAND.main

if __name__ == '__main__':
  sys.exit(main())
