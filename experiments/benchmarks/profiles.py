r"""Where a step's time goes on a CPU, before and after its two largest gains.

  convolution  a training step with XLA's convolutions alone, and with ours
               (``dlfd_jax.models.conv``): ResNet18, 64 px, batch 32
  unrolling    a distance step with its K inner steps in a loop, and unrolled
               (``parallel.inner_unroll``): width 16, 32 px, batch 64

  python -m experiments.benchmarks.profiles --out=docs/results/profiles

Medians over repeats, compilation apart; operations are those of XLA's profiler,
by name without their numbers, in one step.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import gzip
import json
import pathlib
import re
import sys
import tempfile
from collections.abc import Callable
from typing import Any
from unittest import mock

import jax
from absl import flags

from dlfd_jax import parallel, presets, training as train
from dlfd_jax.cli import command
from dlfd_jax.methods import dlfd
from dlfd_jax.models import conv
from dlfd_jax.pipeline import timing
from dlfd_jax.report import render
from experiments.benchmarks import conv as benchmark_conv, timing_data
from experiments.publish import programs

_TOP = 6
_OUTER = ('while', 'call', 'conditional')  # their parts are counted
NETWORKS = {
    'convolution': (presets.Network(width=64, stem='imagenet'), 64, 32),
    'unrolling': (presets.Network(width=16, stem='small'), 32, 64)}
BEFORE: dict[str, Callable[[], Any]] = {
    'convolution': lambda: mock.patch.object(
        conv, 'convolve', benchmark_conv.by_xla),
    'unrolling': lambda: mock.patch.object(
        parallel, 'inner_unroll', lambda length: 1)}


def step_of(gain: str, network: presets.Network, size: int, batch: int
            ) -> timing.Call:
  """The step that a gain is about, with all that it is called with."""
  config = dlfd.DLFDConfig(batch_size=batch, perturb_steps=5)
  scene = timing_data.scene(network, config, size)
  step = train.make_supervised_step(
      scene.model, scene.dataset.task, config.optimizer, 100
  ) if gain == 'convolution' else dlfd.make_distance_step(
      scene.model, scene.dataset.task, config, 100)
  return timing.Call(step, scene.state, scene.constants,
      scene.pair.retain if gain == 'convolution' else scene.pair)


def measure(gain: str, network: presets.Network, size: int, batch: int,
            repeats: int) -> dict[str, Any]:
  """Seconds and the largest operations of a step, before and after."""
  found = {}
  for name in ('before', 'after'):
    with BEFORE[gain]() if name == 'before' else contextlib.nullcontext():
      found[name] = _profiled(step_of(gain, network, size, batch), repeats)
  return {
      'network': dataclasses.asdict(network), 'image_size': size,
      'batch_size': batch, **found,
      'ratio': found['before']['median_s'] / found['after']['median_s']}


def _profiled(call: timing.Call, repeats: int) -> dict[str, Any]:
  devices = parallel.Devices(jax.local_devices()[:1])
  call = dataclasses.replace(call, constants=devices.place(call.constants))
  compile_s, seconds = timing.time_in_turns({'step': call}, devices, repeats)
  run = devices.compile(call.step)
  state, _ = run(devices.place(call.state), call.constants, call.batch)
  jax.block_until_ready(state)
  with tempfile.TemporaryDirectory() as folder:
    with jax.profiler.trace(folder):
      jax.block_until_ready(run(state, call.constants, call.batch))
    operations = operations_in(pathlib.Path(folder))
  return {'median_s': timing.medians(seconds)['step'],
          'compile_s': compile_s['step'], 'operations': operations}


def operations_in(folder: pathlib.Path) -> list[dict[str, Any]]:
  """The operations with the most seconds in a trace, largest first."""
  [trace] = folder.rglob('*.trace.json.gz')
  with gzip.open(trace, 'rt', encoding='utf-8') as file:
    events = json.load(file)['traceEvents']
  seconds: collections.Counter[str] = collections.Counter()
  calls: collections.Counter[str] = collections.Counter()
  for event in events:
    if 'hlo_op' in event.get('args', {}):
      name = re.sub(r'[.\d]+$', '', event['name'])
      if name not in _OUTER:
        seconds[name] += event['dur'] / 1e6
        calls[name] += 1
  return [{'operation': name, 'seconds': value, 'calls': calls[name]}
          for name, value in seconds.most_common(_TOP)]


def _measure(values: flags.FlagValues) -> dict[str, Any]:
  repeats = command.value(values, 'repeats')
  return {'machine': timing_data.machine(), 'repeats': repeats,
          'gains': {gain: measure(gain, *setting, repeats)
                    for gain, setting in NETWORKS.items()}}


def markdown(result: dict[str, Any]) -> str:
  """A table before and one after each gain."""
  lines = ['# Profiles before and after', '',
           f'On {result["device"]} ({result["machine"]}), medians of '
           f'{result["repeats"]}; operations of one step.', '']
  for gain, found in result['gains'].items():
    lines += [f'## {gain.capitalize()}: {found["ratio"]:.1f} times', '',
              f'Width {found["network"]["width"]}, '
              f'{found["image_size"]} px, batch {found["batch_size"]}.', '']
    for name in ('before', 'after'):
      one = found[name]
      lines += [f'{name.capitalize()}: {one["median_s"]:.3f} s a step.', '',
                *render.markdown_lines(
                    ['operation', 'seconds', 'calls'],
                    [[row['operation'], f'{row["seconds"]:.3f}',
                      str(row['calls'])] for row in one['operations']]), '']
  return '\n'.join([*lines, programs.made_by(result), ''])


COMMAND = programs.program(
    'benchmarks.profiles', __doc__, {
        'repeats': (3, 'measurements of each', 1)}, _measure, markdown)
main = COMMAND.main

if __name__ == '__main__':
  sys.exit(main())
