"""ReGUn: forget images are answered as unseen images are.

With q_y the mean of the original's predictions on held-out images of class y,
and q the mean of q_y over the forget batch,

    min over theta of  mean KL(q || p_theta(x_f)) + lambda CE on retain.

Of an attribute q_y is conditioned on what it is in the forget image. A class
without held-out images, and an attribute that nobody knows, has the mean over
all of them.

With ``reference_per='class'`` each image has the q_y of its own class, whose
likeliest answer is that class wherever unseen images are mostly answered
rightly. Forget images then stay right: it lowers confidence, hardly accuracy.

Reads retain and forget with labels, and a part of val that is set aside for it
(``held_out``); cost: two passes over retain per epoch, and one over the
held-out images.

Source: Mirlach et al. (2026), arXiv:2603.11210, whose q is the mean over as
many held-out images as the forget batch has, drawn anew with its classes. Ours:
the mean over all held-out images of a class in place of those drawn, q per
class as a choice, lambda = 1, a forget batch as large as the retain batch in
every step, five epochs.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from scipy import special

from dlfd_jax import parallel, tasks, training as train
from dlfd_jax.methods import base, joint
from dlfd_jax.utils import memo, validate

PER = ('batch', 'class')
_TINY = 1e-6  # so that both logarithms are finite in float32


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReGUnConfig(base.HeldOutConfig):
  """ReGUn.

  Attributes:
    retain_weight: lambda of the cross-entropy on retain, at least 0.
    reference_per: ``'batch'``, one q for the forget batch, or ``'class'``, that
      of each image's class.

  Raises:
    ValueError: if a field is out of its range.
  """

  title = 'ReGUn'

  epochs: int = 5
  optimizer: train.OptimizerConfig = train.OptimizerConfig(learning_rate=0.01)
  retain_weight: float = 1.0
  reference_per: str = 'batch'

  def __post_init__(self) -> None:
    super().__post_init__()
    validate.number('retain_weight', self.retain_weight, 0)
    validate.one_of('reference_per', self.reference_per, PER)

  def plan(self, setting: base.Setting) -> base.Plan:
    """Joint steps towards what the original says of held-out images."""
    problem = setting.problem
    assert setting.held_out is not None  # by `reads_held_out`
    rows = setting.held_out.rows
    logits = setting.predictor(setting.original, rows).logits
    return base.Plan(
        steps={'refer': make_step(problem.model, problem.task, self)},
        batches=setting.pairs(self), passes=6,
        constants=setting.devices.share({'references': references(
            problem.task, logits, problem.dataset.labels[rows])}))


def references(task: tasks.Task, logits: np.ndarray,
               labels: np.ndarray) -> np.ndarray:
  """Logits of the mean prediction on each class of held-out images.

  Args:
    task: the task.
    logits: of the held-out images, ``[n, outputs]``.
    labels: of them.

  Returns:
    float32: ``[classes, classes]``, those of class y in row y; multilabel
    ``[3, attributes]``, those of an attribute that is 0, 1 or unknown.
  """
  logits = logits.astype(np.float64)

  def mean(log_p: np.ndarray, rows: np.ndarray) -> np.ndarray:
    log_p = log_p[rows] if rows.any() else log_p
    return special.logsumexp(log_p, axis=0) - np.log(len(log_p))

  if not task.is_multilabel:
    log_p = special.log_softmax(logits, axis=1)
    return np.array([mean(log_p, labels == y)
                     for y in range(task.num_outputs)], np.float32)
  yes, no = special.log_expit(logits), special.log_expit(-logits)
  return np.array([[
      mean(yes[:, a], rows) - mean(no[:, a], rows)
      for a, rows in enumerate((labels == value).T)]
                   for value in (0, 1, None)], np.float32)


def of_batch(task: tasks.Task, wanted: jax.Array, weights: jax.Array,
             axis_name: str | None) -> jax.Array:
  """Logits of the mean prediction over the forget rows of all devices.

  Args:
    task: the task.
    wanted: logits of the rows of this device, ``[b, outputs]``.
    weights: of these rows, ``[b]``.
    axis_name: device axis, or None.

  Returns:
    ``[outputs]``.
  """
  p = (jax.nn.sigmoid if task.is_multilabel else jax.nn.softmax)(wanted)
  total, count = parallel.sum_over_devices(
      ((weights[:, None] * p).sum(0), weights.sum()), axis_name)
  mean = jnp.clip(total / jnp.maximum(count, 1), _TINY, 1 - _TINY)
  return jnp.log(mean) - (jnp.log1p(-mean) if task.is_multilabel else 0.0)


@memo.one_for_equal
def make_step(model: nn.Module, task: tasks.Task,
              config: ReGUnConfig) -> parallel.StepFn:
  """A joint step; ``constants`` hold the :func:`references`."""
  def refer_step(state: train.TrainState, constants: Any, batch: Any, *,
                 axis_name: str | None = None) -> train.Stepped:
    retain, forget = train.read_pair(
        state, constants, batch, task, config.augment)
    forget = forget._replace(weights=batch.forget.mask)
    # The label -1, unknown, is the last row.
    wanted = constants['references'][(
        forget.labels, jnp.arange(task.num_outputs)) if task.is_multilabel
                                     else forget.labels]
    if config.reference_per == 'batch':
      wanted = jnp.broadcast_to(of_batch(
          task, wanted, forget.weights, axis_name), wanted.shape)
    return joint.descend(
        model, task, config, state, constants, retain, forget,
        lambda logits: tasks.example_kl(task, wanted, logits),
        name='forget_kl', retain_weight=config.retain_weight,
        axis_name=axis_name)

  return refer_step
