"""How long one distance step takes against the passes it is made of.

On one batch of drawn faces and the same network: K input-gradient passes of the
classification loss, one training pass, one distance step that does both and the
transport on top, and the network's convolutions alone. Medians over repeats,
taken in turns.
"""

from __future__ import annotations

import dataclasses
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp

from dlfd_jax import models, parallel, presets, tasks, training as train
from dlfd_jax.data import batching
from dlfd_jax.methods import dlfd
from dlfd_jax.models import conv
from dlfd_jax.pipeline import timing
from experiments.benchmarks import timing_data

_MATMUL = {'cpu': 1024}  # rows and columns; 8192 on an accelerator


def measure(network: presets.Network, config: dlfd.DLFDConfig, size: int,
            repeats: int, devices: parallel.Devices) -> dict[str, Any]:
  """Median seconds of each part and the ratio of the whole to its parts."""
  scene = timing_data.scene(network, config, size)
  dataset, model, state, constants, batch = scene
  constants = devices.place(constants)
  distance = dlfd.make_distance_step(model, dataset.task, config, 100)
  training = train.make_supervised_step(
      model, dataset.task, config.optimizer, 100, train_mode=False)
  compile_s, seconds = timing.time_in_turns({
      'distance_step': timing.Call(distance, state, constants, batch),
      'training_pass': timing.Call(training, state, constants, batch.retain),
      'input_gradients': timing.Call(_input_gradients(
          model, dataset.task, config.perturb_steps), state, constants,
                                     batch.retain)}, devices, repeats)
  median = timing.medians(seconds)
  calls = convolutions(model, state.variables, config.batch_size, size)
  flops = sum(call.flops for call in calls)
  kind = jnp.dtype(models.resolve_dtype(network.compute_dtype))
  alone = [convolution_seconds(call, kind, repeats) for call in calls]
  images, weights = (sum(found[i] for found in alone) for i in (0, 1))
  # Forward and input gradient K times; forward, both gradients once; the
  # features of the forget images once.
  k = config.perturb_steps
  work = flops * (2 * k + 3 + 1)
  best = k * images + images + weights + sum(found[2] for found in alone)
  peak = matmul_peak(kind, repeats)
  achieved = work / median['distance_step']
  return {
      'compile_s': compile_s, 'median_s': median, 'seconds': seconds,
      'type': kind.name,
      'perturb_steps': k, 'batch_size': config.batch_size,
      'forward_flops': flops, 'step_flops': work,
      'flops_per_s': achieved, 'convolutions_s': best,
      'of_convolutions': best / median['distance_step'],
      'matmul_flops_per_s': peak, 'of_matmul': achieved / peak,
      'ratio': median['distance_step'] / (
          median['input_gradients'] + median['training_pass'])}


@dataclasses.dataclass(frozen=True)
class Convolution:
  """One convolution of a network: the shapes of its images and kernel."""

  images: tuple[int, ...]
  kernel: tuple[int, ...]
  stride: int
  groups: int

  @property
  def flops(self) -> float:
    """Of a forward pass; a multiplication and an addition are two."""
    n, height, width, _ = self.images
    rows, columns, inputs, outputs = self.kernel
    pixels = -(-height // self.stride) * -(-width // self.stride)
    return 2.0 * n * pixels * rows * columns * inputs * outputs


def convolutions(model, variables, batch: int, size: int) -> list[Convolution]:
  """Every convolution of a network, in order, as it is called."""
  found: list[Convolution] = []
  convolve = conv.convolve

  def noted(x, kernel, stride, groups, platform):
    found.append(Convolution(x.shape, kernel.shape, stride, groups))
    return convolve(x, kernel, stride, groups, platform)

  with mock.patch.object(conv, 'convolve', noted):
    jax.eval_shape(
        lambda v, x: model.apply(v, x, train=False).logits, variables,
        jax.ShapeDtypeStruct((batch, size, size, 3), jnp.float32))
  return found


def convolution_seconds(call: Convolution, kind: jnp.dtype, repeats: int
                        ) -> tuple[float, float, float]:
  """Least seconds of forward and input gradient, kernel gradient, forward."""
  keys = jax.random.split(jax.random.key(0))
  x = jax.random.normal(keys[0], call.images, kind)
  kernel = jax.random.normal(keys[1], call.kernel, kind)

  def run(x, kernel):
    return conv.convolve(
        x, kernel, call.stride, call.groups, jax.default_backend())

  def images(x, kernel):
    y, back = jax.vjp(lambda x: run(x, kernel), x)
    return back(y)

  def both(x, kernel):
    y, back = jax.vjp(run, x, kernel)
    return back(y)

  forward, by_images, by_both = (
      _least(jax.jit(f), repeats, x, kernel) for f in (run, images, both))
  return by_images, max(by_both - by_images, 0.0), forward


def _least(function, repeats, *arguments):
  """Least seconds; on an accelerator of 16 calls that wait for none."""
  calls = 1 if jax.default_backend() == 'cpu' else 16
  return min(timing_data.seconds(
      lambda: [function(*arguments) for _ in range(calls)], repeats)) / calls


def matmul_peak(kind: jnp.dtype, repeats: int) -> float:
  """FLOP/s of a product of two large matrices of random numbers."""
  size = _MATMUL.get(jax.default_backend(), 8192)
  x = jax.random.normal(jax.random.key(0), (size, size), kind)
  return 2.0 * size**3 / _least(jax.jit(lambda x: x @ x), repeats, x)


def _input_gradients(model, task: tasks.Task, count: int) -> parallel.StepFn:
  """K passes that each take the gradient of the loss at the last images."""
  def step(state, constants, batch, *, axis_name=None):
    images, labels = batching.read(constants, batch)

    def loss(images):
      logits = model.apply(state.variables, images, train=False).logits
      return tasks.example_loss(task, logits, labels).sum()

    def body(images, _):
      return images + 1e-6 * jax.grad(loss)(images), None

    images, _ = jax.lax.scan(
        body, images, length=count, unroll=parallel.inner_unroll(count))
    total = parallel.sum_over_devices(images.sum(), axis_name)
    return state, train.StepMetrics(step={'total': total})

  return step
