"""What labels mean: the loss, the margin and the correctness of one example.

Two kinds of task: ``multiclass`` (labels ``int32 [n]`` in ``[0, outputs)``) and
``multilabel`` (labels ``int32 [n, outputs]``, each 0 or 1, -1 = unknown and
masked everywhere). Every function here is pure, works on JAX arrays inside
``jit`` and casts logits to float32 first. The NumPy twins used on the host are
in ``metrics/per_example.py``; a test holds the two together.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from dlfd_jax.utils import validate

MULTICLASS = 'multiclass'
MULTILABEL = 'multilabel'
UNKNOWN = -1


@dataclasses.dataclass(frozen=True)
class Task:
  """A classification task.

  Attributes:
    kind: ``'multiclass'`` or ``'multilabel'``.
    names: one name per output: the classes, or the binary attributes.

  Raises:
    ValueError: if the kind is unknown, names are missing or repeated, or a
      multiclass task has fewer than two classes.
  """

  kind: str
  names: tuple[str, ...]

  def __post_init__(self) -> None:
    if self.kind not in (MULTICLASS, MULTILABEL):
      raise ValueError(
          f'Expected kind to be {MULTICLASS!r} or {MULTILABEL!r}, got '
          f'{self.kind!r}.')
    validate.texts('names of outputs', self.names)
    least = 2 if self.kind == MULTICLASS else 1
    if len(self.names) < least:
      raise ValueError(
          f'Expected at least {least} names for a {self.kind} task, got '
          f'{len(self.names)}.')
    if len(set(self.names)) != len(self.names):
      raise ValueError(f'Expected distinct names, got {self.names}.')

  @property
  def num_outputs(self) -> int:
    """Number of logits: classes, or attributes."""
    return len(self.names)

  @property
  def is_multilabel(self) -> bool:
    return self.kind == MULTILABEL


def _mean_over_known(values: jax.Array, labels: jax.Array) -> jax.Array:
  """Mean over the known attributes; 0 where none is known."""
  known = labels != UNKNOWN
  total = jnp.where(known, values, 0.0).sum(-1)
  return total / jnp.maximum(known.sum(-1), 1)


def _signed_logits(logits: jax.Array, labels: jax.Array) -> jax.Array:
  """``(2y - 1) z`` per attribute; 0 where the label is unknown."""
  return jnp.where(labels == UNKNOWN, 0.0, (2 * labels - 1) * logits)


def example_margin(task: Task, logits: jax.Array,
                   labels: jax.Array) -> jax.Array:
  r"""Logit-scaled confidence of the true label, any real number.

  .. math:: \phi = z_y - \log \sum_{c \ne y} e^{z_c}

  Multilabel: the mean over known attributes of ``(2y - 1) z``.

  Args:
    task: the task.
    logits: ``[n, outputs]``.
    labels: ``[n]`` or ``[n, outputs]``.

  Returns:
    ``[n]`` float32; higher means more confident in the true label.

  Source: Carlini et al. (2022), arXiv:2112.03570 (logit scaling).
  """
  logits = logits.astype(jnp.float32)
  if task.is_multilabel:
    return _mean_over_known(_signed_logits(logits, labels), labels)
  true = jax.nn.one_hot(labels, logits.shape[-1], dtype=bool)
  z_true = jnp.where(true, logits, 0.0).sum(-1)
  others = jax.nn.logsumexp(jnp.where(true, -jnp.inf, logits), axis=-1)
  return z_true - others


def example_loss(task: Task, logits: jax.Array, labels: jax.Array) -> jax.Array:
  r"""Cross-entropy per example in nats, at least 0.

  Multiclass: :math:`-\log p_y`. Multilabel: binary cross-entropy, mean over
  known attributes; 0 where none is known.

  Args:
    task: the task.
    logits: ``[n, outputs]``.
    labels: ``[n]`` or ``[n, outputs]``.

  Returns:
    ``[n]`` float32. Equal to ``softplus(-margin)``, which keeps its precision
    where ``logsumexp(z) - z_y`` underflows to 0.
  """
  logits = logits.astype(jnp.float32)
  if task.is_multilabel:
    losses = jax.nn.softplus(-_signed_logits(logits, labels))
    return _mean_over_known(losses, labels)
  return jax.nn.softplus(-example_margin(task, logits, labels))


def example_correct(task: Task, logits: jax.Array,
                    labels: jax.Array) -> jax.Array:
  """Correctness per example, in [0, 1].

  Multiclass: 1 if the largest logit is the true class's. Multilabel: the share
  of known attributes whose logit has the right sign; 0 where none is known.
  """
  if task.is_multilabel:
    right = ((logits > 0) == (labels == 1)).astype(jnp.float32)
    return _mean_over_known(right, labels)
  return (logits.argmax(-1) == labels).astype(jnp.float32)


def has_label(task: Task, labels: jax.Array) -> jax.Array:
  """1.0 where an example has at least one known label, else 0.0, ``[n]``."""
  if task.is_multilabel:
    return (labels != UNKNOWN).any(-1).astype(jnp.float32)
  return jnp.ones(labels.shape[0], jnp.float32)


def example_kl(task: Task, teacher: jax.Array, student: jax.Array,
               temperature: float = 1.0) -> jax.Array:
  r"""Divergence of a student's output from a teacher's, per example, in nats.

  .. math:: T^2 \sum_c p_c \log (p_c / q_c), \quad
     p = \mathrm{softmax}(t / T), \; q = \mathrm{softmax}(s / T)

  Multilabel: the mean over all attributes of the divergence between the two
  Bernoulli distributions; labels play no part, known or not. A uniform teacher
  has logits of 0.

  Args:
    task: the task.
    teacher: logits t, ``[n, outputs]``.
    student: logits s, ``[n, outputs]``.
    temperature: T, above 0.

  Returns:
    ``[n]`` float32, at least 0 up to rounding.

  Source: Hinton et al. (2015), arXiv:1503.02531.
  """
  teacher = teacher.astype(jnp.float32) / temperature
  student = student.astype(jnp.float32) / temperature
  p, log_p = _probabilities(task, teacher)
  _, log_q = _probabilities(task, student)
  return temperature**2 * _mean_of_sums(task, p * (log_p - log_q))


def example_entropy(task: Task, logits: jax.Array) -> jax.Array:
  """Entropy of each output in nats, ``[n]``; multilabel: mean of attributes."""
  p, log_p = _probabilities(task, logits.astype(jnp.float32))
  return _mean_of_sums(task, -p * log_p)


def _probabilities(task: Task, logits: jax.Array
                   ) -> tuple[jax.Array, jax.Array]:
  """Probabilities and their logarithms, ``[n, c]`` or ``[n, a, 2]``."""
  if task.is_multilabel:
    logits = jnp.stack([logits, jnp.zeros_like(logits)], -1)
  log_p = jax.nn.log_softmax(logits)
  return jnp.exp(log_p), log_p


def _mean_of_sums(task: Task, terms: jax.Array) -> jax.Array:
  sums = terms.sum(-1)
  return sums.mean(-1) if task.is_multilabel else sums
