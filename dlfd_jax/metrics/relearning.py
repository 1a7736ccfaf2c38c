"""How fast a model learns the forget set again: relearn time and AIN.

The runs themselves are made by ``dlfd_jax.pipeline.relearn``; here is what is
read from them. A model that still holds the knowledge is quicker than a
retrained one.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from dlfd_jax.utils import validate

TOLERANCE = .05


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

  def __post_init__(self):
    validate.integer('steps', self.steps, 0)
    validate.boolean('capped', self.capped)


def target(accuracy_original: float, tolerance: float = TOLERANCE) -> float:
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
    goal: see :func:`target`.

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
  """``log2(t + 1)``: differences of it are log2 of the anamnesis index."""
  return math.log2(time.steps + 1)


def ain(unlearned: RelearnTime, retrained: RelearnTime) -> float | None:
  r"""Anamnesis index :math:`(t_u + 1) / (t_r + 1)`, above 0.

  1 = as slow as the retrained model; below 1: knowledge is left; above 1:
  over-forgetting. In steps, not epochs, and without a smoothing term, which
  would turn one epoch of difference into .0099 or 101.

  Returns:
    The index, a lower bound of it if the unlearned model is capped; None if the
    retrained one is capped or starts at the target: then it says nothing.

  Example:
    >>> ain(RelearnTime(2), RelearnTime(3))
    0.75

  Reference: Chundawat et al. (2023), arXiv:2201.05629.
  """
  if retrained.capped or retrained.steps == 0:
    return None
  return (unlearned.steps + 1) / (retrained.steps + 1)
