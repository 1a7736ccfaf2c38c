"""The three answers say no more than the numbers of an evaluation."""

import dataclasses

import pytest

from dlfd_jax.cli import command, exit_codes
from dlfd_jax.metrics import usable
from dlfd_jax.report import answers, first_page
from tests.report import fakes

_LOSS = usable.AccuracyDrop('val', .50, .49, -.005, .015, 400, 90)
_STAYS = usable.AccuracyDrop('retain', 1.0, .99, .01, .01)


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


def test_advice_names_the_command_that_judged():
  result = _result(auc=(.52, .45, .59, 'inconclusive'))
  assert 'then dlfd evaluate --tier=1)' in answers.lines(result)[-1]
  audited = answers.lines({**result, 'audit': {}})[-1]
  assert 'then dlfd audit --tier=1)' in audited
  assert 'dlfd evaluate' not in audited


def _beside(count, auc, delta, **more):
  """At tier 0 beside retrained models, none of which excuses the attack."""
  result = _result('', auc=(*auc, more.pop('verdict', 'inconclusive')))
  result['verdicts'] = {}
  result['models']['retrained'] = result['models']['retrained'][:count]
  record, = (one for one in result['metrics']
             if one['metric'] == 'mia_auc_matched')
  record['delta'] = dict(zip(('value', 'low', 'high'), delta), reason=None)
  record.update(more)
  return result


@pytest.mark.parametrize('result, said', [
    # One retrained model cannot excuse what is half as far as the original,
    (_beside(1, (.80, .74, .86), (.30, .23, .37)), ['no', 'unknown']),
    (_beside(1, (.20, .14, .26), (-.30, -.37, -.23)), ['no', 'unknown']),
    # but what may be the chance of a training,
    (_beside(1, (.60, .52, .68), (.08, .01, .15)), ['not shown', 'unknown']),
    # or what is as far from a guess, or farther.
    (_beside(1, (.60, .52, .68), (.02, -.06, .10)), ['not shown', 'unknown']),
    (_beside(1, (.60, .52, .68), (-.1, -.18, -.02)), ['not shown', 'unknown']),
    (_beside(1, (.55, .48, .62), (.10, .02, .18)), ['not shown', 'unknown']),
    (_beside(1, (.80, .74, .86), (.30, .23, .37), verdict='too few to say'),
     ['not shown', 'unknown']),
    # Two are not enough for Holm's correction over all that vote.
    (_beside(2, (.80, .74, .86), (.30, .10, .50)), ['no', 'unknown']),
    (_beside(2, (.80, .74, .86), (.30, -.1, .70)), ['not shown', 'unknown']),
    (_beside(3, (.80, .74, .86), (.30, .23, .37), verdict='distinguishable',
             gate='sees the original'), ['no', 'no']),
    (_beside(3, (.80, .74, .86), (.30, -.1, .70)), ['not shown', 'unknown']),
    (_beside(3, (.40, .34, .46), (-.1, -.17, -.03), verdict='distinguishable',
             gate='cannot see the original'), ['not shown', 'unknown'])])
def test_a_retrained_model_more_does_not_hide_what_an_attack_sees(result, said):
  assert [_said(result)[i] for i in (0, 2)] == said
  refused = answers.lines(result)[-1].startswith(
      'Recommendation: do not use it')
  assert refused == ('no' in said)


def _apart_in(*changes, forgetting='inconclusive'):
  """Told apart from three retrained models by accuracies, and so much."""
  result = _result(forgetting)
  result['verdicts']['utility']['verdict'] = 'distinguishable'
  names = ('accuracy_retain', 'accuracy_test')
  for name, change in zip(names, changes):
    record, = (one for one in result['metrics'] if one['metric'] == name)
    record['verdict'] = 'distinguishable' if change else 'inconclusive'
    record['delta'] = {'value': change, 'low': change - .05,
                       'high': change + .05, 'reason': None}
  return result


def test_to_be_more_accurate_than_retrained_models_is_no_reason_against_it():
  result = _apart_in(.096, .0)
  like = answers.answers(result)[2]
  assert like.answer == 'no' and not like.refuses and not like.is_open
  assert 'only as it is more accurate than they are: ' in like.because
  assert '+0.096 (+0.046 to +0.146)' in like.because
  assert answers.lines(result)[-1].startswith('Recommendation: none yet')
  assert 'Decide by the recommendation' in ' '.join(first_page.to_do(result))
  assert command.exit_code(answers.as_json(answers.answers(result))) == 0
  forgotten = _apart_in(.096, forgetting='indistinguishable')
  assert answers.lines(forgotten)[-1] == 'Recommendation: use it.'
  assert 'Put the unlearned model into use' in ' '.join(
      first_page.to_do(forgotten))


