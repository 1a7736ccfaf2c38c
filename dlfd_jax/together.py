"""The host loop of several runs at once, on each device in one program."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np

from dlfd_jax import checkpoint, loop, parallel, training as train
from dlfd_jax.data import batching
from dlfd_jax.utils import runs, stop_requests


class _Block:
  """The sessions of one device, their states stacked, and one step for all.

  A session whose run is over keeps its place; its batches have no rows.
  """

  def __init__(self, sessions: Sequence[loop.Session],
               checkpoints: Sequence[checkpoint.LoopCheckpoints | None],
               constants: Any, device: jax.Device):
    self.sessions, self._checkpoints = sessions, checkpoints
    self._constants, self._device = constants, device
    (self._phase, step), = sessions[0].plan.steps.items()
    self._step = train.make_member_step(step)
    self._lengths = jax.device_put(np.array(
        [s.plan.num_steps for s in sessions], np.int32), device)
    self._state = jax.device_put(jax.tree.map(
        lambda *leaves: jnp.stack(leaves), *[s.state for s in sessions]),
        device)
    self._metrics: list[train.StepMetrics] = []  # of steps since the last wait
    for session in sessions:  # the memory is needed
      session.state = None

  @property
  def active(self) -> list[tuple[int, loop.Session]]:
    """Those whose run goes on, with their places."""
    return [(k, s) for k, s in enumerate(self.sessions)
            if s.stop == loop.FINISHED and s.step < s.plan.num_steps]

  def take(self, batch: batching.Batch) -> None:
    """One step of all; dispatched only."""
    self._state, metrics = self._step(
        self._state, self._constants, self._lengths,
        jax.device_put(batch, self._device))
    self._metrics.append(metrics)
    for k, session in self.active:
      session.step += 1
      session.clock.images += int(batch.mask[k].sum())

  def settle(self, active: Sequence[tuple[int, loop.Session]], since: float,
             first: bool) -> np.ndarray:
    """Waits, and gives each session its metrics and its share of the time.

    Args:
      active: the sessions before the last step.
      since: the time from which on the steps ran.
      first: they are the first one of all, which compiles.

    Returns:
      Of every place how many steps were skipped.
    """
    steps = parallel.fetch(self._metrics)
    skipped = parallel.fetch(self._state.skipped)
    self._metrics = []
    for k, session in active:
      session.pending += [
          jax.tree.map(lambda values, k=k: float(values[k]), metrics)
          for metrics in steps]
      # Of what all take together: so much of the device a model costs.
      share = (time.perf_counter() - since) / len(active)
      clock, name = session.clock, self._phase
      times = clock.compile_s if first else clock.phase_s
      times[name] = times.get(name, 0.0) + share
      if not first:
        clock.phase_steps[name] = clock.phase_steps.get(name, 0) + len(steps)
    return skipped

  def report(self, due: Sequence[tuple[int, loop.Session]],
             skipped: np.ndarray) -> None:
    """Writes lines of the log, and measures the models whose check it is.

    Args:
      due: the sessions, with their places.
      skipped: see :meth:`settle`.
    """
    for k, session in due:
      session.log_steps(int(skipped[k]))
      if session.plan.checks(session.step) or session.stop != loop.FINISHED:
        self._show(k)
        if session.stop == loop.FINISHED:
          session.check()
        self._hide(k)

  def save(self, interrupted: bool) -> None:
    """Saves the sessions that go on, and stops them if a signal asked for it.

    Each in its own checkpoint, so that it can also go on alone.
    """
    for k, session in self.active:
      self._show(k)
      saver = self._checkpoints[k]
      if saver is not None:
        session.save(saver)
      if interrupted:
        session.stop = loop.INTERRUPTED
      self._hide(k)

  def _show(self, k: int) -> None:
    """Gives a session its own state."""
    self.sessions[k].state = jax.tree.map(lambda leaf: leaf[k], self._state)

  def _hide(self, k: int) -> None:
    """Takes it back; of a run that is over it leaves the model, on the host."""
    session = self.sessions[k]
    session.state = None if k in dict(self.active) else dataclasses.replace(
        session.state, params=parallel.fetch(session.state.params),
        batch_stats=parallel.fetch(session.state.batch_stats), opt_state=())


def run(plans: Iterable[loop.Plan], data: Mapping[str, Any], *,
        devices: parallel.Devices, feed: batching.Feed,
        controllers: Sequence[loop.Controller],
        logs: Sequence[runs.MetricsLog],
        checkpoints: Sequence[checkpoint.LoopCheckpoints | None],
        checkpoint_seconds: float = 60.0,
        hooks: Sequence[loop.Hook] = ()) -> list[loop.LoopResult]:
  """Runs plans of one and the same step at once, as ``loop.run`` each of them.

  Each device takes an equal share of the models and steps them in one program,
  see ``training.make_member_step``; a model ends at its own length. Of several
  processes only one may do this.

  Args:
    plans: one phase each, without a schedule or constants; whoever gives them
      must not keep them, as their states take memory.
    data: the constants of ``feed``, shared on the devices.
    devices: where to run.
    feed: turns index batches into batches.
    controllers: of each.
    logs: of each.
    checkpoints: of each; every model resumes from its own.
    checkpoint_seconds: least time between two saves, which besides take at most
      a twentieth of the time.
    hooks: called with ticks that count the steps of the longest.
  """
  local = devices.each(data)
  alone = [parallel.Devices([device]) for device in devices.devices]
  sessions: list[loop.Session] = []
  for i, plan in enumerate(plans):
    session = loop.Session(
        plan, alone[i % len(alone)], controllers[i], logs[i], ())
    session.begin(checkpoints[i])
    # The memory is needed: of every state there is one copy.
    session.plan = dataclasses.replace(plan, start=cast(Any, None))
    sessions.append(session)
  blocks = [_Block(sessions[i::len(alone)], checkpoints[i::len(alone)],
                   local[i], one.devices[0])
            for i, one in enumerate(alone[:len(sessions)])]
  begun = {s: s.step for s in sessions}
  ticks = max(s.plan.num_steps - s.step for s in sessions)

  def batch_of(session: loop.Session, tick: int) -> batching.Batch:
    step = begun[session] + tick
    if step < session.plan.num_steps:
      return session.plan.batch(step)
    idle = session.plan.batch(0)
    return idle.replace(mask=np.zeros_like(idle.mask))

  def batches_of(tick: int) -> list[batching.Batch]:
    return [jax.tree.map(lambda *rows: np.stack(rows), *[
        batch_of(session, tick) for session in block.sessions])
        for block in blocks]

  mark = saved_at = time.perf_counter()
  save_s = 0.0
  with stop_requests.on_signals() as request:
    for tick, batches in enumerate(feed.batches(batches_of, 0, ticks)):
      before = [block.active for block in blocks]
      for block, batch in zip(blocks, batches, strict=True):
        block.take(batch)
      for hook in hooks:
        hook({'event': 'tick', 'step': tick + 1, 'num_steps': ticks})
      due = [[(k, s) for k, s in active
              if s.plan.checks(s.step) or s.step % s.plan.log_every == 0]
             for active in before]
      if tick and not any(due):
        continue
      # All settle first: what one reports is no time of another's steps.
      settled = [block.settle(active, mark, first=not tick) if active else None
                 for block, active in zip(blocks, before, strict=True)]
      for block, skipped, of_block in zip(blocks, settled, due, strict=True):
        if skipped is not None:
          block.report(of_block, skipped)
      now = time.perf_counter()
      # Asked once: a signal that comes while they are saved stops all of them
      # when the next line is due, not those alone that are saved after it.
      asked = request.requested
      if asked or now - saved_at >= max(checkpoint_seconds, 20 * save_s):
        for block in blocks:
          block.save(interrupted=asked)
        saved_at = time.perf_counter()
        save_s = saved_at - now
      mark = time.perf_counter()
      if any(session.stop == loop.INTERRUPTED for session in sessions):
        request.number = None
        break
      if not any(block.active for block in blocks):
        break
  for session in sessions:
    if session.stop in (loop.NOT_FINITE, loop.STOP_RULE):
      session.tell({
          'event': 'stop', 'step': session.step, 'reason': session.stop})
  return [loop.LoopResult(s.state.variables, s.kept, s.history, s.stop, s.step,
                          s.clock) for s in sessions]
