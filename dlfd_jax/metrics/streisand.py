"""Over-forgetting: forgetting itself becomes visible (the Streisand effect).

A model that answers wrongly, or oddly, on exactly the forgotten people tells
who they are. Why methods rewind: Kurmanji et al. (2023), arXiv:2302.09880.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from dlfd_jax.metrics import ranks, stats

NONE, RAISED = 'none', 'over-forgotten'
TAIL = .99


def tail_share(forget_losses: np.ndarray, unseen_losses: np.ndarray,
               forget_weights: np.ndarray | None = None,
               unseen_weights: np.ndarray | None = None,
               *, quantile: float = TAIL) -> np.ndarray:
  """Share of forget losses above a high quantile of the same model's unseen.

  About 1 - quantile if both are of one law; higher means that more forget
  images stand out as unusually wrong.

  Args:
    forget_losses: ``[n]``.
    unseen_losses: ``[m]``.
    forget_weights: non-negative ``[..., n]``; None = all 1.
    unseen_weights: non-negative ``[..., m]``; None = all 1.
    quantile: in (0, 1).

  Returns:
    ``[...]`` in [0, 1].

  Raises:
    ValueError: if a side is empty or not finite, or the quantile is outside
      (0, 1).
  """
  if not 0 < quantile < 1:
    raise ValueError(f'Expected quantile in (0, 1), got {quantile}.')
  forget = ranks.check_scores('forget losses', forget_losses)
  unseen = ranks.check_scores('unseen losses', unseen_losses)
  w = np.ones(forget.size) if forget_weights is None else forget_weights
  v = np.ones(unseen.size) if unseen_weights is None else unseen_weights
  order = np.argsort(unseen, kind='stable')
  below = np.cumsum(v[..., order], axis=-1)
  place = (below < quantile * below[..., -1:] * (1 - 1e-12)).sum(axis=-1)
  threshold = unseen[order][np.minimum(place, unseen.size - 1)]
  above = forget > threshold[..., None]
  return (w * above).sum(axis=-1) / w.sum(axis=-1)


@dataclasses.dataclass(frozen=True)
class Conditions:
  """Which of the three signs of over-forgetting are there.

  Attributes:
    auc: the attack AUC is below retraining's, and distinguishable from it.
    tail: more forget losses lie in the tail of unseen losses than for
      retraining: the interval of the difference is above 0.
    two_sided: the two-sided attack beats its value on retraining by more than
      the margin, and a model that merely still remembers does not explain it.
  """

  auc: bool
  tail: bool
  two_sided: bool

  @property
  def count(self) -> int:
    return self.auc + self.tail + self.two_sided

  @property
  def flag(self) -> str:
    return RAISED if self.count else NONE

  @property
  def sentences(self) -> list[str]:
    """What was found, one sentence per raised condition."""
    words = {
        'auc': 'forget images look less seen than those of a retrained model',
        'tail': 'more forget losses are unusually high than after retraining',
        'two_sided': 'a two-sided attack finds forget images better than after '
                     'retraining'}
    return [f'Raised: {words[name]}.' for name in words if getattr(self, name)]


def conditions(auc: stats.Difference, tail: stats.Difference,
               two_sided: stats.Difference | None, margin: float) -> Conditions:
  """The three conditions from differences to retraining.

  Two-sided accuracy is also high where a model simply still remembers. The
  third condition is therefore not counted where the AUC is distinguishably
  *above* retraining's: that is under-forgetting, the opposite fault.

  Args:
    auc: of the signed attack AUC.
    tail: of :func:`tail_share`.
    two_sided: of the two-sided attack accuracy, None if not computed.
    margin: differences of an AUC or attack accuracy below it do not matter.
  """
  far = stats.verdict(auc.low, auc.high, margin,
                      may_be_equal=True) == stats.DISTINGUISHABLE
  remembers = far and auc.value > 0
  return Conditions(
      auc=far and auc.value < 0,
      tail=tail.low > 0,
      two_sided=(two_sided is not None and two_sided.low > margin
                 and not remembers))
