"""CKA, linear probes and silhouettes: closed forms, invariances, traps."""

import numpy as np
import pytest

from dlfd_jax.metrics import features as lib

_CROSS = np.array([[1., 0], [-1, 0], [0, 1], [0, -1]])
_FORMS = pytest.mark.parametrize('form', [lib.cka_biased, lib.cka_unbiased])


def _gaussians(n, p, seed=0):
  rng = np.random.default_rng(seed)
  return rng.normal(size=(n, p)), rng.normal(size=(n, p))


@_FORMS
def test_rotation_scale_and_shift_change_nothing(form):
  x, y = _gaussians(50, 7)
  q, _ = np.linalg.qr(y[:7])
  assert form(x, 3 * x @ q + 1) == pytest.approx(1)
  assert form(x, 1e-20 * x + 1e-18) == pytest.approx(1)


def test_the_cross():
  assert lib.cka_biased(_CROSS, _CROSS[:, :1]) == pytest.approx(
      .707107, abs=1e-6)
  assert lib.cka_biased(_CROSS, _CROSS * [2, 1]) == pytest.approx(
      .857493, abs=1e-6)


@pytest.mark.parametrize('n, p, floor', [
    (512, 512, .50), (1500, 512, .25), (300, 30, 1 / 11)])
def test_the_biased_form_has_a_floor_the_unbiased_one_has_not(n, p, floor):
  x, y = _gaussians(n, p)
  assert lib.cka_independent_floor(n, p) == pytest.approx(floor, abs=.005)
  assert lib.cka_biased(x, y) == pytest.approx(floor, abs=.01)
  assert lib.cka_unbiased(x, y) == pytest.approx(0, abs=.02)


def test_the_unbiased_form_equals_the_one_by_kernels():
  x, y = _gaussians(20, 3)
  y = x[:, :2] + .5 * y[:, :2]

  def hsic(a, b):
    n = len(a)
    k, l = a @ a.T, b @ b.T
    np.fill_diagonal(k, 0)
    np.fill_diagonal(l, 0)
    return (np.trace(k @ l) + k.sum() * l.sum() / (n - 1) / (n - 2)
            - 2 * (k @ l).sum() / (n - 2)) / (n * (n - 3))

  expected = hsic(x, y) / np.sqrt(hsic(x, x) * hsic(y, y))
  assert lib.cka_unbiased(x, y) == pytest.approx(expected)
  assert .3 < expected < 1


@pytest.mark.parametrize('biased', [True, False])
@pytest.mark.parametrize('shift, scale', [(0, 1), (7, .01), (-300, 40)])
def test_without_a_group_it_is_that_of_the_rest(biased, shift, scale):
  x, y = _gaussians(60, 5)
  x = shift + scale * x
  y = x[:, :3] + .5 * y[:, :3]
  groups = np.array_split(np.random.default_rng(1).permutation(60), 7)
  found = lib.cka_of(*(lib.hsic(a, b, groups, biased=biased)
                       for a, b in ((x, y), (x, x), (y, y))))
  form = lib.cka_biased if biased else lib.cka_unbiased
  assert found == pytest.approx([form(x, y), *(
      form(np.delete(x, rows, axis=0), np.delete(y, rows, axis=0))
      for rows in groups)], rel=1e-9)


def test_a_rest_that_is_constant_has_no_alignment():
  x, y = _gaussians(12, 2)
  x[4:] = 3.  # all of its variance lies in the first group
  groups = [np.arange(4), np.arange(4, 8)]
  found = lib.cka_of(*(lib.hsic(a, b, groups)
                       for a, b in ((x, y), (x, x), (y, y))))
  assert np.isnan(found).tolist() == [False, True, False]


@_FORMS
def test_constant_features_have_no_alignment(form):
  x, _ = _gaussians(9, 2)
  assert np.isnan(form(x, np.full((9, 3), .1)))


@pytest.mark.parametrize('x, y, message', [
    (np.ones((3, 2)), np.ones((3, 2)), r'at least 4 images, got \[3, 2\]'),
    (np.ones((4, 2)), np.ones((5, 2)), 'same images on both sides, got 4'),
    (np.full((4, 2), np.nan), np.ones((4, 2)), 'finite features')])
def test_bad_features_are_refused(x, y, message):
  with pytest.raises(ValueError, match=message):
    lib.cka_unbiased(x, y)


def _one_hot_people(people=40, images=10):
  units = np.repeat(np.arange(people), images)
  return np.eye(people)[units], units


