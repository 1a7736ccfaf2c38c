"""Membership attacks: closed forms, known traps, the released form."""

import time

import numpy as np
import pytest
from scipy import stats as sps
from sklearn import linear_model, model_selection, pipeline, preprocessing

from dlfd_jax.metrics import attack, forgetting


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
    assert attack.ranked_auc(members, others, *keys, *people) == .5


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
  _, called = attack.held_out_correct(x, labels, train, rest)
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


@pytest.mark.parametrize('n, mean, high', [(100, .076, .16), (300, .044, .10)])
def test_null_of_the_forgetting_score_is_not_zero(n, mean, high):
  rng = np.random.default_rng(6)
  got = attack.permutation_null(
      rng.exponential(size=n), rng.exponential(size=n), draws=600)
  np.testing.assert_allclose(got, (mean, high), rtol=.1)


def test_null_does_not_care_how_far_apart_the_sides_are():
  rng = np.random.default_rng(7)
  got = attack.permutation_null(
      rng.normal(3, 1, 100), rng.normal(0, 1, 100), draws=300)
  assert got[0] < .12 and got[1] < .25


def test_the_live_attack_is_fast():
  rng = np.random.default_rng(8)
  a, b = rng.normal(1, 1, 300), rng.normal(0, 1, 300)
  times = []
  for _ in range(5):
    start = time.process_time()
    attack.balanced_accuracy(a, b, draws=1)
    times.append(time.process_time() - start)
  assert min(times) < .02


def test_live_subset_has_the_same_classes_on_both_sides():
  rng = np.random.default_rng(9)
  forget, val = rng.integers(0, 3, 400), rng.integers(0, 5, 700)
  pick, other = attack.live_subset(forget, val, limit=150, seed=1)
  assert len(pick) == len(other) == 150
  np.testing.assert_array_equal(
      np.bincount(forget[pick], minlength=5),
      np.bincount(val[other], minlength=5))
  shares = np.bincount(forget[pick]) / 150
  np.testing.assert_allclose(shares, np.bincount(forget) / 400, atol=.05)
  for index, n in ((pick, 400), (other, 700)):
    assert len(np.unique(index)) == 150 and 0 <= index[0] <= index[-1] < n
  again = attack.live_subset(forget, val, limit=150, seed=1)
  np.testing.assert_array_equal(pick, again[0])


def test_live_subset_takes_all_it_can_match_below_the_limit():
  forget, val = np.array([0, 0, 1]), np.array([0, 1, 1, 2])
  pick, other = attack.live_subset(forget, val)
  assert len(pick) == len(other) == 2


