"""The train state, the optimiser and the supervised step."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import optax

from dlfd_jax import parallel
from dlfd_jax import tasks
from dlfd_jax.data import augment as augment_lib
from dlfd_jax.data import feed
from dlfd_jax.models import Variables

SCHEDULES = ('constant', 'cosine')


@flax.struct.dataclass
class TrainState:
  """What a step changes. Replicated and unstacked on every device.

  Attributes:
    step: int32, steps taken, skipped ones included.
    params: the model's parameters.
    batch_stats: running statistics of its BatchNorm layers.
    opt_state: the optimiser's state.
    key: typed key; every random draw folds the step and the row into it.
    skipped: int32, steps whose result was not finite and was dropped.
  """

  step: jax.Array
  params: Any
  batch_stats: Any
  opt_state: Any
  key: jax.Array
  skipped: jax.Array

  @property
  def variables(self) -> Variables:
    return {'params': self.params, 'batch_stats': self.batch_stats}


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
  """SGD as PyTorch does it: weight decay joins the gradient before momentum.

  Attributes:
    learning_rate: at the start, above 0.
    momentum: in [0, 1).
    weight_decay: of every parameter, at least 0.
    schedule: ``'constant'``, or ``'cosine'``: one half period from
      ``learning_rate`` at step 0 to 0 at the end of the run.
    clip_norm: largest global norm of a gradient, before weight decay; None =
      no clipping.

  Raises:
    ValueError: if a field is out of its range.
  """

  learning_rate: float = 0.01
  momentum: float = 0.9
  weight_decay: float = 5e-4
  schedule: str = 'constant'
  clip_norm: float | None = None

  def __post_init__(self):
    if self.learning_rate <= 0 or not math.isfinite(self.learning_rate):
      raise ValueError(
          f'Expected a learning_rate above 0, got {self.learning_rate}.')
    if not 0 <= self.momentum < 1:
      raise ValueError(f'Expected momentum in [0, 1), got {self.momentum}.')
    if self.weight_decay < 0:
      raise ValueError(f'Expected weight_decay >= 0, got {self.weight_decay}.')
    if self.schedule not in SCHEDULES:
      raise ValueError(
          f'Expected schedule in {SCHEDULES}, got {self.schedule!r}.')
    if self.clip_norm is not None and self.clip_norm <= 0:
      raise ValueError(f'Expected clip_norm above 0, got {self.clip_norm}.')

  def transform(self) -> optax.GradientTransformation:
    """Gradient to direction; the step multiplies it by the learning rate."""
    parts = []
    if self.clip_norm is not None:
      parts.append(optax.clip_by_global_norm(self.clip_norm))
    if self.weight_decay:
      parts.append(optax.add_decayed_weights(self.weight_decay))
    if self.momentum:
      parts.append(optax.trace(decay=self.momentum))
    return optax.chain(*parts) if parts else optax.identity()

  def rate(self, step: jax.typing.ArrayLike, num_steps: int) -> jax.Array:
    """Learning rate of ``step`` (from 0) in a run of ``num_steps``."""
    if self.schedule == 'constant':
      return jnp.float32(self.learning_rate)
    share = jnp.asarray(step, jnp.float32) / num_steps
    return self.learning_rate * 0.5 * (1 + jnp.cos(jnp.pi * share))


def create_state(variables: Variables, optimizer: OptimizerConfig,
                 key: jax.Array) -> TrainState:
  """A state at step 0 that starts from ``variables``, which it copies."""
  variables = jax.tree.map(jnp.array, dict(variables))
  return TrainState(
      step=jnp.int32(0), params=variables['params'],
      batch_stats=variables['batch_stats'],
      opt_state=optimizer.transform().init(variables['params']), key=key,
      skipped=jnp.int32(0))


def example_keys(state: TrainState, position: jax.Array,
                 stream: int = 0) -> jax.Array:
  """One key per row, from the step and the row's place in the global batch."""
  key = jax.random.fold_in(jax.random.fold_in(state.key, state.step), stream)
  return jax.vmap(lambda i: jax.random.fold_in(key, i))(position)


