"""KS and Jensen-Shannon: closed forms at interior values."""

import numpy as np
import pytest
from scipy import stats as sps

from dlfd_jax import tasks
from dlfd_jax.metrics import distributions

_TWO = tasks.Task('multiclass', ('a', 'b'))
_ATTRIBUTES = tasks.Task('multilabel', ('x', 'y'))


def test_ks_of_four_against_four():
  assert distributions.ks([1., 2, 3, 4], [3., 4, 5, 6]) == .5
  assert distributions.ks([3., 4, 5, 6], [1., 2, 3, 4]) == .5


def test_ks_of_two_normal_laws():
  grid = sps.norm.ppf((np.arange(4000) + .5) / 4000)
  assert distributions.ks(grid + 1, grid) == pytest.approx(.382925, abs=5e-4)


def test_ks_agrees_with_scipy_on_ties():
  rng = np.random.default_rng(0)
  a, b = rng.integers(0, 9, 40), rng.integers(2, 12, 60)
  assert distributions.ks(a, b) == pytest.approx(sps.ks_2samp(a, b).statistic)


def test_ks_null_mean():
  assert distributions.ks_null(1500, 1500) == pytest.approx(.0317, abs=5e-5)
  rng = np.random.default_rng(1)
  values = [distributions.ks(rng.normal(size=300), rng.normal(size=300))
            for _ in range(300)]
  assert np.mean(values) == pytest.approx(
      distributions.ks_null(300, 300), rel=.1)


@pytest.mark.parametrize('p, q, expected', [
    ((.9, .1), (.1, .9), .368064), ((.7, .2, .1), (.5, .3, .2), .021901),
    ((.9, .1), (.6, .4), .063288), ((1., 0., 0.), (0., 1., 0.), np.log(2)),
    ((.3, .7), (.3, .7), 0.)])
def test_js_divergence(p, q, expected):
  got = distributions.js_divergence(np.array(p), np.array(q))
  assert got == pytest.approx(expected, abs=1e-6)


def test_rf_jsd_of_two_classes():
  # KL(m || p) for KL(p || m), and dividing by the classes twice, gives .008798.
  forget = np.array([(.9, .1), (.4, .6)])
  unseen = np.array([(.8, .2), (.2, .8)])
  np.testing.assert_allclose(
      distributions.js_divergence(forget, unseen), (.009966, .024157),
      atol=1e-6)
  assert distributions.rf_jsd(forget, unseen) == pytest.approx(
      .017062, abs=1e-6)


def test_rf_jsd_skips_classes_that_one_side_lacks():
  chances = np.array([(.9, .1), (.4, .6)])
  forget = distributions.mean_predictions(_TWO, chances, np.array([0, 0]))
  unseen = distributions.mean_predictions(
      _TWO, np.array([(.8, .2), (.2, .8)]), np.array([0, 1]))
  expected = distributions.js_divergence(
      np.array([.65, .35]), np.array([.8, .2]))
  assert distributions.rf_jsd(forget, unseen) == pytest.approx(expected)
  nothing = distributions.mean_predictions(_TWO, chances, np.array([1, 1]))
  assert np.isnan(distributions.rf_jsd(forget, nothing))


def test_mean_predictions_of_attributes_are_bernoulli_pairs():
  chances = np.array([(.9, .1), (.5, .3), (.2, .4)])
  labels = np.array([(1, -1), (1, 0), (0, 0)])
  got = distributions.mean_predictions(_ATTRIBUTES, chances, labels)
  np.testing.assert_allclose(
      got[:3], [(.8, .2), (.3, .7), (.65, .35)], atol=1e-12)
  assert np.isnan(got[3]).all()


def test_mean_predictions_with_weights_equal_repeated_rows():
  rng = np.random.default_rng(2)
  chances = rng.dirichlet((1, 1), 12)
  labels = rng.integers(0, 2, 12)
  weights = rng.integers(0, 3, (2, 12))
  got = distributions.mean_predictions(_TWO, chances, labels, weights)
  for row in range(2):
    again = distributions.mean_predictions(
        _TWO, np.repeat(chances, weights[row], axis=0),
        np.repeat(labels, weights[row]))
    np.testing.assert_allclose(got[row], again, atol=1e-12)


def test_draws_have_the_class_counts_of_the_other_set():
  keys, wanted = np.array([0, 0, 0, 1, 2]), np.array([0, 0, 1, 1, 1, 3])
  counts = distributions.draws_like(
      keys, wanted, 5, np.random.default_rng(3))
  np.testing.assert_array_equal(counts[:, :3].sum(1), 2)
  np.testing.assert_array_equal(counts[:, 3], 3)
  np.testing.assert_array_equal(counts[:, 4], 0)
  assert counts[:, :3].max() == 1
