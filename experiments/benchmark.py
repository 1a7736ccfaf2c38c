"""How long one distance step takes against the passes it is made of.

  python -m experiments.benchmark --workdir=runs/benchmark

Times, on one batch of drawn faces and the same network: K input-gradient passes
of the classification loss, one training pass, and one distance step that does
both and the transport on top; and, in the same way, each of its parts. Writes
``result.json``: medians over repeats, taken in turns. Expected: a ratio of at
most 1.25.
"""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from dlfd_jax import models
from dlfd_jax import parallel
from dlfd_jax import presets
from dlfd_jax import runs
from dlfd_jax import tasks
from dlfd_jax import timing
from dlfd_jax import train
from dlfd_jax.cli import command
from dlfd_jax.cli import inputs
from dlfd_jax.cli import options
from dlfd_jax.data import batching
from dlfd_jax.data import feed
from dlfd_jax.data import synthetic
from dlfd_jax.methods import dlfd

_METHOD = tuple(o for o in options.METHOD if o.flag not in ('epochs',))


def _define(values: flags.FlagValues) -> None:
  inputs.define_run(values)
  flags.DEFINE_integer(
      'repeats', 9, 'measurements of each part', lower_bound=1,
      flag_values=values)
  flags.DEFINE_integer(
      'image_size', 32, 'pixels a side', lower_bound=8, flag_values=values)
  options.define((*options.NETWORK, *_METHOD), values)


def _execute(values: flags.FlagValues, line: str) -> None:
  workdir = command.required(values, 'workdir')
  preset = presets.PRESETS['lfw_gender']
  network = options.apply(
      preset.network, options.NETWORK, values, 'the network')
  config = options.apply(
      preset.methods['dlfd'], _METHOD, values, 'DLFD')
  devices = inputs.devices(values)
  devices.check_batch_size(config.batch_size)
  size, repeats = values['image_size'].value, values['repeats'].value
  folder = runs.RunFolder(workdir, {
      'kind': 'benchmark', 'network': dataclasses.asdict(network),
      'config': dataclasses.asdict(config), 'image_size': size,
      'repeats': repeats})
  if folder.result is None:
    folder.write_result({
        'kind': 'benchmark', 'command': line, 'versions': runs.versions(),
        'device': inputs.device_name(), 'devices': devices.count,
        **measure(network, config, size, repeats, devices)})
  result = folder.result
  for name, value in result['median_s'].items():
    print(f'{name}: {1e3 * value:.1f} ms')
  print(f'distance step / (K input gradients + training pass): '
        f'{result["ratio"]:.3f}')


def measure(network: presets.Network, config: dlfd.DLFDConfig, size: int,
            repeats: int, devices: parallel.Devices) -> dict[str, Any]:
  """Median seconds of each part and the ratio of the whole to its parts."""
  people = max(4, -(-4 * config.batch_size // 8))
  dataset = synthetic.synthetic_faces(
      people=people, images_per_person=8, size=size)
  model_config = models.ModelConfig(
      outputs=dataset.task.num_outputs, **dataclasses.asdict(network))
  model = models.build(model_config)
  variables = models.init(model, jax.random.key(0), dataset.image_size)
  frozen = devices.place(feed.Feed(dataset).frozen())
  rows = np.arange(config.batch_size)
  batch = {**batching.pad(rows, config.batch_size),
           **batching.prefixed('forget_', batching.pad(
               rows + config.batch_size, config.batch_size))}
  distance = dlfd.make_distance_step(model, dataset.task, config, 100)
  training = train.make_supervised_step(
      model, dataset.task, config.optimizer, 100, live=False)
  state = train.create_state(variables, config.optimizer, jax.random.key(0))
  compile_s, seconds = timing.time_in_turns({
      name: timing.Call(step, state, frozen, batch) for name, step in {
          'distance_step': distance,
          'training_pass': training,
          'input_gradients': _input_gradients(
              model, dataset.task, config.perturb_steps),
      }.items()}, devices, repeats)
  median = timing.medians(seconds)
  return {
      'compile_s': compile_s, 'median_s': median, 'seconds': seconds,
      'perturb_steps': config.perturb_steps,
      'ratio': median['distance_step'] / (
          median['input_gradients'] + median['training_pass'])}


def _input_gradients(model, task: tasks.Task, count: int) -> parallel.StepFn:
  """K passes that each take the gradient of the loss at the last images."""
  def step(state, frozen, batch, *, axis_name=None):
    images, labels = feed.read(frozen, batch)

    def loss(images):
      logits = model.apply(state.variables, images, train=False).logits
      return tasks.example_loss(task, logits, labels).sum()

    def body(images, _):
      return images + 1e-6 * jax.grad(loss)(images), None

    images, _ = jax.lax.scan(
        body, images, length=count, unroll=parallel.inner_unroll(count))
    total = parallel.sum_over_devices(images.sum(), axis_name)
    return state, {'total_sum': total, 'steps': jnp.float32(1)}

  return step


COMMAND = command.Command(
    'benchmark', __doc__, _define, _execute, package='experiments')
main = COMMAND.main

if __name__ == '__main__':
  sys.exit(main())
