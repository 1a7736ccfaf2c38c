r"""What a distance step, an epoch and a run cost, and how that grows.

  step     FLOP/s against the network's own convolutions and a matrix product;
           a distance step against K input gradients and a training pass
  share    of the transport, the attack and evaluation in an epoch of DLFD
  ratio    unlearning over retraining, from results of table1 (--tables)
  scaling  time and memory by batch, image, features and forget set
  devices  images a second on 1, 2, 4 and 8 devices of this CPU

  python -m experiments.benchmarks.suite --workdir=runs/benchmark \\
      --tables=docs/results/table1_fgnet.json,docs/results/table1_lfw.json \\
      --out=docs/results/benchmark

Medians over repeats, compilation apart. A part that is finished in --workdir is
not measured again. --quick is for tests.
"""

from __future__ import annotations

import dataclasses
import pathlib
import sys
from typing import Any

from absl import flags

from dlfd_jax import presets
from dlfd_jax.cli import command, inputs, options
from dlfd_jax.report import render
from dlfd_jax.utils import runs
from experiments.benchmarks import (
  scaling as benchmark_scaling,
  share as benchmark_share,
  step as benchmark_step,
  timing_data,
)
from experiments.publish import programs

PARTS = ('step', 'share', 'ratio', 'scaling', 'devices')
_METHOD = tuple(o for o in options.METHOD if o.flag in (
    'batch_size', 'perturb_steps'))


def _define(values: flags.FlagValues) -> None:
  inputs.define_run(values)
  programs.define(
      values, out=programs.OUT, parts=(list(PARTS), 'to measure'),
      tables=([], 'JSON results of table1, for ratio'),
      repeats=(7, 'measurements of each cell', 1),
      image_size=(32, 'pixels a side', 8),
      people=(['200', '1000'], 'data sets of share, 8 images each'),
      cap_s=(40.0, 'scaling stops on an axis after a call that took longer', 0),
      quick=(False, 'one cell of every axis, two device counts'))
  options.define((*options.NETWORK, *_METHOD), values)


def _execute(values: flags.FlagValues, line: str) -> None:
  workdir = pathlib.Path(command.required(values, 'workdir'))
  parts = command.required(values, 'parts')
  if unknown := sorted(set(parts) - set(PARTS)):
    raise ValueError(f'Expected --parts of {PARTS}, got {unknown}.')
  out = programs.out_if_given(values)
  preset = presets.STARTS['lfw_gender']
  network = options.apply(
      preset.network, options.NETWORK, values, 'the network')
  config = options.apply(preset.methods['dlfd'], _METHOD, values, 'DLFD')
  devices = inputs.devices(values)
  devices.check_batch_size(config.batch_size)
  size, repeats, quick = (values[name].value for name in (
      'image_size', 'repeats', 'quick'))
  measures = {
      'step': lambda: benchmark_step.measure(
          network, config, size, repeats, devices),
      'share': lambda: [
          benchmark_share.share(network, config, size, int(people), repeats,
                                devices) for people in values['people'].value],
      'ratio': lambda: benchmark_share.ratio(values['tables'].value),
      'scaling': lambda: benchmark_scaling.scaling(
          network, config, size, min(repeats, 3), values['cap_s'].value, quick),
      'devices': lambda: benchmark_scaling.on_devices(
          network, config, size, repeats, quick)}
  settings = {
      'network': dataclasses.asdict(network),
      'config': dataclasses.asdict(config), 'image_size': size,
      'repeats': repeats, 'quick': quick, 'devices': devices.count}
  own = {'share': {'people': values['people'].value},
         'ratio': {'tables': values['tables'].value},
         'scaling': {'cap_s': values['cap_s'].value}}
  workdir.mkdir(parents=True, exist_ok=True)
  found = {}
  for part in PARTS:
    if part not in parts:
      continue
    folder = runs.RunFolder(workdir / part, {
        'kind': 'benchmark', 'part': part, **settings, **own.get(part, {})})
    if folder.result is None:
      folder.write_result({'found': measures[part]()})
    found[part] = folder.result['found']
  result = {
      **programs.facts('benchmark', line), 'machine': timing_data.machine(),
      **settings, 'parts': found}
  programs.write(out, result, markdown(result))


def _met(value, aim, least=False):
  return 'met' if (value >= aim if least else value <= aim) else 'missed'


