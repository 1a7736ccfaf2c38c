"""ReGUn: forget images are answered as unseen images of their class are.

With q_y the mean of the original's predictions on held-out images of class y,

    min over theta of  mean KL(q_y(x_f) || p_theta(x_f)) + lambda CE on retain.

Of an attribute q is conditioned on what it is in the forget image. A class
without held-out images, and an attribute that nobody knows, has the mean over
all of them. As most held-out images of a class are answered rightly, so are
forget images in the end: it lowers confidence more than accuracy.

Reads retain and forget with labels, and a part of val that is set aside for it
(``held_out``); cost: two passes over retain per epoch, and one over the
held-out images.

Source: Mirlach et al. (2026), arXiv:2603.11210, whose q is drawn for every
forget batch from as many held-out images of the same classes: the mean over a
batch instead of a class. Ours: q per class, lambda = 1, a forget batch as large
as the retain batch in every step, five epochs.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from scipy import special

from dlfd_jax import parallel, tasks, training as train
from dlfd_jax.methods import base, joint
from dlfd_jax.utils import memo, validate


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReGUnConfig(base.HeldOutConfig):
  """ReGUn.

  Attributes:
    retain_weight: lambda of the cross-entropy on retain, at least 0.

  Raises:
    ValueError: if a field is out of its range.
  """

  title = 'ReGUn'

  epochs: int = 5
  optimizer: train.OptimizerConfig = train.OptimizerConfig(learning_rate=0.01)
  retain_weight: float = 1.0

  def __post_init__(self) -> None:
    super().__post_init__()
    validate.number('retain_weight', self.retain_weight, 0)

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


@memo.one_for_equal
def make_step(model: nn.Module, task: tasks.Task,
              config: ReGUnConfig) -> parallel.StepFn:
  """A joint step; ``constants`` hold the :func:`references`."""
  def refer_step(state: train.TrainState, constants: Any, batch: Any, *,
                 axis_name: str | None = None) -> train.Stepped:
    retain = train.read(state, constants, batch.retain, task, config.augment)
    forget = train.read(
        state, constants, batch.forget, task, config.augment, stream=2)
    forget = forget._replace(weights=batch.forget.mask)
    # The label -1, unknown, is the last row.
    wanted = constants['references'][(
        forget.labels, jnp.arange(task.num_outputs)) if task.is_multilabel
                                     else forget.labels]
    return joint.descend(
        model, task, config, state, constants, retain, forget,
        lambda logits: tasks.example_kl(task, wanted, logits),
        name='forget_kl', retain_weight=config.retain_weight,
        axis_name=axis_name)

  return refer_step
