"""``demo``: the whole job on drawn faces, from training to the report."""

from __future__ import annotations

import dataclasses
import pathlib
import time
from typing import Any

from absl import flags

from dlfd_jax import presets
from dlfd_jax.cli import (
  command,
  evaluate as show_evaluation,
  inputs,
  options,
  screen,
)
from dlfd_jax.data import requests, resolution
from dlfd_jax.evaluation import registry
from dlfd_jax.pipeline import (
  chain_checks,
  evaluate,
  tier_1_runs,
  train,
  unlearn,
)
from dlfd_jax.report import pseudonyms, tables
from dlfd_jax.utils import runs

_ABOUT = """
Draws faces of 280 people, trains `original` and three retrained models, makes
the original forget 10 % of its people with DLFD and restores what that cost the
others, evaluates, prints the tables and writes report.html. Three to five
minutes on two cores; no download.

  dlfd demo --workdir=runs/demo
"""
_FORGET_FRACTION = 0.1
_METHOD = 'dlfd_restore'
# One alone tells nothing apart: two trainings of one recipe differ, too.
RETRAINED = ('retrained', 'retrained_1', 'retrained_2')
# Verdicts and attacks beside the retrained models take seconds, to let every
# model learn forget again minutes.
_TIER_1 = tier_1_runs.Tier1Config(relearn_steps=0, recovery_steps=0)


def _define(values: flags.FlagValues) -> None:
  inputs.define_run(values, reads=False)
  inputs.define_unverified(values)
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
  recipe = options.apply(
      presets.demo_recipe(seed), _TRAINING, values, 'training')
  dataset = inputs.load_data(presets.demo_data(seed))
  partition = presets.demo_partition(dataset, seed)
  splits, notes = resolution.resolve_request(
      dataset, partition,
      requests.ForgetRequest(fraction=_FORGET_FRACTION, seed=seed))
  each: dict[str, Any] = {
      **inputs.run_options(values, line),
      'allow_unverified': command.value(values, chain_checks.FLAG)}
  made = {}
  made['original'] = train.train(dataset, partition, recipe, network, on='all',
                                 workdir=workdir / 'original', **each)
  command.check_finite(made['original'])
  for i, name in enumerate(RETRAINED):
    made[name] = train.train(
        dataset, splits, dataclasses.replace(recipe, seed=seed + i), network,
        on='retain', workdir=workdir / name, **each)
    command.check_finite(made[name])
  unlearned = unlearn.unlearn(
      made['original'], preset.methods[_METHOD], splits, seed=seed, notes=notes,
      workdir=workdir / 'unlearned', search=presets.search_of('demo', _METHOD),
      **each)
  command.check_finite(unlearned)
  result = evaluate.evaluate(
      made['original'], unlearned, [made[name] for name in RETRAINED],
      tier=1, tier_1=_TIER_1, workdir=workdir / 'evaluation', **each)
  show_evaluation.show(result)
  goal = goal_sentence(result.record)
  screen.console().print(goal)
  path = result.write_report(workdir / runs.REPORT)
  print(f'{time.perf_counter() - started:.0f} s, peak memory '
        f'{runs.peak_bytes() / 1e9:.1f} GB. The report: {path}, and whose its '
        f'pseudonyms are: {pseudonyms.key_path(path)}')
  return {'workdir': str(workdir), 'report': str(path), 'goal': goal,
          'evaluation': result.record}


def goal_sentence(result: dict) -> str:
  """Whether the demo's own goal was met, in one line.

  The goal is about the values themselves: what they show beyond chance is said
  by the sentences before.
  """
  def value(metric, column):
    return tables.find_cell(result, metric, column).value

  auc = {c: value(registry.MAIN_ATTACK, c)
         for c in ('original', 'unlearned', 'retrained')}
  nearer = (abs(auc['unlearned'] - auc['retrained'])
            < abs(auc['unlearned'] - auc['original']))
  gap = value('accuracy_test', 'unlearned') - value(
      'accuracy_test', 'retrained')
  accurate = abs(gap) <= 0.03
  of_attack = ('the attack sees the unlearned model nearer to the '
               f'{"retrained ones" if nearer else "original"} than to the '
               f'{"original" if nearer else "retrained ones"}')
  if accurate:
    of_test = f'test accuracy is within 3 points of theirs ({100 * gap:+.1f})'
  else:
    side = 'above' if gap > 0 else 'below'
    of_test = (f'test accuracy is {abs(100 * gap):.1f} points {side} theirs, '
               'where the aim is 3')
    interval = tables.find_cell(result, 'accuracy_test', 'delta').interval
    if interval:
      of_test += f' (interval of the difference: {interval})'
  how = 'met' if nearer and accurate else (
      'met in part' if nearer or accurate else 'not met here')
  return f'The goal of the demo is {how}: {of_attack}, and {of_test}.'


def _starts(values: flags.FlagValues) -> list[Any]:
  return [presets.PRESETS['demo'].network, presets.demo_recipe()]


COMMAND = command.Command('demo', _ABOUT, _define, _execute, most=(
    'workdir', 'config', 'architecture', 'width', 'epochs', 'optimizer',
    'learning_rate', 'batch_size', 'seed', 'devices', 'cpu_devices', 'json'),
                          starts=_starts)
main = COMMAND.main
