"""Who votes, what the votes give, and sentences that say no more than that."""

import dataclasses
import itertools
import re

import numpy as np
import pytest

from dlfd_jax.evaluation import estimate, registry, run, shadows, verdicts
from dlfd_jax.evaluation.estimate import Estimate, Record
from dlfd_jax.metrics import stats
from dlfd_jax.report import tables
from tests.evaluation import fakes
from tests.report import fakes as report_fakes

_SAME = (stats.INDISTINGUISHABLE, .6)
_WIDE = (stats.INCONCLUSIVE, .3)
_NONE = (None, None)
_NAMES = {'companion': 'companion', 'person': 'gap_mia_auc_person'}
_ROLES = {_NAMES['companion']: registry.COMPANION,
          _NAMES['person']: registry.ACCUSER}


def _apart(p=1e-4):
  return stats.DISTINGUISHABLE, p


def _record(name, vote, gate=None, power=None):
  value = Estimate(.5)
  verdict, p_value = vote
  return Record(
      name, 'forget', 'higher', value, value, value, value,
      Estimate(.1, .05, .15) if verdict == stats.DISTINGUISHABLE else
      Estimate(0., -.1, .1), verdict=verdict, p_value=p_value, gate=gate,
      power=power)


def _overall(*votes, retrained=3, **named):
  options = {key: named.pop(key) for key in (
      'over_forgotten', 'too_few', 'people', 'rank_p') if key in named}
  records = [_record('abcd'[i], *(
      vote if isinstance(vote[0], tuple) else (vote,)))
             for i, vote in enumerate(votes)]
  records += [_record(_NAMES[name], *(
      vote if isinstance(vote[0], tuple) else (vote,)))
              for name, vote in named.items()]
  return verdicts.overall(
      records, retrained=retrained, roles=_ROLES, **options)


def _verdict(*votes, **options):
  return _overall(*votes, **options)['verdict']


def test_all_must_be_indistinguishable():
  assert _verdict(_SAME, _SAME) == 'indistinguishable'
  assert _verdict(_SAME, _WIDE) == 'inconclusive'


def test_one_is_enough_to_tell_apart_but_only_after_holm():
  assert _verdict(_SAME, _apart(.001), _SAME) == 'distinguishable'
  assert _verdict(_WIDE, _apart(.03), _WIDE) == 'inconclusive'
  assert _verdict(_apart(.03)) == 'distinguishable'


def test_a_small_but_certain_difference_within_the_margin_is_none():
  tiny = (stats.INDISTINGUISHABLE, 1e-9)
  assert _verdict(tiny, _SAME) == 'indistinguishable'


def test_a_voter_that_was_not_computed_forbids_indistinguishable():
  found = _overall(_SAME, _NONE)
  assert found['verdict'] == 'inconclusive'
  assert found['because'].endswith('not computed: b')
  assert _verdict(_apart(), _NONE) == 'distinguishable'


def test_the_over_forgetting_flag_overrules_from_two_retrained_models_on():
  assert _verdict(_SAME, over_forgotten=True) == (
      'distinguishable (over-forgotten)')
  found = _overall(_SAME, over_forgotten=True, retrained=1)
  assert found['verdict'] == 'inconclusive'
  assert 'the over-forgetting flag is raised' in found['because']


@pytest.mark.parametrize('vote', [_SAME, _WIDE, _apart(1e-12), _NONE])
@pytest.mark.parametrize('retrained', [0, 1])
def test_below_two_retrained_models_nothing_is_told(vote, retrained):
  found = _overall(vote, _SAME, person=vote, retrained=retrained)
  assert found['verdict'] == 'inconclusive'
  assert ('a, gap_mia_auc_person differ by more' in found['because']) is (
      retrained == 1 and vote == _apart(1e-12))


def test_who_cannot_see_the_original_has_no_vote():
  blind = (_apart(), verdicts.BLIND)
  assert _verdict(_SAME, blind) == 'indistinguishable'
  found = _overall(blind, ((None, None), verdicts.NEEDS_THREE))
  assert found['verdict'] == 'cannot say'
  assert found['because'].endswith('cannot see the original: a')
  assert found['metrics'] == {
      'a': 'cannot see the original', 'b': 'it takes three retrained models'}


def test_unchecked_voters_only_tell_apart():
  unchecked = (_SAME, verdicts.UNCHECKED)
  assert _verdict(unchecked) == 'inconclusive'
  assert _verdict(unchecked, (_apart(), verdicts.UNCHECKED)) == (
      'distinguishable')


def test_a_companion_never_decides_alone():
  assert _verdict(_SAME, companion=_apart()) == 'inconclusive'
  assert _verdict(_apart(), companion=_apart()) == 'distinguishable'
  assert _verdict(_SAME, companion=_WIDE) == 'inconclusive'
  assert _verdict(_SAME, companion=_NONE) == 'indistinguishable'
  assert _verdict((_WIDE, verdicts.BLIND), companion=_SAME) == 'cannot say'


