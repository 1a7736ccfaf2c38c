"""Membership attacks: closed forms and known traps."""

import numpy as np
import pytest
from scipy import stats as sps
from sklearn import linear_model, model_selection, pipeline, preprocessing

from dlfd_jax.metrics import (
  attack,
  cross_validation,
  live_attack,
  released_attack,
)


def _normal(mean, n=4001):
  """Quantiles of N(mean, 1): a sample without sampling noise."""
  return mean + sps.norm.ppf((np.arange(n) + .5) / n)


def test_auc_of_three_against_three():
  assert attack.auc([3, 2, 1], [2.5, .5, 0]) == pytest.approx(7 / 9)


def test_equal_scores_are_a_coin():
  # Sorting without ties would give 0 or 1.
  assert attack.auc(np.ones(7), np.ones(9)) == .5


def test_auc_is_signed():
  rng = np.random.default_rng(0)
  a, b = rng.normal(1, 1, 50), rng.normal(0, 1, 40)
  assert attack.auc(a, b) > .5
  assert attack.auc(-a, -b) == pytest.approx(1 - attack.auc(a, b))


def test_two_normal_distributions_one_deviation_apart():
  members, others = _normal(1.0), _normal(0.0)
  assert attack.auc(members, others) == pytest.approx(.760250, abs=1e-4)
  assert attack.balanced_accuracy(
      members, others, draws=2) == pytest.approx(.691462, abs=1e-3)
  many = _normal(1.0, 10**5), _normal(0.0, 10**5)
  for fpr, tpr in ((.01, .092362), (.001, .018298)):
    assert attack.tpr_at_fpr(*many, fpr) == pytest.approx(tpr, abs=2e-4)


def test_class_matching_removes_what_the_labels_tell():
  keys, other_keys = np.repeat([0, 1], [30, 10]), np.repeat([0, 1], [10, 30])
  scores, others = -keys.astype(float), -other_keys.astype(float)
  assert attack.auc(scores, others) == pytest.approx(.75)
  for draws in (20, None):
    matched = attack.class_matched_auc(
        scores, others, keys, other_keys, draws=draws)
    assert matched == pytest.approx(.5)


def test_the_mean_over_cuts_tends_to_the_weighted_auc():
  rng = np.random.default_rng(2)
  keys, other_keys = rng.integers(0, 3, 60), rng.integers(0, 4, 90)
  members = rng.normal(.3, 1, 60) + keys
  others = rng.normal(0, 1, 90) + other_keys
  limit = attack.class_matched_auc(
      members, others, keys, other_keys, draws=None)
  mean = attack.class_matched_auc(
      members, others, keys, other_keys, draws=1000)
  assert mean == pytest.approx(limit, abs=2e-3)
  assert attack.class_matched_auc(
      members, others, keys, other_keys) == pytest.approx(limit, abs=2e-2)


def test_person_auc_averages_before_it_ranks():
  members, others = np.array([3., 1., 2., 2.]), np.array([2.5, .5, 0., 0.])
  people = np.array([7, 7, 4, 4])
  assert attack.auc(members, others) == pytest.approx(.8125)
  assert attack.person_auc(members, others, people, people) == 1.0


@pytest.mark.parametrize('values', [[.1], [.1, .2, .4], [1e-9, 3., 7e5, .1]])
@pytest.mark.parametrize('times', [2, 3, 7])
def test_people_with_the_same_images_tie(values, times):
  rng = np.random.default_rng(0)
  for _ in range(20):
    members = rng.permutation(values * times)
    others = rng.permutation(values)
    people = [np.zeros(len(side), int) for side in (members, others)]
    assert attack.person_auc(members, others, *people) == .5
    keys = [np.zeros(len(side)) for side in (members, others)]
    assert live_attack.ranked_auc(members, others, *keys, *people) == .5


def test_unknown_people_stand_for_their_image():
  members, others = np.array([3., 1., 2., 2.]), np.array([2.5, .5, 0., 0.])
  unknown = np.full(4, -1)
  assert attack.person_auc(
      members, others, unknown, unknown) == pytest.approx(.8125)


def test_tpr_of_four_against_four():
  members, others = [4, 3, 2, 1], [3.5, 2.5, 1.5, .5]
  assert attack.tpr_at_fpr(members, others, .25) == .5
  assert attack.tpr_at_fpr(members, others, 0) == .25


@pytest.mark.parametrize('n, m', [
    (105, 105), (100, 100), (7, 1005), (2, 3), (1500, 1504), (1500, 1539),
    (3314, 3068), (3314, 1227)])
def test_constant_scores_are_exactly_a_coin(n, m):
  for two_sided in (False, True):
    assert attack.balanced_accuracy(
        np.full(n, .1), np.full(m, .1), draws=3, two_sided=two_sided) == .5


def test_without_the_cut_a_constant_score_is_not_a_coin():
  # The trap that the cut to a multiple of the folds removes.
  labels = np.repeat([0, 1], 105)
  folds = model_selection.StratifiedKFold(10, shuffle=True, random_state=0)
  scores = model_selection.cross_val_score(
      linear_model.LogisticRegression(), np.zeros((210, 1)), labels, cv=folds)
  assert scores.mean() == pytest.approx(.476190, abs=1e-5)


