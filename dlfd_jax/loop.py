"""The host loop: every training and every unlearning run goes through it.

It feeds batches to compiled steps, measures the model at fixed intervals, lets
a controller choose the next phase and the states worth keeping, writes the log
and checkpoints the whole of itself, so that a killed run ends as if it had not
been. It reads the device at checks and log points only. ``together`` runs
several at once.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypedDict

import jax
import jax.numpy as jnp
import numpy as np

from dlfd_jax import checkpoint, parallel, training as train
from dlfd_jax.data import batching
from dlfd_jax.models import Variables
from dlfd_jax.utils import (
  hosts,
  records,
  runs,
  schemas,
  stop_requests,
  validate,
)

Metrics = dict[str, Any]  # of one check: JSON values by name
Hook = Callable[[dict[str, Any]], None]

FINISHED = 'finished'
NOT_FINITE = 'not finite'
INTERRUPTED = 'interrupted'
STOP_RULE = 'stop rule'


class Controller(Protocol):
  """Watches a run. Its decisions depend on metrics alone, so they resume."""

  def measure(self, variables: Variables) -> Metrics:
    """Metrics of the current model: the only costly call."""

  def phase(self, metrics: Metrics) -> str | None:
    """The phase of the next steps; None ends the run here.

    ``metrics['step']`` is 0 at the start.
    """

  def keep(self, candidates: Sequence[Metrics]) -> list[int]:
    """Which measured states may still be selected in the end.

    The state at step 0 is the first candidate.
    """


class Unsteered:
  """Controls nothing: one phase to its end, and no state is kept.

  Args:
    phase: its name.
  """

  def __init__(self, phase: str):
    self._phase = phase

  def measure(self, variables: Variables) -> Metrics:
    """Nothing."""
    del variables
    return {}

  def phase(self, metrics: Metrics) -> str:
    """The only one."""
    del metrics
    return self._phase

  def keep(self, candidates: Sequence[Metrics]) -> list[int]:
    """None."""
    del candidates
    return []


class Reads(Protocol):
  """What says which constants a step reads: a plan, here or of a method."""

  @property
  def steps(self) -> Mapping[str, parallel.StepFn]:
    """By phase."""

  @property
  def constants(self) -> Mapping[str, Any]:
    """Of all phases."""

  @property
  def phase_constants(self) -> Mapping[str, Mapping[str, Any]]:
    """Of one phase each."""


def constants_by_phase(plan: Reads, num_steps: int, data: Mapping[str, Any],
                       devices: parallel.Devices) -> dict[str, dict[str, Any]]:
  """All that the step of each phase reads beside its batch.

  Args:
    plan: its steps, and their constants on the devices.
    num_steps: length of the run.
    data: the constants of the feed, on the devices.
    devices: where to run.
  """
  common = {**data, **plan.constants,
            'num_steps': devices.share(np.int32(num_steps))}
  return {phase: {**common, **plan.phase_constants.get(phase, {})}
          for phase in plan.steps}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
  """What a loop runs.

  Attributes:
    steps: one pure step per phase.
    start: the state at step 0, copied, never changed.
    num_steps: length of the run, at least 1.
    batch: what a step reads, see ``batching.Batches``.
    check_every: steps between measurements; start and end are measured too.
    log_every: steps between two lines of metrics.
    check_at: numbers of finished steps after which it is measured, too.
    schedule: phase of each step by its number, from 0; None = the controller's
      choice at the last measurement.
    constants: what the steps read beside the data, on the devices already.
    phase_constants: likewise, of one phase each: phases that differ in numbers
      alone can share a step, which is then compiled once.
    done: steps of the stages before this one, of which there may be none: the
      log counts on from them and keeps their events; None = it is the first.

  Raises:
    ValueError: if a number is below 1 or there is no step.
  """

  steps: Mapping[str, parallel.StepFn]
  start: train.TrainState
  num_steps: int
  batch: Callable[[int], Any]
  check_every: int
  log_every: int = 10
  check_at: frozenset[int] = frozenset()
  schedule: Callable[[int], str] | None = None
  constants: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  phase_constants: Mapping[str, Mapping[str, Any]] = dataclasses.field(
      default_factory=dict)
  done: int | None = None

  def __post_init__(self) -> None:
    if not self.steps:
      raise ValueError('Expected at least one step, got none.')
    for name in ('num_steps', 'check_every', 'log_every'):
      validate.integer(name, getattr(self, name))

  def reads(self, data: Mapping[str, Any],
            devices: parallel.Devices) -> dict[str, dict[str, Any]]:
    """See :func:`constants_by_phase`."""
    return constants_by_phase(self, self.num_steps, data, devices)

  def checks(self, step: int) -> bool:
    """Whether the model is measured after ``step`` finished steps."""
    return (step == self.num_steps or step % self.check_every == 0
            or step in self.check_at)


@dataclasses.dataclass
class Clock:
  """Where the time went, seconds; compiling stands apart.

  A session is one process's work on a run, from its start or its checkpoint.
  ``phase_s`` and ``phase_steps`` count the steps of each phase without the
  first of every session, whose time is in ``compile_s``, where ``trial`` is
  what first steps and the first reading of a trial took. Likewise ``check_s``
  and ``checks`` leave out the first check of every session. ``choose_s`` is the
  final choice of a state, the evaluation of its candidates included, and
  ``trial_s`` the rest of the choice of a rate. ``images`` are the rows that
  steps read, without padding; of several processes, this one's. ``step_flops``
  is XLA's count of the operations of one step of a phase, on all devices.
  """

  compile_s: dict[str, float] = dataclasses.field(default_factory=dict)
  phase_s: dict[str, float] = dataclasses.field(default_factory=dict)
  phase_steps: dict[str, int] = dataclasses.field(default_factory=dict)
  check_s: float = 0.0
  first_check_s: float = 0.0
  checks: int = 0
  checkpoint_s: float = 0.0
  choose_s: float = 0.0
  trial_s: float = 0.0
  images: int = 0
  step_flops: dict[str, float] = dataclasses.field(default_factory=dict)

  @property
  def work_s(self) -> float:
    """Trial, steps, checks, choice: a run's cost once all is compiled."""
    return (self.trial_s + sum(self.phase_s.values()) + self.check_s
            + self.choose_s)

  @property
  def total_s(self) -> float:
    """Everything that the loop did."""
    return (sum(self.compile_s.values()) + self.work_s + self.first_check_s
            + self.checkpoint_s)

  def __add__(self, other: Clock) -> Clock:
    """The clock of two stages of one run."""
    def both(a: Any, b: Any) -> Any:
      if isinstance(a, dict):
        return {name: a.get(name, 0) + b.get(name, 0) for name in {**a, **b}}
      return a + b

    return dataclasses.replace(
        Clock(*(both(getattr(self, field.name), getattr(other, field.name))
                for field in dataclasses.fields(Clock))),
        step_flops={**self.step_flops, **other.step_flops})


