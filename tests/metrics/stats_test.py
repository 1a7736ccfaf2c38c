"""Intervals, verdicts and resampling: closed forms and known traps."""

import numpy as np
import pytest
from scipy import stats as sps

from dlfd_jax.metrics import ranks, stats


@pytest.mark.parametrize('k, n, expected', [
    (10, 200, (.024234, .090028)), (2, 200, (.001213, .035655)),
    (0, 20, (0, .168433)), (20, 20, (.831567, 1))])
def test_clopper_pearson(k, n, expected):
  np.testing.assert_allclose(
      stats.clopper_pearson(k, n), expected, atol=1e-6)


def test_units_are_people_and_unknown_images_alone():
  np.testing.assert_array_equal(
      stats.units_of(np.array([7, -1, 3, 7, -1])), [1, 2, 0, 1, 3])


def test_an_interval_of_a_share_counts_effective_trials():
  # Images that stand for themselves: the trials that have this variance.
  expected = stats.clopper_pearson(.9 * 80, 80)
  widening = (sps.norm.ppf(.975) / sps.t.ppf(.975, 99))**2
  np.testing.assert_allclose(
      stats.effective_interval(.9, .9 * .1 / 80 * widening, 100), expected)
  for share in (0., .5, 1.):  # no variance: the units are the trials
    np.testing.assert_allclose(stats.effective_interval(share, 0., 6),
                               stats.clopper_pearson(share * 6, 6))


@pytest.mark.parametrize('units', [5, 13, 200])
def test_an_interval_of_a_skewed_mean_holds(units):
  # Squares of normal variables, as distances of outputs are.
  rng = np.random.default_rng(6)
  values = rng.normal(size=(1500, units))**2
  held = []
  for value, variance in zip(values.mean(1), values.var(1, ddof=1) / units):
    found = stats.gamma_interval(value, variance, units)
    if found is not None:
      held.append(found[0] <= 1 <= found[1])
  assert len(held) > 1000 and .92 < np.mean(held) < .98
  d = 2 * 1. / .01 * (sps.norm.ppf(.975) / sps.t.ppf(.975, units - 1))**2
  np.testing.assert_allclose(
      stats.gamma_interval(1., .01, units),
      (d / sps.chi2.ppf(.975, d), d / sps.chi2.ppf(.025, d - 1)))


@pytest.mark.parametrize('units', [5, 10])
def test_a_mean_that_one_unit_makes_has_no_interval(units):
  # Its upper end would be millions of means away.
  values = np.eye(units)[0]
  assert stats.gamma_interval(
      values.mean(), values.var(ddof=1) / units, units) is None


def test_a_share_near_one_half_varies_more_between_trainings():
  # Trainings that move all margins by as much.
  shifts = np.random.default_rng(7).normal(0, .02, 20_000)
  errors = [sps.norm.cdf(mean + shifts).std() for mean in (.5, 1.5)]
  assert stats.leverage(*sps.norm.cdf([.5, 1.5]), 100) == pytest.approx(
      (errors[0] / errors[1])**2, rel=.02)
  assert stats.leverage(.95, .8, 100) == 1.
  assert np.isfinite(stats.leverage(.5, 1., 10))
  alone, more = (stats.standard_error(
      1e-4, 100, retrained_variance=4e-4, noise_variance=1e-4, retrains=5,
      judged=judged)[0] for judged in (1., 3.))
  assert more**2 - alone**2 == pytest.approx(2 * 3e-4)


@pytest.mark.parametrize('units', [1, 2, 5, 50])
def test_each_bootstrap_sample_has_one_unit_less(units):
  got = stats.draw_multiplicities(units, 3000, np.random.default_rng(0))
  assert got.shape == (3000, units)
  assert (got.sum(1) == max(1, units - 1)).all()


def test_the_bootstrap_s_variance_of_a_mean_is_unbiased():
  # With as many as there are it would be (n - 1) / n of this.
  values = np.array([0., 1., 3., 4., 7.])
  weights = stats.draw_multiplicities(5, 200_000, np.random.default_rng(0))
  assert (weights @ values / 4).var() == pytest.approx(
      values.var(ddof=1) / 5, rel=.01)


