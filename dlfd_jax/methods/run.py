"""Runs any method, under the eye of a live attack that decides and selects."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections.abc import Sequence
from typing import Any

from dlfd_jax import checkpoint, loop, parallel
from dlfd_jax.methods import base, live as live_lib, trial
from dlfd_jax.metrics import usable
from dlfd_jax.models import Variables
from dlfd_jax.utils import hosts, runs

_ACCURACY_SLACK = 0.01
AUC, SCORE = 'mia_auc', 'forgetting_score'  # what a threshold is a value of
_IN_WORDS = {AUC: '2 |attack AUC - .5|', SCORE: 'a forgetting score'}


def strength(metrics: loop.Metrics, by: str) -> float:
  """How well forget is told from val, in [0, 1].

  Thresholds from the null (``'null_mean'``, ``'null_95'``) are values of
  ``2 |AUC - .5|``, which the losses alone decide. A number is one of the
  paper's forgetting score, whose folds move it by up to .2 on one model.
  """
  return float(2 * abs(metrics['mia_auc'] - .5) if by == AUC else metrics[by])


class Monitor:
  """The controller of every method: measures, switches phases, selects.

  Args:
    live: measures.
    original: variables before the first step; they fix the thresholds.
    config: its ``selection`` and ``select_threshold``.
    plan: its phases, stop rule and findings.
    teaches: what it selects only teaches a later stage what to forget, and need
      keep no accuracy.
  """

  def __init__(self, live: live_lib.LiveAttack, original: Variables,
               config: base.MethodConfig, plan: base.Plan,
               teaches: bool = False):
    self._live = live
    self._rule, self._stop = plan.phases, plan.stop
    self._only = next(iter(plan.steps))  # the phase, if no rule chooses one
    self._findings: dict[str, Any] = {
        **plan.findings, 'steering': live.rule.kind,
        'attack_sizes': list(live.sizes)}
    if live.rule.because:
      self._findings['steering_reason'] = live.rule.because
    self._kind = live.rule.kind
    measured = self._kind != live_lib.PASSES
    asked: tuple[Any, ...] = (  # numbers, or names of the null's
        None if plan.phases is None else plan.phases.threshold,
        config.select_threshold)
    # Another pass over the images of the attack: only where its name is used.
    null: dict[Any, Any] = {}  # numbers by these names
    if measured and any(isinstance(threshold, str) for threshold in asked):
      null = dict(zip(base.THRESHOLDS,
                      hosts.from_first(list(live.null(original))), strict=True))
      self._findings |= null
    numbers: list[Any] = [
        null.get(threshold, threshold) if measured else None
        for threshold in asked]
    self._forget_threshold, self._select_threshold = numbers
    self._forget_by, self._select_by = (
        AUC if isinstance(threshold, str) else SCORE for threshold in asked)
    self._original = hosts.from_first(live.measure(original))
    blind = None
    if measured:
      # An unsigned rule is that of the released code, which has no such notion.
      signed = plan.phases is None or plan.phases.signed
      blind = signed and (strength(self._original, self._select_by)
                          <= self._select_threshold)
    self._selection = None if config.selection == 'last' or (
        blind is None) else Selection(
            self._select_threshold, blind,
            live.num_val if config.selection == 'one_se' else None,
            self._select_by,
            0.0 if teaches else max(
                0.0, self._original['val_accuracy'] - usable.MOST_LOST['val']
                - usable.ROUNDING))
    self._findings |= {
        'forget_threshold': self._forget_threshold,
        'select_threshold': self._select_threshold,
        'forget_by': self._forget_by,
        'select_by': self._select_by,
        'original_forgetting_score': self._original['forgetting_score'],
        'original_mia_auc': self._original['mia_auc'],
        'attack_blind_to_original': blind,
    }

  def measure(self, variables: Variables) -> loop.Metrics:
    """See ``LiveAttack.measure``."""
    return self._live.measure(variables)

  def phase(self, metrics: loop.Metrics) -> str | None:
    """The phase of the next steps; None = stop here."""
    if self._stops(metrics):
      return None
    rule = self._rule
    if rule is None:
      return self._only
    if rule.opening is not None and metrics['step'] == 0:
      return rule.opening
    if self._kind == live_lib.PASSES:
      return rule.active
    under = metrics['mia_auc'] > 0.5 or not rule.signed
    threshold = self._forget_threshold
    high = (threshold is not None
            and strength(metrics, self._forget_by) >= threshold)
    return rule.active if high and under else rule.resting

  def _stops(self, metrics: loop.Metrics) -> bool:
    """The plan's own stop rule, as far as the images can tell."""
    if self._stop is None or self._kind == live_lib.PASSES:
      return False
    # The accuracy on a few images is too coarse to stop by alone.
    known = self._kind == live_lib.RANK and metrics['mia_auc'] > 0.5
    return not known and self._stop(self._original, metrics)

  def keep(self, candidates: Sequence[loop.Metrics]) -> list[int]:
    """The states that may still be selected; never the original."""
    if self._selection is None or candidates[-1]['step'] == 0:
      return []
    return self._selection.keep(candidates)

  def choose(self, kept: Sequence[base.Kept],
             last: Variables) -> tuple[int | None, str]:
    """The selected state (None = the last one) and why."""
    del last
    if self._selection is None:
      return None, 'the last state' + (
          ', as nothing can be measured' if self._kind == live_lib.PASSES
          else '')
    return self._selection.choose([metrics for metrics, _ in kept])

  def findings(self, chosen: loop.Metrics | None) -> dict[str, Any]:
    """Thresholds and flags; what the selected state is like.

    ``select_threshold_met`` and ``loss_gap``, see ``LiveAttack.measure``, are
    None if the selected state was not measured.
    """
    met, gap = None, None
    if chosen is not None:
      if self._select_threshold is not None:
        met = strength(chosen, self._select_by) <= self._select_threshold
      gap = chosen.get('loss_gap')  # not in runs begun by older versions
    return {**self._findings, 'select_threshold_met': met, 'loss_gap': gap}


