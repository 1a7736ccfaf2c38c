"""Estimates, records, and verdicts of one metric and over all."""

import dataclasses
import json

import numpy as np
import pytest

from dlfd_jax.evaluation import estimate, registry, verdicts
from dlfd_jax.evaluation.estimate import Estimate, Record
from dlfd_jax.metrics import stats

_AUC = registry.find('mia_auc')
_FREE = dataclasses.replace(registry.find('ks_loss'), bounds=None)


def _estimate(value, error=.01, seed=0):
  rng = np.random.default_rng(seed)
  return Estimate.resampled(value, rng.normal(value, error, 4000))


def _compare(unlearned, retrained, metric=_AUC, original=None, n_units=100):
  return verdicts.compare(
      metric, original, unlearned, retrained, Estimate(.5), n_units=n_units,
      unit='person', seeds={'evaluation': 0},
      margin=None if metric.margin is None else .05)


def test_an_estimate_is_the_value_with_percentiles():
  got = _estimate(.6)
  np.testing.assert_allclose((got.low, got.high), (.5804, .6196), atol=2e-3)


def test_a_given_interval_replaces_the_percentiles():
  got = Estimate.resampled(.6, np.zeros(9), (.1, .9))
  assert (got.low, got.high) == (.1, .9)


def test_shared_draws_cancel_in_the_difference():
  shared = _estimate(.6, .05)
  record = _compare(
      Estimate.resampled(.61, shared.replicates + .01), [shared])
  assert record.delta.value == pytest.approx(.01)
  # What is left is the error of 100 units that show no spread.
  assert record.delta.high - record.delta.low == pytest.approx(.06, rel=.02)


def test_one_retrained_model_uses_the_units_alone():
  u, r = _estimate(.6, seed=1), _estimate(.5, seed=2)
  record = _compare(u, [r])
  low, _ = stats.t_interval(.1, *stats.standard_error(
      np.var(u.replicates - r.replicates, ddof=1), 100))
  assert record.delta.low == pytest.approx(low)
  assert record.retrained == r
  assert record.verdict == stats.INCONCLUSIVE  # two seeds differ, too
  assert record.p_value is record.power is record.gate is None


def test_several_retrained_models_add_their_spread():
  u = _estimate(.60, seed=1)
  retrained = [_estimate(v, seed=i) for i, v in enumerate((.48, .50, .55))]
  record = _compare(u, retrained)
  mean = np.mean([r.replicates for r in retrained], axis=0)
  spread = np.var([.48, .50, .55], ddof=1)
  _, high = stats.t_interval(.09, *stats.standard_error(
      np.var(u.replicates - mean, ddof=1), 100, retrained_variance=spread,
      retrains=3))
  assert record.delta.value == pytest.approx(.09)
  assert record.delta.high == pytest.approx(high)
  assert record.retrained.value == pytest.approx(.51)
  low, _ = stats.t_interval(.51, *stats.standard_error(
      np.var(mean, ddof=1), 100, unlearned_variance=spread, seeds=3))
  assert record.retrained.low == pytest.approx(low)


@pytest.mark.parametrize('retrained', [1, 4])
def test_tier_0_never_says_indistinguishable(retrained):
  same = _estimate(.5, 1e-4)
  record = _compare(same, [same] * retrained)
  assert record.delta.value == 0
  assert record.verdict in (stats.INCONCLUSIVE, verdicts.BLIND)


def test_a_sample_too_small_for_equivalence_says_so():
  u, r = _estimate(.52, .03, seed=1), _estimate(.5, .03, seed=2)
  record = _compare(u, [r])
  assert any('cannot show equivalence within 0.05' in n for n in record.notes)
  fine = _compare(_estimate(.52, .005, 1), [_estimate(.5, .005, 2)])
  assert not fine.notes


@pytest.mark.parametrize('value, expected', [
    (.6, verdicts.UNSEEN), (.4, verdicts.UNSEEN),
    (.51, stats.INCONCLUSIVE)])
def test_without_retrained_model_unseen_data_are_the_measure(value, expected):
  record = _compare(_estimate(value), [])
  assert record.verdict == expected
  assert record.retrained.reason == 'no retrained model was given'
  assert record.delta.reason == 'no retrained model was given'
  assert _compare(_estimate(value), [], metric=_FREE).verdict is None


