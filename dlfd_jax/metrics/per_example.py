"""What the logits of one example say about its true label, in float64.

The NumPy twins of ``dlfd_jax.tasks`` and three further scores. Logits are read
as float32; everything after is float64 and starts from the margin, so that no
probability is ever formed, floored or taken from 1: on memorised examples
``logsumexp(z) - z_y`` is 0 in float32 and ``log(p + 1e-45)`` stops near -103,
and either makes ties that move an attack's AUC.

A multilabel example's value is the mean over its known attributes, and 0 where
none is known (``has_label`` says which; leave those out of every statistic).
With ``per_attribute=True`` it is ``[n, attributes]``, NaN at unknown labels.
"""

from __future__ import annotations

import numpy as np
from scipy import special

from dlfd_jax import tasks
from dlfd_jax.utils import validate


def check(task: tasks.Task, logits: np.ndarray,
          labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Logits as float64 values of float32 numbers, and labels as int64.

  Raises:
    ValueError: if shapes do not fit the task, a logit is not finite, or a label
      is none of the task's.
  """
  logits = validate.floats('logits', logits, np.float32).astype(np.float64)
  labels = validate.array('labels', labels)
  if labels.size and labels.dtype.kind not in 'iub':
    raise ValueError(f'Expected integer labels, got {labels.dtype}.')
  labels = labels.astype(np.int64)
  if logits.ndim != 2 or logits.shape[1] != task.num_outputs:
    raise ValueError(
        f'Expected logits [n, {task.num_outputs}], got {list(logits.shape)}.')
  shape = logits.shape if task.is_multilabel else logits.shape[:1]
  if labels.shape != shape:
    raise ValueError(
        f'Expected labels {list(shape)}, got {list(labels.shape)}.')
  if not np.isfinite(logits).all():
    bad = int((~np.isfinite(logits).all(axis=1)).sum())
    raise ValueError(
        f'Expected finite logits, got {bad} of {len(logits)} rows that are '
        'not.')
  low, high = (-1, 1) if task.is_multilabel else (0, task.num_outputs - 1)
  if labels.size and not low <= labels.min() <= labels.max() <= high:
    raise ValueError(f'Expected labels in [{low}, {high}], got some in '
                     f'[{labels.min()}, {labels.max()}].')
  return logits, labels


def has_label(task: tasks.Task, labels: np.ndarray) -> np.ndarray:
  """Whether an example has at least one known label, bool ``[n]``."""
  labels = np.asarray(labels)
  if task.is_multilabel:
    return (labels != tasks.UNKNOWN).any(axis=-1)
  return np.ones(len(labels), bool)


def _softplus(x: np.ndarray) -> np.ndarray:
  return np.logaddexp(0.0, x)


def _class_margins(logits: np.ndarray) -> np.ndarray:
  r"""``z_c - logsumexp of the other logits`` of every class, ``[n, c]``.

  With it :math:`p_c = \sigma(\phi_c)`, :math:`\log p_c = -s(-\phi_c)` and
  :math:`\log(1 - p_c) = -s(\phi_c)`, s the softplus.
  """
  edge = np.full((len(logits), 1), -np.inf)
  below = np.logaddexp.accumulate(
      np.concatenate([edge, logits[:, :-1]], axis=1), axis=1)
  above = np.logaddexp.accumulate(
      np.concatenate([edge, logits[:, :0:-1]], axis=1), axis=1)[:, ::-1]
  return logits - np.logaddexp(below, above)


def _known_mean(values: np.ndarray, labels: np.ndarray,
                per_attribute: bool) -> np.ndarray:
  known = labels != tasks.UNKNOWN
  if per_attribute:
    return np.where(known, values, np.nan)
  total = np.where(known, values, 0.0).sum(axis=-1)
  return total / np.maximum(known.sum(axis=-1), 1)


def _signed(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
  return (2 * labels - 1) * logits


def margin(task: tasks.Task, logits: np.ndarray, labels: np.ndarray,
           *, per_attribute: bool = False) -> np.ndarray:
  r"""Logit-scaled confidence of the true label, any real number.

  .. math:: \phi = z_y - \log \sum_{c \ne y} e^{z_c}

  Multilabel: ``(2y - 1) z``. Higher = more confident in the true label.

  Args:
    task: the task.
    logits: ``[n, outputs]``.
    labels: ``[n]``, or ``[n, outputs]`` with -1 unknown.
    per_attribute: see the module's docstring; multilabel only.

  Returns:
    float64 ``[n]`` (or ``[n, outputs]``).

  Raises:
    ValueError: if shapes do not fit the task, or a logit is not finite.

  Source: Carlini et al. (2022), arXiv:2112.03570 (logit scaling).
  """
  logits, labels = check(task, logits, labels)
  if task.is_multilabel:
    return _known_mean(_signed(logits, labels), labels, per_attribute)
  true = np.arange(task.num_outputs) == labels[:, None]
  others = special.logsumexp(np.where(true, -np.inf, logits), axis=-1)
  return logits[true] - others


def loss(task: tasks.Task, logits: np.ndarray, labels: np.ndarray,
         *, per_attribute: bool = False) -> np.ndarray:
  """Cross-entropy in nats, ``softplus(-margin)``, at least 0.

  Multilabel: binary cross-entropy. Args, returns and errors as ``margin``.

  Example:
    >>> task = tasks.Task('multiclass', ('a', 'b', 'c'))
    >>> print(loss(task, [[2., 1., 0.]], [0]).round(6))
    [0.407606]
  """
  if task.is_multilabel:
    logits, labels = check(task, logits, labels)
    values = _softplus(-_signed(logits, labels))
    return _known_mean(values, labels, per_attribute)
  return _softplus(-margin(task, logits, labels))


def entropy(task: tasks.Task, logits: np.ndarray, labels: np.ndarray,
            *, per_attribute: bool = False) -> np.ndarray:
  r"""Entropy of the prediction in nats, :math:`-\sum_c p_c \log p_c`.

  In [0, log c]; multilabel: binary entropy of each attribute's sigmoid, in
  [0, log 2]. Labels only say which attributes count. Args, returns and errors
  as ``margin``.
  """
  logits, labels = check(task, logits, labels)
  if task.is_multilabel:
    values = (special.expit(logits) * _softplus(-logits)
              + special.expit(-logits) * _softplus(logits))
    return _known_mean(values, labels, per_attribute)
  margins = _class_margins(logits)
  return (special.expit(margins) * _softplus(-margins)).sum(axis=-1)


def modified_entropy(task: tasks.Task, logits: np.ndarray, labels: np.ndarray,
                     *, per_attribute: bool = False) -> np.ndarray:
  r"""Entropy that also knows the true label, in nats, at least 0.

  .. math:: -(1 - p_y) \log p_y - \sum_{c \ne y} p_c \log(1 - p_c)

  Multilabel: :math:`-2 (1 - \sigma(t)) \log \sigma(t)` with ``t = (2y - 1) z``,
  the same for two classes. 0 = sure and right. Args, returns and errors as
  ``margin``.

  Reference: Song and Mittal (2021), arXiv:2003.10595.
  """
  logits, labels = check(task, logits, labels)
  if task.is_multilabel:
    signed = _signed(logits, labels)
    values = 2 * special.expit(-signed) * _softplus(-signed)
    return _known_mean(values, labels, per_attribute)
  margins = _class_margins(logits)
  true = np.arange(task.num_outputs) == labels[:, None]
  of_true = special.expit(-margins) * _softplus(-margins)
  of_others = special.expit(margins) * _softplus(margins)
  return np.where(true, of_true, of_others).sum(axis=-1)


def likelihood(task: tasks.Task, logits: np.ndarray,
               labels: np.ndarray) -> np.ndarray:
  """Probability of the true label(s), ``[n]`` in [0, 1].

  Multilabel: the product over known attributes; 1 where none is known. Args and
  errors as ``margin``.
  """
  if task.is_multilabel:
    values = loss(task, logits, labels, per_attribute=True)
    return np.exp(-np.nansum(values, axis=-1))
  return np.exp(-loss(task, logits, labels))


def probabilities(task: tasks.Task, logits: np.ndarray) -> np.ndarray:
  """Softmax, or the sigmoid of each attribute, float64 ``[n, outputs]``."""
  logits = validate.floats('logits', logits, np.float32).astype(np.float64)
  if logits.ndim != 2 or logits.shape[1] != task.num_outputs:
    raise ValueError(
        f'Expected logits [n, {task.num_outputs}], got {list(logits.shape)}.')
  if not np.isfinite(logits).all():
    raise ValueError('Expected finite logits, got others.')
  if task.is_multilabel:
    return special.expit(logits)
  return special.softmax(logits, axis=-1)
