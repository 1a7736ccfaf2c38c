"""The learning rate of a run, from a short trial on the data themselves.

A rate that was found on other images for another network may ruin a model. So a
run in miniature, the same steps under the same schedule but few of them, is
taken at some multiples of the configured rate, from the largest down, and each
model so made is compared with the original on images of retain and val. Chosen
is the largest rate at which accuracy is kept: as measured, no more is lost than
the result itself may lose (``usable.MOST_LOST``). Noise is no excuse: on few
images of val one standard error is more than the bound, and a rate that may be
too large would pass as often as it fails. A stage that only makes a teacher on
forget may lose nine tenths of what the original knows of retain above a
constant guess: a rate at which little is lost forgets little, and the student
does not start there; but one that knows no more than a guess teaches nothing.
Where no rate keeps accuracy, as where a method draws weights anew, it is the
one that loses least.

All trials and the run are one compiled program, as the factor is an array of
the state. Neither forget nor test is read to choose.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dlfd_jax import checkpoint, loop, parallel, training as train
from dlfd_jax.methods import base, live
from dlfd_jax.metrics import accuracy, usable
from dlfd_jax.models import Variables
from dlfd_jax.utils import hosts, rng, schemas, text

_MOST_READ = 1000  # images of a part
_SAMPLE = 14  # salt of their draw
_TEACHER = .9  # of the accuracy above a guess, that it may lose
_FILE = 'trial'
Hits = Mapping[str, np.ndarray]  # by part: of each image, the share right


def of_run(setting: base.Setting, plan: loop.Plan, config: base.Method,
           checkpoints: checkpoint.LoopCheckpoints | None,
           hooks: Sequence[loop.Hook], teaches: bool) -> dict[str, Any]:
  """The trials of a run, made once: a run that goes on reads what it chose.

  Args:
    setting: of the run.
    plan: its own, from the first step on.
    config: of the method.
    checkpoints: hold what was chosen; None = nothing does.
    hooks: are told of the choice.
    teaches: the result is a teacher on forget, and no one's model.

  Returns:
    ``factor`` and ``learning_rate`` that were chosen and whether they were
    ``kept``; ``tried``, the same of each with its ``accuracies``, those of the
    ``original``, the number of ``images``; ``steps`` that were taken in all,
    ``time_s`` and, a part of it, ``compile_s``.
  """
  known = None if checkpoints is None else checkpoints.note(
      _FILE, schemas.Trial)
  if known is None:
    assert config.inner.trial is not None
    known = hosts.from_first(_try(setting, plan, config.inner, teaches))
    if checkpoints is not None:
      checkpoints.write_note(_FILE, known)
    for hook in hooks:
      hook({'event': 'expected',
            'sentence': f'{sentence(config.title, known)} '
            f'That took {known["time_s"]:.0f} s.'})
  return dict(known)


def at_rate(plan: loop.Plan, factor: float) -> loop.Plan:
  """The same run at a multiple of its learning rates."""
  return dataclasses.replace(plan, start=dataclasses.replace(
      plan.start, rate_factor=jnp.float32(factor)))


def sentence(title: str, found: Mapping[str, Any]) -> str:
  """What was chosen, and by how many steps."""
  why = ('the largest that loses no more accuracy on retain and val than it may'
         if found['kept'] else
         'which loses least accuracy on retain and val, as each loses more '
         'than it may')
  return (f'{title}: learning rate {found["learning_rate"]:.3g}, {why}: '
          f'{text.counted(len(found["tried"]), "trial")}, '
          f'{text.counted(found["steps"], "step")}.')


def _try(setting: base.Setting, plan: loop.Plan, config: base.MethodConfig,
         teaches: bool) -> dict[str, Any]:
  """Tries rates until one is kept."""
  assert config.trial is not None
  began = time.perf_counter()
  parts = parts_of(setting.problem)
  run = _Runner(setting, at_rate(plan, 1.0))
  state, lead = run.lead()
  length = min(config.trial.steps, plan.num_steps - lead)
  reading = time.perf_counter()
  original = hits_of(setting, setting.original, parts) or {}
  reading = time.perf_counter() - reading  # the first one compiles
  limits: Mapping[str, float] = usable.MOST_LOST
  if teaches:
    limits = of_teacher(setting.problem, parts, original)
  tried: list[dict[str, Any]] = []
  for factor in config.trial.factors:
    at_end = run.take(dataclasses.replace(
        state, rate_factor=jnp.float32(factor)), lead, lead + length)
    hits = None if parallel.fetch_scalars(at_end.skipped) else hits_of(
        setting, at_end.variables, parts)
    excess = math.inf if hits is None else excess_of(original, hits, limits)
    tried.append({
        'factor': factor,
        'learning_rate': factor * config.optimizer.learning_rate,
        'accuracies': None if hits is None else _means(hits),
        'excess': excess if math.isfinite(excess) else None,
        'kept': excess <= 0})
    if excess <= 0:
      break
  chosen = min(reversed(tried), key=lambda one: (
      math.inf if one['excess'] is None else max(one['excess'], 0.)))
  return {
      **{name: chosen[name] for name in ('factor', 'learning_rate', 'kept')},
      'tried': tried, 'original': _means(original),
      'images': {name: len(rows) for name, rows in parts.items()},
      'steps': run.taken, 'time_s': time.perf_counter() - began,
      'compile_s': reading + sum(run.first_s.values())}


def parts_of(problem: base.Problem) -> dict[str, np.ndarray]:
  """Rows of retain and val that are read, those with a label."""
  found = {}
  for name in usable.MOST_LOST:
    rows = live.labelled(problem.dataset, problem.splits.stays(name))
    rows = rng.generator(problem.seed, _SAMPLE).permutation(rows)[:_MOST_READ]
    if len(rows):
      found[name] = np.sort(rows)
  return found


def hits_of(setting: base.Setting, variables: Variables,
            parts: Mapping[str, np.ndarray]) -> Hits | None:
  """Of each image the share of its labels that a model has right.

  None if a logit is not finite.
  """
  data, found = setting.problem.dataset, {}
  for name, rows in parts.items():
    logits = setting.predictor(variables, rows).logits
    if not np.isfinite(logits).all():
      return None
    counts = accuracy.accuracy(data.task, logits, data.labels[rows])
    found[name] = counts.hits.sum(1) / counts.tries.sum(1)
  return found


def of_teacher(problem: base.Problem, parts: Mapping[str, np.ndarray],
               original: Hits) -> dict[str, float]:
  """What a teacher may lose on retain, see the module; on val anything."""
  return {name: _TEACHER * max(
      0., float(original[name].mean()) - accuracy.constant_accuracy(
          problem.task, problem.dataset.labels[parts[name]]))
          for name in ('retain',) if name in original}


def excess_of(original: Hits, other: Hits,
              limits: Mapping[str, float]) -> float:
  """How much more accuracy was lost than may be.

  Of each part the mean of the paired differences, less what may be lost there;
  the largest of them, 0 or less if none is too large. Parts without a limit are
  not looked at; -inf without a part.

  Example:
    >>> round(excess_of({'val': np.ones(9)}, {'val': np.zeros(9)},
    ...                 {'val': .02}), 3)
    0.98
  """
  found = [-math.inf]
  for name in limits.keys() & original.keys():
    lost = original[name] - other[name]
    found.append(float(lost.mean() - limits[name]) - usable.ROUNDING)
  return max(found)


def _means(hits: Hits) -> dict[str, float]:
  return {name: float(of_part.mean()) for name, of_part in hits.items()}


class _Runner:
  """Takes steps of a plan without a loop around them.

  Attributes:
    taken: how many.
    first_s: of each phase the seconds of its first step, which compiles it.
  """

  def __init__(self, setting: base.Setting, plan: loop.Plan):
    self._setting, self._plan = setting, plan
    self._compiled = {name: setting.devices.compile(step)
                      for name, step in plan.steps.items()}
    self.taken = 0
    self.first_s: dict[str, float] = {}

  def lead(self) -> tuple[train.TrainState, int]:
    """Where the weights begin to move: the state, and the steps before.

    A method with a schedule may first look at the data, at no rate at all.
    """
    plan = self._plan
    state = self._setting.devices.place(plan.start)
    if plan.schedule is None:
      return state, 0
    for step in range(plan.num_steps):
      before = jax.tree.map(jnp.copy, state)
      state = self.take(state, step, step + 1, plan.num_steps)
      if any(bool((new != old).any()) for new, old in zip(
          jax.tree.leaves(state.params), jax.tree.leaves(before.params),
          strict=True)):
        return before, step
    return state, plan.num_steps

  def take(self, state: train.TrainState, start: int, end: int,
           num_steps: int | None = None) -> train.TrainState:
    """The state after the steps from ``start`` on in a run of ``end``."""
    setting, plan = self._setting, self._plan
    constants = dataclasses.replace(
        plan, num_steps=num_steps or max(end, 1)).reads(
            setting.constants, setting.devices)
    state = setting.devices.place(state)
    phase = plan.schedule or _always(next(iter(plan.steps)))
    for step, batch in enumerate(
        setting.feed.batches(plan.batch, start, end), start):
      name = phase(step)
      began = time.perf_counter()
      state, _ = self._compiled[name](state, constants[name], batch)
      self.first_s.setdefault(name, time.perf_counter() - began)
    self.taken += end - start
    return state


def _always(phase: str) -> Callable[[int], str]:
  return lambda step: phase
