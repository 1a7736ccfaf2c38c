r"""Transport on several devices: the whole problem on each, or rows sharded.

Value and gradient of the divergence between two batches of features, target
included, as a distance step has them, by ``--transport=global`` and
``sharded``. Each batch has a process of its own with that many devices played
by the CPU: they share its cores, so that a time is that of all devices' work
one after the other, not of a machine with so many chips. Memory is what XLA
sets aside on one device for a program's temporary arrays.

Features are rectified mixtures of a few factors; independent ones have cosines
that are all alike.

  python -m experiments.benchmarks.transport_scaling \
      --out=docs/results/transport_scaling
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from typing import Any

import jax
import numpy as np
from absl import flags

from dlfd_jax import ot, parallel
from dlfd_jax.report import render
from experiments.publish import programs

BATCHES = (256, 512, 1024, 2048, 4096, 8192)
WAYS = (ot.GLOBAL, ot.SHARDED)
_FACTORS = 16
_LARGEST_GROWTH = 4  # of the time with the batch doubled


def features(rows: int, width: int, seed: int, shift: float) -> np.ndarray:
  """``[rows, width]``, at least 0, around ``shift`` factors of a few."""
  rng = np.random.default_rng(seed)
  mixing = np.random.default_rng(0).normal(size=(_FACTORS, width))
  factors = rng.normal(size=(rows, _FACTORS)) + shift
  return np.maximum(factors @ mixing, 0).astype(np.float32)


def cell(batch: int, width: int, way: str,
         repeats: int) -> tuple[dict[str, float], np.ndarray]:
  """Figures of one batch on all devices of this process, and the gradient."""
  config = ot.SinkhornConfig(transport=way)

  def solve(_: Any, __: Any, sides: Any) -> Any:
    retain, forget, weights, _ = sides
    target = ot.prepare_target(forget, weights, config, parallel.AXIS)

    def part(rows: jax.Array) -> Any:
      solved = ot.transport(
          rows, weights, target, config, axis_name=parallel.AXIS)
      return solved.part, solved

    slope, solved = jax.grad(part, has_aux=True)(retain)
    return slope, jax.tree.map(lambda scalar: scalar[None], solved)

  devices = parallel.Devices()
  sides = (features(batch, width, 1, 0.), features(batch, width, 2, .25),
           np.ones(batch, np.float32), np.ones(batch, np.float32))
  compiled = devices.compile_map(solve)
  arguments = {}, {}, sides
  jax.block_until_ready(compiled(*arguments))
  seconds: list[float] = []
  for _ in range(repeats):
    started = time.perf_counter()
    slope, solved = jax.block_until_ready(compiled(*arguments))
    seconds.append(time.perf_counter() - started)
    if seconds[-1] > 5:
      break
  slope, solved = parallel.fetch_rows((slope, solved))
  return {'seconds': float(np.median(seconds)), 'repeats': len(seconds),
          'bytes': float(devices.temporary_bytes(solve, *arguments)),
          'iterations': float(solved.iterations[0]),
          'converged': float(solved.converged[0]),
          'value': float(solved.value[0])}, slope


def one_batch(told: dict[str, Any]) -> dict[str, Any]:
  """What a process measures: both ways, or the sharded one alone."""
  batch, width, repeats = (
      told[name] for name in ('batch', 'width', 'repeats'))
  found = {way: cell(batch, width, way, repeats) for way in told['ways']}
  row: dict[str, Any] = {
      'batch': batch, **{way: figures for way, (figures, _) in found.items()}}
  if ot.GLOBAL in found:
    (whole, slope), (shared, other) = (found[way] for way in WAYS)
    row |= {
        'value_difference': abs(shared['value'] / whole['value'] - 1),
        'gradient_difference': float(
            np.abs(other - slope).max() / np.abs(slope).max())}
  return row


def measure(values: flags.FlagValues) -> dict[str, Any]:
  """The rows of all batches; global ends where it would pass ``--cap_s``."""
  count, width, cap, repeats, largest = (values[name].value for name in (
      'count', 'width', 'cap_s', 'repeats', 'largest'))
  rows: list[dict[str, Any]] = []
  left_out: list[str] = []
  for batch in [size for size in BATCHES if size <= largest]:
    ways = [way for way in WAYS if not rows or (
        way in rows[-1]
        and _LARGEST_GROWTH * rows[-1][way]['seconds'] <= cap)]
    left_out += [f'{way} at {batch:,}' for way in WAYS if way not in ways]
    if ot.SHARDED not in ways:
      continue
    told = json.dumps({'batch': batch, 'width': width, 'ways': ways,
                       'repeats': repeats})
    done = subprocess.run(
        [sys.executable, '-m', 'experiments.benchmarks.transport_scaling',
         told], capture_output=True, text=True, check=False,
        env={**os.environ, 'XLA_FLAGS': '', 'JAX_PLATFORMS': 'cpu',
             'JAX_NUM_CPU_DEVICES': str(count)})
    if done.returncode:
      raise RuntimeError(f'A batch of {batch}: {done.stderr[-2000:]}')
    rows.append(json.loads(done.stdout.splitlines()[-1]))
  return {'devices': count, 'width': width, 'rows': rows, 'cap_s': cap,
          'left_out': left_out,
          'sinkhorn': dataclasses.asdict(ot.SinkhornConfig())}


def markdown(result: dict[str, Any]) -> str:
  """One table, and what was left out."""
  def of(row: dict[str, Any], way: str, name: str, scale: float,
         form: str) -> str:
    return format(scale * row[way][name], form) if way in row else '-'

  table = [[
      f'{row["batch"]:,}',
      *(of(row, way, 'seconds', 1, '.2f') for way in WAYS),
      *(of(row, way, 'bytes', 1e-6, ',.1f') for way in WAYS),
      f'{row[ot.SHARDED]["iterations"]:.0f}',
      *(f'{row[name]:.0e}' if name in row else '-' for name in (
          'value_difference', 'gradient_difference'))]
      for row in result['rows']]
  return '\n'.join([
      '# Transport on several devices', '',
      f'{result["devices"]} devices played by one CPU, '
      f'{result["width"]} features, epsilon '
      f'{result["sinkhorn"]["epsilon"]}; the divergence of two batches with '
      'its target and its gradient. The devices share the cores, so a time is '
      'that of all their work together. Differences are relative to global, '
      'of the gradient to its largest entry.', '',
      *render.markdown_lines(
          ['batch', 'global, s', 'sharded, s', 'global, MB a device',
           'sharded, MB a device', 'iterations', 'value differs by',
           'gradient differs by'], table, 'r' * 8), '',
      *([f'Not run, as a call would take over {result["cap_s"]:g} s: '
         f'{", ".join(result["left_out"])}.', '']
        if result['left_out'] else []),
      programs.made_by(result), ''])


COMMAND = programs.program(
    'benchmarks.transport_scaling', __doc__, {
        'count': (8, 'devices that the CPU plays', 1),
        'width': (512, 'features', 1),
        'largest': (BATCHES[-1], 'largest batch a side', BATCHES[0]),
        'repeats': (3, 'calls of a cell that takes up to 5 s', 1),
        'cap_s': (90., 'seconds that a call may be expected to take')},
    measure, markdown)
main = COMMAND.main

if __name__ == '__main__':
  if sys.argv[1:] and sys.argv[1].startswith('{'):
    print(json.dumps(one_batch(json.loads(sys.argv[1]))))
  else:
    sys.exit(main())
