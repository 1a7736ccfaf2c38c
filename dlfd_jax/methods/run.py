"""Runs any method, stage by stage."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Sequence
from typing import Any

from dlfd_jax import checkpoint, loop, parallel
from dlfd_jax.methods import base, live as live_lib, monitor, trial
from dlfd_jax.models import Variables
from dlfd_jax.utils import runs


def default_check_every(num_batches: int, images: int, batch_size: int,
                        passes: int, num_steps: int | None = None) -> int:
  """Steps between checks so that these take a tenth of the time at most.

  A tenth by this count of forward passes is measured as up to an eighth, as an
  input gradient costs less than the two it is counted as; hence a twelfth. A
  run that is short beside its data is checked four times all the same: phases
  and the choice of a state need it.

  Args:
    num_batches: steps of one epoch.
    images: images that one check reads (forward only).
    batch_size: retain images a step.
    passes: forward passes over the batch that a step costs.
    num_steps: of the run; None = many.
  """
  cheap = -(-12 * images // (batch_size * passes))
  every = max(num_batches // 10, cheap, 1)
  return every if num_steps is None else min(every, -(-num_steps // 4))


def check_every(plan: base.Plan, config: base.MethodConfig,
                images: int) -> int:
  """Steps between the checks of a run.

  Args:
    plan: of the run.
    config: of its steps.
    images: that one check reads.
  """
  length = plan.length(config)
  return config.check_every or plan.check_every or min(
      default_check_every(plan.batches.steps_per_epoch, images,
                          config.batch_size, plan.passes, length),
      plan.check_within or length)


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
    check_share: time of one check over that of the costliest steps between two,
      means over a stage, compiling left out, and of stages the largest; None if
      either was never timed.
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
  check_share: float | None


def _check_share(clock: loop.Clock, check_every: int) -> float | None:
  """Of one stage, see :class:`UnlearnResult`."""
  step_s = max((clock.phase_s[phase] / steps
                for phase, steps in clock.phase_steps.items()), default=0.0)
  if not step_s or not clock.checks:
    return None
  return clock.check_s / clock.checks / (check_every * step_s)


def prepare(setting: base.Setting, config: base.Method, teaches: bool = False
            ) -> tuple[loop.Plan, base.MethodController]:
  """The loop's plan from the method's, and the controller of the run.

  The method says what a step is; how often the model is measured, and what then
  switches phases and selects a state, is the same for all methods.

  Args:
    setting: what it runs on.
    config: of the method, or of one of its stages.
    teaches: see :class:`monitor.Monitor`.
  """
  inner = config.inner
  plan = config.plan(setting)
  live = live_lib.LiveAttack(setting, inner.live_limit, plan.attack)
  controller: base.MethodController = monitor.Monitor(
      live, setting.original, inner, plan, teaches)
  if plan.control is not None:
    controller = plan.control(controller)
  return loop.Plan(
      steps=plan.steps, num_steps=plan.length(inner),
      batch=plan.batches.batch,
      check_every=check_every(plan, inner, live.images),
      check_at=plan.check_at, schedule=plan.schedule, constants=plan.constants,
      phase_constants=plan.phase_constants,
      start=plan.start or setting.state(inner)), controller


def unlearn(problem: base.Problem, config: base.Method, *,
            devices: parallel.Devices | None = None,
            log: runs.MetricsLog | None = None,
            checkpoints: checkpoint.LoopCheckpoints | None = None,
            checkpoint_seconds: float = 60.0,
            hooks: Sequence[loop.Hook] = ()) -> UnlearnResult:
  """Makes a trained classifier forget; the method is that of the config.

  Args:
    problem: the classifier, the data and whom to forget.
    config: a ``DLFDConfig`` or another method's.
    devices: where to run; all local devices by default.
    log: receives the events.
    checkpoints: where the run saves itself and resumes from.
    checkpoint_seconds: least time between two saves.
    hooks: called with every event.

  Returns:
    The selected and the last variables, and how they came about. The
    problem's own variables are unchanged.

  Raises:
    ValueError: if ``config`` is that of no method, the method cannot be run on
      the problem, or the batch cannot be split over the devices.
  """
  if not isinstance(config, base.Method):
    raise ValueError(
        f'Expected the config of a method, got {type(config).__name__}.')
  config.check(problem)
  devices = devices or parallel.Devices()
  stages = config.stages
  for stage in stages:
    devices.check_batch_size(stage.inner.batch_size)
  setting = base.Setting.of(problem, devices, config)
  done: list[UnlearnResult] = []
  for number, stage in enumerate(stages):
    with contextlib.ExitStack() as opened:
      saver = checkpoints
      if number and checkpoints is not None:
        saver = opened.enter_context(contextlib.closing(
            checkpoints.stage(f'stage_{number + 1}')))
      out = _run(
          stage.setting_of(setting), stage, devices=devices, log=log,
          checkpoints=saver, checkpoint_seconds=checkpoint_seconds, hooks=hooks,
          done=sum(out.steps for out in done) if number else None,
          is_last=number == len(stages) - 1,
          teaches=any(stage is one for one in config.teachers))
    done.append(out)
    if out.stop in (loop.INTERRUPTED, loop.NOT_FINITE):
      return _joined(done, config)
    setting = dataclasses.replace(setting, teacher=out.selected)
  return _joined(done, config, config.conclude(setting, out.selected))


def _run(setting: base.Setting, config: base.Method, *,
         devices: parallel.Devices, log: runs.MetricsLog | None,
         checkpoints: checkpoint.LoopCheckpoints | None,
         checkpoint_seconds: float, hooks: Sequence[loop.Hook],
         done: int | None,
         is_last: bool, teaches: bool = False) -> UnlearnResult:
  """One stage, after ``done`` steps of the stages before it, if any."""
  plan, controller = prepare(setting, config, teaches)
  tried = None
  if config.inner.trial is not None:
    tried = trial.of_run(setting, plan, config, checkpoints, hooks, teaches)
    plan = trial.at_rate(plan, tried['factor'])
  out = loop.run(
      dataclasses.replace(plan, done=done), setting.constants, devices=devices,
      feed=setting.feed, controller=controller, log=log,
      checkpoints=checkpoints, checkpoint_seconds=checkpoint_seconds,
      hooks=hooks, save_last=not is_last)
  if tried is not None:
    compile_s = tried.get('compile_s', 0.0)  # earlier versions did not say
    out.clock.compile_s['trial'] = compile_s
    out.clock.trial_s = tried['time_s'] - compile_s
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
  findings = controller.findings(metrics)
  if tried is not None:
    findings['trial'] = tried
  if setting.held_out is not None:
    findings['held_out'] = setting.held_out.counts
  return UnlearnResult(
      selected, out.variables, step, reason, findings, out.history, out.stop,
      out.steps, out.clock, config, _check_share(out.clock, plan.check_every))


def _joined(stages: Sequence[UnlearnResult], config: base.Method,
            concluded: dict[str, Any] | None = None) -> UnlearnResult:
  """The last stage's result, with steps counted from the first stage's on.

  Where the run has findings of its own, the last stage's stand among those of
  the others.
  """
  last = stages[-1]
  done, history, clock = 0, [], loop.Clock()
  for stage in stages:
    history += [{**metrics, 'step': metrics['step'] + done}
                for metrics in stage.history]
    clock = clock + stage.clock
    done += stage.steps
  selected_step = done - last.steps + last.selected_step
  findings = dict(last.findings if concluded is None else concluded)
  met = [stage.findings.get('select_threshold_met') for stage in stages]
  if concluded is not None:
    if False in met:
      findings['select_threshold_met'] = False
    elif None not in met:  # unless the run says that a part was not judged
      findings.setdefault('select_threshold_met', True)
    if any(stage.findings.get('attack_blind_to_original') for stage in stages):
      findings['attack_blind_to_original'] = True
  listed = stages[:-1] if concluded is None else stages
  if listed:
    findings['stages'] = [{
        'method': type(stage.config).title, 'steps': stage.steps,
        'selected_step': stage.selected_step, 'reason': stage.reason,
        'stop': stage.stop, **stage.findings} for stage in listed]
  return dataclasses.replace(
      last, selected_step=selected_step, findings=findings, history=history,
      steps=done, clock=clock, config=config, check_share=max(
          (stage.check_share for stage in stages
           if stage.check_share is not None), default=None))
