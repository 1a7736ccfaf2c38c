"""Rows, distances and paired differences of made-up cells."""

import math

import pytest

from experiments.paper import summary


def cell(model, seed=0, *, test=.6, retain=.9, forget=.5, auc=.5, nomus=.7,
         state='model', **fields):
  metrics = {
      'accuracy_test': test, 'accuracy_retain': retain,
      'accuracy_forget': forget, 'mia_auc_matched': auc, 'nomus': nomus,
      'forgetting_score': .1}
  return {
      'task': 'toy', 'preset': 'demo', 'seed': seed, 'model': model,
      'state': state, 'title': model, 'images': 10, 'image_size': 32,
      'classes': 3, 'splits': {'retain': 5, 'forget': 1, 'val': 2, 'test': 2},
      'network': {'architecture': 'resnet18', 'width': 8}, 'train_epochs': 3,
      'original_train_accuracy': 1.0, 'time_share': .5,
      'metrics': {name: {'value': value, 'low': None, 'high': None}
                  for name, value in metrics.items()}, **fields}


def cells():
  found = []
  for seed, shift in enumerate((0., .02, .04)):
    found += [
        cell('original', seed, auc=.9),
        cell('retrained', seed, test=.6 + shift), cell('null', seed),
        cell('dlfd', seed, test=.5 + shift, epochs=2),
        cell('finetune', seed, test=.6 + shift, auc=.8, nomus=.6, epochs=2)]
  return found


def test_the_distance_is_the_mean_absolute_gap():
  one = cell('a', test=.5, retain=.8, forget=.7, auc=.6)
  assert summary.distance(one, cell('retrained')) == pytest.approx(
      (.1 + .1 + .2 + .1) / 4)
  assert summary.distance(one, one) == 0


def test_the_spread_over_seeds_by_hand():
  found = summary.spread(summary.rows_of(cells())['dlfd', 'model'],
                         'accuracy_test')
  assert found.mean == pytest.approx(.52)
  assert found.deviation == pytest.approx(.02)
  half = 4.302652729911275 * .02 / math.sqrt(3)  # t of 2 degrees of freedom
  assert found.interval == pytest.approx((.52 - half, .52 + half))
  assert summary.Spread((.5,)).text() == '0.500'


def test_paired_differences_remove_what_the_seeds_share():
  found = summary.paired(cells(), ('dlfd', 'model'), ('finetune', 'model'),
                         'accuracy_test')
  assert found.mean == pytest.approx(-.1)
  assert found.deviation == pytest.approx(0, abs=1e-12)


def test_a_pair_needs_a_shared_seed():
  some = [cell('a', 0), cell('b', 1), cell('retrained', 0),
          cell('retrained', 1)]
  assert summary.paired(some, ('a', 'model'), ('b', 'model'), 'nomus') is None


def test_rows_are_ranked_by_distance_then_by_nomus():
  assert summary.ranked(cells()) == [('dlfd', 'model'), ('finetune', 'model')]
  tied = [cell('retrained'), cell('a', nomus=.1), cell('b', nomus=.9)]
  assert summary.ranked(tied) == [('b', 'model'), ('a', 'model')]


def test_the_standing_names_the_place_and_what_the_seeds_can_tell():
  lines = summary.standing(cells())
  assert 'number 1 of 2' in lines[0]
  assert any('paired by seed, distance' in line for line in lines)
  other = summary.standing(cells(), ours='finetune')
  assert 'number 2 of 2' in other[0] and 'the nearest is dlfd' in other[0]


def test_the_standing_says_what_the_order_hides():
  def lines(rows):
    return '\n'.join(summary.standing(rows))

  assert 'One seed' not in lines(cells())
  one = [row for row in cells() if row['seed'] == 0]
  assert 'One seed: another may put them in another order.' in lines(one)
  two = [row for row in cells() if row['seed'] < 2]
  assert 'two seeds do not say how much it varies' in lines(two)
  assert 'The original' not in lines(one)
  near = [cell('original') if row['model'] == 'original' else row
          for row in one]
  assert 'The original, which has forgotten nobody, is as near' in lines(near)
  last = cell('dlfd', state='last')
  assert 'its last state is nearer (0.000)' in lines([*one, last])


def test_a_metric_that_a_seed_lacks_is_left_out():
  rows = [cell('a', 0), cell('a', 1, nomus=None)]
  assert summary.spread(rows, 'nomus') is None


def test_the_summary_holds_means_and_paired_differences():
  found = {(r['model'], r['metric']): r for r in summary.of(
      {'cells': cells()})}
  row = found['finetune', 'accuracy_test']
  assert row['mean']['value'] == pytest.approx(.62)
  assert row['dlfd_minus']['value'] == pytest.approx(-.1)
  assert row['dlfd_minus']['low'] == pytest.approx(-.1)
  assert found['dlfd', 'distance']['dlfd_minus'] is None
  assert found['dlfd', 'distance']['mean']['value'] == pytest.approx(.025)
