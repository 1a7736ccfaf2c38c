"""Fine-tuning on retain: the baseline that relies on forgetting by neglect.

min over theta of the mean cross-entropy on retain, from the original. Reads
retain only (val and forget for the log); cost: one training pass over retain
per epoch.

Source: Golatkar et al. (2020), arXiv:1911.04933, as a baseline.
"""

from __future__ import annotations

import dataclasses

from dlfd_jax import loop, train
from dlfd_jax.methods import base, monitor


@dataclasses.dataclass(frozen=True, kw_only=True)
class FinetuneConfig(base.MethodConfig):
  """Fine-tuning; every field is explained in ``MethodConfig``."""

  epochs: int = 2
  optimizer: train.OptimizerConfig = train.OptimizerConfig(learning_rate=1e-3)


def make_plan(setting: base.Setting, config: FinetuneConfig
              ) -> tuple[loop.Plan, base.MethodController]:
  """The supervised step on retain, as often as ``epochs`` asks."""
  retain = setting.stream('retain', config)
  num_steps = config.epochs * retain.steps_per_epoch
  live = monitor.LiveAttack(setting, config.live_limit)
  step = train.make_supervised_step(
      setting.problem.model, setting.problem.task, config.optimizer,
      live=config.batch_norm == 'live', augment=config.augment)
  plan = loop.Plan(
      steps={'finetune': step}, num_steps=num_steps, batch=retain.epoch_batch,
      check_every=config.check_every or monitor.default_check_every(
          retain.steps_per_epoch, live.images, config.batch_size, 0))
  return plan, monitor.Monitor(
      live, setting.original, config, active='finetune')
