r"""The main table on three tasks of real faces, over seeds.

  python -m experiments.faces --data_dir=../shared/data --workdir=../runs \\
      --out=docs/results/faces

For LFW gender, LFW gender and smile, and FG-NET age, each split by person (20 %
test, 15 % val, 15 % of the rest forgotten), and each seed: trains the original
and the retrained model with the preset's recipe, unlearns with fine-tuning,
DLFD and the released code's DLFD, evaluates on test, and writes one table as
JSON and Markdown and a trade-off plot. Every cell is a run folder: what is
finished is not computed again. No image enters the output.

Machine and time of the committed table: 2 CPU cores, about an hour and a half
from nothing.
"""

from __future__ import annotations

import dataclasses
import pathlib
import statistics
import sys
import time
from typing import Any

import jax
from absl import flags

from dlfd_jax import checkpoint
from dlfd_jax import methods
from dlfd_jax import models
from dlfd_jax import predict
from dlfd_jax import presets
from dlfd_jax import runs
from dlfd_jax import train as train_lib
from dlfd_jax.cli import command
from dlfd_jax.cli import evaluate
from dlfd_jax.cli import inputs
from dlfd_jax.cli import train
from dlfd_jax.cli import unlearn
from dlfd_jax.data import feed as feed_lib
from dlfd_jax.data import requests
from dlfd_jax.data import splits as splits_lib
from dlfd_jax.evaluation import tier0
from dlfd_jax.methods import base
from dlfd_jax.report import tables
from experiments import benchmark
from experiments import faces_table

FILES = {'lfw_gender': 'lfw_64.npz', 'lfw_gender_smile': 'lfw_64.npz',
         'fgnet_age': 'fgnet_128.npz'}
FORGET_FRACTION = 0.15
_REPEATS = 5
TITLES = {'finetune': "Fine-tuning, the paper's recipe",
          'finetune_alike': "Fine-tuning with DLFD's training options"}
# Row of the table and which state of the run is judged.
CELLS = (('finetune', 'model'), ('finetune_alike', 'model'), ('dlfd', 'model'),
         ('dlfd', 'last'), ('official_compat', 'model'))
_METRICS = ('accuracy_test', 'accuracy_retain', 'accuracy_forget',
            'mia_auc_matched', 'mia_auc', 'forgetting_score', 'nomus',
            'forgetting_score_unbalanced', 'nomus_unbalanced')


def _define(values: flags.FlagValues) -> None:
  inputs.define_run(values)
  flags.DEFINE_string(
      'data_dir', None, 'folder of the npz files', flag_values=values)
  flags.DEFINE_list(
      'tasks', list(FILES), 'presets to run', flag_values=values)
  flags.DEFINE_integer(
      'seeds', 3, 'seeds of split and training', lower_bound=1,
      flag_values=values)
  flags.DEFINE_integer(
      'bootstrap', 2000, 'resamples behind every interval', lower_bound=20,
      flag_values=values)
  flags.DEFINE_string(
      'out', None, 'where .json, .md and .png go, without the ending',
      flag_values=values)


def _execute(values: flags.FlagValues, line: str) -> None:
  root = pathlib.Path(command.required(values, 'workdir'))
  data_dir = pathlib.Path(command.required(values, 'data_dir'))
  out = pathlib.Path(command.required(values, 'out'))
  unknown = sorted(set(values['tasks'].value) - set(FILES))
  if unknown:
    raise ValueError(f'Expected --tasks of {sorted(FILES)}, got {unknown}.')
  if not out.parent.is_dir():
    raise FileNotFoundError(f'Expected the folder {out.parent} of --out.')
  devices = inputs.devices(values)
  cells = []
  for task in values['tasks'].value:
    for seed in range(values['seeds'].value):
      cells += run_seed(
          task, seed, data_dir / FILES[task], root / task / str(seed), devices,
          values['bootstrap'].value, line, inputs.run_options(values))
      # Compiled programs hold memory maps, of which a process has a limit.
      jax.clear_caches()
  result = {
      'kind': 'faces', 'command': line, 'device': inputs.device_name(),
      'devices': devices.count, 'versions': runs.versions(), 'cells': cells}
  runs.write_json(out.with_suffix('.json'), result)
  runs.write_text(out.with_suffix('.md'), faces_table.markdown(result))
  out.with_suffix('.png').write_bytes(faces_table.plot(result))
  print(faces_table.markdown(result))


