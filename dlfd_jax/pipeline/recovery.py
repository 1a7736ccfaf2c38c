"""Tries to bring forget back in every model: what ``metrics.recovery`` names.

All models get the same batches and the same copies, through one compiled step
and one compiled evaluation each; their variables stay as they are.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from dlfd_jax import checkpoint, loop
from dlfd_jax.data import (
  augment,
  dataset as dataset_lib,
  leakage,
  splits as splits_lib,
)
from dlfd_jax.evaluation import inputs as inputs_lib
from dlfd_jax.metrics import per_example, recovery
from dlfd_jax.pipeline import (
  expected_cost,
  job,
  predictors as predictors_lib,
  relearn,
  timing,
)
from dlfd_jax.utils import text as text_lib

SIDES = ('forget', 'test')
_PASS = 3  # passes in evaluation mode that cost as much as a step of training
_Logits = dict[str, dict[str, np.ndarray]]  # treatment -> split -> logits


class _Lesson(NamedTuple):
  """What models are taught: rows, and how many of them a step takes."""

  rows: np.ndarray
  batch_size: int


@dataclasses.dataclass(frozen=True)
class _Plan:
  """Lessons by treatment, and what is said of them; see ``Recovery``."""

  lessons: dict[str, _Lesson]
  taught: dict[str, np.ndarray]
  left_out: dict[str, str]
  notes: dict[str, list[str]]


def recover(loaded: Mapping[str, checkpoint.SavedModel],
            dataset: dataset_lib.Dataset, splits: splits_lib.Splits,
            predictors: predictors_lib.Predictors,
            config: relearn.RelearnConfig, hooks: Sequence[loop.Hook] = ()
            ) -> tuple[inputs_lib.Recovery, dict[str, float]]:
  """Every model's answers after each treatment.

  Args:
    loaded: the models by name.
    dataset: the images.
    splits: their parts.
    predictors: shared with the caller.
    config: optimiser, batch size and ``max_steps`` of every lesson; its seeds
      and tolerance are not read.
    hooks: told the expected time first, then how many treatments are done.

  Returns:
    The answers; and ``recovery`` and ``recovery_expected``, seconds.

  Raises:
    job.Interrupted: on SIGTERM or SIGINT.
  """
  plan = _plan(dataset, splits, config)
  tuners = _Tuners(dataset, predictors, config)
  expected = _expected(plan, loaded, tuners, splits, predictors, config)
  for hook in hooks:
    hook({'event': 'expected', 'seconds': expected, 'sentence':
          f'Bringing forget back: {text_lib.counted(len(loaded), "model")}, '
          f'{config.max_steps} steps a lesson. Expected: '
          f'{text_lib.duration(expected)}.'})
  started = time.perf_counter()
  total = len(loaded) * (len(plan.lessons) + len(recovery.COPIES))
  logits: dict[str, _Logits] = {}
  done = 0
  with job.shown(hooks, 'bring forget back') as tick:
    for name, saved in loaded.items():
      logits[name] = {}
      for treatment, found in _treated(
          plan, saved, tuners, splits, predictors, config.max_steps):
        if all(np.isfinite(values).all() for values in found.values()):
          logits[name][treatment] = found
        done += 1
        tick(done, total)
  return inputs_lib.Recovery(
      logits=logits, taught=plan.taught, left_out=plan.left_out,
      notes=plan.notes), {
          'recovery': time.perf_counter() - started,
          'recovery_expected': expected}


class _Tuners:
  """One tuner an architecture."""

  def __init__(self, dataset: dataset_lib.Dataset,
               predictors: predictors_lib.Predictors,
               config: relearn.RelearnConfig):
    self._dataset, self._predictors = dataset, predictors
    self._config = config
    self._found: dict[int, relearn.Tuner] = {}

  def of(self, saved: checkpoint.SavedModel) -> relearn.Tuner:
    model, _ = self._predictors.of(saved.config)
    if id(model) not in self._found:
      self._found[id(model)] = relearn.Tuner(
          model, self._dataset, self._config.optimizer,
          devices=self._predictors.devices, feed=self._predictors.feed,
          constants=self._predictors.constants)
    return self._found[id(model)]


def _treated(plan: _Plan, saved: checkpoint.SavedModel, tuners: _Tuners,
             splits: splits_lib.Splits, predictors: predictors_lib.Predictors,
             num_steps: int) -> Any:
  """Yields the treatments of one model, each with its logits by split."""
  _, predictor = predictors.of(saved.config)
  before: list[tuple[_Lesson, dict[str, np.ndarray]]] = []
  for treatment, lesson in plan.lessons.items():
    found = next((logits for other, logits in before
                  if np.array_equal(other.rows, lesson.rows)), None)
    if found is None:  # of small requests two shares may be the same people
      out = tuners.of(saved).run(
          saved.variables, lesson.rows, lesson.batch_size, num_steps)
      found = {'forget': predictor(out.variables, splits.forget).logits}
    before.append((lesson, found))
    yield treatment, found
  placed = predictors.devices.place(dict(saved.variables))
  for treatment, (noise, shift) in recovery.COPIES.items():
    changed = predictors.changed(saved.config, augment.perturb, {
        'noise': np.float32(noise), 'shift': np.float32(shift)})
    yield treatment, {split: changed(placed, splits.parts[split]).logits
                      for split in SIDES}


def _plan(dataset: dataset_lib.Dataset, splits: splits_lib.Splits,
          config: relearn.RelearnConfig) -> _Plan:
  """Who is taught what, and why something is not."""
  plan = _Plan({}, {}, {}, {})
  _plan_retain(plan, dataset, splits, config)
  forget = splits.forget
  known = per_example.has_label(dataset.task, dataset.labels[forget])
  identity = dataset.identity[forget]
  _, unit = recovery.units_of(identity[known])
  drawn = recovery.draw_parts(identity, known)
  size = min(config.batch_size, len(forget))  # of relearning: one program
  for name, part in drawn.items():
    if part.taught is None:
      plan.left_out[name] = str(part.reason)
      continue
    plan.lessons[name] = _Lesson(forget[part.taught], size)
    plan.taught[name] = part.taught
    taught, rest = part.taught & known, ~part.taught & known
    many = text_lib.counted(
        len(np.unique(recovery.units_of(identity[known])[0][
            part.taught[known]])), unit)
    plan.notes[name] = [
        f'{name}: {many} of forget, drawn at random'
        + (f' ({text_lib.counted(int(taught.sum()), "image")})'
           if unit == 'person' else '')
        + f', taught in {config.max_steps} steps; the rest has '
        f'{text_lib.counted(int(rest.sum()), "image")}.']
  return plan


def _plan_retain(plan: _Plan, dataset: dataset_lib.Dataset,
                 splits: splits_lib.Splits,
                 config: relearn.RelearnConfig) -> None:
  """The lesson without forget: a copy of a forget image would be one of it."""
  rows = splits.retain[per_example.has_label(
      dataset.task, dataset.labels[splits.retain])]
  copies = np.isin(rows, leakage.like_forget(dataset, splits))
  notes = [f'{config.max_steps} steps on retain alone.']
  if copies.any():
    rows = rows[~copies]
    notes.append(f'{text_lib.counted(int(copies.sum()), "image")} of retain '
                 'that are copies of forget images were left out.')
  if not len(rows):
    plan.left_out[recovery.RETAIN] = (
        'retain has no image with a label that is no copy of a forget image')
    return
  if not dataset.task.is_multilabel:
    lacking = ~np.isin(dataset.labels[splits.forget], dataset.labels[rows])
    if lacking.any():
      notes.append(
          f'Retain has no image of the class of {int(lacking.sum())} of '
          f'{text_lib.counted(len(lacking), "forget image")}: nothing in it '
          'can bring them back.')
  if splits_lib.shared_people(dataset, splits.retain, splits.forget).size:
    notes.append('Retain shows people of forget: what comes back may come '
                 'from there, in retrained models, too.')
  plan.lessons[recovery.RETAIN] = _Lesson(rows, config.batch_size)
  plan.notes[recovery.RETAIN] = notes


def _expected(plan: _Plan, loaded: Mapping[str, checkpoint.SavedModel],
              tuners: _Tuners, splits: splits_lib.Splits,
              predictors: predictors_lib.Predictors,
              config: relearn.RelearnConfig) -> float:
  """Seconds of all treatments, from a step of each size of the first model.

  A pass over copies is taken to cost a third of a step over as many images.
  """
  saved = next(iter(loaded.values()))
  calls: dict[str, timing.Call] = {}
  steps: dict[str, float] = {}
  lessons = {lesson.rows.tobytes(): lesson for lesson in plan.lessons.values()}
  for lesson in lessons.values():
    name = str(lesson.batch_size)
    if name not in calls:
      calls[name] = tuners.of(saved).call(
          saved.variables, lesson.rows, lesson.batch_size, config.max_steps)
    steps[name] = steps.get(name, 0.0) + config.max_steps * len(loaded)
  if not calls:
    return 0.0
  largest = max(calls, key=int)
  shown = sum(len(splits.parts[split]) for split in SIDES)
  steps[largest] += len(loaded) * len(recovery.COPIES) * shown / (
      int(largest) * _PASS)
  return expected_cost.seconds_of(calls, steps, predictors.devices)
