"""Train state, SGD or Adam, supervised step and a step on any objective."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import optax

from dlfd_jax import parallel, tasks
from dlfd_jax.data import augment as augment_lib, batching
from dlfd_jax.models import Variables
from dlfd_jax.utils import memo, validate

# Random draws of batches that one step may read side by side: `read` takes the
# number and the next one.
RETAIN_STREAM, FORGET_STREAM = 0, 2
SCHEDULES = ('constant', 'cosine', 'triangle')
KINDS = ('sgd', 'adam', 'adamw')


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
  """SGD or Adam as in PyTorch: weight decay joins the gradient first.

  Attributes:
    kind: ``'sgd'``, ``'adam'`` (Kingma and Ba, 2015, arXiv:1412.6980; second
      moment's decay .999, epsilon 1e-8) or ``'adamw'``, whose weight decay
      joins the step instead (Loshchilov and Hutter, 2019, arXiv:1711.05101).
    learning_rate: learning rate at step 0, above 0.
    momentum: of SGD, or the decay of Adam's first moment; in [0, 1).
    weight_decay: times each parameter joins its gradient; at least 0.
    schedule: ``'constant'``; ``'cosine'``: one half period from
      ``learning_rate`` at step 0 to 0 at the end of the run; ``'triangle'``:
      from 0 up to it in the middle of the run, and down again.
    clip_norm: largest global norm of a gradient, before weight decay; None =
      no clipping.

  Raises:
    ValueError: if a field is out of its range.
  """

  kind: str = dataclasses.field(default='sgd', metadata={'flag': 'optimizer'})
  learning_rate: float = 0.01
  momentum: float = 0.9
  weight_decay: float = 5e-4
  schedule: str = 'constant'
  clip_norm: float | None = None

  def __post_init__(self) -> None:
    validate.one_of('kind', self.kind, KINDS)
    validate.number('learning_rate', self.learning_rate, 0, ends='(]')
    validate.number('momentum', self.momentum, 0, 1, ends='[)')
    validate.number('weight_decay', self.weight_decay, 0)
    validate.one_of('schedule', self.schedule, SCHEDULES)
    if self.clip_norm is not None:
      validate.number('clip_norm', self.clip_norm, 0, ends='(]')

  def transform(self) -> optax.GradientTransformation:
    """Gradient to direction; the step multiplies it by the learning rate."""
    parts = []
    if self.clip_norm is not None:
      parts.append(optax.clip_by_global_norm(self.clip_norm))
    if self.kind == 'sgd':
      rule = [optax.trace(decay=self.momentum)] if self.momentum else []
    else:
      rule = [optax.scale_by_adam(b1=self.momentum)]
    decay = [optax.add_decayed_weights(self.weight_decay)] if (
        self.weight_decay) else []
    parts += rule + decay if self.kind == 'adamw' else decay + rule
    return optax.chain(*parts) if parts else optax.identity()

  def rate(self, step: jax.typing.ArrayLike,
           num_steps: jax.typing.ArrayLike) -> jax.Array:
    """Learning rate of ``step`` (from 0) in a run of ``num_steps``."""
    if self.schedule == 'constant':
      return jnp.float32(self.learning_rate)
    if self.schedule == 'triangle':  # the middle of the step: never 0
      progress = (jnp.asarray(step, jnp.float32) + 0.5) / num_steps
      return self.learning_rate * (1 - jnp.abs(2 * progress - 1))
    progress = jnp.asarray(step, jnp.float32) / num_steps
    return self.learning_rate * 0.5 * (1 + jnp.cos(jnp.pi * progress))


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig:
  """A training recipe, the same for the original and the retrained model.

  Attributes:
    epochs: passes over the training images, at least 1.
    batch_size: images per step on all devices together.
    optimizer: SGD with one decaying cosine by default.
    augment: flip, shift, scale, rotate and jitter the images; None = as they
      are.
    seed: seed of the initialisation, the order, augmentation and dropout.

  Raises:
    ValueError: if a number is out of its range.
  """

  epochs: int = 30
  batch_size: int = 64
  optimizer: OptimizerConfig = OptimizerConfig(
      learning_rate=0.05, schedule='cosine')
  augment: augment_lib.AugmentConfig | None = None
  seed: int = 0

  def __post_init__(self) -> None:
    for name in ('epochs', 'batch_size'):
      validate.integer(name, getattr(self, name))
    validate.integer('seed', self.seed, 0)
    validate.instance('optimizer', self.optimizer, OptimizerConfig)
    if self.augment is not None:
      validate.instance('augment', self.augment, augment_lib.AugmentConfig)


class StepMetrics(flax.struct.PyTreeNode):
  """What a step measured, summed over the devices.

  Attributes:
    rows: sums over the rows that count; the log has their means over rows.
    count: how many rows count.
    step: values of the whole step; the log has their means over steps.
  """

  rows: dict[str, Any] = dataclasses.field(default_factory=dict)
  count: Any = 0.0
  step: dict[str, Any] = dataclasses.field(default_factory=dict)


class Rows(NamedTuple):
  """A batch inside a step, as :func:`read` makes it.

  Attributes:
    images: float32 ``[b, h, w, 3]`` in [0, 1], augmented.
    labels: ``[b, ...]``.
    weights: float32 ``[b]``; 0 = padding, no member or no known label.
    keys: one per row, for dropout.
  """

  images: jax.Array
  labels: jax.Array
  weights: jax.Array
  keys: jax.Array


class TrainState(flax.struct.PyTreeNode):
  """What a step changes. Replicated and unstacked on every device.

  Attributes:
    step: int32, steps taken, skipped ones included.
    params: the model's parameters.
    batch_stats: running statistics of its BatchNorm layers.
    opt_state: the optimiser's state.
    key: typed key; every random draw folds the step and the row into it.
    skipped: int32, steps whose result was not finite and was dropped.
    extra: arrays of a method's own that its steps change.
    rate_factor: float32 that multiplies every learning rate of the run; ``()``
      = 1. A part of the state, so that runs at many rates are one program.
  """

  step: jax.Array
  params: Any
  batch_stats: Any
  opt_state: Any
  key: jax.Array
  skipped: jax.Array
  extra: Any = ()
  rate_factor: Any = ()

  def stored(self) -> dict[str, Any]:
    """The fields of a checkpoint, without those that stay empty.

    A field of later versions then keeps no earlier run from going on.
    """
    fields = {field.name: getattr(self, field.name)
              for field in dataclasses.fields(self)}
    if isinstance(self.rate_factor, tuple):
      del fields['rate_factor']
    return fields

  @property
  def variables(self) -> Variables:
    return {'params': self.params, 'batch_stats': self.batch_stats}


Stepped = tuple[TrainState, StepMetrics]  # what a step returns


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


def as_part(state: TrainState, step: jax.typing.ArrayLike,
            take: Callable[[TrainState], Stepped],
            optimizer: str | None = None) -> Stepped:
  """A step of a part of the run, which counts its own steps.

  Args:
    state: before the step.
    step: the part's own number of it, for the schedule of the rate.
    take: the step.
    optimizer: whose state in ``state.opt_state``, a dictionary, it is; None =
      the parts share one.
  """
  shared = state.opt_state
  new, metrics = take(state.replace(
      step=step, opt_state=shared if optimizer is None else shared[optimizer]))
  after = new.opt_state if optimizer is None else {
      **shared, optimizer: new.opt_state}
  return new.replace(step=state.step + 1, opt_state=after), metrics


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
  if not isinstance(state.rate_factor, tuple):
    rate = rate * state.rate_factor
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


def read(state: TrainState, constants: Mapping[str, Any],
         batch: batching.Batch, task: tasks.Task,
         augment: augment_lib.AugmentConfig | None = None,
         stream: int = RETAIN_STREAM) -> Rows:
  """The rows of a batch inside a step.

  Args:
    state: its key and step are what augmentation and dropout draw from.
    constants: see ``batching.read``.
    batch: names the rows.
    task: tells which labels are known.
    augment: of the images, or None.
    stream: of the random draws; batches that one step reads side by side have
      even numbers of their own.
  """
  images, labels = batching.read(constants, batch)
  if augment is not None:
    images = augment_lib.augment(
        images, example_keys(state, batch.position, stream), augment)
  weights = batch.mask * tasks.has_label(task, labels)
  if batch.weights is not None:
    weights = weights * batch.weights
  return Rows(images, labels, weights,
              example_keys(state, batch.position, stream + 1))


def read_pair(state: TrainState, constants: Mapping[str, Any],
              pair: batching.Pair, task: tasks.Task,
              augment: augment_lib.AugmentConfig | None = None
              ) -> tuple[Rows, Rows]:
  """The rows of retain and those of forget; see :func:`read`."""
  return (read(state, constants, pair.retain, task, augment, RETAIN_STREAM),
          read(state, constants, pair.forget, task, augment, FORGET_STREAM))


def forward(model: nn.Module, params: Any, batch_stats: Any, rows: Rows, *,
            train: bool, axis_name: str | None,
            trainable: Sequence[str] | None = None) -> tuple[Any, Any]:
  """The model's outputs and the new statistics.

  With ``trainable`` the modules under the other top-level names run in
  evaluation mode: their statistics stay, and they do not drop out.

  Returns:
    ``(Outputs, batch_stats)``.
  """
  def keep_in_evaluation_mode(call: Callable[..., Any], args: Any, kwargs: Any,
                              context: Any) -> Any:
    path = context.module.path
    if 'train' in kwargs and path and path[0] not in trained:
      kwargs = {**kwargs, 'train': False}
    return call(*args, **kwargs)

  trained = part(params, trainable)
  with (contextlib.nullcontext() if trainable is None
        else nn.intercept_methods(keep_in_evaluation_mode)):
    outputs, new = model.apply(
        {'params': params, 'batch_stats': batch_stats}, rows.images,
        train=train, mask=rows.weights, keys=rows.keys, axis_name=axis_name,
        mutable=['batch_stats'])
  return outputs, new.get('batch_stats', batch_stats)


def logits(model: nn.Module, variables: Variables,
           images: jax.Array) -> jax.Array:
  """Logits in evaluation mode, ``[n, outputs]``: those of a teacher."""
  outputs: Any = model.apply(variables, images, train=False)
  return outputs.logits


def weighted_sum(values: jax.Array, weights: jax.Array) -> jax.Array:
  """Sum over rows ``[n]``; a row of weight 0 counts nothing, even if NaN."""
  return jnp.where(weights > 0, values * weights, 0.0).sum()


def classified(task: tasks.Task, logits: jax.Array, rows: Rows) -> StepMetrics:
  """Sums ``loss`` and ``correct`` over this device's rows, and their count."""
  return StepMetrics(
      {'loss': weighted_sum(
          tasks.example_loss(task, logits, rows.labels), rows.weights),
       'correct': weighted_sum(
           tasks.example_correct(task, logits, rows.labels), rows.weights)},
      rows.weights.sum())


def cross_entropy(model: nn.Module, task: tasks.Task, params: Any,
                  batch_stats: Any, rows: Rows, *, train: bool,
                  axis_name: str | None,
                  trainable: Sequence[str] | None = None
                  ) -> tuple[StepMetrics, Any, Any]:
  """:func:`forward` and its cross-entropy as *sums* over this device's rows.

  Returns:
    Metrics, see :func:`classified`; ``batch_stats``; ``Outputs``.
  """
  outputs, batch_stats = forward(
      model, params, batch_stats, rows, train=train, axis_name=axis_name,
      trainable=trainable)
  return classified(task, outputs.logits, rows), batch_stats, outputs


def mean(total: jax.Array, weights: jax.Array,
         axis_name: str | None) -> jax.Array:
  """This device's part of a mean over the rows of all devices.

  Args:
    total: of this device's rows, such as a :func:`weighted_sum`.
    weights: of this device's rows.
    axis_name: device axis, or None.
  """
  count = parallel.sum_over_devices(weights.sum(), axis_name)
  return total / jnp.maximum(count, 1.0)


def descend(state: TrainState, local_loss: Callable[[Any], Any],
            optimizer: OptimizerConfig, num_steps: jax.typing.ArrayLike, *,
            axis_name: str | None,
            trainable: Sequence[str] | None = None,
            shape: Callable[[Any], Any] | None = None) -> Stepped:
  """One descent step on any objective that is a sum over devices.

  Args:
    state: before the step.
    local_loss: of the parameters: this device's part of the global loss, and
      ``(batch_stats, StepMetrics)`` with this device's parts of the metrics.
    optimizer: the rule.
    num_steps: length of the run, for the schedule.
    axis_name: device axis, or None.
    trainable: top-level names of the parameters that move; None = all. No
      gradient is computed below the lowest of them.
    shape: of the global gradient: what the optimiser is given instead.

  Returns:
    The new state, and the metrics of all devices with ``gradient_norm``.
  """
  def of_trained(subset: Any) -> Any:
    return local_loss({**state.params, **subset})

  (value, (batch_stats, metrics)), gradients = jax.value_and_grad(
      of_trained, has_aux=True)(dict(part(state.params, trainable)))
  gradients, value, metrics = parallel.sum_over_devices(
      (gradients, value, metrics), axis_name)
  if shape is not None:
    gradients = shape(gradients)
  state, norm = update(
      state, gradients, batch_stats, value, optimizer, num_steps)
  return state, metrics.replace(step={**metrics.step, 'gradient_norm': norm})


def supervised_update(model: nn.Module, task: tasks.Task, state: TrainState,
                      rows: Rows, *, optimizer: OptimizerConfig,
                      num_steps: jax.typing.ArrayLike, train_mode: bool,
                      axis_name: str | None,
                      trainable: Sequence[str] | None = None,
                      shape: Callable[[Any], Any] | None = None) -> Stepped:
  """One descent step on the weighted mean cross-entropy of given rows.

  Args:
    model: the classifier.
    task: the task.
    state: before the step.
    rows: this device's.
    optimizer: the rule.
    num_steps: length of the run.
    train_mode: batch statistics and dropout; else running statistics alone.
    axis_name: device axis, or None.
    trainable: top-level names of the parameters that move; None = all.
    shape: see :func:`descend`.
  """
  def local_loss(params: Any) -> Any:
    metrics, batch_stats, _ = cross_entropy(
        model, task, params, state.batch_stats, rows, train=train_mode,
        axis_name=axis_name, trainable=trainable)
    return mean(metrics.rows['loss'], rows.weights, axis_name), (
        batch_stats, metrics)

  return descend(state, local_loss, optimizer, num_steps, axis_name=axis_name,
                 trainable=trainable, shape=shape)


@memo.one_for_equal
def make_supervised_step(
    model: nn.Module, task: tasks.Task, optimizer: OptimizerConfig,
    num_steps: int | None = None, *, train_mode: bool = True,
    augment: augment_lib.AugmentConfig | None = None,
    trainable: Sequence[str] | None = None) -> parallel.StepFn:
  """The supervised step on a ``batching.Batch``, of a pair on that of retain.

  See :func:`length` for ``num_steps``.
  """
  def train_step(state: TrainState, constants: Any, batch: Any, *,
                 axis_name: str | None = None) -> Stepped:
    if isinstance(batch, batching.Pair):
      batch = batch.retain
    return supervised_update(
        model, task, state, read(state, constants, batch, task, augment),
        optimizer=optimizer, num_steps=length(constants, num_steps),
        train_mode=train_mode, axis_name=axis_name, trainable=trainable)

  return train_step


@memo.one_for_equal
def make_member_step(step: parallel.StepFn) -> Callable[..., Stepped]:
  """Any step for many models at once: one program on one device.

  A model whose batch has no row that counts stays as it is, optimiser and all;
  so does one whose run is over.

  Returns:
    A function of stacked states ``[k, ...]``, which it takes over, what all
    share (``constants``), the lengths of their runs int32 ``[k]`` and stacked
    batches ``[k, b, ...]`` to stacked states and metrics.
  """
  def one(state: TrainState, constants: Any, num_steps: jax.Array,
          batch: batching.Batch) -> Stepped:
    new, metrics = step(state, {**constants, 'num_steps': num_steps}, batch)
    counts = batch.mask.sum() > 0
    return jax.tree.map(
        lambda n, o: jnp.where(counts, n, o), new, state), metrics

  return jax.jit(jax.vmap(one, (0, None, 0, 0)), donate_argnums=0)


def length(constants: Mapping[str, Any],
           num_steps: int | None = None) -> jax.typing.ArrayLike:
  """Steps of the run: ``num_steps``, or what the loop put into ``constants``.

  As an array it makes runs of any length one compiled program.
  """
  return constants['num_steps'] if num_steps is None else num_steps