@pytest.mark.parametrize('call, message', [
    (lambda: attack.balanced_accuracy([1.], [0., 1.]),
     'at least 2 members and 2 non-members, got 1 and 2'),
    (lambda: attack.balanced_accuracy([1., 2.], [0., np.inf]),
     'non-members to be finite'),
    (lambda: attack.balanced_accuracy([1., 2.], [0., 1.], draws=0),
     'draws >= 1, got 0'),
    (lambda: attack.balanced_accuracy([1., 2.], [0., 1.], splits=1),
     'splits >= 2, got 1'),
    (lambda: attack.permutation_null([1., 2.], [0., 1.], draws=0),
     'draws >= 1, got 0'),
    (lambda: attack.live_subset(np.zeros(3), np.zeros(3), limit=1),
     'limit >= 2, got 1'),
    (lambda: attack.live_subset(np.array([0]), np.array([1])),
     'forget and val to share a class'),
    (lambda: attack.class_matched_auc(
        [1.], [0.], np.array([0]), np.array([1])), 'to share a class'),
    (lambda: attack.tpr_at_fpr([1.], [0.], 2), r'fpr in \[0, 1\], got 2'),
    (lambda: attack.unbalanced_accuracy(np.zeros(1), np.zeros(50)),
     'at least 2 examples a side and 11'),
    (lambda: attack.unbalanced_accuracy(np.zeros(5), np.zeros(5)),
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


@pytest.mark.parametrize('n_forget, n_unseen, expected', [
    (3314, 3068, 332 / 639), (3314, 1227, 332 / 455),
    (1500, 1504, .501661), (1500, 1539, .506579), (41, 41, 4 / 9),
    (60, 25, 2 / 3)])
def test_constant_losses_score_the_larger_class(n_forget, n_unseen, expected):
  got = attack.unbalanced_accuracy(
      np.ones(n_forget), np.ones(n_unseen))
  assert got == pytest.approx(expected, abs=1e-5)
  assert got == pytest.approx(
      attack.unbalanced_constant_accuracy(n_forget, n_unseen), abs=1e-12)


# Half-scale floors of MUFAC's and RAF-DB's parts.
@pytest.mark.parametrize('n_forget, n_unseen, half_score', [
    (1500, 1504, .0017), (1500, 1539, .0066),
    (3314, 3068, .0196), (3314, 1227, .2297)])
def test_floor_of_the_published_protocol(n_forget, n_unseen, half_score):
  floor = attack.unbalanced_constant_accuracy(n_forget, n_unseen)
  assert floor - .5 == pytest.approx(half_score, abs=5e-5)
  assert forgetting.forgetting_score(floor) == pytest.approx(
      2 * half_score, abs=1e-4)


def test_unequal_classes_make_a_floor_that_looks_like_a_result():
  rng = np.random.default_rng(0)
  got = attack.unbalanced_accuracy(
      rng.exponential(size=3314), rng.exponential(size=3068))
  assert got == pytest.approx(.519, abs=.01)


def test_equals_the_released_lines():
  rng = np.random.default_rng(1)
  forget, unseen = rng.exponential(.4, 70), rng.exponential(1., 90)
  samples = np.concatenate([unseen, forget]).reshape(-1, 1)
  labels = np.array([0] * 90 + [1] * 70)
  splitter = model_selection.StratifiedShuffleSplit(
      n_splits=10, random_state=0)
  expected = model_selection.cross_val_score(
      linear_model.LogisticRegression(), samples, labels, cv=splitter,
      scoring='accuracy').mean()
  got = attack.unbalanced_accuracy(forget, unseen)
  assert got == pytest.approx(expected, abs=1e-12)


def test_held_out_results_cover_ten_splits():
  rng = np.random.default_rng(2)
  got = attack.unbalanced_held_out(
      rng.exponential(size=30), rng.exponential(size=50))
  assert got.members_tried.sum() == 30 and got.non_members_tried.sum() == 50


def test_spread_of_the_released_attack_at_the_published_size():
  rng = np.random.default_rng(3)
  losses = rng.exponential(size=3004)
  member = np.stack([rng.permutation(3004) < 1500 for _ in range(200)])
  accuracy = attack.permuted_unbalanced_accuracies(losses, member)
  score = 2 * np.abs(accuracy - .5)
  assert .0105 < accuracy.std() < .0145
  assert .017 < score.mean() < .024
  assert np.quantile(score, .95) < .056


_RNG = np.random.default_rng(0)
_MEMBERS = -_RNG.exponential(.4, 60)
_OTHERS = -_RNG.exponential(1., 60)


def _reference(features, labels, train):
  correct = np.zeros(labels.size, bool)
  for rows in train:
    model = pipeline.make_pipeline(
        preprocessing.StandardScaler(),
        linear_model.LogisticRegression(tol=1e-10, max_iter=10_000))
    model.fit(features[rows], labels[rows])
    correct[~rows] = model.predict(features[~rows]) == labels[~rows]
  return correct


_SIDES = {
    'plain': (_MEMBERS, _OTHERS),
    'tiny': (1e-9 * _MEMBERS, 1e-9 * _OTHERS),
    'separable': (_MEMBERS + 10, _OTHERS),
    'shifted': (_MEMBERS + 1e6, _OTHERS + 1e6),
    'outlier': (np.append(_MEMBERS[:-1], -1e5), _OTHERS),
    'heavy tails': (_MEMBERS**9, _OTHERS**9),
}


# The square of a score near 1e6 leaves no digits for its spread.
@pytest.mark.parametrize('name, features', [
    (name, features) for name in _SIDES for features in (1, 2)
    if (name, features) != ('shifted', 2)])
def test_held_out_predictions_equal_scikit_learn(name, features):
  members, others = _SIDES[name]
  scores = np.concatenate([members, others])
  x = np.stack([scores, scores**2], axis=-1)[:, :features]
  labels = np.repeat([1.0, 0.0], 60)
  train = np.arange(120) % 60 % 10 != np.arange(10)[:, None]
  got = attack.held_out_correct(x[None], labels, train)[0][0]
  np.testing.assert_array_equal(got, _reference(x, labels, train))


def test_optimum_has_no_gradient_and_equals_scikit_learn():
  x = np.concatenate([_MEMBERS, _OTHERS])[None, :, None]
  labels = np.repeat([1.0, 0.0], 60)
  weights = np.ones((1, 120))
  logits = attack.fit_logistic(x, labels, weights, np.ones((1, 1, 1)))[0, 0]
  model = linear_model.LogisticRegression(tol=1e-12, max_iter=10_000)
  model.fit(x[0], labels)
  np.testing.assert_allclose(
      logits, model.decision_function(x[0]), atol=1e-6)
  np.testing.assert_allclose((1 / (1 + np.exp(-logits)) - labels).sum(), 0,
                             atol=1e-9)


def test_each_fit_ignores_its_held_out_rows():
  rng = np.random.default_rng(1)
  x = rng.normal(size=(1, 40, 1))
  labels = np.repeat([1.0, 0.0], 20)
  train = np.arange(40) % 20 % 2 != np.arange(2)[:, None]
  other = x.copy()
  other[0, ~train[0]] = 50.0
  penalty = np.ones((1, 2, 1))
  before = attack.fit_logistic(x, labels, train.astype(float), penalty)
  after = attack.fit_logistic(other, labels, train.astype(float), penalty)
  np.testing.assert_allclose(
      before[0, 0, train[0]], after[0, 0, train[0]], atol=1e-9)


def test_one_far_example_does_not_hold_up_the_others():
  losses = np.append(np.arange(15) / 1e4, 1.) * 1e6
  member = np.stack([np.roll(np.arange(16) < 3, k) for k in range(16)])
  found = attack.permuted_unbalanced_accuracies(losses, member)
  assert ((found >= 0) & (found <= 1)).all()


def test_a_fit_that_cannot_end_says_so(monkeypatch):
  monkeypatch.setattr(attack, '_MAX_ITERATIONS', 1)
  x = np.array([[[1.], [0.]]])
  with pytest.raises(RuntimeError, match='did not converge in 1 steps'):
    attack.fit_logistic(
        x, np.array([1., 0.]), np.ones((1, 2)), np.ones((1, 1, 1)))
