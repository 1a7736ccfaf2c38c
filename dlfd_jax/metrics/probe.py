"""Linear probes: what a linear classifier finds in frozen features.

Outputs can look forgotten while features do not (Kim et al. 2025,
arXiv:2503.06991). A probe is standardised, class-balanced logistic regression
(C = 1) judged on held-out images. Where the question is not who is shown, all
images of a person are held out together: a probe that may train on the person
it is tested on recognises the person and calls it the answer.
"""

from __future__ import annotations

import numpy as np
import threadpoolctl

from dlfd_jax.utils import validate

FOLDS = 5
_MAX_ITERATIONS = 5000
_TIE = 1e-9  # two classes whose scores differ by less are a tie: half right


def person_folds(units: np.ndarray, sides: np.ndarray, folds: int,
                 seed: int) -> np.ndarray:
  """A fold for each image, the same for all images of a person.

  The people of each side are dealt out evenly in random order.

  Args:
    units: person (or image, where unknown) of each image, int ``[n]``; no unit
      is on two sides.
    sides: which side each image is on, int ``[n]``; one side for all if the
      folds need not be even by side.
    folds: at least 2; as many as people on the smallest side if those are
      fewer.
    seed: of the order.

  Returns:
    int ``[n]`` in ``[0, folds)``.

  Raises:
    ValueError: if ``folds`` < 2 or a side has fewer than 2 people.
  """
  if folds < 2:
    raise ValueError(f'Expected folds >= 2, got {folds}.')
  units, sides = np.asarray(units), np.asarray(sides)
  people = [np.unique(units[sides == side]) for side in np.unique(sides)]
  least = min(map(len, people))
  if least < 2:
    raise ValueError(f'Expected at least 2 people a side, got {least}.')
  folds = min(folds, least)
  rng = np.random.default_rng(seed)
  fold = np.empty(len(units), np.int64)
  for group in people:
    rank = dict(zip(rng.permutation(group).tolist(), range(len(group))))
    for row in np.flatnonzero(np.isin(units, group)):
      fold[row] = rank[int(units[row])] % folds
  return fold


def halves(identity: np.ndarray, seed: int) -> np.ndarray:
  """Splits each person's images into two halves, int ``[n]`` in {0, 1}.

  -1 for images of people with a single image and of unknown people. Of an odd
  number one more image is in half 1.

  Args:
    identity: ``[n]``, -1 unknown.
    seed: of the draw.
  """
  identity = np.asarray(identity)
  rng = np.random.default_rng(seed)
  half = np.full(len(identity), -1)
  for person in np.unique(identity[identity >= 0]):
    rows = rng.permutation(np.flatnonzero(identity == person))
    if len(rows) > 1:
      half[rows] = np.arange(len(rows)) >= len(rows) // 2
  return half


def out_of_fold(features: np.ndarray, labels: np.ndarray,
                fold: np.ndarray) -> np.ndarray:
  """Whether each image is classified rightly by the probe that left it out.

  Args:
    features: ``[n, d]``, finite.
    labels: int class ``[n]``.
    fold: int ``[n]``, at least two values.

  Returns:
    float ``[n]`` in {0, .5, 1}; .5 = a tie of two classes.

  Raises:
    ValueError: if lengths differ, a feature is not finite, or there is only one
      fold.
  """
  features = validate.floats('features', features)
  labels = validate.array('labels', labels)
  fold = validate.array('folds', fold)
  if features.ndim != 2 or not features.size or not (
      labels.shape == fold.shape == features.shape[:1]):
    raise ValueError(
        'Expected features [n, d], labels [n] and folds [n], got '
        f'{list(features.shape)}, {list(labels.shape)} and '
        f'{list(fold.shape)}.')
  if not np.isfinite(features).all():
    raise ValueError('Expected finite features, got others.')
  if np.unique(fold).size < 2:
    raise ValueError('Expected at least two folds, got one.')
  right = np.empty(len(labels))
  # The products are so small that a second thread makes them 7 times slower.
  with threadpoolctl.threadpool_limits(1):
    for held in np.unique(fold):
      test = fold == held
      known, unknown = _standardise(features[~test], features[test])
      right[test] = _judge(known, unknown, labels[~test], labels[test])
  return right


def _standardise(train, test):
  """Both with the training rows' mean and deviation; a constant gets scale 1.

  A feature that varies on no more than rounding is constant too.
  """
  mean, deviation = train.mean(0), train.std(0)
  size = np.abs(train).max(0)
  constant = deviation <= 1e-7 * size
  scale = np.where(constant, 1.0, deviation)
  alive = ~constant
  return ((train - mean) / scale * alive), ((test - mean) / scale * alive)


