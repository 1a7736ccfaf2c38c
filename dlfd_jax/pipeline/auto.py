"""``unlearn --method=auto``: candidates in turn, until one is shown to pass.

Each candidate is a run of its own, judged on val alone: the accuracy that it
keeps (``metrics.usable``) and what attacks see of it (``acceptance``). The
first that is shown to pass is taken; one that passes all attacks, but of which
val is too small to tell whether it kept its accuracy, is held back for the case
that there is none. No attack is trusted that does not see the original
on this very request; where none does, and where too few people are to be
forgotten to show a difference, only exact retraining may be taken: trained from
new weights on retain alone, it holds nothing of forget whatever an attack says.
That is true of no method here: each starts at the original, and EU-k, too,
keeps the blocks below its cut as forget has shaped them. If nothing can be
taken, nothing is handed back as the deletion.
"""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from dlfd_jax import (
  checkpoint,
  loop,
  methods,
  models,
  parallel,
  presets,
  training,
)
from dlfd_jax.data import (
  dataset as dataset_lib,
  splits as splits_lib,
)
from dlfd_jax.metrics import usable
from dlfd_jax.pipeline import (
  acceptance,
  candidates as candidates_lib,
  chain,
  chain_checks,
  expected_cost,
  job,
  run_configs,
  train,
  unlearn,
)
from dlfd_jax.pipeline.candidates import Budget, Candidate
from dlfd_jax.utils import hosts, runs, text

METHOD = run_configs.AUTO
TAKEN, HELD, REFUSED, SKIPPED, NOT_NEEDED = (
    'taken', 'held back', 'refused', 'skipped', 'not needed')
_PLAN, _CANDIDATE = 'auto', 'candidate'  # events


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tried:
  """What became of a candidate.

  Attributes:
    name: its.
    title: its name for people.
    exact: whether it is exact retraining.
    outcome: ``'taken'``, ``'held back'`` (see the module), ``'refused'``,
      ``'skipped'`` (never run) or ``'not needed'``.
    because: why, in sentences.
    expected_s: seconds that it was expected to take; None = not measured.
    left_s: of the budget before it.
    took_s: seconds with timing and judging.
    charged_s: of these, what counts against the budget.
    compile_s: of these, what compilation took in its run.
    accuracies: of the candidate on val and retain.
    losses: against the original, see ``usable.AccuracyDrop``.
    seen: what each attack sees of it, see ``acceptance.Seen``.
    p_as_original: p that it remembers as the original does, by attack.
    steps: that it ran.
  """

  name: str
  title: str
  exact: bool
  outcome: str
  because: list[str]
  expected_s: float | None = None
  left_s: float | None = None
  took_s: float = 0.0
  charged_s: float = 0.0
  compile_s: float = 0.0
  accuracies: dict[str, float] = dataclasses.field(default_factory=dict)
  losses: list[dict[str, Any]] = dataclasses.field(default_factory=list)
  seen: list[dict[str, Any]] = dataclasses.field(default_factory=list)
  p_as_original: dict[str, float] = dataclasses.field(default_factory=dict)
  steps: int = 0


class AutoResult(unlearn.UnlearnResult):
  """The candidate that was taken; or no model, and why."""

  @property
  def candidates(self) -> list[dict[str, Any]]:
    """What became of each candidate, see :class:`Tried`."""
    return self.record['auto']['candidates']

  @property
  def taken(self) -> str | None:
    """The name of the candidate that was taken; None = there is no model."""
    return self.record['auto']['taken']

  def _state(self, name: str) -> checkpoint.SavedModel:
    if self.taken is None:
      raise ValueError('Expected a model that auto took, got none: '
                       f'{self.record["no_model"]}')
    return super()._state(name)