@dataclasses.dataclass(frozen=True)
class Selection:
  """Which of the measured states is returned.

  What is kept on the way and what is chosen in the end read the same fields:
  a state that could still win must not have been dropped.

  Candidates are metrics with ``val_accuracy``, ``forgetting_score`` and
  ``mia_auc``, in the order of their steps.

  Attributes:
    threshold: largest :func:`strength` of a state that counts as forgotten.
    blind: whether the attack could not see the original.
    num_val: images behind ``val_accuracy`` for the one-standard-error rule;
      None = the most accurate state as it is.
    by: what the threshold is a value of, ``AUC`` or ``SCORE``.
    least: val accuracy that a deletion has to keep, for the one-standard-error
      rule: it takes none below where any state has both.

  Source: the one-standard-error rule of Breiman et al. (1984), section 3.4.3.
  """

  threshold: float
  blind: bool
  num_val: int | None
  by: str = 'forgetting_score'
  least: float = 0.0

  def keep(self, candidates: Sequence[loop.Metrics]) -> list[int]:
    """Positions of the candidates that :meth:`choose` can still choose."""
    if self.blind:
      def beaten(i: int) -> bool:
        a = candidates[i]
        return any(
            b['val_accuracy'] >= a['val_accuracy'] and _off(b) <= _off(a)
            and (b['val_accuracy'] > a['val_accuracy'] or _off(b) < _off(a)
                 or j < i)
            for j, b in enumerate(candidates) if j != i)
      return [i for i in range(len(candidates)) if not beaten(i)]
    near = self._near_the_best(candidates)
    if not near:
      seen, missed = self._missed(candidates)
      # None that is too far from the best for any error, or behind a later one.
      return [i for i in range(len(candidates))
              if missed[i] <= min(missed) + self._error(.5) and not any(
                  seen[j] <= seen[i] and missed[j] <= missed[i]
                  for j in range(i + 1, len(candidates)))]
    # A state that is less accurate than a later one can neither be the best nor
    # outlast it within its standard error.
    later_best = [max((candidates[j]['val_accuracy'] for j in near if j > i),
                      default=-1.0) for i in near]
    return [i for i, other in zip(near, later_best, strict=True)
            if candidates[i]['val_accuracy'] > other]

  def choose(self, candidates: Sequence[loop.Metrics]
             ) -> tuple[int | None, str]:
    """Position of the state to return (None = none was measured), and why.

    The most accurate on val among those at or under the threshold, the earlier
    of equals; or, with ``num_val``, the latest of those within one standard
    error of that accuracy: the best of many measurements on few images is
    partly luck, and under a falling learning rate later states are the better
    trained ones; but none below ``least``. If no state is under the threshold
    (and, with ``num_val``, has ``least``), the one that misses by least, in
    points of AUC and of accuracy, as a state that has unlearned its task hides
    the forget set, too; or, with ``num_val``, the latest one which the attack
    sees no better and whose accuracy is within its standard error of that. If
    the attack could not see the original, the one whose signed AUC is nearest
    .5 among those within 1 point of the best val accuracy.
    """
    if not candidates:
      return None, 'no state was measured, so the last one is returned'
    order = range(len(candidates))
    if self.blind:
      best = max(c['val_accuracy'] for c in candidates)
      near = [i for i in order
              if candidates[i]['val_accuracy'] >= best - _ACCURACY_SLACK]
      chosen = min(near, key=lambda i: (
          _off(candidates[i]), -candidates[i]['val_accuracy']))
      return chosen, (
          'the attack cannot see the original at this sample size: the state '
          'with the val AUC nearest .5 within 1 point of the best val accuracy')
    near = self._near_the_best(candidates)
    if near:
      rule = 'the most accurate state on val'
      if self.num_val is not None:
        rule = ('the latest state within a standard error of the best val '
                'accuracy')
        if self.least > 0:
          rule += f', none below the {self.least:.3f} that it has to keep,'
      return near[-1], (
          f'{rule} with {_IN_WORDS[self.by]} of at most {self.threshold:.3f}')
    seen, missed = self._missed(candidates)
    best = min(order, key=lambda i: (missed[i], -i))
    most = missed[best] + self._error(candidates[best]['val_accuracy'])
    chosen = max(i for i in order
                 if missed[i] <= most and seen[i] <= seen[best])
    bound = f'{_IN_WORDS[self.by]} of {self.threshold:.3f}'
    if self._kept_accuracy > 0:
      return chosen, (
          f'no state both came under the threshold, {bound}, and had the val '
          f'accuracy of {self.least:.3f} that it has to keep: this one misses '
          'the two by least, or is a later one within a standard error of its '
          'accuracy')
    return chosen, (f'no state came under the threshold, {bound}: this one is '
                    'nearest to it')

  def _error(self, accuracy: float) -> float:
    """The standard error of an accuracy on val; 0 where it does not count."""
    return 0.0 if self.num_val is None else math.sqrt(
        accuracy * (1 - accuracy) / self.num_val)

  @property
  def _kept_accuracy(self) -> float:
    return 0.0 if self.num_val is None else self.least

  def _missed(self, candidates: Sequence[loop.Metrics]
              ) -> tuple[list[float], list[float]]:
    """How far each is above the threshold, and from both bounds.

    In points of AUC, or of the attack's accuracy where a score is the measure.
    """
    seen = [max(0.0, strength(c, self.by) - self.threshold) / 2
            for c in candidates]
    return seen, [of + max(0.0, self._kept_accuracy - c['val_accuracy'])
                  for of, c in zip(seen, candidates, strict=True)]

  def _near_the_best(self, candidates: Sequence[loop.Metrics]) -> list[int]:
    """Those under the threshold that count as the most accurate, in order."""
    good = [i for i, c in enumerate(candidates)
            if strength(c, self.by) <= self.threshold
            and c['val_accuracy'] >= self._kept_accuracy]
    if not good:
      return []
    first = max(good, key=lambda i: candidates[i]['val_accuracy'])
    if self.num_val is None:
      return [first]
    best = candidates[first]['val_accuracy']
    lowest = best - self._error(best)
    return [i for i in good if candidates[i]['val_accuracy'] >= lowest]


def _off(metrics: loop.Metrics) -> float:
  return abs(metrics['mia_auc'] - 0.5)


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
    teaches: see :class:`Monitor`.
  """
  inner = config.inner
  plan = config.plan(setting)
  live = live_lib.LiveAttack(setting, inner.live_limit, plan.attack)
  controller: base.MethodController = Monitor(
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
          done=sum(out.steps for out in done),
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
         checkpoint_seconds: float, hooks: Sequence[loop.Hook], done: int,
         is_last: bool, teaches: bool = False) -> UnlearnResult:
  """One stage, after ``done`` steps of the stages before it."""
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
