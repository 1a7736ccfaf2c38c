"""Tries to bring forget back in every model: what ``metrics.recovery`` names.

All models get the same batches and the same copies, through one compiled step
and one compiled evaluation each; their variables stay as they are.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from dlfd_jax import checkpoint, loop, models
from dlfd_jax.data import (
  augment,
  dataset as dataset_lib,
  leakage,
  splits as splits_lib,
)
from dlfd_jax.evaluation import references as references_lib
from dlfd_jax.metrics import per_example, recovery
from dlfd_jax.pipeline import (
  finished_runs,
  job,
  predictors as predictors_lib,
  relearn,
)
from dlfd_jax.utils import text as text_lib

SIDES = ('forget', 'test')
_STAGE = 'bringing it back'


class Lesson(NamedTuple):
  """What models are taught: rows, and how many of them a step takes."""

  rows: np.ndarray
  batch_size: int


@dataclasses.dataclass(frozen=True)
class Plan:
  """Lessons by treatment, and what is said of them.

  See ``references.Recovery``.
  """

  lessons: dict[str, Lesson]
  taught: dict[str, np.ndarray]
  left_out: dict[str, str]
  notes: dict[str, list[str]]

  def same(self, treatment: str) -> str:
    """The first treatment of the same rows: of small requests shares meet."""
    rows = self.lessons[treatment].rows
    return next(name for name, lesson in self.lessons.items()
                if np.array_equal(lesson.rows, rows))


def runs(plan: Plan, names: Iterable[str], splits: splits_lib.Splits,
         config: relearn.RelearnConfig) -> list[finished_runs.Run]:
  """What models are asked for, one after the other.

  Args:
    plan: see :func:`plan`.
    names: of the models.
    splits: of the request.
    config: of the lessons.
  """
  shown = sum(len(splits.parts[split]) for split in SIDES)
  found = []
  for name in names:
    found += [finished_runs.Run(
        name=_run(name, treatment), images=len(splits.forget),
        steps=config.max_steps, batch_size=lesson.batch_size, rows=lesson.rows,
        stage=_STAGE)
              for treatment, lesson in plan.lessons.items()
              if plan.same(treatment) == treatment]
    found += [finished_runs.Run(
        name=_run(name, treatment), images=shown, stage=_STAGE)
              for treatment in recovery.COPIES]
  return found


def _run(name: str, treatment: str) -> str:
  return f'recovery/{name}/{recovery.array_name(treatment)}'


def recover(loaded: Mapping[str, checkpoint.SavedModel],
            dataset: dataset_lib.Dataset, splits: splits_lib.Splits,
            predictors: predictors_lib.Predictors,
            config: relearn.RelearnConfig, hooks: Sequence[loop.Hook] = (), *,
            lessons: Plan | None = None,
            finished: finished_runs.FinishedRuns | None = None
            ) -> references_lib.Recovery:
  """Every model's answers after each treatment.

  Args:
    loaded: the models by name.
    dataset: the images.
    splits: their parts.
    predictors: shared with the caller.
    config: optimiser, batch size and ``max_steps`` of every lesson; its seeds
      and tolerance are not read.
    hooks: told how many treatments are done.
    lessons: see :func:`plan`; made here if None.
    finished: runs of the evaluation.

  Raises:
    job.Interrupted: on SIGTERM or SIGINT.
  """
  lessons = lessons or plan(leakage.Search(dataset, splits), config)
  finished = finished or finished_runs.FinishedRuns()
  tuners = relearn.Tuners(dataset, predictors, config.optimizer)
  total = len(loaded) * (len(lessons.lessons) + len(recovery.COPIES))
  logits: dict[str, dict[str, dict[str, np.ndarray]]] = {}
  done = 0
  with job.shown(hooks, 'bring forget back') as tick:
    for name, saved in loaded.items():
      logits[name] = {}
      for treatment, run in _treatments(
          lessons, saved, tuners, splits, predictors, config.max_steps):
        same = treatment if treatment in recovery.COPIES else (
            lessons.same(treatment))
        found = dict(finished.arrays_of(_run(name, same), run))
        if all(np.isfinite(values).all() for values in found.values()):
          logits[name][treatment] = found
        done += 1
        tick(done, total)
  return references_lib.Recovery(
      logits=logits, taught=lessons.taught, left_out=lessons.left_out,
      notes=lessons.notes)


def _treatments(plan: Plan, saved: checkpoint.SavedModel,
                tuners: relearn.Tuners, splits: splits_lib.Splits,
                predictors: predictors_lib.Predictors, num_steps: int
                ) -> Iterator[tuple[str, Callable[[], finished_runs.Arrays]]]:
  """The treatments of one model; each gives its logits by split."""
  def taught(lesson: Lesson) -> finished_runs.Arrays:
    _, predictor = predictors.of(saved.config)
    out = tuners.of(saved.config).run(
        saved.variables, lesson.rows, lesson.batch_size, num_steps)
    return {'forget': predictor(out.variables, splits.forget).logits}

  @functools.cache
  def placed() -> models.Variables:
    return predictors.devices.place(dict(saved.variables))

  def copied(noise: float, shift: float) -> finished_runs.Arrays:
    changed = predictors.changed(saved.config, augment.perturb, {
        'noise': np.float32(noise), 'shift': np.float32(shift)})
    return {split: changed(placed(), splits.parts[split]).logits
            for split in SIDES}

  for treatment, lesson in plan.lessons.items():
    yield treatment, functools.partial(taught, lesson)
  for treatment, how in recovery.COPIES.items():
    yield treatment, functools.partial(copied, *how)


def plan(search: leakage.Search, config: relearn.RelearnConfig) -> Plan:
  """Who is taught what, and why something is not.

  Args:
    search: for copies among the images and their parts.
    config: of the lessons.
  """
  dataset, forget = search.dataset, search.splits.forget
  found = Plan({}, {}, {}, {})
  _plan_retain(found, search, config)
  known = per_example.has_label(dataset.task, dataset.labels[forget])
  identity = dataset.identity[forget]
  _, unit = recovery.units_of(identity[known])
  drawn = recovery.draw_parts(identity, known)
  size = min(config.batch_size, len(forget))  # of relearning: one program
  for name, part in drawn.items():
    if part.taught is None:
      found.left_out[name] = str(part.reason)
      continue
    found.lessons[name] = Lesson(forget[part.taught], size)
    found.taught[name] = part.taught
    taught, rest = part.taught & known, ~part.taught & known
    many = text_lib.counted(
        len(np.unique(recovery.units_of(identity[known])[0][
            part.taught[known]])), unit)
    found.notes[name] = [
        f'{name}: {many} of forget, drawn at random'
        + (f' ({text_lib.counted(int(taught.sum()), "image")})'
           if unit == 'person' else '')
        + f', taught in {config.max_steps} steps; the rest has '
        f'{text_lib.counted(int(rest.sum()), "image")}.']
  return found


def _plan_retain(plan: Plan, search: leakage.Search,
                 config: relearn.RelearnConfig) -> None:
  """The lesson without forget: a copy of a forget image would be one of it."""
  dataset, splits = search.dataset, search.splits
  rows = splits.retain[per_example.has_label(
      dataset.task, dataset.labels[splits.retain])]
  copies = np.isin(rows, search.like_forget())
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
  plan.lessons[recovery.RETAIN] = Lesson(rows, config.batch_size)
  plan.notes[recovery.RETAIN] = notes
