"""Gaps, ties, pairs and aims of made-up cells."""

import math

import numpy as np
import pytest

from experiments.paper import comparison, judging, summary

_PLAIN = {'accuracy_test': .6, 'accuracy_retain': 1., 'accuracy_forget': .5,
          'mia_auc_matched': .5, 'lira_auc': .5, 'lira_auc_two_sided': .5,
          'lira_auc_person': .5, 'gap': .02}


def cell(model, seed=0, *, title=None, share=.3, rule=False, **metrics):
  return {
      'task': 'toy', 'preset': 'demo', 'data': 'toy', 'seed': seed,
      'model': model, 'state': 'model', 'title': title or model, 'images': 10,
      'image_size': 32, 'classes': 3, 'rule': rule,
      'splits': {'retain': 5, 'forget': 1, 'val': 2, 'test': 2},
      'network': {'architecture': 'resnet18', 'width': 8}, 'train_epochs': 3,
      'original_train_accuracy': 1.0, 'passes': 2.0, 'time_share': share,
      'verdicts': {'forgetting': 'inconclusive'},
      'metrics': {name: {'value': value, 'low': None, 'high': None}
                  for name, value in {**_PLAIN, **metrics}.items()}}


def retrained(seed=0, gaps=(.01, .02, .03, .04), **metrics):
  return {**cell('retrained', seed, share=1.0, **metrics), 'references': [
      {**_PLAIN, **metrics, 'gap': gap} for gap in gaps], 'verdicts': {}}


def cells(seeds=3, shift=0.0):
  found = []
  for seed in range(seeds):
    more = .01 * seed
    found += [
        cell('original', seed, gap=.2, mia_auc_matched=.9, share=1.2),
        retrained(seed, accuracy_test=.6 + more),
        cell('dlfd_restore', seed, title='DLFD + restore',
             accuracy_test=.6 + more + shift, gap=.03),
        cell('eu_k', seed, title='EU-k', gap=.01, share=.5)]
  return [*found, cell('ssd', title='SSD', gap=.3)]


def result(**fields):
  return {'kind': 'comparison', 'command': 'python -m x --a_b', 'device': 'cpu',
          'devices': 1, 'versions': {'jax': '0'}, 'searches': {'toy': {
              'eu_k': {'trials': 4}}}, 'plan': {
                  'methods': ['dlfd_restore', 'eu_k', 'ssd'], 'trials': 4,
                  'cap_s': 20., 'seeds': 3, 'references': 4},
          'cells': cells(), **fields}


def test_the_gap_is_the_mean_absolute_difference_to_the_references_mean():
  references = [{**_PLAIN, 'accuracy_test': .5}, {**_PLAIN, 'accuracy_test': .7}
                ]
  one = {**_PLAIN, 'accuracy_test': .5, 'accuracy_retain': .8,
         'accuracy_forget': .7, 'mia_auc_matched': .4}
  assert judging.gap(one, references) == pytest.approx(
      (.1 + .2 + .2 + .1) / 4)
  assert judging.gap(_PLAIN, references) == 0


def test_a_reference_is_judged_beside_the_others_alone():
  tests = (.5, .6, .7)
  found = judging.left_out([{**_PLAIN, 'accuracy_test': v} for v in tests])
  assert found == pytest.approx([.15 / 4, 0, .15 / 4])


def test_a_gap_below_nine_in_ten_references_is_a_tie():
  every = cells()
  limit = comparison.point(every)
  assert limit == pytest.approx(np.quantile([.01, .02, .03, .04] * 3, .9))
  assert comparison.tied([cell('a', gap=limit - .001)], every)
  assert not comparison.tied([cell('a', gap=limit + .001)], every)
  # Its mean counts: one lucky seed makes no tie.
  assert not comparison.tied([cell('a', gap=.02), cell('a', 1, gap=.08)], every)


def unseen():
  """Cells whose original is as near to the references as one of them."""
  return [{**one, 'metrics': {**one['metrics'], 'gap': {
      'value': .02, 'low': None, 'high': None}}}
      if one['model'] == 'original' else one for one in cells()]


