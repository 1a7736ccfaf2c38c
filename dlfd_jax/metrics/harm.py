"""What unlearning costs those who stay."""

from __future__ import annotations

import numpy as np

from dlfd_jax.metrics import stats
from dlfd_jax.utils import validate

LIMIT = .05


def person_losses(reference: np.ndarray, correct: np.ndarray,
                  identity: np.ndarray) -> np.ndarray:
  """Accuracy that each person loses against retraining.

  Args:
    reference: correctness of each image under the retrained model (or the mean
      over several), ``[n]`` in [0, 1].
    correct: under the model to judge, ``[n]`` in [0, 1].
    identity: person of each image ``[n]``; -1 = an image for itself.

  Returns:
    ``[people]`` in [-1, 1], in the order of ``stats.units_of``; above 0 = worse
    than after retraining.

  Raises:
    ValueError: if the lengths differ or a value is out of its range.
  """
  reference, correct = (
      validate.floats('correctness', values) for values in (reference, correct))
  identity = validate.array('persons', identity)
  if reference.ndim != 1 or not (
      reference.shape == correct.shape == identity.shape):
    raise ValueError(
        'Expected one value per image on both sides, got '
        f'{list(reference.shape)}, {list(correct.shape)} and '
        f'{list(identity.shape)}.')
  for values in (reference, correct):
    if not ((values >= 0) & (values <= 1)).all():
      raise ValueError('Expected correctness in [0, 1], got other values.')
  units = stats.units_of(identity)
  return np.bincount(units, reference - correct) / np.bincount(units)


def harmed(losses: np.ndarray, limit: float = LIMIT) -> np.ndarray:
  """Who loses more than ``limit``, bool as ``losses``.

  Example:
    >>> print(harmed(np.array([0, .1, .3, 0])).mean())
    0.5
  """
  return np.asarray(losses) > limit + 1e-9


def worst(losses: np.ndarray, people: np.ndarray, images: np.ndarray,
          count: int = 10) -> list[dict]:
  """The people who lose most, by code, as JSON; those who lose nothing are out.

  Args:
    losses: ``[people]``.
    people: code of each ``[people]``.
    images: number of images of each ``[people]``.
    count: at most that many.
  """
  order = np.lexsort((people, -losses))[:count]
  return [{'person': int(people[i]), 'images': int(images[i]),
           'loss': float(losses[i])} for i in order if losses[i] > 1e-9]
