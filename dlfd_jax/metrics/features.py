r"""What frozen features hold: CKA, linear probes, silhouettes.

Linear centred kernel alignment says how alike two sets of features are. It does
not change under rotation, shift and scale of either side. The biased form is
far above 0 for unrelated features when there are not many more images than
features (:func:`cka_independent_floor`); the unbiased one is not, and leads.

Outputs can look forgotten while features do not (Kim et al. 2025,
arXiv:2503.06991). A probe is standardised, class-balanced logistic regression
(C = 1) judged on held-out images. Where the question is not who is shown, all
images of a person are held out together: a probe that may train on the person
it is tested on recognises the person and calls it the label.

References: Kornblith et al. (2019), arXiv:1905.00414; Song et al. (2012) and
Nguyen et al. (2021), arXiv:2010.15327, for the unbiased form of CKA.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence

import numpy as np
import threadpoolctl

from dlfd_jax.utils import validate

FOLDS = 5
_MAX_ITERATIONS = 5000
_NONE = 1e-12  # of the whole's
_TIE = 1e-9  # two classes whose scores differ by less are a tie: half right


class TooFewError(ValueError):
  """There are too few people, images or classes for a number of features."""


def cka_biased(x: np.ndarray, y: np.ndarray) -> float:
  r"""Linear CKA in [0, 1]; higher means more alike.

  .. math:: \|Y^T X\|_F^2 / (\|X^T X\|_F \|Y^T Y\|_F)

  with centred columns.

  Args:
    x: features of one model ``[n, p]``, n >= 4.
    y: features of another on the same images ``[n, q]``.

  Returns:
    NaN if a side is constant.

  Raises:
    ValueError: if rows do not match, are fewer than 4, or not finite.
  """
  return _cka(x, y, biased=True)


def cka_unbiased(x: np.ndarray, y: np.ndarray) -> float:
  """Linear CKA from unbiased HSIC: about 0 for unrelated features.

  1 for features that are equal up to rotation, shift and scale; it can be
  slightly below 0. Args, returns and errors as :func:`cka_biased`.
  """
  return _cka(x, y, biased=False)


def cka_independent_floor(n: int, features: int) -> float:
  """What the biased form gives for independent Gaussian features, p / (n + p).

  Args:
    n: images.
    features: per image, on both sides.

  Raises:
    ValueError: if a number is below 1.
  """
  if n < 1 or features < 1:
    raise ValueError(
        f'Expected n and features of at least 1, got {n} and {features}.')
  return features / (n + features)


def hsic(x: np.ndarray, y: np.ndarray, groups: Sequence[np.ndarray] = (), *,
         biased: bool = False) -> np.ndarray:
  """HSIC of linear kernels, up to a factor: of all images and without groups.

  Its sums are those of all images less those of the group, so that all groups
  together cost as much as the whole. Neither form changes with a shift of the
  features, so that a rest needs no centring of its own.

  Args:
    x: features of one model ``[n, p]``, n >= 4.
    y: features of another on the same images ``[n, q]``.
    groups: rows of each group, leaving at least 4 images.
    biased: the plain form; else the unbiased one, times n (n - 3).

  Returns:
    ``[1 + groups]``, the first of all images. Both sides are scaled to unit
    size, which a ratio does not show.

  Raises:
    ValueError: if rows do not match, are fewer than 4, or not finite.
  """
  x, y = _check_pair(x, y)
  whole = _Sums.of(x, y)
  return np.array([
      (sums.biased if biased else sums.unbiased)()
      for sums in (whole, *(whole.without(rows) for rows in groups))])


@dataclasses.dataclass(frozen=True, eq=False)
class _Sums:
  """What HSIC is made of.

  Attributes:
    x: features of the images, ``[n, p]``.
    y: likewise, ``[n, q]``.
    cross: ``x.T @ y``.
  """

  x: np.ndarray
  y: np.ndarray
  cross: np.ndarray

  @classmethod
  def of(cls, x: np.ndarray, y: np.ndarray) -> _Sums:
    return cls(x, y, x.T @ y)

  def without(self, rows: np.ndarray) -> _Sums:
    """Of all images but these."""
    return _Sums(np.delete(self.x, rows, axis=0),
                 np.delete(self.y, rows, axis=0),
                 self.cross - self.x[rows].T @ self.y[rows])

  def biased(self) -> float:
    centred = self.cross - np.outer(
        self.x.sum(0), self.y.sum(0)) / len(self.x)
    return float(np.square(centred).sum())

  def unbiased(self) -> float:
    """In O(n p q), with the kernels' diagonals set to 0.

    tr(K L) + 1'K1 1'L1 / ((n - 1) (n - 2)) - 2 / (n - 2) 1'K L 1.
    """
    x, y, n = self.x, self.y, len(self.x)
    own = np.square(x).sum(1), np.square(y).sum(1)
    rows = x @ x.sum(0) - own[0], y @ y.sum(0) - own[1]
    trace = np.square(self.cross).sum() - own[0] @ own[1]
    return float(
        trace + rows[0].sum() * rows[1].sum() / ((n - 1) * (n - 2))
        - 2 / (n - 2) * (rows[0] @ rows[1]))


def _cka(x: np.ndarray, y: np.ndarray, biased: bool) -> float:
  return float(cka_of(*(hsic(a, b, biased=biased)
                        for a, b in ((x, y), (x, x), (y, y))))[0])


def cka_of(both: np.ndarray, first: np.ndarray, second: np.ndarray
           ) -> np.ndarray:
  """CKA from HSIC of two models, and of each with itself.

  Args:
    both: from :func:`hsic`, ``[n]``, the first of all images.
    first: likewise, of the one model with itself.
    second: of the other.

  Returns:
    ``[n]``, NaN where a side is constant.
  """
  product = first * second
  # What rounding leaves of a variance that the group alone had is none.
  known = (product > 0) & (first > _NONE * first[0]) & (
      second > _NONE * second[0])
  return np.where(known, both / np.sqrt(np.where(known, product, 1.0)), np.nan)


def _check_pair(x: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
  """Centred float64, scaled to unit size, so that no product is extreme."""
  arrays = []
  for values in (x, y):
    values = validate.floats('features', values)
    if values.ndim != 2 or len(values) < 4 or not values.size:
      raise ValueError(
          'Expected features [n, p] of at least 4 images, got '
          f'{list(values.shape)}.')
    if not np.isfinite(values).all():
      raise ValueError('Expected finite features, got others.')
    centred = values - values.mean(0)
    size = np.sqrt(np.square(centred).mean())
    small = size <= 1e-9 * max(np.abs(values).max(), 1e-300)
    arrays.append(centred * 0 if small else centred / size)
  if len(arrays[0]) != len(arrays[1]):
    raise ValueError(
        f'Expected the same images on both sides, got {len(arrays[0])} and '
        f'{len(arrays[1])}.')
  return arrays


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
    ValueError: if ``folds`` < 2.
    TooFewError: if a side has fewer than 2 people.
  """
  if folds < 2:
    raise ValueError(f'Expected folds >= 2, got {folds}.')
  units, sides = np.asarray(units), np.asarray(sides)
  people = [np.unique(units[sides == side]) for side in np.unique(sides)]
  least = min(map(len, people))
  if least < 2:
    raise TooFewError(f'Expected at least 2 people a side, got {least}.')
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


