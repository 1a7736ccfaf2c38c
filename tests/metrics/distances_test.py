"""Distances and gaps: closed forms at interior values, and the traps."""

import numpy as np
import pytest
from scipy import stats as sps

from dlfd_jax import tasks
from dlfd_jax.metrics import distances

_TWO = tasks.Task('multiclass', ('a', 'b'))
_ATTRIBUTES = tasks.Task('multilabel', ('x', 'y'))


def test_ks_of_four_against_four():
  assert distances.ks([1., 2, 3, 4], [3., 4, 5, 6]) == .5
  assert distances.ks([3., 4, 5, 6], [1., 2, 3, 4]) == .5


def test_ks_of_two_normal_distributions():
  grid = sps.norm.ppf((np.arange(4000) + .5) / 4000)
  assert distances.ks(grid + 1, grid) == pytest.approx(.382925, abs=5e-4)


def test_ks_agrees_with_scipy_on_ties():
  rng = np.random.default_rng(0)
  a, b = rng.integers(0, 9, 40), rng.integers(2, 12, 60)
  assert distances.ks(a, b) == pytest.approx(sps.ks_2samp(a, b).statistic)


def test_ks_null_mean():
  assert distances.ks_null(1500, 1500) == pytest.approx(.0317, abs=5e-5)
  rng = np.random.default_rng(1)
  values = [distances.ks(rng.normal(size=300), rng.normal(size=300))
            for _ in range(300)]
  assert np.mean(values) == pytest.approx(
      distances.ks_null(300, 300), rel=.1)


@pytest.mark.parametrize('p, q, expected', [
    ((.9, .1), (.1, .9), .368064), ((.7, .2, .1), (.5, .3, .2), .021901),
    ((.9, .1), (.6, .4), .063288), ((1., 0., 0.), (0., 1., 0.), np.log(2)),
    ((.3, .7), (.3, .7), 0.)])
def test_js_divergence(p, q, expected):
  got = distances.js_divergence(np.array(p), np.array(q))
  assert got == pytest.approx(expected, abs=1e-6)
  task = tasks.Task('multiclass', tuple(map(str, range(len(p)))))
  assert distances.js(task, [p], [q]) == pytest.approx([got])


def test_rf_jsd_of_two_classes():
  # KL(m || p) for KL(p || m), and dividing by the classes twice, gives .008798.
  forget = np.array([(.9, .1), (.4, .6)])
  unseen = np.array([(.8, .2), (.2, .8)])
  np.testing.assert_allclose(
      distances.js_divergence(forget, unseen), (.009966, .024157),
      atol=1e-6)
  assert distances.rf_jsd(forget, unseen) == pytest.approx(
      .017062, abs=1e-6)


def test_rf_jsd_skips_classes_that_one_side_lacks():
  chances = np.array([(.9, .1), (.4, .6)])
  forget = distances.mean_predictions(_TWO, chances, np.array([0, 0]))
  unseen = distances.mean_predictions(
      _TWO, np.array([(.8, .2), (.2, .8)]), np.array([0, 1]))
  expected = distances.js_divergence(
      np.array([.65, .35]), np.array([.8, .2]))
  assert distances.rf_jsd(forget, unseen) == pytest.approx(expected)
  nothing = distances.mean_predictions(_TWO, chances, np.array([1, 1]))
  assert np.isnan(distances.rf_jsd(forget, nothing))


def test_mean_predictions_of_attributes_are_bernoulli_pairs():
  chances = np.array([(.9, .1), (.5, .3), (.2, .4)])
  labels = np.array([(1, -1), (1, 0), (0, 0)])
  got = distances.mean_predictions(_ATTRIBUTES, chances, labels)
  np.testing.assert_allclose(
      got[:3], [(.8, .2), (.3, .7), (.65, .35)], atol=1e-12)
  assert np.isnan(got[3]).all()


def test_mean_predictions_with_weights_equal_repeated_rows():
  rng = np.random.default_rng(2)
  chances = rng.dirichlet((1, 1), 12)
  labels = rng.integers(0, 2, 12)
  weights = rng.integers(0, 3, (2, 12))
  got = distances.mean_predictions(_TWO, chances, labels, weights)
  for row in range(2):
    again = distances.mean_predictions(
        _TWO, np.repeat(chances, weights[row], axis=0),
        np.repeat(labels, weights[row]))
    np.testing.assert_allclose(got[row], again, atol=1e-12)


def test_draws_have_the_class_counts_of_the_other_set():
  keys, wanted = np.array([0, 0, 0, 1, 2]), np.array([0, 0, 1, 1, 1, 3])
  counts = distances.draws_like(
      keys, wanted, 5, np.random.default_rng(3))
  np.testing.assert_array_equal(counts[:, :3].sum(1), 2)
  np.testing.assert_array_equal(counts[:, 3], 3)
  np.testing.assert_array_equal(counts[:, 4], 0)
  assert counts[:, :3].max() == 1


def _task(classes):
  return tasks.Task('multiclass', tuple(f'c{i}' for i in range(classes)))


def _rows(*rows):
  return np.array(rows, np.float64)


def _one_hots(classes):
  return np.eye(classes)[:1], np.eye(classes)[1:2]


@pytest.mark.parametrize('classes', [2, 8, 10, 100])
def test_js_of_disjoint_outputs_is_log_2_for_any_number_of_classes(classes):
  p, q = _one_hots(classes)
  assert distances.js(_task(classes), p, q) == pytest.approx([np.log(2)])
  assert distances.js(_task(classes), p, p) == pytest.approx([0])


def _reversed_kl_over_classes(p, q, floor=1e-6):
  """The known mistake: KL(m, p), averaged over batch and classes."""
  p, q = np.maximum(p, floor), np.maximum(q, floor)
  m = (p + q) / 2
  return .5 * np.mean(m * np.log(m / p) + m * np.log(m / q))


