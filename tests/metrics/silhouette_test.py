"""Silhouettes by class."""

import numpy as np
import pytest

from dlfd_jax.metrics import silhouette


def test_two_points_each_by_hand():
  features = np.array([[0.], [1.], [10.], [11.]])
  got = silhouette.silhouettes(features, np.array([0, 0, 1, 1]))
  expected = [1 - 1 / 10.5, 1 - 1 / 9.5]
  np.testing.assert_allclose(got, expected + expected[::-1])
  wrong = silhouette.silhouettes(features, np.array([0, 1, 0, 1]))
  assert (wrong < 0).all()


def test_scale_and_shift_change_nothing():
  rng = np.random.default_rng(0)
  features, labels = rng.normal(size=(30, 4)), np.arange(30) % 3
  np.testing.assert_allclose(
      silhouette.silhouettes(features, labels),
      silhouette.silhouettes(5 * features - 2, labels))


def test_collapsed_features_have_no_classes():
  assert (silhouette.silhouettes(np.zeros((4, 2)), [0, 0, 1, 1]) == 0).all()
  assert (silhouette.silhouettes(np.ones((4, 2)), [0, 0, 1, 1]) == 0).all()


@pytest.mark.parametrize('features, labels, message', [
    (np.ones((3, 2)), [0, 0, 0], 'two classes'),
    (np.ones((3, 2)), [0, 1, 2], 'more images than classes, got 3 classes'),
    (np.ones((3, 2)), [0, 1], r'labels \[n\], got \[3, 2\]'),
    (np.full((3, 2), np.inf), [0, 1, 1], 'finite')])
def test_bad_input_is_refused(features, labels, message):
  with pytest.raises(ValueError, match=message):
    silhouette.silhouettes(features, labels)