def test_people_not_images_are_the_units():
  # 50 people of 10 identical images: the error is sqrt(10) times larger.
  rng = np.random.default_rng(1)
  hits = np.repeat(rng.random(50) < .6, 10).astype(float)
  errors = []
  for identity in (np.repeat(np.arange(50), 10), np.full(500, -1)):
    units = stats.units_of(identity)
    weights = stats.draw_multiplicities(units.max() + 1, 4000, rng)[:, units]
    errors.append((weights @ hits / weights.sum(1)).std())
  assert errors[0] / errors[1] == pytest.approx(np.sqrt(10), rel=.05)


@pytest.mark.parametrize('n, expected', [(200, .028904), (1500, .010543)])
def test_error_of_an_auc_under_equal_laws(n, expected):
  formula = np.sqrt((2 * n + 1) / (12 * n**2))
  assert formula == pytest.approx(expected, abs=1e-6)
  rng = np.random.default_rng(2)
  a, b = rng.normal(size=n), rng.normal(size=n)
  w, v = (stats.draw_multiplicities(n, 600, rng).astype(float)
          for _ in range(2))
  boot = ranks.area(*ranks.roc(a, b, w, v)).std()
  assert boot == pytest.approx(expected, rel=.1)


def test_percentiles_leave_out_what_has_no_value():
  values = np.append(np.arange(101.), np.nan)
  np.testing.assert_allclose(stats.percentile_interval(values), (2.5, 97.5))


def test_difference_of_one_checkpoint_counts_its_own_spread():
  error, freedom = stats.standard_error(
      1e-4, 100, retrained_variance=4e-4, retrains=5)
  assert error == pytest.approx(np.sqrt(1e-4 + 4e-4 * 1.2))
  # Cochran and Cox: the weighted mean of the two quantiles.
  quantile = (4.8 * sps.t.ppf(.975, 4) + 1 * sps.t.ppf(.975, 99)) / 5.8
  assert sps.t.ppf(.975, freedom) == pytest.approx(quantile)


def test_noise_of_the_people_is_counted_once():
  # All of the spread is that of the people: what they give every model alone.
  error, freedom = stats.standard_error(
      1.2e-4, 100, retrained_variance=1e-4, noise_variance=1e-4, retrains=5)
  assert error == pytest.approx(np.sqrt(1.2e-4))
  assert freedom == pytest.approx(4)
  error, _ = stats.standard_error(
      1e-4, 100, retrained_variance=1e-4, noise_variance=1e-4, retrains=4,
      share=1 / 4)
  assert error == pytest.approx(np.sqrt(1e-4))


def test_models_that_agree_by_chance_give_no_certainty():
  error, freedom = stats.standard_error(
      4e-4, 100, retrained_variance=0., noise_variance=4e-4, retrains=3)
  assert error == pytest.approx(.02 / 4) and freedom == pytest.approx(2)


def test_one_retrained_model_leaves_the_units_alone():
  error, freedom = stats.standard_error(1e-4, 100)
  assert freedom == 99
  assert stats.t_interval(.1, error, freedom)[1] == pytest.approx(
      .1 + sps.t.ppf(.975, 99) * .01)


def test_no_spread_has_the_error_of_the_rule_of_three():
  # Clopper and Pearson's one-sided 95 % end of 0 of n is 1 - .05^(1 / n).
  for units in (30, 1000):
    error, freedom = stats.standard_error(0., units)
    assert 1.96 * error == pytest.approx(1 - .05**(1 / units), rel=.06)
    assert freedom == units - 1


