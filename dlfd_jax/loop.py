"""The host loop: every training and every unlearning run goes through it.

It feeds batches to compiled steps, measures the model at fixed intervals, lets
a controller choose the next phase and the states worth keeping, writes the log
and checkpoints the whole of itself, so that a killed run ends as if it had not
been. It reads the device at checks and log points only.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from dlfd_jax import checkpoint, parallel
from dlfd_jax.data import batching, feed as feed_lib
from dlfd_jax.models import Variables
from dlfd_jax.utils import hosts, runs, signals, validate

Figures = dict[str, Any]
Hook = Callable[[dict[str, Any]], None]
StopRequest = signals.StopRequest
stop_on_signals = signals.stop_on_signals

FINISHED = 'finished'
NOT_FINITE = 'not finite'
INTERRUPTED = 'interrupted'
STOP_RULE = 'stop rule'


class Controller(Protocol):
  """Watches a run. Its decisions depend on figures alone, so they resume."""

  def measure(self, variables: Variables) -> Figures:
    """JSON figures of the current model: the only costly call."""

  def phase(self, figures: Figures) -> str | None:
    """The phase of the next steps; None ends the run here.

    ``figures['step']`` is 0 at the start.
    """

  def keep(self, candidates: Sequence[Figures]) -> list[int]:
    """Which measured states may still be selected in the end.

    The state at step 0 is the first candidate.
    """


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
  """What a loop runs.

  Attributes:
    steps: one pure step per phase.
    num_steps: length of the run, at least 1.
    batch: index batch of a step; a pure function of its number.
    check_every: steps between measurements; start and end are measured too.
    log_every: steps between two lines of metrics.
    check_at: numbers of finished steps after which it is measured, too.
    schedule: phase of each step by its number, from 0; None = the controller's
      choice at the last measurement.
    frozen: what the steps read beside the data, placed on the devices already.
    start: a state to begin with instead of the one given to :func:`run`.

  Raises:
    ValueError: if a number is below 1 or there is no step.
  """

  steps: Mapping[str, parallel.StepFn]
  num_steps: int
  batch: Callable[[int], batching.Batch]
  check_every: int
  log_every: int = 10
  check_at: frozenset[int] = frozenset()
  schedule: Callable[[int], str] | None = None
  frozen: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  start: Any = None

  def __post_init__(self):
    if not self.steps:
      raise ValueError('Expected at least one step, got none.')
    for name in ('num_steps', 'check_every', 'log_every'):
      validate.integer(name, getattr(self, name))

  def reads(self, frozen: Mapping[str, Any],
            devices: parallel.Devices) -> dict[str, Any]:
    """What the steps read: placed data, the plan's own, and ``num_steps``."""
    return {**frozen, **self.frozen,
            'num_steps': devices.share(np.int32(self.num_steps))}

  def checks(self, step: int) -> bool:
    """Whether the model is measured after ``step`` finished steps."""
    return (step == self.num_steps or step % self.check_every == 0
            or step in self.check_at)

  def turns(self, step: int) -> bool:
    """Whether the schedule changes the phase after ``step`` steps."""
    return (self.schedule is not None and 0 < step < self.num_steps
            and self.schedule(step) != self.schedule(step - 1))


@dataclasses.dataclass
class Clock:
  """Where the time went, seconds; compiling stands apart.

  ``phase_s`` and ``phase_steps`` count the steps of each phase without the
  first of every sitting, whose time is in ``compile_s``. Likewise ``check_s``
  and ``checks`` leave out the first check of every sitting. ``choose_s`` is the
  final choice of a state, the evaluation of its candidates included. ``images``
  are the rows that steps read, without padding; of several processes, this
  one's.
  """

  compile_s: dict[str, float] = dataclasses.field(default_factory=dict)
  phase_s: dict[str, float] = dataclasses.field(default_factory=dict)
  phase_steps: dict[str, int] = dataclasses.field(default_factory=dict)
  check_s: float = 0.0
  first_check_s: float = 0.0
  checks: int = 0
  checkpoint_s: float = 0.0
  choose_s: float = 0.0
  images: int = 0

  @property
  def work_s(self) -> float:
    """Steps, checks and choice: a run's cost once everything is compiled."""
    return sum(self.phase_s.values()) + self.check_s + self.choose_s

  @property
  def total_s(self) -> float:
    """Everything that the loop did."""
    return (sum(self.compile_s.values()) + self.work_s + self.first_check_s
            + self.checkpoint_s)


