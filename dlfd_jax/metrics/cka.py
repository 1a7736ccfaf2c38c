r"""Linear centred kernel alignment: how alike two sets of features are.

It does not change under rotation, shift and scale of either side. The biased
form is far above 0 for unrelated features when there are not many more images
than features (:func:`independent_floor`); the unbiased one is not, and leads.

References: Kornblith et al. (2019), arXiv:1905.00414; Song et al. (2012) and
Nguyen et al. (2021), arXiv:2010.15327, for the unbiased form.
"""

from __future__ import annotations

import numpy as np

from dlfd_jax.utils import validate


def biased(x: np.ndarray, y: np.ndarray) -> float:
  r"""Linear CKA in [0, 1]; higher means more alike.

  .. math:: \|Y^T X\|_F^2 / (\|X^T X\|_F \|Y^T Y\|_F)

  with centred columns.

  Args:
    x: features of one model ``[n, p]``, n >= 4.
    y: features of another on the same images ``[n, q]``.

  Returns:
    NaN if a side is constant.

  Raises:
    ValueError: if rows do not match, are fewer than 4, or not finite.
  """
  x, y = _check(x, y)
  return _ratio(*(float(np.square(a.T @ b).sum())
                  for a, b in ((x, y), (x, x), (y, y))))


def unbiased(x: np.ndarray, y: np.ndarray) -> float:
  """Linear CKA from unbiased HSIC: about 0 for unrelated features.

  1 for features that are equal up to rotation, shift and scale; it can be
  slightly below 0. Args, returns and errors as :func:`biased`.
  """
  x, y = _check(x, y)
  return _ratio(_hsic(x, y), _hsic(x, x), _hsic(y, y))


def independent_floor(n: int, features: int) -> float:
  """What the biased form gives for independent Gaussian features, p / (n + p).

  Args:
    n: images.
    features: per image, on both sides.

  Raises:
    ValueError: if a number is below 1.
  """
  if n < 1 or features < 1:
    raise ValueError(
        f'Expected n and features of at least 1, got {n} and {features}.')
  return features / (n + features)


def _hsic(x, y):
  """Unbiased HSIC times n (n - 3), from the features in O(n p q).

  With the linear kernels' diagonals set to 0: tr(K L) + 1'K1 1'L1 / ((n - 1)
  (n - 2)) - 2 / (n - 2) 1'K L 1.
  """
  n = len(x)
  own = np.square(x).sum(1), np.square(y).sum(1)
  rows = x @ x.sum(0) - own[0], y @ y.sum(0) - own[1]
  trace = np.square(x.T @ y).sum() - own[0] @ own[1]
  return float(
      trace + rows[0].sum() * rows[1].sum() / ((n - 1) * (n - 2))
      - 2 / (n - 2) * (rows[0] @ rows[1]))


def _ratio(both, first, second):
  product = first * second
  if first <= 0 or second <= 0 or not product > 0:
    return float('nan')
  return both / np.sqrt(product)


def _check(x, y):
  """Centred float64, scaled to unit size, so that no product is extreme."""
  arrays = []
  for values in (x, y):
    values = validate.floats('features', values)
    if values.ndim != 2 or len(values) < 4 or not values.size:
      raise ValueError(
          'Expected features [n, p] of at least 4 images, got '
          f'{list(values.shape)}.')
    if not np.isfinite(values).all():
      raise ValueError('Expected finite features, got others.')
    centred = values - values.mean(0)
    size = np.sqrt(np.square(centred).mean())
    small = size <= 1e-9 * max(np.abs(values).max(), 1e-300)
    arrays.append(centred * 0 if small else centred / size)
  if len(arrays[0]) != len(arrays[1]):
    raise ValueError(
        f'Expected the same images on both sides, got {len(arrays[0])} and '
        f'{len(arrays[1])}.')
  return arrays
