"""The train state, the supervised step and a step on any objective."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import optax

from dlfd_jax import optimizer as optimizer_lib, parallel, tasks
from dlfd_jax.data import augment as augment_lib, feed
from dlfd_jax.models import Variables
from dlfd_jax.utils import memo

OptimizerConfig = optimizer_lib.OptimizerConfig


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
    extra: arrays of a method's own that its steps change.
  """

  step: jax.Array
  params: Any
  batch_stats: Any
  opt_state: Any
  key: jax.Array
  skipped: jax.Array
  extra: Any = ()

  @property
  def variables(self) -> Variables:
    return {'params': self.params, 'batch_stats': self.batch_stats}


def create_state(variables: Variables, optimizer: OptimizerConfig,
                 key: jax.Array,
                 trainable: Sequence[str] | None = None) -> TrainState:
  """A state at step 0 that starts from ``variables``, which it copies.

  Args:
    variables: where to start.
    optimizer: its state covers what is trained, and nothing else.
    key: typed key of the run.
    trainable: top-level names of the parameters that will be trained; None =
      all.
  """
  variables = jax.tree.map(jnp.array, dict(variables))
  return TrainState(
      step=jnp.int32(0), params=variables['params'],
      batch_stats=variables['batch_stats'],
      opt_state=optimizer.transform().init(
          part(variables['params'], trainable)),
      key=key, skipped=jnp.int32(0))


def part(params: Any, names: Sequence[str] | None) -> Any:
  """The parameters under these top-level names; all if None."""
  return params if names is None else {name: params[name] for name in names}


def example_keys(state: TrainState, position: jax.Array,
                 stream: int = 0) -> jax.Array:
  """One key per row, from the step and the row's place in the global batch."""
  key = jax.random.fold_in(jax.random.fold_in(state.key, state.step), stream)
  return jax.vmap(lambda i: jax.random.fold_in(key, i))(position)


def update(state: TrainState, gradients: Any, batch_stats: Any,
           loss: jax.Array, optimizer: OptimizerConfig,
           num_steps: jax.typing.ArrayLike) -> tuple[TrainState, jax.Array]:
  """One optimiser step; a result that is not finite is dropped and counted.

  Args:
    state: before the step.
    gradients: of the global loss, for the top-level names that are trained: the
      others stay as they are, without weight decay or momentum.
    batch_stats: statistics after the forward pass.
    loss: the global loss, scalar.
    optimizer: the rule.
    num_steps: length of the run, for the schedule.

  Returns:
    The state after the step, and the norm of the gradient.
  """
  norm = optax.tree.norm(gradients)
  trained = part(state.params, list(gradients))
  direction, opt_state = optimizer.transform().update(
      gradients, state.opt_state, trained)
  rate = optimizer.rate(state.step, num_steps)
  params = {**state.params, **jax.tree.map(
      lambda p, d: p - rate * d, trained, direction)}
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


def forward(model: nn.Module, params: Any, batch_stats: Any, images: jax.Array,
            weights: jax.Array, *, train: bool, keys: jax.Array | None,
            axis_name: str | None, trainable: Sequence[str] | None = None):
  """The model's answer and the new statistics.

  With ``trainable`` the modules under the other top-level names run in
  evaluation mode: their statistics stay, and they do not drop out.

  Returns:
    ``(Outputs, batch_stats)``.
  """
  def still(call, args, kwargs, context):
    path = context.module.path
    if 'train' in kwargs and path and path[0] not in moving:
      kwargs = {**kwargs, 'train': False}
    return call(*args, **kwargs)

  moving = part(params, trainable)
  with (contextlib.nullcontext() if trainable is None
        else nn.intercept_methods(still)):
    outputs, new = model.apply(
        {'params': params, 'batch_stats': batch_stats}, images, train=train,
        mask=weights, keys=keys, axis_name=axis_name, mutable=['batch_stats'])
  return outputs, new.get('batch_stats', batch_stats)


def answer(model: nn.Module, variables: Variables,
           images: jax.Array) -> jax.Array:
  """Logits in evaluation mode, ``[n, outputs]``: those of a teacher."""
  outputs: Any = model.apply(variables, images, train=False)
  return outputs.logits


def weighted_sum(values: jax.Array, weights: jax.Array) -> jax.Array:
  """Sum over rows ``[n]``; a row of weight 0 counts nothing, even if NaN."""
  return jnp.where(weights > 0, values * weights, 0.0).sum()


