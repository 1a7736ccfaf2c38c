r"""Real faces, judged by shadow models: who is still there after unlearning?

  python -m experiments.benchmarks.shadowed --data_dir=../shared/data \
      --workdir=../runs/shadowed --out=docs/results/shadowed

FG-NET age in 6 classes, as ``judged`` has it, and LFW gender and smile, smaller
and for fewer epochs. Of each 32 shadow models hold half of the people to forget
and forget them by fine-tuning, EU-k and DLFD, on FG-NET with restore, too, at
the presets' settings. Eight retrained models are the references, and sixteen
more stand in for models after exact unlearning. Every model is a run folder:
what is finished is not done again.
"""

from __future__ import annotations

import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from absl import flags

from dlfd_jax.cli import command, inputs
from dlfd_jax.evaluation import inputs as inputs_lib
from experiments.benchmarks import judged, shadow_rows
from experiments.paper import study as study_lib
from experiments.publish import programs

# And what their shadow models forget by.
DATA = (
    (judged.SMALL, (*shadow_rows.METHODS, 'dlfd_restore')),
    (judged.Data('LFW, gender and smile', 'lfw_gender_smile', 'lfw_64.npz',
                 {'image_size': 24, 'width': 8, 'epochs': 5}, .25,
                 features=False), shadow_rows.METHODS))


def _measure(values: flags.FlagValues) -> dict[str, Any]:
  root = study_lib.root_of(values)
  folder = pathlib.Path(command.required(values, 'data_dir'))
  common = inputs.run_options(values)
  config = inputs_lib.EvaluationConfig(
      bootstrap=command.value(values, 'bootstrap'), permutations=50, draws=5)
  return {'tasks': [
      measure(data, data.task(folder), root, config, common,
              command.value(values, 'shadows'), methods)
      for data, methods in DATA]}


def measure(data: judged.Data, task: study_lib.Task, root: pathlib.Path,
            config: inputs_lib.EvaluationConfig, common: Mapping[str, Any],
            shadows: int = shadow_rows.SHADOWS,
            methods: Sequence[str] = shadow_rows.METHODS,
            stand_ins: int = shadow_rows.STAND_INS) -> dict[str, Any]:
  """Trains what is missing of one data set, and its rows."""
  study = study_lib.open_study(task, 0, root, data.forget, **common)
  subject = shadow_rows.Subject(
      dataset=study.dataset, splits=study.splits,
      original=study.trained['original'], retrained=study.references(
          shadow_rows.REFERENCES + stand_ins),
      config_of=task.preset.config_of, root=study.folder / 'by_shadows',
      common=common)
  return {
      **judged.about(study, data, shadow_rows.REFERENCES),
      'shadow_models': shadows,
      'seeds': {'data, split, request, original, unlearning': 0,
                'references from': 1000, 'shadows from': 1},
      'rows': shadow_rows.measure(subject, config, shadows, methods)}


def markdown(result: Mapping[str, Any]) -> str:
  """A table and its sentences for each data set."""
  lines = ['# Real faces, judged by shadow models', '']
  for task in result['tasks']:
    lines += [
        *judged.heading(task, 'Judged are logits.'),
        *shadow_rows.table(task['rows'], task['shadow_models']), '',
        *(f'- {line}' for line in shadow_rows.sentences(
            task['rows'], task['shadow_models'], task['splits']['forget'])),
        '']
  return '\n'.join([*lines, programs.made_by(dict(result)), ''])


COMMAND = programs.program(
    'benchmarks.shadowed', __doc__, {
        'data_dir': (None, 'folder of the npz files'),
        'shadows': (shadow_rows.SHADOWS, 'shadow models', 8),
        'bootstrap': (500, 'resamples of an interval', 20)},
    _measure, markdown, runs_models=True)
main = COMMAND.main

if __name__ == '__main__':
  sys.exit(main())
