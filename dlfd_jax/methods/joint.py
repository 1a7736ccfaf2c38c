"""Joint steps: a retain batch and a forget batch in one forward pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from dlfd_jax import tasks, training as train
from dlfd_jax.methods import base


def descend(model: nn.Module, task: tasks.Task, config: base.MethodConfig,
            state: train.TrainState, constants: Any, retain: train.Rows,
            forget: train.Rows, loss_of: Callable[[jax.Array], jax.Array], *,
            name: str, axis_name: str | None,
            weight: jax.typing.ArrayLike = 1.0,
            retain_weight: float = 1.0, counted: jax.Array | None = None
            ) -> train.Stepped:
  """A descent step on cross-entropy on retain plus a loss on forget.

  Of both the mean over the rows of all devices that count.

  Args:
    model: the classifier.
    task: the task.
    config: its ``optimizer`` and ``train_mode`` count.
    state: before the step.
    constants: hold ``num_steps``.
    retain: this device's rows.
    forget: likewise; their labels are ``loss_of``'s business.
    loss_of: logits of the forget rows to a loss of each, ``[b]``.
    name: of that loss in the log.
    axis_name: device axis, or None.
    weight: of the loss on forget.
    retain_weight: of the cross-entropy.
    counted: weights of the forget rows in batch statistics, ``[b]``; rows of
      weight 0 are no part of them, but normalised by them. None = their own.
  """
  both = train.Rows(
      jnp.concatenate([retain.images, forget.images]), retain.labels,
      jnp.concatenate(
          [retain.weights, forget.weights if counted is None else counted]),
      jnp.concatenate([retain.keys, forget.keys]))
  size = len(retain.images)

  def local_loss(params: Any) -> Any:
    outputs, batch_stats = train.forward(
        model, params, state.batch_stats, both, train=config.train_mode,
        axis_name=axis_name)
    metrics = train.classified(task, outputs.logits[:size], retain)
    kept = train.mean(metrics.rows['loss'], retain.weights, axis_name)
    gone = train.mean(
        train.weighted_sum(loss_of(outputs.logits[size:]), forget.weights),
        forget.weights, axis_name)
    return retain_weight * kept + weight * gone, (
        batch_stats, metrics.replace(step={name: gone}))

  return train.descend(state, local_loss, config.optimizer,
                       constants['num_steps'], axis_name=axis_name)
