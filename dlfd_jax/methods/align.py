"""Align: carries the features of forget into those of retain.

min over theta of  OT(h(x_f), stop h(x_r)) + lambda CE(y_r, f(x_r))

with the entropic transport of one forget and one retain batch, whose cost is

    C_ij = 1 - cos(h_i, g_j) + kappa [y_i = y_j]:

a forget image moves to retain images, rather of another class than of its own.
DLFD goes the other way. No gradient flows into the features of retain, which
would else come to meet those of forget. Of attributes, kappa counts as often as
the share of equal ones among those that both images know. Reads retain and
forget with labels; cost: about 2 1/3 passes over retain per epoch, and a
transport problem per step.

Source: the idea is that of Chung and Woo (CIKM 2025,
doi:10.1145/3746252.3760915), whose abstract names the alignment and a cost that
prefers other classes, and for which no code is known; objective, cost and
defaults are ours.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from dlfd_jax import ot, parallel, tasks, training as train
from dlfd_jax.methods import base
from dlfd_jax.utils import memo, validate


@dataclasses.dataclass(frozen=True, kw_only=True)
class AlignConfig(base.MethodConfig):
  """Align.

  Attributes:
    class_cost: kappa, added to the cost of moving an image to its own class, in
      [0, 1): from 1 on, the largest cost between features none of which is
      negative, no image could go there at all.
    retain_weight: lambda of the cross-entropy on retain, at least 0.
    representation: ``'features'`` or ``'logits'``: the transport's space.
    sinkhorn: the solver, its epsilon, and entropic cost or divergence.

  Raises:
    ValueError: if a field is out of its range.
  """

  title = 'Align'

  epochs: int = 5
  optimizer: train.OptimizerConfig = train.OptimizerConfig(
      learning_rate=1e-3, clip_norm=1.0)
  class_cost: float = 0.5
  retain_weight: float = 1.0
  representation: str = 'features'
  sinkhorn: ot.SinkhornConfig = ot.SinkhornConfig(objective='entropic')

  def __post_init__(self) -> None:
    super().__post_init__()
    validate.number('class_cost', self.class_cost, 0, 1, ends='[)')
    validate.number('retain_weight', self.retain_weight, 0)
    validate.one_of(
        'representation', self.representation, ('features', 'logits'))
    validate.instance('sinkhorn', self.sinkhorn, ot.SinkhornConfig)

  def plan(self, setting: base.Setting) -> base.Plan:
    """A joint step on every pair of batches."""
    problem = setting.problem
    return base.Plan(
        steps={'align': make_step(problem.model, problem.task, self)},
        batches=setting.pairs(self), passes=7)


def equal_share(task: tasks.Task, left: jax.Array,
                right: jax.Array) -> jax.Array:
  """How far the labels of two sets of images are the same, in [0, 1].

  Args:
    task: the task.
    left: labels ``[n]``, or ``[n, attributes]``.
    right: labels ``[m]``, or ``[m, attributes]``.

  Returns:
    ``[n, m]``: 1 for one class and 0 for two; of attributes the share of equal
    ones among those that both know, 0 where these are none.
  """
  equal = left[:, None] == right[None]
  if not task.is_multilabel:
    return equal.astype(jnp.float32)
  known = (left[:, None] != tasks.UNKNOWN) & (right[None] != tasks.UNKNOWN)
  return (equal & known).sum(-1) / jnp.maximum(known.sum(-1), 1)


@memo.one_for_equal
def make_step(model: nn.Module, task: tasks.Task,
              config: AlignConfig) -> parallel.StepFn:
  """A step on a ``batching.Pair``: one forward pass over both batches."""
  def align_step(state: train.TrainState, constants: Any, batch: Any, *,
                 axis_name: str | None = None) -> train.Stepped:
    retain, forget = train.read_pair(
        state, constants, batch, task, config.augment)
    forget = forget._replace(weights=batch.forget.mask)  # its label may lack
    both = train.Rows(*map(jnp.concatenate, zip(retain, forget, strict=True)))
    size = len(retain.images)
    penalty = config.class_cost * equal_share(
        task, forget.labels, parallel.gather_rows(retain.labels, axis_name))
    devices = parallel.axis_size(axis_name)

    def local_loss(params: Any) -> Any:
      outputs, batch_stats = train.forward(
          model, params, state.batch_stats, both, train=config.train_mode,
          axis_name=axis_name)
      metrics = train.classified(task, outputs.logits[:size], retain)
      features = getattr(outputs, config.representation)
      target = ot.prepare_target(
          jax.lax.stop_gradient(features[:size]), retain.weights,
          config.sinkhorn, axis_name)
      solved = ot.transport(
          features[size:], forget.weights, target, config.sinkhorn, penalty,
          axis_name)
      loss = train.mean(metrics.rows['loss'], retain.weights, axis_name)
      # Each device counts its part of the one problem of the global batch.
      return solved.part + config.retain_weight * loss, (
          batch_stats, metrics.replace(step={name: value / devices for
                                             name, value in {
              'ot': solved.value, 'sinkhorn_converged': solved.converged,
              'sinkhorn_iterations': solved.iterations,
              'sinkhorn_marginal_error': solved.marginal_error}.items()}))

    return train.descend(state, local_loss, config.optimizer,
                         constants['num_steps'], axis_name=axis_name)

  return align_step