def _standardise(train: np.ndarray,
                 test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Both with the training rows' mean and deviation; a constant gets scale 1.

  A feature that varies on no more than rounding is constant too.
  """
  mean, deviation = train.mean(0), train.std(0)
  size = np.abs(train).max(0)
  constant = deviation <= 1e-7 * size
  scale = np.where(constant, 1.0, deviation)
  alive = ~constant
  return ((train - mean) / scale * alive), ((test - mean) / scale * alive)


def _judge(train: np.ndarray, test: np.ndarray, train_labels: np.ndarray,
           test_labels: np.ndarray) -> np.ndarray:
  classes = np.unique(train_labels)
  if classes.size == 1:
    return (test_labels == classes[0]).astype(np.float64)
  from sklearn import linear_model  # takes most of a second
  probe = linear_model.LogisticRegression(
      C=1.0, class_weight='balanced', max_iter=_MAX_ITERATIONS)
  with warnings.catch_warnings():  # of people there may be many, by design
    warnings.filterwarnings('ignore', 'The number of unique classes')
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


def membership_probe(forget: np.ndarray, unseen: np.ndarray,
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
    TooFewError: see :func:`person_folds`.
  """
  sides = np.repeat([1, 0], [len(forget), len(unseen)])
  units = np.concatenate([
      np.asarray(forget_units),
      np.asarray(unseen_units) + 1 + np.max(forget_units)])
  right = out_of_fold(
      np.concatenate([forget, unseen]), sides,
      person_folds(units, sides, folds, seed))
  return right[sides == 1], right[sides == 0]


def permuted_membership_probe(
    forget: np.ndarray, unseen: np.ndarray, forget_units: np.ndarray,
    unseen_units: np.ndarray, *, permutations: int, folds: int = FOLDS,
    seed: int = 0) -> np.ndarray:
  """Accuracies of :func:`membership_probe` when people swap sides at random.

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


def people_probe(features: np.ndarray, identity: np.ndarray, *,
                 limit: int = 100, seed: int = 0,
                 ) -> tuple[np.ndarray, np.ndarray]:
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
    TooFewError: if fewer than two people have two images.
  """
  identity = np.asarray(identity)
  half = halves(identity, seed)
  known = np.unique(identity[half >= 0])
  if len(known) < 2:
    raise TooFewError(
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
    TooFewError: if fewer than two classes or people are left.
  """
  labels, units = np.asarray(labels), np.asarray(units)
  known = np.flatnonzero(labels >= 0)
  if np.unique(labels[known]).size < 2:
    raise TooFewError('Expected at least 2 classes, got fewer.')
  right = np.full(len(labels), np.nan)
  fold = person_folds(
      units[known], np.zeros(len(known), np.int64), folds, seed)
  right[known] = out_of_fold(features[known], labels[known], fold)
  return right


def silhouettes(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
  """Silhouette of each image for its class, ``[n]`` in [-1, 1].

  ``(b - a) / max(a, b)`` with a the mean Euclidean distance to the images of
  its own class and b the smallest mean distance to another class. Higher means
  clearer classes, 0 = between two, below 0 = nearer to another class; 0 for a
  class of one image. Features are taken as they are: a common scale, shift or
  rotation changes nothing.

  Args:
    features: ``[n, d]``, finite.
    labels: int class of each ``[n]``.

  Raises:
    ValueError: if lengths differ or a feature is not finite.
    TooFewError: if there are not at least two classes, one of them with two
      images.

  Reference: Rousseeuw (1987).
  """
  features = validate.floats('features', features)
  labels = validate.array('labels', labels)
  if (features.ndim != 2 or not features.shape[1]
      or labels.shape != features.shape[:1]):
    raise ValueError(
        f'Expected features [n, d] and labels [n], got {list(features.shape)} '
        f'and {list(labels.shape)}.')
  if not np.isfinite(features).all():
    raise ValueError('Expected finite features, got others.')
  classes = np.unique(labels).size
  if not 2 <= classes < labels.size:
    raise TooFewError(
        'Expected at least two classes and more images than classes, got '
        f'{classes} classes of {labels.size} images.')
  size = np.abs(features).max()
  if size == 0:
    return np.zeros(len(labels))
  from sklearn import metrics  # takes most of a second
  return metrics.silhouette_samples(features / size, labels)
