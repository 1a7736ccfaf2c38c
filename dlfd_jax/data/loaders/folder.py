"""A data set from image files and a CSV manifest.

The manifest has a header and one row per image: ``path``, ``identity``, the
label columns, and optionally ``split`` and columns that are kept for reports.
"""

from __future__ import annotations

import os
import pathlib
import unicodedata
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Unpack

import numpy as np

from dlfd_jax.data import (
  dataset as dataset_lib,
  labels as labels_lib,
  people as people_lib,
  pixels,
  split_columns,
)
from dlfd_jax.data.loaders import images as images_lib, table
from dlfd_jax.utils import files, storage, validate


def load_folder(
    manifest: str | os.PathLike, *, labels: str | Sequence[str],
    image_size: int | tuple[int, int], root: str | os.PathLike | None = None,
    split_column: str | None = None,
    split_codes: Mapping[str, str] | None = None,
    progress: Callable[[int, int], None] | None = None,
    in_memory: bool = True, forgotten: Collection[str] = (),
    **options: Unpack[labels_lib.LabelOptions]) -> dataset_lib.Dataset:
  """Reads a data set.

  Persons and families: see ``people.read_identities``. Labels: integers, or for
  one label column texts, which are the classes in natural order (``2, 10``) or
  in that of
  ``names``; blank is unknown, for several label columns only. Other columns:
  integers stay, texts are numbered in sorted order, blank is -1. The sample id
  of an image is its path. What was a text in the manifest stands in ``people``
  and ``column_names``.

  Args:
    manifest: the CSV file, UTF-8 with a header.
    labels: one label column, or several.
    image_size: side, or (height, width), that every image is resized to; the
      aspect ratio is not kept.
    root: the folder that paths start from; the manifest's by default. Links
      inside it are followed, links out of it are refused.
    split_column: that says what part an image is in, see
      ``split_columns.split_column``; like ``split_codes``.
    split_codes: parts by its values.
    progress: called after each image with (images read, images in all).
    in_memory: whether images are read now; else when they are needed.
    forgotten: sample ids of images that may be absent: their rows are then left
      out, once labels and persons have been numbered.
    **options: see ``labels.LabelOptions``.

  Returns:
    The data set.

  Raises:
    FileNotFoundError: if the manifest, the root or an image does not exist.
    ValueError: if the manifest is empty or malformed, lacks a column, repeats a
      path or leaves the root, a value is out of range, a column looks like a
      split and nobody said whether it is one, or images cannot be read. Images
      are read after everything else is checked; all that cannot be read are
      counted and the first ones named.
  """
  labels = (labels,) if isinstance(labels, str) else tuple(labels)
  rows = table.read_csv(manifest, ('path', 'identity', *labels))
  if split_column is None and 'split' not in rows.columns:
    split_columns.check_paths(rows.columns['path'])
  return load_rows(
      rows, rows.path.parent if root is None else storage.local(root),
      labels=labels, image_size=image_size, split_column=split_column,
      split_codes=split_codes, progress=progress, in_memory=in_memory,
      forgotten=forgotten, **options)


def load_rows(
    rows: table.Table, root: pathlib.Path, *, labels: tuple[str, ...],
    image_size: int | tuple[int, int],
    progress: Callable[[int, int], None] | None,
    split_column: str | None = None,
    split_codes: Mapping[str, str] | None = None, notes: Sequence[str] = (),
    in_memory: bool = True, forgotten: Collection[str] = (),
    **options: Unpack[labels_lib.LabelOptions]) -> dataset_lib.Dataset:
  """Reads the data set that rows describe; arguments as ``load_folder``."""
  size = images_lib.as_size(image_size)
  sample_ids, there = _check_paths(rows, root, forgotten)
  columns: dict[str, np.ndarray] = {}
  texts: dict[str, dict[int, str]] = {}
  identity, people, more = people_lib.read_identities(
      rows.columns['identity'], rows.where)
  notes = [*notes, *more]
  split_name, split = split_columns.split_column(
      rows.columns, {'path', 'identity', *labels}, split_column, split_codes)
  if split_name is not None and split_name == split_column:
    meant = dict(zip(rows.columns[split_name], split))
    notes.append(f'The split is column {split_name!r}: ' + ', '.join(
        f'{word} is {meant[word]}' for word in sorted(meant)) + '.')
  for key, values in rows.columns.items():
    if key in ('path', 'identity', 'split', split_name):
      continue
    if (key,) == labels and not options.get('multilabel'):
      ordered = options.get('names')
      columns[key], options['names'] = labels_lib.read_classes(
          key, values, rows.where, **options)
      if ordered is None and options['names']:
        notes.append(f'The classes of {key!r}, in the order of the outputs: '
                     f'{validate.listed(options["names"], 20)}.')
    elif key in labels:
      columns[key] = labels_lib.read_attribute(
          key, values, rows.where, options.get('negative'))
    elif key == people_lib.FAMILY:
      columns[key], texts[key], more = people_lib.read_identities(
          values, rows.where, key)
      notes += more
    else:
      columns[key], distinct, odd = labels_lib.read_other(
          key, values, rows.where)
      texts[key] = dict(enumerate(distinct))
      notes += odd
  label_values, task = labels_lib.make_labels(
      columns, labels, rows.where, **options)
  if split_name is not None:
    _check_same_file(root, sample_ids, there, split)
  absent = len(sample_ids) - len(there)
  if absent:
    notes.append(f'{absent} images that earlier requests named are listed, and '
                 'their files are gone: they are left out.')
  n = len(there)

  def read_one(k: int) -> np.ndarray:
    i = int(there[k])
    try:
      return images_lib.read_image(root / sample_ids[i], size)
    except ValueError as error:
      raise ValueError(
          f'in {rows.where(i)}, got {sample_ids[i]!r}: {error}') from error

  images: np.ndarray | pixels.Stored = pixels.Files(n, size, read_one)
  if in_memory:
    images = _read_all(n, size, read_one, progress, rows.path.name)
  return dataset_lib.Dataset(
      images=images, labels=label_values[there], identity=identity[there],
      sample_id=np.array(sample_ids)[there], task=task, name=rows.path.stem,
      people=people, column_names={k: v for k, v in texts.items() if v},
      split=None if split_name is None else np.array(split)[there],
      places=None if rows.lines is None else np.array(
          [rows.where(i) for i in there]),
      notes=tuple(notes),
      columns={name: column[there] for name, column in
               labels_lib.other_columns(columns, labels, **options).items()})