@dataclasses.dataclass(frozen=True)
class LoopResult:
  """How a run ended.

  Attributes:
    variables: the last model, on the devices.
    kept: the states that the controller kept, with their figures.
    history: the figures of every check.
    stop: ``'finished'``, ``'stop rule'`` (of the controller), ``'not finite'``
      or ``'interrupted'``.
    steps: finished steps.
    clock: times over all sittings of the run.
  """

  variables: Variables
  kept: list[tuple[Figures, Variables]]
  history: list[Figures]
  stop: str
  steps: int
  clock: Clock


class _Sitting:
  """The moving parts of one run between start and end."""

  def __init__(self, state, log):
    self.state = state
    self.log = log
    self.step = 0
    self.phase = ''
    self.kept: list[tuple[Figures, Variables]] = []
    self.history: list[Figures] = []
    self.pending: list[dict[str, Any]] = []
    self.clock = Clock()
    self.measured = False  # in this sitting: the first check compiles

  def meta(self) -> dict[str, Any]:
    return {
        'step': self.step, 'phase': self.phase, 'history': self.history,
        'kept': [figures for figures, _ in self.kept],
        'pending': parallel.fetch_scalars(self.pending),
        'lines': len(self.log), 'clock': dataclasses.asdict(self.clock)}

  def tree(self) -> dict[str, Any]:
    tree = {'state': self.state}
    for i, (_, variables) in enumerate(self.kept):
      tree[f'kept{i}'] = variables
    return tree

  def restore(self, checkpoints: checkpoint.LoopCheckpoints,
              step: int) -> None:
    meta = checkpoints.meta(step)
    like = {'state': self.state}
    for i in range(len(meta['kept'])):
      like[f'kept{i}'] = self.state.variables
    tree = checkpoints.restore(step, like)
    self.state = tree['state']
    self.kept = [
        (figures, tree[f'kept{i}'])
        for i, figures in enumerate(meta['kept'])]
    self.step, self.phase = meta['step'], meta['phase']
    self.history, self.pending = meta['history'], meta['pending']
    self.clock = Clock(**meta['clock'])
    self.log.truncate(meta['lines'])


def run(plan: Plan, state: Any, frozen: dict[str, Any], *,
        devices: parallel.Devices, feed: feed_lib.Feed, controller: Controller,
        log: runs.MetricsLog | None = None,
        checkpoints: checkpoint.LoopCheckpoints | None = None,
        checkpoint_seconds: float = 60.0,
        hooks: Sequence[Hook] = ()) -> LoopResult:
  """Runs a plan to its end, to a stop or on from its checkpoint.

  Args:
    plan: what to run.
    state: a TrainState at step 0, copied, never changed; see ``Plan.start``.
    frozen: placed on the devices already; see ``Plan.reads``.
    devices: where to run.
    feed: turns index batches into batches.
    controller: measures and decides.
    log: receives one event per line.
    checkpoints: where the loop saves itself; resumed if one is there.
    checkpoint_seconds: least time between two saves, at least 0.
    hooks: called with every event and after every step.

  Returns:
    The last model, the kept ones and the history.
  """
  log = runs.MetricsLog() if log is None else log
  sitting = _Sitting(
      devices.place(state if plan.start is None else plan.start), log)
  frozen = plan.reads(frozen, devices)
  clock = sitting.clock
  stop = FINISHED
  if checkpoints is not None and (latest := checkpoints.latest()) is not None:
    sitting.restore(checkpoints, latest)
    clock = sitting.clock
  else:
    log.truncate(0)
    if not _check(sitting, controller, plan, hooks):
      stop = STOP_RULE
  steps = {name: devices.compile(step) for name, step in plan.steps.items()}
  seen: set[str] = set()
  saved_at = mark = time.perf_counter()

  def tell(event):
    for hook in hooks:
      hook({'num_steps': plan.num_steps, **event})

  def settle():
    """Waits for the device and books the time since the last mark."""
    nonlocal mark
    jax.block_until_ready(sitting.state.step)
    now = time.perf_counter()
    clock.phase_s[sitting.phase] = (
        clock.phase_s.get(sitting.phase, 0.0) + now - mark)
    mark = now

  def save(checkpoints: checkpoint.LoopCheckpoints):
    nonlocal saved_at, mark
    checkpoints.save(sitting.step, sitting.tree(), sitting.meta())
    saved_at = time.perf_counter()
    clock.checkpoint_s += saved_at - mark
    mark = saved_at

  with stop_on_signals() as request:
    end = plan.num_steps if stop == FINISHED else sitting.step
    for batch in feed.batches(plan.batch, sitting.step, end):
      phase = sitting.phase = (
          plan.schedule(sitting.step) if plan.schedule else sitting.phase)
      if phase not in seen:
        mark = time.perf_counter()
      with parallel.no_hidden_copies():
        sitting.state, metrics = steps[phase](sitting.state, frozen, batch)
      sitting.step += 1
      clock.images += sum(
          int(rows.sum()) for key, rows in batch.items()
          if key.endswith('mask'))
      sitting.pending.append(metrics)
      if phase not in seen:
        seen.add(phase)
        jax.block_until_ready(sitting.state.step)
        now = time.perf_counter()
        clock.compile_s[phase] = clock.compile_s.get(phase, 0.0) + now - mark
        mark = now
      else:
        clock.phase_steps[phase] = clock.phase_steps.get(phase, 0) + 1
      last = sitting.step == plan.num_steps
      check = plan.checks(sitting.step)
      settled = (check or plan.turns(sitting.step)
                 or sitting.step % plan.log_every == 0)
      if settled:
        settle()
        _log_steps(sitting, tell)
        if parallel.fetch_scalar(sitting.state.skipped) > 0:
          stop = NOT_FINITE
      if stop == FINISHED and check:
        if not _check(sitting, controller, plan, hooks):
          stop = STOP_RULE
        mark = time.perf_counter()
      tell({'event': 'tick', 'step': sitting.step, 'phase': phase})
      asked, due = hosts.agreed(
          settled, request.requested,
          time.perf_counter() - saved_at >= checkpoint_seconds)
      if asked and not last and stop == FINISHED:
        settle()
        stop = INTERRUPTED
      if checkpoints is not None and (
          stop == INTERRUPTED
          or (due and check and not last and stop == FINISHED)):
        save(checkpoints)
      if stop != FINISHED:
        break
  if stop in (NOT_FINITE, STOP_RULE):
    event = {'event': 'stop', 'step': sitting.step, 'reason': stop}
    log.write(event)
    tell(event)
  return LoopResult(
      sitting.state.variables, sitting.kept, sitting.history, stop,
      sitting.step, clock)