@dataclasses.dataclass(frozen=True)
class LoopResult:
  """How a run ended.

  Attributes:
    variables: the last model, on the devices.
    kept: the states that the controller kept, with their metrics.
    history: the metrics of every check.
    stop: ``'finished'``, ``'stop rule'`` (of the controller), ``'not finite'``
      or ``'interrupted'``.
    steps: finished steps.
    clock: times over all sessions of the run.
  """

  variables: Variables
  kept: list[tuple[Metrics, Variables]]
  history: list[Metrics]
  stop: str
  steps: int
  clock: Clock


class Session:
  """One process's work on a run: from its start, or its last checkpoint, on."""

  def __init__(self, plan: Plan, devices: parallel.Devices,
               controller: Controller, log: runs.MetricsLog,
               hooks: Sequence[Hook]):
    self.plan, self.controller = plan, controller
    self.log, self.hooks = log, hooks
    self._devices = devices
    self.state = devices.place(plan.start)
    self.compiled = {
        name: devices.compile(step) for name, step in plan.steps.items()}
    self.step = 0
    self.phase = ''
    self.stop = FINISHED
    self.kept: list[tuple[Metrics, Variables]] = []
    self.history: list[Metrics] = []
    self.pending: list[train.StepMetrics] = []  # of steps not in the log yet
    self.clock = Clock()
    self._compiled_phases: set[str] = set()
    self._checked = False
    self.ended = False  # before it was resumed: its end was told
    self._mark = time.perf_counter()  # time up to here is booked

  def begin(self, checkpoints: checkpoint.LoopCheckpoints | None) -> None:
    """Goes on from the latest checkpoint; without one measures the start."""
    latest = None if checkpoints is None else checkpoints.latest()
    if checkpoints is not None and latest is not None:
      self.restore(checkpoints, latest)
      return
    if self.plan.done is None:
      self.log.truncate(0)
    self.check()

  def restore(self, checkpoints: checkpoint.LoopCheckpoints,
              step: int) -> None:
    meta = stored(checkpoints.meta(step), f'the checkpoint of step {step}')
    like: dict[str, Any] = {'state': self.state.stored()}
    for i in range(len(meta['kept'])):
      like[f'kept{i}'] = self.state.variables
    tree = checkpoints.restore(step, like)
    self.state = self.state.replace(**tree['state'])
    self.kept = [(metrics, tree[f'kept{i}'])
                 for i, metrics in enumerate(meta['kept'])]
    self.step, self.phase = meta['step'], meta['phase']
    self.history = meta['history']
    if self.history[-1]['step'] == self.step and self.controller.phase(
        self.history[-1]) is None:  # the end of a stage
      self.stop, self.ended = STOP_RULE, True
    self.pending = [_step_metrics(fields) for fields in meta['pending']]
    self.clock = meta['clock']
    # Lines of steps that were not saved will be written again; those of steps
    # that were come from the checkpoint, whatever became of the file.
    if 'events' in meta:
      self.log.restore(meta['events'])
    else:  # of an earlier version
      self.log.truncate(meta['lines'])

  def save(self, checkpoints: checkpoint.LoopCheckpoints) -> float:
    """Saves the whole session; the time at which that is done."""
    tree: dict[str, Any] = {'state': self.state.stored()}
    for i, (_, variables) in enumerate(self.kept):
      tree[f'kept{i}'] = variables
    checkpoints.save(self.step, tree, {
        'step': self.step, 'phase': self.phase, 'history': self.history,
        'kept': [metrics for metrics, _ in self.kept],
        'pending': [dataclasses.asdict(metrics) for metrics
                    in parallel.fetch_scalars(self.pending)],
        'events': self.log.events, 'clock': dataclasses.asdict(self.clock)})
    self.clock.checkpoint_s += self._lap()
    return self._mark

  def tell(self, event: dict[str, Any], log: bool = True) -> None:
    """An event for the hooks and, unless it is a tick, for the log."""
    before = self.plan.done or 0
    event = {**event, 'step': event['step'] + before}
    if log:
      self.log.write(event)
    for hook in self.hooks:
      hook({'num_steps': before + self.plan.num_steps, **event})

  def _lap(self) -> float:
    """Seconds since the last call."""
    before, self._mark = self._mark, time.perf_counter()
    return self._mark - before

  def take(self, by_phase: Mapping[str, Any], batch: Any) -> None:
    """One step. It is only dispatched: the device may still be at work."""
    if self.plan.schedule is not None:
      self.phase = self.plan.schedule(self.step)
    constants = by_phase[self.phase]
    # Of each phase the first step of a session compiles: it is waited for and
    # booked apart, so that the others tell what a step costs.
    first = self.phase not in self._compiled_phases
    if first:
      self._mark = time.perf_counter()
      # Before the step, which may change the types that it was compiled for.
      flops = self._devices.step_flops(
          self.plan.steps[self.phase], self.state, constants, batch)
      if flops is not None:
        self.clock.step_flops[self.phase] = flops
    with parallel.no_hidden_copies():
      self.state, metrics = self.compiled[self.phase](
          self.state, constants, batch)
    self.step += 1
    self.clock.images += batching.real_rows(batch)
    self.pending.append(metrics)
    if first:
      self._compiled_phases.add(self.phase)
      self.settle(self.clock.compile_s)
    else:
      steps = self.clock.phase_steps
      steps[self.phase] = steps.get(self.phase, 0) + 1

  def settle(self, times: dict[str, float] | None = None) -> None:
    """Waits for the device and books the time since the last wait.

    To the steps of the phase, unless ``times`` are given.
    """
    times = self.clock.phase_s if times is None else times
    jax.block_until_ready(self.state.step)
    times[self.phase] = times.get(self.phase, 0.0) + self._lap()

  def log_steps(self, skipped: int) -> None:
    """One line: the means over the steps since the last line.

    Args:
      skipped: steps of the run that were not finite and dropped.
    """
    if self.pending:
      fetched = parallel.fetch_scalars(self.pending)
      self.pending = []
      means: dict[str, float | None] = {}  # None where that is no number
      for sums, divisor in (
          ([m.rows for m in fetched], sum(m.count for m in fetched)),
          ([m.step for m in fetched], len(fetched))):
        for name in {name for step in sums for name in step}:
          total = math.fsum(step[name] for step in sums if name in step)
          mean = total / divisor if divisor else math.nan
          means[name] = mean if math.isfinite(mean) else None
      self.tell({'event': 'steps', 'step': self.step, 'phase': self.phase,
                  **dict(sorted(means.items())), 'skipped': skipped})
    if skipped:
      self.stop = NOT_FINITE

  def check(self) -> None:
    """Measures, logs, chooses the states to keep and the next phase."""
    start = time.perf_counter()
    with parallel.no_hidden_copies():
      measured = self.controller.measure(self.state.variables)
    # All processes decide by the same numbers, or they would part.
    metrics = hosts.from_first(dict(measured))
    metrics['step'] = self.step
    seconds = time.perf_counter() - start
    if self._checked:
      self.clock.check_s += seconds
      self.clock.checks += 1
    else:  # it compiles the evaluation
      self.clock.first_check_s += seconds
      self._checked = True
    candidates = [*self.kept, (metrics, None)]
    chosen = self.controller.keep([m for m, _ in candidates])
    self.kept = [  # a copy, as the next step takes the state's memory
        (m, jax.tree.map(jnp.copy, self.state.variables) if v is None else v)
        for m, v in (candidates[i] for i in chosen)]
    self.history.append(metrics)
    phase = self.controller.phase(metrics)
    if phase is None:
      self.stop = STOP_RULE
    else:
      self.phase = phase if self.plan.schedule is None else self.plan.schedule(
          min(self.step, self.plan.num_steps - 1))
      if self.phase not in self.plan.steps:
        raise ValueError(f'Expected a phase of {sorted(self.plan.steps)}, got '
                         f'{self.phase!r}.')
    self.tell({'event': 'check', **metrics,
                'next_phase': None if phase is None else self.phase,
                'check_s': seconds})
    self._lap()  # a check is no step's time