@pytest.mark.parametrize('result', [
    _apart_in(-.096, .0), _apart_in(.096, -.08), _apart_in(.0, -.08),
    _apart_in(.096, forgetting='distinguishable')])
def test_to_be_less_accurate_or_to_remember_is_one(result):
  assert answers.answers(result)[2].refuses
  assert answers.lines(result)[-1].startswith('Recommendation: do not use it')
  assert 'Do not put' in ' '.join(first_page.to_do(result))
  assert command.exit_code(answers.as_json(answers.answers(result))) in (
      exit_codes.NOT_FORGOTTEN, exit_codes.UNUSABLE)


@pytest.mark.parametrize('low, high, said', [
    (-.4, -.15, True), (.02, .2, True), (-.1, .1, False)])
def test_what_an_attack_without_a_vote_sees_stands_beside_the_answer(
    low, high, said):
  result = _result('inconclusive')
  record, = (one for one in result['metrics']
             if one['metric'] == 'mia_auc_matched')
  result['metrics'].append({
      **record, 'metric': 'mia_auc_matched_entropy', 'verdict': None,
      'delta': {'value': (low + high) / 2, 'low': low, 'high': high,
                'reason': None}})
  first = answers.answers(result)[0]
  assert first.answer == 'not shown'
  assert ('without a vote' in first.because) == said
  assert ('by entropy' in first.because) == said


def _few(told_apart):
  result = _result('too few to say', auc=(.9, None, None, 'too few to say'))
  entry = {'person': 3, 'unit': 'person', 'told_apart': told_apart, 'value': 2.,
           'unseen': 60, 'p': .03, 'p_adjusted': .03}
  return {**result, 'people': [entry, {
      **entry, 'told_apart': False, 'p_adjusted': .4}]}


def test_of_few_people_a_rank_answers_and_more_models_would_not_help():
  apart, advice = answers.lines(_few(True))[::3]
  assert apart.startswith('Forgotten? No: ')
  assert ('by rank among unseen people 1 of 2 to forget is told apart, p 0.03'
          in apart)
  assert advice.startswith('Recommendation: do not use it')
  first, *_, advice = answers.lines(_few(False))
  assert first.startswith('Forgotten? Not shown: ')
  assert 'more people or retrained models' not in advice.partition(
      'as these')[2].partition(';')[0]


def test_nobody_is_called_forgotten_beside_a_person_who_is_told_apart():
  people = _few(True)['people']
  first, *_, advice = answers.lines(_result('indistinguishable', people=people))
  assert first.startswith('Forgotten? Not shown: ')
  assert 'but by rank among unseen people 1 of 2 to forget is told' in first
  assert advice.startswith('Recommendation: none yet')


def test_a_class_without_unseen_images_is_told_by_what_else_sees_it():
  result = _result('distinguishable')
  record, = (one for one in result['metrics']
             if one['metric'] == 'mia_auc_matched')
  record['unlearned'] = {'value': None, 'reason': 'nobody is unseen'}
  first = answers.answers(result)[0]
  assert first.answer == 'no' and 'nobody is unseen' in first.because
  result['verdicts'] = {}
  assert answers.answers(result)[0].answer == 'unknown'


@pytest.mark.parametrize('p, gate, said', [
    (.01, 'sees the original', ['no', 'no']),
    (.03, 'sees the original', ['not shown', 'unknown']),  # above .05 / 2
    (.01, 'cannot see the original', ['not shown', 'unknown'])])
def test_accuracy_on_forget_tells_apart_at_tier_0_too(p, gate, said):
  result = _beside(3, (.55, .48, .62), (.04, -.1, .18), p_value=.2)
  record, = (one for one in result['metrics']
             if one['metric'] == 'accuracy_forget')
  record.update(verdict='distinguishable', p_value=p, gate=gate, delta={
      'value': .106, 'low': .058, 'high': .154, 'reason': None})
  first, _, third = answers.answers(result)
  assert [first.answer, third.answer] == said
  assert ('Accuracy, forget (difference +0.106 (+0.058 to +0.154))' in (
      first.because)) == (said[0] == 'no')


@pytest.mark.parametrize('outcome, said', [
    ('taken', 'unknown'), ('not needed', 'no')])
def test_an_attack_does_not_make_exact_retraining_remember(outcome, said):
  result = _result(
      auc=(.60, .52, .68, 'distinguishable from unseen data'),
      selection={'auto': {'candidates': [
          {'exact': False, 'outcome': 'refused'},
          {'exact': True, 'outcome': outcome}]}})
  found = answers.answers(result)[0]
  assert found.answer == said and '0.600 (0.520 to 0.680)' in found.because
  assert ('retrained without them' in found.because) == (said == 'unknown')


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
  loss = usable.AccuracyDrop.of(result['losses'][0])
  assert f'{100 * loss.original:.1f} % -> {100 * loss.unlearned:.1f} %' in (
      found.because)
  assert f'is {100 * loss.lost:.1f} points, {loss}' in found.because
  assert ('at most 2 points may be lost' in found.because) == (said != 'yes')
  assert ('do not use' in answers.lines(result)[-1]) == (said == 'no')


