"""DLFD with other distances and forget batches, to be tried against its own.

With every option off it takes DLFD's own step, bit by bit.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from dlfd_jax import models, ot, parallel, tasks, training as train
from dlfd_jax.data import batching
from dlfd_jax.methods import base, dlfd
from dlfd_jax.models import Variables
from dlfd_jax.utils import memo, rng, validate

_UNSEEN = 20  # salt of the batches of unseen images


@dataclasses.dataclass(frozen=True, kw_only=True)
class VariantConfig(dlfd.DLFDConfig):
  """DLFD and what it might do instead.

  Attributes:
    relative: the transport term is S(h(x*), h(x_f)) - S(h(x*), h(x_u)): away
      from forget images only as far as from unseen ones, which are set aside of
      val. Costs a forward pass on them and a second transport problem in every
      inner step.
    every_block: its features are those of all blocks, each block's scaled to
      unit rows; the cost of a pair is then the mean over the blocks.
    by_person: forget batches show each person equally often.

  Raises:
    ValueError: if a field is out of its range.
  """

  relative: bool = False
  every_block: bool = False
  by_person: bool = False

  def __post_init__(self) -> None:
    super().__post_init__()
    validate.one_of('update_loss', self.update_loss, ('ce',))
    validate.one_of('representation', self.representation, ('features',))

  @property
  def reads_held_out(self) -> float | None:
    return base.HeldOutConfig.held_out if self.relative else None

  def plan(self, setting: base.Setting) -> base.Plan:
    """DLFD's, with a distance step and batches of its own."""
    problem, plan = setting.problem, super().plan(setting)
    pairs = setting.pairs(self)
    forget: Callable[[int], batching.Batch] = pairs.forget.cycled_batch
    if self.by_person:
      rows = problem.splits.forget
      forget = ByPerson(rows, problem.dataset.identity[rows], self.batch_size,
                        problem.seed).batch
    unseen = None
    if setting.held_out is not None:
      unseen = batching.Stream(setting.held_out.rows, self.batch_size,
                               problem.seed, _UNSEEN).cycled_batch

    def batch(step: int) -> batching.Pair:
      gone = forget(step)
      return batching.Pair(
          pairs.retain.batch(step),
          gone if unseen is None else Sides(gone, unseen(step)))  # type: ignore

    return dataclasses.replace(
        plan, batches=batching.Listed(pairs.steps_per_epoch, batch),
        steps={**plan.steps, dlfd.DISTANCE: make_step(
            problem.model, problem.task, self)})


class Sides(NamedTuple):
  """What retain images leave, and what they leave no farther behind."""

  forget: batching.Batch
  unseen: batching.Batch


@dataclasses.dataclass(frozen=True)
class ByPerson:
  """Full batches of an endless walk that shows each person equally often.

  People in a new order in every round, one image of each, the next one of that
  person's; an image of nobody known is a person.

  Attributes:
    rows: of the data set, ``[n]``.
    people: whose, ``[n]``, -1 = nobody known.
    batch_size: rows of every batch.
    seed: of the orders.
  """

  rows: np.ndarray
  people: np.ndarray
  batch_size: int
  seed: int

  def batch(self, step: int) -> batching.Batch:
    """That of ``step``, from 0; it depends on the step alone."""
    unknown = self.people < 0
    units = np.where(unknown, -1 - np.arange(len(self.people)), self.people)
    shuffled = rng.generator(self.seed, base.FORGET).permutation(len(units))
    order = shuffled[np.argsort(units[shuffled], kind='stable')]
    _, first, count = np.unique(
        units[order], return_index=True, return_counts=True)
    turn, place = np.divmod(
        step * self.batch_size + np.arange(self.batch_size), len(first))
    unit = np.empty_like(place)
    for one in np.unique(turn):
      here = turn == one
      unit[here] = rng.generator(self.seed, base.FORGET, int(one)).permutation(
          len(first))[place[here]]
    picked = order[first[unit] + turn % count[unit]]
    return batching.pad(self.rows[picked], self.batch_size)


class EveryBlock(NamedTuple):
  """A classifier whose features are those of all its blocks."""

  model: nn.Module

  def apply(self, variables: Variables, images: jax.Array, *,
            train: bool) -> models.Outputs:
    """Outputs in evaluation mode, with unit rows of each block side by side."""
    assert not train
    outputs, means = models.with_block_means(self.model, variables, images)
    return outputs._replace(features=jnp.concatenate(
        [*map(ot.unit_rows, means.values()), ot.unit_rows(outputs.features)],
        axis=-1))


def objective(model: Any, task: tasks.Task, variables: Variables,
              rows: train.Rows, targets: tuple[ot.Target, ot.Target],
              ce_weight: jax.Array, config: VariantConfig,
              axis_name: str | None
              ) -> Callable[[jax.Array], tuple[jax.Array, ot.Transport]]:
  """:func:`dlfd.objective` with the difference of two distances.

  ``targets`` are forget and unseen images; one forward pass serves both.
  """
  count = parallel.sum_over_devices(rows.weights.sum(), axis_name)
  everyone = parallel.gather_rows(rows.weights, axis_name)

  def evaluate(images: jax.Array) -> tuple[jax.Array, ot.Transport]:
    outputs = model.apply(variables, images, train=False)
    features = parallel.gather_rows(outputs.features, axis_name)
    forget, unseen = (
        ot.transport(features, everyone, target, config.sinkhorn)
        for target in targets)
    distance = forget.value - unseen.value
    losses = tasks.example_loss(task, outputs.logits, rows.labels)
    ce = train.weighted_sum(losses, (rows.weights > 0).astype(jnp.float32))
    return (config.ot_weight * distance / parallel.axis_size(axis_name)
            - ce_weight * ce / jnp.maximum(count, 1.0)
            ), forget._replace(value=distance)

  return evaluate


@memo.one_for_equal
def make_step(model: nn.Module, task: tasks.Task,
              config: VariantConfig) -> parallel.StepFn:
  """A distance step on a ``batching.Pair``, whose forget may be ``Sides``."""
  seen_by = EveryBlock(model) if config.every_block else model

  def step(state: train.TrainState, constants: Any, batch: Any, *,
           axis_name: str | None = None) -> train.Stepped:
    rows = train.read(state, constants, batch.retain, task, config.augment)
    sides = batch.forget if config.relative else (batch.forget,)
    targets = tuple(dlfd.forget_target(
        seen_by, state.variables, train.read(
            state, constants, side, task, config.augment, stream=stream).images,
        side.mask, config, axis_name)
                    for side, stream in zip(sides, (2, 4), strict=False))
    num_steps = train.length(constants)
    ce_weight = config.ce_weight(state.step, num_steps)
    evaluate = (
        objective(seen_by, task, state.variables, rows, targets, ce_weight,
                  config, axis_name) if config.relative else
        dlfd.objective(seen_by, task, state.variables, rows.labels,
                       rows.weights, targets[0], ce_weight, config, axis_name))
    images, metrics = dlfd.perturb(evaluate, rows.images, config)
    state, updated = train.supervised_update(
        model, task, state, rows._replace(images=images),
        optimizer=config.optimizer, num_steps=num_steps,
        train_mode=config.train_mode, axis_name=axis_name)
    return state, updated.replace(step={**metrics, **updated.step})

  return step
