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
import os
import pathlib
import platform
import sys
from typing import Any

from absl import flags

from dlfd_jax import presets
from dlfd_jax.cli import command, inputs, options
from dlfd_jax.pipeline import job
from dlfd_jax.utils import runs
from experiments.benchmarks import (
  scaling as benchmark_scaling,
  share as benchmark_share,
  step as benchmark_step,
)
from experiments.paper import outputs

PARTS = ('step', 'share', 'ratio', 'scaling', 'devices')
_METHOD = tuple(o for o in options.METHOD if o.flag in (
    'batch_size', 'perturb_steps'))


def _define(values: flags.FlagValues) -> None:
  inputs.define_run(values)
  flags.DEFINE_list('parts', list(PARTS), 'to measure', flag_values=values)
  flags.DEFINE_list(
      'tables', [], 'JSON results of table1, for ratio', flag_values=values)
  flags.DEFINE_string(
      'out', None, 'where the files go, too, without their ending',
      flag_values=values)
  flags.DEFINE_integer(
      'repeats', 7, 'measurements of each cell', lower_bound=1,
      flag_values=values)
  flags.DEFINE_integer(
      'image_size', 32, 'pixels a side', lower_bound=8, flag_values=values)
  flags.DEFINE_list(
      'people', ['200', '1000'], 'data sets of share, 8 images each',
      flag_values=values)
  flags.DEFINE_float(
      'cap_s', 40.0, 'scaling stops on an axis after a call that took longer',
      lower_bound=0, flag_values=values)
  flags.DEFINE_boolean(
      'quick', False, 'one cell of every axis, two device counts',
      flag_values=values)
  options.define((*options.NETWORK, *_METHOD), values)


def _execute(values: flags.FlagValues, line: str) -> None:
  workdir = pathlib.Path(command.required(values, 'workdir'))
  parts = command.required(values, 'parts')
  if unknown := sorted(set(parts) - set(PARTS)):
    raise ValueError(f'Expected --parts of {PARTS}, got {unknown}.')
  out = outputs.out_if_given(values)
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
      'kind': 'benchmark', 'command': line, 'versions': runs.versions(),
      'device': job.device_name(), 'machine': machine(), **settings,
      'parts': found}
  print(markdown(result))
  if out:
    runs.write_json(f'{out}.json', result)
    runs.write_text(f'{out}.md', markdown(result))


def machine() -> str:
  """The processor and its cores."""
  info = pathlib.Path('/proc/cpuinfo')
  named = [line.partition(':')[2].strip() for line in
           info.read_text('utf-8').splitlines()
           if line.startswith('model name')] if info.is_file() else []
  name = named[0] if named else platform.processor() or platform.machine()
  return f'{name}, {os.cpu_count()} cores'


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
      '| | measured | aim |', '|---|---:|---|',
      *(f'| {" | ".join(row)} |' for row in rows), '']


def _share(found):
  lines = ['## Where an epoch goes', '',
           '| images | batches | checks | epoch, s | transport | attack | '
           'evaluation |', '|---:|---:|---:|---:|---:|---:|---:|']
  for one in found:
    shares = ' | '.join(f'{100 * one[name]:.1f} %: {_met(one[name], .05)}'
                        for name in ('transport', 'attack', 'evaluation'))
    lines.append(f'| {one["images"]} | {one["batches"]} | {one["checks"]} | '
                 f'{one["epoch_s"]:.1f} | {shares} |')
  return [*lines, '', 'Aim: at most 5 % each.', '']


def _ratio(found):
  lines = ['## Unlearning over retraining', '',
           '| table | task | method | seeds | epochs | K | retraining, epochs '
           '| time / retraining | of 100 epochs |',
           '|---|---|---|---:|---:|---:|---:|---:|---:|']
  lines += [
      f'| {row["table"]} | {row["task"]} | {row["method"]} | {row["seeds"]} '
      f'| {row["epochs"]} | {row["perturb_steps"]} '
      f'| {row["retraining_epochs"]} | '
      f'{row["share"]:.3f} | {row["share_of_100_epochs"]:.3f}'
      + (f': {_met(row["share_of_100_epochs"], .05)} |'
         if row['method'] == 'dlfd' else ' |') for row in found]
  return [*lines, '', 'Aim: at most 0.05 of a retraining of 100 epochs, checks '
          'included, at K up to 5.', '']


def _scaling(found):
  lines = ['## Growth', '', '| axis | sizes | seconds | exponent | MB | '
           'exponent | not measured |', '|---|---|---|---:|---|---:|---|']
  for one in found:
    cells = one['cells']
    slopes = {key: one[f'exponent_{key}'] for key in ('seconds', 'bytes')}
    exponents = {key: '' if slope is None else f'{slope:.2f}'
                 for key, slope in slopes.items()}
    lines.append(
        f'| {one["axis"]} | {", ".join(str(c["size"]) for c in cells)} | '
        + ', '.join(f'{c["seconds"]:.3g}' for c in cells)
        + f' | {exponents["seconds"]} | '
        + ', '.join(f'{c["bytes"] / 1e6:.3g}' for c in cells)
        + f' | {exponents["bytes"]} | '
        + (', '.join(map(str, one['left_out'])) or 'none') + ' |')
  return [*lines, '', 'Exponent: slope of the logarithms over the larger half '
          'of the sizes. By the method: 1 in the batch up to where its square, '
          'the '
          "transport's, counts; 2 in pixels a side; 1 in features; 1 to 2 in "
          'forget images, whose own transport debiases the divergence.', '']


def _devices(found):
  lines = ['## Devices of one CPU', '',
           '| devices | training, images/s | distance, images/s |',
           '|---:|---:|---:|']
  lines += [f'| {one["devices"]} | {one["train_images_per_s"]:.0f} | '
            f'{one["distance_images_per_s"]:.0f} |' for one in found]
  return [*lines, '']


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
  return '\n'.join([*lines, f'Command: `{result["command"]}`.', ''])


COMMAND = command.Command(
    'benchmark', __doc__, _define, _execute, package='experiments')
main = COMMAND.main

if __name__ == '__main__':
  sys.exit(main())