def update(state: TrainState, gradients: Any, batch_stats: Any,
           loss: jax.Array, optimizer: OptimizerConfig,
           num_steps: int) -> tuple[TrainState, jax.Array]:
  """One optimiser step; a result that is not finite is dropped and counted.

  Args:
    state: before the step.
    gradients: of the global loss.
    batch_stats: statistics after the forward pass.
    loss: the global loss, scalar.
    optimizer: the rule.
    num_steps: length of the run, for the schedule.

  Returns:
    The state after the step, and the norm of the gradient.
  """
  norm = optax.tree.norm(gradients)
  direction, opt_state = optimizer.transform().update(
      gradients, state.opt_state, state.params)
  rate = optimizer.rate(state.step, num_steps)
  params = jax.tree.map(lambda p, d: p - rate * d, state.params, direction)
  new = (params, batch_stats, opt_state)
  finite = jnp.isfinite(loss) & jnp.isfinite(optax.tree.norm(params))
  finite &= jnp.isfinite(norm) & jnp.isfinite(optax.tree.norm(batch_stats))
  old = (state.params, state.batch_stats, state.opt_state)
  params, batch_stats, opt_state = jax.tree.map(
      lambda n, o: jnp.where(finite, n, o), new, old)
  skipped = state.skipped + (~finite).astype(jnp.int32)
  return dataclasses.replace(
      state, step=state.step + 1, params=params, batch_stats=batch_stats,
      opt_state=opt_state, skipped=skipped), norm


def forward_loss(model: nn.Module, task: tasks.Task, params: Any,
                 batch_stats: Any, images: jax.Array, labels: jax.Array,
                 weights: jax.Array, *, train: bool, keys: jax.Array | None,
                 axis_name: str | None):
  """Weighted *sum* of losses on this device, with the new statistics.

  Returns:
    The sum, and ``(batch_stats, correct sum, Outputs)``.
  """
  outputs, new = model.apply(
      {'params': params, 'batch_stats': batch_stats}, images, train=train,
      mask=weights, keys=keys, axis_name=axis_name, mutable=['batch_stats'])
  losses = tasks.example_loss(task, outputs.logits, labels)
  correct = tasks.example_correct(task, outputs.logits, labels)
  total = jnp.where(weights > 0, losses * weights, 0.0).sum()
  right = jnp.where(weights > 0, correct * weights, 0.0).sum()
  return total, (new.get('batch_stats', batch_stats), right, outputs)


def supervised_update(model: nn.Module, task: tasks.Task, state: TrainState,
                      images: jax.Array, labels: jax.Array, weights: jax.Array,
                      *, optimizer: OptimizerConfig, num_steps: int,
                      live: bool, keys: jax.Array | None,
                      axis_name: str | None):
  """One descent step on the weighted cross-entropy of given images.

  Args:
    model: the classifier.
    task: the task.
    state: before the step.
    images: ``[b, h, w, 3]`` in [0, 1].
    labels: ``[b, ...]``.
    weights: ``[b]``; 0 = padding or not a member.
    optimizer: the rule.
    num_steps: length of the run.
    live: batch statistics and dropout; else frozen statistics, no dropout.
    keys: one per row, for dropout.
    axis_name: device axis, or None.

  Returns:
    The new state, and metrics as sums over the global batch.
  """
  weights = weights * tasks.has_label(task, labels)

  def loss_sum(params):
    return forward_loss(
        model, task, params, state.batch_stats, images, labels, weights,
        train=live, keys=keys, axis_name=axis_name)

  (loss, (batch_stats, correct, _)), gradients = jax.value_and_grad(
      loss_sum, has_aux=True)(state.params)
  gradients, loss, correct, count = parallel.sum_over_devices(
      (gradients, loss, correct, weights.sum()), axis_name)
  gradients = jax.tree.map(lambda g: g / jnp.maximum(count, 1.0), gradients)
  state, norm = update(
      state, gradients, batch_stats, loss, optimizer, num_steps)
  return state, {
      'loss_sum': loss, 'correct_sum': correct, 'count': count,
      'gradient_norm_sum': norm, 'steps': jnp.float32(1)}


def make_supervised_step(
    model: nn.Module, task: tasks.Task, optimizer: OptimizerConfig,
    num_steps: int, *, live: bool = True,
    augment: augment_lib.AugmentConfig | None = None) -> Callable[..., Any]:
  """The supervised step: ``(state, frozen, batch, *, axis_name)``.

  ``batch`` has ``index`` (or the rows), ``mask`` and ``position``, and may have
  ``weights``, which multiply the mask: membership of a model in an ensemble.
  """
  def train_step(state, frozen, batch, *, axis_name=None):
    images, labels = feed.read(frozen, batch)
    if augment is not None:
      images = augment_lib.augment(
          images, example_keys(state, batch['position'], 0), augment)
    weights = batch['mask'] * batch.get('weights', 1.0)
    return supervised_update(
        model, task, state, images, labels, weights, optimizer=optimizer,
        num_steps=num_steps, live=live,
        keys=example_keys(state, batch['position'], 1), axis_name=axis_name)

  return train_step
