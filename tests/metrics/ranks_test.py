"""The weighted ROC curve and the metrics read from it."""

import numpy as np
import pytest

from dlfd_jax.metrics import ranks


def test_area_counts_pairs_and_half_of_the_ties():
  rng = np.random.default_rng(0)
  members = rng.integers(0, 5, 40).astype(float)
  others = rng.integers(0, 5, 30).astype(float)
  pairs = members[:, None] - others
  expected = (pairs > 0).mean() + (pairs == 0).mean() / 2
  area = ranks.area(*ranks.roc(members, others))
  np.testing.assert_allclose(area, expected, atol=1e-12)


def test_whole_weights_equal_repeated_examples():
  rng = np.random.default_rng(1)
  members, others = rng.normal(.3, 1, 20), rng.normal(0, 1, 15)
  w, v = rng.integers(0, 4, (3, 20)), rng.integers(0, 4, (3, 15))
  fpr, tpr = ranks.roc(members, others, w, v)
  for row in range(3):
    repeated = ranks.roc(
        np.repeat(members, w[row]), np.repeat(others, v[row]))
    for metric in (
        ranks.area, ranks.largest_gap, lambda *c: ranks.largest_tpr(*c, .1)):
      np.testing.assert_allclose(
          metric(fpr[row], tpr[row]), metric(*repeated), atol=1e-12)


def test_a_row_without_weight_is_nan():
  fpr, tpr = ranks.roc([2., 1.], [0.], np.zeros((1, 2)), np.ones((1, 1)))
  assert np.isnan(tpr).all() and not np.isnan(fpr).any()


def test_matching_weights_equal_the_mean_over_all_cuts():
  keys, others = np.array([0, 0, 0, 1]), np.array([0, 1, 1])
  w, v = ranks.matching_weights(keys, others)
  np.testing.assert_allclose(w, [1 / 3, 1 / 3, 1 / 3, 1])
  np.testing.assert_allclose(v, [1, .5, .5])


def test_matching_weights_follow_multiplicities():
  keys, others = np.array([0, 0, 1]), np.array([0, 1])
  w, v = ranks.matching_weights(
      keys, others, np.array([[2, 0, 1], [1, 1, 0]]), np.array([1, 1]))
  np.testing.assert_allclose(w, [[1, 0, 1], [.5, .5, 0]])
  np.testing.assert_allclose(v, [[1, 1], [1, 0]])


def test_sides_without_a_shared_class_get_no_weight():
  w, v = ranks.matching_weights(np.array([0, 0]), np.array([1]))
  assert not w.any() and not v.any()


@pytest.mark.parametrize('scores, message', [
    ([], 'vector of at least one score'),
    ([[1.]], 'vector of at least one score'),
    ([1., np.nan], 'to be finite, got 1 of 2'),
])
def test_bad_scores_are_refused(scores, message):
  with pytest.raises(ValueError, match=message):
    ranks.roc(scores, [1.])
  with pytest.raises(ValueError, match=message):
    ranks.roc([1.], scores)
