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

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from dlfd_jax import models, parallel, tasks, training as train
from dlfd_jax.data import batching
from dlfd_jax.methods import base
from dlfd_jax.utils import memo, validate

_RANDOM_NET = 0  # purpose of its key
_SUBSET = 10  # salt of the draw


@dataclasses.dataclass(frozen=True, kw_only=True)
class BadTeachingConfig(base.MethodConfig):
  """BadTeaching; ``epochs`` are passes over the union.

  Attributes:
    retain_share: part of retain that is drawn once and read, in (0, 1].
    temperature: T of both softmaxes, above 0.
    incompetent: ``'random'``: a network with new random weights; ``'uniform'``:
      all answers equally likely.

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

  def __post_init__(self):
    super().__post_init__()
    validate.number('retain_share', self.retain_share, 0, 1, ends='(]')
    base.check_temperature(self.temperature)
    validate.one_of('incompetent', self.incompetent, ('random', 'uniform'))

  def plan(self, setting: base.Setting) -> base.Plan:
    """Passes over the shuffled union of forget and a part of retain."""
    problem = setting.problem
    splits = problem.splits
    rng = np.random.default_rng([problem.seed, _SUBSET])
    size = max(round(self.retain_share * len(splits.retain)), 1)
    subset = np.sort(rng.choice(splits.retain, size, replace=False))
    union = setting.union(np.concatenate([subset, splits.forget]), self)
    frozen = {'competent': setting.original}
    findings = {}
    if self.incompetent == 'random':
      random_net = setting.devices.place(models.init(
          problem.model, setting.key(_RANDOM_NET), problem.dataset.image_size))
      frozen['incompetent'] = random_net
      logits = setting.predictor(random_net, splits.forget).logits
      findings['incompetent_entropy'] = parallel.fetch_scalar(
          tasks.example_entropy(problem.task, jnp.asarray(logits)).mean())

    def batch(step):
      rows = union.epoch_batch(step)
      return {**rows, 'unlearn': np.isin(
          rows['index'], splits.forget).astype(np.float32)}

    return base.Plan(
        steps={'teach': make_step(
            problem.model, problem.task, self,
            self.epochs * union.steps_per_epoch)},
        batches=batching.Listed(union.steps_per_epoch, batch), frozen=frozen,
        findings=findings)


@memo.one_for_equal
def make_step(model: nn.Module, task: tasks.Task, config: BadTeachingConfig,
              num_steps: int) -> parallel.StepFn:
  """One step on a batch of the union; ``batch['unlearn']`` is u.

  ``frozen`` holds the variables ``competent`` and, unless the other teacher is
  uniform, ``incompetent``.
  """
  def teaching_step(state, frozen, batch, *, axis_name=None):
    images, _ = train.read(state, frozen, batch, config.augment)
    weights, u = batch['mask'], batch['unlearn']
    count = parallel.sum_over_devices(weights.sum(), axis_name)
    keys = train.example_keys(state, batch['position'], 1)
    good = train.answer(model, frozen['competent'], images)
    bad = jnp.zeros_like(good)
    if config.incompetent == 'random':
      bad = train.answer(model, frozen['incompetent'], images)
    teacher = jnp.where(u[:, None] > 0, bad, good)

    def share(params):
      outputs, batch_stats = train.forward(
          model, params, state.batch_stats, images, weights,
          train=config.batch_norm == 'live', keys=keys, axis_name=axis_name)
      divergence = tasks.example_kl(
          task, teacher, outputs.logits, config.temperature)
      loss = train.weighted_sum(divergence, weights)
      return loss / jnp.maximum(count, 1.0), (batch_stats, {'loss_sum': loss})

    state, metrics = train.descend(
        state, share, config.optimizer, num_steps, axis_name=axis_name)
    return state, {**metrics, 'count': count}

  return teaching_step
