"""The papers' released attack: its floor, its lines, its spread."""

import numpy as np
import pytest
from sklearn import linear_model, model_selection

from dlfd_jax.metrics import forgetting, released_attack


@pytest.mark.parametrize('n_forget, n_unseen, expected', [
    (3314, 3068, 332 / 639), (3314, 1227, 332 / 455),
    (1500, 1504, .501661), (1500, 1539, .506579), (41, 41, 4 / 9),
    (60, 25, 2 / 3)])
def test_constant_losses_score_the_larger_class(n_forget, n_unseen, expected):
  got = released_attack.unbalanced_accuracy(
      np.ones(n_forget), np.ones(n_unseen))
  assert got == pytest.approx(expected, abs=1e-5)
  assert got == pytest.approx(
      released_attack.unbalanced_constant_accuracy(n_forget, n_unseen),
      abs=1e-12)


# Half-scale floors of MUFAC's and RAF-DB's parts.
@pytest.mark.parametrize('n_forget, n_unseen, half_score', [
    (1500, 1504, .0017), (1500, 1539, .0066),
    (3314, 3068, .0196), (3314, 1227, .2297)])
def test_floor_of_the_published_protocol(n_forget, n_unseen, half_score):
  floor = released_attack.unbalanced_constant_accuracy(n_forget, n_unseen)
  assert floor - .5 == pytest.approx(half_score, abs=5e-5)
  assert forgetting.forgetting_score(floor) == pytest.approx(
      2 * half_score, abs=1e-4)


def test_unequal_classes_make_a_floor_that_looks_like_a_result():
  rng = np.random.default_rng(0)
  got = released_attack.unbalanced_accuracy(
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
  got = released_attack.unbalanced_accuracy(forget, unseen)
  assert got == pytest.approx(expected, abs=1e-12)


def test_held_out_results_cover_ten_splits():
  rng = np.random.default_rng(2)
  got = released_attack.unbalanced_held_out(
      rng.exponential(size=30), rng.exponential(size=50))
  assert got.members_tried.sum() == 30 and got.non_members_tried.sum() == 50


def test_spread_of_the_released_attack_at_the_published_size():
  rng = np.random.default_rng(3)
  losses = rng.exponential(size=3004)
  member = np.stack([rng.permutation(3004) < 1500 for _ in range(200)])
  accuracy = released_attack.permuted_unbalanced_accuracies(losses, member)
  score = 2 * np.abs(accuracy - .5)
  assert .0105 < accuracy.std() < .0145
  assert .017 < score.mean() < .024
  assert np.quantile(score, .95) < .056
