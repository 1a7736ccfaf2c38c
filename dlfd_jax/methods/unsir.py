"""UNSIR: noise that the model dislikes impairs it, then retain repairs it.

1. Noise: for each label (or label vector) y of forget, images N that minimise
   -CE(f(N), y) + lambda mean(N^2) under the original, by Adam.
2. Impair: cross-entropy on the noise with its labels and a part of retain.
3. Repair: cross-entropy on the same part of retain.

Reads a part of retain with labels, and the labels of forget, never its images;
cost: two passes over the part of retain per epoch, and ``noise_steps`` steps
per label.

Source: Tarun et al. (2023), arXiv:2111.08947, a method for forgetting classes.
Ours: noise per label that occurs in forget, lambda on the *mean* over pixels
(on their sum it swamps the loss of large images), and the noise fills a share
of the impair rows; 20 copies of 256 beside 9,000 images are a share of .36.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from dlfd_jax import parallel, tasks, training as train
from dlfd_jax.data import batching
from dlfd_jax.methods import base
from dlfd_jax.metrics import per_example
from dlfd_jax.utils import memo, rng, validate

NOISE, IMPAIR, REPAIR = 'noise', 'impair', 'repair'
_NOISE_KEY = 0  # purpose of the first noise's key
_SUBSET = 11  # salt of the draw
_ADAM = optax.scale_by_adam()


def _adam(rate: float) -> train.OptimizerConfig:
  return train.OptimizerConfig(
      kind='adam', learning_rate=rate, weight_decay=0.0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class UnsirConfig(base.MethodConfig):
  """UNSIR; ``epochs`` passes each of impair and repair.

  Attributes:
    optimizer: of impair.
    repair_optimizer: of repair.
    noise_images: noise images per label, at least 1; those of every label, or
      vector of attributes, that occurs lie on each device as float32.
    noise_steps: Adam steps on them, at least 1.
    noise_rate: Adam's rate on pixels in [0, 1], above 0.
    noise_penalty: lambda, at least 0.
    noise_share: share of the impair rows that are noise, in (0, 1).
    retain_per_label: retain images of each label that are read, at most.

  Raises:
    ValueError: if a field is out of its range.
  """

  title = 'UNSIR'

  batch_size: int = 256
  optimizer: train.OptimizerConfig = _adam(0.02)
  repair_optimizer: train.OptimizerConfig = _adam(0.01)
  noise_images: int = 64
  noise_steps: int = 40
  noise_rate: float = 0.1
  noise_penalty: float = 0.1
  noise_share: float = 0.36
  retain_per_label: int = 1000

  def __post_init__(self) -> None:
    super().__post_init__()
    for name in ('noise_images', 'noise_steps', 'retain_per_label'):
      validate.integer(name, getattr(self, name))
    validate.number('noise_rate', self.noise_rate, 0, ends='(]')
    validate.number('noise_penalty', self.noise_penalty, 0)
    validate.number('noise_share', self.noise_share, 0, 1, ends='()')

  def plan(self, setting: base.Setting) -> base.Plan:
    """Noise steps label by label, then impair, then repair."""
    problem, per_label = setting.problem, self.noise_images
    data = problem.dataset
    setting.devices.check_batch_size(per_label, 'noise_images')
    labels = np.repeat(noise_labels(
        problem.task, data.labels[problem.splits.forget]), per_label, axis=0)
    retain = draw_retain(data.class_key(), problem.splits.retain,
                         self.retain_per_label, problem.seed)
    copies = round(
        len(retain) * self.noise_share / (1 - self.noise_share))
    slots = np.concatenate([
        np.full(len(retain), -1), np.resize(np.arange(len(labels)), copies)])
    rows = np.concatenate([retain, np.full(copies, retain[0])])
    impair = setting.union(np.arange(len(rows)), self)
    repair = setting.union(retain, self)
    turn = len(labels) // per_label * self.noise_steps
    back = turn + self.epochs * impair.steps_per_epoch
    num_steps = back + self.epochs * repair.steps_per_epoch
    ends = [first + epoch * of.steps_per_epoch
            for first, of in ((turn, impair), (back, repair))
            for epoch in range(1, self.epochs + 1)]

    def schedule(step: int) -> str:
      return NOISE if step < turn else IMPAIR if step < back else REPAIR

    def batch(step: int) -> Any:
      if step < turn:
        first = step // self.noise_steps * per_label
        return NoiseBatch(np.arange(first, first + per_label, dtype=np.int32))
      if step >= back:
        return repair.batch(step - back)
      mixed = vars(impair.batch(step - turn))
      union = mixed['index']
      return MixedBatch(**{**mixed, 'index': rows[union].astype(np.int32)},
                        slot=slots[union].astype(np.int32))

    noise = jax.random.normal(
        setting.key(_NOISE_KEY), (len(labels), *data.images.shape[1:]))
    state = setting.state(self)
    state = dataclasses.replace(
        state, opt_state={IMPAIR: state.opt_state, REPAIR:
                   self.repair_optimizer.transform().init(state.params)},
        extra={'noise': noise, 'moments': _ADAM.init(noise[:per_label])})
    steps = {phase: make_update_step(
        problem.model, problem.task, self, phase, turn)
             for phase in (IMPAIR, REPAIR)}
    return base.Plan(
        steps={NOISE: make_noise_step(problem.model, problem.task, self),
               **steps},
        batches=batching.Listed(repair.steps_per_epoch, batch),
        num_steps=num_steps, schedule=schedule, start=state,
        check_at=frozenset(ends),
        constants=setting.devices.place({'noise_labels': labels}),
        findings={'noise_labels': len(labels) // per_label,
                  'retain_read': len(retain)})


class NoiseBatch(NamedTuple):
  """The noise images of one label, int32 rows ``[noise_images]`` of all."""

  slot: Any


class MixedBatch(batching.Batch):
  """Rows of impair; ``slot`` int32 ``[b]``: a noise image instead, or -1."""

  slot: Any = None


@memo.one_for_equal
def make_noise_step(model: nn.Module, task: tasks.Task,
                    config: UnsirConfig) -> parallel.StepFn:
  """One Adam step on the noise of one label, a :class:`NoiseBatch`.

  Its rows are in ``state.extra['noise']``, their labels in
  ``constants['noise_labels']``. Each row has an objective of its own.
  """
  def noise_step(state: train.TrainState, constants: Any, batch: Any, *,
                 axis_name: str | None = None) -> train.Stepped:
    labels = constants['noise_labels'][batch.slot]

    def objective(noise: jax.Array) -> Any:
      logits = train.logits(model, state.variables, noise)
      loss = tasks.example_loss(task, logits, labels).sum()
      penalty = config.noise_penalty * jnp.square(noise).mean((1, 2, 3)).sum()
      return penalty - loss, (loss, penalty)

    gradient, terms = jax.grad(objective, has_aux=True)(
        state.extra['noise'][batch.slot])
    gradient, slots = (
        parallel.gather_rows(x, axis_name) for x in (gradient, batch.slot))
    loss, penalty = parallel.sum_over_devices(terms, axis_name)
    first = state.step % config.noise_steps == 0
    moments = jax.tree.map(  # a new label starts with new ones
        lambda m: jnp.where(first, jnp.zeros_like(m), m),
        state.extra['moments'])
    direction, moments = _ADAM.update(gradient, moments)
    finite = jnp.isfinite(gradient).all()
    updated = {
        'noise': state.extra['noise'].at[slots].add(
            -config.noise_rate * direction),
        'moments': moments}
    extra = jax.tree.map(
        lambda new, old: jnp.where(finite, new, old), updated, state.extra)
    state = state.replace(
        step=state.step + 1, extra=extra,
        skipped=state.skipped + (~finite).astype(jnp.int32))
    return state, train.StepMetrics(step={
        'noise_loss': loss / slots.size, 'noise_penalty': penalty / slots.size})

  return noise_step


@memo.one_for_equal
def make_update_step(model: nn.Module, task: tasks.Task, config: UnsirConfig,
                     phase: str, first: int = 0) -> parallel.StepFn:
  """A step of impair, on a :class:`MixedBatch`, or of repair.

  Each has its own optimiser and its state. The rate's schedule runs from step
  ``first`` to the end of the run.
  """
  optimizer = config.optimizer if phase == IMPAIR else config.repair_optimizer

  def update_step(state: train.TrainState, constants: Any, batch: Any, *,
                  axis_name: str | None = None) -> train.Stepped:
    rows = train.read(state, constants, batch, task, config.augment)
    if phase == IMPAIR:
      def mix(noise: jax.Array, real: jax.Array) -> jax.Array:
        is_noise = batch.slot >= 0
        is_noise = is_noise.reshape(-1, *(1,) * (real.ndim - 1))
        return jnp.where(is_noise, noise[batch.slot], real)

      labels = mix(constants['noise_labels'], rows.labels)
      rows = rows._replace(
          images=mix(state.extra['noise'], rows.images), labels=labels,
          weights=batch.mask * tasks.has_label(task, labels))
    return train.as_part(
        state, state.step - first, lambda part: train.supervised_update(
            model, task, part, rows, optimizer=optimizer,
            num_steps=constants['num_steps'] - first,
            train_mode=config.train_mode, axis_name=axis_name), phase)

  return update_step


def noise_labels(task: tasks.Task, labels: np.ndarray) -> np.ndarray:
  """The distinct labels or label vectors, those without any known left out."""
  return np.unique(labels[per_example.has_label(task, labels)], axis=0)


def draw_retain(keys: np.ndarray, rows: np.ndarray, per_label: int,
                seed: int) -> np.ndarray:
  """Up to ``per_label`` of ``rows`` of each label, at random, sorted.

  Args:
    keys: label of each row of the data set, ``[n]``.
    rows: of retain.
    per_label: most rows of one label.
    seed: of the draw.
  """
  generator = rng.generator(seed, _SUBSET)
  drawn = [generator.permutation(rows[keys[rows] == key])[:per_label]
           for key in np.unique(keys[rows])]
  return np.sort(np.concatenate(drawn))
