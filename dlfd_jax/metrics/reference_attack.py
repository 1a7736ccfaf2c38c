r"""Per example: how far a model's margin is from that of reference models.

Reference models never saw the examples that are judged, so that what they agree
on is how hard an image is, and what a model adds to that is its own. The
statistic of an image x, of which the attacks with reference models differ only
in what they make of it:

.. math:: d(x) = (\phi(x) - \bar\phi(x)) / s, \quad
          s^2 = \sum_x \sum_k (\phi_k(x) - \bar\phi(x))^2
                / \sum_x (n_x - 1)

with :math:`\phi_k` the margins (``per_example.margin``) of the n references
and one spread s within images for all: at three to eight references an image's
own spread is noise. Signed, d is offline LiRA with a pooled variance (Carlini
et al., 2022, arXiv:2112.03570); its absolute value also sees outputs that were
pushed to the other side, or exchanged for those of other images.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dlfd_jax.utils import validate


def pooled_spread(*references: np.ndarray) -> float | None:
  """The spread of margins over models, within images.

  Args:
    *references: margins ``[models, n]`` of one or several sets of images.

  Returns:
    The root of the pooled variance, in units of the margin; None with fewer
    than two models, or if they all answer alike.

  Raises:
    ValueError: if they are no finite matrices of as many models, or there is no
      image.

  Example:
    >>> pooled_spread(np.array([[0., 5.], [2., 7.]]))
    1.4142135623730951
  """
  square, freedom = 0.0, 0
  for margins in references:
    margins = _matrix(margins)
    if len(margins) != len(references[0]):
      raise ValueError(
          f'Expected {len(references[0])} models on every side, got '
          f'{len(margins)}.')
    beside = margins - margins[0]  # exactly 0 where models answer alike
    square += float(np.square(beside - beside.mean(0)).sum())
    freedom += margins.shape[1] * (len(margins) - 1)
  return float(np.sqrt(square / freedom)) if freedom and square > 0 else None


def deviations(margins: np.ndarray, references: np.ndarray,
               spread: float = 1.0) -> np.ndarray:
  """Margins above the references' mean, in spreads, ``[n]``.

  Args:
    margins: of the judged model, ``[n]``.
    references: of the references, ``[models, n]``, at least one.
    spread: see :func:`pooled_spread`.

  Raises:
    ValueError: if shapes differ or a margin is not finite.

  Example:
    >>> print(deviations([3., 6.], [[0., 5.], [2., 7.]], 2.))
    [1. 0.]
  """
  references = _matrix(references)
  margins = validate.floats('margins', margins)
  if margins.shape != references.shape[1:] or not np.isfinite(margins).all():
    raise ValueError(
        f'Expected finite margins [{references.shape[1]}], got shape '
        f'{list(margins.shape)} and {int((~np.isfinite(margins)).sum())} that '
        'are not finite.')
  validate.number('spread', spread, 0, ends='(]')
  return (margins - references.mean(0)) / spread


def scores(margins: Sequence[np.ndarray], references: Sequence[np.ndarray], *,
           two_sided: bool = False) -> list[np.ndarray] | None:
  """Scores of several sets of images, higher = more member-like.

  Args:
    margins: of the judged model on each set, ``[n]``.
    references: of the references on each set, ``[models, n]``.
    two_sided: whether a deviation to either side counts.

  Returns:
    One ``[n]`` a set, in spreads; None where the references have no spread (or
    there is only one).

  Raises:
    ValueError: as :func:`deviations`.
  """
  spread = pooled_spread(*references)
  if spread is None:
    return None
  found = [deviations(*side, spread)
           for side in zip(margins, references, strict=True)]
  return [np.abs(side) for side in found] if two_sided else found


def _matrix(values: np.ndarray) -> np.ndarray:
  values = validate.floats('reference margins', values)
  if values.ndim != 2 or not values.size or not np.isfinite(values).all():
    raise ValueError(
        'Expected finite reference margins [models, n], got shape '
        f'{list(values.shape)}.')
  return values
