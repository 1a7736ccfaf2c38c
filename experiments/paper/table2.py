r"""Table 2: methods on several architectures, over seeds.

  python -m experiments.paper.table2 --tasks=fgnet_age --workdir=../runs \\
      --data=../shared/data/fgnet_128.npz --out=docs/results/table2_fgnet

One section for each task and architecture.
"""

from __future__ import annotations

import dataclasses
import sys

from absl import flags

from dlfd_jax import models
from dlfd_jax.cli import command
from experiments.paper import formats, grid, study as study_lib
from experiments.publish import programs

_METHODS = ['finetune', 'dlfd']
TITLE = 'Table 2: architectures'


def _define(values: flags.FlagValues) -> None:
  grid.define(values, ['demo'])
  programs.define(
      values, methods=(_METHODS, 'rows of the table'),
      architectures=(list(models.ARCHITECTURES), 'networks to run'))


def _execute(values: flags.FlagValues, line: str) -> None:
  out = programs.out_of(values)
  names = grid.check_methods(values['methods'].value)
  wanted = values['architectures'].value
  unknown = sorted(set(wanted) - set(models.ARCHITECTURES))
  if unknown or not wanted:
    raise ValueError(f'Expected --architectures of {models.ARCHITECTURES}, got '
                     f'{unknown or "none"}.')
  if command.value(values, 'architecture') is not None:
    raise ValueError('Expected --architectures, not --architecture, here.')
  tasks = [on(task, name) for name in wanted for task in study_lib.tasks_of(
      values, tuned=values['tuned'].value)]
  result = grid.run(values, line, 'table2', tasks,
                    lambda task: grid.methods_of(task, names))
  formats.write(out, result, TITLE)


def on(task: study_lib.Task, architecture: str) -> study_lib.Task:
  """The task with another network; ResNet18 keeps its folders."""
  preset = task.preset
  if architecture == preset.network.architecture:
    return task
  return dataclasses.replace(
      task, name=f'{task.name}-architecture_{architecture}',
      preset=dataclasses.replace(preset, network=dataclasses.replace(
          preset.network, architecture=architecture)))


COMMAND = command.Command(
    'paper.table2', __doc__, _define, _execute, package='experiments', most=(
        'tasks', 'data', 'labels', 'image_size', 'name', 'architectures',
        'methods', 'seeds', 'references', 'epochs', 'width', 'tuned',
        'workdir', 'out', 'config', 'devices'))
main = COMMAND.main

if __name__ == '__main__':
  sys.exit(main())