def _check_same_file(root: pathlib.Path, sample_ids: Sequence[str],
                     there: np.ndarray, split: Sequence[str]) -> None:
  """Refuses one file in two parts, which links make of one image."""
  first: dict[tuple[int, int], int] = {}
  for i in there.tolist():
    stat = (root / sample_ids[i]).stat()
    j = first.setdefault((stat.st_dev, stat.st_ino), i)
    if split[i] != split[j]:
      raise ValueError(
          f'Expected every image in one part, got the same file as '
          f'{sample_ids[j]!r} in {split[j]} and, by a link, as '
          f'{sample_ids[i]!r} in {split[i]}.')


def _read_all(n: int, size: tuple[int, int],
              read_one: Callable[[int], np.ndarray],
              progress: Callable[[int, int], None] | None,
              name: str) -> np.ndarray:
  """All images in memory, or one error on all that cannot be read."""
  images = np.empty((n, *size, 3), np.uint8)
  damaged = []
  for i in range(n):
    try:
      images[i] = read_one(i)
    except ValueError as error:
      damaged.append(str(error))
    if progress is not None:
      progress(i + 1, n)
  if damaged:
    raise ValueError('Expected a readable image '
                     f'{validate.listed(damaged, comma="; ")}.')
  images_lib.check_range(images, name)
  return images


def _check_paths(rows: table.Table, root: pathlib.Path,
                 forgotten: Collection[str]) -> tuple[list[str], np.ndarray]:
  """The paths in one spelling, and the numbers of those that exist.

  They are inside the root, each given once; the forgotten alone may be absent.
  """
  if not files.is_folder(root):
    raise FileNotFoundError(f'Expected a folder of images, got {root}.')
  first: dict[str, int] = {}
  there = []
  storage.local_all(
      root / value for value in map(pathlib.PurePath, rows.columns['path'])
      if not value.is_absolute() and '..' not in value.parts)
  for i, value in enumerate(rows.columns['path']):
    relative = os.path.normpath(value) if value else ''
    if os.path.isabs(relative):
      relative = os.path.relpath(relative, os.path.abspath(root))
    validate.check_text(f'the path in {rows.where(i)}', [value])
    if not value or relative.split(os.sep)[0] in ('..', '.'):
      raise ValueError(
          f'Expected a path inside {root} in {rows.where(i)}, got '
          f'{validate.shown(value)}.')
    if any(map(files.is_housekeeping, relative.split(os.sep))):
      raise ValueError(
          f'Expected an image of the data in {rows.where(i)}, got '
          f'{validate.shown(value)}, which another program keeps for itself: '
          'delete the row.')
    relative = pathlib.PurePath(relative).as_posix()
    if relative in first:
      raise ValueError(
          f'Expected every path once, got {value!r} in '
          f'{rows.where(first[relative])} and in {rows.where(i)}.')
    if not files.is_file(root / relative):
      if relative in forgotten:
        first[relative] = i
        continue
      raise FileNotFoundError(
          f'Expected an image file in {rows.where(i)}, got no file at '
          f'{validate.shorten_path(root / relative)}'
          f'{_other_spelling(root, relative)}.')
    if not files.is_inside(root, root / relative):
      raise ValueError(
          f'Expected a path inside {root} in {rows.where(i)}, got a link out '
          f'of it: {value!r}.')
    first[relative] = i
    there.append(i)
  return list(first), np.array(there, np.int64)


def _other_spelling(root: pathlib.Path, relative: str) -> str:
  """How a path must be written for the file that is there; else nothing."""
  def is_there(other: str) -> bool:
    return other != relative and files.is_file(root / other)

  if is_there(relative.replace('\\', '/')):
    return ': write / for \\'
  if any(is_there(unicodedata.normalize(form, relative))
         for form in ('NFC', 'NFD')):
    return (', but one that looks the same: its accents are typed in another '
            'way (Unicode NFC or NFD), write the path as the file is called')
  return ''
