r"""The main table on three tasks of real faces, over seeds.

  python -m experiments.paper.faces --data_dir=../shared/data \\
      --workdir=../runs --out=docs/results/faces

For LFW gender, LFW gender and smile, and FG-NET age, each split by person (20 %
test, 15 % val, 15 % of the rest forgotten), and each seed: trains the original
and the retrained model with the preset's recipe, unlearns with fine-tuning,
DLFD and the released code's DLFD, evaluates on test, and writes one table as
JSON and Markdown and a trade-off plot. Every cell is a run folder: what is
finished is not computed again. No image enters the output. Every method runs at
its start: experiments.paper.table1 compares them after a search.

Machine and time of the committed table: 2 CPU cores, about an hour and a half
from nothing.
"""

from __future__ import annotations

import dataclasses
import pathlib
import sys

from absl import flags

from dlfd_jax import methods, presets
from dlfd_jax.cli import command, inputs
from experiments.paper import faces_table, grid, study as study_lib
from experiments.publish import programs

FILES = {'lfw_gender': 'lfw_64.npz', 'lfw_gender_smile': 'lfw_64.npz',
         'fgnet_age': 'fgnet_128.npz'}


def _define(values: flags.FlagValues) -> None:
  inputs.define_run(values)
  programs.define(
      values, data_dir=(None, 'folder of the npz files'),
      tasks=(list(FILES), 'presets to run'),
      seeds=(3, 'seeds of split and training', 1),
      bootstrap=(2000, 'resamples behind every interval', 20),
      out=programs.OUT)


def _execute(values: flags.FlagValues, line: str) -> None:
  root = study_lib.root_of(values)
  data_dir = pathlib.Path(command.required(values, 'data_dir'))
  out = programs.out_of(values)
  unknown = sorted(set(values['tasks'].value) - set(FILES))
  if unknown:
    raise ValueError(f'Expected --tasks of {sorted(FILES)}, got {unknown}.')
  common = inputs.run_options(values, line)
  cells = []
  for name in values['tasks'].value:
    task = task_of(name, data_dir)
    for seed in range(values['seeds'].value):
      study = study_lib.open_study(task, seed, root, **common)
      cells += grid.run_study(
          study, rows_of(task.preset), values['bootstrap'].value)
  result = {**programs.facts('faces', line),
            'devices': common['devices'].count, 'cells': cells}
  programs.write(out, result, faces_table.markdown(result),
                 png=faces_table.plot(result))


def task_of(name: str, data_dir: pathlib.Path) -> study_lib.Task:
  """The start of a preset on its file."""
  preset = presets.STARTS[name]
  return study_lib.Task(name, name, dataclasses.replace(
      preset, data=dataclasses.replace(
          preset.data, source=str(data_dir / FILES[name]))))


def rows_of(preset: presets.Preset) -> list[grid.Row]:
  """The rows of the table.

  ``finetune_alike`` is fine-tuning with everything that DLFD's update uses, so
  that the difference is DLFD.
  """
  configs = preset.methods
  ours, released = (methods.METHODS[name].title
                    for name in ('dlfd', 'official_compat'))
  return [
      grid.Row('finetune', 'finetune', configs['finetune'],
               "Fine-tuning, the paper's recipe"),
      grid.Row('finetune_alike', 'finetune',
               presets.methods_alike(preset)['finetune'],
               "Fine-tuning with DLFD's training options"),
      grid.Row('dlfd', 'dlfd', configs['dlfd'], ours),
      grid.Row('dlfd', 'dlfd', configs['dlfd'], ours, 'last'),
      grid.Row('official_compat', 'official_compat',
               configs['official_compat'], released)]


COMMAND = command.Command(
    'paper.faces', __doc__, _define, _execute, package='experiments')
main = COMMAND.main

if __name__ == '__main__':
  sys.exit(main())
