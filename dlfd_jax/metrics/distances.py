"""Distances between outputs, between distributions of them, and to retraining.

Of two samples of losses or mean predictions (KS, RF-JSD); of two models'
outputs on the same images (JS, KL, agreement, activation distance, ZRF), per
example in float64 and without an added epsilon; and the signed gaps to the
retrained models' mean that average gap and ToW sum up.

Single-label rows are distributions over classes. Multilabel rows hold one
probability per attribute, and the distance is the mean over attributes
(activation distance: the norm of the whole row).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import special

from dlfd_jax import tasks
from dlfd_jax.metrics import ranks
from dlfd_jax.utils import validate

# Mean of Kolmogorov's distribution, sqrt(pi / 2) log 2 = .8687.
_KOLMOGOROV_MEAN = math.sqrt(math.pi / 2) * math.log(2)
LOG_2 = math.log(2)
_ROUNDING = 1e-3  # of a sum of probabilities in float32 or less
Number = Any  # a float, or an array of replicates


def ks(member_losses: np.ndarray, non_member_losses: np.ndarray) -> float:
  """Kolmogorov-Smirnov distance of two samples of losses, in [0, 1].

  Higher means more different, in either direction.

  Raises:
    ValueError: if a side is empty or not finite.
  """
  return float(ranks.largest_gap(*ranks.roc(member_losses, non_member_losses)))


def ks_null(n_members: int, n_non_members: int) -> float:
  """Asymptotic mean distance of two samples of one continuous distribution."""
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


def js(task: tasks.Task, p: np.ndarray, q: np.ndarray) -> np.ndarray:
  """Jensen-Shannon divergence of each example, nats, in [0, log 2].

  Higher means farther apart; 0 only for equal outputs, log 2 for disjoint ones
  whatever the number of classes.

  Args:
    task: says whether rows are distributions or separate attributes.
    p: probabilities ``[n, outputs]``.
    q: probabilities ``[n, outputs]``.

  Returns:
    ``[n]``.

  Raises:
    ValueError: if the shapes differ or a value is outside [0, 1].

  Example:
    >>> task = tasks.Task('multiclass', ('a', 'b'))
    >>> print(js(task, [[.9, .1]], [[.1, .9]]).round(6))
    [0.368064]
  """
  p, q = _check(p, q)
  for values in (p, q):
    if not task.is_multilabel and np.abs(values.sum(-1) - 1).max(
        initial=0.0) > _ROUNDING:
      raise ValueError('Expected probabilities that sum to 1 in every row, got '
                       'others.')
  if task.is_multilabel:
    return js_divergence(_pairs(p), _pairs(q)).mean(axis=-1)
  return js_divergence(p, q)


def _pairs(p: np.ndarray) -> np.ndarray:
  return np.stack([1 - p, p], axis=-1)


def _check(p: np.ndarray, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  p, q = (validate.floats('probabilities', values) for values in (p, q))
  if p.ndim != 2 or p.shape != q.shape:
    raise ValueError(
        'Expected two arrays [n, outputs] of one shape, got '
        f'{list(p.shape)} and {list(q.shape)}.')
  for values in (p, q):
    if not ((values >= 0) & (values <= 1 + 1e-9)).all():
      raise ValueError('Expected probabilities in [0, 1], got others.')
  return p, q


def kl(task: tasks.Task, reference_logits: np.ndarray,
       logits: np.ndarray) -> np.ndarray:
  r"""Kullback-Leibler divergence of each example, nats, at least 0.

  .. math:: \sum_c r_c (\log r_c - \log p_c)

  with r the reference (retrained) model. Both come as logits, because the
  logarithm of a probability that underflowed is infinite.

  Args:
    task: the task.
    reference_logits: of the retrained model ``[n, outputs]``.
    logits: of the model to judge ``[n, outputs]``.

  Returns:
    ``[n]``; higher means farther from the reference.

  Raises:
    ValueError: if the shapes differ or a logit is not finite.
  """
  given = _logits(task, reference_logits, logits)
  if task.is_multilabel:
    r, p = (np.stack([special.log_expit(-z), special.log_expit(z)], axis=-1)
            for z in given)
    return _kl(r, p).mean(axis=-1)
  r, p = (special.log_softmax(z, axis=-1) for z in given)
  return _kl(r, p)


def _logits(task: tasks.Task, first: np.ndarray,
            second: np.ndarray) -> list[np.ndarray]:
  """Both as float64 values of float32 numbers; shapes and values checked."""
  given = [validate.floats('logits', z, np.float32).astype(np.float64)
           for z in (first, second)]
  if given[0].ndim != 2 or given[0].shape != given[1].shape or (
      given[0].shape[1] != task.num_outputs):
    raise ValueError(
        f'Expected two arrays [n, {task.num_outputs}] of one shape, got '
        f'{list(given[0].shape)} and {list(given[1].shape)}.')
  if not all(np.isfinite(z).all() for z in given):
    raise ValueError('Expected finite logits, got others.')
  return given


def _kl(log_r: np.ndarray, log_p: np.ndarray) -> np.ndarray:
  return np.maximum((np.exp(log_r) * (log_r - log_p)).sum(axis=-1), 0.0)


def agreement(task: tasks.Task, logits: np.ndarray,
              other: np.ndarray) -> np.ndarray:
  """Whether two models give an example the same label, ``[n]`` in [0, 1].

  Multilabel: the share of attributes with the same label. Higher means nearer.

  Raises:
    ValueError: if the shapes differ or a logit is not finite.
  """
  logits, other = _logits(task, logits, other)
  if task.is_multilabel:
    return ((logits > 0) == (other > 0)).mean(axis=-1)
  return (logits.argmax(-1) == other.argmax(-1)).astype(np.float64)


def activation_distance(p: np.ndarray, q: np.ndarray) -> np.ndarray:
  r"""Euclidean distance of the probabilities, ``[n]``.

  In [0, sqrt 2], multilabel in [0, sqrt(attributes)]. Higher means farther.

  Raises:
    ValueError: if the shapes differ or a value is outside [0, 1].
  """
  p, q = _check(p, q)
  return np.linalg.norm(p - q, axis=-1)


def normalised(distance: float, floor: float, ceiling: float,
               error: float = 0.0) -> float | None:
  """A distance on the scale from another retrained model to the original.

  Args:
    distance: between the unlearned and the retrained models.
    floor: between two retrained models.
    ceiling: between the original and the retrained models.
    error: standard error of ``ceiling - floor``.

  Returns:
    ``(distance - floor) / (ceiling - floor)``: 0 = as another retrained model,
    1 = as the original; None if ceiling and floor are within two errors.

  Example:
    >>> print(round(normalised(.05, .02, .12), 6))
    0.3
  """
  width = ceiling - floor
  if width <= 0 or width < 2 * error:
    return None
  return (distance - floor) / width


def zrf(task: tasks.Task, p: np.ndarray, random: np.ndarray) -> np.ndarray:
  """Likeness of each output to a random network's, ``[n]`` in [0, 1].

  One minus the Jensen-Shannon divergence in bits; its mean over forget is the
  zero retrain forgetting score. 1 = the same outputs. The aim is the retrained
  model's value, usually below 1; above it means over-forgetting.

  Args:
    task: the task.
    p: probabilities ``[n, outputs]``.
    random: those of a randomly initialised network ``[n, outputs]``.

  Raises:
    ValueError: if the shapes differ or a value is outside [0, 1].

  Reference: Chundawat et al. (2023), arXiv:2205.08096.
  """
  return 1 - js(task, p, random) / LOG_2


def average_gap(forget: Number, retain: Number, test: Number,
                mia: Number) -> Number:
  """Mean of the four absolute gaps, in [0, 1]; higher means farther away.

  Args:
    forget: gap of the accuracy on forget, in [-1, 1].
    retain: gap of the accuracy on retain.
    test: gap of the accuracy on test.
    mia: gap of the attack AUC.

  Returns:
    A number or an array, as given.

  Raises:
    ValueError: if a gap is outside [-1, 1].

  Example:
    >>> print(round(average_gap(.10, -.02, .03, .05), 6))
    0.05
  """
  gaps = [_size('forget', forget), _size('retain', retain),
          _size('test', test), _size('mia', mia)]
  return sum(gaps) / len(gaps)


def tow(first: Number, retain: Number, test: Number) -> Number:
  """Tug of war, in [0, 1]; higher means nearer to retraining.

  Args:
    first: gap of the accuracy on forget; for ToW-MIA that of the attack AUC.
    retain: gap of the accuracy on retain.
    test: gap of the accuracy on test.

  Raises:
    ValueError: if a gap is outside [-1, 1].

  Example:
    >>> print(round(tow(.10, .02, -.03), 6))
    0.85554

  Reference: Zhao et al. (2024), arXiv:2406.01257.
  """
  return ((1 - _size('first', first)) * (1 - _size('retain', retain))
          * (1 - _size('test', test)))


def _size(name: str, gap: Number) -> Number:
  size = np.abs(gap)
  if np.any(size > 1):
    raise ValueError(
        f'Expected the gap {name} in [-1, 1], got one of {np.max(size)}.')
  return size
