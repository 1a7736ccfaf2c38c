"""Many small ridge-penalised logistic regressions at once.

The attacks fit the same tiny problem (one or two features, a few hundred
examples) for every fold, draw and permutation. One call of a general solver
costs about a millisecond; here all fits advance together through one damped
Newton iteration, to the optimum that scikit-learn's ``LogisticRegression`` (C =
1) defines.
"""

from __future__ import annotations

import numpy as np
from scipy import special

_MAX_ITERATIONS = 200
_TOLERANCE = 1e-3  # largest step of a logit at the end: its square is left
_FULL_STEP = .1  # below it Newton's step needs no shortening


def fit(features: np.ndarray,
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
  logits = fit(scaled, labels, weights, penalty)
  held_by = np.argmin(train, axis=0)
  held = logits[:, held_by, np.arange(logits.shape[-1])]
  return (held > 0) == (labels == 1)