def _step(found):
  ms = {name: f'{1e3 * s:.3g} ms' for name, s in found['median_s'].items()}
  peak = found['matmul_flops_per_s'] / 1e9
  rows = [
      ('distance step', ms['distance_step'], ''),
      ('K input gradients', ms['input_gradients'], ''),
      ('training pass', ms['training_pass'], ''),
      ('step / (gradients + pass)', f'{found["ratio"]:.2f}',
       f'at most 1.1: {_met(found["ratio"], 1.1)}'),
      ('convolutions alone / step', f'{found["of_convolutions"]:.2f}',
       f'at least 0.8: {_met(found["of_convolutions"], .8, least=True)}'),
      ('GFLOP/s', f'{found["flops_per_s"] / 1e9:.0f}', ''),
      (f'of a matrix product ({peak:.0f} GFLOP/s, {found["type"]})',
       f'{found["of_matmul"]:.2f}', '0.3, with bfloat16 on a GPU')]
  return [
      '## A distance step', '',
      f'K {found["perturb_steps"]}, batch {found["batch_size"]}.', '',
      *render.markdown_lines(['', 'measured', 'aim'], rows, 'lrl'), '']


def _share(found):
  rows = [
      [*(str(one[name]) for name in ('images', 'batches', 'checks')),
       f'{one["epoch_s"]:.1f}',
       *(f'{100 * one[name]:.1f} %: {_met(one[name], .05)}'
         for name in ('transport', 'attack', 'evaluation'))] for one in found]
  return ['## Where an epoch goes', '', *render.markdown_lines(
      ['images', 'batches', 'checks', 'epoch, s', 'transport', 'attack',
       'evaluation'], rows, 'rrrrrrr'), '', 'Aim: at most 5 % each.', '']


def _ratio(found):
  rows = []
  for row in found:
    aim = (f': {_met(row["share_of_100_epochs"], .05)}'
           if row['method'] == 'dlfd' else '')
    rows.append([
        *(str(row[name]) for name in (
            'table', 'task', 'method', 'seeds', 'epochs', 'perturb_steps',
            'retraining_epochs')),
        f'{row["share"]:.3f}', f'{row["share_of_100_epochs"]:.3f}{aim}'])
  return ['## Unlearning over retraining', '', *render.markdown_lines(
      ['table', 'task', 'method', 'seeds', 'epochs', 'K',
       'retraining, epochs', 'time / retraining', 'of 100 epochs'], rows,
      'lllrrrrrr'), '', 'Aim: at most 0.05 of a retraining of 100 epochs, '
          'checks included, at K up to 5.', '']


def _scaling(found):
  rows = []
  for one in found:
    row = [one['axis'], ', '.join(str(c['size']) for c in one['cells'])]
    for key, unit in (('seconds', 1), ('bytes', 1e6)):
      exponent = one[f'exponent_{key}']
      row += [', '.join(f'{c[key] / unit:.3g}' for c in one['cells']),
              '' if exponent is None else f'{exponent:.2f}']
    rows.append([*row, ', '.join(map(str, one['left_out'])) or 'none'])
  lines = ['## Growth', '', *render.markdown_lines(
      ['axis', 'sizes', 'seconds', 'exponent', 'MB', 'exponent',
       'not measured'], rows, 'lllrlrl')]
  return [*lines, '', 'Exponent: slope of the logarithms over the larger half '
          'of the sizes. By the method: 1 in the batch up to where its square, '
          'the '
          "transport's, counts; 2 in pixels a side; 1 in features; 1 to 2 in "
          'forget images, whose own transport debiases the divergence.', '']


def _devices(found):
  return ['## Devices of one CPU', '', *render.markdown_lines(
      ['devices', 'training, images/s', 'distance, images/s'],
      [[str(one['devices']), *(f'{one[f"{name}_images_per_s"]:.0f}'
                               for name in ('train', 'distance'))]
       for one in found], 'rrr'), '']


def markdown(result: dict[str, Any]) -> str:
  """A section for each part."""
  network, write = result['network'], {
      'step': _step, 'share': _share, 'ratio': _ratio, 'scaling': _scaling,
      'devices': _devices}
  lines = [
      '# Speed', '', f'{network["architecture"]} of width {network["width"]}, '
      f'{network["stem"]} stem, {result["image_size"]} px, on '
      f'{result["device"]} ({result["machine"]}), {result["devices"]} '
      f'device(s), jax {result["versions"]["jax"]}; medians of '
      f'{result["repeats"]}.', '']
  for part, found in result['parts'].items():
    lines += write[part](found)
  return '\n'.join([*lines, programs.made_by(result), ''])


COMMAND = command.Command(
    'benchmarks.suite', __doc__, _define, _execute, package='experiments')
main = COMMAND.main

if __name__ == '__main__':
  sys.exit(main())
