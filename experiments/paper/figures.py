r"""The paper's figures, drawn from files.

  losses      densities of losses, forget against unseen   --evaluations
  features    penultimate features in two dimensions       --evaluations
  steps       faces perturbed away from forget             --original
  collapse    what features tell of label and person       --evaluations
  tradeoff    gap and two-sided attack against cost        --table
  complexity  DLFD's gain by number of classes             --table

Without --figures, all that the given inputs allow are drawn. `features` needs
evaluations made with --keep_features, `collapse` these or --tier=1. Each figure
is written as PNG and SVG; figures.json holds the numbers under them. Of several
retrained models the first is drawn; its AUC and probes are the mean of all.

  python -m experiments.paper.figures --out=runs/figures \\
      --evaluations=dlfd=runs/e_dlfd,neggrad=runs/e_neggrad \\
      --table=docs/results/faces.json --original=runs/original
"""

from __future__ import annotations

import importlib.metadata
import os
import pathlib
import sys
from collections.abc import Callable
from typing import Any

from absl import flags

from dlfd_jax import presets
from dlfd_jax.cli import command
from dlfd_jax.pipeline import job
from dlfd_jax.report import feature_numbers, figure_features
from dlfd_jax.utils import runs
from experiments.paper import (
  figure_cells,
  figure_evaluations,
  figure_steps,
)
from experiments.publish import programs

# Each figure and the flag that it needs.
NEEDS = {'losses': 'evaluations', 'features': 'evaluations',
         'steps': 'original', 'collapse': 'evaluations', 'tradeoff': 'table',
         'complexity': 'table'}
FORMATS = ('png', 'svg')
_SETTINGS = ('evaluations', 'table', 'classes', 'original', 'unlearned',
             'data', 'preset', 'faces', 'projection', 'limit', 'seed')


def _define(values: flags.FlagValues) -> None:
  programs.define(
      values, out=(None, 'folder of the figures'),
      original=(None, 'training run whose faces `steps` perturbs'),
      unlearned=(
          None, 'unlearning run of it: splits, and the config of DLFD'),
      data=(None, 'source of the images of `steps`, if they are not drawn; the '
            'figure then shows some of them'),
      name=('', 'begins the name of every file'),
      figures=([], f'which of {", ".join(NEEDS)}; default all that can be'),
      evaluations=([], 'label=DIR pairs: evaluations of one task and seed'),
      table=([], 'JSON results of table1, table2, table3 or faces'),
      classes=([], 'task=N pairs: classes of tasks whose cells lack them'),
      faces=(4, 'shown by `steps`', 1),
      limit=(2000, 'most images of a split in `features`', 4),
      seed=(0, 'of subsamples, batches, swaps and t-SNE', 0))
  flags.DEFINE_enum(
      'preset', 'demo', list(presets.PRESETS),
      'whose DLFD `steps` runs where --unlearned has none', flag_values=values)
  flags.DEFINE_enum(
      'projection', 'pca', figure_features.PROJECTIONS,
      "of each model's own features", flag_values=values)


def _execute(values: flags.FlagValues, line: str) -> None:
  out = pathlib.Path(command.required(values, 'out'))
  prefix = command.value(values, 'name')
  if pathlib.Path(prefix).name != prefix:
    raise ValueError(
        f'Expected --name to be the start of a file name, got {prefix!r}.')
  models = figure_evaluations.read(
      figure_evaluations.parse(command.value(values, 'evaluations')))
  chosen = choose(values, models)
  drawn = make(chosen, values, models)
  out.mkdir(parents=True, exist_ok=True)
  start = f'{prefix}_' if prefix else ''
  files = {name: [f'{start}{picture}.{format}' for picture in figure.pictures
                  for format in FORMATS] for name, figure in drawn.items()}
  pictures = {f'{start}{picture}.{format}': draw(format)
              for figure in drawn.values()
              for picture, draw in figure.pictures.items()
              for format in FORMATS}
  runs.publish(out / f'{start}figures.json', {
      'kind': 'figures', 'command': line,
      'config': {name: command.value(values, name) for name in _SETTINGS},
      'seeds': {'figures': command.value(values, 'seed'),
                'evaluations': _evaluation_seeds(models)},
      'evaluation_commands': list(dict.fromkeys(
          model.result.get('command') for model in models)),
      'device': job.device_name(), 'cores': os.cpu_count(),
      'versions': {**runs.versions(), **{
          name: importlib.metadata.version(name)
          for name in ('matplotlib', 'scipy')}},
      'figures': {name: {'files': files[name], **figure.numbers}
                  for name, figure in drawn.items()}}, pictures)
  for name in [*pictures, f'{start}figures.json']:
    print(out / name)
  for note in drawn['steps'].numbers['notes'] if 'steps' in drawn else ():
    print(note)


