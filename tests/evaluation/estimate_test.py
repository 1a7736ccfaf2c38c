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
  return Estimate.resampled(value, rng.normal(value, error, 4000), 100)


def _compare(unlearned, retrained, metric=_AUC, original=None, n_units=100):
  return verdicts.compare(
      metric, original, unlearned, retrained, Estimate(.5), n_units=n_units,
      unit='person', seeds={'evaluation': 0},
      margin=None if metric.margin is None else .05)


def test_an_estimate_has_the_interval_of_its_replicates():
  got = _estimate(.6)
  half = stats.t_interval(0., float(got.replicates.std(ddof=1)), 99.)[1]
  np.testing.assert_allclose((got.low, got.high), (.6 - half, .6 + half))
  share = Estimate.resampled(.6, got.replicates, 100, estimate.SHARE)
  assert (share.low, share.high) == stats.effective_interval(
      .6, float(got.replicates.var(ddof=1)), 100)
  positive = Estimate.resampled(.6, got.replicates, 100, estimate.POSITIVE)
  assert (positive.low, positive.high) == stats.gamma_interval(
      .6, float(got.replicates.var(ddof=1)), 100)
  cut = Estimate.resampled(.01, got.replicates, 100, (.005, 9.))
  assert cut.low == .005 and cut.high > .01


def test_a_given_interval_replaces_that_of_the_replicates():
  got = Estimate.resampled(.6, np.zeros(9), 9, interval=(.1, .9))
  assert (got.low, got.high) == (.1, .9)


def test_few_units_have_no_interval_and_no_difference():
  few = Estimate.resampled(.6, _estimate(.6).replicates, stats.ENOUGH - 1)
  assert few == Estimate(.6) and few.replicates is None
  assert estimate.difference(few, [few]) == Estimate(0., signed=True)


def test_no_spread_is_no_certainty():
  flat = Estimate.resampled(1., np.ones(50), 6, estimate.SHARE)
  assert (flat.low, flat.high) == stats.clopper_pearson(6, 6)
  distance = Estimate.resampled(0., np.zeros(50), 6)
  assert distance.low is None
  assert estimate.difference(flat, [flat]).high > .5
  assert estimate.difference(flat, [flat] * 3).high > .5


def test_what_has_no_interval_still_has_a_difference():
  folded = [_estimate(v, seed=i).without_interval
            for i, v in enumerate((.1, .2, .15, .12))]
  assert estimate.mean_of_models(folded[1:]).low is None
  assert estimate.difference(folded[0], folded[1:]).low is not None


def test_shared_draws_cancel_in_the_difference():
  shared = _estimate(.6, .05)
  record = _compare(
      Estimate.resampled(.61, shared.replicates + .01, 100), [shared])
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
  models = {
      'retrains': 3, 'retrained_variance': np.var([.48, .50, .55], ddof=1),
      'noise_variance': np.mean(np.var(  # over models, of each resample
          [r.replicates - np.mean(r.replicates) for r in retrained], axis=0,
          ddof=1))}
  _, high = stats.t_interval(.09, *stats.standard_error(
      np.var(u.replicates - mean, ddof=1), 100, **models))
  assert record.delta.value == pytest.approx(.09)
  assert record.delta.high == pytest.approx(high, rel=1e-3)
  assert record.retrained.value == pytest.approx(.51)
  low, _ = stats.t_interval(.51, *stats.standard_error(
      np.var(mean, ddof=1), 100, share=1 / 3, **models))
  assert record.retrained.low == pytest.approx(low, rel=1e-3)


@pytest.mark.parametrize('retrained', [1, 4])
def test_tier_0_never_says_indistinguishable(retrained):
  same = _estimate(.5, 1e-4)
  record = _compare(same, [same] * retrained)
  assert record.delta.value == 0
  assert record.verdict in (stats.INCONCLUSIVE, verdicts.BLIND)


def test_a_sample_too_small_for_equivalence_says_so():
  u = _estimate(.52, .03, seed=1)
  some = [_estimate(.5, .03, seed=seed) for seed in (2, 3, 4)]
  record = _compare(u, some)
  least = stats.least_margin(record.delta.error, record.delta.freedom)
  said = f'cannot show equivalence within 0.05, only within {least:.3f}'
  assert any(said in note for note in record.notes)
  fine = _compare(_estimate(.52, .0005, 1), [
      _estimate(.5, .0005, seed) for seed in (2, 3, 4)])
  assert not fine.notes
  # With one retrained model no sample can, and none is promised.
  assert not _compare(u, some[:1]).notes


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
  delta = record.delta
  assert record.margin == .05
  assert record.power == stats.power(delta.error, .05, delta.freedom)
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


def test_left_out_models_hide_a_part_of_their_spread():
  # Distances |e_i| + |e_j| of models to each other; the fourth is judged.
  e = np.array([1., 4., 2.])
  left_out = [e[i] + np.delete(e, i).mean() for i in range(3)]
  assert estimate.widening_of_slots(3) * np.var(left_out, ddof=1) == (
      pytest.approx(np.var(e, ddof=1)))
  assert estimate.widening_of_slots(2) == 1


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


@pytest.mark.parametrize('units', ['fraction', 's', 'bytes', 'count'])
def test_nothing_is_minus_zero(units):
  assert '-' not in estimate.format_number(-1e-4, units)
  assert estimate.format_number(-1e-4, 'fraction', signed=True) == '+0.000'


def test_a_mean_of_shares_is_a_share():
  rng = np.random.default_rng(0)
  perfect = Estimate.resampled(1., np.ones(500), 12, estimate.SHARE)
  one = estimate.mean([perfect])
  assert one == perfect and one.is_share and one.low < 1 == one.high
  other = Estimate.resampled(.9, rng.normal(.9, .08, 500), 12, estimate.SHARE)
  both = estimate.mean([perfect, other])
  assert both.is_share and both.value == pytest.approx(.95)
  assert .7 < both.low < .95 < both.high <= 1
  distance = Estimate.resampled(.9, rng.normal(.9, .08, 500), 12)
  assert estimate.mean([distance, other]).high > 1


@pytest.mark.parametrize('one', [
    Estimate(1 / 3), Estimate.missing('nothing "é"', 'bits'),
    Estimate.resampled(.9, np.append(np.linspace(.7, 1, 99), np.nan), 12,
                       estimate.SHARE),
    dataclasses.replace(_estimate(.2), error=np.float64(.1), freedom=np.inf,
                        spread=.3, signed=True)])
def test_an_estimate_that_was_kept_is_the_same(one):
  back = Estimate.of_arrays(one.arrays())
  for field in dataclasses.fields(Estimate):
    mine, kept = getattr(one, field.name), getattr(back, field.name)
    if isinstance(mine, np.ndarray):
      assert mine.tobytes() == kept.tobytes()
    else:
      assert mine == kept and str(mine) == str(kept), field.name
