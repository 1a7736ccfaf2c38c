"""What is timed, and how: faces, networks, batches, seconds, the machine."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import platform
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np

from dlfd_jax import methods, models, presets, training
from dlfd_jax.data import (
  batching,
  dataset as dataset_lib,
  requests,
  resolution,
  splits as splits_lib,
)
from dlfd_jax.data.faces import synthetic
from dlfd_jax.methods import dlfd

_PIXELS = 32  # drawn; larger images repeat their pixels
_PEOPLE = 50
_EACH = 8


def faces(people: int, size: int) -> dataset_lib.Dataset:
  """``people`` with eight images each, ``size`` pixels a side.

  At most 50 people are drawn, at 32 pixels or less; others are copies under
  numbers of their own. For timing alone.

  Raises:
    ValueError: if ``size`` is above 32 and no multiple of it.
  """
  drawn_size = min(size, _PIXELS)
  if size % drawn_size:
    raise ValueError(
        f'Expected image_size up to {_PIXELS} or a multiple of it, got {size}.')
  drawn = synthetic.synthetic_faces(
      people=min(people, _PEOPLE), images_per_person=_EACH, size=drawn_size)
  copies = -(-people // _PEOPLE)
  rows = np.tile(np.arange(len(drawn)), copies)[:people * _EACH]
  scale = size // drawn_size
  images = drawn.images.repeat(scale, axis=1).repeat(scale, axis=2)
  return dataset_lib.Dataset(
      images=images[rows], labels=drawn.labels[rows],
      identity=np.repeat(np.arange(people, dtype=np.int32), _EACH),
      sample_id=np.array([f'{i:06d}' for i in range(len(rows))]),
      task=drawn.task)


class Scene(NamedTuple):
  """One batch of a step, with all else that the step is called with."""

  dataset: dataset_lib.Dataset
  model: nn.Module
  state: training.TrainState
  constants: dict[str, Any]
  pair: batching.Pair


def scene(network: presets.Network, config: dlfd.DLFDConfig, size: int,
          people: int | None = None) -> Scene:
  """A batch of retain and one of forget images for an untrained network.

  Args:
    network: to build.
    config: its batch size and optimiser.
    size: pixels a side.
    people: that are drawn; default as many as two batches need.
  """
  batch = config.batch_size
  dataset = faces(people or max(4, -(-2 * batch // _EACH)), size)
  model, variables, _ = untrained(network, dataset)
  rows = np.resize(np.arange(len(dataset)), 2 * batch)
  return Scene(
      dataset, model,
      training.create_state(variables, config.optimizer, jax.random.key(0)),
      batching.Feed(dataset).constants,
      batching.Pair(batching.pad(rows[:batch], batch),
                    batching.pad(rows[batch:], batch)))


def untrained(network: presets.Network, dataset: dataset_lib.Dataset
              ) -> tuple[nn.Module, models.Variables, models.ModelConfig]:
  """A network for the data, its first variables and its config."""
  config = models.ModelConfig(
      outputs=dataset.task.num_outputs, **dataclasses.asdict(network))
  model = models.build(config)
  return model, models.init(
      model, jax.random.key(0), dataset.image_size), config


def problem(network: presets.Network, people: int, size: int
            ) -> tuple[methods.Problem, models.ModelConfig]:
  """An untrained network that is to forget 15 % of its training people."""
  dataset = faces(people, size)
  splits, _ = resolution.resolve_request(
      dataset, splits_lib.draw_partition(dataset, seed=0),
      requests.ForgetRequest(fraction=0.15, seed=0))
  model, variables, config = untrained(network, dataset)
  return methods.Problem(model, variables, dataset, splits), config


def seconds(call: Callable[[], Any], repeats: int) -> list[float]:
  """Seconds of a call's repeats; the first call, which compiles, is apart."""
  found = []
  for _ in range(repeats + 1):
    start = time.perf_counter()
    jax.block_until_ready(call())
    found.append(time.perf_counter() - start)
  return found[1:]


def machine() -> str:
  """The processor and its cores."""
  info = pathlib.Path('/proc/cpuinfo')
  named = [line.partition(':')[2].strip() for line in
           info.read_text('utf-8').splitlines()
           if line.startswith('model name')] if info.is_file() else []
  name = named[0] if named else platform.processor() or platform.machine()
  return f'{name}, {os.cpu_count()} cores'
