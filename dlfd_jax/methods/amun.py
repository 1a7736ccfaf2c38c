"""AMUN: trains forget images beside their nearest adversarial neighbours.

Of each forget image x the nearest x' is looked for that the original answers
otherwise, y' != y; then cross-entropy on the shuffled union of retain, forget
with its true labels and all (x', y'). What the network has to answer close to
x then pulls its confidence in x down to that in images it never saw.

The search is gradient ascent on the cross-entropy in steps of a tenth of a
radius (L2, pixel units), within that radius of x and in [0, 1]; it ends at the
first other answer, and goes on with twice the radius where there was none in
``attack_steps``. Evaluation mode; the network itself normalises its images. One
already answered otherwise is its own neighbour; one still answered as labelled
after ``doublings`` has none. x' is never augmented, which would move it off the
boundary. Of attributes, one known other answer suffices, all known ones of x'
are trained, and unknown ones stay unknown.

Reads forget with labels, and retain unless told not to; cost: up to
``attack_steps`` passes over forget for each radius, once, and one over retain
and two over forget per epoch. Memory: the neighbours, float32, on every device
and in every checkpoint.

Source: Ebrahimpour-Boroojeny et al. (2025), arXiv:2503.00917, and its released
attack, which also goes on from where the smaller radius ended. Ours: a bound on
the radius; a cosine instead of steps of the rate; running statistics.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from dlfd_jax import parallel, tasks, training as train
from dlfd_jax.data import batching
from dlfd_jax.methods import base
from dlfd_jax.models import Variables
from dlfd_jax.utils import memo, validate

ATTACK, TRAIN = 'attack', 'neighbours'
_LEAST = 1e-10  # norm of a gradient that is divided by
_Carried = tuple[jax.Array, jax.Array, jax.Array]  # step, images, found


@dataclasses.dataclass(frozen=True, kw_only=True)
class AMUNConfig(base.MethodConfig):
  """AMUN; ``epochs`` are passes over all that is trained on.

  Attributes:
    attack_steps: gradient steps within each radius, at least 1.
    radius: the first one, L2 norm in pixel units, above 0.
    doublings: of the radius, at most, at least 0.
    use_retain: train on retain, too.

  Raises:
    ValueError: if a field is out of its range.
  """

  title = 'AMUN'

  epochs: int = 10
  optimizer: train.OptimizerConfig = train.OptimizerConfig(
      learning_rate=0.01, schedule='cosine')
  attack_steps: int = 50
  radius: float = dataclasses.field(
      default=0.04, metadata={'flag': 'attack_radius'})
  doublings: int = dataclasses.field(
      default=10, metadata={'flag': 'attack_doublings'})
  use_retain: bool = True

  def __post_init__(self) -> None:
    super().__post_init__()
    validate.integer('attack_steps', self.attack_steps)
    validate.number('radius', self.radius, 0, ends='(]')
    validate.integer('doublings', self.doublings, 0, 30)
    validate.boolean('use_retain', self.use_retain)

  def plan(self, setting: base.Setting) -> base.Plan:
    """A pass over forget that attacks, then passes over the union."""
    problem = setting.problem
    data, forget = problem.dataset, problem.splits.forget
    attacked = setting.stream('forget', self, shuffle=False)
    kept = np.concatenate([problem.splits.retain, forget]) if (
        self.use_retain) else forget
    rows = np.concatenate([kept, forget])
    places = np.concatenate([np.full(len(kept), -1), np.arange(len(forget))])
    union = setting.union(np.arange(len(rows)), self)
    turn = attacked.steps_per_epoch

    def batch(step: int) -> NeighbourBatch:
      if step < turn:
        found = attacked.batch(step)
        return NeighbourBatch(**vars(found), place=np.searchsorted(
            forget, found.index).astype(np.int32))
      found = union.batch(step - turn)
      return NeighbourBatch(**vars(found.replace(
          index=rows[found.index].astype(np.int32))),
                            place=places[found.index].astype(np.int32))

    return base.Plan(
        steps={ATTACK: make_attack_step(problem.model, problem.task, self),
               TRAIN: make_step(problem.model, problem.task, self, turn)},
        batches=batching.Listed(union.steps_per_epoch, batch),
        num_steps=turn + self.epochs * union.steps_per_epoch,
        schedule=lambda step: ATTACK if step < turn else TRAIN,
        start=dataclasses.replace(setting.state(self), extra={
            'images': jnp.zeros(
                (len(forget), *data.images.shape[1:]), jnp.float32),
            'labels': jnp.zeros(
                (len(forget), *data.labels.shape[1:]), jnp.int32),
            'found': jnp.zeros(len(forget), jnp.float32)}))


class NeighbourBatch(batching.Batch):
  """A batch with neighbours in it.

  Attributes:
    place: int32, whose neighbour a row is, by its place in forget; -1 = it is
      the image itself.
  """

  place: Any = None


def answers(task: tasks.Task, logits: jax.Array,
            labels: jax.Array) -> jax.Array:
  """The predicted labels, ``[n]`` or ``[n, attributes]``, unknown ones kept."""
  if task.is_multilabel:
    return jnp.where(labels == tasks.UNKNOWN, tasks.UNKNOWN,
                     (logits > 0).astype(jnp.int32))
  return logits.argmax(-1).astype(jnp.int32)


def attack(model: nn.Module, task: tasks.Task, variables: Variables,
           images: jax.Array, labels: jax.Array, weights: jax.Array,
           config: AMUNConfig) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Nearest images with other answers: one loop for all images and radii.

  Args:
    model: the classifier.
    task: the task.
    variables: of the attacked model, evaluation mode.
    images: ``[b, h, w, 3]`` in [0, 1].
    labels: ``[b, ...]``.
    weights: ``[b]``; a row of weight 0 is not attacked.
    config: steps, radius and doublings.

  Returns:
    The last images, their predicted labels, and whether these differ from
    ``labels``, float32 ``[b]``, 0 where the weight is.
  """
  def differs(logits: jax.Array) -> jax.Array:
    other = answers(task, logits, labels) != labels
    return other.any(-1) if task.is_multilabel else other

  def loss(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    logits = train.logits(model, variables, x)
    return tasks.example_loss(task, logits, labels).sum(), logits

  def norm(x: jax.Array) -> jax.Array:
    return jnp.sqrt(jnp.square(x).sum((1, 2, 3), keepdims=True))

  def step(carried: _Carried) -> _Carried:
    number, x, done = carried
    gradient, logits = jax.grad(loss, has_aux=True)(x)
    done |= differs(logits)
    radius = config.radius * 2.0 ** (number // config.attack_steps)
    moved = x + radius / 10 * gradient / jnp.maximum(norm(gradient), _LEAST)
    change = moved - images
    change *= jnp.minimum(1, radius / jnp.maximum(norm(change), _LEAST))
    moved = jnp.clip(images + change, 0.0, 1.0)
    return number + 1, jnp.where(done[:, None, None, None], x, moved), done

  most = config.attack_steps * (config.doublings + 1)
  _, found, _ = jax.lax.while_loop(
      lambda carried: (carried[0] < most) & ~carried[2].all(), step,
      (jnp.int32(0), images, weights == 0))
  logits = train.logits(model, variables, found)
  return found, answers(task, logits, labels), jnp.where(
      weights > 0, differs(logits), False).astype(jnp.float32)


@memo.one_for_equal
def make_attack_step(model: nn.Module, task: tasks.Task,
                     config: AMUNConfig) -> parallel.StepFn:
  """A step that finds the neighbours of a batch; no weight moves."""
  def attack_step(state: train.TrainState, constants: Any,
                  batch: NeighbourBatch, *,
                  axis_name: str | None = None) -> train.Stepped:
    rows = train.read(state, constants, batch, task)
    images, labels, found = attack(
        model, task, state.variables, rows.images, rows.labels, rows.weights,
        config)
    size = len(state.extra['found'])
    place = parallel.gather_rows(
        jnp.where(batch.mask > 0, batch.place, size), axis_name)
    new = {'images': images, 'labels': labels, 'found': found}
    extra = {name: state.extra[name].at[place].set(
        parallel.gather_rows(values, axis_name), mode='drop')
             for name, values in new.items()}
    change = jnp.sqrt(jnp.square(images - rows.images).sum((1, 2, 3)))
    metrics = parallel.sum_over_devices(train.StepMetrics(
        {'attack_found': train.weighted_sum(found, rows.weights),
         'attack_distance': train.weighted_sum(change, rows.weights)},
        rows.weights.sum()), axis_name)
    return state.replace(step=state.step + 1, extra=extra), metrics

  return attack_step


@memo.one_for_equal
def make_step(model: nn.Module, task: tasks.Task, config: AMUNConfig,
              first: int) -> parallel.StepFn:
  """A supervised step on a :class:`NeighbourBatch`; the rate from ``first``."""
  def neighbour_step(state: train.TrainState, constants: Any,
                     batch: NeighbourBatch, *,
                     axis_name: str | None = None) -> train.Stepped:
    rows = train.read(state, constants, batch, task, config.augment)
    own = batch.place < 0
    near = {name: jnp.take(values, jnp.maximum(batch.place, 0), axis=0)
            for name, values in state.extra.items()}

    def pick(mine: jax.Array, neighbours: jax.Array) -> jax.Array:
      return jnp.where(
          own.reshape(-1, *[1] * (mine.ndim - 1)), mine, neighbours)

    rows = rows._replace(
        images=pick(rows.images, near['images']),
        labels=pick(rows.labels, near['labels']),
        weights=pick(rows.weights, batch.mask * near['found']))
    return train.as_part(
        state, state.step - first, lambda own: train.supervised_update(
            model, task, own, rows, optimizer=config.optimizer,
            num_steps=constants['num_steps'] - first,
            train_mode=config.train_mode, axis_name=axis_name))

  return neighbour_step
