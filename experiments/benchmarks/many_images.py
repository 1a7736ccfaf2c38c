r"""Writes many JPEG files and their manifest, to measure reading them.

  python -m experiments.benchmarks.many_images --images=30000 \\
      --image_size=128 --folder=../runs/many

The pictures are smooth random patterns, one a person, with changes of their
own; one in a hundred is an exact copy of the one before, under another person.
"""

from __future__ import annotations

import pathlib
import shutil
import sys

import numpy as np
from absl import flags
from PIL import Image

from dlfd_jax.cli import command
from experiments.publish import programs

MANIFEST = 'faces.csv'
EACH = 8  # images of a person
COPY_EVERY = 100
_COARSE = 16  # pixels a side of a pattern before it is enlarged


def write(folder: pathlib.Path, images: int, size: int, seed: int = 0) -> None:
  """Writes ``images`` files and the manifest, which comes last.

  Raises:
    FileExistsError: if the folder is there already.
  """
  folder.mkdir(parents=True)
  rng = np.random.default_rng(seed)
  people = max(10, images // EACH)
  lines = ['path,identity,label,split']
  for i in range(images):
    person, path = i % people, f'{i:06d}.jpg'
    if i % COPY_EVERY == COPY_EVERY - 1:
      shutil.copy(folder / f'{i - 1:06d}.jpg', folder / path)
    else:
      pattern = np.random.default_rng([seed, person]).integers(
          0, 256, (_COARSE, _COARSE, 3))
      own = rng.integers(-60, 61, pattern.shape)
      small = Image.fromarray(np.clip(pattern + own, 0, 255).astype(np.uint8))
      small.resize((size, size), Image.Resampling.BICUBIC).save(
          folder / path, quality=90)
    part = ('test', 'val')[person % 10] if person % 10 < 2 else 'train'
    lines.append(f'{path},{person},{person % 2},{part}')
  (folder / MANIFEST).write_text('\n'.join(lines) + '\n', encoding='utf-8')


def _define(values: flags.FlagValues) -> None:
  programs.define(
      values, folder=(None, 'new folder of the files'),
      images=(30000, 'how many', 20), image_size=(128, 'pixels a side', 1))


def _execute(values: flags.FlagValues, line: str) -> None:
  del line
  folder = pathlib.Path(command.required(values, 'folder'))
  write(folder, command.value(values, 'images'),
        command.value(values, 'image_size'))
  print(folder / MANIFEST)


COMMAND = command.Command(
    'benchmarks.many_images', __doc__, _define, _execute, package='experiments')
main = COMMAND.main

if __name__ == '__main__':
  sys.exit(main())