def _judge(train, test, train_labels, test_labels):
  classes = np.unique(train_labels)
  if classes.size == 1:
    return (test_labels == classes[0]).astype(np.float64)
  from sklearn import linear_model  # takes most of a second
  probe = linear_model.LogisticRegression(
      C=1.0, class_weight='balanced', max_iter=_MAX_ITERATIONS)
  probe.fit(train, train_labels)
  if classes.size > 2:
    return (probe.predict(test) == test_labels).astype(np.float64)
  score = probe.decision_function(test)
  right = np.where(score > 0, classes[1], classes[0]) == test_labels
  return np.where(np.abs(score) < _TIE, .5, right)


def balanced(right: np.ndarray, labels: np.ndarray) -> float:
  """Mean over classes of the share classified rightly, in [0, 1]."""
  labels = np.asarray(labels)
  return float(np.mean([right[labels == c].mean() for c in np.unique(labels)]))


def membership(forget: np.ndarray, unseen: np.ndarray,
               forget_units: np.ndarray, unseen_units: np.ndarray, *,
               folds: int = FOLDS, seed: int = 0,
               ) -> tuple[np.ndarray, np.ndarray]:
  """Can a probe tell forget images from unseen ones, person-disjointly?

  Args:
    forget: features ``[n, d]``.
    unseen: features ``[m, d]``.
    forget_units: person of each, int ``[n]``.
    unseen_units: person of each, int ``[m]``, a numbering of its own.
    folds: see :func:`person_folds`.
    seed: of the folds.

  Returns:
    Out-of-fold correctness ``[n]`` and ``[m]``; the accuracy is the mean of
    their two means. Higher means that features still tell members.

  Raises:
    ValueError: see :func:`person_folds` and :func:`out_of_fold`.
  """
  sides = np.repeat([1, 0], [len(forget), len(unseen)])
  units = np.concatenate([
      np.asarray(forget_units),
      np.asarray(unseen_units) + 1 + np.max(forget_units)])
  right = out_of_fold(
      np.concatenate([forget, unseen]), sides,
      person_folds(units, sides, folds, seed))
  return right[sides == 1], right[sides == 0]


def permuted_membership(forget: np.ndarray, unseen: np.ndarray,
                        forget_units: np.ndarray, unseen_units: np.ndarray, *,
                        permutations: int, folds: int = FOLDS,
                        seed: int = 0) -> np.ndarray:
  """Accuracies of :func:`membership` when people swap sides at random.

  Returns:
    ``[permutations]``.
  """
  features = np.concatenate([forget, unseen])
  units = np.concatenate([
      np.asarray(forget_units),
      np.asarray(unseen_units) + 1 + np.max(forget_units)])
  people, place = np.unique(units, return_inverse=True)
  count = np.unique(forget_units).size
  rng = np.random.default_rng(seed)
  values = []
  for draw in range(permutations):
    chosen = np.isin(np.arange(len(people)), rng.permutation(len(people))[
        :count])
    sides = chosen[place].astype(np.int64)
    right = out_of_fold(
        features, sides, person_folds(units, sides, folds, seed + 1 + draw))
    values.append(balanced(right, sides))
  return np.array(values)


def people(features: np.ndarray, identity: np.ndarray, *, limit: int = 100,
           seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
  """Can a probe recognise the person from half of each person's images?

  Args:
    features: ``[n, d]``.
    identity: person of each ``[n]``, -1 unknown (left out).
    limit: most people, drawn at random; a chance guess is 1 / people.
    seed: of the halves and the draw.

  Returns:
    ``(rows, right)``: the images that took part and whether the probe trained
    on the other half of their person's images names the person.

  Raises:
    ValueError: if fewer than two people have two images.
  """
  identity = np.asarray(identity)
  half = halves(identity, seed)
  known = np.unique(identity[half >= 0])
  if len(known) < 2:
    raise ValueError(
        f'Expected at least 2 people with 2 images, got {len(known)}.')
  if len(known) > limit:
    known = np.random.default_rng([seed, 1]).choice(
        known, limit, replace=False)
  rows = np.flatnonzero(np.isin(identity, known) & (half >= 0))
  return rows, out_of_fold(features[rows], identity[rows], half[rows])


def labels_probe(features: np.ndarray, labels: np.ndarray, units: np.ndarray,
                 *, folds: int = FOLDS, seed: int = 0) -> np.ndarray:
  """Can a probe read the task's label on people it was not fitted to?

  Args:
    features: ``[n, d]``.
    labels: int class ``[n]``; images of -1 (unknown) are left out.
    units: person of each ``[n]``.
    folds: see :func:`person_folds`.
    seed: of the folds.

  Returns:
    Out-of-fold correctness ``[n]``, NaN where the label is unknown.

  Raises:
    ValueError: if fewer than two classes or people are left.
  """
  labels, units = np.asarray(labels), np.asarray(units)
  known = np.flatnonzero(labels >= 0)
  if np.unique(labels[known]).size < 2:
    raise ValueError('Expected at least 2 classes, got fewer.')
  right = np.full(len(labels), np.nan)
  fold = person_folds(
      units[known], np.zeros(len(known), np.int64), folds, seed)
  right[known] = out_of_fold(features[known], labels[known], fold)
  return right
