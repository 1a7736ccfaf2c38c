"""How time and memory grow, and throughput by number of devices."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dlfd_jax import models, ot, parallel, presets, training as train
from dlfd_jax.data import batching, feed
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
  dataset = timing_data.faces(4, size)
  model = models.build(models.ModelConfig(
      outputs=dataset.task.num_outputs, **dataclasses.asdict(network)))
  variables = models.init(model, jax.random.key(0), dataset.image_size)
  config = dataclasses.replace(config, batch_size=batch)
  step = dlfd.make_distance_step(model, dataset.task, config, 100)
  rows = np.resize(np.arange(len(dataset)), batch)
  data = batching.Pair(
      batching.pad(rows, batch), batching.pad(rows[::-1], batch))
  return _measured(
      step, train.create_state(variables, config.optimizer, jax.random.key(0)),
      feed.Feed(dataset).constants(), data, repeats=repeats)


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
  found = []
  for _ in range(repeats + 1):
    start = time.perf_counter()
    jax.block_until_ready(compiled(*arguments))
    found.append(time.perf_counter() - start)
  return {'seconds': float(np.median(found[1:])),
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
  dataset = timing_data.faces(max(4, -(-2 * batch // 8)), told['size'])
  model = models.build(models.ModelConfig(
      outputs=dataset.task.num_outputs, **told['network']))
  state = train.create_state(
      models.init(model, jax.random.key(0), dataset.image_size),
      config.optimizer, jax.random.key(0))
  constants = devices.place(feed.Feed(dataset).constants())
  rows = np.arange(batch)
  data = batching.Pair(
      batching.pad(rows, batch), batching.pad(rows + batch, batch))
  _, seconds = timing.time_in_turns({
      'train': timing.Call(train.make_supervised_step(
          model, dataset.task, config.optimizer, 100), state, constants,
                           data.retain),
      'distance': timing.Call(dlfd.make_distance_step(
          model, dataset.task, config, 100), state, constants, data)},
      devices, told['repeats'])
  return {f'{name}_images_per_s': batch / value
          for name, value in timing.medians(seconds).items()}


if __name__ == '__main__':
  print(json.dumps(_one(json.loads(sys.argv[1]))))
