r"""Images a second of evaluation, by the rows of a call.

Logits and features of an untrained ResNet18 on drawn faces, as checks, attacks
and `dlfd evaluate` compute them (``dlfd_jax.predict``), fetched to the host.

  python -m experiments.benchmarks.evaluation_rate \
      --out=docs/results/evaluation_rate

Medians over repeats, compilation apart.
"""

from __future__ import annotations

import dataclasses
import statistics
import sys
from typing import Any

import jax
import numpy as np
from absl import flags

from dlfd_jax import models, parallel, predict, presets
from dlfd_jax.cli import command
from dlfd_jax.report import render
from experiments.benchmarks import timing_data
from experiments.publish import programs


def measure(network: presets.Network, size: int, people: int,
            rows: list[int], repeats: int) -> list[dict[str, Any]]:
  """Images a second with each number of rows in a call."""
  dataset = timing_data.faces(people, size)
  model, variables, _ = timing_data.untrained(network, dataset)
  devices = parallel.Devices(jax.local_devices()[:1])
  placed, every = devices.place(variables), np.arange(len(dataset))
  found = []
  for count in rows:
    predictor = predict.Predictor(model, dataset, devices, batch_size=count)
    seconds = statistics.median(timing_data.seconds(
        lambda run=predictor: run(placed, every), repeats))
    found.append({'rows': predictor.batch_size, 'seconds': seconds,
                  'images_per_s': len(dataset) / seconds})
  return found


def _measure(values: flags.FlagValues) -> dict[str, Any]:
  size, people, repeats = (command.value(values, name) for name in (
      'image_size', 'people', 'repeats'))
  network = presets.Network(
      width=command.value(values, 'width'), stem='imagenet')
  return {
      'machine': timing_data.machine(), 'image_size': size,
      'images': 8 * people, 'repeats': repeats,
      'network': dataclasses.asdict(network),
      'type': models.resolve_dtype(network.compute_dtype),
      'rates': measure(network, size, people, [
          int(count) for count in command.value(values, 'rows')], repeats)}


def markdown(result: dict[str, Any]) -> str:
  """A row for each number of rows."""
  return '\n'.join([
      '# Evaluation in images a second', '',
      f'ResNet18 of width {result["network"]["width"]}, '
      f'{result["image_size"]} px, {result["images"]} images, in '
      f'{result["type"]}, on {result["machine"]}; medians of '
      f'{result["repeats"]}.', '',
      *render.markdown_lines(
          ['rows of a call', 'seconds', 'images a second'],
          [[str(row['rows']), f'{row["seconds"]:.3f}',
            f'{row["images_per_s"]:,.0f}'] for row in result['rates']],
          'rrr'), '', programs.made_by(result), ''])


COMMAND = programs.program(
    'benchmarks.evaluation_rate', __doc__, {
        'image_size': (64, 'pixels a side', 8),
        'width': (64, 'of the ResNet18', 1),
        'people': (125, 'drawn, eight images each', 4),
        'rows': (['64', '256', '1000'], 'rows of a call'),
        'repeats': (3, 'measurements of each', 1)}, _measure, markdown)
main = COMMAND.main

if __name__ == '__main__':
  sys.exit(main())
