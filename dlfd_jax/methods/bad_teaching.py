"""BadTeaching: a student of the original on retain, of a random net on forget.

min over theta of the mean, over forget and a part of retain, of
(1 - u) KL(T_s || S) + u KL(T_d || S): u is 1 on forget, the competent teacher
T_s is the original, the incompetent T_d a random network, the student S starts
from the original. Teachers run in evaluation mode on the student's own images.
Reads images of retain and forget, no labels; cost: a pass over forget and the
part of retain per epoch, and two teachers' forward passes.

Source: Chundawat et al. (2023), arXiv:2205.08096. An untrained network can be
very sure of itself: its mean entropy on forget is in the findings, and a
uniform teacher is the other choice.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from dlfd_jax import models, parallel, tasks, training as train
from dlfd_jax.data import batching
from dlfd_jax.methods import base
from dlfd_jax.utils import memo, rng, validate

_RANDOM_NET = 0  # purpose of its key
_SUBSET = 10  # salt of the draw


@dataclasses.dataclass(frozen=True, kw_only=True)
class BadTeachingConfig(base.MethodConfig):
  """BadTeaching; ``epochs`` are passes over the union.

  Attributes:
    retain_share: part of retain that is drawn once and read, in (0, 1].
    temperature: T of both softmaxes, above 0.
    incompetent: ``'random'``: a network with new random weights; ``'uniform'``:
      all outputs equally likely.

  Raises:
    ValueError: if a field is out of its range.
  """

  title = 'BadTeaching'

  batch_size: int = 256
  optimizer: train.OptimizerConfig = train.OptimizerConfig(
      kind='adam', learning_rate=1e-4, weight_decay=0.0)
  retain_share: float = 0.3
  temperature: float = 1.0
  incompetent: str = 'random'

  def __post_init__(self) -> None:
    super().__post_init__()
    validate.number('retain_share', self.retain_share, 0, 1, ends='(]')
    base.check_temperature(self.temperature)
    validate.one_of('incompetent', self.incompetent, ('random', 'uniform'))

  def plan(self, setting: base.Setting) -> base.Plan:
    """Passes over the shuffled union of forget and a part of retain."""
    problem = setting.problem
    constants = {'competent': setting.original}
    findings = {}
    if self.incompetent == 'random':
      random_net = setting.devices.place(models.init(
          problem.model, setting.key(_RANDOM_NET), problem.dataset.image_size))
      constants['incompetent'] = random_net
      logits = setting.predictor(random_net, problem.splits.forget).logits
      findings['incompetent_entropy'] = parallel.fetch_scalars(
          tasks.example_entropy(problem.task, jnp.asarray(logits)).mean())

    return base.Plan(
        steps={'teach': make_step(problem.model, problem.task, self)},
        batches=teaching_batches(setting, self, self.retain_share),
        constants=constants, findings=findings)


def teaching_batches(setting: base.Setting, config: base.MethodConfig,
                     share: float) -> batching.Listed:
  """The shuffled union of forget and a share of retain that is drawn once."""
  problem = setting.problem
  splits = problem.splits
  size = max(round(share * len(splits.retain)), 1)
  subset = np.sort(rng.generator(problem.seed, _SUBSET).choice(
      splits.retain, size, replace=False))
  union = setting.union(np.concatenate([subset, splits.forget]), config)

  forget = np.zeros(len(problem.dataset), np.float32)
  forget[splits.forget] = 1

  def batch(step: int) -> TeachingBatch:
    rows = union.batch(step)
    return TeachingBatch(**vars(rows), unlearn=forget[rows.index])

  return batching.Listed(union.steps_per_epoch, batch)


class TeachingBatch(batching.Batch):
  """A batch of the union; ``unlearn`` is u, float32 ``[b]``."""

  unlearn: Any = None


@memo.one_for_equal
def make_step(model: nn.Module, task: tasks.Task,
              config: BadTeachingConfig) -> parallel.StepFn:
  """One step on a :class:`TeachingBatch`.

  ``constants`` hold the variables ``competent`` and, unless the other teacher
  is uniform, ``incompetent``.
  """
  def teaching_step(state: train.TrainState, constants: Any, batch: Any, *,
                    axis_name: str | None = None) -> train.Stepped:
    rows = train.read(state, constants, batch, task, config.augment)
    rows = rows._replace(weights=batch.mask)  # no label is read
    good = train.logits(model, constants['competent'], rows.images)
    bad = jnp.zeros_like(good)
    if config.incompetent == 'random':
      bad = train.logits(model, constants['incompetent'], rows.images)
    teacher = jnp.where(batch.unlearn[:, None] > 0, bad, good)

    def local_loss(params: Any) -> Any:
      outputs, batch_stats = train.forward(
          model, params, state.batch_stats, rows, train=config.train_mode,
          axis_name=axis_name)
      loss = train.weighted_sum(tasks.example_kl(
          task, teacher, outputs.logits, config.temperature), rows.weights)
      return train.mean(loss, rows.weights, axis_name), (
          batch_stats, train.StepMetrics({'loss': loss}, rows.weights.sum()))

    return train.descend(state, local_loss, config.optimizer,
                         constants['num_steps'], axis_name=axis_name)

  return teaching_step