@pytest.mark.parametrize('p, q, trap', [
    ((.9, .1), (.1, .9), .255413), (*_one_hots(8), .776826),
    (*_one_hots(10), .621461), (*_one_hots(100), .062146)])
def test_js_is_not_the_reversed_mean_over_classes(p, q, trap):
  p, q = np.atleast_2d(p).astype(float), np.atleast_2d(q).astype(float)
  assert _reversed_kl_over_classes(p, q) == pytest.approx(trap, abs=2e-4)
  got = distances.js(_task(p.shape[1]), p, q)[0]
  assert abs(got - trap) > .05


def test_multilabel_js_is_the_mean_over_attributes():
  got = distances.js(_ATTRIBUTES, _rows((.9, .5)), _rows((.1, .5)))
  assert got == pytest.approx([.368064 / 2], abs=1e-6)


def test_activation_distance():
  got = distances.activation_distance(_rows((.9, .1)), _rows((.6, .4)))
  assert got == pytest.approx([.424264], abs=1e-6)
  p, q = _one_hots(8)
  assert distances.activation_distance(p, q) == pytest.approx([np.sqrt(2)])
  assert distances.activation_distance(
      np.ones((1, 3)), np.zeros((1, 3))) == pytest.approx([np.sqrt(3)])


def test_kl_has_a_direction():
  r, p = np.log(_rows((.9, .1))), np.log(_rows((.6, .4)))
  task = _task(2)
  forward = .9 * np.log(.9 / .6) + .1 * np.log(.1 / .4)
  backward = .6 * np.log(.6 / .9) + .4 * np.log(.4 / .1)
  assert distances.kl(task, r, p) == pytest.approx([forward], abs=1e-6)
  assert distances.kl(task, p, r) == pytest.approx([backward], abs=1e-6)
  assert distances.kl(task, r, r + 3) == pytest.approx([0], abs=1e-6)


def test_kl_stays_finite_where_probabilities_underflow():
  r, p = _rows((0, 2000)), _rows((2000, 0))
  assert distances.kl(_task(2), r, p) == pytest.approx([2000.])
  many = tasks.Task('multilabel', ('x', 'y'))
  assert distances.kl(many, r, p) == pytest.approx([500.])


def test_agreement():
  task = _task(3)
  a = _rows((3, 1, 2), (0, 5, 1))
  assert distances.agreement(task, a, a + 7).tolist() == [1, 1]
  assert distances.agreement(task, a, -a).tolist() == [0, 0]
  assert distances.agreement(
      _ATTRIBUTES, _rows((1, -1)), _rows((2, 3))).tolist() == [.5]


def test_normalised_distance():
  assert distances.normalised(.05, .02, .12) == pytest.approx(.3)
  assert distances.normalised(.12, .02, .12) == pytest.approx(1)
  assert distances.normalised(.01, .02, .12) < 0
  assert distances.normalised(.05, .02, .12, error=.06) is None
  assert distances.normalised(.05, .02, .02) is None


@pytest.mark.parametrize('classes, expected', [(8, .283083), (2, .688722)])
def test_zrf_of_a_sure_model_against_a_uniform_one(classes, expected):
  p = np.eye(classes)[:1]
  flat = np.full((1, classes), 1 / classes)
  got = distances.zrf(_task(classes), p, flat)
  assert got == pytest.approx([expected], abs=1e-6)


@pytest.mark.parametrize('classes, trap', [(8, .22), (10, .38), (100, .94)])
def test_zrf_of_disjoint_outputs_is_0(classes, trap):
  p, q = _one_hots(classes)
  assert distances.zrf(_task(classes), p, q) == pytest.approx([0], abs=1e-12)
  assert distances.zrf(_task(classes), p, p) == pytest.approx([1])
  assert 1 - _reversed_kl_over_classes(p, q) == pytest.approx(trap, abs=.005)


@pytest.mark.parametrize('call, message', [
    (lambda: distances.js(_task(2), _rows((.5, .5)), _rows((1, 0, 0))),
     r'one shape, got \[1, 2\] and \[1, 3\]'),
    (lambda: distances.js(_task(2), _rows((3, -1)), _rows((1, 0))),
     r'probabilities in \[0, 1\]'),
    (lambda: distances.kl(_task(2), _rows((0, 1)), _rows((0, 1, 2))),
     'one shape'),
    (lambda: distances.agreement(_task(2), _rows((0, 1)), np.zeros(2)),
     'one shape'),
    (lambda: distances.tow(1.2, 0, 0), r'in \[-1, 1\], got one of 1\.'),
    (lambda: distances.average_gap(0, 0, -1.1, 0), 'got one of 1.1')])
def test_bad_input_is_refused(call, message):
  with pytest.raises(ValueError, match=message):
    call()


def test_average_gap_and_tow_of_the_closed_form():
  for sign in (1, -1):  # signs do not cancel
    assert distances.tow(sign * .10, .02, -.03) == pytest.approx(.855540)
    assert distances.average_gap(.10, sign * .02, -.03, .05) == (
        pytest.approx(.05))
  assert (distances.average_gap(0, 0, 0, 0), distances.tow(0, 0, 0)) == (0, 1)
  assert distances.tow(1, 0, 0) == 0


def test_two_retrained_models_differ_by_their_seed_spread():
  rng = np.random.default_rng(0)
  pairs = rng.normal(0, .02, (2, 40_000))
  spread = np.abs(pairs[0] - pairs[1]).mean()
  assert spread == pytest.approx(1.128379 * .02, rel=.02)


def test_replicates_go_through():
  got = distances.average_gap(*np.full((4, 3), -.1))
  np.testing.assert_allclose(got, [.1, .1, .1])
