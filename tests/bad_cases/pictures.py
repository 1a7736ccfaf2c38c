"""Image files that are damaged, hostile or of another kind."""

from __future__ import annotations

import io
import zlib

import numpy as np
from PIL import Image

from tests.bad_cases import case, edits, files
from tests.bad_cases.case import Case

THEME = 'Images'
_FILE = 'photos/23.png'


def _saved(image: Image.Image, kind: str, **options) -> bytes:
  held = io.BytesIO()
  image.save(held, kind, **options)
  return held.getvalue()


def _noise(size: int = 64) -> Image.Image:
  return Image.fromarray(np.random.default_rng(0).integers(
      0, 256, (size, size, 3), np.uint8))


def _text_bomb() -> bytes:
  """A PNG whose compressed comment is 200 MB of zeros."""
  data = b'Comment\0\0' + zlib.compress(bytes(200_000_000), 9)
  chunk = (len(data).to_bytes(4, 'big') + b'zTXt' + data
           + zlib.crc32(b'zTXt' + data).to_bytes(4, 'big'))
  whole = _saved(_noise(16), 'PNG')
  return whole[:33] + chunk + whole[33:]  # after the header


def _image(mistake: str, content) -> Case:
  """``content`` is made when the mistake is."""
  def change():
    edits.write(_FILE, content() if callable(content) else content)()
  return case.of(THEME, mistake, files.MANIFEST, change=change)


def _broken_check():
  data = bytearray(_saved(_noise(), 'PNG'))
  data[len(data) // 2] ^= 255
  return bytes(data)


CASES = [
    _image('the file is empty', b''),
    _image('the file is text', 'no picture'),
    _image('the file is a web page', '<!doctype html><title>404</title>'),
    _image('the file is a vector drawing', '<svg xmlns="http://www.w3.org/2000/'
           'svg" width="10" height="10"/>'),
    _image('the PNG is cut short', lambda: _saved(_noise(), 'PNG')[:2000]),
    _image('the JPEG is cut short', lambda: _saved(_noise(), 'JPEG')[:1500]),
    _image('bytes of the PNG were altered', _broken_check),
    _image('the PNG claims 60,000 x 60,000 pixels',
           lambda: edits.png(60_000, 60_000)),
    _image('the PNG claims 12,000 x 12,000 pixels',
           lambda: edits.png(12_000, 12_000)),
    _image('the PNG claims 2^31 x 2^31 pixels',
           lambda: edits.png(2**31 - 1, 2**31 - 1)),
    _image('the PNG claims 0 pixels', lambda: edits.png(0, 0)),
    _image('the PNG has a header and no pixels', lambda: edits.png(16, 16)),
    _image('the PNG holds a comment of 200 MB, packed', _text_bomb),
    _image('the GIF claims 65,535 x 65,535 pixels',
           b'GIF89a\xff\xff\xff\xff\x00\x00\x00,\0\0\0\0\xff\xff\xff\xff\0;'),
    _image('the BMP claims 10^9 pixels a side',
           b'BM' + bytes(12) + (40).to_bytes(4, 'little')
           + (10**9).to_bytes(4, 'little') * 2 + b'\x01\0\x18\0' + bytes(24)),
    _image('values have 16 bits', lambda: _saved(Image.fromarray(
        np.arange(256, dtype=np.uint16).reshape(16, 16) * 256), 'PNG')),
    _image('colours have 16 bits', edits.png(
        16, 16, 16, 2, 16 * bytes(1 + 6 * 16))),
    _image('values are floating-point numbers', lambda: _saved(
        Image.fromarray(np.ones((16, 16), np.float32)), 'TIFF')),
    _image('the file is PostScript, which others run as a program',
           '%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 16 16\n%%EndComments\n'
           'showpage\n%%EOF\n'),
    _image('the file is a PDF', '%PDF-1.4\n%%EOF\n'),
]
