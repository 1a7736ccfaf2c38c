"""What a run costs: steps, checks and choice at their median.

Runs of hours share their machine with other work; a step measured in turns with
a training step does not, and a run's time is its steps times their cost.
"""

from __future__ import annotations

import pathlib
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax

from dlfd_jax import methods, models, training as train
from dlfd_jax.data import batching
from dlfd_jax.methods import base
from dlfd_jax.pipeline import timing
from dlfd_jax.utils import runs
from experiments.benchmarks import timing_data
from experiments.paper import study as study_lib

_REPEATS = 5
TRAIN, CHECK, PREPARE, CHOOSE = 'train', 'check', 'prepare', 'choose'


def measure(path: pathlib.Path, study: study_lib.Study, method: str,
            config: methods.RunConfig) -> dict[str, float]:
  """Median seconds of a training step and of all that a run consists of.

  Args:
    path: keeps the result; read if it is there and whole.
    study: the problem.
    method: to measure.
    config: of the method.

  Returns:
    ``'train'``: one step of the original's training; ``'check'``; ``'prepare'``
    before the first step; ``'choose'``: the final choice, with the evaluation
    of its candidates; and one number for each phase of the method.
  """
  if path.is_file():
    stored = runs.read_json(path)
    if CHOOSE in stored:
      return stored
  devices, dataset = study.devices, study.dataset
  model = models.build(study.saved.config)
  problem = methods.Problem(
      model, study.saved.variables, dataset, study.splits, study.seed)
  setting = base.Setting.of(problem, devices, method=config)
  constants = setting.constants
  cost = {}
  for _ in range(2):  # the first compiles
    start = time.perf_counter()
    plan, controller = methods.prepare(setting, config)
    cost[PREPARE] = time.perf_counter() - start
  recipe = study.task.preset.train
  rows = batching.Stream(
      study.splits.retain, recipe.batch_size, seed=study.seed)
  calls = {TRAIN: timing.Call(
      train.make_supervised_step(
          model, dataset.task, recipe.optimizer, 100,
          augment=recipe.augment),
      train.create_state(
          study.saved.variables, recipe.optimizer, jax.random.key(0)),
      constants, rows.batch(0))}
  state = plan.start
  for phase, step in plan.steps.items():
    number = 0
    if plan.schedule is not None:
      number = next((i for i in range(plan.num_steps)
                     if plan.schedule(i) == phase), 0)
    calls[phase] = timing.Call(
        step, state, plan.reads(constants, devices), plan.batch(number))
  _, seconds = timing.time_in_turns(calls, devices, _REPEATS)
  cost |= timing.medians(seconds)
  check = controller.measure(setting.original)
  cost[CHECK] = _median_of(lambda: controller.measure(setting.original))
  candidates = [{**check, 'step': step} for step in range(plan.num_steps + 1)
                if plan.checks(step)]
  kept = [(candidates[i], setting.original)
          for i in controller.keep(candidates)]
  cost[CHOOSE] = _median_of(lambda: controller.choose(kept, setting.original))
  path.parent.mkdir(parents=True, exist_ok=True)
  runs.write_json(path, cost)
  return cost


def _median_of(call: Callable[[], Any]) -> float:
  return statistics.median(timing_data.seconds(call, _REPEATS))


def seconds_of(done: dict[str, Any], cost: dict[str, float]) -> float:
  """A finished run at its measured cost.

  Args:
    done: the run's result.
    cost: see :func:`measure`.
  """
  clock = done['time']
  steps = {phase: clock['phase_steps'].get(phase, 0) + 1
           for phase in clock['compile_s']}
  return (cost[PREPARE] + (clock['checks'] + 1) * cost[CHECK] + cost[CHOOSE]
          + sum(n * cost[phase] for phase, n in steps.items()))


def retraining_share(study: study_lib.Study, done: dict[str, Any],
                     cost: dict[str, float]) -> float:
  """A run's time over that of the retrained model's steps."""
  steps = study.trained['retrained'].record['steps']
  return seconds_of(done, cost) / (steps * cost[TRAIN])
