r"""Is a model nearer to retrained models or to the original? Three samples.

Two honest retrainings differ, so that a test of "equal to a retrained model"
flags both as soon as there are images enough. A relative test asks for less: of
which of two models is the judged one the better likeness (Bounliphone et al.
2016, arXiv:1511.04581; of unlearning: Ribero et al. 2026, arXiv:2601.19755)?
Their tests compare clouds of outputs. Here all models answer the same images,
and are compared image by image, with d the norm of a difference:

.. math:: \Delta_g = \sum_{i \in g} d_i(\text{judged}, \text{original})
                     - d_i(\text{judged}, \text{retrained})

of a person g. If the judged model is as near to the one as to the other,
original and retrained may be exchanged in every person's answers, which changes
the sign of :math:`\Delta_g`; that gives p.

Answers must be comparable number by number. Outputs are, as probabilities.
Features of two networks are not: each has axes of its own. Instead an image is
described by how it lies to other, fixed images (:func:`to_anchors`; Moschella
et al. 2023, arXiv:2209.15430), and these anchors show other people, so that the
people who are compared stay independent. The entries of a centred kernel or
distance matrix of all images would not be: each belongs to two people.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from dlfd_jax.utils import validate

LEVEL = .05
ORIGINAL, RETRAINED = 'nearer to the original', 'nearer to retrained'
UNDECIDED = 'as near to the one as to the other'
_DRAWS = 1999
_AT_ONCE = 4_000_000  # signs held at once
_ROUNDING = 1e-12


@dataclasses.dataclass(frozen=True)
class Side:
  """Which of the two the judged model is nearer to.

  Attributes:
    name: ``ORIGINAL``, ``RETRAINED`` or ``UNDECIDED``.
    p_value: two-sided, in (0, 1].
  """

  name: str
  p_value: float


def to_anchors(features: np.ndarray, anchors: np.ndarray) -> np.ndarray:
  """Cosines between images and anchors, from the anchors' mean.

  They do not change under rotation, shift and scale of a network's features.

  Args:
    features: ``[n, d]`` of one network.
    anchors: ``[m, d]`` of the same network on fixed images.

  Returns:
    ``[n, m]`` over the root of m, so that the norm of a row's difference is the
    root mean square difference of its cosines; 0 where an image is the mean.

  Raises:
    ValueError: if they are no finite matrices of one width.

  Example:
    >>> print(to_anchors([[2., 0.]], [[1., 0.], [-1., 0.]]).round(3))
    [[ 0.707 -0.707]]
  """
  features, anchors = (_matrix(name, values) for name, values in (
      ('features', features), ('features of anchors', anchors)))
  if features.shape[1] != anchors.shape[1]:
    raise ValueError(
        f'Expected features of anchors [m, {features.shape[1]}], got '
        f'{list(anchors.shape)}.')
  centre = anchors.mean(0)
  images, fixed = _directions(features - centre), _directions(anchors - centre)
  return images @ fixed.T / np.sqrt(len(anchors))


def _directions(vectors: np.ndarray) -> np.ndarray:
  norms = np.linalg.norm(vectors, axis=1, keepdims=True)
  return np.divide(vectors, norms, out=np.zeros_like(vectors),
                   where=norms > _ROUNDING)


def nearness(to_original: Any, to_retrained: Any) -> np.ndarray:
  """How much nearer to the original, in [-1, 1].

  Args:
    to_original: mean distance to the original, a number or ``[...]``.
    to_retrained: to the retrained models, of the same shape.

  Returns:
    1 = the original itself, 0 = half-way, -1 = the retrained model itself; NaN
    where all three are the same.

  Example:
    >>> print(nearness([0., 2., 3.], [4., 2., 1.]))
    [ 1.   0.  -0.5]
  """
  first, second = (np.asarray(values, np.float64)
                   for values in (to_original, to_retrained))
  total = first + second
  return np.divide(second - first, total, out=np.full(total.shape, np.nan),
                   where=total > 0)


def side(to_original: np.ndarray, to_retrained: np.ndarray, units: np.ndarray,
         rng: np.random.Generator, draws: int = _DRAWS) -> Side:
  """Which of the two a model is nearer to, by permutation over people.

  Nearer to retrained means nearer than the original to each retrained model
  that is given, and nearer to the original means nearer to it than to each of
  them: p is the largest over the retrained models, and no single odd one can
  decide.

  Args:
    to_original: distance of each image to the original's answer, ``[n]``.
    to_retrained: to each retrained model's, ``[models, n]``.
    units: person of each image, int ``[n]``, at least 0.
    rng: draws the exchanges.
    draws: how many; p is at least ``2 / (1 + draws)``.

  Raises:
    ValueError: if shapes do not fit, there is no model or image, or a distance
      is negative or not finite.
  """
  to_retrained = _matrix('distances to retrained models', to_retrained)
  to_original = validate.floats('distances to the original', to_original)
  units = validate.array('persons', units)
  validate.integer('draws', draws, 1)
  n = to_retrained.shape[1]
  if to_original.shape != (n,) or units.shape != (n,):
    raise ValueError(
        f'Expected {n} distances to the original, and persons, got shapes '
        f'{list(to_original.shape)} and {list(units.shape)}.')
  if not min(to_original.min(), to_retrained.min()) >= 0 or not np.isfinite(
      to_original).all():
    raise ValueError('Expected distances of 0 or more, got others.')
  people = np.unique(units, return_inverse=True)[1].reshape(-1)
  sums = np.stack([np.bincount(people, model - to_original)
                   for model in to_retrained], axis=1)  # [people, models]
  seen = sums.sum(0)
  near = (to_original.sum() + to_retrained.sum(1)) * _ROUNDING
  reached = np.zeros((2, len(seen)))
  rows = max(1, _AT_ONCE // len(sums))
  for start in range(0, draws, rows):
    signs = rng.integers(
        0, 2, (min(rows, draws - start), len(sums)), np.int8) * 2.0 - 1.0
    drawn = signs @ sums
    reached += [(drawn >= seen - near).sum(0), (drawn <= seen + near).sum(0)]
  above, below = ((1 + reached) / (1 + draws)).max(1)
  p = min(1.0, 2 * float(min(above, below)))
  if p > LEVEL:
    return Side(UNDECIDED, p)
  return Side(ORIGINAL if above < below else RETRAINED, p)


def _matrix(name: str, values: np.ndarray) -> np.ndarray:
  values = validate.floats(name, values)
  if values.ndim != 2 or not values.size or not np.isfinite(values).all():
    raise ValueError(f'Expected finite {name}, a matrix, got shape '
                     f'{list(values.shape)}.')
  return values