def _membership(features, units, **options):
  half = len(features) // 2
  right = lib.membership_probe(
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
  right = lib.membership_probe(
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
    right = lib.membership_probe(
        rng.normal(size=(30, 2)), rng.normal(size=(240, 2)), np.arange(30),
        np.arange(240) // 4, seed=seed)
    values.append((right[0].mean() + right[1].mean()) / 2)
  assert np.mean(values) == pytest.approx(.5, abs=.05)


def test_swapping_people_gives_the_null():
  features, units = _one_hot_people(20, 3)
  member = np.arange(60) < 30
  null = lib.permuted_membership_probe(
      member[:30, None] * 1.0, member[30:, None] * 1.0, units[:30],
      units[:30], permutations=8)
  assert null.shape == (8,)
  assert null.mean() < .8


def test_a_person_is_in_one_fold_and_folds_are_even():
  _, units = _one_hot_people(13, 3)
  sides = np.repeat([0, 1], [15, 24])
  fold = lib.person_folds(units, sides, 5, seed=0)
  for unit in range(13):
    assert np.unique(fold[units == unit]).size == 1
  people = [[np.unique(units[(fold == k) & (sides == s)]).size
             for k in range(5)] for s in (0, 1)]
  assert people[0] == [1] * 5
  assert sorted(people[1]) == [1, 1, 2, 2, 2]
  other = lib.person_folds(units, sides, 5, seed=1)
  assert (fold != other).any()


def test_people_are_recognised_where_features_show_them():
  features, units = _one_hot_people(12, 4)
  rows, right = lib.people_probe(features, units)
  assert len(rows) == 48 and right.mean() == 1
  noise = np.random.default_rng(0).normal(size=(48, 2))
  _, right = lib.people_probe(noise, units)
  assert right.mean() < .3


def test_people_with_one_image_and_unknown_ones_are_left_out():
  identity = np.array([0, 0, 1, 1, 2, -1, -1])
  half = lib.halves(identity, seed=0)
  assert (half[4:] == -1).all()
  for person in (0, 1):
    assert sorted(half[identity == person]) == [0, 1]
  rows, _ = lib.people_probe(np.eye(7), identity)
  assert rows.tolist() == [0, 1, 2, 3]


def test_many_people_with_two_images_are_no_reason_to_warn():
  rows, right = lib.people_probe(*_one_hot_people(24, 2))
  assert len(rows) == 48 and right.mean() == 1


def test_the_number_of_people_can_be_limited():
  features, units = _one_hot_people(12, 4)
  rows, right = lib.people_probe(features, units, limit=3)
  assert len(rows) == len(right) == 12
  assert np.unique(units[rows]).size == 3


def test_the_label_is_read_on_other_people():
  features, units = _one_hot_people(20, 4)
  labels = units % 2  # each person has one label, features show the person
  right = lib.labels_probe(features, labels, units)
  assert lib.balanced(right, labels) <= .5
  shown = np.concatenate([features, labels[:, None]], axis=1)
  right = lib.labels_probe(shown, labels, units)
  assert lib.balanced(right, labels) == 1
  labels = np.where(np.arange(80) < 8, -1, labels)
  right = lib.labels_probe(shown, labels, units)
  assert np.isnan(right[:8]).all() and (right[8:] == 1).all()


def test_three_classes():
  rng = np.random.default_rng(0)
  labels = rng.integers(0, 3, 60)
  features = np.eye(3)[labels] + .1 * rng.normal(size=(60, 3))
  right = lib.labels_probe(features, labels, np.arange(60))
  assert lib.balanced(right, labels) == 1


@pytest.mark.parametrize('call, message', [
    (lambda: lib.person_folds(np.arange(4), np.zeros(4), 1, 0),
     'folds >= 2, got 1'),
    (lambda: lib.membership_probe(
        np.ones((4, 1)), np.ones((4, 1)), np.zeros(4, int), np.arange(4)),
     'at least 2 people a side, got 1'),
    (lambda: lib.out_of_fold(np.ones((3, 1)), np.zeros(3), np.zeros(3)),
     'two folds, got one'),
    (lambda: lib.out_of_fold(np.ones((3, 1)), np.zeros(2), np.zeros(3)),
     r'features \[n, d\]'),
    (lambda: lib.out_of_fold(
        np.full((2, 1), np.nan), np.zeros(2), np.arange(2)), 'finite'),
    (lambda: lib.people_probe(np.ones((3, 1)), np.arange(3)),
     '2 people with 2 images, got 0'),
    (lambda: lib.labels_probe(np.ones((3, 1)), np.zeros(3), np.arange(3)),
     'at least 2 classes'),
    (lambda: lib.cka_independent_floor(0, 3), 'at least 1, got 0 and 3'),
    (lambda: lib.silhouettes(np.ones((3, 2)), [0, 0, 0]), 'two classes'),
    (lambda: lib.silhouettes(np.ones((3, 2)), [0, 1, 2]),
     'more images than classes, got 3 classes'),
    (lambda: lib.silhouettes(np.ones((3, 2)), [0, 1]),
     r'labels \[n\], got \[3, 2\]'),
    (lambda: lib.silhouettes(np.full((3, 2), np.inf), [0, 1, 1]), 'finite')])
def test_bad_input_is_refused(call, message):
  with pytest.raises(ValueError, match=message):
    call()


def test_two_points_each_by_hand():
  features = np.array([[0.], [1.], [10.], [11.]])
  got = lib.silhouettes(features, np.array([0, 0, 1, 1]))
  expected = [1 - 1 / 10.5, 1 - 1 / 9.5]
  np.testing.assert_allclose(got, expected + expected[::-1])
  wrong = lib.silhouettes(features, np.array([0, 1, 0, 1]))
  assert (wrong < 0).all()


def test_scale_and_shift_change_nothing():
  rng = np.random.default_rng(0)
  features, labels = rng.normal(size=(30, 4)), np.arange(30) % 3
  np.testing.assert_allclose(
      lib.silhouettes(features, labels),
      lib.silhouettes(5 * features - 2, labels))


def test_collapsed_features_have_no_classes():
  assert (lib.silhouettes(np.zeros((4, 2)), [0, 0, 1, 1]) == 0).all()
  assert (lib.silhouettes(np.ones((4, 2)), [0, 0, 1, 1]) == 0).all()
