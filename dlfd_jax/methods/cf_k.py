"""CF-k, catastrophic forgetting: fine-tunes the last k blocks on retain.

min over the last k blocks (counted from the output, head included) of the mean
cross-entropy on retain, from the original. All below is untouched: no gradient,
no weight decay, no momentum, and its BatchNorm runs on its old statistics even
if the others' is live. Reads retain; cost: at most one pass over retain per
epoch, without the backward pass below the cut.

Source: Goel et al. (2022), arXiv:2201.06640.
"""

from __future__ import annotations

import dataclasses

from dlfd_jax import loop, models, train
from dlfd_jax.methods import base, monitor
from dlfd_jax.utils import validate


@dataclasses.dataclass(frozen=True, kw_only=True)
class CFKConfig(base.MethodConfig):
  """CF-k.

  Attributes:
    k: blocks that are trained, at least 1; see ``models.blocks``. In ResNet18
      the head is 1, head and last stage are 3.

  Raises:
    ValueError: if a field is out of its range.
  """

  epochs: int = 10
  optimizer: train.OptimizerConfig = train.OptimizerConfig(learning_rate=0.01)
  k: int = 3

  def __post_init__(self):
    super().__post_init__()
    validate.integer('k', self.k)


def make_plan(setting: base.Setting, config: CFKConfig,
              original: models.Variables | None = None
              ) -> tuple[loop.Plan, base.MethodController]:
  """The supervised step on retain for the last k blocks alone.

  Args:
    setting: of the run.
    config: of the method.
    original: where to start; None = the problem's original.
  """
  problem = setting.problem
  trainable = models.last_blocks(problem.model, problem.original, config.k)
  retain = setting.stream('retain', config)
  num_steps = config.epochs * retain.steps_per_epoch
  live = monitor.LiveAttack(setting, config.live_limit)
  step = train.make_supervised_step(
      problem.model, problem.task, config.optimizer,
      live=config.batch_norm == 'live', augment=config.augment,
      trainable=trainable)
  plan = loop.Plan(
      steps={'finetune': step}, num_steps=num_steps, batch=retain.epoch_batch,
      check_every=config.check_every or monitor.default_check_every(
          retain.steps_per_epoch, live.images, config.batch_size, 0),
      start=setting.state(config, original, trainable))
  return plan, monitor.Monitor(
      live, setting.original, config, active='finetune',
      findings={'trained': list(trainable)})
