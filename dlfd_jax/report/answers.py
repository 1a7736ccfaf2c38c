"""The three answers that a reader of an evaluation wants first, and advice.

Each answer names the numbers that it rests on, with their intervals where they
have any, and says no more than these show: whether people are forgotten is
answered "yes" only beside at least three retrained models, and "not shown"
where nothing tells.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from dlfd_jax.evaluation import registry, verdicts
from dlfd_jax.evaluation.estimate import Estimate
from dlfd_jax.metrics import stats, usable
from dlfd_jax.report import tables
from dlfd_jax.utils import text

YES, NO, NOT_SHOWN, UNKNOWN = 'yes', 'no', 'not shown', 'unknown'
FORGOTTEN, WORKS, LIKE_RETRAINED = (
    'Forgotten?', 'Still works?', 'Like a retrained model?')
# Fewer do not tell the chance of a training from a trace.
REFERENCES = 3
_MORE = (f'tier 1 with {REFERENCES} retrained models (dlfd references '
         f'--n={REFERENCES}, or dlfd train --on=retain where the original was '
         'imported; then dlfd evaluate --tier=1)')
_TIER_1 = 'tier 1 beside these retrained models (dlfd evaluate --tier=1)'
_RANKS = (f'where each of them ranks among unseen people, at tier 1 with '
          f'{REFERENCES} retrained models: it shows a plain trace, and nothing '
          'less')
_AUC = 'AUC of the attack on forget and validation images'
_UNCHANGED = 'the model equals the original bit by bit'
_EVALUATE = ('dlfd evaluate, which asks images of test, and retrained models '
             'where there are any')
# What votes at tier 0; from tier 1 on the verdicts say.
_TIER_0 = {registry.FORGETTING: (registry.MAIN_ATTACK, 'accuracy_forget'),
           registry.UTILITY: ('accuracy_retain', 'accuracy_test')}


@dataclasses.dataclass(frozen=True)
class Answer:
  """One answer.

  Attributes:
    question: ``FORGOTTEN``, ``WORKS`` or ``LIKE_RETRAINED``.
    answer: ``'yes'``, ``'no'``, ``'not shown'`` or ``'unknown'``.
    because: the number that it rests on.
    short: why it is not ``'yes'``, after "because"; empty if it is.
    tells: what would tell, where that is open; else empty.
    better: whether it is ``'no'`` because the model is more accurate, and for
      nothing else. That is no reason against it.
  """

  question: str
  answer: str
  because: str
  short: str = ''
  tells: str = ''
  better: bool = False

  @property
  def refuses(self) -> bool:
    """Whether it is a reason against the model."""
    return self.answer == NO and not self.better

  @property
  def is_open(self) -> bool:
    """Whether it is neither for the model nor against it."""
    return self.answer not in (YES, NO)

  def __str__(self) -> str:
    return f'{self.question} {self.answer.capitalize()}: {self.because}.'


def answers(result: tables.Result) -> tuple[Answer, Answer, Answer]:
  """Whether people are forgotten, utility is kept, and retraining is matched.

  Args:
    result: of an evaluation, as in ``result.json``.
  """
  return _forgotten(result), _works(result), _against_retraining(result)


def advice(found: Sequence[Answer]) -> str:
  """What to do with the model: one sentence.

  Args:
    found: the answers.
  """
  refused = [one for one in found if one.refuses]
  if refused:
    return ('Recommendation: do not use it, as '
            f'{_listed(one.short for one in refused)}.')
  unsure = [one for one in found if one.is_open]
  if not unsure:
    return 'Recommendation: use it.'
  tells = _listed(one.tells for one in unsure)
  return ('Recommendation: none yet, as '
          f'{_listed(one.short for one in unsure)}.'
          + (f' What would settle it: {tells}.' if tells else ''))


def before_after(record: Mapping[str, Any]) -> str:
  """What an unlearning run did to the model: one line.

  Args:
    record: its ``result.json``.

  Returns:
    Accuracies and the live attack's AUC of original and returned model; empty
    if nothing was measured.
  """
  accuracies = record.get('accuracies') or {}
  before, after = (accuracies.get(name) or {} for name in (
      'original', 'unlearned'))
  found = [f'accuracy on {words} {_percent(before[part])} -> '
           f'{_percent(after[part])}' for part, words in usable.IN_WORDS.items()
           if part in before and part in after]
  findings = record.get('findings') or {}
  first, last = findings.get('original_mia_auc'), live_auc(record)
  if first is not None and last is not None and not findings.get(
      'attack_blind_to_original'):
    found.append(f'{_AUC} {first:.3f} -> {last:.3f} (a guess: 0.5)')
  return f'Before -> after: {", ".join(found)}.' if found else ''


def of_run(record: Mapping[str, Any]) -> tuple[Answer, Answer, Answer]:
  """The same answers, as far as an unlearning run itself can give them.

  It has asked neither test nor a retrained model, and went by its own attack:
  it can say that people are not forgotten, and never that they are.

  Args:
    record: its ``result.json``.
  """
  works = (_works(record) if record.get('losses') or _unchanged(record) else
           Answer(WORKS, UNKNOWN, 'its accuracy was not measured',
                  'what accuracy it lost is not known', _EVALUATE))
  none = 'it was not compared with a retrained model'
  return _live(record), works, Answer(
      LIKE_RETRAINED, UNKNOWN, none, none, _EVALUATE)


def _live(record: Mapping[str, Any]) -> Answer:
  """What the live attack can say of the state that a run returns."""
  findings = record.get('findings') or {}
  met = findings.get('select_threshold_met')
  if _unchanged(record):
    return Answer(FORGOTTEN, NO, _UNCHANGED, 'nothing was forgotten')
  taken = [one for one in _tried(record) if one['outcome'] == 'taken']
  if taken:
    why = str(taken[0]['because'][0]).removesuffix('.')
    by = '' if taken[0]['exact'] else ', on images that the run itself went by'
    return Answer(
        FORGOTTEN, NOT_SHOWN, f'{why[0].lower()}{why[1:]}{by}',
        'it was not shown that they are forgotten', _EVALUATE)
  if met is None:
    return Answer(FORGOTTEN, UNKNOWN, 'it was not measured on this state',
                  'it was not measured whether they are forgotten', _EVALUATE)
  if findings.get('attack_blind_to_original'):
    return Answer(
        FORGOTTEN, UNKNOWN, 'the live attack cannot tell: on these images it '
        'does not tell the original from chance either',
        'the live attack cannot tell whether they are forgotten', _EVALUATE)
  number = _of_threshold(record, findings)
  if not met:
    return Answer(
        FORGOTTEN, NO, 'the state that the run returns does not meet the '
        f'threshold of its live attack{number}',
        'it does not meet the threshold of its live attack')
  return Answer(
      FORGOTTEN, NOT_SHOWN, f'the threshold of the live attack is met{number}, '
      'on images that the run itself went by',
      'it was not shown that they are forgotten', _EVALUATE)


def _of_threshold(record: Mapping[str, Any],
                  findings: Mapping[str, Any]) -> str:
  """What the threshold was asked of, and which values meet it; may be empty."""
  limit = findings.get('select_threshold')
  if limit is None:
    return ''
  if findings.get('select_by') == 'mia_auc':
    last = live_auc(record)
    return '' if last is None else (
        f': {_AUC} {last:.3f}, asked from {.5 - limit / 2:.3f} to '
        f'{.5 + limit / 2:.3f}')
  last = _at_selected(record, 'forgetting_score')
  return '' if last is None else (
      f': forgetting score {last:.3f}, asked at most {limit:.3f}')


def live_auc(record: Mapping[str, Any]) -> float | None:
  """The live attack's AUC of the state that a run selected; None = unknown.

  Of a run in groups that on everybody to forget, not on the last group.
  """
  found = (record.get('findings') or {}).get('mia_auc')
  if found is not None:
    return float(found)
  return _at_selected(record, 'mia_auc')


def _at_selected(record: Mapping[str, Any], name: str) -> float | None:
  """What a run measured of the state that it returns; None = nothing."""
  return next((one.get(name) for one in reversed(record.get('history') or ())
               if one['step'] == record['selected_step']), None)


def lines(result: tables.Result) -> list[str]:
  """The answers and the advice, a line each."""
  return said(answers(result))


def said(found: Sequence[Answer]) -> list[str]:
  """Answers and what follows from them, a line each."""
  return [*map(str, found), advice(found)]


def as_json(found: Sequence[Answer]) -> dict[str, Any]:
  """The same for programs."""
  return {'answers': [dataclasses.asdict(one) for one in found],
          'recommendation': advice(found)}


def _listed(texts: Any) -> str:
  return '; '.join(dict.fromkeys(filter(None, texts)))


def _forgotten(result: tables.Result) -> Answer:
  found = _by_verdict(result)
  beside = '' if found.answer == NO else _seen_without_a_vote(result)
  return dataclasses.replace(
      found, because=f'{found.because}; {beside}') if beside else found


def _seen_without_a_vote(result: tables.Result) -> str:
  """Attacks that differ beside the verdict, in words; empty if none does.

  They do not decide, so that more of them do not make more false alarms; what
  they see must not stand in the annex alone.
  """
  if tables.references(result) < REFERENCES:
    return ''
  found = []
  for name in registry.OTHER_SCORES:
    record = tables.find_record(result, name) or {}
    delta = tables.as_cell(record.get('delta'), signed=True)
    if verdicts.leaves_out_0(delta):
      value, retrained = (tables.find_cell(result, name, model).text
                          for model in ('unlearned', 'retrained'))
      found.append(f'{registry.label(name)} {value}, retrained {retrained}, '
                   f'difference {delta.with_interval}')
  return ('without a vote, at 95 % each, it differs from retrained models by '
          f'{"; ".join(found)}' if found else '')


def _by_verdict(result: tables.Result) -> Answer:
  question = FORGOTTEN
  if _unchanged(result):
    return Answer(question, NO, _UNCHANGED, 'nothing was forgotten')
  if (result.get('earlier') or {}).get('visible_again'):
    return Answer(question, NO, 'people of earlier requests have become '
                  'visible again', 'people of earlier requests are known again')
  attack = tables.find_cell(result, registry.MAIN_ATTACK, 'unlearned')
  number = (f'the attack was not computed, as {attack.reason}'
            if attack.value is None else
            f'attack AUC {attack.with_interval}{_beside(result)}')
  verdict = _verdict(result, registry.FORGETTING)
  if verdict.startswith(stats.INDISTINGUISHABLE) and _enough(result):
    ranked = _ranked_apart(result)
    if ranked:
      return Answer(
          question, NOT_SHOWN, f'{number}; {_said(result)}; but {ranked}',
          'somebody can be told apart by rank', 'a look at these people')
    return Answer(question, YES, f'{number}; {_said(result)}')
  found = _told_by(result, attack, number)
  if found is not None and _never_learnt(result):
    return Answer(
        question, UNKNOWN, f'{found[0]}; but by its record the model was '
        'retrained without them, so that this is chance (as with one of twenty '
        'such models), or copies or the same people are among those who stay',
        'people whom the model never learnt can be told apart',
        'a look for copies of them, and for the same people, among those who '
        'stay')
  if found is not None:
    return Answer(question, NO, *found)
  if attack.value is None:
    return Answer(question, UNKNOWN, number, 'the attack was not computed',
                  '' if _enough(result) else _more(result))
  few = _too_few(result)
  if few:
    return Answer(question, NOT_SHOWN, f'{number}; {few}', few,
                  '' if _enough(result) else _RANKS)
  if _enough(result):
    return Answer(question, NOT_SHOWN, f'{number}; {_said(result)}',
                  'this many people and retrained models do not show that they '
                  'are forgotten', 'more people or retrained models')
  return Answer(
      question, NOT_SHOWN, f'{number}; it takes {REFERENCES} retrained models '
      'and tier 1 to show it', 'it was not shown that they are forgotten',
      _more(result))


def _more(result: tables.Result) -> str:
  """What would tell, by the retrained models that are there."""
  found = (_TIER_1 if tables.references(result) >= REFERENCES
           and not result.get('verdicts') else _MORE)
  return found if result.get('audit') is None else found.replace(
      'dlfd evaluate', 'dlfd audit')


def _too_few(result: tables.Result) -> str:
  """Why so few people leave it open; empty if they are enough."""
  record = tables.find_record(result, registry.MAIN_ATTACK) or {}
  if record.get('verdict') != stats.TOO_FEW:
    return ''
  why = ['these are too few people to say', *record.get('notes', ())][-1]
  return f'{why[0].lower()}{why[1:]}'.removesuffix('.')


def _told_by(result: tables.Result, attack: Estimate,
             number: str) -> tuple[str, str] | None:
  """What sees forgotten people, and in short; None if nothing does.

  Each retrained model can excuse a model: where it is told from unseen people,
  too, they differ by themselves. None makes it forgotten.
  """
  if _verdict(result, registry.FORGETTING).startswith(stats.DISTINGUISHABLE):
    return (f'{number}; {_said(result)}',
            'the model can be told apart from retrained ones by what it knows '
            'of forgotten people')
  apart = _apart_at_tier_0(result, registry.FORGETTING)
  if apart:
    return f'{number}; {apart}', 'it can be told apart from retrained models'
  ranked = _ranked_apart(result)
  if ranked and _too_few(result):
    return (f'{number}; {ranked}',
            'forgotten people can be told apart from unseen ones')
  if tables.references(result) < REFERENCES and _told_from_unseen(
      result, attack):
    known = 'better' if (attack.value or 0.0) > .5 else 'less well'
    return (f'{number}; forgotten people are {known} known than unseen ones',
            'forgotten people can be told apart from unseen ones')
  return None


def _ranked_apart(result: tables.Result) -> str:
  """Who ranks apart from unseen people, in words; empty if nobody does."""
  ranked = [one for one in result.get('people') or ()
            if one.get('told_apart') is not None]
  apart = [one for one in ranked if one['told_apart']]
  if not apart:
    return ''
  return (f'by rank among unseen people {len(apart)} of {len(ranked)} to '
          f'forget {text.are(len(apart))} told apart, p '
          f'{min(one["p_adjusted"] for one in apart):.2g}')


def _told_from_unseen(result: tables.Result, attack: Estimate) -> bool:
  """Whether the attack's interval leaves a guess out.

  Beside retrained models its difference to them has to leave 0 out, too.
  """
  record = tables.main_difference(result)
  if attack.low is None or attack.high is None or (
      record.get('verdict') == stats.TOO_FEW):
    return False
  side = (attack.low > .5) - (attack.high < .5)
  if not tables.references(result):
    return bool(side)
  delta = tables.as_cell(record.get('delta'))
  if not verdicts.leaves_out_0(delta) or side * (delta.value or 0.0) <= 0:
    return False
  return tables.references(result) > 1 or _as_far_as_half(result, delta)


def _as_far_as_half(result: tables.Result, delta: Estimate) -> bool:
  """Whether it is at least half as far from retraining as the original is.

  One retrained model alone does not tell the chance of a training from a trace.
  """
  before, retrained = (
      tables.find_cell(result, registry.MAIN_ATTACK, model).value
      for model in ('original', 'retrained'))
  if before is None or retrained is None or delta.value is None:
    return False
  return before != retrained and (
      abs(delta.value) >= abs(before - retrained) / 2)


def _apart_at_tier_0(result: tables.Result, *what: str) -> str:
  """What tells it apart after Holm's correction, in words; empty if nothing.

  Args:
    result: of an evaluation; from tier 1 on its verdicts say, and this nothing.
    *what: which of the overall verdicts it would count for.
  """
  if result.get('verdicts'):
    return ''
  found = []
  for of in what:
    records = [record for name in _TIER_0[of]
               if (record := tables.find_record(result, name)) and (
                   record.get('p_value') is not None
                   or record.get('verdict') == stats.DISTINGUISHABLE)]
    rejected = verdicts.holm([record.get('p_value') or 0.0
                              for record in records])
    found += [record for record, is_apart in zip(records, rejected, strict=True)
              if is_apart and record['verdict'] == stats.DISTINGUISHABLE
              and record.get('gate') != verdicts.BLIND]
  if not found:
    return ''
  return 'told apart from retrained models by ' + ', '.join(
      f'{registry.label(record["metric"])} (difference '
      f'{tables.as_cell(record["delta"], signed=True).with_interval})'
      for record in found)


def _unchanged(result: tables.Result) -> bool:
  return bool((result.get('verification') or {}).get('unchanged'))


def _never_learnt(result: tables.Result) -> bool:
  """Whether its run took exact retraining."""
  return any(one['exact'] and one['outcome'] == 'taken'
             for one in _tried(result.get('selection') or {}))


def _tried(record: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
  """The candidates of ``--method=auto``; none of another method."""
  return (record.get('auto') or {}).get('candidates') or ()


def _works(result: tables.Result) -> Answer:
  question = WORKS
  if _unchanged(result):
    return Answer(question, YES, _UNCHANGED)
  losses = [usable.AccuracyDrop.of(one) for one in result.get('losses') or ()]
  if not losses:
    before = tables.find_cell(result, 'accuracy_val', 'original')
    return Answer(
        question, UNKNOWN, before.reason or (
            'this model and the original were not evaluated on the same '
            'images'), 'what accuracy it lost is not known',
        'an evaluation beside the original')
  number = 'accuracy ' + ', '.join(
      f'{_percent(one.original)} -> {_percent(one.unlearned)} on '
      f'{usable.IN_WORDS[one.part]}' for one in losses)
  number += ''.join(
      f'; the loss on {usable.IN_WORDS[one.part]} is {100 * one.lost:.1f} '
      f'points{" (a gain)" if one.lost < 0 else ""}, {one}' for one in losses
      if one.images and (one.part != usable.TEST or one.answer != usable.KEPT))
  refuses = [f'; at most {100 * one.bound:.0f} points may be lost on '
             f'{usable.IN_WORDS[one.part]}' for one in losses if one.refuses]
  if refuses:
    return Answer(question, NO, number + ''.join(refuses),
                  'it lost more accuracy than it may')
  unsure = [one for one in losses if one.answer != usable.KEPT]
  if not unsure:
    return Answer(question, YES, number)
  most, images = unsure[0].bound, usable.IN_WORDS[unsure[0].part]
  return Answer(
      question, UNKNOWN, f'{number}; at most {100 * most:.0f} points may be '
      f'lost on {images}', f'there are too few {images} to show that it lost '
      f'at most {100 * most:.0f} points', f'more {images} of unseen people')


def _against_retraining(result: tables.Result) -> Answer:
  question = LIKE_RETRAINED
  count = tables.references(result)
  if not count:
    return Answer(question, UNKNOWN, 'no retrained model was given',
                  'no retrained model was given', _more(result))
  record = tables.main_difference(result)
  delta = tables.as_cell(
      record.get('delta'), record.get('units') or 'fraction', signed=True)
  number = ('the difference in attack AUC was not computed'
            if delta.value is None else
            f'attack AUC minus that of {count} retrained '
            f'model{"s" if count > 1 else ""} {delta.with_interval}')
  found = {what: _verdict(result, what)
           for what in (registry.FORGETTING, registry.UTILITY)}
  number += ''.join(f'; {what}: {verdict}' for what, verdict in found.items()
                    if verdict)
  apart = _apart_at_tier_0(result, *_TIER_0)
  if apart or any(verdict.startswith(stats.DISTINGUISHABLE)
                  for verdict in found.values()):
    why = 'it can be told apart from retrained models'
    number += f'; {apart}' if apart else ''
    gained = _gained(result, found[registry.FORGETTING])
    if not gained:
      return Answer(question, NO, number, why)
    return Answer(question, NO, f'{number}; but only as it is more accurate '
                  f'than they are: {gained}', why, better=True)
  if _enough(result) and all(
      verdict.startswith(stats.INDISTINGUISHABLE)
      for verdict in found.values()):
    return Answer(question, YES, number)
  return Answer(
      question, UNKNOWN, number, f'{count} retrained '
      f'model{"s" if count > 1 else ""} and this sample do not show it',
      'more people or retrained models' if _enough(result) else _more(result))


def _gained(result: tables.Result, forgetting: str) -> str:
  """What the model does better than retrained ones; empty if that is not all.

  Args:
    result: of an evaluation that tells it apart from retrained models.
    forgetting: the verdict on that, empty at tier 0.
  """
  if forgetting.startswith(stats.DISTINGUISHABLE) or _apart_at_tier_0(
      result, registry.FORGETTING):
    return ''
  records = [record for name in _TIER_0[registry.UTILITY]
             if (record := tables.find_record(result, name))
             and record.get('verdict') == stats.DISTINGUISHABLE]
  gains = [tables.as_cell(record['delta'], signed=True) for record in records]
  if any((gain.value or 0.0) <= 0 for gain in gains):
    return ''
  return ', '.join(
      f'{registry.label(record["metric"])} {gain.with_interval}'
      for record, gain in zip(records, gains, strict=True))


def _beside(result: tables.Result) -> str:
  """What other models have, where they are there."""
  named = {model: tables.find_cell(result, registry.MAIN_ATTACK, model)
           for model in ('original', 'retrained')}
  found = [f'{model} {cell.text}' for model, cell in named.items()
           if cell.value is not None]
  return ', '.join(['', *found, 'a guess 0.5'])


def _said(result: tables.Result) -> str:
  return (f'verdict on {registry.FORGETTING}: '
          f'{_verdict(result, registry.FORGETTING)}')


def _verdict(result: tables.Result, what: str) -> str:
  return str((((result.get('verdicts') or {}).get(what)) or {}).get(
      'verdict') or '')


def _enough(result: tables.Result) -> bool:
  return tables.references(result) >= REFERENCES and bool(
      result.get('verdicts'))


def _percent(share: float) -> str:
  return f'{100 * share:.1f} %'
