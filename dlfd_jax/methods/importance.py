"""Steps that add up what parameters mean to some images; no weight moves.

They are steps of the loop, so that their time counts, and a stopped run goes
on among them. The sums lie in ``TrainState.extra``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from dlfd_jax import parallel, tasks, training as train
from dlfd_jax.data import batching
from dlfd_jax.utils import memo

_AT_ONCE = 8  # images whose own gradients are in memory together
GRADIENT, FISHER, OUTPUT = 'gradient', 'fisher', 'output'
EXPECTED = 'expected_fisher'


@memo.one_for_equal
def make_step(model: nn.Module, task: tasks.Task, kind: str, name: str,
              sign: float = 1.0) -> parallel.StepFn:
  """A step that adds to ``state.extra[name]`` the sum over a batch.

  In evaluation mode and without augmentation, of every image that counts,

  - ``'gradient'``: the gradient of its cross-entropy;
  - ``'fisher'``: the square of that, the diagonal of the empirical Fisher
    information; of each image its own, so that the batch size plays no part;
  - ``'output'``: the absolute gradient of the squared norm of its logits, which
    needs no label (Aljundi et al. 2018, arXiv:1711.09601);
  - ``'expected_fisher'``: the diagonal of the Fisher information itself, see
    :func:`expected_fisher`, which needs no label either.

  Args:
    model: the classifier.
    task: the task.
    kind: what is added.
    name: of the sum.
    sign: times it is added.
  """
  def loss_of(params: Any, batch_stats: Any, images: jax.Array,
              labels: jax.Array, weights: jax.Array) -> jax.Array:
    outputs = train.logits(
        model, {'params': params, 'batch_stats': batch_stats}, images)
    each = (jnp.square(outputs.astype(jnp.float32)).sum(-1)
            if kind == OUTPUT else tasks.example_loss(task, outputs, labels))
    return train.weighted_sum(each, weights)

  def add(state: train.TrainState, constants: Any, batch: batching.Batch, *,
          axis_name: str | None = None) -> train.Stepped:
    rows = train.read(state, constants, batch, task)
    if kind in (OUTPUT, EXPECTED):
      rows = rows._replace(weights=batch.mask)
    gradient = jax.grad(loss_of)
    if kind == GRADIENT:
      total = gradient(state.params, state.batch_stats, rows.images,
                       rows.labels, rows.weights)
    else:
      measure = jnp.square if kind == FISHER else jnp.abs

      def of_image(row: tuple[jax.Array, ...]) -> Any:
        if kind == EXPECTED:
          image, _, weight = row
          own = expected_fisher(model, task, state.variables, image)
          return jax.tree.map(
              lambda leaf: jnp.where(weight > 0, weight * leaf, 0.0), own)
        own = gradient(state.params, state.batch_stats,
                       *(part[None] for part in row))
        return jax.tree.map(measure, own)

      each = jax.lax.map(of_image, (rows.images, rows.labels, rows.weights),
                         batch_size=_AT_ONCE)
      total = jax.tree.map(lambda leaf: leaf.sum(0), each)
    total = parallel.sum_over_devices(total, axis_name)
    norm = optax.tree.norm(total)
    finite = jnp.isfinite(norm)
    added = jax.tree.map(
        lambda old, new: jnp.where(finite, old + sign * new, old),
        state.extra[name], total)
    return state.replace(
        step=state.step + 1, extra={**state.extra, name: added},
        skipped=state.skipped + (~finite).astype(jnp.int32)), train.StepMetrics(
            step={f'{name}_norm': norm})

  return add


def expected_fisher(model: nn.Module, task: tasks.Task, variables: Any,
                    image: jax.Array) -> Any:
  r"""The diagonal of one image's Fisher information.

  .. math:: F_i = \sum_y p_y (\partial_i \log p_y)^2

  over the labels y that the model itself gives; with many labels, those of the
  mean cross-entropy over attributes, :math:`\sum_a p_a (1 - p_a)
  (\partial_i z_a)^2 / A^2`. Costs a backward pass for every output.

  Args:
    model: the classifier.
    task: the task.
    variables: its variables.
    image: float32 ``[h, w, 3]``.
  """
  def outputs(params: Any) -> jax.Array:
    return train.logits(model, {**variables, 'params': params},
                        image[None])[0].astype(jnp.float32)

  params = variables['params']
  logits, gradient_of = jax.vjp(outputs, params)
  if task.is_multilabel:
    p = jax.nn.sigmoid(logits)
    scale, middle = p * (1 - p) / logits.size**2, zeros(params)
  else:
    scale = jax.nn.softmax(logits)
    middle, = gradient_of(scale)

  def add(total: Any, output: tuple[jax.Array, jax.Array]) -> Any:
    one, weight = output
    gradient, = gradient_of(one)
    return jax.tree.map(
        lambda t, g, m: t + weight * jnp.square(g - m), total, gradient,
        middle), None

  total, _ = jax.lax.scan(
      add, zeros(params), (jnp.eye(logits.size), scale))
  return total


@memo.one_for_equal
def make_change(change: Callable[..., Any]) -> parallel.StepFn:
  """A step that replaces what ``change(state, constants)`` returns, once.

  Args:
    change: to a dictionary of fields of the state, and a dictionary of values
      for the log.
  """
  def changed(state: train.TrainState, constants: Any, batch: Any, *,
              axis_name: str | None = None) -> train.Stepped:
    del batch, axis_name  # every device does the same
    fields, values = change(state, constants)
    return state.replace(step=state.step + 1, **fields), train.StepMetrics(
        step=values)

  return changed


def zeros(params: Any) -> Any:
  """Where a sum begins."""
  return jax.tree.map(jnp.zeros_like, params)


def largest(values: Any, share: float) -> Any:
  """1 where a value is among the largest of all leaves together, else 0.

  Args:
    values: pytree of float arrays.
    share: of all entries, in (0, 1]; more where the last are equal.
  """
  flat = jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(values)])
  count = max(round(share * flat.size), 1)
  least = jnp.sort(flat)[flat.size - count]
  return jax.tree.map(lambda leaf: (leaf >= least).astype(leaf.dtype), values)
