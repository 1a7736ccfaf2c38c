"""The three answers that a reader of an evaluation wants first, and an advice.

Each answer has one number with its interval and says no more than that shows:
whether people are forgotten is answered "yes" only beside at least three
retrained models, and "not shown" where nothing tells.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from dlfd_jax.evaluation import registry, verdicts
from dlfd_jax.metrics import stats, usable
from dlfd_jax.report import tables

YES, NO, NOT_SHOWN, UNKNOWN = 'yes', 'no', 'not shown', 'unknown'
# Fewer do not tell the chance of a training from a trace.
REFERENCES = 3
_MORE = (f'tier 1 with {REFERENCES} retrained models (dlfd references '
         f'--n={REFERENCES}, then dlfd evaluate --tier=1 --references=...)')
_PARTS = {'val': 'validation images', 'retain': 'those who stay'}


@dataclasses.dataclass(frozen=True)
class Answer:
  """One answer.

  Attributes:
    question: in two or three words.
    answer: ``'yes'``, ``'no'``, ``'not shown'`` or ``'unknown'``.
    because: the number that it rests on.
    short: why it is not ``'yes'``, after "because"; empty if it is.
    tells: what would tell, where that is open; else empty.
  """

  question: str
  answer: str
  because: str
  short: str = ''
  tells: str = ''

  def __str__(self) -> str:
    return f'{self.question} {self.answer.capitalize()}: {self.because}.'


def answers(result: tables.Result) -> tuple[Answer, Answer, Answer]:
  """Whether people are forgotten, skill is kept, and retraining is matched.

  Args:
    result: of an evaluation, as in ``result.json``.
  """
  return _forgotten(result), _works(result), _against_retraining(result)


def advice(found: Sequence[Answer]) -> str:
  """What to do with the model: one sentence.

  Args:
    found: the answers.
  """
  refused = [one for one in found if one.answer == NO]
  if refused:
    return ('Recommendation: do not use it, as '
            f'{_listed(one.short for one in refused)}.')
  if all(one.answer == YES for one in found):
    return 'Recommendation: use it.'
  unsure = [one for one in found if one.answer != YES]
  return ('Recommendation: none yet, as '
          f'{_listed(one.short for one in unsure)}. What would tell: '
          f'{_listed(one.tells for one in unsure)}.')


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
           f'{_percent(after[part])}' for part, words in _PARTS.items()
           if part in before and part in after]
  first = (record.get('findings') or {}).get('original_mia_auc')
  last = live_auc(record)
  if first is not None and last is not None:
    found.append('AUC of the attack on forget and validation images '
                 f'{first:.3f} -> {last:.3f} (a guess: 0.5)')
  return f'Before -> after: {", ".join(found)}.' if found else ''


def live_auc(record: Mapping[str, Any]) -> float | None:
  """The live attack's AUC of the state that a run selected; None = unknown."""
  return next((one['mia_auc'] for one in reversed(record.get('history') or ())
               if one['step'] == record['selected_step']), None)


def lines(result: tables.Result) -> list[str]:
  """The answers and the advice, a line each."""
  found = answers(result)
  return [*map(str, found), advice(found)]


def _listed(texts: Any) -> str:
  return '; '.join(dict.fromkeys(filter(None, texts)))


