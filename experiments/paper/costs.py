"""What a run costs: steps, checks and choice at their median.

Runs of hours share their machine with other work. Seconds here are those of the
processor, of a step in turns with a training step, and a run's time is its
steps times their cost: compiling and the work of others are in none of them.
"""

from __future__ import annotations

import dataclasses
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
from experiments.paper import study as study_lib

_REPEATS = 5
_CLOCK = time.process_time
TRAIN, CHECK, PREPARE, CHOOSE = 'train', 'check', 'prepare', 'choose'
STAGES = 'stages'


def measure(path: pathlib.Path, study: study_lib.Study,
            config: methods.RunConfig) -> dict[str, float]:
  """Median seconds of the processor for all that a run consists of.

  Args:
    path: keeps the result; read if it is there and whole.
    study: the problem.
    config: of the method; each of its stages is measured.

  Returns:
    ``'train'``: one step of the original's training; ``'check'``; ``'prepare'``
    before the first steps; ``'choose'``: the final choices, with the evaluation
    of their candidates; ``'stages'``: how many there are; and one number for
    each phase of the method.
  """
  if path.is_file():
    stored = runs.read_json(path)
    if STAGES in stored:
      return stored
  devices, dataset = study.devices, study.dataset
  model = models.build(study.saved.config)
  setting = base.Setting.of(methods.Problem(
      model, study.saved.variables, dataset, study.splits, study.seed), devices,
      method=config)
  recipe = study.task.preset.train
  rows = batching.Stream(
      study.splits.retain, recipe.batch_size, seed=study.seed)
  calls = {TRAIN: timing.Call(
      train.make_supervised_step(
          model, dataset.task, recipe.optimizer, 100,
          augment=recipe.augment),
      train.create_state(
          study.saved.variables, recipe.optimizer, jax.random.key(0)),
      setting.constants, rows.batch(0))}
  stages = config.stages
  cost = {PREPARE: 0.0, CHOOSE: 0.0, STAGES: len(stages)}
  original = setting.original
  for stage in stages:
    for _ in range(2):  # the first compiles
      start = _CLOCK()
      part = stage.setting_of(setting)
      plan, controller = methods.prepare(part, stage)
      seconds = _CLOCK() - start
    cost[PREPARE] += seconds
    for phase, step in plan.steps.items():
      number = 0
      if plan.schedule is not None:
        number = next((i for i in range(plan.num_steps)
                       if plan.schedule(i) == phase), 0)
      calls[phase] = timing.Call(
          step, plan.start, plan.reads(setting.constants, devices)[phase],
          plan.batch(number))
    check = controller.measure(original)
    cost[CHECK] = _median_of(controller.measure, original)
    candidates = [{**check, 'step': step} for step in range(plan.num_steps + 1)
                  if plan.checks(step)]
    kept = [(candidates[i], original) for i in controller.keep(candidates)]
    cost[CHOOSE] += _median_of(controller.choose, kept, original)
    # A teacher costs the same whatever it knows.
    setting = dataclasses.replace(setting, teacher=original)
  cost[CHOOSE] += _median_of(config.conclude, setting, original)
  _, found = timing.time_in_turns(calls, devices, _REPEATS, _CLOCK)
  cost |= timing.medians(found)
  path.parent.mkdir(parents=True, exist_ok=True)
  runs.write_json(path, cost)
  return cost


def _median_of(call: Callable[..., Any], *args: Any) -> float:
  found = []
  for _ in range(_REPEATS):
    start = _CLOCK()
    call(*args)
    found.append(_CLOCK() - start)
  return statistics.median(found)


def seconds_of(done: dict[str, Any], cost: dict[str, float]) -> float:
  """Processor seconds of a finished run at its measured cost.

  Args:
    done: the run's result.
    cost: see :func:`measure`.
  """
  clock = done['time']
  steps = {phase: clock['phase_steps'].get(phase, 0) + 1
           for phase in clock['compile_s']}
  checks = clock['checks'] + cost[STAGES]
  return (cost[PREPARE] + checks * cost[CHECK] + cost[CHOOSE]
          + sum(n * cost[phase] for phase, n in steps.items()))


def retraining_share(study: study_lib.Study, done: dict[str, Any],
                     cost: dict[str, float]) -> float:
  """A run's time over that of the retrained model's steps."""
  steps = study.trained['retrained'].record['steps']
  return seconds_of(done, cost) / (steps * cost[TRAIN])
