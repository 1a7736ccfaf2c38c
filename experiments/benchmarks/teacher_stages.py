"""Joint steps of restore whose teacher takes no step of its own.

They stand beside methods as teachers: what forgets less well than these does
not earn its passes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from dlfd_jax import models, tasks, training as train
from dlfd_jax.methods import base, restore
from dlfd_jax.metrics import per_example

_FRESH = 0  # purpose of the initialisation's key


@dataclasses.dataclass(frozen=True, kw_only=True)
class Nobody(restore.StageConfig):
  """No teacher: retain alone, forget images in the batch statistics."""

  title = 'no teacher'

  weight: float = 0.0
  dynamic: bool = False

  def plan(self, setting: base.Setting) -> base.Plan:
    return super().plan(
        dataclasses.replace(setting, teacher=setting.original))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Untrained(restore.StageConfig):
  """A network as it is before any training."""

  title = 'an untrained network'

  def plan(self, setting: base.Setting) -> base.Plan:
    problem = setting.problem
    fresh = models.init(
        problem.model, setting.key(_FRESH), problem.dataset.image_size)
    return super().plan(dataclasses.replace(
        setting, teacher=setting.devices.place(dict(fresh))))


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassMeans(restore.StageConfig):
  """What the original answers on unseen images, the mean of each class.

  The images are those of val, which the live attack reads as well.
  """

  title = 'class means of unseen outputs'

  def plan(self, setting: base.Setting) -> base.Plan:
    problem = setting.problem
    rows = problem.splits.val
    means = class_means(
        problem.task, setting.predictor(setting.original, rows).logits,
        problem.dataset.labels[rows])
    return super().plan(dataclasses.replace(setting, teacher=(
        setting.devices.share({'log_means': np.log(means)}))))

  def answers(self, model: nn.Module, teacher: Mapping[str, Any],
              rows: train.Rows) -> jax.Array:
    return jnp.take(teacher['log_means'], rows.labels, axis=0)


def class_means(task: tasks.Task, logits: np.ndarray,
                labels: np.ndarray) -> np.ndarray:
  """Mean probabilities of each class, float32 ``[classes, classes]``.

  A class without an image has the mean of all images.

  Raises:
    ValueError: if the task has several labels an image.
  """
  if task.is_multilabel:
    raise ValueError('Expected one label an image for means of classes, got '
                     f'{list(task.names)}.')
  answers = per_example.probabilities(task, logits)
  return np.stack([
      answers[labels == label if (labels == label).any() else slice(None)]
      .mean(0) for label in range(task.num_outputs)]).astype(np.float32)
