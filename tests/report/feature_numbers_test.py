"""Probes and silhouette of features that hold what we put into them."""

import numpy as np
import pytest

from dlfd_jax.report import feature_numbers as lib

PEOPLE, EACH = 12, 4


def _data():
  rng = np.random.default_rng(0)
  identity = np.repeat(np.arange(PEOPLE), EACH)
  labels = rng.permutation(np.resize([0, 1], PEOPLE * EACH))
  noise = rng.normal(0, .05, (PEOPLE * EACH, PEOPLE + 1))
  return identity, labels, noise


def test_features_of_the_label_alone_tell_the_label_and_not_the_person():
  identity, labels, features = _data()
  features[:, -1] += 3 * labels
  metrics = lib.measure(features, labels, identity)
  assert metrics['probe_label_test'].value == 1
  assert metrics['probe_people_test'].value < .5
  assert metrics['silhouette_test'].value > .8
  unknown = lib.measure(features, labels, np.full(len(labels), -1))
  assert unknown['probe_label_test'].value == 1
  assert unknown['probe_people_test'].value is None
  assert 'at least 2 people' in unknown['probe_people_test'].reason


def test_features_of_the_person_alone_tell_the_person_and_not_the_label():
  identity, labels, features = _data()
  features[np.arange(len(identity)), identity] += 3
  metrics = lib.measure(features, labels, identity)
  assert metrics['probe_people_test'].value == 1
  assert .2 < metrics['probe_label_test'].value < .8
  assert abs(metrics['silhouette_test'].value) < .3


def test_of_attributes_the_mean_counts_and_unknown_ones_do_not():
  identity, labels, features = _data()
  features[:, -1] += 3 * labels
  one = lib.measure(features, labels, identity)
  both = lib.measure(features, np.stack([labels, labels], 1), identity)
  assert one == both
  unknown = labels.copy()
  unknown[::7] = -1
  assert lib.measure(
      features, unknown, identity)['probe_label_test'].value == 1


def test_a_guess_is_right_once_in_as_many_times_as_there_are_choices():
  labels = np.array([[0, 1], [1, 0], [1, -1], [0, 0]])
  label, person = lib.chance(labels, np.array([3, 3, 5, -1]))
  assert label == pytest.approx(.5)
  assert person == 1


def test_silhouettes_stand_by_class_and_average_to_the_whole():
  _, labels, features = _data()
  features[:, -1] += 3 * labels
  found = lib.by_class(features, labels, ['a', 'b', 'none'], False)
  whole = lib.measure(features, labels, np.arange(len(labels)))
  shares = [np.mean(labels == k) for k in (0, 1)]
  np.testing.assert_allclose(
      shares[0] * found['a'].value + shares[1] * found['b'].value,
      whole['silhouette_test'].value)
  assert found['none'].value is None and 'no test image' in found['none'].reason
  both = np.stack([labels, np.roll(labels, 1)], 1)
  sides = lib.by_class(features, both, ['a', 'b'], True)
  assert sides['a'].value > sides['b'].value


def test_only_too_few_images_leave_a_metric_out():
  identity, labels, features = _data()
  nobody = lib.measure(features, np.full(len(labels), -1), identity)
  assert nobody['silhouette_test'].value is None
  assert 'two classes' in nobody['silhouette_test'].reason
  with pytest.raises(ValueError, match='finite'):
    lib.measure(features * np.nan, labels, identity)