def _forgotten(result: tables.Result) -> Answer:
  question = 'Forgotten?'
  if (result.get('verification') or {}).get('unchanged'):
    return Answer(question, NO, 'the model equals the original bit by bit',
                  'nothing was forgotten')
  if (result.get('earlier') or {}).get('visible_again'):
    return Answer(question, NO, 'people of earlier requests have become '
                  'visible again', 'people of earlier requests are known again')
  attack = tables.find_cell(result, registry.MAIN_ATTACK, 'unlearned')
  record = tables.find_record(result, registry.MAIN_ATTACK) or {}
  if attack.value is None:
    return Answer(question, UNKNOWN,
                  f'the attack was not computed, as {attack.reason}',
                  'the attack was not computed', _MORE)
  number = f'attack AUC {tables.with_interval(attack)}'
  number += _beside(result)
  verdict = _verdict(result, registry.FORGETTING)
  if verdict.startswith(stats.INDISTINGUISHABLE) and _enough(result):
    return Answer(question, YES, f'{number}; {_said(result)}')
  unseen = record.get('verdict') == verdicts.UNSEEN
  if not tables.references(result) and (
      unseen or _flag(result, 'over_forgetting').startswith('over')):
    more_known = attack.value > .5
    return Answer(
        question, NO, f'{number}; forgotten people are '
        f'{"better" if more_known else "less well"} known than unseen ones',
        'forgotten people are told from unseen ones')
  if verdict.startswith(stats.DISTINGUISHABLE):
    return Answer(question, NO, f'{number}; {_said(result)}',
                  'the model is told from retrained ones by what it knows of '
                  'forgotten people')
  if _enough(result):
    return Answer(question, NOT_SHOWN, f'{number}; {_said(result)}',
                  'so many people and retrained models do not show that they '
                  'are forgotten', 'more people or retrained models')
  return Answer(
      question, NOT_SHOWN, f'{number}; it takes {REFERENCES} retrained models '
      'and tier 1 to show it', 'it was not shown that they are forgotten',
      _MORE)


def _works(result: tables.Result) -> Answer:
  question = 'Still works?'
  losses = [usable.Loss.of(one) for one in result.get('losses') or ()]
  if not losses:
    return Answer(
        question, UNKNOWN, 'this model and the original were not asked about '
        'the same images', 'what accuracy it lost is not known',
        'an evaluation beside the original')
  number = 'accuracy ' + ', '.join(
      f'{_percent(one.original)} -> {_percent(one.unlearned)} on '
      f'{_PARTS[one.part]}' for one in losses)
  number += ''.join(
      f'; the loss on {_PARTS[one.part]} is {100 * one.lost:.1f} points, {one}'
      for one in losses if one.images)
  too_much = [f'; at most {100 * usable.MOST_LOST[one.part]:.0f} points may be '
              f'lost on {_PARTS[one.part]}' for one in losses if one.too_much]
  if too_much:
    return Answer(question, NO, number + ''.join(too_much),
                  'it lost more accuracy than it may')
  if all(one.answer == usable.KEPT for one in losses):
    return Answer(question, YES, number)
  most = 100 * usable.MOST_LOST['val']
  return Answer(
      question, UNKNOWN, f'{number}; at most {most:.0f} points may be lost '
      'there',
      f'so few validation images do not show that it lost {most:.0f} points '
      'at most', 'more images of unseen people in validation')


def _against_retraining(result: tables.Result) -> Answer:
  question = 'Like a retrained model?'
  count = tables.references(result)
  if not count:
    return Answer(question, UNKNOWN, 'no retrained model was given',
                  'no retrained model was given', _MORE)
  record = tables.main_difference(result)
  delta = tables.as_cell(
      record.get('delta'), record.get('units') or 'fraction', signed=True)
  number = ('the difference in attack AUC was not computed'
            if delta.value is None else
            f'attack AUC minus that of {count} retrained '
            f'model{"s" if count > 1 else ""} {tables.with_interval(delta)}')
  found = {what: _verdict(result, what)
           for what in (registry.FORGETTING, registry.UTILITY)}
  number += ''.join(f'; {what}: {text}' for what, text in found.items() if text)
  if any(text.startswith(stats.DISTINGUISHABLE) for text in found.values()):
    return Answer(question, NO, number, 'it is told from retrained models')
  if _enough(result) and all(
      text.startswith(stats.INDISTINGUISHABLE) for text in found.values()):
    return Answer(question, YES, number)
  return Answer(
      question, UNKNOWN, number, f'{count} retrained '
      f'model{"s" if count > 1 else ""} and this sample do not show it',
      'more people or retrained models' if _enough(result) else _MORE)


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


def _flag(result: tables.Result, metric: str) -> str:
  return str((tables.find_record(result, metric) or {}).get('verdict') or '')


def _enough(result: tables.Result) -> bool:
  return tables.references(result) >= REFERENCES and bool(
      result.get('verdicts'))


def _percent(share: float) -> str:
  return f'{100 * share:.1f} %'
