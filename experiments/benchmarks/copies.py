r"""How many planted copies a check finds, and how many it finds that are none.

  python -m experiments.benchmarks.copies \
      --data=../shared/data/fgnet_128.npz,../shared/data/lfw_64.npz \
      --out=docs/results/copies

Of each data set some images are changed and looked for among the others' copies
by the rules of ``dlfd check``. Then half of all images are looked for among the
other half, where nothing was planted: pairs of one person may be two crops of
one photograph, pairs of two people are false alarms. About five minutes for
6,900 images on two cores.
"""

from __future__ import annotations

import io
import pathlib
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from absl import flags
from PIL import Image

from dlfd_jax.cli import command
from dlfd_jax.data import copies as copies_lib
from dlfd_jax.report import render
from dlfd_jax.utils import files
from experiments.publish import programs

_PLANTED = 100
Window = tuple[float, float, float, float]  # left, top, right, bottom


def _changed(image: np.ndarray, window: Window, mirrored: bool = False,
             quality: int | None = None) -> np.ndarray:
  height, width = image.shape[:2]
  left, top, right, bottom = window
  found = Image.fromarray(image).resize(
      (width, height), Image.Resampling.BILINEAR,
      box=(left * width, top * height, right * width, bottom * height))
  if mirrored:
    found = found.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
  if quality:
    stream = io.BytesIO()
    found.save(stream, 'jpeg', quality=quality)
    found = Image.open(stream)
  return np.asarray(found)


def _at_random(rng: np.random.Generator, share: float) -> Window:
  left, top = rng.uniform(0, share, 2)
  return left, top, left + 1 - share, top + 1 - share


_WHOLE = (0., 0., 1., 1.)
CHANGES: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    'mirrored': lambda image, rng: _changed(image, _WHOLE, True),
    'mirrored, JPEG 75': lambda image, rng: _changed(image, _WHOLE, True, 75),
    '5 % off one side': lambda image, rng: _changed(image, (0, 0, .95, 1)),
    '5 % off each side':
        lambda image, rng: _changed(image, (.05, .05, .95, .95)),
    '5 % off each side, JPEG 75':
        lambda image, rng: _changed(image, (.05, .05, .95, .95), False, 75),
    '5 % off height and width, anywhere':
        lambda image, rng: _changed(image, _at_random(rng, .05)),
    '3 % off height and width, anywhere':
        lambda image, rng: _changed(image, _at_random(rng, .03)),
    '7 % off each side':
        lambda image, rng: _changed(image, (.07, .07, .93, .93)),
    '10 % off each side':
        lambda image, rng: _changed(image, (.1, .1, .9, .9)),
    '5 % off each side, mirrored':
        lambda image, rng: _changed(image, (.05, .05, .95, .95), True),
    'turned by 3 degrees': lambda image, rng: np.asarray(
        Image.fromarray(image).rotate(3, Image.Resampling.BILINEAR))}


def found_of(images: np.ndarray, change: str, seed: int = 0) -> dict[str, int]:
  """Planted copies of one kind that are found, and pairs that are none.

  Args:
    images: uint8 ``[n, h, w, 3]``; each gets a copy.
    change: one of ``CHANGES``.
    seed: of random windows.
  """
  rng, n = np.random.default_rng(seed), len(images)
  both = np.concatenate([
      images, np.stack([CHANGES[change](image, rng) for image in images])])
  pairs = {(i, j) for i, j in copies_lib.near_pairs(both).tolist()
           if i < n <= j}
  pairs |= {pair[:2] for pair in copies_lib.altered_pairs(
      both, np.arange(n), np.arange(n, 2 * n))}
  right = sum((i, i + n) in pairs for i in range(n))
  return {'found': right, 'wrong': len(pairs) - right}


def _of_data(path: str) -> dict[str, Any]:
  arrays = files.read_arrays(pathlib.Path(path))
  images, people = arrays['images'], arrays['identity']
  if images.ndim == 3:
    images = np.repeat(images[..., None], 3, axis=-1)
  order = np.random.default_rng(0).permutation(len(images))
  left, right = np.sort(order[::2]), np.sort(order[1::2])
  started = time.perf_counter()
  pairs = copies_lib.altered_pairs(images, left, right)
  seconds = time.perf_counter() - started
  few = images[order[:_PLANTED]]
  return {
      'images': len(images), 'pixels': images.shape[1],
      'people': len(np.unique(people)), 'pairs': len(left) * len(right),
      'seconds': seconds,
      'of_one_person': sum(bool(people[i] == people[j]) for i, j, _ in pairs),
      'of_two_people': sum(bool(people[i] != people[j]) for i, j, _ in pairs),
      'planted': len(few),
      'found': {change: found_of(few, change) for change in CHANGES}}


def _measure(values: flags.FlagValues) -> dict[str, Any]:
  return {'data': {pathlib.Path(path).stem: _of_data(path)
                   for path in command.required(values, 'data')}}


def markdown(result: dict[str, Any]) -> str:
  """Both tables."""
  data = result['data']
  planted = [[change, *(f'{one["found"][change]["found"]} of {one["planted"]}'
                        for one in data.values())] for change in CHANGES]
  rows = [[title, *(f'{one[key]:,}' for one in data.values())]
          for title, key in (
              ('images', 'images'), ('people', 'people'),
              ('pixels a side', 'pixels'), ('pairs looked at', 'pairs'),
              ('found, of one person', 'of_one_person'),
              ('found, of two people', 'of_two_people'))]
  rows += [['found wrongly among planted copies', *(str(sum(
      found['wrong'] for found in one['found'].values()))
                                                   for one in data.values())],
           ['seconds', *(f'{one["seconds"]:.0f}' for one in data.values())]]
  return '\n'.join([
      '# Which copies a check finds', '',
      f'{copies_lib.RULE}; {copies_lib.ALTERED_RULE}.', '',
      '## Planted copies that are found', '',
      *render.markdown_lines(['', *data], planted), '',
      '## Half of the images against the other half, nothing planted', '',
      *render.markdown_lines(['', *data], rows), '',
      'Two photographs of one person in one pose are not told from two crops '
      'of one photograph; pairs of two people are false alarms.', '',
      f'Command: `{result["command"]}`. Written by the program.', ''])


COMMAND = programs.program(
    'benchmarks.copies', __doc__, {
        'data': ([], 'npz files with images and identity')},
    _measure, markdown, kind='copies')
main = COMMAND.main

if __name__ == '__main__':
  sys.exit(main())