def run_seed(task: str, seed: int, file: pathlib.Path, folder: pathlib.Path,
             devices, bootstrap: int, line: str,
             run_options: dict[str, Any]) -> list[dict[str, Any]]:
  """All models of one task and seed; one dictionary per judged model."""
  preset = presets.PRESETS[task]
  data_options = dataclasses.replace(preset.data, source=str(file))
  recipe = dataclasses.replace(preset.train, seed=seed)
  dataset = inputs.load_data(data_options)
  partition = splits_lib.draw_partition(dataset, seed=seed)
  splits, notes = requests.resolve_request(
      dataset, partition,
      requests.ForgetRequest(fraction=FORGET_FRACTION, seed=seed))
  common = dict(devices=devices, line=line, **run_options)
  trained = {}
  for name, on, parts, rows in (
      ('original', 'all', partition, partition.train),
      ('retrained', 'retain', splits, splits.retain)):
    trained[name] = train.train_run(
        str(folder / name), dataset, data_options, preset.network, recipe,
        parts, rows, on=on, **common)
  saved = checkpoint.load_model(folder / 'original')
  costs = step_costs(folder.parent / 'costs.json', preset, saved, dataset,
                     splits, devices)
  about = {'task': task, 'seed': seed, 'images': len(dataset),
           'splits': {n: len(rows) for n, rows in splits.parts.items()},
           'network': dataclasses.asdict(preset.network),
           'image_size': dataset.image_size[0],
           'train_epochs': recipe.epochs,
           'original_train_accuracy': trained['original']['accuracy_train']}
  cells = []
  for row, state in CELLS:
    method, config = method_of(preset, row)
    unlearned = folder / row
    done = unlearn.unlearn_run(
        str(unlearned), saved, folder / 'original', dataset, data_options,
        splits, notes, method, config, seed=seed, **common)
    judged = evaluate.evaluate_run(
        str(folder / f'evaluation_{row}_{state}'), dataset, splits,
        str(folder / 'original'), str(unlearned), [str(folder / 'retrained')],
        tier0.EvaluationConfig(bootstrap=bootstrap), state=state,
        search_s=None, devices=devices, line=line)
    if not cells:
      cells += [
          {**about, 'model': name, 'metrics': _metrics(judged, name),
           'time_s': trained[name]['steps'] * costs['train']}
          for name in ('original', 'retrained')]
    cells.append({
        **about, 'model': row, 'state': state,
        'title': TITLES.get(row, methods.METHODS[method].title),
        'metrics': _metrics(judged, 'unlearned'),
        'time_s': _cost(done, row, costs), 'wall_s': done['time']['work_s'],
        'check_share': done['check_share'],
        'epochs': config.epochs,
        'perturb_steps': getattr(config, 'perturb_steps', None),
        'selected_step': done['selected_step'], 'steps': done['steps'],
        'reason': done['reason'], 'stop': done['stop'],
        'findings': done['findings'], 'history': done['history']})
  return cells


def step_costs(path: pathlib.Path, preset: presets.Preset,
               saved: checkpoint.SavedModel, dataset, splits,
               devices) -> dict[str, float]:
  """Median seconds of every kind of step and check, measured in turns.

  Runs of hours share their machine with other work; these seconds do not, and
  a run's time is its steps times their cost.

  Returns:
    ``train``, and ``<row>/<phase>`` and ``<row>/check`` for every method.
  """
  if path.is_file():
    return runs.read_json(path)
  model = models.build(saved.config)
  feed = feed_lib.Feed(dataset)
  frozen = devices.place(feed.frozen())
  costs = {}
  for row in dict.fromkeys(row for row, _ in CELLS):
    method, config = method_of(preset, row)
    problem = methods.Problem(model, saved.variables, dataset, splits)
    setting = base.Setting(
        problem, devices.place(dict(saved.variables)), devices, feed, frozen,
        predict.Predictor(model, dataset, devices, feed=feed, frozen=frozen))
    plan, controller = methods.METHODS[method].make_plan(setting, config)
    steps = dict(plan.steps)
    if config.batch_size == preset.train.batch_size:
      steps['train'] = train_lib.make_supervised_step(
          model, dataset.task, preset.train.optimizer, 100, live=True)
    state = train_lib.create_state(
        saved.variables, config.optimizer, jax.random.key(0))
    _, seconds = benchmark.time_in_turns(
        steps, state, frozen, plan.batch(0), devices, _REPEATS)
    for phase, times in seconds.items():
      name = 'train' if phase == 'train' else f'{row}/{phase}'
      costs[name] = statistics.median(times)
    checks = []
    for _ in range(_REPEATS + 1):
      start = time.perf_counter()
      controller.measure(setting.original)
      checks.append(time.perf_counter() - start)
    costs[f'{row}/check'] = statistics.median(checks[1:])
  runs.write_json(path, costs)
  return costs


def _cost(done, row, costs):
  """Seconds of a finished run: its steps and checks at their measured cost."""
  clock = done['time']
  steps = {phase: clock['phase_steps'].get(phase, 0) + 1
           for phase in clock['compile_s']}
  return clock['checks'] * costs[f'{row}/check'] + sum(
      n * costs[f'{row}/{phase}'] for phase, n in steps.items())


def method_of(preset: presets.Preset,
              row: str) -> tuple[str, methods.MethodConfig]:
  """Method and config of a row.

  ``finetune_alike`` is fine-tuning with everything that DLFD's update uses
  (passes, rate, augmentation, BatchNorm), so that the difference is DLFD.
  """
  if row != 'finetune_alike':
    return row, preset.methods[row]
  ours = preset.methods['dlfd']
  return 'finetune', dataclasses.replace(
      preset.methods['finetune'], epochs=ours.epochs,
      batch_size=ours.batch_size, optimizer=ours.optimizer,
      batch_norm=ours.batch_norm, augment=ours.augment)


def _metrics(result: dict[str, Any], column: str) -> dict[str, Any]:
  cells = {name: tables.find_cell(result, name, column) for name in _METRICS}
  return {name: {'value': cell.value, 'low': cell.low, 'high': cell.high}
          for name, cell in cells.items()}




COMMAND = command.Command('faces', __doc__, _define, _execute)
main = COMMAND.main

if __name__ == '__main__':
  sys.exit(main())