def auto(original: methods.Problem | job.ModelRun | checkpoint.SavedModel,
         splits: splits_lib.Splits | None = None,
         dataset: dataset_lib.Dataset | None = None, *,
         budget: str | float | None = None,
         candidates: Sequence[Candidate | str] | None = None,
         references: Sequence[Any] = (), seed: int = 0,
         preset: presets.Preset | None = None,
         notes: Sequence[str] | None = None, workdir: job.Folder | None = None,
         devices: parallel.Devices | None = None,
         hooks: Sequence[loop.Hook] = (),
         checkpoint_seconds: float = 60.0, command: str | None = None,
         original_path: str | None = None,
         used: Mapping[str, Any] | None = None,
         search: Mapping[str, Any] | None = None,
         request_id: str | None = None,
         allow_unverified: bool = False) -> AutoResult:
  """Tries candidates until one passes; see the module.

  Args:
    original: as of :func:`~dlfd_jax.pipeline.unlearn.unlearn`, like what is not
      named here.
    splits: of the request.
    dataset: the images.
    budget: minutes, or a share of retraining such as ``'30%'``; what is begun
      is finished, what is expected to take longer than is left is not begun.
    candidates: in the order in which they are tried, some by their names, see
      :func:`named`; default those of :func:`default`.
    references: at least three models that were trained on retain alone, for
      the two-sided attack: results of ``train``, loaded models or folders.
    seed: of everything random.
    preset: settings of candidates that are named, and the recipe of retraining
      where the original's is not known; see :func:`named`.
    notes: on the request.
    workdir: folder of the run; each candidate is a run below it. A run that
      was stopped goes on in it, in the middle of a candidate, too.
    devices: where to run.
    hooks: called with every event.
    checkpoint_seconds: least time between two checkpoints.
    command: how a user started this.
    original_path: where the original lies.
    used: what a command printed of what it uses.
    search: where the settings come from.
    request_id: the number of the request with its owner.
    allow_unverified: go on where things do not belong together.

  Returns:
    The candidate that was taken, as a run of its own; ``taken`` is None where
    there is none.

  Raises:
    ValueError: as of ``unlearn``; also without a budget or a candidate, or if
      a reference model was trained otherwise.
    job.Interrupted: on SIGTERM or SIGINT.
  """
  budget_of = Budget.read(budget)
  devices = devices or parallel.Devices()
  begun = unlearn.begin(
      original, splits, dataset, seed, original_path, request_id)
  if begun.saved.config is None:
    raise ValueError('Expected a network that can be built again from a name '
                     'for auto, got an object.')
  problem = begun.problem
  recipe, known = candidates_lib.recipe_of(
      begun.start.config, preset, problem.seed)
  candidates = (
      candidates_lib.default(preset, recipe, problem.model)
      if candidates is None else candidates_lib.named(
          candidates, preset, recipe, problem.model))
  _check_candidates(candidates, devices)
  unread = _unread(problem, candidates)
  judged, findings = _references(references, begun)
  verification = (begun.findings + findings).settled(allow_unverified)
  run = AutoResult(
      dataset=problem.dataset, splits=problem.splits,
      config=begun.run_config(METHOD, {
          'budget': str(budget_of),
          'order': [one.name for one in candidates],
          'candidates': {one.name: one.settings() for one in candidates},
          'references': [one.weights for one in judged]}))
  if run.open(workdir, allow_unverified):
    return run
  if notes is None:
    notes = splits_lib.splits_notes(problem.dataset, problem.splits)
  shared: dict[str, Any] = {
      'devices': devices, 'hooks': hooks,
      'checkpoint_seconds': checkpoint_seconds, 'command': command,
      'allow_unverified': allow_unverified}

  def start(number: int, one: Candidate) -> job.ModelRun:
    place = None if run.folder is None else (
        run.folder / runs.CANDIDATES / f'{number}_{one.name}')
    if isinstance(one.config, training.TrainConfig):
      return train.train(
          problem.dataset, problem.splits, one.config, _network(begun),
          on='retain', workdir=place, verification=verification, **shared)
    return unlearn.unlearn(
        original, one.config, problem.splits, problem.dataset, seed=seed,
        notes=notes, workdir=place, original_path=original_path, used=used,
        search=search, request_id=request_id, **shared)

  tried = _Candidates(
      begun=begun, judging=unread, candidates=candidates, budget=budget_of,
      recipe=recipe, attacks=acceptance.Attacks(
          unread, [one.saved for one in judged], devices),
      devices=devices, hooks=hooks, run=run, start=start)
  found, winner = tried.try_all()
  more = [] if known or found['taken'] != candidates_lib.RETRAIN else [
      "The original's recipe is not known: it was retrained by that of the "
      'preset.']
  states, record = _of_winner(winner, found)
  verification['unchanged'] = bool(states) and checkpoint.fingerprint(
      states['model'].variables) == run.config['original']
  run.finish(states, {
      **begun.record(run, devices), 'command': command, 'method': METHOD,
      **record, 'notes': [*record.get('notes', notes), *more],
      'search': search, 'used': used, 'verification': verification,
      'auto': found})
  return run


