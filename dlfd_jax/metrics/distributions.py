"""Distances between what a model says of forget data and of unseen data."""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from dlfd_jax import tasks
from dlfd_jax.metrics import ranks

# Mean of Kolmogorov's law, sqrt(pi / 2) log 2 = .8687.
_KOLMOGOROV_MEAN = math.sqrt(math.pi / 2) * math.log(2)


def ks(member_losses: np.ndarray, non_member_losses: np.ndarray) -> float:
  """Kolmogorov-Smirnov distance of two samples of losses, in [0, 1].

  Higher means more different, in either direction.

  Raises:
    ValueError: if a side is empty or not finite.
  """
  return float(ranks.largest_gap(*ranks.roc(member_losses, non_member_losses)))


def ks_null(n_members: int, n_non_members: int) -> float:
  """Expected distance of two samples of one continuous law (asymptotic)."""
  return _KOLMOGOROV_MEAN * math.sqrt(1 / n_members + 1 / n_non_members)


def js_divergence(p: np.ndarray, q: np.ndarray) -> np.ndarray:
  r"""Jensen-Shannon divergence over the last axis, nats, in [0, log 2].

  .. math:: \tfrac12 \sum_c p_c \log(p_c / m_c) + q_c \log(q_c / m_c), \quad
            m = (p + q) / 2

  Example:
    >>> print(js_divergence(np.array([.9, .1]), np.array([.1, .9])).round(6))
    0.368064
  """
  middle = (p + q) / 2
  return .5 * (special.rel_entr(p, middle)
               + special.rel_entr(q, middle)).sum(axis=-1)


def mean_predictions(task: tasks.Task, probabilities: np.ndarray,
                     labels: np.ndarray,
                     weights: np.ndarray | None = None) -> np.ndarray:
  """The mean prediction on each class.

  Args:
    task: the task.
    probabilities: softmax or sigmoids, ``[n, outputs]``.
    labels: ``[n]``, or ``[n, outputs]`` with -1 unknown.
    weights: non-negative ``[..., n]``; None = all 1.

  Returns:
    ``[..., classes, classes]``; multilabel: one row ``(1 - p, p)`` for each
    attribute and value, ``[..., 2 attributes, 2]``. NaN for classes without
    weight.
  """
  labels = np.asarray(labels)
  weights = np.ones(len(labels)) if weights is None else weights
  groups = []
  for output in range(task.num_outputs):
    if not task.is_multilabel:
      groups.append((labels == output, probabilities))
      continue
    chance = probabilities[:, output]
    pair = np.stack([1 - chance, chance], axis=-1)
    groups += [(labels[:, output] == value, pair) for value in (0, 1)]
  means = []
  for rows, values in groups:
    part = weights[..., rows]
    total = part.sum(axis=-1)[..., None]
    means.append(np.divide(
        part @ values[rows], total,
        out=np.full(total.shape[:-1] + values.shape[-1:], np.nan),
        where=total > 0))
  return np.stack(means, axis=-2)


def rf_jsd(forget_means: np.ndarray, unseen_means: np.ndarray) -> np.ndarray:
  """Retrain-free Jensen-Shannon divergence, nats, in [0, log 2].

  The mean over the classes that both sets have of the divergence between the
  scored model's mean prediction on the forget images of a class and the
  original model's on the unseen ones. Higher means that the forget predictions
  look less like unseen data; perfect is the retrained model's value, above 0.

  Args:
    forget_means: ``mean_predictions`` of the scored model on forget.
    unseen_means: ``mean_predictions`` of the original model on unseen data.

  Returns:
    ``[...]``; NaN where no class is in both.

  Reference: Spartalis et al. (2025), arXiv:2503.18314.
  """
  values = js_divergence(forget_means, unseen_means)
  there = ~np.isnan(values)
  count = there.sum(axis=-1)
  return np.divide(
      np.where(there, values, 0.0).sum(axis=-1), count,
      out=np.full(count.shape, np.nan), where=count > 0)


def draws_like(keys: np.ndarray, wanted: np.ndarray, draws: int,
               rng: np.random.Generator) -> np.ndarray:
  """Multiplicities of samples with the class counts of another set.

  Classes are drawn without replacement where there are enough examples, else
  with replacement; a class that is not there at all is left out.

  Args:
    keys: int class of the examples to draw from ``[n]``.
    wanted: int classes whose counts are copied ``[m]``.
    draws: samples.
    rng: the generator.

  Returns:
    float64 ``[draws, n]``, each row summing to m if every class is there.
  """
  counts = np.zeros((draws, len(keys)))
  for key, size in zip(*np.unique(wanted, return_counts=True)):
    places = np.flatnonzero(keys == key)
    if not places.size:
      continue
    for row in counts:
      pick = rng.choice(places, size, replace=size > places.size)
      np.add.at(row, pick, 1.0)
  return counts