def _evaluation_seeds(models):
  return {model.name: model.result.get('config', {}).get('seed')
          for model in models}


def choose(values: flags.FlagValues,
           models: figure_evaluations.Models) -> list[str]:
  """The figures to draw: those of ``--figures``, or all that can be.

  Raises:
    ValueError: if a name is unknown, a named figure lacks its flag, or nothing
      can be drawn.
  """
  named = command.value(values, 'figures')
  unknown = sorted(set(named) - set(NEEDS))
  if unknown:
    raise ValueError(f'Expected --figures of {list(NEEDS)}, got {unknown}.')
  for name in named:
    if not command.value(values, NEEDS[name]):
      raise ValueError(
          f'Expected --{NEEDS[name]} to be given for the figure {name}: '
          f'{values[NEEDS[name]].help}.')
  if named:
    return [name for name in NEEDS if name in named]
  kept = all(model.has_features for model in models)
  judged = all(model.cell(metric).value is not None for model in models
               for metric in feature_numbers.METRICS)
  tables = command.value(values, 'table')
  cells = figure_cells.read(tables) if tables else []
  able = {'features': kept, 'collapse': kept or judged,
          'tradeoff': figure_cells.beside_references(cells),
          'complexity': figure_cells.has_gains(cells)}
  found = [name for name, flag in NEEDS.items()
           if command.value(values, flag) and able.get(name, True)]
  if not found:
    raise ValueError(
        'Expected --evaluations, --table or --original to be given, got none.')
  return found


def make(chosen: list[str], values: flags.FlagValues,
         models: figure_evaluations.Models
         ) -> dict[str, figure_evaluations.Figure]:
  """The chosen figures from the inputs that the flags name."""
  seed, limit = (command.value(values, name) for name in ('seed', 'limit'))
  cells = figure_cells.read(command.value(values, 'table')) if {
      'tradeoff', 'complexity'} & set(chosen) else []
  judged = figure_evaluations.feature_metrics(models, limit, seed) if {
      'features', 'collapse'} & set(chosen) else {}

  def steps():
    original, unlearned, data, preset = (
        command.value(values, name)
        for name in ('original', 'unlearned', 'data', 'preset'))
    scene = figure_steps.open_scene(original, unlearned, data, preset, seed)
    return figure_steps.steps(scene, command.value(values, 'faces'), seed)

  makers: dict[str, Callable[[], figure_evaluations.Figure]] = {
      'losses': lambda: figure_evaluations.losses(models, seed),
      'features': lambda: figure_evaluations.features(
          models, judged, command.value(values, 'projection'), limit, seed),
      'steps': steps,
      'collapse': lambda: figure_evaluations.collapse(models, judged),
      'tradeoff': lambda: figure_cells.tradeoff(cells),
      'complexity': lambda: figure_cells.complexity(
          cells, _classes(command.value(values, 'classes')))}
  return {name: makers[name]() for name in chosen}


def _classes(entries: list[str]) -> dict[str, int]:
  found: dict[str, Any] = {}
  for entry in entries:
    task, _, number = entry.rpartition('=')
    if not task or not number.isdecimal() or int(number) < 2:
      raise ValueError(
          'Expected task=N entries with N of at least 2 in --classes, got '
          f'{entry!r}.')
    found[task] = int(number)
  return found


COMMAND = command.Command(
    'paper.figures', __doc__, _define, _execute, package='experiments')
main = COMMAND.main

if __name__ == '__main__':
  sys.exit(main())
