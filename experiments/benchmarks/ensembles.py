r"""Reference models at once: models a minute of one program for 1 to 64.

What `dlfd references` runs on an accelerator: K models of one recipe, each with
batches of its own, in one program (training.make_member_step). Timed beside it:
the step of one model as `dlfd train` runs it. A model is counted as so many
steps as its images and epochs take; compiling stands apart.

  python -m experiments.benchmarks.ensembles --out=docs/results/ensembles

It is meant for one GPU and takes at most five minutes there: no measurement
begins that may end after --limit_s. On a CPU one program is slower than the
models one after the other, and `references` does not use it there;
--at_once=1,2 --width=4 --image_size=32 --repeats=1 only shows that the script
runs.
"""

from __future__ import annotations

import statistics
import sys
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from dlfd_jax import parallel, presets, training
from dlfd_jax.cli import command
from dlfd_jax.data import batching
from dlfd_jax.pipeline import timing
from dlfd_jax.report import render
from experiments.benchmarks import timing_data
from experiments.publish import programs

_LONGER = 1.5  # times the longest so far, that a further one may take


def _measure(values: flags.FlagValues) -> dict[str, Any]:
  def value(name):
    return command.value(values, name)

  started = time.perf_counter()
  recipe = training.TrainConfig(
      epochs=value('epochs'), batch_size=value('batch_size'))
  network = presets.Network(width=value('width'))
  dataset = timing_data.faces(value('people'), value('image_size'))
  steps = recipe.epochs * -(-value('images') // recipe.batch_size)
  model, variables, config = timing_data.untrained(network, dataset)
  step = training.make_supervised_step(model, dataset.task, recipe.optimizer)
  devices = parallel.Devices(jax.local_devices()[:1])
  constants = devices.share(batching.Feed(dataset).constants)

  def state(seed):
    return training.create_state(
        variables, recipe.optimizer, jax.random.key(seed))

  def batch(seed):
    rows = np.random.default_rng(seed).permutation(len(dataset))
    return batching.pad(
        np.resize(rows, recipe.batch_size), recipe.batch_size)

  def alone():
    compile_s, seconds = timing.time_in_turns({'one': timing.Call(
        step, state(0), {**constants, 'num_steps': devices.share(
            np.int32(steps))}, batch(0))}, devices, value('repeats'))
    return compile_s['one'], timing.medians(seconds)['one']

  def at_once(k):
    run = training.make_member_step(step)
    states = jax.tree.map(
        lambda *leaves: jnp.stack(leaves), *map(state, range(k)))
    rows = jax.device_put(jax.tree.map(
        lambda *leaves: np.stack(leaves), *map(batch, range(k))))
    lengths, seconds = jnp.full(k, steps, jnp.int32), []
    for _ in range(value('repeats') + 1):
      start = time.perf_counter()
      states, out = run(states, constants, lengths, rows)
      jax.block_until_ready((states, out))
      seconds.append(time.perf_counter() - start)
    return seconds[0], statistics.median(seconds[1:])

  def row(name, k, measure):
    begun = time.perf_counter()
    if took and begun - started + _LONGER * max(took) > value('limit_s'):
      return {'name': name, 'models': k, 'reason': 'no time was left'}
    try:
      compile_s, step_s = measure()
    except jax.errors.JaxRuntimeError as error:
      if 'RESOURCE_EXHAUSTED' not in str(error):
        raise
      return {'name': name, 'models': k, 'reason': 'the memory is too small'}
    finally:
      jax.clear_caches()
      took.append(time.perf_counter() - begun)
    return {'name': name, 'models': k, 'compile_s': compile_s,
            'step_s': step_s, 'models_per_minute': 60 * k / (steps * step_s)}

  took: list[float] = []
  rows: list[dict[str, Any]] = []
  rows.append(row('one by one', 1, alone))
  for k in map(int, value('at_once')):
    rows.append(row('one program', k, lambda k=k: at_once(k)))
  return {
      'network': f'{config.architecture} of width {config.width} at '
                 f'{dataset.image_size[0]} px', 'batch_size': recipe.batch_size,
      'images': value('images'), 'epochs': recipe.epochs, 'steps': steps,
      'rows': rows}


def markdown(result: dict[str, Any]) -> str:
  """One row for each number of models at once."""
  first = result['rows'][0]

  def cells(row):
    if 'reason' in row:
      return [row['name'], str(row['models']), row['reason'], '', '', '']
    gain = (row['models_per_minute'] / first['models_per_minute']
            if 'step_s' in first else None)
    return [row['name'], str(row['models']), f'{1e3 * row["step_s"]:.1f}',
            f'{row["compile_s"]:.1f}', f'{row["models_per_minute"]:.3g}',
            '' if gain is None else f'{gain:.2f}']

  return '\n'.join([
      '# Reference models at once', '',
      f'{result["network"]}, batches of {result["batch_size"]}; a model is '
      f'{result["images"]} images, {result["epochs"]} epochs, '
      f'{result["steps"]} steps.', '', *render.markdown_lines(
          ['', 'models', 'a step, ms', 'compiling, s', 'models a minute',
           'of one by one'], [cells(row) for row in result['rows']], 'lrrrrr'),
      '', programs.made_by(result), ''])


COMMAND = programs.program(
    'benchmarks.ensembles', __doc__, {
        'at_once': (['1', '8', '32', '64'], 'numbers of models in a program'),
        'width': (64, 'of the ResNet18', 1),
        'image_size': (128, 'pixels a side', 8),
        'people': (200, 'drawn, eight images each', 4),
        'batch_size': (64, 'images of a model a step', 1),
        'images': (10000, 'that a model is counted to be trained on', 1),
        'epochs': (30, 'that it is counted to be trained', 1),
        'repeats': (5, 'timed steps', 1),
        'limit_s': (300.0, 'seconds that all of it may take', 0)},
    _measure, markdown)
main = COMMAND.main

if __name__ == '__main__':
  sys.exit(main())
