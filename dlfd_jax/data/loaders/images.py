"""Reads and resizes images with Pillow; everything ends as uint8 RGB."""

from __future__ import annotations

import functools
import os
import warnings
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps

from dlfd_jax.utils import files, validate

# Pillow would also read PostScript, by running another program, and formats
# that nobody keeps photographs in.
FORMATS = ('BMP', 'GIF', 'JPEG', 'JPEG2000', 'PNG', 'PPM', 'TIFF', 'WEBP')
# Photographs of two lenses are JPEG files with another ending.
_ALSO = ('MPO',)
_LOW, _HIGH = 5, 252  # of pixels, see `Range`
# Files of other programs by how they begin, and those among them in a box that
# ISO files share, by the brand behind it.
_OTHERS = {b'\xff\x0a': 'JPEG XL', b'\0\0\0\x0cJXL ': 'JPEG XL',
           b'%PDF': 'PDF', b'8BPS': 'Photoshop'}
_BRANDS = {'AVIF': (b'avif', b'avis'),
           'HEIC': (b'heic', b'heix', b'heim', b'heis', b'hevc', b'hevx',
                    b'mif1', b'msf1')}
MOST_PIXELS_A_SIDE = 4096  # of the images that networks see
# What `resize` does, in words that go with exported weights.
HOW = ('to this size without keeping the aspect ratio; Pillow BOX to shrink, '
       'BILINEAR to grow')


@functools.cache
def endings() -> frozenset[str]:
  """The endings of files that can be read, such as ``.jpg``, in lower case."""
  return frozenset(
      ending for ending, kind in Image.registered_extensions().items()
      if kind in (*FORMATS, *_ALSO))


def as_size(image_size: int | tuple[int, int]) -> tuple[int, int]:
  """(height, width) from one side or both.

  Raises:
    ValueError: if a side is no integer in [1, :data:`MOST_PIXELS_A_SIDE`].
  """
  sides = image_size if isinstance(image_size, (tuple, list)) else (
      image_size, image_size)
  if len(sides) != 2 or any(
      not validate.is_integer(side) or not 1 <= side <= MOST_PIXELS_A_SIDE
      for side in sides):
    raise ValueError(
        'Expected image_size to be a number of pixels >= 1 and at most '
        f'{MOST_PIXELS_A_SIDE}, or (height, width), got '
        f'{validate.shown(image_size)}.')
  return int(sides[0]), int(sides[1])


def resize(image: Image.Image, size: tuple[int, int]) -> Image.Image:
  """Resizes to (height, width); the aspect ratio is not kept.

  Shrinking averages over areas (a box filter), so that no pixel is skipped;
  growing interpolates linearly.
  """
  height, width = size
  if image.size == (width, height):
    return image
  shrinks = width <= image.width and height <= image.height
  kind = Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR
  return image.resize((width, height), kind)


