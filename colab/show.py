"""What the notebooks show: faces, answers, and pages between two cells."""

from __future__ import annotations

import html
import os
import pathlib

import numpy as np
from IPython import display
from PIL import Image

import dlfd_jax


def faces(images: np.ndarray, columns: int, pixels: int = 96) -> Image.Image:
  """Pictures side by side, a row after the other.

  Args:
    images: ``uint8 [n, h, w, 3]``; n is a multiple of ``columns``.
    columns: in a row.
    pixels: side of each.
  """
  large = [np.asarray(Image.fromarray(image).resize(
      (pixels, pixels), Image.Resampling.NEAREST)) for image in images]
  # Of 256 colours it is kept as one small PNG.
  return Image.fromarray(np.concatenate(
      [np.concatenate(large[start:start + columns], axis=1)
       for start in range(0, len(large), columns)])).quantize(
           256, dither=Image.Dither.NONE)


def answers(result: dlfd_jax.EvaluationResult) -> display.Markdown:
  """The three answers of an evaluation, and in bold what to do."""
  *found, advice = result.answers()
  return display.Markdown(
      '\n'.join(f'- {one}' for one in found) + f'\n\n**{advice}**')


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