def run(plan: Plan, data: Mapping[str, Any], *, devices: parallel.Devices,
        feed: batching.Feed, controller: Controller,
        log: runs.MetricsLog | None = None,
        checkpoints: checkpoint.LoopCheckpoints | None = None,
        checkpoint_seconds: float = 60.0, hooks: Sequence[Hook] = (),
        save_last: bool = False) -> LoopResult:
  """Runs a plan to its end, to a stop or on from its checkpoint.

  Args:
    plan: what to run.
    data: the constants of ``feed``, on the devices; see ``Plan.reads``.
    devices: where to run.
    feed: turns index batches into batches.
    controller: measures and decides.
    log: receives one event per line.
    checkpoints: where the loop saves itself; resumed if one is there.
    checkpoint_seconds: least time between two saves, at least 0.
    hooks: called with every event and after every step.
    save_last: save the end, too: another stage follows.

  Returns:
    The last model, the kept ones and the history.
  """
  log = runs.MetricsLog() if log is None else log
  session = Session(plan, devices, controller, log, hooks)
  constants = plan.reads(data, devices)
  session.begin(checkpoints)
  saved_at = time.perf_counter()
  end = plan.num_steps if session.stop == FINISHED else session.step
  with stop_requests.on_signals() as request:
    for batch in feed.batches(plan.batch, session.step, end):
      session.take(constants, batch)
      check = plan.checks(session.step)
      settled = (check or session.step % plan.log_every == 0 or (
          plan.schedule is not None  # it changes the phase here
          and plan.schedule(session.step) != session.phase))
      if settled:  # the only places where the host waits for the device
        session.settle()
        session.log_steps(int(parallel.fetch_scalars(session.state.skipped)))
      if check and session.stop == FINISHED:
        session.check()
      session.tell({'event': 'tick', 'step': session.step,
                    'phase': session.phase}, log=False)
      # A signal or a clock of one process must stop or save all of them at the
      # same step; they agree where they wait anyway, as asking takes time.
      asked, due = hosts.agreed(
          settled, request.requested,
          time.perf_counter() - saved_at >= checkpoint_seconds)
      unfinished = session.step < plan.num_steps and session.stop == FINISHED
      goes_on = unfinished or (save_last and session.stop != NOT_FINITE)
      if asked and goes_on:
        session.settle()
        session.stop, request.number = INTERRUPTED, None
      # Saves wait for a check: its metrics are in the log by then, and a
      # resumed run need not measure the restored model to know its phase.
      if checkpoints is not None and (
          session.stop == INTERRUPTED or (unfinished and due and check)):
        saved_at = session.save(checkpoints)
      if session.stop != FINISHED:
        break
  if session.stop in (NOT_FINITE, STOP_RULE) and (
      not session.ended):
    session.tell({
        'event': 'stop', 'step': session.step, 'reason': session.stop})
  if checkpoints is not None and save_last and session.stop in (
      FINISHED, STOP_RULE):
    session.save(checkpoints)
  return LoopResult(
      session.state.variables, session.kept, session.history, session.stop,
      session.step, session.clock)


