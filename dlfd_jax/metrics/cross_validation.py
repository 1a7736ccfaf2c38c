"""Cross-validated logistic regression on one or two features, all fits at once.

The attacks fit the same tiny problem (a few hundred examples) for every fold,
draw and permutation. One call of a general solver costs about a millisecond;
here all fits advance together through one damped Newton iteration, to the
optimum that scikit-learn's ``LogisticRegression`` (C = 1) defines.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special

_MAX_ITERATIONS = 200
_TOLERANCE = 1e-3  # largest step of a logit at the end: its square is left
_FULL_STEP = .1  # below it Newton's step needs no shortening


@dataclasses.dataclass(frozen=True)
class HeldOut:
  """Out-of-fold results of a cross-validated attack, per example.

  Attributes:
    members: how often each member was classified rightly, float ``[n]``.
    members_tried: how often each was held out, float ``[n]``.
    non_members: as ``members``, ``[m]``.
    non_members_tried: as ``members_tried``, ``[m]``.
    balanced: whether both sides count alike, whatever their sizes.
  """

  members: np.ndarray
  members_tried: np.ndarray
  non_members: np.ndarray
  non_members_tried: np.ndarray
  balanced: bool = False

  @property
  def accuracy(self) -> float:
    """Share of right predictions, in [0, 1]."""
    if self.balanced:
      return float(self.members.sum() / self.members_tried.sum() / 2
                   + self.non_members.sum() / self.non_members_tried.sum() / 2)
    right = self.members.sum() + self.non_members.sum()
    return float(
        right / (self.members_tried.sum() + self.non_members_tried.sum()))


def held_out_correct(features: np.ndarray, labels: np.ndarray,
                     train: np.ndarray, others: np.ndarray | None = None,
                     ) -> tuple[np.ndarray, np.ndarray]:
  """Whether each held-out example is classified rightly, standardised per fold.

  Each feature is standardised with the mean and deviation of the fold's
  training rows. Instead of transforming the data, the ridge penalty of each
  coefficient is set to the feature's training variance: the same optimum. A
  feature that is constant on the training rows has scale 1, as in scikit-learn.

  Args:
    features: ``[draws, n, p]``, finite.
    labels: 0 or 1, ``[n]``.
    train: bool ``[splits, n]``; every example is held out of exactly one split.
    others: features of examples in no split ``[draws, k, p]``; None = none.

  Returns:
    bool ``[draws, n]``, and the share of splits that call each of ``others`` a
    member ``[draws, k]``.
  """
  centre = np.median(features, axis=1, keepdims=True)
  size = size_of(features - centre, 1)
  size = np.where(size > 0, size, 1.0)
  scaled = (features - centre) / size
  weights = train.astype(np.float64)
  count = weights.sum(-1)[:, None]
  mean = weights @ scaled / count
  square = weights @ np.square(scaled) / count
  variance = square - np.square(mean)
  penalty = np.where(variance > 1e-12 * square, variance, 1.0)
  predict = _fit(scaled, labels, weights, penalty)
  logits = predict(scaled)
  held_by = np.argmin(train, axis=0)
  held = logits[:, held_by, np.arange(logits.shape[-1])]
  if others is None:
    others = features[:, :0]
  return (held > 0) == (labels == 1), (
      predict((others - centre) / size) > 0).mean(axis=1)


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
  self-concordance), also on separable data. A longer one is taken where it
  leads lower: one example far from all others would hold up the rest.

  Args:
    features: ``[draws, n, p]``, finite.
    labels: 0 or 1, ``[n]``, shared by all fits, or ``[draws, 1, n]``.
    weights: ``[splits, n]`` or ``[draws, splits, n]``: 1 for the examples a
      split trains on, else 0.
    penalty: positive ``[draws, splits, p]``, the weights kappa; the intercept
      is free. Steps are solved in units of their roots, which keeps the systems
      well conditioned whatever the scale of a feature.

  Returns:
    ``[draws, splits, n]``: each fit's logit of every example, held out or not.

  Raises:
    RuntimeError: if a fit has not converged after 200 steps.
  """
  return _fit(features, labels, weights, penalty)(features)


def _fit(features: np.ndarray, labels: np.ndarray, weights: np.ndarray,
         penalty: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
  """See :func:`fit_logistic`; the logits of any features ``[draws, k, p]``."""
  draws, n, p = features.shape
  # The intercept is free, and a penalty scales with its feature: neither
  # changes the optimum, but rounding would where features are far from 0 or 1.
  centre = np.median(features, axis=1, keepdims=True)
  size = size_of(features - centre, 1)
  size = np.where(size > 1e-100, size, 1.0)  # else the penalty is infinite
  penalty = penalty / np.square(size)

  def designed(features: np.ndarray) -> np.ndarray:
    scaled = (features - centre) / size
    return np.concatenate([scaled, np.ones((*scaled.shape[:2], 1))], axis=-1)

  design = designed(features)
  products = (design[..., :, None] * design[..., None, :]).reshape(
      draws, n, (p + 1)**2)
  edge = np.ones(penalty.shape[:-1] + (1,))
  ridge = np.concatenate([penalty, 0 * edge], axis=-1)
  unit = np.concatenate([np.sqrt(penalty), edge], axis=-1)
  units = unit[..., :, None] * unit[..., None, :]
  diagonal = np.diag(np.append(np.ones(p), 1e-12))
  transposed = design.swapaxes(-1, -2)

  def objective(theta: np.ndarray, logits: np.ndarray) -> np.ndarray:
    losses = np.logaddexp(0.0, np.where(labels > 0, -logits, logits))
    return (weights * losses).sum(-1) + (ridge * theta**2).sum(-1) / 2

  theta = np.zeros_like(ridge)
  logits = np.zeros((draws, weights.shape[-2], n))
  for _ in range(_MAX_ITERATIONS):
    chance = special.expit(logits)
    gradient = (weights * (chance - labels)) @ design + ridge * theta
    hessian = (weights * (chance * (1 - chance))) @ products
    hessian = hessian.reshape(units.shape) / units + diagonal
    step = np.linalg.solve(hessian, (gradient / unit)[..., None])[..., 0] / unit
    change = step @ transposed
    delta = (np.abs(change) * weights).max(-1, keepdims=True)
    length: Any = 1.0
    if delta.max() >= _FULL_STEP:
      safe = np.log1p(delta) / np.maximum(delta, _FULL_STEP)
      safe = np.where(delta < _FULL_STEP, 1.0, safe)
      tried = np.stack([safe, np.sqrt(safe), np.ones_like(safe)])
      values = objective(theta - tried * step, logits - tried * change)
      best = np.argmin(values, axis=0)[None, ..., None]
      length = np.take_along_axis(tried, best, axis=0)[0]
    theta -= length * step
    logits -= length * change
    if delta.max() < _TOLERANCE:
      return lambda others: theta @ designed(others).swapaxes(-1, -2)
  raise RuntimeError(
      f'The logistic attack did not converge in {_MAX_ITERATIONS} steps.')


def size_of(centred: np.ndarray, axis: int) -> np.ndarray:
  """Root mean square along an axis that is kept; no square overflows."""
  largest = np.abs(centred).max(axis, keepdims=True)
  unit = np.where(largest > 0, largest, 1.0)
  return unit * np.sqrt(np.square(centred / unit).mean(axis, keepdims=True))
