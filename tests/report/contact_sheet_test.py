"""The contact sheet of copies."""

import io

import numpy as np
import pytest
from PIL import Image

from dlfd_jax.report import contact_sheet

RED, BLUE = (200, 0, 0), (0, 0, 200)


def flat(colour):
  return np.full((6, 6, 3), colour, np.uint8)


def places(png, colour):
  """Where the sheet has this colour: rows and columns of its pixels."""
  pixels = np.asarray(Image.open(io.BytesIO(png)).convert('RGB'))
  return np.nonzero((pixels == colour).all(-1)), pixels.shape


@pytest.mark.parametrize('count, rows', [(1, 1), (4, 1), (5, 2)])
def test_every_pair_stands_side_by_side(count, rows):
  sheet = contact_sheet.draw([(flat(RED), flat(BLUE), 'a caption')] * count)
  (_, left), shape = places(sheet, RED)
  (_, right), _ = places(sheet, BLUE)
  assert left.min() < right.min() and left.max() < right.max()
  assert len(left) == len(right) > 0
  one = len(places(contact_sheet.draw(
      [(flat(RED), flat(BLUE), '')]), RED)[0][0])
  assert len(left) == pytest.approx(count * one, rel=0.1)
  assert shape[0] == pytest.approx(
      rows * places(contact_sheet.draw([(flat(RED), flat(BLUE), '')]),
                    RED)[1][0], rel=0.1)


def test_no_pair_is_refused():
  with pytest.raises(ValueError, match='at least one pair of images, got none'):
    contact_sheet.draw([])
