"""A sheet of drawn faces: one row per person, one column per picture.

  python -m experiments.publish.sample_sheet --output=docs/images/faces.png

Each picture is captioned with its true age group and emotion, each row with the
person's gender. The last column shows the row's first picture with as many
pixels as a network gets.
"""

from __future__ import annotations

import pathlib
import sys

from absl import flags
from PIL import Image, ImageDraw, ImageFont

from dlfd_jax.cli import command
from dlfd_jax.data import dataset as dataset_lib
from dlfd_jax.data.faces import synthetic
from dlfd_jax.utils import writes
from experiments.publish import programs

_CAPTION, _MARGIN, _GAP = 17, 4, 12  # pixels
_INK, _PAPER = (40, 40, 40), (255, 255, 255)
_GENDERS = ('female', 'male')


def _define(values: flags.FlagValues) -> None:
  programs.define(
      values, output=('docs/images/faces.png', 'the PNG file to write'),
      rows=(7, 'people', 1), columns=(7, 'pictures of each', 1),
      pixels=(104, 'side of a picture on the sheet', 1),
      network_pixels=(32, 'side of a picture for a network', 1),
      seed=(0, 'of the drawing', 0))


def _execute(values: flags.FlagValues, line: str) -> None:
  del line
  output = pathlib.Path(values['output'].value)
  if output.suffix.lower() != '.png':
    raise ValueError(f'Expected an output ending in .png, got {str(output)!r}.')
  writes.check_new(output)
  common = dict(people=values['rows'].value, seed=values['seed'].value,
                images_per_person=values['columns'].value)
  pixels = values['pixels'].value
  fine = synthetic.synthetic_faces(size=2 * pixels, **common)
  coarse = synthetic.synthetic_faces(
      size=values['network_pixels'].value, **common)
  picture = sheet(fine, coarse, pixels)
  output.parent.mkdir(parents=True, exist_ok=True)
  writes.write_new(
      output, lambda file: picture.save(file, 'png', optimize=True))
  print(f'{output}: {picture.width} x {picture.height} pixels, '
        f'{output.stat().st_size / 1e3:.0f} kB')


def sheet(fine: dataset_lib.Dataset, coarse: dataset_lib.Dataset,
          pixels: int) -> Image.Image:
  """The sheet as a picture of 256 colours.

  Args:
    fine: the pictures to show, a person's pictures together.
    coarse: the same at the resolution of a network.
    pixels: side of each on the sheet.
  """
  rows = int(fine.identity.max()) + 1
  columns = len(fine) // rows
  cell = pixels + _MARGIN
  width = columns * cell + _GAP + pixels + 2 * _MARGIN
  height = rows * (cell + _CAPTION) + 2 * _MARGIN
  paper = Image.new('RGB', (width, height), _PAPER)
  draw, font = ImageDraw.Draw(paper), ImageFont.load_default(size=12)

  def place(image, text, column_x, row, method):
    y = _MARGIN + row * (cell + _CAPTION)
    small = Image.fromarray(image).resize((pixels, pixels), method)
    paper.paste(small, (column_x, y))
    draw.text((column_x + pixels // 2, y + pixels + 2), text, _INK, font, 'ma')

  for row in range(rows):
    for column in range(columns):
      i = row * columns + column
      text = (f'{synthetic.AGE_GROUPS[fine.columns["age_group"][i]]} '
              f'{synthetic.EMOTIONS[fine.columns["emotion"][i]]}')
      place(fine.images[i], text, _MARGIN + column * cell, row,
            Image.Resampling.BOX)
    first = row * columns
    side = coarse.image_size[0]
    text = f'{_GENDERS[fine.columns["gender"][first]]}, {side} px'
    place(coarse.images[first], text, _MARGIN + columns * cell + _GAP, row,
          Image.Resampling.NEAREST)
  return paper.quantize(256, dither=Image.Dither.NONE)


COMMAND = command.Command(
    'publish.sample_sheet', __doc__, _define, _execute, package='experiments')
main = COMMAND.main

if __name__ == '__main__':
  sys.exit(main())
