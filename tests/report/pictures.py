"""What several test files check of pictures."""

import io
from xml.etree import ElementTree

import matplotlib
from PIL import Image

from dlfd_jax.report import drawing


def check(draw):
  """Both formats are valid, free of dates, and equal when drawn again.

  Neither do they depend on the user's own style of matplotlib, nor change it.

  Returns:
    The words of the SVG.
  """
  before = dict(matplotlib.rcParams)
  png, svg = draw(format='png'), draw(format='svg')
  assert dict(matplotlib.rcParams) == before
  with matplotlib.rc_context({'lines.linewidth': 7, 'figure.facecolor': 'red',
                              'axes.labelsize': 30}):
    assert draw(format='svg') == svg
  with Image.open(io.BytesIO(png)) as picture:
    picture.verify()
  assert b'Software' not in png and b'<dc:date>' not in svg
  return words(svg)


def words(svg):
  """The text of an SVG; matplotlib keeps it in comments beside the outlines."""
  root = ElementTree.fromstring(svg, ElementTree.XMLParser(
      target=ElementTree.TreeBuilder(insert_comments=True)))
  return [' '.join(node.text.split()) for node in root.iter()
          if node.tag is ElementTree.Comment]


def axes_of(draw):
  """The axes that a function draws, whose picture is not made."""
  axes, to_bytes = [], drawing.to_bytes
  drawing.to_bytes = lambda figure, format: axes.extend(figure.axes) or b''
  try:
    draw()
  finally:
    drawing.to_bytes = to_bytes
  return axes