def test_two_sided_attack_sees_members_on_both_sides():
  members, others = np.repeat([2., -2.], 50), np.zeros(100)
  assert attack.auc(members, others) == .5
  assert attack.balanced_accuracy(members, others, two_sided=True) == 1.0
  assert attack.balanced_accuracy(members, others) <= .75


def test_every_example_is_asked_in_every_draw():
  rng = np.random.default_rng(3)
  members, others = rng.normal(1, 1, 57), rng.normal(size=583)
  got = attack.held_out(members, others, draws=4)
  assert (got.members_tried == 4).all() and (got.non_members_tried == 4).all()
  assert (got.non_members >= 0).all() and (got.non_members <= 4).all()
  assert got.accuracy == pytest.approx(
      (got.members.mean() + got.non_members.mean()) / 8)


@pytest.mark.parametrize('n, m', [(30, 60), (104, 1008), (300, 300)])
@pytest.mark.parametrize('two_sided', [False, True])
def test_two_seeds_give_one_forgetting_score(n, m, two_sided):
  rng = np.random.default_rng(0)
  members = -rng.exponential(.5, n)**2
  others = -rng.exponential(1.3, m)**2
  first, second = (2 * abs(attack.balanced_accuracy(
      members, others, draws=attack.enough_draws(n, m), seed=seed,
      two_sided=two_sided) - .5) for seed in (1, 2))
  assert abs(first - second) < .005


def test_what_a_cut_leaves_out_is_asked_by_every_fold():
  rng = np.random.default_rng(8)
  x, rest = rng.normal(size=(1, 40, 1)), rng.normal(size=(1, 7, 1))
  labels = np.repeat([1.0, 0.0], 20)
  train = np.arange(40) % 20 % 4 != np.arange(4)[:, None]
  _, called = cross_validation.held_out_correct(x, labels, train, rest)
  folds = []
  for rows in train:
    model = pipeline.make_pipeline(
        preprocessing.StandardScaler(),
        linear_model.LogisticRegression(tol=1e-10, max_iter=10_000))
    model.fit(x[0, rows], labels[rows])
    folds.append(model.predict(rest[0]))
  np.testing.assert_allclose(called[0], np.mean(folds, axis=0))


def test_attack_depends_on_its_seed_alone():
  rng = np.random.default_rng(4)
  a, b = rng.normal(.5, 1, 60), rng.normal(0, 1, 90)
  first = attack.balanced_accuracy(a, b, draws=2, seed=1)
  assert first == attack.balanced_accuracy(a, b, draws=2, seed=1)
  others = {attack.balanced_accuracy(a, b, draws=2, seed=s) for s in range(9)}
  assert len(others) > 1


def test_attack_result_is_the_same_in_chunks(monkeypatch):
  rng = np.random.default_rng(5)
  a, b = rng.normal(.5, 1, 60), rng.normal(0, 1, 60)
  whole = attack.balanced_accuracy(a, b, draws=7)
  monkeypatch.setattr(attack, '_CHUNK', 3 * 10 * 120)
  assert attack.balanced_accuracy(a, b, draws=7) == whole


@pytest.mark.parametrize('call, message', [
    (lambda: attack.balanced_accuracy([1.], [0., 1.]),
     'at least 2 members and 2 non-members, got 1 and 2'),
    (lambda: attack.balanced_accuracy([1., 2.], [0., np.inf]),
     'non-members to be finite'),
    (lambda: attack.balanced_accuracy([1., 2.], [0., 1.], draws=0),
     'draws >= 1, got 0'),
    (lambda: attack.balanced_accuracy([1., 2.], [0., 1.], splits=1),
     'splits >= 2, got 1'),
    (lambda: live_attack.live_subset(np.zeros(3), np.zeros(3), limit=1),
     'limit >= 2, got 1'),
    (lambda: live_attack.live_subset(np.array([0]), np.array([1])),
     'forget and val to share a class'),
    (lambda: attack.class_matched_auc(
        [1.], [0.], np.array([0]), np.array([1])), 'to share a class'),
    (lambda: attack.tpr_at_fpr([1.], [0.], 2), r'fpr in \[0, 1\], got 2'),
    (lambda: released_attack.unbalanced_accuracy(np.zeros(1), np.zeros(50)),
     'at least 2 examples a side and 11'),
    (lambda: released_attack.unbalanced_accuracy(np.zeros(5), np.zeros(5)),
     'at least 2 examples a side and 11'),
])
def test_bad_arguments_are_refused(call, message):
  with pytest.raises(ValueError, match=message):
    call()


def test_cross_validated_accuracy_spreads_more_than_a_proportion():
  # Not sqrt(.25 / 3004) = .0091.
  rng = np.random.default_rng(10)
  values = [
      attack.balanced_accuracy(
          rng.exponential(size=1500), rng.exponential(size=1504), draws=1)
      for _ in range(300)]
  assert .0115 < np.std(values) < .0145
