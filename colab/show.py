"""What the notebooks show: faces, and whole pages between two cells."""

from __future__ import annotations

import html
import os
import pathlib

import numpy as np
from IPython import display
from PIL import Image


def faces(images: np.ndarray, columns: int, pixels: int = 96) -> Image.Image:
  """Pictures side by side, a row after the other.

  Args:
    images: ``uint8 [n, h, w, 3]``; n is a multiple of ``columns``.
    columns: in a row.
    pixels: side of each.
  """
  large = [np.asarray(Image.fromarray(image).resize(
      (pixels, pixels), Image.Resampling.NEAREST)) for image in images]
  return Image.fromarray(np.concatenate(
      [np.concatenate(large[start:start + columns], axis=1)
       for start in range(0, len(large), columns)]))


def page(path: str | os.PathLike[str], height: int = 900) -> display.HTML:
  """An HTML file in a frame of its own, as part of the notebook.

  Args:
    path: of the file; it must need no others.
    height: of the frame, in pixels.
  """
  text = html.escape(pathlib.Path(path).read_text('utf-8'))
  return display.HTML(
      f'<div><iframe srcdoc="{text}" width="100%" height="{height}" '
      'style="border: 1px solid #ccc; background: white"></iframe></div>')
