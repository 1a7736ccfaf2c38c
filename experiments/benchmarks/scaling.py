"""How time and memory grow, and throughput by number of devices."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dlfd_jax import ot, parallel, presets, training as train
from dlfd_jax.methods import dlfd
from dlfd_jax.pipeline import timing
from experiments.benchmarks import timing_data

BATCHES = (32, 64, 128, 256, 512, 1024)
PIXELS = (32, 64, 128, 224)
FEATURES = (128, 256, 512, 1024, 2048)
FORGET = (100, 300, 1000, 3000, 10000)
DEVICES = (1, 2, 4, 8)


def distance_step(network: presets.Network, config: dlfd.DLFDConfig,
                  batch: int, size: int, repeats: int) -> dict[str, float]:
  """Median seconds of a distance step and the memory that it needs."""
  config = dataclasses.replace(config, batch_size=batch)
  scene = timing_data.scene(network, config, size, people=4)
  step = dlfd.make_distance_step(scene.model, scene.dataset.task, config, 100)
  return _measured(
      step, scene.state, scene.constants, scene.pair, repeats=repeats)


def transport(rows: int, forget: int, width: int, config: ot.SinkhornConfig,
              repeats: int) -> dict[str, float]:
  """The same of the transport's value and gradient on random features."""
  keys = jax.random.split(jax.random.key(0))
  x = jax.random.normal(keys[0], (rows, width))
  y = .5 + jax.random.normal(keys[1], (forget, width))

  def value(x, y):
    target = ot.prepare_target(y, jnp.ones(forget), config)
    return ot.transport(x, jnp.ones(rows), target, config).value

  return _measured(jax.grad(value), x, y, repeats=repeats)


def _measured(function: Callable[..., Any], *arguments: Any, repeats: int
              ) -> dict[str, float]:
  compiled = jax.jit(function).lower(*arguments).compile()
  memory = compiled.memory_analysis()
  seconds = timing_data.seconds(lambda: compiled(*arguments), repeats)
  return {'seconds': float(np.median(seconds)),
          'bytes': float(memory.temp_size_in_bytes)}


def grow(name: str, sizes: Sequence[int],
         measure: Callable[[int], dict[str, float]],
         cap_s: float) -> dict[str, Any]:
  """Cells by size, as long as a call takes at most ``cap_s``, and exponents.

  Returns:
    ``cells``; ``left_out``: sizes after the first over the cap; slopes of the
    logarithms of seconds and bytes over the upper half of the sizes.
  """
  cells = []
  for size in sizes:
    cells.append({'size': size, **measure(size)})
    if cells[-1]['seconds'] > cap_s:
      break
  return {
      'axis': name, 'cells': cells, 'left_out': list(sizes[len(cells):]),
      **{f'exponent_{key}': exponent(cells, key)
         for key in ('seconds', 'bytes')}}


def exponent(cells: Sequence[dict[str, float]], key: str) -> float | None:
  """Slope of log(key) over log(size), of the larger half of the sizes."""
  upper = cells[len(cells) // 2 - (len(cells) == 2):]
  if len(upper) < 2 or min(cell[key] for cell in upper) <= 0:
    return None
  return float(np.polyfit(np.log([cell['size'] for cell in upper]),
                          np.log([cell[key] for cell in upper]), 1)[0])


def scaling(network: presets.Network, config: dlfd.DLFDConfig, size: int,
            repeats: int, cap_s: float, quick: bool) -> list[dict[str, Any]]:
  """Growth with batch, image, features and forget set."""
  def cut(sizes):
    return sizes[:1] if quick else sizes

  batch = config.batch_size
  return [
      grow('batch of a distance step', cut(BATCHES), lambda n: distance_step(
          network, config, n, size, repeats), cap_s),
      grow('pixels a side of a distance step', cut(PIXELS),
           lambda n: distance_step(network, config, min(batch, 8), n, repeats),
           cap_s),
      grow('features of the transport', cut(FEATURES), lambda n: transport(
          batch, batch, n, config.sinkhorn, repeats), cap_s),
      grow('forget images of the transport', cut(FORGET), lambda n: transport(
          batch, n, 128, config.sinkhorn, repeats), cap_s)]


def on_devices(network: presets.Network, config: dlfd.DLFDConfig, size: int,
               repeats: int, quick: bool) -> list[dict[str, Any]]:
  """Images a second of training and distance steps, by CPU devices."""
  found = []
  for count in DEVICES[:2] if quick else DEVICES:
    told = json.dumps({
        'network': dataclasses.asdict(network), 'size': size,
        'batch_size': config.batch_size, 'repeats': repeats,
        'perturb_steps': config.perturb_steps})
    done = subprocess.run(
        [sys.executable, '-m', 'experiments.benchmarks.scaling', told],
        capture_output=True, text=True, check=False, env={
            **os.environ, 'XLA_FLAGS': '', 'JAX_NUM_CPU_DEVICES': str(count)})
    if done.returncode:
      raise RuntimeError(f'{count} devices: {done.stderr[-2000:]}')
    found.append({'devices': count, **json.loads(
        done.stdout.splitlines()[-1])})
  return found


def _one(told: dict[str, Any]) -> dict[str, float]:
  """What :func:`on_devices` runs in a process of its own."""
  devices = parallel.Devices()
  batch = told['batch_size']
  config = dlfd.DLFDConfig(
      batch_size=batch, perturb_steps=told['perturb_steps'])
  scene = timing_data.scene(
      presets.Network(**told['network']), config, told['size'])
  task, constants = scene.dataset.task, devices.place(scene.constants)
  _, seconds = timing.time_in_turns({
      'train': timing.Call(
          train.make_supervised_step(
              scene.model, task, config.optimizer, 100),
          scene.state, constants, scene.pair.retain),
      'distance': timing.Call(
          dlfd.make_distance_step(scene.model, task, config, 100),
          scene.state, constants, scene.pair)}, devices, told['repeats'])
  return {f'{name}_images_per_s': batch / value
          for name, value in timing.medians(seconds).items()}


if __name__ == '__main__':
  print(json.dumps(_one(json.loads(sys.argv[1]))))
