"""A tiny data set on disk and the runs that the command-line tests share."""

import pathlib

import numpy as np

from dlfd_jax.cli import train

NETWORK = ['--architecture=tests.models.own_nets:Own']
RECIPE = ['--epochs=2', '--batch_size=16']
PEOPLE, EACH, SIZE = 24, 4, 12


def write_data(folder: pathlib.Path) -> pathlib.Path:
  """An npz of noisy images whose brightness tells the class."""
  rng = np.random.default_rng(0)
  n = PEOPLE * EACH
  shade = np.tile([0, 1], n // 2).astype(np.int32)
  images = rng.integers(0, 128, (n, SIZE, SIZE, 3)) + 100 * shade[
      :, None, None, None]
  path = folder / 'faces.npz'
  np.savez(path, images=images.astype(np.uint8), shade=shade,
           identity=np.repeat(np.arange(PEOPLE), EACH).astype(np.int32))
  return path


def data_flags(path: pathlib.Path) -> list[str]:
  return ['--preset=demo', f'--data={path}', '--labels=shade',
          f'--image_size={SIZE}']


def train_original(folder: pathlib.Path, path: pathlib.Path) -> pathlib.Path:
  """Runs ``train --on=all`` once."""
  code = train.main([*data_flags(path), *NETWORK, *RECIPE, '--on=all',
                     f'--workdir={folder / "original"}'])
  assert code == 0
  return folder / 'original'


def tree(folder: pathlib.Path) -> dict[str, int]:
  """Every file below a folder and its size."""
  return {str(p.relative_to(folder)): p.stat().st_size
          for p in sorted(folder.rglob('*')) if p.is_file()}