@pytest.mark.parametrize('after, said', [
    (.77, 'unknown'), (.79, 'yes'), (.95, 'yes')])
def test_skill_that_is_lost_on_test_alone_is_not_called_kept(after, said):
  # Validation images chose the state: it may be fitted to them.
  on_test = usable.AccuracyDrop(
      'test', .8, after, .8 - after - .05, .8 - after + .05, 300, 60)
  found = answers.answers(_result(
      'indistinguishable', losses=(_LOSS, _STAYS, on_test)))[1]
  assert found.answer == said
  assert f'80.0 % -> {100 * after:.1f} % on test images' in found.because
  assert (str(on_test) in found.because) == (said != 'yes')
  assert ('more test images' in found.tells) == (said != 'yes')


def test_a_loss_that_is_shown_on_test_is_a_no():
  fallen = usable.AccuracyDrop('test', .80, .40, .3, .5, 300, 60)
  found = answers.answers(_result(
      'indistinguishable', losses=(_LOSS, _STAYS, fallen)))[1]
  assert found.answer == 'no'
  assert '80.0 % -> 40.0 % on test images' in found.because
  assert str(fallen) in found.because
  assert fallen.sentence.startswith(
      'Do not use this model: its accuracy on test images is 40.0 %')


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
  for record in result['metrics']:  # of an audit
    record['original'] = {'value': None, 'low': None, 'high': None,
                          'reason': 'no original model was given'}
  assert str(answers.answers(result)[1]) == (
      'Still works? Unknown: no original model was given.')
  result['metrics'] = []
  assert _said(result)[0] == 'unknown'


def test_a_model_that_equals_the_original_forgot_nothing():
  result = _result('indistinguishable', verification={'unchanged': True},
                   losses=(dataclasses.replace(_LOSS, high=.04), _STAYS))
  assert _said(result)[:2] == ['no', 'yes']
  assert 'do not use it, as nothing was forgotten' in answers.lines(result)[-1]


@pytest.mark.parametrize('record, said', [
    ({'verification': {'unchanged': True}}, 'No: the model equals'),
    ({'findings': {}}, 'Unknown: it was not measured'),
    ({'findings': {'select_threshold_met': None}}, 'Unknown: it was not'),
    ({'findings': {'select_threshold_met': False,
                   'attack_blind_to_original': False}},
     'No: the state that the run returns does not meet the threshold of its '
     'live attack.'),
    ({'findings': {'select_threshold_met': False,
                   'attack_blind_to_original': True}},
     'Unknown: the live attack cannot tell'),
    ({'findings': {'select_threshold_met': True,
                   'attack_blind_to_original': True}},
     'Unknown: the live attack cannot tell'),
    ({'findings': {'select_threshold_met': True,
                   'attack_blind_to_original': False}},
     'Not shown: the threshold of the live attack is met, on images that'),
    ({'findings': {'select_threshold_met': True, 'select_by': 'mia_auc',
                   'mia_auc': .55, 'select_threshold': .2}},
     'Not shown: the threshold of the live attack is met: AUC of the attack on '
     'forget and validation images 0.550, asked from 0.400 to 0.600, on'),
    ({'findings': {'select_threshold_met': False, 'mia_auc': .51, 'select_by':
                   'forgetting_score', 'select_threshold': .1},
      'selected_step': 7, 'history': [
          {'step': 0, 'forgetting_score': .4},
          {'step': 7, 'forgetting_score': .15}]},
     'No: the state that the run returns does not meet the threshold of its '
     'live attack: forgetting score 0.150, asked at most 0.100.')])
def test_a_run_does_not_call_forgotten_what_it_cannot_tell(record, said):
  found = answers.of_run(record)
  assert str(found[0]).startswith(f'Forgotten? {said}')
  assert found[2].answer == 'unknown'
  assert ('do not use it' in answers.advice(found)) == (
      found[0].answer == 'no')


def test_a_run_answers_whether_the_model_still_works():
  kept = dataclasses.replace(_LOSS, high=.01)
  unsure = dataclasses.replace(_LOSS, high=.03)
  for loss, answer in ((kept, 'yes'), (unsure, 'unknown'), (
      dataclasses.replace(_LOSS, unlearned=_LOSS.original - .2, low=.1,
                          high=.3), 'no')):
    found = answers.of_run({'losses': [loss.as_dict(), _STAYS.as_dict()]})
    assert found[1].answer == answer
  assert answers.of_run({})[1].answer == 'unknown'


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