def _check_candidates(candidates: Sequence[Candidate],
                      devices: parallel.Devices) -> None:
  """Raises ValueError unless there are candidates of different names."""
  if not candidates:
    raise ValueError('Expected at least one candidate, got none.')
  names = [one.name for one in candidates]
  for name in names:
    if names.count(name) > 1:
      raise ValueError(f'Expected each candidate once, got {name} '
                       f'{names.count(name)} times.')
  for one in candidates:
    for size in one.batch_sizes:
      devices.check_batch_size(size)


def _unread(problem: methods.Problem, candidates: Sequence[Candidate]
            ) -> methods.Problem:
  """The problem without what any candidate reads of val.

  Raises:
    ValueError: if val has too few people for that.
  """
  val = problem.splits.val
  for one in candidates:
    val = val[~np.isin(val, one.held_out(problem))]
  if not len(val):
    raise ValueError('Expected some of val to judge by, but the candidates '
                     'learn from all of it.')
  return problem.on(dataclasses.replace(problem.splits, val=val))


def _references(references: Sequence[Any], begun: unlearn.Begun
                ) -> tuple[list[chain.Judged], chain_checks.Findings]:
  """The reference models, compared with the request."""
  if not references:
    return [], chain_checks.Findings()
  if len(references) < acceptance.LEAST_REFERENCES:
    raise ValueError(
        f'Expected at least {acceptance.LEAST_REFERENCES} reference models, '
        f'got {len(references)}.')
  judged = [job.judged(one) for one in references]
  dataset, splits = begun.problem.dataset, begun.problem.splits
  for one in judged:
    one.saved.check_fits(dataset.task, dataset.image_size, one.place)
  return judged, chain_checks.together([
      found for one in judged for found in (
          chain_checks.check_run(one, 'reference', dataset),
          chain_checks.check_retrained(
              one, begun.start, begun.start, dataset, splits))])


def _network(begun: unlearn.Begun) -> presets.Network:
  """The original's, as ``train`` takes it."""
  return presets.Network(**{
      field.name: getattr(begun.saved.config, field.name)
      for field in dataclasses.fields(presets.Network)})


