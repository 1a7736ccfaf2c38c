"""LoTUS: the original's own outputs, uncertain on forget and sure on retain.

min over theta of the mean, over forget and a part of retain, of the
cross-entropy to t, with z the original's logits and g Gumbel noise:

  on forget  t = softmax((z + g) / tau),  on retain  t = onehot(argmax(z + g)).

At the start of each epoch tau = exp(alpha d), where d is the student's accuracy
on forget minus the *original's* on val; the run stops where an epoch ends with
d <= -.01. Attributes are drawn each for itself (ours). Reads images of forget
and of the part of retain; labels only of forget and val, for d; cost: a pass
over forget and the part of retain per epoch, the original's forward passes, and
one more over forget.

Source: Spartalis et al. (2025), arXiv:2503.18314, and its released code. It
smooths the outputs on forget; the paper does not claim more. Ours: whether to
stop is decided on the forget images of the live attack, see ``live_limit``.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from dlfd_jax import loop, parallel, tasks, training as train
from dlfd_jax.data import batching
from dlfd_jax.methods import bad_teaching, base, live
from dlfd_jax.metrics import per_example
from dlfd_jax.utils import memo, validate

COUNT, TEACH = 'count', 'teach'
_GUMBEL = 4  # stream of the draws
_ENOUGH = -.01  # d at or below which it has forgotten


@dataclasses.dataclass(frozen=True, kw_only=True)
class LotusConfig(base.MethodConfig):
  """LoTUS; ``epochs`` are passes over the union, at most.

  Attributes:
    retain_share: part of retain that is drawn once and read, in (0, 1].
    temperature_slope: alpha, how fast tau falls with the accuracy on forget, at
      least 0; published are 2 (MUFAC, CIFAR-100) and 8 (CIFAR-10).

  Raises:
    ValueError: if a field is out of its range.
  """

  title = 'LoTUS'

  epochs: int = 10
  optimizer: train.OptimizerConfig = train.OptimizerConfig(
      kind='adamw', learning_rate=1e-4)
  retain_share: float = 0.3
  temperature_slope: float = 2.0

  def __post_init__(self) -> None:
    super().__post_init__()
    validate.number('retain_share', self.retain_share, 0, 1, ends='(]')
    validate.number('temperature_slope', self.temperature_slope, 0)

  def plan(self, setting: base.Setting) -> base.Plan:
    """In each epoch a count over forget, then a pass over the union."""
    problem = setting.problem
    forget = setting.stream('forget', self, shuffle=False)
    union = bad_teaching.teaching_batches(setting, self, self.retain_share)
    first, turn = forget.steps_per_epoch, union.steps_per_epoch
    both = first + turn
    known = original_accuracy(setting)
    ends = frozenset(range(0, self.epochs * both, both))

    def batch(step: int) -> Any:
      epoch, rest = divmod(step, both)
      return forget.batch(rest) if rest < first else union.batch(
          epoch * turn + rest - first)

    def stop(original: loop.Metrics, now: loop.Metrics) -> bool:
      return now['step'] in ends and now['forget_accuracy'] - original[
          'val_accuracy'] <= _ENOUGH

    state = setting.state(self)
    return base.Plan(
        steps={COUNT: make_count_step(problem.model, problem.task, both),
               TEACH: make_step(
                   problem.model, problem.task, self, first, turn)},
        batches=batching.Listed(both, batch), num_steps=self.epochs * both,
        schedule=lambda step: COUNT if step % both < first else TEACH,
        check_at=ends, stop=stop,
        constants={'teacher': setting.original, **setting.devices.share(
            {'val_accuracy': jnp.float32(known)})},
        findings={'original_val_accuracy': known},
        start=dataclasses.replace(state, extra={
            'correct': jnp.float32(0), 'seen': jnp.float32(0)}))


def original_accuracy(setting: base.Setting) -> float:
  """Mean correctness of the original on the val images with a known label.

  Raises:
    ValueError: if val or forget, with which it is compared, has none.
  """
  problem = setting.problem
  labels = problem.dataset.labels
  for name in ('val', 'forget'):
    if not per_example.has_label(
        problem.task, labels[getattr(problem.splits, name)]).any():
      raise ValueError(
          f'Expected a known label in {name}, as LoTUS compares the accuracies '
          'on forget and val, got none.')
  val = live.labelled(problem.dataset, problem.splits.stays('val'))
  right = tasks.example_correct(
      problem.task, jnp.asarray(setting.predictor(
          setting.original, val).logits), jnp.asarray(labels[val]))
  return parallel.fetch_scalars(right.mean())


@memo.one_for_equal
def make_count_step(model: nn.Module, task: tasks.Task,
                    every: int) -> parallel.StepFn:
  """Adds up how much of forget is answered rightly; no weight moves.

  It begins anew at each step that ``every`` divides.
  """
  def count_step(state: train.TrainState, constants: Any, batch: Any, *,
                 axis_name: str | None = None) -> train.Stepped:
    rows = train.read(state, constants, batch, task)
    logits = train.logits(model, state.variables, rows.images)
    found = parallel.sum_over_devices({
        'correct': train.weighted_sum(tasks.example_correct(
            task, logits, rows.labels), rows.weights),
        'seen': rows.weights.sum()}, axis_name)
    before = state.step % every > 0
    extra = {name: value + jnp.where(before, state.extra[name], 0.0)
             for name, value in found.items()}
    return state.replace(step=state.step + 1, extra=extra), train.StepMetrics(
        step={'forget_accuracy': extra['correct'] / jnp.maximum(
            extra['seen'], 1.0)})

  return count_step


@memo.one_for_equal
def make_step(model: nn.Module, task: tasks.Task, config: LotusConfig,
              first: int, turn: int) -> parallel.StepFn:
  """A step on a ``TeachingBatch``; ``constants`` hold ``teacher``.

  ``first`` steps of counting come before ``turn`` of these in an epoch.
  """
  def teach_step(state: train.TrainState, constants: Any, batch: Any, *,
                 axis_name: str | None = None) -> train.Stepped:
    rows = train.read(state, constants, batch, task, config.augment)
    rows = rows._replace(weights=batch.mask)  # no label is read
    on_forget = state.extra['correct'] / jnp.maximum(state.extra['seen'], 1.0)
    temperature = jnp.exp(
        config.temperature_slope * (on_forget - constants['val_accuracy']))
    drawn = draw(
        task, train.logits(model, constants['teacher'], rows.images),
        train.example_keys(state, batch.position, _GUMBEL))
    target = targets(drawn, batch.unlearn, temperature)

    def local_loss(params: Any) -> Any:
      outputs, batch_stats = train.forward(
          model, params, state.batch_stats, rows, train=config.train_mode,
          axis_name=axis_name)
      each = -(target * jax.nn.log_softmax(
          spread(task, outputs.logits))).sum(-1)
      if task.is_multilabel:
        each = each.mean(-1)
      loss = train.weighted_sum(each, rows.weights)
      return train.mean(loss, rows.weights, axis_name), (
          batch_stats, train.StepMetrics(
              {'loss': loss}, rows.weights.sum(),
              # The same on every device, of which the metrics are summed.
              {'temperature': temperature / parallel.axis_size(axis_name)}))

    epoch, rest = state.step // (first + turn), state.step % (first + turn)
    return train.as_part(
        state, epoch * turn + rest - first, lambda part: train.descend(
            part, local_loss, config.optimizer, config.epochs * turn,
            axis_name=axis_name))

  return teach_step


def spread(task: tasks.Task, logits: jax.Array) -> jax.Array:
  """Logits of classes, ``[n, c]``, or of yes and no, ``[n, attributes, 2]``."""
  logits = logits.astype(jnp.float32)
  return jnp.stack([logits, jnp.zeros_like(logits)], -1) if (
      task.is_multilabel) else logits


def draw(task: tasks.Task, logits: jax.Array, keys: jax.Array) -> jax.Array:
  """Logits, as :func:`spread` gives them, with Gumbel noise of each row's key.

  Their largest is a draw from the softmax.
  """
  logits = spread(task, logits)
  return logits + jax.vmap(
      lambda key: jax.random.gumbel(key, logits.shape[1:]))(keys)


def targets(drawn: jax.Array, unlearn: jax.Array,
            temperature: jax.typing.ArrayLike) -> jax.Array:
  """Soft where ``unlearn`` ``[n]`` is 1, else the draw itself, one-hot."""
  soft = jax.nn.softmax(drawn / temperature)
  hard = jax.nn.one_hot(drawn.argmax(-1), drawn.shape[-1])
  return jnp.where(
      unlearn.reshape(-1, *(1,) * (drawn.ndim - 1)) > 0, soft, hard)
