"""All logistic fits at once are scikit-learn's, one by one."""

import numpy as np
import pytest
from sklearn import linear_model, pipeline, preprocessing

from dlfd_jax.metrics import cross_validation, released_attack

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
  got = cross_validation.held_out_correct(x[None], labels, train)[0][0]
  np.testing.assert_array_equal(got, _reference(x, labels, train))


def test_optimum_has_no_gradient_and_equals_scikit_learn():
  x = np.concatenate([_MEMBERS, _OTHERS])[None, :, None]
  labels = np.repeat([1.0, 0.0], 60)
  weights = np.ones((1, 120))
  logits = cross_validation.fit_logistic(
      x, labels, weights, np.ones((1, 1, 1)))[0, 0]
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
  before, after = (
      cross_validation.fit_logistic(
          features, labels, train.astype(float), penalty)
      for features in (x, other))
  np.testing.assert_allclose(
      before[0, 0, train[0]], after[0, 0, train[0]], atol=1e-9)


def test_one_far_example_does_not_hold_up_the_others():
  losses = np.append(np.arange(15) / 1e4, 1.) * 1e6
  member = np.stack([np.roll(np.arange(16) < 3, k) for k in range(16)])
  found = released_attack.permuted_unbalanced_accuracies(losses, member)
  assert ((found >= 0) & (found <= 1)).all()


def test_a_fit_that_cannot_end_says_so(monkeypatch):
  monkeypatch.setattr(cross_validation, '_MAX_ITERATIONS', 1)
  x = np.array([[[1.], [0.]]])
  with pytest.raises(RuntimeError, match='did not converge in 1 steps'):
    cross_validation.fit_logistic(
        x, np.array([1., 0.]), np.ones((1, 2)), np.ones((1, 1, 1)))
