"""The three answers say no more than the numbers of an evaluation."""

import dataclasses

import pytest

from dlfd_jax.metrics import usable
from dlfd_jax.report import answers
from tests.report import fakes

_LOSS = usable.Loss('val', .50, .49, -.005, .015, 400, 90)
_STAYS = usable.Loss('retain', 1.0, .99, .01, .01)


def _result(verdict=None, *, losses=(_LOSS, _STAYS), auc=None, **more):
  """An evaluation beside three retrained models, or without any."""
  made = fakes.result(retrained=verdict is not None)
  made['verdicts'] = {} if verdict is None else {
      what: {'verdict': verdict, 'because': 'so', 'metrics': {}}
      for what in ('forgetting', 'utility')}
  made['losses'] = [one.as_dict() for one in losses]
  record, = (one for one in made['metrics']
             if one['metric'] == 'mia_auc_matched')
  if auc:
    value, low, high, said = auc
    record['unlearned'] = {'value': value, 'low': low, 'high': high,
                           'reason': None}
    record['verdict'] = said
  return {**made, **more}


def _said(result):
  return [one.answer for one in answers.answers(result)]


@pytest.mark.parametrize('verdict, said, advice', [
    ('indistinguishable', ['yes', 'yes', 'yes'], 'use it.'),
    ('indistinguishable per image; persons: cannot say at 4',
     ['yes', 'yes', 'yes'], 'use it.'),
    ('distinguishable', ['no', 'yes', 'no'], 'do not use it'),
    ('distinguishable (over-forgotten)', ['no', 'yes', 'no'], 'do not use it'),
    ('inconclusive', ['not shown', 'yes', 'unknown'], 'none'),
    ('cannot say', ['not shown', 'yes', 'unknown'], 'none')])
def test_beside_three_retrained_models_the_verdicts_answer(
    verdict, said, advice):
  result = _result(verdict)
  assert _said(result) == said
  assert answers.lines(result)[-1].startswith(f'Recommendation: {advice}')


@pytest.mark.parametrize('auc, said', [
    ((.60, .52, .68, 'distinguishable from unseen data'), 'no'),
    ((.40, .32, .48, 'distinguishable from unseen data'), 'no'),
    ((.52, .45, .59, 'inconclusive'), 'not shown')])
def test_tier_0_never_says_yes(auc, said):
  result = _result(auc=auc)
  assert _said(result)[0] == said and _said(result)[2] == 'unknown'
  first = answers.lines(result)[0]
  assert f'{auc[0]:.3f} ({auc[1]:.3f} to {auc[2]:.3f})' in first
  assert ('less well known' in first) == (auc[0] < .5)
  assert 'use it.' not in answers.lines(result)[-1]


@pytest.mark.parametrize('count', [1, 2])
def test_fewer_than_three_retrained_models_never_say_yes(count):
  result = _result('indistinguishable')
  result['models']['retrained'] = result['models']['retrained'][:count]
  assert 'yes' not in (_said(result)[0], _said(result)[2])
  assert 'dlfd references --n=3' in answers.lines(result)[-1]


@pytest.mark.parametrize('change, said', [
    ({'unlearned': .34, 'original': .46, 'low': .05, 'high': .19}, 'no'),
    ({'high': .08}, 'unknown'), ({'low': -.1, 'high': .0}, 'yes')])
def test_skill_is_kept_only_where_the_interval_shows_it(change, said):
  result = _result('indistinguishable', losses=(
      dataclasses.replace(_LOSS, **change), _STAYS))
  found = answers.answers(result)[1]
  assert found.answer == said
  loss = usable.Loss.of(result['losses'][0])
  assert f'{100 * loss.original:.1f} % -> {100 * loss.unlearned:.1f} %' in (
      found.because)
  assert f'is {100 * loss.lost:.1f} points, {loss}' in found.because
  assert ('at most 2 points may be lost' in found.because) == (said != 'yes')
  assert ('do not use' in answers.lines(result)[-1]) == (said == 'no')


def test_a_fall_on_those_who_stay_is_a_no():
  fallen = dataclasses.replace(
      _STAYS, unlearned=.47, low=.53, high=.53)
  result = _result('indistinguishable', losses=(_LOSS, fallen))
  found = answers.answers(result)[1]
  assert found.answer == 'no'
  assert found.because.endswith(
      '; at most 5 points may be lost on those who stay')
  assert 'lost more accuracy than it may' in answers.lines(result)[-1]


def test_what_is_not_there_is_unknown():
  result = _result(losses=())
  assert _said(result)[1] == 'unknown'
  result['metrics'] = []
  assert _said(result)[0] == 'unknown'


def test_a_model_that_equals_the_original_forgot_nothing():
  result = _result('indistinguishable', verification={'unchanged': True})
  assert _said(result)[0] == 'no'


def test_a_run_is_told_before_and_after():
  record = {
      'accuracies': {'original': {'val': .5, 'retain': 1.0},
                     'unlearned': {'val': .49, 'retain': .985}},
      'findings': {'original_mia_auc': .894}, 'selected_step': 20,
      'history': [{'step': 10, 'mia_auc': .7}, {'step': 20, 'mia_auc': .5561},
                  {'step': 30, 'mia_auc': .5}]}
  assert answers.before_after(record) == (
      'Before -> after: accuracy on validation images 50.0 % -> 49.0 %, '
      'accuracy on those who stay 100.0 % -> 98.5 %, AUC of the attack on '
      'forget and validation images 0.894 -> 0.556 (a guess: 0.5).')
  assert answers.before_after({'history': []}) == ''
