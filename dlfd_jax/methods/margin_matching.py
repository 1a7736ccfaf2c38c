"""Margin matching: forget images get the margins that unseen images have.

    min over theta of  CE on retain + w mean smoothL1(m(x_f) - q(x_f)),

where m is the logit of the true class minus the log-sum-exp of the others.
Within each class the forget images, in the order of their margins, are drawn to
the quantiles of the margins of held-out images under the same weights: optimal
transport between two laws on a line. Both margins are measured anew every few
joint steps, in evaluation mode.

**It optimises what the attacks of tier 0 measure, the losses of forget images
among those of unseen ones. These attacks therefore cannot judge it; references
(tiers 2 and 3) can.**

Reads retain and forget with labels, and a part of val that is set aside for it
(``held_out``); cost: two passes over retain per epoch, and a forward pass over
forget and the held-out images every ``renew_every`` steps.

Source: ours; smooth L1 is that of Girshick (2015), arXiv:1504.08083, quantiles
between the samples those of Hazen (1914). On augmented forget images it has
little effect.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from dlfd_jax import parallel, tasks, training as train
from dlfd_jax.data import augment as augment_lib, batching
from dlfd_jax.methods import base, joint
from dlfd_jax.utils import memo, validate

RENEW, MATCH = 'renew', 'match'
LEAST = 3  # held-out images of a class, or those of all classes stand for it
_MARGINS, _TARGETS = 'margins', 'targets'
_ALL = 2**31 - 1  # comes after every class
_LARGER = 4  # so many batches fit at once where nothing is differentiated


@dataclasses.dataclass(frozen=True, kw_only=True)
class MarginMatchingConfig(base.HeldOutConfig):
  """Margin matching.

  Attributes:
    weight: w of the distance between margins, at least 0.
    renew_every: joint steps between two measurements of the margins.

  Raises:
    ValueError: if a field is out of its range.
  """

  title = 'Margin matching'

  epochs: int = 3
  optimizer: train.OptimizerConfig = train.OptimizerConfig(
      learning_rate=0.02, schedule='cosine', clip_norm=1.0)
  batch_norm: str = 'batch'
  augment: augment_lib.AugmentConfig | None = None
  weight: float = dataclasses.field(
      default=0.3, metadata={'flag': 'margin_weight'})
  renew_every: int = 6

  def __post_init__(self) -> None:
    super().__post_init__()
    validate.number('weight', self.weight, 0)
    validate.integer('renew_every', self.renew_every)

  @property
  def caution(self) -> str:
    return ('Margin matching optimises what the attacks of tier 0 measure: '
            'judge it by references only (tiers 2 and 3).')

  def plan(self, setting: base.Setting) -> base.Plan:
    """Joint steps, and before every ``renew_every`` of them a renewal."""
    problem = setting.problem
    assert setting.held_out is not None  # by `reads_held_out`
    held_out, forget = setting.held_out.rows, problem.splits.forget
    labels = problem.dataset.labels
    pairs = setting.pairs(self)
    everybody = np.concatenate([held_out, forget])
    batches = -(-len(everybody) // self.batch_size)
    at_once = -(-batches // -(-batches // _LARGER))  # with little padding
    watched = batching.Stream(
        everybody, at_once * self.batch_size, shuffle=False)
    turns, length = watched.steps_per_epoch, self.epochs * pairs.steps_per_epoch
    rounds, cycle = -(-length // self.renew_every), turns + self.renew_every

    def schedule(step: int) -> str:
      return RENEW if step % cycle < turns else MATCH

    def batch(step: int) -> Any:
      finished, place = divmod(step, cycle)
      if place < turns:
        return watched.batch(place)
      return pairs.batch(finished * self.renew_every + place - turns)

    num_steps = length + rounds * turns
    places = places_of(_keys(labels[forget]), _keys(labels[held_out]))
    columns = places['classes'].shape[1]
    return base.Plan(
        steps={RENEW: make_renewal(
            problem.model, problem.task, watched.batch_size, cycle),
               MATCH: make_step(problem.model, problem.task, self)},
        batches=batching.Listed(-(-num_steps // self.epochs), batch),
        num_steps=num_steps, schedule=schedule, passes=6,
        constants=setting.devices.share(
            {'places': places, 'forget': forget.astype(np.int32)}),
        start=dataclasses.replace(setting.state(self), extra={
            _MARGINS: jnp.zeros((len(watched.indices), columns)),
            _TARGETS: jnp.zeros((len(forget), columns))}))


def _keys(labels: np.ndarray) -> np.ndarray:
  """Classes ``[n, 1]``, or what each attribute is ``[n, attributes]``."""
  return labels.reshape(len(labels), -1).astype(np.int32)


def margins(task: tasks.Task, logits: jax.Array,
            labels: jax.Array) -> jax.Array:
  """The margin of the true class ``[n, 1]``, or of each attribute ``[n, a]``.

  That of an attribute is its logit if it is there, minus its logit if not; 0
  where nobody knows.
  """
  if task.is_multilabel:
    return jnp.where(labels == tasks.UNKNOWN, 0.0,
                     (2 * labels - 1) * logits.astype(jnp.float32))
  return tasks.example_margin(task, logits, labels)[:, None]


def places_of(forget: np.ndarray, held_out: np.ndarray) -> dict[str, Any]:
  """Where each forget image finds the margins that it is compared with.

  Args:
    forget: classes of the forget images by attribute, int ``[n, a]``, -1 =
      unknown.
    held_out: likewise ``[m, a]``.

  Returns:
    int32 arrays. ``classes`` ``[n, a]`` and ``others`` ``[m, a]``: the
    arguments. And ``[n, a]`` for :func:`targets`: ``first`` of the class among
    the forget images in order of class and margin; ``count``, how many it has
    there; ``start`` and ``length`` of what it is compared with in the table of
    held-out margins, by class and then all in one; length 0 = nothing.
  """
  like = np.zeros_like(forget, np.int32)
  found = {name: like.copy() for name in ('first', 'count', 'start', 'length')}
  for a in range(forget.shape[1]):
    own, others = forget[:, a], held_out[:, a]
    known = int((others >= 0).sum())
    for key in np.unique(own[own >= 0]):
      rows, same = own == key, int((others == key).sum())
      found['first'][rows, a] = (own < key).sum()
      found['count'][rows, a] = rows.sum()
      enough = same >= LEAST
      found['start'][rows, a] = (
          (others < key).sum() if enough else len(others))
      found['length'][rows, a] = same if enough else known
  return {**found, 'classes': forget, 'others': held_out}


def targets(values: jax.Array, others: jax.Array,
            places: dict[str, jax.Array]) -> jax.Array:
  r"""The quantile that each forget image is drawn to.

  The image of rank r, from 0, among the n of its class gets the quantile at
  (r + 1/2) / n of the held-out margins, linear between the samples, of which
  the one of rank j among m stands at (j + 1/2) / m.

  Args:
    values: margins of the forget images, ``[n, a]``.
    others: margins of the held-out images, ``[m, a]``.
    places: see :func:`places_of`.

  Returns:
    ``[n, a]``; 0 where there is nothing to compare with.
  """
  def of_column(own: jax.Array, other: jax.Array,
                at: dict[str, jax.Array]) -> jax.Array:
    order = jnp.lexsort((own, at['classes']))
    rank = jnp.zeros_like(order).at[order].set(
        jnp.arange(len(own))) - at['first']
    known = at['others'] >= 0
    _, table = jax.lax.sort((
        jnp.concatenate([at['others'], jnp.full_like(at['others'], _ALL)]),
        jnp.concatenate([other, jnp.where(known, other, jnp.inf)])), num_keys=2)
    last = jnp.maximum(at['length'] - 1, 0)
    place = jnp.clip((rank + 0.5) / jnp.maximum(at['count'], 1)
                     * at['length'] - 0.5, 0, last)
    below = jnp.floor(place).astype(jnp.int32)
    low, high = (jnp.take(table, at['start'] + i, mode='clip')
                 for i in (below, jnp.minimum(below + 1, last)))
    return jnp.where(
        at['length'] > 0, low + (place - below) * (high - low), 0.0)

  return jax.vmap(of_column, in_axes=1, out_axes=1)(values, others, places)


@memo.one_for_equal
def make_renewal(model: nn.Module, task: tasks.Task, size: int,
                 cycle: int) -> parallel.StepFn:
  """Measures a batch of held-out and forget images; no weight moves.

  Args:
    model: the classifier.
    task: the task.
    size: rows of a batch on all devices together.
    cycle: steps from the first renewal to the next first one.
  """
  def renew(state: train.TrainState, constants: Any, batch: batching.Batch, *,
            axis_name: str | None = None) -> train.Stepped:
    rows = train.read(state, constants, batch, task)
    found = margins(task, train.logits(model, state.variables, rows.images),
                    rows.labels)
    old, places = state.extra[_MARGINS], constants['places']
    slot = jnp.where(batch.mask > 0, (state.step % cycle) * size
                     + batch.position, len(old))
    new, seen = parallel.sum_over_devices(
        (jnp.zeros_like(old).at[slot].set(found, mode='drop'),
         jnp.zeros(len(old)).at[slot].set(1, mode='drop')), axis_name)
    finite = jnp.isfinite(new).all()
    new = jnp.where((seen[:, None] > 0) & finite, new, old)
    others, values = jnp.split(new, [len(places['others'])])
    wanted = targets(values, others, places)
    counts = places['length'] > 0
    return state.replace(
        step=state.step + 1, extra={_MARGINS: new, _TARGETS: wanted},
        skipped=state.skipped + (~finite).astype(jnp.int32)), train.StepMetrics(
            step={'margin_distance': jnp.where(
                counts, jnp.abs(values - wanted), 0).sum() / jnp.maximum(
                    counts.sum(), 1)})

  return renew


@memo.one_for_equal
def make_step(model: nn.Module, task: tasks.Task,
              config: MarginMatchingConfig) -> parallel.StepFn:
  """A joint step on a ``batching.Pair``, to the last renewal's targets."""
  def match_step(state: train.TrainState, constants: Any, batch: Any, *,
                 axis_name: str | None = None) -> train.Stepped:
    retain, forget = train.read_pair(
        state, constants, batch, task, config.augment)
    row = jnp.searchsorted(constants['forget'], batch.forget.index)
    wanted = state.extra[_TARGETS][row]
    counts = constants['places']['length'][row] > 0
    forget = forget._replace(weights=forget.weights * counts.any(1))

    def loss_of(logits: jax.Array) -> jax.Array:
      apart = optax.huber_loss(margins(task, logits, forget.labels), wanted)
      return jnp.where(counts, apart, 0).sum(1) / jnp.maximum(counts.sum(1), 1)

    return joint.descend(
        model, task, config, state, constants, retain, forget, loss_of,
        name='margin_loss', weight=config.weight, axis_name=axis_name)

  return match_step
