"""Random labels: forget images get wrong labels and are trained on with retain.

min over theta of the mean cross-entropy over the shuffled union, with y on
retain and y' on forget, y' uniform over the *other* classes. Attributes are
drawn by fair coins: to flip them all would be an inversion, no forgetting.
Reads retain and forget with labels; cost: a pass over both per epoch.

Source: Golatkar et al. (2020), arXiv:1911.04933; Graves et al. (2021),
arXiv:2010.10981. Ours: y' is drawn anew in each epoch by default; the two
published codes draw it once. BatchNorm takes the statistics of its batches, as
in the code of Fan et al. (2024), arXiv:2310.12508.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import flax.linen as nn
import numpy as np

from dlfd_jax import parallel, tasks, training as train
from dlfd_jax.data import batching
from dlfd_jax.methods import base
from dlfd_jax.utils import memo, rng, validate

_DRAW = 14  # salt of the labels


@dataclasses.dataclass(frozen=True, kw_only=True)
class RandomLabelsConfig(base.MethodConfig):
  """Random labels; ``epochs`` are passes over retain and forget together.

  Attributes:
    redraw: the labels on forget are new in each ``'epoch'``, or drawn
      ``'once'``.

  Raises:
    ValueError: if a field is out of its range.
  """

  title = 'Random labels'

  epochs: int = 3
  optimizer: train.OptimizerConfig = train.OptimizerConfig(
      kind='adam', learning_rate=1e-4, weight_decay=0.0)
  batch_norm: str = 'batch'
  redraw: str = 'epoch'

  def __post_init__(self) -> None:
    super().__post_init__()
    validate.one_of('redraw', self.redraw, ('epoch', 'once'))

  def plan(self, setting: base.Setting) -> base.Plan:
    """Passes over the union, with the labels that each batch names."""
    return base.Plan(
        steps={'relabel': make_step(
            setting.problem.model, setting.problem.task, self)},
        batches=self.relabelled(setting))

  def relabelled(self, setting: base.Setting) -> batching.Listed:
    """Batches of the union with wrong labels on forget."""
    data, splits = setting.problem.dataset, setting.problem.splits
    union = setting.union(
        np.concatenate([splits.retain, splits.forget]), self)

    @functools.lru_cache(maxsize=2)
    def labels_of(epoch: int) -> np.ndarray:
      labels = data.labels.copy()
      labels[splits.forget] = wrong_labels(
          data.task, labels[splits.forget],
          rng.generator(setting.problem.seed, _DRAW, epoch))
      return labels

    def batch(step: int) -> RelabelledBatch:
      epoch = step // union.steps_per_epoch if self.redraw == 'epoch' else 0
      rows = union.batch(step)
      return RelabelledBatch(
          **vars(rows), targets=labels_of(epoch)[rows.index])

    return batching.Listed(union.steps_per_epoch, batch)


class RelabelledBatch(batching.Batch):
  """A batch with labels of its own; ``targets`` ``[b, ...]``."""

  targets: Any = None


def wrong_labels(task: tasks.Task, labels: np.ndarray,
                 generator: np.random.Generator) -> np.ndarray:
  """Labels that are not the true ones; of attributes, fair coins.

  Args:
    task: the task.
    labels: int32 ``[n]`` or ``[n, attributes]``.
    generator: of the draw.

  Returns:
    Labels of the same shape and type, all known.
  """
  if task.is_multilabel:
    return generator.integers(0, 2, labels.shape, dtype=labels.dtype)
  shift = generator.integers(
      1, task.num_outputs, labels.shape, dtype=labels.dtype)
  return (labels + shift) % task.num_outputs


def read(state: train.TrainState, constants: Any, batch: RelabelledBatch,
         task: tasks.Task, config: RandomLabelsConfig) -> train.Rows:
  """The rows of a batch with its own labels."""
  rows = train.read(state, constants, batch, task, config.augment)
  return rows._replace(
      labels=batch.targets,
      weights=batch.mask * tasks.has_label(task, batch.targets))


@memo.one_for_equal
def make_step(model: nn.Module, task: tasks.Task,
              config: RandomLabelsConfig) -> parallel.StepFn:
  """A supervised step on a :class:`RelabelledBatch`."""
  def relabel_step(state: train.TrainState, constants: Any, batch: Any, *,
                   axis_name: str | None = None) -> train.Stepped:
    return train.supervised_update(
        model, task, state, read(state, constants, batch, task, config),
        optimizer=config.optimizer, num_steps=constants['num_steps'],
        train_mode=config.train_mode, axis_name=axis_name)

  return relabel_step
