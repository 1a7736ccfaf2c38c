r"""Table 3: ablation of DLFD, over seeds.

  python -m experiments.paper.table3 --tasks=fgnet_age --workdir=../runs \\
      --data=../shared/data/fgnet_128.npz --out=docs/results/table3_fgnet

Every row is the task's DLFD with one thing changed: the transport term on or
off, features or logits, the classification loss, its ramp, the dynamic phases,
and DLFD's other options, rate and passes too. An inert transport term, the
released code's, moves nothing and so equals none; that code, which differs in
more, has its own row.
"""

from __future__ import annotations

import sys

from absl import flags

from dlfd_jax import presets
from dlfd_jax.cli import command
from dlfd_jax.methods import dlfd
from dlfd_jax.utils import configs
from experiments.paper import formats, grid, study as study_lib
from experiments.publish import programs

TITLE = 'Table 3: ablation of DLFD'
_LONG = 'three times the passes'


def _define(values: flags.FlagValues) -> None:
  grid.define(values, ['demo'])


def _execute(values: flags.FlagValues, line: str) -> None:
  out = programs.out_of(values)
  tasks = study_lib.tasks_of(values, tuned=values['tuned'].value)
  result = grid.run(values, line, 'table3', tasks, rows_of)
  formats.write(out, result, TITLE)


def variants(config: dlfd.DLFDConfig) -> dict[str, tuple[str, dlfd.DLFDConfig]]:
  """Label -> title and config: the whole method and one change each."""
  ramped = config.ce_weight_start != config.ce_weight_end
  ramp = ({'ce_weight_start': config.ce_weight_end} if ramped
          else {'ce_weight_start': 0.0})
  phases = not config.dynamic_phases
  constant = config.optimizer.schedule == 'constant'
  changes = {
      'dlfd': ('DLFD', {}),
      'transport_off': ('without the transport term', {'ot_weight': 0.0}),
      'logits': ('transport of logits', {'representation': 'logits'}),
      'loss_off': ('without the classification loss',
                   {'ce_weight_start': 0.0, 'ce_weight_end': 0.0}),
      'ramp': (f'classification loss {"constant" if ramped else "ramped"}',
               ramp),
      'phases': (f'dynamic phases {"on" if phases else "off"}',
                 {'dynamic_phases': phases}),
      'combined': ('update by the combined objective',
                   {'update_loss': 'combined'}),
      'entropic': ('entropic cost, not debiased',
                   {'sinkhorn.objective': 'entropic'}),
      'radius': ('perturbed by at most one step a pixel',
                 {'perturb_radius': config.perturb_step_size}),
      'far': ('four times the step on pixels',
              {'perturb_step_size': 4 * config.perturb_step_size}),
      'passes': (_LONG, {'epochs': 3 * config.epochs}),
      'passes_slow': (f'{_LONG} at a third of the rate', {
          'epochs': 3 * config.epochs,
          'optimizer.learning_rate': config.optimizer.learning_rate / 3}),
      'schedule': (
          f'{"falling" if constant else "constant"} rate',
          {'optimizer.schedule': 'cosine' if constant else 'constant'}),
  }
  if config.augment is not None:
    changes['still'] = ('without augmentation', {'augment': None})
  return {label: (title, configs.replace(config, found))
          for label, (title, found) in changes.items()}


def rows_of(task: study_lib.Task) -> list[grid.Row]:
  """The variants, the released code, and its training without moving images."""
  ours = task.preset.methods['dlfd']
  assert isinstance(ours, dlfd.DLFDConfig)
  rows = [
      grid.Row(label, 'dlfd', config, title, state)
      for label, (title, config) in variants(ours).items()
      for state in ('model', *(('last',) if label == 'dlfd' else ()))]
  still = presets.methods_alike(task.preset)['finetune']
  return [
      *rows,
      grid.Row('official_compat', 'official_compat',
               task.preset.methods['official_compat'],
               'DLFD as released (its transport has no gradient)'),
      grid.Row('finetune_alike', 'finetune', still,
               "no perturbed images: fine-tuning with DLFD's options"),
      grid.Row('finetune_passes', 'finetune',
               configs.replace(still, {'epochs': 3 * still.epochs}),
               f'no perturbed images, {_LONG}')]


COMMAND = command.Command(
    'paper.table3', __doc__, _define, _execute, package='experiments', most=(
        'tasks', 'data', 'labels', 'image_size', 'name', 'seeds', 'references',
        'epochs', 'width', 'tuned', 'workdir', 'out', 'config', 'devices'))
main = COMMAND.main

if __name__ == '__main__':
  sys.exit(main())
