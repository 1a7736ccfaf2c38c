"""What the builders of the paper's data sets share.

A builder reads official tables and image files that the user downloaded. Files
are kept as they are; images above the builder's ``image_size`` are resized once
and kept without loss. No TensorFlow.
"""

from __future__ import annotations

import abc
import dataclasses
import io
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from dlfd_jax.data import people as people_lib
from dlfd_jax.data.loaders import images as images_lib, table
from dlfd_jax.data.tfds import index as index_lib
from dlfd_jax.utils import validate

PARTS = ('train', 'val', 'test')


@dataclasses.dataclass(frozen=True)
class Row:
  """One image as the official tables describe it.

  Attributes:
    sample_id: stable text, distinct in the data set.
    path: the image file.
    part: ``'train'``, ``'val'`` or ``'test'`` of the official split.
    person: the person's name, ``''`` if unknown.
    values: every label and further column.
    where: line and file, for errors.
  """

  sample_id: str
  path: pathlib.Path
  part: str
  person: str
  values: Mapping[str, int]
  where: str


@dataclasses.dataclass(eq=False, kw_only=True)
class FaceConfig(tfds.core.BuilderConfig):
  """How a data set is prepared.

  Attributes:
    image_size: images with a side above this number of pixels are resized to a
      square of it; None keeps all.
  """

  image_size: int | None = None


# One object, as tfds refuses another config of the same name.
_ORIGINAL = FaceConfig(name='original', description='images as downloaded')


class FaceBuilder(  # type: ignore[call-arg]  # of tfds, which has no types
    tfds.core.GeneratorBasedBuilder, skip_registration=True):
  """Builder of one data set from tables and image files.

  Features: ``image``, ``sample_id``, ``identity`` (persons numbered in the
  order of ``name``, or their own numbers; -1 unknown), ``name`` of the person,
  and one integer for each of ``COLUMNS``. The splits are the official parts, in
  the official order.
  """

  VERSION = tfds.core.Version('1.0.0')
  RELEASE_NOTES = {'1.0.0': 'First version.'}
  BUILDER_CONFIGS = [_ORIGINAL]
  COLUMNS: Sequence[str] = ()
  HOMEPAGE = ''

  @classmethod
  def prepared_in(cls, root: pathlib.Path, image_size: int | None) -> Any:
    """The builder whose prepared data lie in ``root``."""
    config = _ORIGINAL
    if image_size is not None:
      images_lib.as_size(image_size)
      config = FaceConfig(
          name=f'px{image_size}', image_size=image_size,
          description=f'images of at most {image_size} pixels a side')
    return cls(data_dir=str(index_lib.data_dir(root)), config=config)

  @abc.abstractmethod
  def rows(self, root: pathlib.Path) -> list[Row]:
    """The official tables in ``root``, in order, not yet checked.

    Raises:
      FileNotFoundError: if a file or folder is absent.
      ValueError: if a table is malformed.
    """

  def _info(self) -> Any:
    scalars = {name: np.int32 for name in ('identity', *self.COLUMNS)}
    return tfds.core.DatasetInfo(
        builder=self, description=(self.__doc__ or '').strip(),
        homepage=self.HOMEPAGE or None, disable_shuffling=True,
        features=tfds.features.FeaturesDict({
            'image': tfds.features.Image(shape=(None, None, 3)),
            'sample_id': tfds.features.Text(),
            'name': tfds.features.Text(), **scalars}))

  def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
    root = pathlib.Path(os.fspath(dl_manager.manual_dir))
    rows = self.rows(root)
    check_rows(rows)
    identity, *_ = people_lib.read_identities(
        [row.person for row in rows], lambda i: rows[i].where)
    parts = {}
    for part in PARTS:
      some = [(row, person) for row, person in zip(rows, identity.tolist())
              if row.part == part]
      if some:
        parts[part] = self._generate_examples(some)
    return parts

  def _generate_examples(
      self, rows: Sequence[tuple[Row, int]]
  ) -> Iterator[tuple[str, dict[str, Any]]]:
    for (row, person), image in readable(rows, lambda pair: encoded(
        pair[0].path, pair[0].where, self.builder_config.image_size)):
      yield row.sample_id, {
          'image': io.BytesIO(image),
          'sample_id': row.sample_id, 'name': row.person, 'identity': person,
          **row.values}