class _Pending(TypedDict, total=False):
  """The metrics of a step; older versions' have other names."""

  rows: dict[str, float]
  count: float
  step: dict[str, float]


class _Stored(TypedDict):
  """What a checkpoint says beside the arrays."""

  step: schemas.Count
  phase: str
  history: list[dict[str, float | bool | str | None]]
  kept: list[dict[str, float | bool | str | None]]
  pending: list[_Pending]
  clock: dict[str, Any]


class _WithEvents(_Stored):
  events: list[schemas.Event]


class _WithLines(_Stored):
  """That of an earlier version."""

  lines: schemas.Count


def stored(meta: dict[str, Any], where: str) -> dict[str, Any]:
  """The JSON of a checkpoint, its clock as a :class:`Clock`.

  Raises:
    ValueError: if it is not whole.
  """
  records.fit(meta, _Stored, where)
  records.fit(meta, _WithLines if 'lines' in meta else _WithEvents, where)
  return {**meta, 'clock': records.fit(
      meta['clock'], Clock, f'clock of {where}',
      later=[field.name for field in dataclasses.fields(Clock)])}


def _step_metrics(fields: dict[str, Any]) -> train.StepMetrics:
  """Stored metrics of a step, also as older versions stored them."""
  if 'rows' in fields:
    return train.StepMetrics(
        rows=fields['rows'], count=fields.get('count', 0.0),
        step=fields.get('step', {}))
  sums = {name.removesuffix('_sum'): value for name, value in fields.items()
          if name.endswith('_sum')}
  rows = {name: value for name, value in sums.items()
          if name in ('loss', 'correct')}
  return train.StepMetrics(
      rows=rows, count=fields.get('count', 0.0),
      step={name: sums[name] for name in sums if name not in rows})
