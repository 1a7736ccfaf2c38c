"""Cross-validated logistic-regression attacks on one score per example.

As many members as non-members, a multiple of the number of folds, so that a
constant score is right exactly half of the time; standardised inside the folds.

An attack fits the same tiny problem (one or two features, a few hundred
examples) for every fold, draw and permutation. One call of a general solver
costs about a millisecond; here all fits advance together through one damped
Newton iteration, to the optimum that scikit-learn's ``LogisticRegression`` (C =
1) defines.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy import special

from dlfd_jax.metrics import ranks

_CHUNK = 30_000  # logits held at once by the batched fits: they stay in cache
_MAX_ITERATIONS = 200
_TOLERANCE = 1e-3  # largest step of a logit at the end: its square is left
_FULL_STEP = .1  # below it Newton's step needs no shortening


def fit_logistic(features: np.ndarray,
        labels: np.ndarray,
        weights: np.ndarray,
        penalty: np.ndarray) -> np.ndarray:
  r"""Logits of all fits at their optimum.

  .. math:: \min_\theta \sum_i w_i \log(1 + e^{-(2y_i - 1) t_i})
            + \tfrac12 \sum_j \kappa_j \theta_j^2, \quad
            t_i = \theta_0 + \sum_j \theta_j x_{ij}

  The step is Newton's, shortened by :math:`\log(1 + \delta) / \delta` while
  :math:`\delta`, the largest change of a weighted logit, is not small: this
  never diverges on logistic losses (Sun and Tran-Dinh, 2019, generalised
  self-concordance), also on separable data.

  Args:
    features: ``[draws, n, p]``, finite.
    labels: 0 or 1, ``[n]``, shared by all fits.
    weights: ``[splits, n]``: 1 for the examples a split trains on, else 0.
    penalty: positive ``[draws, splits, p]``, the weights kappa; the intercept
      is free. Steps are solved in units of their roots, which keeps the systems
      well conditioned whatever the scale of a feature.

  Returns:
    ``[draws, splits, n]``: each fit's logit of every example, held out or not.

  Raises:
    RuntimeError: if a fit has not converged after 200 steps.
  """
  draws, n, p = features.shape
  design = np.concatenate([features, np.ones((draws, n, 1))], axis=-1)
  products = (design[..., :, None] * design[..., None, :]).reshape(
      draws, n, (p + 1)**2)
  edge = np.ones(penalty.shape[:-1] + (1,))
  ridge = np.concatenate([penalty, 0 * edge], axis=-1)
  unit = np.concatenate([np.sqrt(penalty), edge], axis=-1)
  units = unit[..., :, None] * unit[..., None, :]
  diagonal = np.diag(np.append(np.ones(p), 1e-12))
  transposed = design.swapaxes(-1, -2)
  theta = np.zeros_like(ridge)
  logits = np.zeros((draws, len(weights), n))
  for _ in range(_MAX_ITERATIONS):
    chance = special.expit(logits)
    gradient = (weights * (chance - labels)) @ design + ridge * theta
    hessian = (weights * (chance * (1 - chance))) @ products
    hessian = hessian.reshape(units.shape) / units + diagonal
    step = np.linalg.solve(hessian, (gradient / unit)[..., None])[..., 0] / unit
    change = step @ transposed
    delta = (np.abs(change) * weights).max(-1, keepdims=True)
    length = np.log1p(delta) / np.maximum(delta, _FULL_STEP)
    length = np.where(delta < _FULL_STEP, 1.0, length)
    theta -= length * step
    logits -= length * change
    if delta.max() < _TOLERANCE:
      return logits
  raise RuntimeError(
      f'The logistic attack did not converge in {_MAX_ITERATIONS} steps.')


def held_out_correct(features: np.ndarray, labels: np.ndarray,
                     train: np.ndarray) -> np.ndarray:
  """Whether each held-out example is classified rightly, standardised per fold.

  Each feature is standardised with the mean and deviation of the fold's
  training rows. Instead of transforming the data, the ridge penalty of each
  coefficient is set to the feature's training variance: the same optimum. A
  feature that is constant on the training rows has scale 1, as in scikit-learn.

  Args:
    features: ``[draws, n, p]``, finite.
    labels: 0 or 1, ``[n]``.
    train: bool ``[splits, n]``; every example is held out of exactly one split.

  Returns:
    bool ``[draws, n]``.
  """
  centred = features - np.median(features, axis=1, keepdims=True)
  size = np.sqrt(np.square(centred).mean(axis=1, keepdims=True))
  scaled = centred / np.where(size > 0, size, 1.0)
  weights = train.astype(np.float64)
  count = weights.sum(-1)[:, None]
  mean = weights @ scaled / count
  square = weights @ np.square(scaled) / count
  variance = square - np.square(mean)
  penalty = np.where(variance > 1e-12 * square, variance, 1.0)
  logits = fit_logistic(scaled, labels, weights, penalty)
  held_by = np.argmin(train, axis=0)
  held = logits[:, held_by, np.arange(logits.shape[-1])]
  return (held > 0) == (labels == 1)


@dataclasses.dataclass(frozen=True)
class HeldOut:
  """Out-of-fold results of a cross-validated attack, per example.

  Attributes:
    members: how often each member was classified rightly, float ``[n]``.
    members_tried: how often each was held out, float ``[n]``.
    non_members: as ``members``, ``[m]``.
    non_members_tried: as ``members_tried``, ``[m]``.
  """

  members: np.ndarray
  members_tried: np.ndarray
  non_members: np.ndarray
  non_members_tried: np.ndarray

  @property
  def accuracy(self) -> float:
    """Share of right predictions, in [0, 1]."""
    right = self.members.sum() + self.non_members.sum()
    return float(
        right / (self.members_tried.sum() + self.non_members_tried.sum()))


def held_out(members: np.ndarray,
             non_members: np.ndarray,
             *,
             draws: int = 20,
             splits: int = 10,
             seed: int = 0,
             two_sided: bool = False) -> HeldOut:
  """The per-example results behind ``attack.balanced_accuracy``.

  An interval of the accuracy resamples these, never the data before the
  cross-validation: copies of one example would sit in both folds.

  Args:
    members: scores ``[n]``, n >= 2.
    non_members: scores ``[m]``, m >= 2.
    draws: random cuts to equal sizes, each with its own folds.
    splits: folds; as many as examples where a side has fewer.
    seed: of cuts and folds.
    two_sided: whether the squared score is a second feature.

  Raises:
    ValueError: if a side has fewer than 2 scores or one is not finite, or
      ``draws`` < 1 or ``splits`` < 2.
  """
  members = ranks.check_scores('members', members)
  non_members = ranks.check_scores('non-members', non_members)
  for name, value, least in (('draws', draws, 1), ('splits', splits, 2)):
    if value < least:
      raise ValueError(f'Expected {name} >= {least}, got {value}.')
  smaller = min(members.size, non_members.size)
  if smaller < 2:
    raise ValueError(
        'Expected at least 2 members and 2 non-members, got '
        f'{members.size} and {non_members.size}.')
  splits = min(splits, smaller)
  size = splits * (smaller // splits)
  rng = np.random.default_rng(seed)
  pick = _random_rows(rng, members.size, draws)[:, :size]
  other = _random_rows(rng, non_members.size, draws)[:, :size]
  scores = np.concatenate([members[pick], non_members[other]], axis=1)
  right = _cross_validate(scores, splits, two_sided).astype(np.float64)
  return HeldOut(
      np.bincount(pick.ravel(), right[:, :size].ravel(), members.size),
      np.bincount(pick.ravel(), minlength=members.size).astype(np.float64),
      np.bincount(other.ravel(), right[:, size:].ravel(), non_members.size),
      np.bincount(other.ravel(), minlength=non_members.size).astype(np.float64))


def _random_rows(rng: np.random.Generator, n: int, rows: int) -> np.ndarray:
  """Independent random orders of ``range(n)``, ``[rows, n]``."""
  return rng.permuted(np.tile(np.arange(n), (rows, 1)), axis=1)


def _cross_validate(scores: np.ndarray, splits: int,
                    two_sided: bool) -> np.ndarray:
  """Held-out correctness of rows of shuffled scores, members first.

  Args:
    scores: ``[draws, 2 size]``: ``size`` members, then as many non-members,
      each in random order; ``size`` is a multiple of ``splits``.
    splits: folds.
    two_sided: whether the squared score is a second feature.

  Returns:
    bool ``[draws, 2 size]``.
  """
  size = scores.shape[1] // 2
  labels = np.repeat([1.0, 0.0], size)
  fold = np.arange(2 * size) % size % splits
  train = fold != np.arange(splits)[:, None]
  features = scores[..., None]
  if two_sided:
    features = np.concatenate([features, np.square(features)], axis=-1)
  rows = max(1, _CHUNK // (splits * scores.shape[1]))
  return np.concatenate([
      held_out_correct(features[i:i + rows], labels, train)
      for i in range(0, len(features), rows)])
