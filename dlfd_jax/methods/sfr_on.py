"""SFR-on: few masked ascent steps on forget among many on retain.

With the diagonals I of the Fisher information at the original, the mask
m = 1[(I_forget + 1e-15) / (I_retain + 1e-15) >= gamma]. Then, in each of n
iterations, the first of every q of them

  ascend by m times the gradient of a_t sum_i w_i l_i,  w_i ~ l_i^-lambda,

clipped, on a forget batch, where the l_i are the losses of its images, the w_i
are held and sum to 1, and a_t falls from a to 0 by a cosine; and all of them
descend by the cross-entropy on a retain batch, without the mask. Both share the
optimiser and its momentum. After each iteration theta <- beta theta +
(1 - beta) theta before it. Reads retain and forget with labels; cost: a pass
over both with a gradient of each image's own, a pass over retain per epoch, and
a q-th as many forget batches.

Source: Huang et al. (2024), arXiv:2409.19732, as in its released algorithm,
whose beta of 1 changes nothing. Ours: each image's own gradient is squared, not
a batch's; losses under 1e-4 weigh as that, since w explodes towards 0; and
weights outside of the mask keep value and momentum in the ascent.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from dlfd_jax import parallel, tasks, training as train
from dlfd_jax.data import batching
from dlfd_jax.methods import base, importance
from dlfd_jax.utils import memo, validate

MASK, ASCEND, DESCEND = 'mask', 'ascend', 'descend'
# Sums of importance in the state's `extra`; from the mask on it holds there the
# weights before the iteration, and the mask.
_RETAIN, _FORGET = 'retain', 'forget'
_LEAST = 1e-4  # loss in a weight w, nats
_TINY = 1e-15  # as released


@dataclasses.dataclass(frozen=True, kw_only=True)
class SFROnConfig(base.MethodConfig):
  """SFR-on; ``epochs`` are the descent's, of retain.

  Attributes:
    ascent_every: q, steps of descent to one of ascent, at least 1.
    ascent_weight: a, weight of the ascent in the first iteration, above 0.
    ascent_flatness: lambda, how little images with a large loss count in it, at
      least 0.
    ascent_saliency: gamma, how many times as important to forget as to retain a
      weight that moves in it is, at least 0.
    ascent_clip: largest norm of its gradient, above 0.
    kept_move: beta, share of an iteration's move that is kept, in (0, 1].

  Raises:
    ValueError: if a field is out of its range.
  """

  title = 'SFR-on'

  epochs: int = 8
  optimizer: train.OptimizerConfig = train.OptimizerConfig(
      learning_rate=0.01, schedule='cosine')
  ascent_every: int = 5
  ascent_weight: float = 25.0
  ascent_flatness: float = 0.5
  ascent_saliency: float = 1.0
  ascent_clip: float = 7.0
  kept_move: float = 1.0

  def __post_init__(self) -> None:
    super().__post_init__()
    validate.integer('ascent_every', self.ascent_every)
    for name in ('ascent_flatness', 'ascent_saliency'):
      validate.number(name, getattr(self, name), 0)
    for name in ('ascent_weight', 'ascent_clip'):
      validate.number(name, getattr(self, name), 0, ends='(]')
    validate.number('kept_move', self.kept_move, 0, 1, ends='(]')

  def plan(self, setting: base.Setting) -> base.Plan:
    """Both importances, the mask, and the iterations."""
    problem = setting.problem
    splits = problem.splits
    fixed = {part: setting.stream(part, self, shuffle=False)
             for part in (_RETAIN, _FORGET)}
    retain, forget = (
        setting.stream(part, self) for part in (_RETAIN, _FORGET))
    middle = retain.steps_per_epoch
    last = middle + forget.steps_per_epoch
    turns = Iterations(
        last + 1, self.ascent_every, self.epochs * retain.steps_per_epoch)

    def schedule(step: int) -> str:
      return (_RETAIN if step < middle else _FORGET if step < last else
              MASK if step == last else turns.phase(step))

    def batch(step: int) -> batching.Batch:
      if step < middle:
        return fixed[_RETAIN].batch(step)
      if step <= last:
        return fixed[_FORGET].batch(min(step, last - 1) - middle)
      number = turns.number(step)
      if turns.phase(step) == ASCEND:
        return forget.batch(number // self.ascent_every)
      return retain.batch(number)

    state = setting.state(self)
    zeros = importance.zeros(state.params)
    update = {part: make_step(problem.model, problem.task, self, part, turns)
              for part in (ASCEND, DESCEND)}
    return base.Plan(
        steps={**{part: importance.make_step(
            problem.model, problem.task, importance.FISHER, part)
                  for part in (_RETAIN, _FORGET)},
               MASK: importance.make_change(_mask(
                   self, len(splits.retain), len(splits.forget))), **update},
        batches=batching.Listed(retain.steps_per_epoch, batch),
        num_steps=turns.num_steps, schedule=schedule,
        start=dataclasses.replace(
            state, extra={_RETAIN: zeros, _FORGET: zeros}))


@dataclasses.dataclass(frozen=True)
class Iterations:
  """Which step does what, from step ``first`` on.

  Attributes:
    first: number of the first one.
    every: descent steps to one of ascent.
    length: iterations, of one descent step each.
  """

  first: int
  every: int
  length: int

  @property
  def num_steps(self) -> int:
    return self.first + self.length + -(-self.length // self.every)

  def phase(self, step: int) -> str:
    """Whether ``step`` ascends or descends."""
    return DESCEND if (step - self.first) % (self.every + 1) else ASCEND

  def number(self, step: Any) -> Any:
    """Of the iteration of ``step``, from 0."""
    step = step - self.first
    return step - step // (self.every + 1) - (step % (self.every + 1) > 0)


@memo.one_for_equal
def _mask(config: SFROnConfig, retain: int, forget: int) -> Callable[..., Any]:
  """Turns sums over so many images into the mask of 0 and 1."""
  def change(state: train.TrainState, constants: Any) -> tuple[Any, Any]:
    del constants
    mask = jax.tree.map(
        lambda f, r: ((f / forget + _TINY) / (r / retain + _TINY)
                      >= config.ascent_saliency).astype(f.dtype),
        state.extra[_FORGET], state.extra[_RETAIN])
    leaves = jax.tree.leaves(mask)
    return {'extra': {_FORGET: mask, _RETAIN: state.params}}, {
        'masked_in': sum(leaf.sum() for leaf in leaves) / sum(
            leaf.size for leaf in leaves)}

  return change


@memo.one_for_equal
def make_step(model: nn.Module, task: tasks.Task, config: SFROnConfig,
              part: str, turns: Iterations) -> parallel.StepFn:
  """A masked step of ascent, or one of descent, which ends the iteration."""
  def step(state: train.TrainState, constants: Any, batch: Any, *,
           axis_name: str | None = None) -> train.Stepped:
    number, mask = turns.number(state.step), state.extra[_FORGET]
    fall = .5 * (1 + jnp.cos(jnp.pi * number / turns.length))
    rows = train.read(state, constants, batch, task, config.augment,
                      train.FORGET_STREAM if part == ASCEND else
                      train.RETAIN_STREAM)

    def local_loss(params: Any) -> Any:
      metrics, batch_stats, outputs = train.cross_entropy(
          model, task, params, state.batch_stats, rows,
          train=config.train_mode, axis_name=axis_name)
      losses = tasks.example_loss(task, outputs.logits, rows.labels)
      shares = flattened(
          jax.lax.stop_gradient(losses), rows.weights, config.ascent_flatness,
          axis_name)
      return -config.ascent_weight * fall * train.weighted_sum(
          losses, shares), (batch_stats, train.StepMetrics(
              {'forget_loss': metrics.rows['loss']}, metrics.count))

    def masked(gradient: Any) -> Any:
      clip = optax.clip_by_global_norm(config.ascent_clip)
      return clip.update(
          jax.tree.map(jnp.multiply, gradient, mask), optax.EmptyState())[0]

    def take(own: train.TrainState) -> train.Stepped:
      if part == ASCEND:
        return train.descend(own, local_loss, config.optimizer, turns.length,
                             axis_name=axis_name, shape=masked)
      return train.supervised_update(
          model, task, own, rows, optimizer=config.optimizer,
          num_steps=turns.length, train_mode=config.train_mode,
          axis_name=axis_name)

    new, metrics = train.as_part(state, number, take)
    if part == DESCEND:
      beta = config.kept_move
      params = jax.tree.map(lambda n, o: beta * n + (1 - beta) * o, new.params,
                            state.extra[_RETAIN])
      return new.replace(
          params=params, extra={**state.extra, _RETAIN: params}), metrics
    of_optimizer = optax.tree.map_params(
        config.optimizer.transform(), lambda _, m: m, new.opt_state, mask,
        transform_non_params=jnp.ones_like)
    params, opt_state = jax.tree.map(
        lambda m, n, o: jnp.where(m > 0, n, o), (mask, of_optimizer),
        (new.params, new.opt_state), (state.params, state.opt_state))
    return new.replace(params=params, opt_state=opt_state), metrics

  return step


def flattened(losses: jax.Array, counts: jax.Array, flatness: float,
              axis_name: str | None = None) -> jax.Array:
  """Shares w of images in an ascent, which sum to 1 over all devices.

  Args:
    losses: ``[n]``, nats; those under 1e-4 weigh as that.
    counts: ``[n]``; 0 = padding.
    flatness: lambda.
    axis_name: device axis, or None.

  Example:
    >>> print(flattened(jnp.array([1., 4.]), jnp.array([1., 1.]), 1.).round(3))
    [0.8 0.2]
  """
  raw = jnp.where(
      counts > 0, counts * jnp.maximum(losses, _LEAST) ** -flatness, 0.0)
  total = parallel.sum_over_devices(raw.sum(), axis_name)
  return raw / jnp.where(total > 0, total, 1.0)
