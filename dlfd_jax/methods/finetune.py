"""Fine-tuning on retain: the baseline that relies on forgetting by neglect.

min over theta of the mean cross-entropy on retain, from the original. Reads
retain only (val and forget for the log); cost: one training pass over retain
per epoch.

Source: Golatkar et al. (2020), arXiv:1911.04933, as a baseline.
"""

from __future__ import annotations

import dataclasses

from dlfd_jax import training as train
from dlfd_jax.methods import base


@dataclasses.dataclass(frozen=True, kw_only=True)
class FinetuneConfig(base.MethodConfig):
  """Fine-tuning; every field is explained in ``MethodConfig``."""

  title = 'Fine-tuning'

  epochs: int = 2
  optimizer: train.OptimizerConfig = train.OptimizerConfig(learning_rate=1e-3)

  def plan(self, setting: base.Setting) -> base.Plan:
    """The supervised step on retain."""
    return base.Plan(
        steps={'finetune': setting.supervised_step(self)},
        batches=setting.stream('retain', self))
