"""What is read of prepared data: the table of all images, and pixels of some.

Both are written once beside the prepared data: the table, so that a subset is
found without reading the rest, and the pixels at the model's resolution, so
that they are memory-mapped however many they are.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import pathlib
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO
from unittest import mock

import numpy as np
import requests
import tensorflow_datasets as tfds
from tensorflow_datasets.core import shuffle
from tensorflow_datasets.core.download import extractor

from dlfd_jax.data.loaders import images as images_lib
from dlfd_jax.utils import files, writes

TABLE = 'table.npz'
_COLUMN = 'column '
# Of one example: sample id, person's name, identity, label columns. None asks
# for the default id: split and position.
Describe = Callable[[Any], tuple[str | None, str, int, dict[str, int]]]


@dataclasses.dataclass(frozen=True, eq=False)
class Index:
  """The table of a prepared data set, without pixels.

  Attributes:
    sample_id: text ``[n]``.
    name: text ``[n]``, of the person, ``''`` if unknown.
    identity: int32 ``[n]``, -1 unknown.
    part: text ``[n]``, the split that ``tensorflow_datasets`` has.
    position: int64 ``[n]``, in that split.
    columns: int32 ``[n]`` by name.
  """

  sample_id: np.ndarray
  name: np.ndarray
  identity: np.ndarray
  part: np.ndarray
  position: np.ndarray
  columns: Mapping[str, np.ndarray]

  def take(self, rows: np.ndarray) -> Index:
    """Some rows."""
    return Index(
        **{field: getattr(self, field)[rows] for field in _FIELDS},
        columns={name: column[rows] for name, column in self.columns.items()})

  def where(self, i: int) -> str:
    """Names a row in an error."""
    return f'the image {str(self.sample_id[i])!r}'


_FIELDS = ('sample_id', 'name', 'identity', 'part', 'position')


def data_dir(root: pathlib.Path) -> pathlib.Path:
  """Where prepared data lie."""
  return root / 'tensorflow_datasets'


def prepare(builder: Any, root: pathlib.Path) -> pathlib.Path:
  """Prepares the data, unless they are, and says where.

  They are written to a folder of another name that is renamed at the end, so a
  broken preparation leaves nothing that looks finished.

  Raises:
    FileNotFoundError, ValueError: if the user's files are not as they should,
      or what is to be downloaded cannot be.
  """
  folder = pathlib.Path(os.fspath(builder.data_dir))
  if not folder.is_dir():
    before = data_dir(root).exists()
    try:
      with _without_tensorflow(builder):
        builder.download_and_prepare(
            download_config=tfds.download.DownloadConfig(manual_dir=str(root)),
            file_format='array_record')
    except (ConnectionError, tfds.download.DownloadError,
            requests.exceptions.RequestException) as error:
      raise ValueError(
          f'Expected the files of {builder.name} in {root}, or a network to '
          f'download them from, got {type(error).__name__}: {error}') from error
    finally:
      if not folder.is_dir() and not before:
        _tidy(data_dir(root))
  return folder


def _tidy(folder: pathlib.Path) -> None:
  """Removes the notes and empty folders of a preparation that broke off."""
  for place in [*sorted(folder.rglob('*'), reverse=True), folder]:
    if place.is_file() and place.parent.name == '.config':
      place.unlink()
    elif place.is_dir() and not any(place.iterdir()):
      place.rmdir()


class _NeverRaised(Exception):
  """Stands for an error of remote files."""


# What tensorflow_datasets asks of TensorFlow when a split is larger than 1 GB,
# an archive is unpacked or CIFAR read: to write and read plain local files.
_PLAIN_FILES = types.SimpleNamespace(
    io=types.SimpleNamespace(gfile=types.SimpleNamespace(
        GFile=open, exists=os.path.exists, remove=os.remove)),
    compat=types.SimpleNamespace(as_text=os.fspath),
    errors=types.SimpleNamespace(ResourceExhaustedError=_NeverRaised))


@contextlib.contextmanager
def _without_tensorflow(builder: Any) -> Iterator[None]:
  """Plain files in place of TensorFlow, where a preparation asks for it."""
  own = sys.modules[type(builder).__module__]
  with contextlib.ExitStack() as stack:
    for module in (shuffle, extractor, own):
      if hasattr(module, 'tf'):
        stack.enter_context(mock.patch.object(module, 'tf', _PLAIN_FILES))
    yield


def class_names(builder: Any) -> dict[str, tuple[str, ...]]:
  """The classes of each column, where prepared data tell them."""
  return {name: tuple(feature.names)
          for name, feature in builder.info.features.items()
          if isinstance(feature, tfds.features.ClassLabel)}


def _sources(builder: Any) -> dict[str, Any]:
  """A random-access source for each split, images left encoded."""
  return builder.as_data_source(
      decoders={'image': tfds.decode.SkipDecoding()})


def read_table(builder: Any, folder: pathlib.Path,
               describe: Describe) -> Index:
  """The table of a prepared data set; scans it the first time.

  Args:
    builder: prepared.
    folder: where; the table is kept there.
    describe: reads one example.
  """
  path = folder / TABLE
  if not path.is_file():
    _write_table(path, _sources(builder), describe)
  arrays = files.read_arrays(path)
  return Index(
      **{field: arrays[field] for field in _FIELDS},
      columns={key.removeprefix(_COLUMN): array for key, array in arrays.items()
               if key.startswith(_COLUMN)})


def _write_table(path: pathlib.Path, sources: Mapping[str, Any],
                 describe: Describe) -> None:
  fields: dict[str, list] = {field: [] for field in _FIELDS}
  columns: dict[str, list] = {}
  for part in sorted(sources):
    for k in range(len(sources[part])):
      sample_id, name, identity, values = describe(sources[part][k])
      for field, value in zip(_FIELDS, (
          sample_id or f'{part}/{k:06d}', name, identity, part, k)):
        fields[field].append(value)
      for column, value in values.items():
        columns.setdefault(column, []).append(value)
  kinds = {'identity': np.int32, 'position': np.int64}
  writes.write_arrays(path, {
      **{field: np.array(values, kinds.get(field, np.str_))
         for field, values in fields.items()},
      **{_COLUMN + name: np.array(values, np.int32)
         for name, values in columns.items()}})


def read_pixels(
    builder: Any, folder: pathlib.Path, index: Index, size: tuple[int, int],
    label: str, progress: Callable[[int, int], None] | None = None, *,
    grey: bool = False) -> np.ndarray:
  """The images of a table's rows, memory-mapped; decodes them the first time.

  Args:
    builder: prepared.
    folder: where; the pixels are kept there.
    index: the rows.
    size: (height, width).
    label: tells the sets of rows apart.
    progress: called with (images read, images in all).
    grey: whether colours are taken out.

  Returns:
    uint8 ``[n, h, w, 3]``, not writeable.
  """
  height, width = size
  label += '_grey' if grey else ''
  path = folder / f'pixels_{height}x{width}_{label}.npy'
  shape = (len(index.sample_id), height, width, 3)
  if not path.is_file():
    def write(file: BinaryIO) -> None:
      np.lib.format.write_array_header_1_0(file, {
          'descr': '|u1', 'fortran_order': False, 'shape': shape})
      sources = _sources(builder)
      for k, sample_id in enumerate(index.sample_id.tolist()):
        image = sources[str(index.part[k])][int(index.position[k])]['image']
        try:
          pixels = images_lib.read_image(io.BytesIO(image), size)
        except ValueError as error:
          raise ValueError(f'Expected a readable image {sample_id!r}, got '
                           f'{error}.') from error
        pixels = images_lib.grey(pixels) if grey else pixels
        file.write(pixels.tobytes())
        if progress is not None:
          progress(k + 1, shape[0])
    writes.write_whole(path, write)
  pixels = np.load(path, mmap_mode='r', allow_pickle=False)
  if pixels.shape != shape:
    raise ValueError(
        f'Expected {list(shape)} pixels in {path}, got {list(pixels.shape)}: '
        'delete the file to write it again.')
  return pixels
