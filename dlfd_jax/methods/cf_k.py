"""CF-k, catastrophic forgetting: fine-tunes the last k blocks on retain.

min over the last k blocks (counted from the output, head included) of the mean
cross-entropy on retain, from the original. All below is untouched: no gradient,
no weight decay, no momentum, and its BatchNorm runs on its old statistics even
if the others use those of the batch. Reads retain; cost: at most one pass over
retain per epoch, without the backward pass below the cut.

Source: Goel et al. (2022), arXiv:2201.06640.
"""

from __future__ import annotations

import dataclasses

from dlfd_jax import models, training as train
from dlfd_jax.methods import base
from dlfd_jax.utils import validate


@dataclasses.dataclass(frozen=True, kw_only=True)
class CFKConfig(base.MethodConfig):
  """CF-k.

  Attributes:
    k: blocks that are trained, counted from the output, at least 1; in ResNet18
      the head is 1, head and last stage are 3, see ``models.blocks``.

  Raises:
    ValueError: if a field is out of its range.
  """

  title = 'CF-k'

  epochs: int = 10
  optimizer: train.OptimizerConfig = train.OptimizerConfig(learning_rate=0.01)
  k: int = 3

  def __post_init__(self) -> None:
    super().__post_init__()
    validate.integer('k', self.k)

  def start(self, setting: base.Setting) -> models.Variables:
    """Where the run starts."""
    return setting.problem.original

  def plan(self, setting: base.Setting) -> base.Plan:
    """The supervised step on retain for the last k blocks alone."""
    problem = setting.problem
    trainable = models.last_blocks(problem.model, problem.original, self.k)
    return base.Plan(
        steps={'finetune': setting.supervised_step(self, trainable)},
        batches=setting.stream('retain', self),
        start=setting.state(self, self.start(setting), trainable),
        findings={'trained': list(trainable)})
