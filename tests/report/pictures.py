"""Checks of pictures that several test files share."""

import io
from xml.etree import ElementTree

from PIL import Image


def check(draw):
  """Both formats are valid, free of dates and equal when drawn again.

  Returns:
    The SVG's text.
  """
  png, svg = draw(format='png'), draw(format='svg')
  assert png == draw(format='png')
  assert svg == draw(format='svg')
  with Image.open(io.BytesIO(png)) as picture:
    picture.verify()
  ElementTree.fromstring(svg)
  text = svg.decode()
  assert '<dc:date>' not in text
  return text
