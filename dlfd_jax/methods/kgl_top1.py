"""KGL-top1: uniform on forget, away from retain, and retain again.

1. Uniform: a pass over forget, min of KL(uniform || p).
2. E rounds: (a) a pass over forget, each batch with a retain batch, min of
   -mean_ij log softmax_j(z_i . z_j / T) over forget images i and retain images
   j, where the z_j are held: no retain image is to be nearer than another;
   (b) a pass over retain, min of the cross-entropy.

z are the logits; with many labels the penultimate features (ours), and the
uniform target is .5 for each attribute. Reads retain with labels and forget
without; cost: E + 1 passes over forget and E over retain, and a forward pass
over as many retain images as forget has in every round.

Source: the winner of the NeurIPS 2023 challenge on unlearning
(arXiv:2406.09073), named and measured by Cadet et al. (2024),
arXiv:2410.01276. Ours: where forget has more batches than retain, (a) goes on
to the end of forget, and its rate falls to 0, not to 1e-6.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from dlfd_jax import parallel, tasks, training as train
from dlfd_jax.data import batching
from dlfd_jax.methods import base
from dlfd_jax.utils import memo, validate

UNIFORM, FORGET, RETAIN = 'uniform', 'forget', 'retain'
_OTHERS = 16  # salt of the retain batches beside those of forget


@dataclasses.dataclass(frozen=True, kw_only=True)
class KGLTop1Config(base.MethodConfig):
  """KGL-top1; ``epochs`` are the rounds E. Each part has its own optimiser.

  Attributes:
    optimizer: of the passes over retain, its rate that of a batch of 64 images:
      times ``batch_size`` / 64.
    uniform_optimizer: of the first pass over forget.
    forget_optimizer: of the later ones; its schedule runs over them all.
    contrast_temperature: T, above 0.

  Raises:
    ValueError: if a field is out of its range.
  """

  title = 'KGL-top1'

  epochs: int = 8
  batch_size: int = 256
  optimizer: train.OptimizerConfig = train.OptimizerConfig(
      learning_rate=1e-3, weight_decay=1e-2)
  uniform_optimizer: train.OptimizerConfig = train.OptimizerConfig(
      learning_rate=5e-3, weight_decay=0.0)
  forget_optimizer: train.OptimizerConfig = train.OptimizerConfig(
      learning_rate=3e-4, weight_decay=0.0, schedule='cosine')
  contrast_temperature: float = 1.15

  def __post_init__(self) -> None:
    super().__post_init__()
    validate.number(
        'contrast_temperature', self.contrast_temperature, 0, ends='(]')

  @property
  def optimizers(self) -> dict[str, train.OptimizerConfig]:
    """The optimiser of each part."""
    scale = self.batch_size / 64
    return {UNIFORM: self.uniform_optimizer, FORGET: self.forget_optimizer,
            RETAIN: dataclasses.replace(
                self.optimizer,
                learning_rate=scale * self.optimizer.learning_rate)}

  def plan(self, setting: base.Setting) -> base.Plan:
    """The parts by the step's number; each round is measured at its end."""
    problem = setting.problem
    retain = setting.stream('retain', self)
    forget = setting.stream('forget', self)
    others = dataclasses.replace(retain, salt=_OTHERS)
    turns = Rounds(forget.steps_per_epoch, retain.steps_per_epoch, self.epochs)

    def batch(step: int) -> Any:
      part, own = turns.locate(step)
      if part == RETAIN:
        return retain.batch(own)
      if part == UNIFORM:
        return forget.batch(own)
      return batching.Pair(others.cycled_batch(own),
                           forget.batch(turns.forget + own))

    state = setting.state(self)
    return base.Plan(
        steps={part: make_step(problem.model, problem.task, self, part, turns)
               for part in (UNIFORM, FORGET, RETAIN)},
        batches=batching.Listed(turns.forget + turns.retain, batch),
        num_steps=turns.num_steps, check_at=turns.ends,
        schedule=lambda step: turns.locate(step)[0],
        start=dataclasses.replace(state, opt_state={
            part: optimizer.transform().init(state.params)
            for part, optimizer in self.optimizers.items()}))


