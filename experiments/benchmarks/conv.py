r"""What our convolution saves on a CPU against XLA's own, by network.

  python -m experiments.benchmarks.conv --out=docs/results/benchmark_conv

One training step of each network, once with XLA's convolutions alone and once
with ours (``dlfd_jax.models.conv``). Writes JSON and Markdown: medians over the
repeats, compilation apart.
"""

from __future__ import annotations

import sys
from typing import Any
from unittest import mock

import jax
import numpy as np
from absl import flags

from dlfd_jax import models, parallel, tasks, training as train
from dlfd_jax.cli import command
from dlfd_jax.data import batching
from dlfd_jax.models import conv
from dlfd_jax.pipeline import timing
from dlfd_jax.report import render
from experiments.publish import programs

_SGD = train.OptimizerConfig(learning_rate=0.01)
# Architecture, width, stem, pixels, batch.
CASES = (
    ('resnet18', 64, 'imagenet', 64, 32), ('resnet18', 16, 'imagenet', 64, 32),
    ('resnet18', 16, 'small', 48, 32), ('densenet121', 16, 'small', 32, 32),
    ('efficientnet_b0', 64, 'imagenet', 64, 32),
    ('efficientnet_b0', 16, 'small', 32, 32))


def _measure(values: flags.FlagValues) -> dict[str, Any]:
  repeats = command.value(values, 'repeats')
  return {'repeats': repeats,
          'cases': [measure(*case, repeats) for case in CASES]}


def measure(architecture: str, width: int, stem: str, pixels: int, batch: int,
            repeats: int) -> dict[str, Any]:
  """Median seconds of a training step, by whose convolutions it runs on."""
  task = tasks.Task(tasks.MULTICLASS, ('a', 'b'))
  model = models.build(models.ModelConfig(
      architecture=architecture, outputs=2, width=width, stem=stem))
  devices = parallel.Devices(jax.local_devices()[:1])
  rng = np.random.default_rng(0)
  constants = devices.place({
      'images': rng.integers(0, 255, (batch, pixels, pixels, 3), np.uint8),
      'labels': rng.integers(0, 2, batch).astype(np.int32)})
  rows = np.arange(batch, dtype=np.int32)
  state = train.create_state(
      models.init(model, jax.random.key(0), (pixels, pixels)), _SGD,
      jax.random.key(0))
  seconds, compile_s = {}, {}
  for name, convolve in (('xla', by_xla), ('ours', conv.convolve)):
    with mock.patch.object(conv, 'convolve', convolve):
      first, found = timing.time_in_turns({name: timing.Call(
          train.make_supervised_step(model, task, _SGD, 10), state, constants,
          batching.pad(rows, batch))}, devices, repeats)
    seconds |= timing.medians(found)
    compile_s |= first
  return {
      'architecture': architecture, 'width': width, 'stem': stem,
      'pixels': pixels, 'batch': batch, 'median_s': seconds,
      'compile_s': compile_s, 'ratio': seconds['xla'] / seconds['ours']}


def by_xla(x, kernel, stride, groups, platform):
  """Every convolution by XLA, as on an accelerator."""
  del platform
  return _ours(x, kernel, stride, groups, 'xla')


_ours = conv.convolve


def markdown(result: dict[str, Any]) -> str:
  """One row for each network."""
  return '\n'.join([
      '# Convolutions on a CPU', '',
      f'One training step on {result["device"]}, median of '
      f'{result["repeats"]}; compilation apart.', '',
      *render.markdown_lines(
          ['network', 'width', 'stem', 'pixels', 'batch', 'XLA, s', 'ours, s',
           'ratio'],
          [[case['architecture'], str(case['width']), case['stem'],
            str(case['pixels']), str(case['batch']),
            *(f'{case["median_s"][name]:.3f}' for name in ('xla', 'ours')),
            f'{case["ratio"]:.1f}'] for case in result['cases']], 'lrlrrrrr'),
      '', programs.made_by(result), ''])


COMMAND = programs.program(
    'benchmarks.conv', __doc__, {'repeats': (5, 'measurements of each', 1)},
    _measure, markdown, kind='benchmark_conv')
main = COMMAND.main

if __name__ == '__main__':
  sys.exit(main())
