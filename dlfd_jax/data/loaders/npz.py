"""A data set from one ``.npz`` file of arrays, read without pickle."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Unpack

import numpy as np

from dlfd_jax.data import (
  dataset as dataset_lib,
  labels as labels_lib,
  people as people_lib,
  split_columns,
)
from dlfd_jax.data.loaders import images as images_lib
from dlfd_jax.utils import files, storage, validate

_RESERVED = ('images', 'identity', 'sample_id', 'split')


def load_npz(
    path: str | os.PathLike, *, labels: str | Sequence[str],
    image_size: int | tuple[int, int] | None = None,
    split_column: str | None = None,
    split_codes: Mapping[str, str] | None = None,
    **options: Unpack[labels_lib.LabelOptions]) -> dataset_lib.Dataset:
  """Reads a data set.

  The file holds ``images``, uint8 ``[n, h, w]`` or ``[n, h, w, 1]`` (grey,
  repeated to three channels) or ``[n, h, w, 3]``; label arrays, integers
  ``[n]``; and optionally ``identity`` (``[n]``, integers with -1 unknown, or
  texts, see ``people.read_identities``; all unknown if absent), ``sample_id``
  (by default the file's name and the row, such as ``faces_00017``) and
  ``split`` (text ``[n]``). Further integer arrays ``[n]`` become columns; other
  arrays are not read.

  Args:
    path: the file.
    labels: one label array, or several.
    image_size: side, or (height, width), to resize to; as stored by default.
    split_column: the array that says what part an image is in, see
      ``split_columns.split_column``; like ``split_codes``.
    split_codes: parts by its values.
    **options: see ``labels.LabelOptions``.

  Returns:
    The data set.

  Raises:
    FileNotFoundError: if there is no such file.
    ValueError: if it is no npz file or an array is absent, has another shape or
      type than stated, or is out of range.
  """
  path = storage.local(path)
  labels = (labels,) if isinstance(labels, str) else tuple(labels)
  size = None if image_size is None else images_lib.as_size(image_size)
  arrays = files.read_arrays(path)
  images = _images(path, arrays, size)
  stored = arrays['images'].shape[1:3]
  n = len(images)
  where = lambda i: f'row {i} of {path.name}'
  columns = {
      key: labels_lib.to_int32(f'{key} in {path.name}', array)
      for key, array in arrays.items()
      if key not in _RESERVED and array.shape == (n,)
      and array.dtype.kind in 'iub'}
  for label in labels:
    if label not in arrays:
      raise ValueError(
          f'Expected an array {label!r} in {path.name}, got '
          f'{validate.listed(arrays)}.')
    if label not in columns:
      raise ValueError(
          f'Expected {label} in {path.name} to be integers [{n}], got '
          f'{arrays[label].dtype} {list(arrays[label].shape)}.')
    columns[label] = labels_lib.read_negative(
        label, columns[label], options.get('negative'))
  if len(labels) == 1 and options.get('names') and not options.get(
      'multilabel'):
    columns[labels[0]], options['names'] = labels_lib.read_classes(
        labels[0], list(map(str, columns[labels[0]].tolist())), where,
        **options)
  values, task = labels_lib.make_labels(columns, labels, where, **options)
  texts: dict[str, np.ndarray] = {}
  for key in ('identity', 'sample_id', 'split'):
    if key not in arrays:
      continue
    if arrays[key].shape != (n,):
      raise ValueError(
          f'Expected {key} in {path.name} to be [{n}], got '
          f'{list(arrays[key].shape)}.')
    if arrays[key].dtype.kind == 'V':
      raise ValueError(f'Expected {key} in {path.name} to be text or numbers, '
                       f'got records of type {arrays[key].dtype}.')
    if key != 'identity' or arrays[key].dtype.kind in 'US':
      try:
        texts[key] = arrays[key].astype(np.str_)
      except UnicodeDecodeError as error:
        raise ValueError(f'Expected {key} in {path.name} to be text, got bytes '
                         'that are not ASCII.') from error
  identity = np.full(n, people_lib.UNKNOWN, np.int32)
  people: dict[int, str] = {}
  notes: tuple[str, ...] = ()
  if images.shape[1:3] != stored:
    notes = (f'Images of {path.name} are {_sides(stored)} px and are resized '
             f'to {_sides(images.shape[1:3])} (--image_size).',)
  if 'identity' in texts:
    identity, people, more = people_lib.read_identities(
        texts['identity'].tolist(), where)
    notes += more
  elif 'identity' in arrays:
    identity = people_lib.check_identities(
        f'identity in {path.name}', arrays['identity'], where)
  sample_id = np.array([f'{path.stem}_{i:05d}' for i in range(n)])
  if 'sample_id' in texts:
    sample_id = texts['sample_id']
    first: dict[str, int] = {}
    for i, name in enumerate(sample_id.tolist()):
      if first.setdefault(name, i) != i:
        raise ValueError(
            f'Expected distinct values of sample_id, got {name!r} in '
            f'{where(first[name])} and in {where(i)}.')
  words = {key: list(map(str, (
      np.char.decode(array, 'latin-1') if array.dtype.kind == 'S' else array
  ).tolist())) for key, array in (arrays | texts).items()
           if key not in ('images', 'identity', 'sample_id')
           and array.shape == (n,) and array.dtype.kind in 'iubUS'}
  if 'sample_id' in texts and split_column is None and 'split' not in words:
    split_columns.check_paths(sample_id.tolist())
  split_name, split = split_columns.split_column(
      words, labels, split_column, split_codes)
  for key in sorted(arrays.keys() - words.keys() - set(_RESERVED)):
    if split_name is None is split_column and split_columns.is_named_like_split(
        key):
      raise ValueError(
          f'Expected the split of {path.name} as an array [{n}] of its parts, '
          f'got {key!r} {list(arrays[key].shape)}: write one called split, or '
          f'say --split_column={split_columns.IGNORE} to draw a split.')
  return dataset_lib.Dataset(
      images=images, labels=values, identity=identity, sample_id=sample_id,
      task=task, name=path.stem, people=people, notes=notes,
      split=None if split_name is None else np.array(split),
      places=np.array([where(i) for i in range(n)]),
      columns=labels_lib.other_columns(columns, labels, **options))


def _sides(shape: Sequence[int]) -> str:
  return ' x '.join(map(str, shape))


def _images(path: pathlib.Path, arrays: Mapping[str, np.ndarray],
            size: tuple[int, int] | None) -> np.ndarray:
  """The images as uint8 ``[n, h, w, 3]``, resized before grey is repeated."""
  if 'images' not in arrays:
    raise ValueError(
        f'Expected an array images in {path.name}, got '
        f'{validate.listed(arrays) or "none"}.')
  images = arrays['images']
  if images.ndim == 4 and images.shape[-1] == 1:
    images = images[..., 0]
  if images.dtype != np.uint8 or images.ndim not in (3, 4) or (
      images.ndim == 4 and images.shape[-1] != 3) or not images.size:
    raise ValueError(
        f'Expected images in {path.name} to be uint8 [n, h, w] or '
        f'[n, h, w, 3], got {images.dtype} {list(images.shape)}.')
  images_lib.check_range(images, path.name)  # a resized one has all between
  if size is not None:
    images = images_lib.resize_array(images, size)
  if images.ndim == 3:
    images = np.repeat(images[..., None], 3, axis=-1)
  return images
