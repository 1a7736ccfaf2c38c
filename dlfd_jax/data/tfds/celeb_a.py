"""CelebA through the builder of ``tensorflow_datasets`` (Liu et al., 2015).

The builder downloads the official files, which often fails, as the host limits
downloads. Where the user's folder holds them, they are checked and used.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from dlfd_jax.data.loaders import table
from dlfd_jax.data.tfds import base, index as index_lib, mucac

# Keys of the builder's downloads, and how the official files are called.
FILES = {
    'img_align_celeba': 'img_align_celeba',
    'list_eval_partition': 'list_eval_partition.txt',
    'list_attr_celeba': 'list_attr_celeba.txt',
    'landmarks_celeba': 'list_landmarks_align_celeba.txt',
    'identity_celeba': 'identity_CelebA.txt',
}
CLASS_NAMES = mucac.CLASS_NAMES
INSTRUCTIONS = (
    'CelebA is used from the folder that --root names: put '
    f'{", ".join(FILES.values())} there (the first is the unpacked folder of '
    'images), from http://mmlab.ie.cuhk.edu.hk/projects/CelebA.html under its '
    'terms; an existing folder without any of them is filled by '
    'tensorflow_datasets, which tries to download them.')


class _Local:
  """A download manager whose downloads are there already."""

  def __init__(self, files: Mapping[str, pathlib.Path]):
    self._files = files

  def download(self, urls: Mapping[str, str]) -> dict[str, str]:
    return {key: str(self._files[key]) for key in urls}

  def iter_archive(self, path: str) -> Iterator[tuple[str, str]]:
    """Names and paths of the images; each is read when it is written."""
    with os.scandir(path) as entries:
      for entry in entries:
        yield f'img_align_celeba/{entry.name}', entry.path


def builder(root: pathlib.Path, image_size: int | None) -> Any:
  """The builder whose prepared data lie in ``root``.

  Raises:
    FileNotFoundError: if only some of the official files are there.
    ValueError: if one of them is malformed or an image cannot be read. Both
      only while preparing.
  """
  del image_size  # the builder keeps 218 x 178 pixels
  made = tfds.builder('celeb_a', data_dir=str(index_lib.data_dir(root)))
  files = {key: root / name for key, name in FILES.items()}
  if os.path.isdir(made.data_dir) or not any(
      path.exists() for path in files.values()):
    return made
  generators, examples = made._split_generators, made._generate_examples
  parts: dict[str, table.Line] = {}

  def from_files(manager: Any) -> Any:
    del manager
    parts.update(check_files(files))
    return generators(_Local(files))

  def readable(*arguments: Any, **options: Any) -> Iterator[Any]:
    for example, _ in base.readable(
        examples(*arguments, **options), lambda example: base.encoded(
            files['img_align_celeba'] / example[0], parts[example[0]].where,
            None)):
      yield example

  made._split_generators, made._generate_examples = from_files, readable
  return made


def check_files(files: Mapping[str, pathlib.Path]
                ) -> dict[str, table.Line]:
  """Checks the official files against each other.

  Returns:
    The line of each image in the table of parts.

  Raises:
    FileNotFoundError: if a file or a listed image is absent.
    ValueError: if a table is malformed or knows nothing about a listed image.
  """
  for path in files.values():
    if not path.exists():
      raise FileNotFoundError(f'Expected {path}, found none. {INSTRUCTIONS}')
  parts = table.read_words(
      files['list_eval_partition'], ('file', 'part')).by('file')
  others = {
      'attributes': table.read_words(
          files['list_attr_celeba'], needed=mucac.NAMES).by('file'),
      'landmarks': table.read_words(
          files['landmarks_celeba']).by('file'),
      'identity': table.read_words(
          files['identity_celeba'], ('file', 'identity')).by('file'),
  }
  for file, line in parts.items():
    for name, known in others.items():
      if file not in known:
        raise ValueError(
            f'Expected {name} of {file!r}, which is in {line.where}, found '
            'none.')
    if line.values['part'] not in ('0', '1', '2'):
      raise ValueError(
          f'Expected part 0, 1 or 2 in {line.where}, got '
          f'{line.values["part"]!r}.')
    base.number(others['identity'][file], 'identity')
    for name in mucac.NAMES:
      base.attribute(others['attributes'][file], name)
    if not (files['img_align_celeba'] / file).is_file():
      raise FileNotFoundError(
          f'Expected an image file for {line.where}, found none at '
          f'{files["img_align_celeba"] / file}.')
  return parts


def describe(example: Any) -> tuple[None, str, int, dict[str, int]]:
  """Person and attributes of an example, under MUCAC's names."""
  person = int(example['identity']['Identity_No'])
  return None, str(person), person, {
      mucac.RENAMED.get(name, name): int(value)
      for name, value in example['attributes'].items()}


def roles(index: index_lib.Index, variant: str) -> np.ndarray:
  """As MUCAC: the same shares of the persons, in the order of their numbers."""
  people, rank = np.unique(index.identity, return_inverse=True)
  scaled = rank.reshape(-1) * mucac.PEOPLE // len(people)
  return mucac.roles_of_people(scaled, variant)
