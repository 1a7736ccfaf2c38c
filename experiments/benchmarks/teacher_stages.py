"""Joint steps of restore whose teacher takes no step of its own.

They stand beside methods as teachers: what forgets less well than these does
not earn its passes. For tasks of one label an image.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from dlfd_jax import models, training as train
from dlfd_jax.methods import base, regun, restore

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

  The images are set aside for it: live attack and selection read the others.
  """

  title = 'class means of unseen outputs'

  @property
  def reads_held_out(self) -> float:
    return base.HeldOutConfig.held_out

  def plan(self, setting: base.Setting) -> base.Plan:
    problem = setting.problem
    assert setting.held_out is not None  # by `reads_held_out`
    rows = setting.held_out.rows
    means = regun.references(
        problem.task, setting.predictor(setting.original, rows).logits,
        problem.dataset.labels[rows])
    return super().plan(dataclasses.replace(
        setting, teacher=setting.devices.share({'means': means})))

  def answers(self, model: nn.Module, teacher: Mapping[str, Any],
              rows: train.Rows) -> jax.Array:
    return jnp.take(teacher['means'], rows.labels, axis=0)