def _log_steps(sitting, tell):
  """One line: sums over the steps since the last line, divided."""
  if not sitting.pending:
    return
  fetched = parallel.fetch_scalars(sitting.pending)
  sitting.pending = []
  names = sorted({name for metrics in fetched for name in metrics})
  sums = {n: math.fsum(m[n] for m in fetched if n in m) for n in names}
  event = {'event': 'steps', 'step': sitting.step, 'phase': sitting.phase}
  for name, value in sums.items():
    if not name.endswith('_sum'):
      continue
    per_row = name in ('loss_sum', 'correct_sum')
    divisor = sums['count'] if per_row else sums['steps']
    mean = value / divisor if divisor else math.nan
    event[name.removesuffix('_sum')] = mean if math.isfinite(mean) else None
  event['skipped'] = int(parallel.fetch_scalar(sitting.state.skipped))
  sitting.log.write(event)
  tell(event)


def _check(sitting, controller, plan, hooks):
  """Measures, logs, chooses the states to keep and the next phase.

  Returns:
    Whether the run goes on.
  """
  start = time.perf_counter()
  with parallel.no_hidden_copies():
    measured = controller.measure(sitting.state.variables)
  figures = hosts.from_first(dict(measured))
  figures['step'] = sitting.step
  seconds = time.perf_counter() - start
  if sitting.measured:
    sitting.clock.check_s += seconds
    sitting.clock.checks += 1
  else:
    sitting.clock.first_check_s += seconds
    sitting.measured = True
  candidates = [*sitting.kept, (figures, None)]
  chosen = controller.keep([f for f, _ in candidates])
  sitting.kept = [
      (f, _copy(sitting.state.variables) if v is None else v)
      for f, v in (candidates[i] for i in chosen)]
  sitting.history.append(figures)
  phase = controller.phase(figures)
  if phase is not None:
    sitting.phase = (plan.schedule(min(sitting.step, plan.num_steps - 1))
                     if plan.schedule else phase)
    if sitting.phase not in plan.steps:
      raise ValueError(
          f'Expected a phase of {sorted(plan.steps)}, got {sitting.phase!r}.')
  event = {'event': 'check', **figures,
           'next_phase': None if phase is None else sitting.phase,
           'check_s': seconds}
  sitting.log.write(event)
  for hook in hooks:
    hook({'num_steps': plan.num_steps, **event})
  return phase is not None


def _copy(variables):
  return jax.tree.map(jnp.copy, variables)