def test_interval_of_one_checkpoint_misses_at_its_rate():
  # With V = s_r^2 / R it would miss 0 in 32 % of runs.
  rng = np.random.default_rng(3)
  missed, trap = 0, 0
  runs = 4000
  for _ in range(runs):
    unlearned, retrained = rng.normal(), rng.normal(size=5)
    value, spread = unlearned - retrained.mean(), retrained.var(ddof=1)
    low, high = stats.t_interval(value, *stats.standard_error(
        0., 100, retrained_variance=spread, retrains=5))
    missed += not low < 0 < high
    trap += abs(value) > sps.t.ppf(.975, 4) * np.sqrt(spread / 5)
  assert missed / runs == pytest.approx(.05, abs=.012)
  assert trap / runs == pytest.approx(.32, abs=.03)


@pytest.mark.parametrize('value, error, expected', [
    (0., .015, stats.INDISTINGUISHABLE), (.03, .005, stats.INDISTINGUISHABLE),
    (.06, .015, stats.DISTINGUISHABLE), (.03, .02, stats.INCONCLUSIVE),
    (-.06, .015, stats.DISTINGUISHABLE)])
def test_verdicts(value, error, expected):
  low, high = value - 1.96 * error, value + 1.96 * error
  assert stats.verdict(low, high, .05, may_be_equal=True) == expected
  without = stats.verdict(low, high, .05, may_be_equal=False)
  if expected == stats.INDISTINGUISHABLE:
    expected = stats.INCONCLUSIVE
  assert without == expected


@pytest.mark.parametrize('freedom', [2, 4, 7, np.inf])
def test_power_to_show_equality(freedom):
  reach = stats.least_margin(1., freedom)
  if np.isinf(freedom):
    assert reach == pytest.approx(3.2415, rel=1e-4)
  assert stats.power(1., reach, freedom) == pytest.approx(.8, abs=1e-6)
  # With that error an interval of Student's is inside the margin in 80 %.
  rng = np.random.default_rng(4)
  errors = np.ones(40_000) if np.isinf(freedom) else np.sqrt(
      rng.chisquare(freedom, 40_000) / freedom)
  half = errors * (1.95996 if np.isinf(freedom) else sps.t.ppf(.975, freedom))
  inside = np.abs(rng.normal(size=40_000)) + half < reach
  assert inside.mean() == pytest.approx(.8, abs=.01)


@pytest.mark.parametrize('spread', [0., .003])
def test_so_many_people_as_the_growth_says_show_equality(spread):
  # People beside trainings: V = (1 + 1 / R) (spread^2 + noise^2 / growth).
  noise, retrains, margin = .02, 5, .05
  def error(growth, retrains):
    return np.sqrt((1 + 1 / retrains) * (spread**2 + noise**2 / growth))
  short = stats.Shortfall(error(1, retrains), spread, margin)
  for models in (5, 8, 20):
    growth = short.growth(models, retrains)
    assert stats.least_margin(error(growth, models), models - 1) == (
        pytest.approx(margin))
  assert stats.Shortfall(.02, .02, margin).growth(64, 5) == np.inf


def test_permutations_stay_inside_a_class():
  keys = np.array([0, 1, 0, 1, 1, 2])
  orders = stats.permute_within(keys, 50, np.random.default_rng(5))
  assert (keys[orders] == keys).all()
  assert (np.sort(orders, axis=1) == np.arange(6)).all()
  assert len(np.unique(orders, axis=0)) > 1


@pytest.mark.parametrize('call, message', [
    (lambda: stats.clopper_pearson(3, 2), '0 <= successes <= trials'),
    (lambda: stats.effective_interval(.5, 0., 1), 'units of at least 2, got 1'),
    (lambda: stats.clopper_pearson(0, 0), 'trials >= 1, got 0 of 0'),
    (lambda: stats.standard_error(-1, 5), 'unit_variance >= 0'),
    (lambda: stats.standard_error(1, 1), 'units of at least 2, got 1'),
    (lambda: stats.standard_error(1, 5, retrains=0), 'retrains of at'),
    (lambda: stats.verdict(0, 1, 0, may_be_equal=True), 'margin above 0'),
])
def test_bad_arguments_are_refused(call, message):
  with pytest.raises(ValueError, match=message):
    call()
