"""DLFD as the authors' released code runs it, for comparison only.

What differs from the paper and from :mod:`~dlfd_jax.methods.dlfd`: transport is
computed between *clean* retain logits and forget logits, so it has no gradient
and only -lambda * CE moves the images; they are clipped to [0, 1] in normalised
units inside the differentiated function, where a saturated pixel stays; the
first batch runs in training mode (dropout, batch statistics, and every forward
pass moves the running ones) and all later ones in evaluation mode; batches come
in file order and pairs of unequal size are skipped while lambda goes on; the
attack is unbalanced, unsigned and runs on all of forget and val after every
batch.

Source: the authors' code of August-September 2024 (its notebooks' settings).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from dlfd_jax import ot, parallel, tasks, training as train
from dlfd_jax.data import batching
from dlfd_jax.methods import base, dlfd
from dlfd_jax.utils import memo, validate

_FIRST = 'first'


@dataclasses.dataclass(frozen=True, kw_only=True)
class DLFDReleasedConfig(base.MethodConfig):
  """Options of the released code; thresholds are ours, twice its |MIA - .5|.

  Attributes:
    mean: per-channel mean of its normalisation, pixel units.
    std: per-channel deviation of its normalisation, pixel units.
    ot_weight: w_f; kept and logged, without any effect on the result.
    ce_weight_start: lambda at the first pair.
    ce_weight_end: lambda at the last pair.
    perturb_steps: K, gradient steps on the images of a batch.
    perturb_step_size: alpha, size of such a step in normalised units.
    sinkhorn: of the transport cost that is logged.
    forget_threshold: forgetting score at or above which images are perturbed.

  Raises:
    ValueError: if a field is out of its range.
  """

  title = 'DLFD as released (official_compat)'

  selection: str = 'best'
  check_every: int | None = 1
  batch_size: int = 32
  optimizer: train.OptimizerConfig = train.OptimizerConfig(learning_rate=0.008)
  select_threshold: float | str = 0.18
  mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
  std: tuple[float, float, float] = (0.229, 0.224, 0.225)
  ot_weight: float = 3.0
  ce_weight_start: float = 0.0
  ce_weight_end: float = 1.0
  perturb_steps: int = 15
  perturb_step_size: float = 0.4
  sinkhorn: ot.SinkhornConfig = ot.SinkhornConfig(
      epsilon=0.01, max_iterations=50, objective='entropic')
  forget_threshold: float = 0.30

  def __post_init__(self) -> None:
    super().__post_init__()
    if self.batch_norm != 'frozen' or self.augment is not None:
      raise ValueError(
          'Expected frozen BatchNorm and no augmentation: the released code '
          'fixes both.')
    if self.epochs != 1:
      raise ValueError(f'Expected epochs of 1, got {self.epochs}.')
    validate.integer('perturb_steps', self.perturb_steps)
    validate.number('perturb_step_size', self.perturb_step_size, 0, ends='(]')
    for name in ('ot_weight', 'ce_weight_start', 'ce_weight_end'):
      validate.number(name, getattr(self, name), 0)
    validate.channels(self.mean, self.std)
    for value in self.mean:
      validate.number('mean', value, 0, 1, ends='[)')
    validate.instance('sinkhorn', self.sinkhorn, ot.SinkhornConfig)
    for name in ('forget_threshold', 'select_threshold'):
      validate.number(name, getattr(self, name), 0, 1)

  def plan(self, setting: base.Setting) -> base.Plan:
    """The released schedule over the equal pairs."""
    problem = setting.problem
    retain = setting.stream('retain', self, shuffle=False)
    forget = setting.stream('forget', self, shuffle=False)
    pair = pairs(retain, forget)
    num_pairs, cycle = retain.steps_per_epoch, forget.steps_per_epoch

    def step(train_mode: bool) -> parallel.StepFn:
      return make_step(problem.model, problem.task, self, tuple(pair.tolist()),
                       num_pairs, train_mode=train_mode)

    def batch(number: int) -> Any:
      b = int(pair[number])
      return batching.Pair(retain.batch(b), forget.batch(b % cycle))

    return base.Plan(
        steps={_FIRST: step(True), dlfd.DISTANCE: step(False),
               dlfd.FINETUNE: setting.supervised_step(self)},
        batches=batching.Listed(len(pair), batch), check_every=1,
        attack='released', phases=base.PhaseRule(
            active=dlfd.DISTANCE, resting=dlfd.FINETUNE,
            threshold=self.forget_threshold, signed=False, opening=_FIRST))


def bounds(config: DLFDReleasedConfig) -> tuple[np.ndarray, np.ndarray]:
  """Pixel range that survives its clip: [mean, mean + std] within [0, 1]."""
  low = np.asarray(config.mean, np.float32)
  high = np.minimum(low + np.asarray(config.std, np.float32), 1.0)
  return low, high


def pairs(retain: batching.Stream, forget: batching.Stream) -> np.ndarray:
  """Which retain batches have a forget batch of their own size.

  Both loaders run in file order with a smaller last batch; forget starts over
  when it ends.

  Returns:
    Positions of the equal pairs among the retain batches; all of them if none
    is equal, as with fewer forget images than a batch: the released code then
    does nothing. Sizes matter to the inert transport term alone.
  """
  def sizes(stream: batching.Stream) -> Any:
    full, rest = divmod(len(stream.indices), stream.batch_size)
    return [stream.batch_size] * full + ([rest] if rest else [])

  retain_sizes, forget_sizes = sizes(retain), sizes(forget)
  cycled = np.resize(forget_sizes, len(retain_sizes))
  equal = np.flatnonzero(np.asarray(retain_sizes) == cycled)
  return equal if len(equal) else np.arange(len(retain_sizes))


@memo.one_for_equal
def make_step(model: nn.Module, task: tasks.Task, config: DLFDReleasedConfig,
              pair: tuple[int, ...], num_pairs: int, *,
              train_mode: bool) -> parallel.StepFn:
  """The released distance step; ``train_mode`` for its first batch."""
  low, high = bounds(config)
  alpha = config.perturb_step_size * np.asarray(config.std, np.float32)
  positions = np.asarray(pair, np.int32)

  def released_step(state: train.TrainState, constants: Any, batch: Any, *,
                    axis_name: str | None = None) -> train.Stepped:
    retain, forget = batch
    rows = train.read(state, constants, retain, task)
    images, weights = rows.images, rows.weights
    forget_images, _ = batching.read(constants, forget)
    progress = jnp.take(positions, state.step) / max(num_pairs - 1, 1)
    ce_weight = config.ce_weight_start + progress * (
        config.ce_weight_end - config.ce_weight_start)

    def forward(stats: Any, images: jax.Array, mask: jax.Array,
                draw: Any) -> Any:
      keys = train.example_keys(state, retain.position, 3 + draw)
      return train.forward(
          model, state.params, stats,
          train.Rows(images, rows.labels, mask, keys), train=train_mode,
          axis_name=axis_name)

    def inner(carry: Any, draw: Any) -> Any:
      noise, stats = carry
      inside = images + noise
      if train_mode:  # the passes of the inert transport term move statistics
        _, stats = forward(stats, images, retain.mask, 3 * draw)
        _, stats = forward(stats, forget_images, forget.mask, 3 * draw + 1)

      def loss(perturbed: jax.Array) -> Any:
        outputs, new = forward(stats, perturbed, retain.mask, 3 * draw + 2)
        losses = tasks.example_loss(task, outputs.logits, rows.labels)
        total = jnp.where(weights > 0, losses, 0.0).sum()
        return train.mean(total, weights, axis_name), new

      gradient, stats = jax.grad(loss, has_aux=True)(
          jnp.clip(inside, low, high))
      gradient = jnp.where((inside >= low) & (inside <= high), gradient, 0.0)
      return (noise + alpha * jnp.sign(-ce_weight * gradient), stats), None

    steps = config.perturb_steps
    (noise, stats), _ = jax.lax.scan(
        inner, (jnp.zeros_like(images), state.batch_stats), jnp.arange(steps),
        unroll=parallel.inner_unroll(steps))
    perturbed = jax.lax.stop_gradient(jnp.clip(images + noise, low, high))
    inert = _inert_transport(
        model, state.variables, (images, forget_images),
        (weights, forget.mask), config, axis_name)
    new, metrics = train.supervised_update(
        model, task, state.replace(batch_stats=stats),
        rows._replace(images=perturbed), optimizer=config.optimizer,
        num_steps=constants['num_steps'], train_mode=train_mode,
        axis_name=axis_name)
    dropped = new.skipped > state.skipped  # then the inner passes go, too
    new = new.replace(batch_stats=jax.tree.map(
        lambda old, updated: jnp.where(dropped, old, updated),
        state.batch_stats, new.batch_stats))
    return new, metrics.replace(step={
        **metrics.step, 'ce_weight': ce_weight,
        'inert_ot': config.ot_weight * inert})

  return released_step


def _inert_transport(
    model: nn.Module, variables: Any, images: tuple[jax.Array, jax.Array],
    weights: tuple[jax.Array, Any], config: DLFDReleasedConfig,
    axis_name: str | None) -> jax.Array:
  """The logged transport cost between clean logits; no gradient uses it."""
  retain, forget = (train.logits(model, variables, x) for x in images)
  target = ot.prepare_target(
      forget, weights[1], config.sinkhorn, axis_name)
  return ot.transport(retain, weights[0], target, config.sinkhorn,
                      axis_name=axis_name).value
