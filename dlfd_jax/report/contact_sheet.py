"""Pairs of images side by side: forget left, its copy right."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dlfd_jax.report import canvas

_COLUMNS = 4  # pairs in a row
_INCHES = 1.3


def draw(pairs: Sequence[tuple[np.ndarray, np.ndarray, str]]) -> bytes:
  """A PNG of the pairs with a caption each.

  Args:
    pairs: image, its copy (uint8 ``[h, w, 3]``) and the caption; at least one.

  Raises:
    ValueError: if there is none.
  """
  if not pairs:
    raise ValueError('Expected at least one pair of images, got none.')
  rows = -(-len(pairs) // _COLUMNS)
  with canvas.drawing(_COLUMNS * 2 * _INCHES, rows * (_INCHES + .35)) as figure:
    axes = figure.subplots(rows, 2 * _COLUMNS, squeeze=False)
    for axis in axes.flat:
      axis.set_axis_off()
    for k, (image, copy, caption) in enumerate(pairs):
      row, column = divmod(k, _COLUMNS)
      left, right = axes[row, 2 * column], axes[row, 2 * column + 1]
      left.imshow(image)
      right.imshow(copy)
      left.set_title(caption, fontsize=6, fontweight='normal')
    return canvas.to_bytes(figure, 'png')
