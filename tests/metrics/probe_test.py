"""Linear probes: who is held out together decides what they measure."""

import numpy as np
import pytest

from dlfd_jax.metrics import probe


def _one_hot_people(people=40, images=10):
  units = np.repeat(np.arange(people), images)
  return np.eye(people)[units], units


def _membership(features, units, **options):
  half = len(features) // 2
  right = probe.membership(
      features[:half], features[half:], units[:half],
      units[half:] - units[half], **options)
  return (right[0].mean() + right[1].mean()) / 2


def test_person_folds_do_not_mistake_the_person_for_membership():
  features, units = _one_hot_people()
  assert _membership(features, units) == .5


def test_image_folds_would():
  features, units = _one_hot_people()
  half = len(units) // 2
  everyone = np.arange(len(units))
  right = probe.membership(
      features[:half], features[half:], everyone[:half], everyone[:half])
  assert np.mean(right) == 1.0


@pytest.mark.parametrize('people', [40, 14])
def test_a_constant_feature_tells_nothing(people):
  _, units = _one_hot_people(people)
  assert _membership(np.full((len(units), 3), .1), units) == .5


def test_a_feature_that_is_membership_tells_all():
  features, units = _one_hot_people()
  member = np.arange(len(units)) < len(units) // 2
  assert _membership(member[:, None].astype(float), units) == 1.0
  scaled = np.stack([1e6 + 1e3 * member, 0 * member], axis=1)
  assert _membership(scaled, units) == 1.0


def test_sides_of_unequal_size_do_not_move_the_floor():
  rng = np.random.default_rng(0)
  values = []
  for seed in range(10):
    right = probe.membership(
        rng.normal(size=(30, 2)), rng.normal(size=(240, 2)), np.arange(30),
        np.arange(240) // 4, seed=seed)
    values.append((right[0].mean() + right[1].mean()) / 2)
  assert np.mean(values) == pytest.approx(.5, abs=.05)


def test_swapping_people_gives_the_null():
  features, units = _one_hot_people(20, 3)
  member = np.arange(60) < 30
  null = probe.permuted_membership(
      member[:30, None] * 1.0, member[30:, None] * 1.0, units[:30],
      units[:30], permutations=8)
  assert null.shape == (8,)
  assert null.mean() < .8


def test_a_person_is_in_one_fold_and_folds_are_even():
  _, units = _one_hot_people(13, 3)
  sides = np.repeat([0, 1], [15, 24])
  fold = probe.person_folds(units, sides, 5, seed=0)
  for unit in range(13):
    assert np.unique(fold[units == unit]).size == 1
  people = [[np.unique(units[(fold == k) & (sides == s)]).size
             for k in range(5)] for s in (0, 1)]
  assert people[0] == [1] * 5
  assert sorted(people[1]) == [1, 1, 2, 2, 2]
  other = probe.person_folds(units, sides, 5, seed=1)
  assert (fold != other).any()


def test_people_are_recognised_where_features_show_them():
  features, units = _one_hot_people(12, 4)
  rows, right = probe.people(features, units)
  assert len(rows) == 48 and right.mean() == 1
  noise = np.random.default_rng(0).normal(size=(48, 2))
  _, right = probe.people(noise, units)
  assert right.mean() < .3


def test_people_with_one_image_and_unknown_ones_are_left_out():
  identity = np.array([0, 0, 1, 1, 2, -1, -1])
  half = probe.halves(identity, seed=0)
  assert (half[4:] == -1).all()
  for person in (0, 1):
    assert sorted(half[identity == person]) == [0, 1]
  rows, _ = probe.people(np.eye(7), identity)
  assert rows.tolist() == [0, 1, 2, 3]


def test_the_number_of_people_can_be_limited():
  features, units = _one_hot_people(12, 4)
  rows, right = probe.people(features, units, limit=3)
  assert len(rows) == len(right) == 12
  assert np.unique(units[rows]).size == 3


def test_the_label_is_read_on_other_people():
  features, units = _one_hot_people(20, 4)
  labels = units % 2  # each person has one label, features show the person
  right = probe.labels_probe(features, labels, units)
  assert probe.balanced(right, labels) <= .5
  shown = np.concatenate([features, labels[:, None]], axis=1)
  right = probe.labels_probe(shown, labels, units)
  assert probe.balanced(right, labels) == 1
  labels = np.where(np.arange(80) < 8, -1, labels)
  right = probe.labels_probe(shown, labels, units)
  assert np.isnan(right[:8]).all() and (right[8:] == 1).all()


def test_three_classes():
  rng = np.random.default_rng(0)
  labels = rng.integers(0, 3, 60)
  features = np.eye(3)[labels] + .1 * rng.normal(size=(60, 3))
  right = probe.labels_probe(features, labels, np.arange(60))
  assert probe.balanced(right, labels) == 1


@pytest.mark.parametrize('call, message', [
    (lambda: probe.person_folds(np.arange(4), np.zeros(4), 1, 0),
     'folds >= 2, got 1'),
    (lambda: probe.membership(
        np.ones((4, 1)), np.ones((4, 1)), np.zeros(4, int), np.arange(4)),
     'at least 2 people a side, got 1'),
    (lambda: probe.out_of_fold(np.ones((3, 1)), np.zeros(3), np.zeros(3)),
     'two folds, got one'),
    (lambda: probe.out_of_fold(np.ones((3, 1)), np.zeros(2), np.zeros(3)),
     r'features \[n, d\]'),
    (lambda: probe.out_of_fold(
        np.full((2, 1), np.nan), np.zeros(2), np.arange(2)), 'finite'),
    (lambda: probe.people(np.ones((3, 1)), np.arange(3)),
     '2 people with 2 images, got 0'),
    (lambda: probe.labels_probe(np.ones((3, 1)), np.zeros(3), np.arange(3)),
     'at least 2 classes')])
def test_bad_input_is_refused(call, message):
  with pytest.raises(ValueError, match=message):
    call()
