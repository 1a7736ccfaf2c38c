"""EU-k, exact unlearning of the last k blocks: trained anew on retain.

As CF-k, but the last k blocks start from new random weights and new BatchNorm
statistics, and get the budget of the original training: give it the original's
recipe. Reads retain; cost: the original training on retain, without the
backward pass below the cut.

Source: Goel et al. (2022), arXiv:2201.06640. Ours: weights that are drawn, not
a stored copy; BatchNorm uses batch statistics in the new blocks, because those
that were made for other weights cannot normalise these.
"""

from __future__ import annotations

import dataclasses

from dlfd_jax import models, training as train
from dlfd_jax.methods import base, cf_k

_FRESH = 0  # purpose of the initialisation's key


@dataclasses.dataclass(frozen=True, kw_only=True)
class EUKConfig(cf_k.CFKConfig):
  """EU-k; the defaults are those of ``training.TrainConfig``.

  Raises:
    ValueError: if a field is out of its range, or BatchNorm is frozen.
  """

  title = 'EU-k'

  epochs: int = 30
  optimizer: train.OptimizerConfig = train.OptimizerConfig(
      learning_rate=0.05, schedule='cosine')
  batch_norm: str = 'batch'

  def __post_init__(self) -> None:
    super().__post_init__()
    base.check_batch_statistics(self, "EU-k's blocks start anew")

  def start(self, setting: base.Setting) -> models.Variables:
    """The original with the last k blocks drawn anew, statistics included."""
    problem = setting.problem
    names = models.last_blocks(problem.model, problem.original, self.k)
    fresh = models.init(
        problem.model, setting.key(_FRESH), problem.dataset.image_size)
    return {
        kind: {**problem.original[kind], **{
            name: fresh[kind][name] for name in names if name in fresh[kind]}}
        for kind in ('params', 'batch_stats')}
