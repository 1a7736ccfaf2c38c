"""How different two models' answers to the same images are.

Single-label rows are distributions over classes; multilabel rows hold one
probability per attribute, and the distance is the mean over attributes
(activation distance: the norm of the whole row). Everything is per example,
float64, without an added epsilon.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from dlfd_jax import tasks
from dlfd_jax.metrics import distributions
from dlfd_jax.utils import validate

LOG_2 = math.log(2)
_ROUNDING = 1e-3  # of a sum of probabilities in float32 or less


def js(task: tasks.Task, p: np.ndarray, q: np.ndarray) -> np.ndarray:
  """Jensen-Shannon divergence of each example, nats, in [0, log 2].

  Higher means farther apart; 0 only for equal answers, log 2 for disjoint ones
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
    return distributions.js_divergence(_pairs(p), _pairs(q)).mean(axis=-1)
  return distributions.js_divergence(p, q)


def _pairs(p):
  return np.stack([1 - p, p], axis=-1)


def _check(p, q):
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


def _logits(task, first, second):
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


def _kl(log_r, log_p):
  return np.maximum((np.exp(log_r) * (log_r - log_p)).sum(axis=-1), 0.0)


def agreement(task: tasks.Task, logits: np.ndarray,
              other: np.ndarray) -> np.ndarray:
  """Whether two models give an example the same label, ``[n]`` in [0, 1].

  Multilabel: the share of attributes with the same answer. Higher means nearer.

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
  """Likeness of each answer to a random network's, ``[n]`` in [0, 1].

  One minus the Jensen-Shannon divergence in bits; its mean over forget is the
  zero retrain forgetting score. 1 = the same answers. The aim is the retrained
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