def test_where_the_original_is_as_near_as_a_reference_nobody_is_tied():
  assert comparison.sees(cells()) and not comparison.sees(unseen())
  mine = [one for one in unseen() if one['model'] == 'eu_k']
  assert comparison.tied(mine, cells())
  assert not comparison.tied(mine, unseen())
  assert [comparison.aims(of)[0].verdict for of in (cells(), unseen())] == [
      'reached', 'cannot say']


def test_methods_are_ranked_by_gap_and_those_on_fewer_seeds_stand_apart():
  by = comparison.groups([*cells(), cell('dlfd-best', rule=True)])
  assert list(by.full) == ['eu_k', 'dlfd_restore']
  assert list(by.screened) == ['ssd'] and list(by.rules) == ['dlfd-best']
  assert list(by.trained) == ['original', 'retrained']


def test_a_pair_is_a_method_minus_retraining_of_its_seed():
  found = comparison.paired(cells(shift=.02), 'dlfd_restore', 'accuracy_test')
  assert found.values == pytest.approx((.02,) * 3)
  assert comparison.paired(cells(), 'dlfd_restore', 'nothing') is None


@pytest.mark.parametrize('values, verdict', [
    ((.00, .01, .00), 'reached'), ((.10, .11, .10), 'missed'),
    ((-.10, -.11, -.10), 'missed'), ((.00, .10, .00), 'cannot say'),
    ((.00,), 'cannot say'), ((.0275, .0276, .0274), 'reached'),
    ((.029, .031, .030), 'cannot say')])
def test_equal_to_retraining_takes_the_whole_interval(values, verdict):
  assert comparison.within(
      summary.Spread(values), .03, '').verdict == verdict


def test_the_interval_of_an_aim_by_hand():
  found = comparison.within(summary.Spread((.00, .02, .04)), .03, 'x')
  half = 4.302652729911275 * .02 / math.sqrt(3)
  assert (found.found, found.low, found.high) == pytest.approx(
      (.02, .02 - half, .02 + half))


def _aims(**changes):
  of = [{**c, 'time_share': changes.get('share', .3)} if c['model'] == (
      'dlfd_restore') else c for c in cells()]
  for c in of:
    if c['model'] == 'dlfd_restore':
      for name, number in changes.items():
        if name != 'share':
          c['metrics'][name] = {'value': number, 'low': None, 'high': None}
  return [aim.verdict for aim in comparison.aims(of)]


def test_each_aim_is_missed_by_what_it_is_about():
  good = _aims()
  assert good == ['reached'] * 7 + ['missed']  # a tenth of the seconds: .3
  for changes, at in (
      ({'gap': .05}, 0), ({'accuracy_test': .4}, 1),
      ({'mia_auc_matched': .4}, 2), ({'lira_auc_two_sided': .6}, 3),
      ({'lira_auc_person': .7}, 4), ({'accuracy_retain': .96}, 5),
      ({'share': .34}, 6)):
    found = _aims(**changes)
    assert [i for i in range(8) if found[i] != good[i]] == [at], changes
  assert _aims(share=.1) == ['reached'] * 8


def test_the_retain_aim_shows_the_accuracy_itself():
  found = comparison.aims([retrained(s) for s in (0, 1)] + [
      cell('dlfd_restore', s, accuracy_retain=.97 + .01 * s)
      for s in (0, 1)])[5]
  assert found.found == pytest.approx(.975)
  assert found.low < found.found < found.high and found.verdict == 'reached'


def test_no_aim_of_a_method_that_was_not_run():
  assert comparison.aims([retrained()]) == []


def test_a_whole_table_lacks_nothing_and_a_partial_one_says_what():
  plan = result()['plan']
  labels = ['dlfd_restore', 'eu_k', 'ssd']
  assert comparison.missing(plan, cells(), labels) == []
  assert comparison.missing(plan, cells(), [*labels, 'ct', 'msg']) == [
      'not run yet: ct, msg']
  assert comparison.missing({**plan, 'seeds': 5}, cells(), labels) == [
      '3 of 5 seeds']
  stopped = [c for c in cells() if (c['model'], c['seed']) != ('eu_k', 2)]
  assert comparison.missing(plan, stopped, labels) == [
      'on fewer seeds than others: eu_k']
  begun = [*cells(2), cell('original', 2), retrained(2)]
  assert comparison.missing(plan, begun, labels) == [
      '2 of 3 seeds', 'seed 2 has been trained but no method run']
