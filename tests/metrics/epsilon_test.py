import numpy as np
import pytest

from dlfd_jax.metrics import epsilon


def test_rates():
  np.testing.assert_allclose(
      epsilon.of_rates([.1, .2], [.2, .1]), 2.079429, atol=1e-6)
  assert epsilon.of_rates([0, .1, 0, .5], [0, 0, .3, .5]).tolist() == [
      np.inf, 0, 0, 0]


def test_quality_by_buckets():
  assert epsilon.forgetting_quality([.3, .7, 1.2, 10], 64) == .4375
  assert epsilon.forgetting_quality([4.99, 5.], 64) == 2.**-9 / 2


def test_samples_apart_reach_the_cap_and_many_thresholds_run():
  rng = np.random.default_rng(0)
  near, far = rng.standard_normal((20, 3)), 30 + rng.standard_normal((20, 3))
  assert epsilon.challenge(near, far).tolist() == [50] * 3
  narrow = 1e-3 * rng.standard_normal((20, 3))
  assert epsilon.challenge(near, narrow).tolist() == [50] * 3


@pytest.mark.parametrize('scale,quality', [(1, .18), (.2, .11), (5, .21)])
def test_null_of_the_challenge_is_not_one(scale, quality):
  rng = np.random.default_rng(1)
  found = epsilon.challenge(*(scale * rng.standard_normal((2, 64, 60))))
  assert epsilon.forgetting_quality(found, 64) == pytest.approx(
      quality, abs=.05)
  if scale == 1:
    assert found.mean() == pytest.approx(1.6, abs=.3)


def test_null_of_single_thresholds():
  """1.15; the interval rules are what makes 1.6 of it."""
  rng = np.random.default_rng(1)
  u, o = rng.standard_normal((2, 64, 200))
  values = np.sort(np.concatenate([u, o]), axis=0)
  ends = (values[1:] + values[:-1]) / 2
  below = [(side[:, None] <= ends).mean(0) for side in (u, o)]
  above = np.median(u, axis=0) > np.median(o, axis=0)
  found = epsilon.of_rates(1 - np.where(above, below[1], below[0]),
                           np.where(above, below[0], below[1])).max(0)
  assert found.mean() == pytest.approx(1.15, rel=.1)
  assert (epsilon.challenge(u, o) >= found - 1e-9).mean() > .95


def test_single_thresholds_by_hand():
  """No interval is better here: the sides have one range and are shifted."""
  u = np.repeat([1., 2.], [1, 9])[:, None]
  o = np.repeat([1., 2.], [8, 2])[:, None]
  # Above 1: 9 of 10 against 2 of 10.
  np.testing.assert_allclose(epsilon.challenge(u, o), epsilon.of_rates(.2, .1))


@pytest.mark.parametrize('n,expected', [
    (8, .534704), (16, 1.349762), (32, 2.102210), (64, 2.824592),
    (128, 3.532253)])
def test_largest_lower_bound(n, expected):
  apart = np.arange(2 * n)[:, None] + 0.
  np.testing.assert_allclose(
      epsilon.lower_bound(apart, apart + 1000), expected, atol=1e-5)


def test_lower_bound_of_counts():
  limits = [epsilon.error_limit(k, 50) for k in (5, 10)]
  np.testing.assert_allclose(limits, [.218135, .337183], atol=1e-6)
  assert epsilon.bound(*map(np.asarray, limits)) == pytest.approx(
      1.111368, abs=1e-5)
  never = np.asarray(epsilon.error_limit(0, 64, .05 / 1500))
  assert epsilon.bound(never, never) == pytest.approx(1.673600, abs=1e-5)


@pytest.mark.parametrize('shift,ratio,mean', [
    (0, 1, 0), (.5, 1, None), (1, 1, .10), (2, 1, .82), (0, .2, 1.03)])
def test_lower_bound_of_samples(shift, ratio, mean):
  rng = np.random.default_rng(2)
  u, o = rng.standard_normal((2, 64, 400))
  found = epsilon.lower_bound(shift + ratio * u, o)
  true = {0: 0, .5: 1.993091, 1: 4.377178, 2: 9.997256}[shift]
  if ratio == 1:
    assert (found <= true).mean() >= .95
  if mean:
    assert found.mean() == pytest.approx(mean, rel=.1, abs=.03)
  elif mean == 0:
    assert (found > 0).mean() < .01
  swapped = epsilon.lower_bound(o, shift + ratio * u)
  assert swapped.mean() == pytest.approx(found.mean(), abs=.08)


def _one_threshold(u, o, u_limits, o_limits):
  """As ``epsilon._choose``, with one end of the interval infinite."""
  values = np.sort(np.concatenate([u, o]))
  best = -np.inf, None
  for end in (values[1:] + values[:-1]) / 2:
    for low, high in ((-np.inf, end), (end, np.inf)):
      hit, false = (((side > low) & (side < high)).sum() for side in (u, o))
      for swapped, misses, alarms in (
          (False, len(u) - hit, false), (True, hit, len(o) - false)):
        shown = float(epsilon.bound(o_limits[alarms], u_limits[misses]))
        key = shown - 1e-6 * (misses + alarms)
        best = max(best, (key, (low, high, swapped)), key=lambda b: b[0])
  return best[1]


def test_single_thresholds_show_little_of_another_spread(monkeypatch):
  rng = np.random.default_rng(2)
  u, o = rng.standard_normal((2, 64, 200))
  both = epsilon.lower_bound(.2 * u, o).mean()
  monkeypatch.setattr(epsilon, '_choose', _one_threshold)
  single = epsilon.lower_bound(.2 * u, o).mean()
  assert both == pytest.approx(1.03, rel=.1)
  assert single == pytest.approx(.30, abs=.06)


def test_final_score_by_hand():
  assert epsilon.final_score(.5, [.9, .6], [1., .8]) == pytest.approx(.3375)
  assert epsilon.final_score(1., [1., .5], [.8, .5]) == pytest.approx(1.25)


@pytest.mark.parametrize('call,words', [
    (lambda: epsilon.final_score(.5, [1, 1], [1, 0]), 'accuracy of retrained'),
    (lambda: epsilon.final_score(2., [1, 1], [1, 1]), 'F'),
    (lambda: epsilon.challenge(np.ones((1, 1)), np.ones((2, 1))), 'at least 2'),
    (lambda: epsilon.lower_bound(np.ones((3, 1)), np.ones((4, 1))),
     'at least 4'),
    (lambda: epsilon.lower_bound(np.ones((4, 1)), np.ones((4, 1)), 2.),
     'level')])
def test_bad_input_is_one_sentence(call, words):
  with pytest.raises(ValueError, match=words):
    call()
