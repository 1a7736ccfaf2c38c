"""Seconds of compiled steps on this machine."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax

from dlfd_jax import parallel, training as train


@dataclasses.dataclass(frozen=True)
class Call:
  """A step and what it is called with."""

  step: parallel.StepFn
  state: train.TrainState
  constants: dict[str, Any]
  batch: Any


def time_in_turns(
    calls: Mapping[str, Call], devices: parallel.Devices, repeats: int,
    clock: Callable[[], float] = time.perf_counter
) -> tuple[dict[str, float], dict[str, list[float]]]:
  """Seconds of steps that take turns, so that a busy machine slows all alike.

  Args:
    calls: the steps by name.
    devices: where they run.
    repeats: how often each is timed.
    clock: what seconds are of; ``time.process_time`` counts the processor's.

  Returns:
    Seconds of the first call (compilation), and of every later one, by name.
  """
  states = {name: devices.place(call.state) for name, call in calls.items()}
  compiled = {name: devices.compile(call.step) for name, call in calls.items()}
  first: dict[str, float] = {}
  seconds: dict[str, list[float]] = {name: [] for name in calls}
  for turn in range(repeats + 1):
    for name, step in compiled.items():
      start = clock()
      states[name], out = step(
          states[name], calls[name].constants, calls[name].batch)
      jax.block_until_ready((states[name], out))
      elapsed = clock() - start
      if turn:
        seconds[name].append(elapsed)
      else:
        first[name] = elapsed
  return first, seconds


def medians(seconds: Mapping[str, list[float]]) -> dict[str, float]:
  """The median of each."""
  return {name: statistics.median(times) for name, times in seconds.items()}