def describe(example: Any) -> tuple[str, str, int, dict[str, int]]:
  """Sample id, person's name, identity and columns of a prepared example."""
  values = dict(example)
  del values['image']
  sample_id, name = (
      value.decode() if isinstance(value, bytes) else str(value)
      for value in (values.pop('sample_id'), values.pop('name')))
  identity = int(values.pop('identity'))
  return sample_id, name, identity, {
      key: int(value) for key, value in values.items()}


def readable(rows: Iterable[Any], read: Callable[[Any], bytes]
             ) -> Iterator[tuple[Any, bytes]]:
  """The rows with what is read of each.

  Raises:
    ValueError: after the last row, naming the first of those that ``read``
      refused, and the number of the others.
  """
  damaged = []
  for row in rows:
    try:
      image = read(row)
    except ValueError as error:
      damaged.append(str(error))
    else:
      yield row, image
  if damaged:
    raise ValueError('Expected a readable image '
                     f'{validate.listed(damaged, comma="; ")}.')


def encoded(path: pathlib.Path, where: str, image_size: int | None) -> bytes:
  """The image file as it is, or resized as PNG if it is above the size.

  Raises:
    ValueError: if it cannot be decoded, naming the file and what lists it.
  """
  try:
    height, width = images_lib.stored_size(path)
    if image_size is None or max(height, width) <= image_size:
      images_lib.read_image(path, (height, width))
      return path.read_bytes()
    pixels = images_lib.read_image(path, (image_size, image_size))
  except ValueError as error:
    raise ValueError(f'at {path} for {where}: {error}') from error
  buffer = io.BytesIO()
  Image.fromarray(pixels).save(buffer, 'png')
  return buffer.getvalue()


def subfolder(root: pathlib.Path, name: str, known_by: str,
              instructions: str) -> pathlib.Path:
  """``root/name``, or ``root`` if that already is the folder ``name``.

  Args:
    root: the folder that the user names.
    name: of the folder in the official layout.
    known_by: a file or folder that lies in it.
    instructions: for the error.

  Raises:
    FileNotFoundError: if neither holds ``known_by``.
  """
  for folder in (root / name, root):
    if (folder / known_by).exists():
      return folder
  raise FileNotFoundError(
      f'Expected {known_by} in {root / name}, found none. {instructions}')


def attribute(line: table.Line, name: str) -> int:
  """An attribute given as 1 or -1, as 1 or 0; all else is refused."""
  value = line.values[name]
  if value not in ('1', '-1'):
    raise ValueError(
        f'Expected 1 or -1 for {name} in {line.where}, got {value!r}.')
  return int(value == '1')


def number(line: table.Line, name: str) -> int:
  """An integer >= 0 of at most nine digits; all else is refused."""
  value = line.values[name]
  if not (value.isascii() and value.isdigit() and len(value) < 10):
    raise ValueError(
        f'Expected an integer >= 0 for {name} in {line.where}, got {value!r}.')
  return int(value)


def check_rows(rows: Sequence[Row]) -> None:
  """Checks what the tables list against each other and against the disk.

  Raises:
    FileNotFoundError: if a listed image is absent.
    ValueError: if an image is listed twice or a person is in two parts.
  """
  seen: dict[str, Row] = {}
  parts: dict[str, Row] = {}
  for row in rows:
    other = seen.setdefault(row.sample_id, row)
    if other is not row:
      raise ValueError(
          f'Expected every path once, got {row.sample_id!r} in {other.where} '
          f'and in {row.where}.')
    if row.person:
      other = parts.setdefault(row.person, row)
      if other.part != row.part:
        raise ValueError(
            f'Expected every person in one part only, got {row.person!r} of '
            f'{other.part} in {other.where} and of {row.part} in {row.where}.')
    if not row.path.is_file():
      raise FileNotFoundError(
          f'Expected an image file for {row.where}, found none at {row.path}.')
