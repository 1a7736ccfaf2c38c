"""The contact sheet of copies; the page is tested with the command."""

import io

import numpy as np
import pytest
from PIL import Image

from dlfd_jax.report import check_page

RED, BLUE = (200, 0, 0), (0, 0, 200)


def _pixels(count, caption):
  pair = [np.full((6, 6, 3), color, np.uint8) for color in (RED, BLUE)]
  png = check_page.contact_sheet([(*pair, caption)] * count)
  return np.asarray(Image.open(io.BytesIO(png)).convert('RGB'))


@pytest.mark.parametrize('count, rows', [(1, 1), (4, 1), (5, 2)])
def test_every_pair_stands_side_by_side(count, rows):
  sheet, one = _pixels(count, 'a caption'), _pixels(1, '')
  left, right = (np.nonzero((sheet == color).all(-1))[1]
                 for color in (RED, BLUE))
  assert left.min() < right.min() and left.max() < right.max()
  assert len(left) == len(right) > 0
  assert len(left) == pytest.approx(
      count * (one == RED).all(-1).sum(), rel=.1)
  assert len(sheet) == pytest.approx(rows * len(one), rel=.1)


def test_no_pair_is_refused():
  with pytest.raises(ValueError, match='at least one pair of images, got none'):
    check_page.contact_sheet([])