def _of_winner(winner: job.ModelRun | None, found: Mapping[str, Any]
               ) -> tuple[dict[str, checkpoint.SavedModel], dict[str, Any]]:
  """The states to keep, and what an unlearning run records of them."""
  tried = found['candidates']
  spent = found['spent_s']
  compiled = sum(one['compile_s'] for one in tried)
  clock = {'time': {'total_s': spent, 'compile_s': {METHOD: compiled},
                    'work_s': max(spent - compiled, 0.0)}}
  if winner is None:
    return {}, {
        **clock, 'stop': 'no_model', 'steps': sum(o['steps'] for o in tried),
        'selected_step': 0, 'reason': found['sentence'], 'findings': {},
        'check_share': None, 'history': [], 'no_model': found['sentence']}
  own = winner.record
  if isinstance(winner, unlearn.UnlearnResult):
    states = {name: winner.state(name) for name in ('model', 'last')}
    fields = {name: own[name] for name in (
        'selected_step', 'findings', 'check_share', 'history', 'notes',
        'held_out')}
    reason = f'{found["sentence"]} Of its states: {own["reason"]}'
  else:
    states = dict.fromkeys(('model', 'last'), winner.state())
    fields = {'selected_step': own['steps'], 'findings': {},
              'check_share': None, 'history': []}
    reason = found['sentence']
  taken = next(one for one in tried if one['outcome'] == TAKEN)
  accuracies = {'original': found['accuracies'],
                'unlearned': taken['accuracies']}
  return states, {
      **clock, 'stop': own['stop'], 'steps': own['steps'], **fields,
      'reason': reason, 'accuracies': accuracies,
      'losses': taken.get('losses', []), 'do_not_use': [
          one['sentence'] for one in taken.get('losses', ())
          if one['sentence']], 'no_model': ''}


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class _Candidates:
  """All candidates of one request.

  Its log is the journal: a candidate with an event there is not run again.
  """

  begun: unlearn.Begun
  judging: methods.Problem  # its val is what no candidate learns from
  candidates: Sequence[Candidate]
  budget: Budget
  recipe: training.TrainConfig
  attacks: acceptance.Attacks
  devices: parallel.Devices
  hooks: Sequence[loop.Hook]
  run: AutoResult
  start: Callable[[int, Candidate], job.ModelRun]

  def try_all(self) -> tuple[dict[str, Any], job.ModelRun | None]:
    """What a result says of them, and the run that was taken."""
    journal = hosts.from_first([
        event for event in self.run.log.events
        if event['event'] in (_PLAN, _CANDIDATE)])
    self.run.log.restore(journal)
    plan = journal[0] if journal else self._planned()
    original = {one['attack']: acceptance.Seen(
        one['attack'], one['auc'], one['null_95'], tuple(one['people']))
                for one in plan['original']}
    rule = acceptance.Rule(
        original, self.attacks.people, self.attacks.unit,
        max(sum(not one.exact for one in self.candidates), 1),
        classes=self.judging.splits.classes)
    self._say(_opening(self.candidates, self.budget, plan, rule))
    spent, charged = plan['took_s'], self._charged(plan['took_s'], 0.0)
    made: dict[str, job.ModelRun | None] = {}
    tried: list[dict[str, Any]] = []
    for number, one in enumerate(self.candidates, 1):
      if number < len(journal):
        found = {key: value for key, value in journal[number].items()
                 if key not in ('event', 'step')}
      else:
        of_it, made[one.name] = self._try(
            number, one, rule, plan, charged, tried)
        found = dataclasses.asdict(of_it)
        self.run.log.write({'event': _CANDIDATE, 'step': 0, **found})
        self._say(f'{one.title}: {of_it.outcome}. {" ".join(of_it.because)}')
      spent += found['took_s']
      charged += found.get('charged_s', found['took_s'])
      tried.append(found)
    _settle(tried)
    place = next((i for i, one in enumerate(tried)
                  if one['outcome'] == TAKEN), None)
    winner = taken = None
    if place is not None:
      taken = tried[place]['name']  # it is finished: elsewhere it is read
      winner = made.get(taken) or self.start(
          place + 1, self.candidates[place])
    report = {
        'budget': str(self.budget), 'budget_s': plan['budget_s'],
        'retrain_s': plan['retrain_s'], 'spent_s': spent,
        'charged_s': charged,
        'level': rule.level, 'level_each': rule.level_each,
        'people': rule.people, 'unit': rule.unit, 'blind': rule.blind,
        'original': [seen.as_dict() for seen in original.values()],
        'accuracies': plan['accuracies'], 'candidates': tried,
        'tried': sum(t['outcome'] in (TAKEN, HELD, REFUSED) for t in tried),
        'taken': taken}
    report['sentence'] = _verdict(report, rule)
    for event in winner.log.events if winner is not None else ():
      self.run.log.write(event)
    return report, winner

  def _planned(self) -> dict[str, Any]:
    """The budget in seconds, and what is seen of the original."""
    started = time.perf_counter()
    retrain_s = self._retraining() if self.budget.is_share else None
    seen = self.attacks.measure(self.begun.saved)
    if seen is None:
      raise ValueError('Expected an original with finite outputs, got others.')
    plan = hosts.from_first({
        'retrain_s': retrain_s,
        'budget_s': 60 * self.budget.value if retrain_s is None else (
            self.budget.value * retrain_s),
        'original': [dataclasses.asdict(one) for one in seen.values()],
        'accuracies': usable.accuracies(self._of_original),
        'took_s': time.perf_counter() - started})
    self.run.log.write({'event': _PLAN, 'step': 0, **plan})
    return plan

  def _try(self, number: int, one: Candidate, rule: acceptance.Rule,
           plan: Mapping[str, Any], charged: float,
           before: Sequence[Mapping[str, Any]]
           ) -> tuple[Tried, job.ModelRun | None]:
    """Runs and judges a candidate, if the budget and the attacks allow it."""
    started = time.perf_counter()

    def took() -> float:
      return hosts.from_first(time.perf_counter() - started)

    tried = Tried(name=one.name, title=one.title, exact=one.exact,
                  outcome=SKIPPED, because=[])
    if known := _before_it_runs(one, rule, before):
      outcome, why = known
      return dataclasses.replace(tried, outcome=outcome, because=[why]), None
    left = plan['budget_s'] - charged
    cost = hosts.from_first(self._cost(one) if left > 0 else None)
    timed_s = took()
    left = max(left - self._charged(timed_s, 0.0), 0.0)
    tried = dataclasses.replace(tried, expected_s=cost, left_s=left)
    if cost is None or cost > left:
      return dataclasses.replace(tried, took_s=timed_s, charged_s=self._charged(
          timed_s, 0.0), because=[
          'Nothing is left of the budget.' if cost is None else
          f'It is expected to take {text.duration(cost)}; '
          f'{text.duration(left)} of the budget are left.']), None
    self._say(f'Candidate {number} of {len(self.candidates)}, {one.title}. '
              f'Expected: {text.duration(cost)} of {text.duration(left)} that '
              'are left.')
    ran = self.start(number, one)
    saved = ran.state()
    seen = self.attacks.measure(saved)
    right = self._part_accuracies(saved)
    lost = usable.accuracy_drops(self._of_original, right)
    losses = hosts.from_first([of_part.as_dict() for of_part in lost])
    outcome, because = self._outcome(one, ran, rule, seen, lost, losses)
    clock, seen = ran.record['time'], seen or {}
    # Of an interrupted run, all its sessions.
    took_s = max(took(), hosts.from_first(clock['total_s']))
    return dataclasses.replace(
        tried, outcome=outcome, because=because,
        took_s=took_s, charged_s=self._charged(
            took_s, hosts.from_first(clock['work_s'])),
        compile_s=hosts.from_first(
            sum((clock.get('compile_s') or {}).values())),
        accuracies=hosts.from_first(usable.accuracies(right)), losses=losses,
        steps=ran.record['steps'],
        seen=[of_attack.as_dict() for of_attack in seen.values()],
        p_as_original={name: of_attack.p_no_less(rule.original[name])
                       for name, of_attack in seen.items()}), ran

  def _outcome(self, one: Candidate, ran: job.ModelRun, rule: acceptance.Rule,
               seen: Mapping[str, acceptance.Seen] | None,
               lost: list[usable.AccuracyDrop],
               losses: Sequence[Mapping[str, Any]]) -> tuple[str, list[str]]:
    """What became of a candidate that ran, and why.

    Args:
      one: the candidate.
      ran: its run.
      rule: of acceptance.
      seen: by each attack; None = its logits are not finite.
      lost: what it lost against the original, on this process.
      losses: the same as the first process has it, as JSON.
    """
    outcome = TAKEN
    against: list[str] = []
    if ran.stop == loop.NOT_FINITE:
      against = ['Its run became non-finite.']
    elif one.exact:  # no attack decides, see the module
      pass
    elif checkpoint.fingerprint(
        ran.state().variables) == self.run.config['original']:
      against = ['It equals the original bit by bit.']
    else:
      against = rule.reasons_against(seen)
      kept = hosts.from_first(usable.answer(lost))
      if kept == usable.LOST:
        against += [o['sentence'] for o in losses if o['sentence']]
      elif kept == usable.CANNOT_SAY:
        outcome = HELD
    if against:
      return REFUSED, against
    return outcome, [
        _EXACT, *_alarms(seen or {}), *usable.sentences(lost)
    ] if one.exact else [_PASSED, *map(_unsure, filter(_is_unsure, lost))]

  def _cost(self, one: Candidate) -> float:
    """Expected seconds, without what was compiled to measure them."""
    if isinstance(one.config, training.TrainConfig):
      return self._retraining(one.config)
    return expected_cost.of_method(
        self.begun.problem, one.config, self.devices)

  def _retraining(self, recipe: training.TrainConfig | None = None) -> float:
    recipe = recipe or self.recipe
    rows = self.begun.problem.splits.retain
    timed = expected_cost.train_step(
        recipe, self.begun.saved.config, self.begun.problem.dataset, rows,
        self.devices)
    return recipe.epochs * -(-len(rows) // recipe.batch_size) * timed['step_s']

  def _charged(self, clock_s: float, work_s: float) -> float:
    """What counts against the budget, see :class:`Budget`."""
    return work_s if self.budget.is_share else clock_s

  @functools.cached_property
  def _of_original(self) -> dict[str, usable.PartAccuracy]:
    return self._part_accuracies(self.begun.saved)

  def _part_accuracies(self, saved: checkpoint.SavedModel
                       ) -> dict[str, usable.PartAccuracy]:
    problem = dataclasses.replace(
        self.judging, model=models.build(saved.config),
        original=saved.variables)
    return unlearn.part_accuracies(
        problem, {'it': saved.variables}, self.devices)['it']

  def _say(self, sentence: str) -> None:
    for hook in self.hooks:
      hook({'event': 'expected', 'sentence': sentence})


def _before_it_runs(one: Candidate, rule: acceptance.Rule,
                    before: Sequence[Mapping[str, Any]]
                    ) -> tuple[str, str] | None:
  """Outcome and reason of a candidate that is not to be run; None = it may."""
  if any(earlier['outcome'] == TAKEN for earlier in before):
    return NOT_NEEDED, 'An earlier candidate was taken.'
  if one.exact and any(earlier['outcome'] == HELD and not _too_much(earlier)
                       for earlier in before):
    return NOT_NEEDED, 'An earlier candidate passes, as far as val can tell.'
  if rule.blind and not one.exact:
    return SKIPPED, f'Nothing could tell that it forgets: {rule.blind}.'
  return None


def _too_much(found: Mapping[str, Any]) -> bool:
  """Whether a candidate is not to be used, by its losses as measured."""
  return any(one['sentence'] for one in found.get('losses', ()))


def _settle(tried: list[dict[str, Any]]) -> None:
  """Where none was taken, takes one that was held back."""
  held = [one for one in tried if one['outcome'] == HELD]
  if held and not any(one['outcome'] == TAKEN for one in tried):
    taken = min(held, key=_too_much)
    taken |= {'outcome': TAKEN, 'because': [
        *taken['because'], 'No candidate was shown to have kept it.']}


def _is_unsure(loss: usable.AccuracyDrop) -> bool:
  return loss.answer == usable.CANNOT_SAY


def _unsure(loss: usable.AccuracyDrop) -> str:
  return ('Whether it kept its accuracy on val cannot be said: the loss is '
          f'{100 * loss.lost:.1f} points, {loss}; '
          f'{100 * loss.bound:.0f} may be lost.')


def _alarms(seen: Mapping[str, acceptance.Seen]) -> list[str]:
  """What attacks say against exact retraining, and what that can mean."""
  found = acceptance.rejections(seen)
  return found and [
      *found, 'One attack in twenty does so by chance; else look for copies '
      'of these images, or for the same people, among those who stay.']


_EXACT = ('Trained from new weights on those who stay alone, it never saw the '
          'images to forget: this rests on no attack.')
_PASSED = ('No attack tells its images to forget from unseen ones, and those '
           'that see the original see that it remembers less.')


def _opening(candidates: Sequence[Candidate], budget: Budget,
             plan: Mapping[str, Any], rule: acceptance.Rule) -> str:
  """What is known before the first candidate."""
  share = '' if plan['retrain_s'] is None else (
      f' ({budget} of retraining, {text.duration(plan["retrain_s"])})')
  sees = ('Attacks that see the original: ' + ', '.join(
      f'{acceptance.TITLES[name]} (AUC {rule.original[name].auc:.2f})'
      for name in rule.sighted) + '.') if not rule.blind else (
          f'Cannot say of any method whether it forgets: {rule.blind}. Only '
          'exact retraining may be taken.')
  return (f'{text.counted(len(candidates), "candidate")} in turn: '
          f'{", ".join(one.title for one in candidates)}. Budget: '
          f'{text.duration(plan["budget_s"])}{share}. {sees}')


def _verdict(found: Mapping[str, Any], rule: acceptance.Rule) -> str:
  """What came of it, for the result's first lines."""
  tried, planned = found['tried'], len(found['candidates'])
  looks = (f'{tried} of {text.counted(planned, "candidate")} '
           f'{"was" if tried == 1 else "were"} tried')
  if found['taken'] is None:
    why = (f'Cannot say that anybody was forgotten, so there is no model: '
           f'{rule.blind}, and' if rule.blind else
           'No candidate passed, so there is no model:')
    return (f'{why} {looks}; none could be taken within the budget of '
            f'{text.duration(found["budget_s"])}.')
  taken = next(t for t in found['candidates'] if t['outcome'] == TAKEN)
  if taken['exact']:
    return f'Taken: {taken["title"]}; {looks}. {_EXACT}'
  unsure = any(one['answer'] == usable.CANNOT_SAY
               for one in taken.get('losses', ()))
  return (f'Taken: {taken["title"]}; {looks}. '
          + ('Whether it kept its accuracy cannot be said by so few images of '
             'val. ' if unsure else '') + f'If all that rest on attacks '
          f'({rule.looks}) remembered as the original does, one would pass in '
          f'{100 * rule.level:g} % of requests at most, and more often in so '
          'far as val also chose their states.')