@dataclasses.dataclass(frozen=True)
class Rounds:
  """Which step does what.

  Attributes:
    forget: steps of a pass over forget.
    retain: steps of a pass over retain.
    epochs: rounds after the first pass over forget.
  """

  forget: int
  retain: int
  epochs: int

  @property
  def num_steps(self) -> int:
    return self.forget + self.epochs * (self.forget + self.retain)

  @property
  def ends(self) -> frozenset[int]:
    """Steps after which the first pass or a round ends."""
    return frozenset(range(
        self.forget, self.num_steps + 1, self.forget + self.retain))

  def locate(self, step: int) -> tuple[str, int]:
    """The part of ``step`` and its number among the steps of that part."""
    in_round = (step - self.forget) % (self.forget + self.retain)
    part = (UNIFORM if step < self.forget else
            FORGET if in_round < self.forget else RETAIN)
    return part, self.own(part, step)

  def own(self, part: str, step: Any) -> Any:
    """The number of a step, which is one of ``part``, among those of it."""
    if part == UNIFORM:
      return step
    both = self.forget + self.retain
    epoch, rest = (step - self.forget) // both, (step - self.forget) % both
    return (epoch * self.forget + rest if part == FORGET else
            epoch * self.retain + rest - self.forget)

  def length(self, part: str) -> int:
    """Steps of a part."""
    return {UNIFORM: self.forget, FORGET: self.epochs * self.forget,
            RETAIN: self.epochs * self.retain}[part]


@memo.one_for_equal
def make_step(model: nn.Module, task: tasks.Task, config: KGLTop1Config,
              part: str, turns: Rounds) -> parallel.StepFn:
  """A step of one part, on a batch or, of ``'forget'``, on a pair of them."""
  def step(state: train.TrainState, constants: Any, batch: Any, *,
           axis_name: str | None = None) -> train.Stepped:
    def read(side: batching.Batch, stream: int) -> train.Rows:
      found = train.read(
          state, constants, side, task, config.augment, stream)
      return found if part == RETAIN else found._replace(weights=side.mask)

    def forward(params: Any, batch_stats: Any, rows: train.Rows) -> Any:
      return train.forward(model, params, batch_stats, rows,
                           train=config.train_mode, axis_name=axis_name)

    def place(outputs: Any) -> jax.Array:
      z = outputs.features if task.is_multilabel else outputs.logits
      return z.astype(jnp.float32)

    if part == FORGET:
      rows, others = (read(batch.forget, train.FORGET_STREAM),
                      read(batch.retain, train.RETAIN_STREAM))
    else:
      rows = read(batch, train.RETAIN_STREAM if part == RETAIN else
                  train.FORGET_STREAM)

    def local_loss(params: Any) -> Any:
      outputs, batch_stats = forward(params, state.batch_stats, rows)
      if part == RETAIN:
        metrics = train.classified(task, outputs.logits, rows)
        loss = metrics.rows['loss']
      else:
        if part == FORGET:
          held, batch_stats = forward(
              jax.lax.stop_gradient(params), batch_stats, others)
          held_at, counts = (
              parallel.gather_rows(jax.lax.stop_gradient(x), axis_name)
              for x in (place(held), others.weights))
          each = contrast_loss(
              place(outputs), held_at, counts, config.contrast_temperature)
        else:
          each = tasks.example_kl(
              task, jnp.zeros_like(outputs.logits), outputs.logits)
        loss = train.weighted_sum(each, rows.weights)
        metrics = train.StepMetrics({f'{part}_loss': loss}, rows.weights.sum())
      return train.mean(loss, rows.weights, axis_name), (batch_stats, metrics)

    return train.as_part(
        state, turns.own(part, state.step), lambda own: train.descend(
            own, local_loss, config.optimizers[part], turns.length(part),
            axis_name=axis_name), part)

  return step


def contrast_loss(z: jax.Array, others: jax.Array, counts: jax.Array,
                  temperature: float) -> jax.Array:
  r"""How unequally near an image is to others, at least log of their number.

  .. math:: -\frac1m \sum_j \log \mathrm{softmax}_j (z_i \cdot z_j / T)

  Args:
    z: of the images, ``[n, d]``.
    others: of the m others, ``[m, d]``.
    counts: ``[m]``; 0 = padding.
    temperature: T, above 0.

  Returns:
    ``[n]``.

  Example:
    >>> print(contrast_loss(jnp.eye(2), jnp.eye(2), jnp.ones(2), 1.).round(3))
    [0.813 0.813]
  """
  near = z @ others.T / temperature
  real = counts > 0
  mean = jnp.where(real, near, 0.0).sum(-1) / jnp.maximum(real.sum(), 1)
  return jax.nn.logsumexp(near, axis=-1, where=real) - mean