def forward_loss(model: nn.Module, task: tasks.Task, params: Any,
                 batch_stats: Any, images: jax.Array, labels: jax.Array,
                 weights: jax.Array, *, train: bool, keys: jax.Array | None,
                 axis_name: str | None,
                 trainable: Sequence[str] | None = None):
  """Weighted *sum* of losses on this device, with the new statistics.

  Returns:
    The sum, and ``(batch_stats, correct sum, Outputs)``.
  """
  outputs, batch_stats = forward(
      model, params, batch_stats, images, weights, train=train, keys=keys,
      axis_name=axis_name, trainable=trainable)
  loss = weighted_sum(
      tasks.example_loss(task, outputs.logits, labels), weights)
  correct = weighted_sum(
      tasks.example_correct(task, outputs.logits, labels), weights)
  return loss, (batch_stats, correct, outputs)


def descend(state: TrainState, share: Callable[[Any], Any],
            optimizer: OptimizerConfig, num_steps: jax.typing.ArrayLike, *,
            axis_name: str | None,
            trainable: Sequence[str] | None = None
            ) -> tuple[TrainState, dict[str, jax.Array]]:
  """One descent step on any objective that is a sum over devices.

  Args:
    state: before the step.
    share: of the parameters: this device's share of the global objective, and
      ``(batch_stats, sums)``; ``sums`` is a dict of scalars.
    optimizer: the rule.
    num_steps: length of the run, for the schedule.
    axis_name: device axis, or None.
    trainable: top-level names of the parameters that move; None = all. No
      gradient is computed below the lowest of them.

  Returns:
    The new state, and ``sums`` over the devices with ``gradient_norm_sum`` and
    ``steps``.
  """
  def moving(subset):
    return share({**state.params, **subset})

  (value, (batch_stats, sums)), gradients = jax.value_and_grad(
      moving, has_aux=True)(dict(part(state.params, trainable)))
  gradients, value, sums = parallel.sum_over_devices(
      (gradients, value, sums), axis_name)
  state, norm = update(
      state, gradients, batch_stats, value, optimizer, num_steps)
  return state, {**sums, 'gradient_norm_sum': norm, 'steps': jnp.float32(1)}


def supervised_update(model: nn.Module, task: tasks.Task, state: TrainState,
                      images: jax.Array, labels: jax.Array, weights: jax.Array,
                      *, optimizer: OptimizerConfig,
                      num_steps: jax.typing.ArrayLike, live: bool,
                      keys: jax.Array | None, axis_name: str | None,
                      trainable: Sequence[str] | None = None):
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
    trainable: top-level names of the parameters that move; None = all.

  Returns:
    The new state, and metrics as sums over the global batch.
  """
  weights = weights * tasks.has_label(task, labels)
  count = parallel.sum_over_devices(weights.sum(), axis_name)

  def share(params):
    loss, (batch_stats, correct, _) = forward_loss(
        model, task, params, state.batch_stats, images, labels, weights,
        train=live, keys=keys, axis_name=axis_name, trainable=trainable)
    return loss / jnp.maximum(count, 1.0), (
        batch_stats, {'loss_sum': loss, 'correct_sum': correct})

  state, metrics = descend(
      state, share, optimizer, num_steps, axis_name=axis_name,
      trainable=trainable)
  return state, {**metrics, 'count': count}


@memo.one_for_equal
def make_supervised_step(
    model: nn.Module, task: tasks.Task, optimizer: OptimizerConfig,
    num_steps: int | None = None, *, live: bool = True,
    augment: augment_lib.AugmentConfig | None = None,
    trainable: Sequence[str] | None = None) -> Callable[..., Any]:
  """The supervised step: ``(state, frozen, batch, *, axis_name)``.

  ``batch`` has ``index`` (or the rows), ``mask`` and ``position``, and may have
  ``weights``, which multiply the mask: membership of a model in an ensemble.
  See :func:`length` for ``num_steps``.
  """
  def train_step(state, frozen, batch, *, axis_name=None):
    images, labels = read(state, frozen, batch, augment)
    weights = batch['mask'] * batch.get('weights', 1.0)
    return supervised_update(
        model, task, state, images, labels, weights, optimizer=optimizer,
        num_steps=length(frozen, num_steps),
        live=live, keys=example_keys(state, batch['position'], 1),
        axis_name=axis_name, trainable=trainable)

  return train_step


def length(frozen: dict[str, Any],
           num_steps: int | None = None) -> jax.typing.ArrayLike:
  """Steps of the run: ``num_steps``, or what the loop put into ``frozen``.

  As an array it makes runs of any length one compiled program.
  """
  return frozen['num_steps'] if num_steps is None else num_steps


def read(state: TrainState, frozen: dict[str, Any], batch: dict[str, jax.Array],
         augment: augment_lib.AugmentConfig | None, prefix: str = '',
         stream: int = 0) -> tuple[jax.Array, jax.Array]:
  """Inside a step: the batch's images, augmented by its keys, and labels."""
  images, labels = feed.read(frozen, batch, prefix)
  if augment is not None:
    keys = example_keys(state, batch[prefix + 'position'], stream)
    images = augment_lib.augment(images, keys, augment)
  return images, labels
