"""What came back, in a sentence, a table and the report."""

import pytest

from dlfd_jax.evaluation import verdicts
from dlfd_jax.report import html, recovery, tables
from tests.report import fakes


def _record(metric, unlearned, retrained=None, **more):
  def cell(value):
    return {'value': None, 'reason': 'none'} if value is None else {
        'value': value, 'low': None, 'high': None}

  return {'metric': metric, 'units': 'fraction', 'notes': [], 'tier': 1,
          'direction': 'higher means more', **more,
          'unlearned': cell(unlearned), 'retrained': cell(retrained)}


def _said(after, retrained=None, verdict=None, models=3):
  return recovery.sentences({
      'models': {'retrained': ['x'] * models}, 'metrics': [
          _record('accuracy_forget', .5),
          _record('recovery_accuracy', after, retrained, verdict=verdict)]})


@pytest.mark.parametrize('verdict, models, end', [
    ('distinguishable', 3, 'models 0.500: what seemed forgotten comes back.'),
    ('indistinguishable', 3, 'models 0.500: no more comes back than in them.'),
    ('inconclusive', 3, 'the difference is too uncertain to say more.'),
    (verdicts.BLIND, 3, 'does not tell the original from them either.'),
    ('too few to say', 1, 'too few people or images to say more.'),
    (None, 2, 'it takes three of them for a verdict.'),
    (None, 1, f'model 0.500: {verdicts.ONE_REFERENCE}.')])
def test_one_sentence_says_no_more_than_the_verdict(verdict, models, end):
  said, = _said(.97, .5, verdict, models)
  assert said.startswith('After learning retain again, accuracy on forget is '
                         '0.970 (before: 0.500), that of the retrained model')
  assert said.endswith(end)


@pytest.mark.parametrize('before, after, verdict, delta, end', [
    (.95, .90, 'distinguishable', (.1, .05, .15),
     'more is known than in them.'),
    (.10, .20, 'inconclusive', (-.6, -.8, -.4),
     'less is known than in them, which may be damage.'),
    (.10, .20, 'inconclusive', (-.1, -.3, .1), 'too uncertain to say more.')])
def test_nothing_comes_back_that_did_not_rise(
    before, after, verdict, delta, end):
  said, = recovery.sentences({
      'models': {'retrained': ['x'] * 3}, 'metrics': [
          _record('accuracy_forget', before), _record(
              'recovery_accuracy', after, .8, verdict=verdict, delta=dict(
                  zip(('value', 'low', 'high'), delta)))]})
  assert said.endswith(end)


def test_without_retrained_models_or_recovery_less_is_said():
  assert _said(.97) == [
      'After learning retain again, accuracy on forget is 0.970 (before: 0.500)'
      '; there is no retrained model to compare with.']
  assert _said(None) == []
  assert recovery.sentences({'metrics': []}) == []


def test_the_report_has_a_table_if_anything_was_tried():
  result = fakes.tier_1()
  assert tables.recovery_table(result).rows == ()
  assert 'Attempts to bring forget back' not in html.render_report(result)
  rows = [_record('recovery_accuracy', .97, .5, verdict='distinguishable'),
          _record('recovery_rest/5 %', .6, .5, notes=['5 %: 2 people.'])]
  result = {**result, 'metrics': [*result['metrics'], *rows]}
  assert [row.key for row in tables.recovery_table(result).rows] == [
      'recovery_accuracy', 'recovery_rest/5 %']
  page = html.render_report(result)
  assert 'Attempts to bring forget back' in page
  assert 'Accuracy on the rest of forget, taught again: 5 %' in page
  assert '5 %: 2 people.' in page
  empty = {**result, 'metrics': [
      *fakes.tier_1()['metrics'], _record('recovery_accuracy', None)]}
  assert tables.recovery_table(empty).rows == ()
