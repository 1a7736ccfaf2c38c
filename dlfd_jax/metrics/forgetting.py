"""The papers' two summary figures, kept only for comparison with them.

Neither is a goal: a score of 0 or a NoMUS of 1 is not what retraining gives,
and the forgetting score cannot tell a model that forgot too little from one
that forgot too much. Read them beside the retrained model and the null.
"""

from __future__ import annotations


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


def _check(name, value):
  if not 0 <= value <= 1:
    raise ValueError(f'Expected {name} in [0, 1], got {value}.')