def test_persons_accuse_but_block_only_with_power():
  assert _verdict(_SAME, person=_apart()) == 'distinguishable'
  assert _verdict((_WIDE, verdicts.BLIND), person=(
      _apart(), verdicts.BLIND)) == 'distinguishable'
  for gate, power in ((verdicts.SEES, .79), (verdicts.BLIND, .9)):
    assert _verdict(_SAME, people=13, person=(_WIDE, gate, power)) == (
        'indistinguishable per image; persons: cannot say at 13')
  assert _verdict(_SAME, person=(_WIDE, verdicts.SEES, .8)) == 'inconclusive'
  for vote in (_SAME, _NONE):
    assert _verdict(_SAME, person=vote) == 'indistinguishable'


def test_a_rank_tells_apart_after_holm_and_never_blocks():
  found = _overall(_SAME, _SAME, rank_p=.01)
  assert found['verdict'] == 'distinguishable'
  assert found['because'] == 'told apart by a rank among unseen people'
  for p in (.02, 1.):  # .02 is above .05 / 3
    assert _verdict(_SAME, _SAME, rank_p=p) == 'indistinguishable'
  assert 'by a, a rank' in _overall(_apart(), rank_p=.001)['because']


def _wide(name, error, spread, margin, power=0.):
  return dataclasses.replace(
      _record(name, _WIDE, power=power), margin=margin, unit='person',
      delta=Estimate(0., -.1, .1, error=error, spread=spread))


@pytest.mark.parametrize('votes, said', [
    ([_wide('a', .013, 0., .05)], 'too wide to say either: a; it takes at '
     'least about 1.3 times as many people in each part, or about 7 retrained '
     'models'),
    ([_wide('a', .02, .0145, .05)], 'it takes at least about 20 times as many '
     'people in each part and 32 retrained models'),
    ([_wide('a', .05, .04, .05)], 'no number of people would do: the '
     'retrained models differ too much'),
    ([_wide('a', .02, 0., .02), _wide('b', .01, 0., .05, .8)],
     'b could have shown equality and did not; the intervals are too wide to '
     'say either: a; it takes at least about 19 times as many people in each '
     'part'),
    ([_wide('a', .4, 0., .02)], 'it takes more than 100 times as many people'),
    ([_record('a', _apart(.03)), _record('b', _SAME)],
     'a would be told apart alone, not among several metrics (Holm)')])
def test_inconclusive_says_what_would_do(votes, said):
  found = verdicts.overall(votes, retrained=5)
  assert found['verdict'] == 'inconclusive' and said in found['because']


def test_too_few_comes_first():
  found = _overall(_apart(), over_forgotten=True, too_few='forget has 1 person')
  assert found['verdict'] == 'too few to say'
  assert found['because'] == 'forget has 1 person'


def test_holm_steps_down():
  assert verdicts.holm([.01, .04, .03, .005]) == [True, False, False, True]
  assert verdicts.holm([.02, .03]) == [True, True]
  assert verdicts.holm([]) == []


def test_a_verdict_needs_a_metric():
  with pytest.raises(ValueError, match='at least one deciding metric'):
    verdicts.overall([], retrained=2)


def _estimate(value, error=.004, seed=0):
  rng = np.random.default_rng(seed)
  return Estimate.resampled(value, rng.normal(value, error, 2000), 100)


_METRIC = registry.find('gap_mia_auc_matched')


@pytest.mark.parametrize('original, gate', [
    (.9, verdicts.SEES), (.1, verdicts.SEES), (.52, verdicts.BLIND),
    (None, verdicts.UNCHECKED)])
def test_the_gate_is_the_interval_of_a_left_out_retrained_model(original, gate):
  retrained = [_estimate(v, seed=i) for i, v in enumerate((.5, .52, .51))]
  record = verdicts.compare(
      _METRIC, None if original is None else _estimate(original, seed=7),
      _estimate(.51, seed=8), retrained, Estimate(.5), n_units=200,
      unit='person', seeds={}, margin=.05)
  assert record.gate == gate
  if original is not None:
    gap = estimate.difference(_estimate(original, seed=7), retrained)
    assert (gap.low <= 0 <= gap.high) is (gate == verdicts.BLIND)
  assert record.verdict == (
      verdicts.BLIND if gate == verdicts.BLIND else stats.INDISTINGUISHABLE)


def _compared(delta, error, original, count, few):
  """The record of one attack on models that differ by ``delta``."""
  retrained = [_estimate(.5 + .002 * (i - (count - 1) / 2), error, i)
               for i in range(count)]
  return verdicts.compare(
      _METRIC, _estimate(original, error, 11),
      _estimate(.5 + delta, error, 12), retrained, Estimate(.5), n_units=100,
      unit='person', seeds={}, margin=.05, too_few=few)


@pytest.mark.parametrize('delta, error, original, count, few', [
    *itertools.product((0., .03, -.03, .2), (.002, .01, .2), (.5, .9),
                       (1, 2, 3, 5), (None, 'forget has 2 persons'))])
