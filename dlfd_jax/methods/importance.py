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
    :func:`outcomes`, which needs no label either.

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
      measure = jnp.abs if kind == OUTPUT else jnp.square
      each = rows.images, rows.labels, rows.weights
      odds = jnp.ones_like(rows.weights)
      if kind == EXPECTED:
        labels, odds = outcomes(
            task, train.logits(model, state.variables, rows.images))
        images, weights = (jnp.repeat(x, odds.shape[1], axis=0)
                           for x in (rows.images, rows.weights))
        each = images, labels.reshape(-1, *labels.shape[2:]), weights

      def of_one(image: jax.Array, label: jax.Array, weight: jax.Array,
                 odds: jax.Array) -> Any:
        own = gradient(state.params, state.batch_stats, image[None],
                       label[None], weight[None])
        return jax.tree.map(lambda g: odds * measure(g), own)

      def add_group(total: Any, group: tuple[jax.Array, ...]) -> Any:
        return jax.tree.map(lambda t, g: t + g.sum(0), total,
                            jax.vmap(of_one)(*group)), None

      # Summed group by group: a gradient is as large as the network.
      total, _ = jax.lax.scan(
          add_group, zeros(state.params), grouped(*each, odds.ravel()))
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


def grouped(images: jax.Array, labels: jax.Array, weights: jax.Array,
            odds: jax.Array) -> tuple[jax.Array, ...]:
  """Rows ``[n, ...]`` as ``[groups, rows, ...]``; what fills up weighs 0."""
  size = len(weights)
  rows = min(size, _AT_ONCE)
  place = jnp.arange(-(-size // rows) * rows)
  weights = jnp.where(place < size, weights[place % size], 0.0)
  return tuple(x.reshape(-1, rows, *x.shape[1:]) for x in (
      images[place % size], labels[place % size], weights, odds[place % size]))


def outcomes(task: tasks.Task,
             logits: jax.Array) -> tuple[jax.Array, jax.Array]:
  r"""All labels, and factors of their squared gradients in the information.

  .. math:: F_i = \sum_y p_y (\partial_i \log p_y)^2

  where the labels y are the model's own. Those of many attributes are
  independent, so it is a sum over attributes; of the mean cross-entropy over
  these, each counts by the square of its share.

  Args:
    task: the task.
    logits: ``[n, outputs]``.

  Returns:
    Labels int32 ``[n, k]``, or ``[n, k, attributes]`` with all but one unknown,
    and their factors float32 ``[n, k]``.
  """
  logits = logits.astype(jnp.float32)
  n, outputs = logits.shape
  if not task.is_multilabel:
    return jnp.tile(jnp.arange(outputs), (n, 1)), jax.nn.softmax(logits)
  own = jnp.eye(outputs, dtype=bool)
  labels = jnp.concatenate(
      [jnp.where(own, value, tasks.UNKNOWN) for value in (1, 0)])
  p = jax.nn.sigmoid(jnp.concatenate([logits, -logits], 1))
  return jnp.tile(labels, (n, 1, 1)), p / outputs**2


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
