"""What unlearning and retraining are expected to cost, from a few steps."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from dlfd_jax import (
  loop,
  methods,
  models,
  parallel,
  predict,
  training as train,
)
from dlfd_jax.data import batching, dataset as dataset_lib
from dlfd_jax.methods import (
  base as methods_base,
  dlfd,
  live as live_lib,
  restore,
  run as methods_run,
)
from dlfd_jax.pipeline import timing

_STEP_S = 2.0  # a timed step is to take no longer, or it takes fewer images
_PROBED = 16  # images of the pass that tells
_FEWEST = 4
_BACK = 3  # passes of a step of training: there, and twice that for back
_CHECKED = 1.5  # what a check costs over what its forward passes say
PRICED = ('dlfd', 'dlfd_restore')  # what a Workload may be done by
_SCHEDULE = 100  # steps of a schedule that is not followed here


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Workload:
  """What unlearning by DLFD, or retraining, is to do.

  Attributes:
    method: settings of DLFD, restored or not; of a trial of rates all are
      counted.
    recipe: of training.
    config: the network.
    variables: of it.
    dataset: the images.
    retain: rows that stay.
    forget: rows to be forgotten.
  """

  method: Any
  recipe: train.TrainConfig
  config: models.ModelConfig
  variables: models.Variables
  dataset: dataset_lib.Dataset
  retain: np.ndarray
  forget: np.ndarray


def measure(work: Workload, devices: parallel.Devices,
            repeats: int) -> dict[str, Any]:
  """Expected seconds of unlearning and of retraining.

  A step of each is timed in turns, on as many images of its batch as take about
  two seconds; its time is scaled to the whole batch.

  Args:
    work: what is to be done.
    devices: to measure on.
    repeats: timed steps of each kind.

  Returns:
    ``unlearn_s`` and ``retrain_s``; by ``distance``, ``joint`` (where it
    restores) and ``train`` ``step_s`` of a whole batch, ``timed_images``,
    ``batch_sizes``, ``compile_s``, ``steps`` and ``epochs``; the title of the
    ``method``, ``repeats`` and ``network`` in words.
  """
  model, dataset, variables = (
      models.build(work.config), work.dataset, work.variables)
  retain, forget, recipe = work.retain, work.forget, work.recipe
  schedule = _schedule(work, devices)
  distance, joint = schedule.distance, schedule.joint
  a_second = _images_a_second(model, variables, dataset, retain, devices)
  timed = {name: timed_images(
      a_second, distance.perturb_steps, size, devices.count)
           for name, size in schedule.batch_sizes.items()}
  largest = max(timed.values())
  shown = np.concatenate([retain[:largest], forget[:largest]])
  constants = devices.place(
      {'images': dataset.images[shown], 'labels': dataset.labels[shown],
       'teacher': variables, 'weight': np.float32(joint.weight if joint else 0),
       'num_steps': np.int32(_SCHEDULE)})
  kept = np.arange(min(largest, len(retain)))
  gone = len(kept) + np.arange(min(largest, len(forget)))

  def batch(size):
    return batching.Pair(batching.pad(kept[:size], size),
                         batching.pad(gone[:size], size))

  calls = {
      'distance': timing.Call(
          dlfd.make_distance_step(model, dataset.task, distance, _SCHEDULE),
          train.create_state(variables, distance.optimizer, jax.random.key(0)),
          constants, batch(timed['distance'])),
      **({} if joint is None else {'joint': timing.Call(
          restore.make_step(model, dataset.task, joint),
          train.create_state(variables, joint.optimizer, jax.random.key(0)),
          constants, batch(timed['joint']))}),
      'train': timing.Call(
          train.make_supervised_step(
              model, dataset.task, recipe.optimizer, _SCHEDULE,
              augment=recipe.augment),
          train.create_state(variables, recipe.optimizer, jax.random.key(0)),
          constants, batch(timed['train']).retain)}
  compile_s, seconds = timing.time_in_turns(calls, devices, repeats)
  step_s = {name: median * schedule.batch_sizes[name] / timed[name]
            for name, median in timing.medians(seconds).items()}
  return _expected(work, schedule, step_s) | {
      'repeats': repeats, 'compile_s': compile_s, 'timed_images': timed}


def estimate(work: Workload, devices: parallel.Devices) -> dict[str, Any]:
  """What :func:`measure` finds, from one pass of a few images.

  A step of training counts as three passes of its batch; a distance step as
  ``timed_images`` says; a step on retain and forget as two steps and a pass of
  the teacher. It compiles one small program and not three large ones.

  Args:
    work: what is to be done.
    devices: to measure on.

  Returns:
    As there, with ``repeats`` 0 and without what is timed.
  """
  schedule = _schedule(work, devices)
  a_second = _images_a_second(
      models.build(work.config), work.variables, work.dataset, work.retain,
      devices)
  passes = {'distance': _BACK * (schedule.distance.perturb_steps + 2),
            'joint': 2 * _BACK + 1, 'train': _BACK}
  step_s = {name: passes[name] * size / a_second
            for name, size in schedule.batch_sizes.items()}
  return _expected(work, schedule, step_s) | {
      'repeats': 0, 'compile_s': {}, 'timed_images': {}}


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Schedule:
  """The stages of the method, and numbers by kind of step.

  The kinds are ``distance`` and, where it restores, ``joint`` (on retain and
  forget), the stages of unlearning, and ``train``.
  """

  distance: dlfd.DLFDConfig
  joint: restore.StageConfig | None
  batch_sizes: dict[str, int]
  epochs: dict[str, int]
  steps: dict[str, int]


def _schedule(work: Workload, devices: parallel.Devices) -> _Schedule:
  restores = isinstance(work.method, restore.RestoreConfig)
  distance, joint = ((work.method.method, work.method.restore) if restores else
                     (work.method, None))
  assert isinstance(distance, dlfd.DLFDConfig)
  stages: dict[str, methods_base.ProportionateConfig] = {'distance': distance}
  if joint is not None:
    stages['joint'] = joint
  of_kind: dict[str, Any] = {**stages, 'train': work.recipe}
  batch_sizes = {name: one.batch_size for name, one in of_kind.items()}
  for size in batch_sizes.values():
    devices.check_batch_size(size)
  epochs = {name: one.epochs for name, one in of_kind.items()}
  epoch = {name: -(-len(work.retain) // size)
           for name, size in batch_sizes.items()}
  steps = {name: epochs[name] * epoch[name] for name in of_kind}
  for name, one in stages.items():
    steps[name] = _of_trial(one) + one.num_steps(epoch[name], len(work.forget))
  return _Schedule(distance=distance, joint=joint, batch_sizes=batch_sizes,
                   epochs=epochs, steps=steps)


def _expected(work: Workload, schedule: _Schedule,
              step_s: dict[str, float]) -> dict[str, Any]:
  """What a check says of the costs."""
  steps, config = schedule.steps, work.config
  return {
      'step_s': step_s, 'batch_sizes': schedule.batch_sizes,
      'network': f'{config.architecture} of width {config.width} at '
                 f'{work.dataset.image_size[0]} px',
      'steps': steps, 'epochs': schedule.epochs,
      'method': work.method.title,
      'unlearn_s': sum(
          steps[name] * step_s[name] for name in step_s if name != 'train'),
      'retrain_s': steps['train'] * step_s['train']}


def _of_trial(config: methods_base.MethodConfig) -> int:
  """Steps of trials at all rates."""
  return 0 if config.trial is None else (
      config.trial.steps * len(config.trial.factors))


def train_step(recipe: train.TrainConfig, config: models.ModelConfig,
               dataset: dataset_lib.Dataset, rows: np.ndarray,
               devices: parallel.Devices, repeats: int = 2) -> dict[str, float]:
  """Seconds of a step of training, measured as :func:`measure` does.

  Args:
    recipe: of training.
    config: the network.
    dataset: the images.
    rows: that are trained on.
    devices: to measure on.
    repeats: timed steps.

  Returns:
    ``step_s`` of a whole batch and ``compile_s``.
  """
  model = models.build_for(config, dataset.image_size)
  variables = models.init(model, jax.random.key(0), dataset.image_size)
  a_second = _images_a_second(model, variables, dataset, rows, devices)
  size = timed_images(a_second, 0, recipe.batch_size, devices.count)
  shown = rows[:size]
  call = timing.Call(
      train.make_supervised_step(
          model, dataset.task, recipe.optimizer, _SCHEDULE,
          augment=recipe.augment),
      train.create_state(variables, recipe.optimizer, jax.random.key(0)),
      devices.place({'images': dataset.images[shown],
                     'labels': dataset.labels[shown]}),
      batching.pad(np.arange(len(shown)), size))
  compile_s, seconds = timing.time_in_turns({'train': call}, devices, repeats)
  return {'step_s': timing.medians(seconds)['train'] * recipe.batch_size / size,
          'compile_s': compile_s['train']}


def of_method(problem: methods.Problem, config: methods.RunConfig,
              devices: parallel.Devices) -> float:
  """Expected seconds of unlearning by a method, without compiling.

  A step of each phase is timed as it will be run, so that what is compiled here
  serves the run. Phases have as many steps as the method's schedule gives them,
  and equally many where the run itself decides; of a trial the rates that are
  no smaller than the configured one count.

  Args:
    problem: what is to be forgotten.
    config: of the method.
    devices: to measure on.
  """
  whole = methods_base.Setting.of(problem, devices, config)
  whole = dataclasses.replace(whole, teacher=whole.original)
  total = 0.0
  for number, stage in enumerate(config.stages):
    setting = stage.setting_of(whole if number else dataclasses.replace(
        whole, teacher=None))
    plan, trial = stage.plan(setting), stage.inner.trial
    num_steps = plan.length(stage.inner)
    first = dict.fromkeys(plan.steps, 0)  # of each phase: batches may differ
    if plan.schedule:
      first = {plan.schedule(step): step
               for step in reversed(range(num_steps))}
    constants = loop.constants_by_phase(
        plan, num_steps, setting.constants, devices)
    calls = {name: timing.Call(
        plan.steps[name], plan.start or setting.state(stage.inner),
        constants[name], next(iter(setting.feed.batches(
            plan.batches.batch, step, step + 1))))
             for name, step in first.items()}
    _, seconds = timing.time_in_turns(calls, devices, 2)
    step_s = timing.medians(seconds)
    each = sum(step_s[plan.schedule(step)] for step in range(num_steps)
               ) / num_steps if plan.schedule else (
                   sum(step_s.values()) / len(step_s))
    tried = trial.steps * sum(
        factor >= 1 for factor in trial.factors) if trial else 0
    live = live_lib.LiveAttack(setting, stage.inner.live_limit, plan.attack)
    checks = num_steps / methods_run.check_every(plan, stage.inner, live.images)
    check_s = _CHECKED * live.images / (
        stage.inner.batch_size * plan.passes) * each
    total += (num_steps + tried) * each + checks * check_s
  return total


def unlearn_again(record: Mapping[str, Any], runs: int) -> dict[str, Any]:
  """What runs like a finished one are expected to cost.

  Args:
    record: of the finished run.
    runs: how many there will be, with one compilation for all.

  Returns:
    ``models``, and where the run was timed ``each_s``, ``expected_s`` and the
    ``device`` that it ran on.
  """
  found: dict[str, Any] = {'models': runs}
  clock = record.get('time') or {}
  if clock.get('work_s') and runs:
    found |= {'each_s': clock['work_s'], 'device': record.get('device'),
              'expected_s': runs * clock['work_s'] + sum(
                  (clock.get('compile_s') or {}).values())}
  return found


def step_seconds(calls: Mapping[str, timing.Call],
                 devices: parallel.Devices) -> dict[str, float]:
  """Seconds of a step of each kind, compiling apart.

  Args:
    calls: a step of each kind, as it will be run: what is compiled here serves.
    devices: to run on.
  """
  return timing.medians(timing.time_in_turns(calls, devices, 1)[1])


def image_seconds(predictor: predict.Predictor, variables: models.Variables,
                  rows: np.ndarray) -> float:
  """Seconds of an image in evaluation mode, from one batch, compiling apart.

  Args:
    predictor: as it will be run: what is compiled here serves.
    variables: of its network.
    rows: of the data; a batch of them is shown.
  """
  rows = rows[:predictor.batch_size]
  elapsed = 0.0
  for _ in range(2):  # the first compiles
    start = time.perf_counter()
    predictor(variables, rows)
    elapsed = time.perf_counter() - start
  return elapsed / len(rows)


def _images_a_second(model, variables, dataset, rows, devices) -> float:
  """Images that a pass in evaluation mode takes in a second."""
  few = dataset.take(rows[:_PROBED])
  return 1 / image_seconds(
      predict.Predictor(model, few, devices), variables, np.arange(len(few)))


def timed_images(a_second: float, perturb_steps: int, batch_size: int,
                 devices: int) -> int:
  """How many images of a batch are timed.

  A distance step is ``perturb_steps`` passes there and back, one over forget
  and one of training; back is twice the cost of there.

  Example:
    >>> timed_images(96.0, 2, 64, 1), timed_images(1e4, 2, 64, 1)
    (16, 64)
  """
  fits = int(_STEP_S * a_second / (_BACK * (perturb_steps + 2)))
  fits = max(fits, _FEWEST) // devices * devices
  return min(max(fits, devices), batch_size)