def test_an_interval_of_few_models_is_cut_at_the_bounds_of_the_metric():
  several = [_estimate(.99, seed=1), _estimate(.90, seed=2)]
  free = _compare(_estimate(.9), several, _FREE).retrained
  cut = _compare(_estimate(.9), several, dataclasses.replace(
      _FREE, bounds=(0, 1))).retrained
  assert free.high > 1
  assert cut == dataclasses.replace(free, high=1.0)
  few = [_estimate(.1, seed=1), _estimate(.9, seed=2)]
  free = _compare(_estimate(.9), few, _FREE).delta
  cut = _compare(_estimate(.9), few, dataclasses.replace(
      _FREE, bounds=(0, 1))).delta
  assert free.high > 1 and free.low < -1
  assert cut == dataclasses.replace(free, low=-1.0, high=1.0)


def test_margin_and_power_stand_in_the_record():
  others = [_estimate(.6, seed=1), _estimate(.6, seed=2)]
  record = _compare(_estimate(.6), others)
  error = stats.standard_error(1.5e-4, 100, retrains=2)[0]
  assert record.margin == .05
  assert record.power == pytest.approx(stats.power(error, .05), abs=.02)
  assert _compare(_estimate(.6), []).power is None


def test_metrics_without_margin_decide_nothing():
  record = _compare(_estimate(.9), [_estimate(.1)], metric=_FREE)
  assert record.delta.low > 0 and record.verdict is None


def test_reasons_travel_to_every_cell_that_needs_the_number():
  missing = Estimate.missing('no logits on test')
  record = _compare(missing, [_estimate(.5)])
  assert record.unlearned.reason == record.delta.reason == 'no logits on test'
  record = _compare(_estimate(.5), [_estimate(.5), missing])
  assert record.retrained.reason == record.delta.reason == 'no logits on test'
  record = _compare(None, [_estimate(.5)])
  assert record.delta.reason == 'no unlearned model was given'
  assert record.original.reason == 'no original model was given'


def test_one_unit_has_no_interval():
  flat = Estimate(1.)
  record = _compare(flat, [flat, Estimate(0.)], n_units=1)
  assert record.delta == Estimate(.5, signed=True)
  assert record.retrained == Estimate(.5)
  assert record.verdict is None


def test_p_values_are_those_of_t():
  assert Estimate(.05, error=.02, freedom=10.).p_value == (
      pytest.approx(.03125, abs=2e-3))


def test_centred_replicates_have_the_value_as_mean_and_stay_positive():
  replicates = np.array([.3, .4, .5, np.nan])
  got = estimate.centred(.2, replicates)
  np.testing.assert_allclose(got, [.1, .2, .3, np.nan])
  assert estimate.centred(.05, replicates)[0] == 0


def _record(**changes):
  value = Estimate(.5, .4, .6)
  missing = Estimate.missing('no retrained model was given')
  fields = dict(
      metric='mia_auc', split='forget', direction='higher means more leakage',
      original=value, unlearned=value, retrained=missing, null=value,
      delta=missing, n_units=7, unit='person', seeds={'evaluation': 0},
      notes=('one',))
  return Record(**{**fields, **changes})


def test_record_is_strict_json():
  text = json.dumps(_record().as_dict(), allow_nan=False)
  back = json.loads(text)
  assert back['retrained'] == {
      'value': None, 'low': None, 'high': None,
      'reason': 'no retrained model was given'}
  assert list(back) == [
      'metric', 'split', 'tier', 'direction', 'original', 'unlearned',
      'retrained', 'null', 'delta', 'units', 'n_units', 'unit', 'seeds',
      'verdict', 'p_value', 'margin', 'power', 'gate', 'notes']
  assert back['tier'] == 0 and back['notes'] == ['one']


@pytest.mark.parametrize('fields, message', [
    (dict(value=float('nan')), 'value to be finite, got nan'),
    (dict(value=1., low=float('-inf')), 'low to be finite'),
    (dict(value=None), 'a value or a reason'),
    (dict(value=1., reason='but why'), 'a value or a reason'),
])
def test_estimates_without_number_or_reason_are_refused(fields, message):
  with pytest.raises(ValueError, match=message):
    Estimate(**fields)
