"""How much was forgotten, and whether too much.

The papers' two summary metrics, forgetting score and NoMUS, are kept only for
comparison with them. Neither is a goal: a score of 0 or a NoMUS of 1 is not
what retraining gives, and the forgetting score cannot tell a model that forgot
too little from one that forgot too much. Read them beside the retrained model
and the null.

Over-forgetting: forgetting itself becomes visible (the Streisand effect). A
model that is wrong, or odd, on exactly the forgotten people tells who they are.
Why methods rewind: Kurmanji et al. (2023), arXiv:2302.09880.

Relearn time: how fast a model learns the forget set again. The runs themselves
are made by ``dlfd_jax.pipeline.relearn``; here is what is read from them. A
model that still holds the knowledge is quicker than a retrained one.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from dlfd_jax.metrics import ranks, stats
from dlfd_jax.utils import validate

NONE, RAISED = 'none', 'over-forgotten'
TAIL = .99
RELEARN_TOLERANCE = .05


def forgetting_score(mia_accuracy: float) -> float:
  """``2 |mia_accuracy - .5|``, in [0, 1]; 0 = the attack guesses.

  The authors' code prints half of it.

  Raises:
    ValueError: if the accuracy is not in [0, 1].

  Reference: Choi and Na (2023), arXiv:2311.02240; (2024), arXiv:2409.14747.
  """
  _check('mia_accuracy', mia_accuracy)
  return 2 * abs(mia_accuracy - .5)


def nomus(accuracy_test: float, score: float, *, weight: float = .5) -> float:
  r"""Normalised machine unlearning score, in [0, 1].

  .. math:: \lambda A_{test} + (1 - \lambda) (1 - FS)

  Higher is better by the papers' rule, which is not nearer to retraining.

  Args:
    accuracy_test: in [0, 1].
    score: forgetting score, in [0, 1] (twice what the authors' code prints).
    weight: lambda, in [0, 1].

  Raises:
    ValueError: if a value is not in [0, 1].

  Example:
    >>> print(round(nomus(.6330, forgetting_score(.6924)), 4))
    0.6241

  Reference: Choi and Na (2023), arXiv:2311.02240.
  """
  _check('accuracy_test', accuracy_test)
  _check('score', score)
  _check('weight', weight)
  return weight * accuracy_test + (1 - weight) * (1 - score)


def _check(name: str, value: float) -> None:
  if not 0 <= value <= 1:
    raise ValueError(f'Expected {name} in [0, 1], got {value}.')


def tail_share(forget_losses: np.ndarray, unseen_losses: np.ndarray,
               forget_weights: np.ndarray | None = None,
               unseen_weights: np.ndarray | None = None,
               *, quantile: float = TAIL) -> np.ndarray:
  """Share of forget losses above a high quantile of the same model's unseen.

  About 1 - quantile if both are of one distribution; higher means that more
  forget images stand out as unusually wrong.

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
class OverForgetting:
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


def over_forgetting(auc: tuple[float, float], tail: tuple[float, float],
                    two_sided: tuple[float, float] | None,
                    margin: float) -> OverForgetting:
  """The three conditions from intervals of differences to retraining.

  Two-sided accuracy is also high where a model simply still remembers. The
  third condition is therefore not counted where the AUC is distinguishably
  *above* retraining's: that is under-forgetting, the opposite fault.

  Args:
    auc: ``(low, high)`` of the signed attack AUC's difference.
    tail: of :func:`tail_share`'s.
    two_sided: of the two-sided attack accuracy's, None if not computed.
    margin: differences of an AUC or attack accuracy below it do not matter.
  """
  apart = stats.verdict(
      *auc, margin, may_be_equal=True) == stats.DISTINGUISHABLE
  remembers = apart and auc[0] > 0
  return OverForgetting(
      auc=apart and auc[1] < 0,
      tail=tail[0] > 0,
      two_sided=(two_sided is not None and two_sided[0] > margin
                 and not remembers))


@dataclasses.dataclass(frozen=True)
class RelearnTime:
  """The outcome of one relearning run.

  Attributes:
    steps: first step at which the target was met; the cap if it never was.
    capped: whether it never was.

  Raises:
    ValueError: if ``steps`` is negative.
  """

  steps: int
  capped: bool = False

  def __post_init__(self) -> None:
    validate.integer('steps', self.steps, 0)
    validate.boolean('capped', self.capped)


def relearn_target(accuracy_original: float,
                   tolerance: float = RELEARN_TOLERANCE) -> float:
  """Forget accuracy at which a model counts as having relearnt.

  Raises:
    ValueError: if the tolerance is not in [0, 1).
  """
  validate.number('tolerance', tolerance, 0, 1, ends='[)')
  return (1 - tolerance) * accuracy_original


def first_reach(accuracies: Sequence[float], goal: float) -> RelearnTime:
  """The first step whose accuracy is at or above the goal.

  Args:
    accuracies: on all of forget, in evaluation mode, before the first step
      (step 0) and after every step.
    goal: see :func:`relearn_target`.

  Raises:
    ValueError: if there is no accuracy.

  Example:
    >>> first_reach([.2, .5, .9, .8], .85)
    RelearnTime(steps=2, capped=False)
  """
  if not len(accuracies):
    raise ValueError('Expected at least one accuracy, got none.')
  for step, value in enumerate(accuracies):
    if value >= goal - 1e-9:
      return RelearnTime(step)
  return RelearnTime(len(accuracies) - 1, capped=True)


def log2_steps(time: RelearnTime) -> float:
  r"""``log2(t + 1)``: differences of it are log2 of the anamnesis index.

  The index is :math:`(t_u + 1) / (t_r + 1)`: 1 = as slow as the retrained
  model; below 1: knowledge is left; above 1: over-forgetting. In steps, not
  epochs, and without a smoothing term, which would turn one epoch of difference
  into .0099 or 101.

  Example:
    >>> log2_steps(RelearnTime(1)) - log2_steps(RelearnTime(3))
    -1.0

  Reference: Chundawat et al. (2023), arXiv:2201.05629.
  """
  return math.log2(time.steps + 1)
