"""Runs any method: what the methods' plans have in common stands here."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

from dlfd_jax import checkpoint, loop, parallel
from dlfd_jax.data import feed as feed_lib
from dlfd_jax.methods import base, monitor
from dlfd_jax.models import Variables
from dlfd_jax.utils import runs


@dataclasses.dataclass(frozen=True)
class UnlearnResult:
  """What a method returns.

  Attributes:
    selected: the variables to use, on the devices.
    last: the variables after the last step.
    selected_step: step of the selected state.
    reason: why it was selected, one sentence.
    findings: thresholds and flags of the run.
    history: the metrics of every check.
    stop: how the loop ended, see ``loop.LoopResult``.
    steps: finished steps.
    clock: where the time went.
    config: of the method.
    check_every: steps between two checks.
  """

  selected: Variables
  last: Variables
  selected_step: int
  reason: str
  findings: dict[str, Any]
  history: list[loop.Metrics]
  stop: str
  steps: int
  clock: loop.Clock
  config: base.Method
  check_every: int

  @property
  def check_share(self) -> float | None:
    """Time of one check over that of the costliest steps between two.

    Means over the run, compiling left out; None if either was never timed. For
    DLFD the costliest steps are the distance steps.
    """
    clock = self.clock
    step_s = max((clock.phase_s[phase] / steps
                  for phase, steps in clock.phase_steps.items()), default=0.0)
    if not step_s or not clock.checks:
      return None
    return clock.check_s / clock.checks / (self.check_every * step_s)


def prepare(setting: base.Setting, config: base.Method
            ) -> tuple[loop.Plan, base.MethodController]:
  """What the loop runs, and what measures, switches phases and selects."""
  inner = config.inner
  plan = config.plan(setting)
  live = monitor.LiveAttack(setting, inner.live_limit, plan.attack)
  epoch = plan.batches.steps_per_epoch
  default = plan.check_every or monitor.default_check_every(
      epoch, live.images, inner.batch_size, plan.passes)
  controller: base.MethodController = monitor.Monitor(
      live, setting.original, inner, plan)
  if plan.control is not None:
    controller = plan.control(controller)
  return loop.Plan(
      steps=plan.steps, num_steps=plan.length(inner),
      batch=plan.batches.batch, check_every=inner.check_every or default,
      check_at=plan.check_at, schedule=plan.schedule, constants=plan.constants,
      start=plan.start or setting.state(inner)), controller


def unlearn(problem: base.Problem, config: base.Method, *,
            devices: parallel.Devices | None = None,
            device_bytes: int = feed_lib.DEFAULT_DEVICE_BYTES,
            log: runs.MetricsLog | None = None,
            checkpoints: checkpoint.LoopCheckpoints | None = None,
            checkpoint_seconds: float = 60.0,
            hooks: Sequence[loop.Hook] = ()) -> UnlearnResult:
  """Makes a trained classifier forget; the method is that of the config.

  Args:
    problem: the classifier, the data and whom to forget.
    config: a ``DLFDConfig`` or another method's.
    devices: where to run; all local devices by default.
    device_bytes: largest data set that is kept on the device.
    log: receives the events.
    checkpoints: where the run saves itself and resumes from.
    checkpoint_seconds: least time between two saves.
    hooks: called with every event.

  Returns:
    The selected and the last variables, and how they came about. The
    problem's own variables are unchanged.

  Raises:
    ValueError: if ``config`` is that of no method, or the batch cannot be split
      over the devices.
  """
  if not isinstance(config, base.Method):
    raise ValueError(
        f'Expected the config of a method, got {type(config).__name__}.')
  devices = devices or parallel.Devices()
  devices.check_batch_size(config.inner.batch_size)
  setting = base.Setting.of(problem, devices, device_bytes)
  plan, controller = prepare(setting, config)
  out = loop.run(
      plan, setting.constants, devices=devices, feed=setting.feed,
      controller=controller, log=log, checkpoints=checkpoints,
      checkpoint_seconds=checkpoint_seconds, hooks=hooks)
  chosen, reason = None, 'the run was interrupted'
  if out.stop != loop.INTERRUPTED:  # nobody waits for a choice then
    start = time.perf_counter()
    chosen, reason = controller.choose(out.kept, out.variables)
    out.clock.choose_s = time.perf_counter() - start
  if chosen is None:
    step, selected = out.steps, out.variables
    metrics = out.history[-1] if out.history[-1]['step'] == step else None
  else:
    metrics, selected = out.kept[chosen]
    step = metrics['step']
  return UnlearnResult(
      selected, out.variables, step, reason, controller.findings(metrics),
      out.history, out.stop, out.steps, out.clock, config, plan.check_every)
