"""Cells, differences and verdicts of one metric."""

import dataclasses

import numpy as np
import pytest

from dlfd_jax.evaluation import comparison, records
from dlfd_jax.metrics import stats

_AUC = comparison.Metric(
    'mia_auc', 'forget', 'higher means more leakage', margin=.05, chance=.5)
_KS = comparison.Metric('ks_loss', 'forget', 'higher means more different')


def _estimate(value, error=.01, seed=0):
  rng = np.random.default_rng(seed)
  return comparison.Estimate(value, rng.normal(value, error, 4000))


def _compare(unlearned, retrained, metric=_AUC, original=None, n_units=100):
  return comparison.compare(
      metric, original, unlearned, retrained, records.Cell(.5),
      n_units=n_units, unit='person', seeds={'evaluation': 0})


def test_cell_is_the_value_with_percentiles():
  cell = _estimate(.6).cell()
  np.testing.assert_allclose((cell.low, cell.high), (.5804, .6196), atol=2e-3)


def test_a_given_interval_replaces_the_percentiles():
  cell = comparison.Estimate(.6, np.zeros(9), interval=(.1, .9)).cell()
  assert (cell.low, cell.high) == (.1, .9)


def test_shared_draws_cancel_in_the_difference():
  shared = _estimate(.6, .05)
  record = _compare(
      comparison.Estimate(.61, shared.replicates + .01), [shared])
  assert record.delta.value == pytest.approx(.01)
  assert record.delta.high - record.delta.low == pytest.approx(0, abs=1e-9)


def test_one_retrained_model_uses_the_units_alone():
  u, r = _estimate(.6, seed=1), _estimate(.5, seed=2)
  record = _compare(u, [r])
  expected = stats.difference(
      .1, np.var(u.replicates - r.replicates, ddof=1), 100)
  assert record.delta.low == pytest.approx(expected.low)
  assert record.retrained == r.cell()
  assert record.verdict == stats.DISTINGUISHABLE


def test_several_retrained_models_add_their_spread():
  u = _estimate(.60, seed=1)
  retrained = [_estimate(v, seed=i) for i, v in enumerate((.48, .50, .55))]
  record = _compare(u, retrained)
  mean = np.mean([r.replicates for r in retrained], axis=0)
  spread = np.var([.48, .50, .55], ddof=1)
  expected = stats.difference(
      .09, np.var(u.replicates - mean, ddof=1), 100,
      retrained_variance=spread, retrains=3)
  assert record.delta.value == pytest.approx(.09)
  assert record.delta.high == pytest.approx(expected.high)
  assert record.retrained.value == pytest.approx(.51)
  half = stats.difference(
      .51, np.var(mean, ddof=1), 100, unlearned_variance=spread, seeds=3)
  assert record.retrained.low == pytest.approx(half.low)


@pytest.mark.parametrize('retrained', [1, 4])
def test_tier_0_never_says_indistinguishable(retrained):
  same = _estimate(.5, 1e-4)
  record = _compare(same, [same] * retrained)
  assert record.delta.value == 0
  assert record.verdict == stats.INCONCLUSIVE


def test_a_sample_too_small_for_equivalence_says_so():
  u, r = _estimate(.52, .03, seed=1), _estimate(.5, .03, seed=2)
  record = _compare(u, [r])
  assert any('cannot show equivalence within 0.05' in n for n in record.notes)
  fine = _compare(_estimate(.52, .005, 1), [_estimate(.5, .005, 2)])
  assert not fine.notes


@pytest.mark.parametrize('value, expected', [
    (.6, comparison.UNSEEN), (.4, comparison.UNSEEN),
    (.51, stats.INCONCLUSIVE)])
def test_without_retrained_model_unseen_data_are_the_measure(value, expected):
  record = _compare(_estimate(value), [])
  assert record.verdict == expected
  assert record.retrained.reason == 'no retrained model was given'
  assert record.delta.reason == 'no retrained model was given'
  assert _compare(_estimate(value), [], metric=_KS).verdict is None


def test_an_interval_of_few_models_is_cut_at_the_bounds_of_the_metric():
  several = [_estimate(.99, seed=1), _estimate(.90, seed=2)]
  free = _compare(_estimate(.9), several, _KS).retrained
  cut = _compare(_estimate(.9), several, dataclasses.replace(
      _KS, bounds=comparison.SHARE)).retrained
  assert free.high > 1
  assert cut == dataclasses.replace(free, high=1.0)
  few = [_estimate(.1, seed=1), _estimate(.9, seed=2)]
  free = _compare(_estimate(.9), few, _KS).delta
  cut = _compare(_estimate(.9), few, dataclasses.replace(
      _KS, bounds=comparison.SHARE)).delta
  assert free.high > 1 and free.low < -1
  assert cut == dataclasses.replace(free, low=-1.0, high=1.0)


def test_margin_and_power_stand_in_the_record():
  record = _compare(_estimate(.6), [_estimate(.6, seed=1)])
  error = np.hypot(.01, .01)
  assert record.margin == .05
  assert record.power == pytest.approx(stats.power(error, .05), abs=.02)
  assert _compare(_estimate(.6), []).power is None


def test_metrics_without_margin_decide_nothing():
  record = _compare(_estimate(.9), [_estimate(.1)], metric=_KS)
  assert record.delta.low > 0 and record.verdict is None


def test_reasons_travel_to_every_cell_that_needs_the_number():
  missing = comparison.Estimate.missing('no logits on test')
  record = _compare(missing, [_estimate(.5)])
  assert record.unlearned.reason == record.delta.reason == 'no logits on test'
  record = _compare(_estimate(.5), [_estimate(.5), missing])
  assert record.retrained.reason == record.delta.reason == 'no logits on test'
  record = _compare(None, [_estimate(.5)])
  assert record.delta.reason == 'no unlearned model was given'
  assert record.original.reason == 'no original model was given'


def test_one_unit_has_no_interval():
  flat = comparison.Estimate(1.)
  record = _compare(flat, [flat, comparison.Estimate(0.)], n_units=1)
  assert record.delta == records.Cell(.5)
  assert record.retrained == records.Cell(.5)
  assert record.verdict is None


def test_centred_replicates_have_the_value_as_mean_and_stay_positive():
  replicates = np.array([.3, .4, .5, np.nan])
  got = comparison.centred(.2, replicates)
  np.testing.assert_allclose(got, [.1, .2, .3, np.nan])
  assert comparison.centred(.05, replicates)[0] == 0