def test_no_sentence_says_more_than_its_number(
    delta, error, original, count, few):
  record = _compared(delta, error, original, count, few)
  result = report_fakes.result()
  result['models']['retrained'] = [f'retrained_{i}' for i in range(count)]
  result['metrics'] = [
      {**record.as_dict(), 'metric': name, 'tier': tier}
      for name, tier in (('mia_auc_matched', 0), ('gap_mia_auc_matched', 1))]
  text = ' '.join(tables.headline(result))
  row = tables.reference_table(result, everything=True).rows[0]
  low, high = record.delta.low, record.delta.high
  apart = 'tells the unlearned model apart' in text
  equal = 'equal within' in text
  if few:
    assert 'too few' in text and not apart and not equal
    return
  neither = 'neither' in text
  assert row.cells[4].interval in text  # the table's own Δ
  if count == 1:
    assert verdicts.ONE_REFERENCE in text and not apart and not equal
    assert ('more than chance' in text) is (low > 0 or high < 0)
    assert 'istinguishable' not in row.remarks[0] and record.p_value is None
    return
  assert (apart and not neither) is (
      (low > 0 or high < 0) and not -.05 < low <= high < .05)
  if equal and not neither:
    assert low > -.05 and high < .05 and record.gate == verdicts.SEES
  assert ('no vote on forgetting' in text) is (record.gate == verdicts.BLIND)
  assert text.endswith('.') and row.remarks[0].startswith('Verdict: ')


@pytest.mark.parametrize('retrained', [1, 2, 3])
@pytest.mark.parametrize('forget', [0., 3.])
@pytest.mark.parametrize('known', [True, False])
def test_headline_tables_and_verdicts_of_an_evaluation_agree(
    retrained, forget, known):
  data = fakes.dataset(people=40)
  splits = fakes.splits(data)
  outputs = {
      'unlearned': fakes.logits(data, splits, 2, forget=forget),
      'retrained': [fakes.logits(data, splits, 3 + i)
                    for i in range(retrained)]}
  if known:
    outputs['original'] = fakes.logits(data, splits, 1, forget=3.)
  found = run.evaluate(
      outputs, data, splits,
      run.EvaluationConfig(bootstrap=100, permutations=20, draws=1), tier=1)
  records = {record['metric']: record for record in found['metrics']}
  result = {**report_fakes.result(), **{
      key: found[key] for key in ('metrics', 'verdicts', 'notes')}}
  result['models']['retrained'] = ['r'] * retrained
  said = ' '.join((*tables.headline(result), *tables.verdict_sentences(result)))
  assert tables.EARLIER_RULES not in said
  for what, verdict in found['verdicts'].items():
    assert f'on {what} at tier 1: {verdict["verdict"]}' in said
    if 'too wide' in verdict['because']:
      assert re.search('it takes (at least|more than)|no number of', said)
    for name, own in verdict['metrics'].items():
      assert own in (records[name]['verdict'], records[name]['gate'])
  words = {record['verdict'] for record in records.values()}
  if retrained == 1:
    assert not words & {stats.DISTINGUISHABLE, stats.INDISTINGUISHABLE}
    assert all(record['p_value'] is None for record in records.values())
    assert 'distinguishable' not in said.replace('indistinguishable', '')
  if not known:
    assert found['verdicts']['forgetting']['verdict'].split()[0] in (
        'distinguishable', 'inconclusive')
  for record in records.values():
    if record['verdict'] == stats.INDISTINGUISHABLE:
      assert record['gate'] in (None, verdicts.SEES, verdicts.UNCHECKED)
      ends = (record['delta']['low'], record['delta']['high'])
      assert max(map(abs, ends)) < record['margin']


def test_an_earlier_result_says_by_which_rules_it_was_judged():
  assert tables.verdict_sentences(report_fakes.tier_1())[-1] == (
      tables.EARLIER_RULES)


def test_roles_are_those_of_the_specification():
  assert registry.voters(registry.UTILITY) == (
      'gap_accuracy_retain', 'gap_accuracy_test')
  roles = registry.roles()
  by_role = {role: [name for name in registry.voters(registry.FORGETTING)
                    if roles[name] == role] for role in (
      registry.VOTER, registry.COMPANION, registry.ACCUSER)}
  assert by_role[registry.VOTER][:3] == [
      'gap_mia_auc_matched', 'gap_accuracy_forget', 'normalised_js_forget']
  assert by_role[registry.COMPANION] == ['probe_membership', 'log2_ain']
  assert 'gap_mia_auc_person' in by_role[registry.ACCUSER]
  assert all(dataclasses.is_dataclass(registry.find(name)) for name in roles)


def test_intervals_of_shadow_models_end_where_their_values_do():
  metric = registry.find('u_lira_auc')
  record = verdicts.of_shadows(
      metric, shadows.Figure(Estimate(.97, .92, 1.018), Estimate(.5, .4, .6),
                             None, error=.3, freedom=7.),
      n_units=40, unit='person', seeds={}, margin=.05,
      direction=metric.direction, too_few=None)
  assert (record.unlearned.low, record.unlearned.high) == (.92, 1.)
  assert record.delta.high == 1. and record.delta.value == pytest.approx(.47)