def resize_array(images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
  """``resize`` for uint8 ``[n, h, w]`` or ``[n, h, w, 3]``, one at a time."""
  if images.shape[1:3] == size:
    return images
  resized = np.empty((len(images), *size, *images.shape[3:]), np.uint8)
  for i, image in enumerate(images):
    resized[i] = np.asarray(resize(Image.fromarray(image), size))
  return resized


class Range:
  """What pixels a data set holds, to tell images that were no uint8 before.

  Few images are looked at, if all is well.
  """

  def __init__(self) -> None:
    self._seen = np.zeros(256, bool)

  def add(self, images: np.ndarray) -> None:
    """Looks at some more images, uint8 of any shape."""
    if not self._seen[_LOW:_HIGH].any():
      self._seen[np.unique(images)] = True

  def check(self, name: str) -> None:
    """Raises ValueError if they were from 0 to 1, or standardised.

    As uint8 the latter are 0 to 4, and 252 to 255 where they were negative (or
    0, on some machines): 1 beside 255, 2 beside 254. Drawings in black and
    white are 0 and 255 and, packed with loss, 1 beside 254, 2 beside 253.

    Args:
      name: of the data.
    """
    seen = self._seen
    if not seen[_LOW:].any():
      got = f'above {np.flatnonzero(seen).max(initial=0)}'
    elif (seen[1:_LOW].any() and not seen[_LOW:_HIGH].any()
          and (seen != seen[::-1]).any()):
      got = f'from {_LOW} to {_HIGH - 1}'
    else:
      return
    raise ValueError(
        f'Expected pixels from 0 to 255 in {name}, got none {got}: make '
        'standardised images 0 to 1 again, and multiply images of 0 to 1 by '
        '255, before they become uint8.')


def check_range(images: np.ndarray, name: str) -> None:
  """Raises ValueError as :meth:`Range.check`; uint8 ``[n, h, w(, 3)]``."""
  found = Range()
  for image in images:
    found.add(image)
  found.check(name)


def grey(image: np.ndarray) -> np.ndarray:
  """The luma of uint8 ``[h, w, 3]``, three times."""
  luma = np.asarray(Image.fromarray(image).convert('L'))
  return np.repeat(luma[..., None], 3, axis=-1)


def stored_size(path: str | os.PathLike) -> tuple[int, int]:
  """(height, width) that an image file states; its pixels are not read.

  Raises:
    ValueError: if it is no image.
  """
  try:
    with warnings.catch_warnings():
      warnings.simplefilter('ignore', Image.DecompressionBombWarning)
      with Image.open(path, formats=FORMATS) as image:
        return image.height, image.width
  except Image.DecompressionBombError as error:
    raise ValueError(
        f'it has more than {2 * (Image.MAX_IMAGE_PIXELS or 0)} pixels'
    ) from error
  except Exception as error:
    raise _damaged(error, path) from error


def read_image(path: str | os.PathLike | BinaryIO,
               size: tuple[int, int]) -> np.ndarray:
  """Reads one image file: upright, RGB, resized.

  The orientation that a camera noted is applied, transparency is dropped, and
  a large JPEG is decoded at a reduced scale, at least twice the wanted one.

  Args:
    path: a file of one of :data:`FORMATS`, or its opened content; of several
      frames the first is read.
    size: (height, width) in pixels.

  Returns:
    uint8 ``[h, w, 3]``.

  Raises:
    ValueError: saying why it cannot be read: no image, cut short, more than 8
      bits per value, or so large that Pillow suspects a decompression bomb.
  """
  try:
    with warnings.catch_warnings():
      warnings.simplefilter('error', Image.DecompressionBombWarning)
      with Image.open(path, formats=FORMATS) as image:
        if image.mode.startswith(('I', 'F')):
          raise _Unreadable(
              f'8 bits per value are expected, not {image.mode}')
        if any(';16' in str(tile.args) for tile in image.tile):
          # Pillow would drop the lower half of each value without a word.
          raise _Unreadable('8 bits per value are expected, not 16')
        image.draft('RGB', (2 * max(size), 2 * max(size)))
        upright = ImageOps.exif_transpose(image)
        if upright.mode in ('P', 'PA'):  # a palette may be transparent
          upright = upright.convert('RGBA')
        return np.asarray(resize(upright.convert('RGB'), size))
  except (Image.DecompressionBombError,
          Image.DecompressionBombWarning) as error:
    raise ValueError(
        f'it has more than {Image.MAX_IMAGE_PIXELS} pixels') from error
  except _Unreadable:
    raise
  except Exception as error:
    raise _damaged(error, path) from error


def _damaged(error: Exception,
             path: str | os.PathLike | BinaryIO) -> Exception:
  """What to raise instead of one of the dozen kinds that Pillow's readers do.

  That of the machine stays, such as no permission.
  """
  if files.is_of_the_machine(error):
    return error
  kind = _other_kind(path)
  return ValueError(
      f'it is a file of {kind}: save it as JPEG or PNG' if kind else
      'it is no image, or is damaged')


def _other_kind(path: str | os.PathLike | BinaryIO) -> str:
  """The format of a file of another kind, whatever its name; or nothing."""
  if not isinstance(path, (str, os.PathLike)):
    return ''
  with open(path, 'rb') as file:
    start = file.read(32)
  for kind, brands in _BRANDS.items():  # AVIF first: some also say mif1
    if start[4:8] == b'ftyp' and any(
        start[k:k + 4] in brands for k in range(8, len(start), 4)):
      return kind
  return next((kind for begin, kind in _OTHERS.items()
               if start.startswith(begin)), '')


class _Unreadable(ValueError):
  """Why an image that is whole is not read."""
