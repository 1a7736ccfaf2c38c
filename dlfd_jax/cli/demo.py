"""``demo``: the whole job on drawn faces, from training to the report."""

from __future__ import annotations

import dataclasses
import pathlib
import time
from typing import Any

from absl import flags

from dlfd_jax import checkpoint, presets
from dlfd_jax.cli import (
  command,
  evaluate,
  inputs,
  options,
  report,
  train,
  unlearn,
)
from dlfd_jax.data import (
  dataset as dataset_lib,
  requests,
  sources,
  splits as splits_lib,
)
from dlfd_jax.evaluation import tier0
from dlfd_jax.report import tables
from dlfd_jax.utils import runs

_ABOUT = """
Draws faces of 280 people, trains `original` and `retrained`, makes the original
forget 10 % of its people with DLFD, evaluates, prints the table and writes
report.html. Two to four minutes on two cores; no download.

  dlfd demo --workdir=runs/demo
"""
_FORGET_FRACTION = 0.1
# Many to test on: 320 images would leave gaps of 3 points to chance.
_PEOPLE, _TEST_FRACTION, _VAL_FRACTION = 280, 0.45, 0.1


def _define(values: flags.FlagValues) -> None:
  inputs.define_run(values)
  values['workdir'].value = 'runs/demo'
  flags.DEFINE_integer(
      'seed', 0, 'of the drawing, the split and every run', lower_bound=0,
      flag_values=values)
  options.define((*options.NETWORK, *_TRAINING), values)


_TRAINING = tuple(o for o in options.TRAIN if o.flag != 'seed')


def _execute(values: flags.FlagValues, line: str) -> dict[str, Any]:
  started = time.perf_counter()
  workdir = pathlib.Path(command.value(values, 'workdir'))
  seed = command.value(values, 'seed')
  preset = presets.PRESETS['demo']
  network = options.apply(
      preset.network, options.NETWORK, values, 'the network')
  recipe = options.apply(preset.train, _TRAINING, values, 'training')
  recipe = dataclasses.replace(recipe, seed=seed)
  devices = inputs.devices(values)
  data_options = people_of(seed)
  dataset = inputs.load_data(data_options)
  partition = parts_of(dataset, seed)
  splits, notes = requests.resolve_request(
      dataset, partition,
      requests.ForgetRequest(fraction=_FORGET_FRACTION, seed=seed))
  run_options = inputs.run_options(values)
  common = dict(devices=devices, line=line, **run_options)
  for name, on, parts, rows in (
      ('original', 'all', partition, partition.train),
      ('retrained', 'retain', splits, splits.retain)):
    train.train_run(
        str(workdir / name), dataset, data_options, network, recipe, parts,
        rows, on=on, **common)
  saved = checkpoint.load_model(workdir / 'original')
  unlearn.unlearn_run(
      str(workdir / 'unlearned'), saved, workdir / 'original', dataset,
      data_options, splits, notes, 'dlfd', preset.methods['dlfd'], seed=seed,
      search=unlearn.search_of('demo', 'dlfd'), **common)
  result = evaluate.evaluate_run(
      str(workdir / 'evaluation'), dataset, splits, str(workdir / 'original'),
      str(workdir / 'unlearned'), [str(workdir / 'retrained')],
      tier0.EvaluationConfig(), state='model', search_s=None, devices=devices,
      line=line)
  evaluate.show(result)
  goal = goal_sentence(result)
  print(goal)
  path = report.write(workdir / 'evaluation', workdir)
  print(f'{time.perf_counter() - started:.0f} s, peak memory '
        f'{runs.peak_bytes() / 1e9:.1f} GB. The report: {path}')
  return {'workdir': str(workdir), 'report': str(path), 'goal': goal,
          'evaluation': result}


def people_of(seed: int) -> sources.DataOptions:
  """The faces that the demo draws."""
  return dataclasses.replace(
      presets.PRESETS['demo'].data, data_seed=seed, people=_PEOPLE)


def parts_of(dataset: dataset_lib.Dataset, seed: int) -> splits_lib.Partition:
  """Who of them is train, val and test."""
  return splits_lib.draw_partition(
      dataset, seed=seed, test_fraction=_TEST_FRACTION,
      val_fraction=_VAL_FRACTION)


def goal_sentence(result: dict) -> str:
  """Whether the demo's own goal was met, in one line."""
  def value(metric, column):
    return tables.find_cell(result, metric, column).value

  auc = {c: value('mia_auc_matched', c)
         for c in ('original', 'unlearned', 'retrained')}
  nearer = (abs(auc['unlearned'] - auc['retrained'])
            < abs(auc['unlearned'] - auc['original']))
  gap = value('accuracy_test', 'unlearned') - value(
      'accuracy_test', 'retrained')
  accurate = abs(gap) <= 0.03
  if nearer and accurate:
    return ('Goal met: the attack sees the unlearned model nearer to the '
            'retrained one than to the original, and test accuracy is within 3 '
            f'points of it ({100 * gap:+.1f}).')
  missed = [text for ok, text in (
      (nearer, 'the attack sees the unlearned model nearer to the original '
       'than to the retrained one'),
      (accurate, f'test accuracy is {abs(100 * gap):.1f} points '
       f"{'above' if gap > 0 else 'below'} the retrained model's")) if not ok]
  return f'Goal not met here: {" and ".join(missed)}.'


COMMAND = command.Command('demo', _ABOUT, _define, _execute)
main = COMMAND.main
