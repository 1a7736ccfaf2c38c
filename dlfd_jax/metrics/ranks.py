"""The ROC curve of weighted scores, and what can be read from it.

A score is always "higher = more member-like". Every function takes the scores
of members ``[n]`` and of non-members ``[m]``; weights may have a leading axis
(one row per bootstrap replicate), and all rows share one sort, which is what
makes 2000 replicates cheap.
"""

from __future__ import annotations

import numpy as np

from dlfd_jax.utils import validate


def check_scores(name: str, scores: np.ndarray) -> np.ndarray:
  """Scores as a float64 vector.

  Raises:
    ValueError: if they are no vector, empty, or not finite.
  """
  scores = validate.floats(name, scores)
  if scores.ndim != 1 or not scores.size:
    raise ValueError(
        f'Expected {name} to be a vector of at least one score, got shape '
        f'{list(scores.shape)}.')
  if not np.isfinite(scores).all():
    raise ValueError(
        f'Expected {name} to be finite, got {int((~np.isfinite(scores)).sum())}'
        f' of {scores.size} that are not.')
  return scores


def roc(members: np.ndarray,
        non_members: np.ndarray,
        member_weights: np.ndarray | None = None,
        non_member_weights: np.ndarray | None = None,
        ) -> tuple[np.ndarray, np.ndarray]:
  """The ROC curve of the rules "score >= t", one point per distinct score.

  Args:
    members: scores ``[n]``.
    non_members: scores ``[m]``.
    member_weights: non-negative ``[..., n]``; None = all 1.
    non_member_weights: non-negative ``[..., m]``; None = all 1.

  Returns:
    ``(fpr, tpr)``, each ``[..., points]`` in [0, 1], both rising from 0 (no
    score reaches t) to 1. Tied scores enter together. A row whose weights are
    all 0 is NaN.

  Raises:
    ValueError: if a side is empty or not finite.

  Example:
    >>> fpr, tpr = roc([2., 1.], [1., 0.])
    >>> print(fpr, tpr)
    [0.  0.  0.5 1. ] [0.  0.5 1.  1. ]
  """
  members = check_scores('members', members)
  non_members = check_scores('non-members', non_members)
  scores = np.concatenate([members, non_members])
  order = np.argsort(-scores, kind='stable')
  descending = scores[order]
  ends = np.append(np.flatnonzero(np.diff(descending)), scores.size - 1)
  place = np.empty(scores.size, np.int64)
  place[order] = np.arange(scores.size)
  shares = []  # of each side's weight at or above each distinct score
  for places, weights in ((place[members.size:], non_member_weights),
                          (place[:members.size], member_weights)):
    if weights is None:
      weights = np.ones(places.size)
    spread = np.zeros(weights.shape[:-1] + (scores.size + 1,))
    spread[..., places + 1] = weights
    total = np.cumsum(spread, axis=-1)[..., np.append(0, ends + 1)]
    last = total[..., -1:]
    shares.append(np.divide(
        total, last, out=np.full(total.shape, np.nan), where=last > 0))
  return shares[0], shares[1]


def area(fpr: np.ndarray, tpr: np.ndarray) -> np.ndarray:
  """Area under ROC curves: P(member > non-member) + P(equal) / 2, ``[...]``."""
  return np.trapezoid(tpr, fpr, axis=-1)


def largest_tpr(fpr: np.ndarray, tpr: np.ndarray, limit: float) -> np.ndarray:
  """The largest TPR among the rules with an FPR of at most ``limit``."""
  return np.where(fpr <= limit * (1 + 1e-9), tpr, 0.0).max(axis=-1)


def largest_gap(fpr: np.ndarray, tpr: np.ndarray) -> np.ndarray:
  """The Kolmogorov-Smirnov distance, sup of |TPR - FPR|, in [0, 1]."""
  return np.abs(tpr - fpr).max(axis=-1)


def matching_weights(member_keys: np.ndarray,
                     non_member_keys: np.ndarray,
                     member_weights: np.ndarray | None = None,
                     non_member_weights: np.ndarray | None = None,
                     ) -> tuple[np.ndarray, np.ndarray]:
  r"""Weights that give both sides the same class counts.

  With :math:`n_c, m_c` the weighted counts of class c, each member of c gets
  :math:`\min(n_c, m_c) / n_c` and each non-member :math:`\min(n_c, m_c) / m_c`.
  The AUC with these weights is the expectation of the AUC after drawing
  :math:`\min(n_c, m_c)` of each class from both sides at random, because the
  two sides are drawn independently: the limit of infinitely many draws.

  Args:
    member_keys: class of each member, int ``[n]``.
    non_member_keys: class of each non-member, int ``[m]``.
    member_weights: ``[..., n]`` multiplicities; None = all 1.
    non_member_weights: ``[..., m]`` multiplicities; None = all 1.

  Returns:
    ``(member, non-member)`` weights, ``[..., n]`` and ``[..., m]``; all 0 if
    the sides share no class.
  """
  classes, key = np.unique(
      np.concatenate([member_keys, non_member_keys]), return_inverse=True)
  one_hot = np.eye(len(classes))[key]
  cut = len(member_keys)
  w = np.ones(cut) if member_weights is None else member_weights
  v = np.ones(len(key) - cut) if non_member_weights is None else (
      non_member_weights)
  n, m = w @ one_hot[:cut], v @ one_hot[cut:]
  least = np.minimum(n, m)
  return (w * _ratio(least, n)[..., key[:cut]],
          v * _ratio(least, m)[..., key[cut:]])


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
  """``part / whole``; 0 where ``whole`` is 0."""
  return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
