"""A data set from image files and a CSV manifest.

The manifest has a header and one row per image: ``path``, ``identity``, the
label columns, and optionally ``split`` and columns that are kept for reports.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Unpack

import numpy as np

from dlfd_jax.data import (
  dataset as dataset_lib,
  labels as labels_lib,
  people as people_lib,
)
from dlfd_jax.data.loaders import images as images_lib, table
from dlfd_jax.utils import files, validate


def load_folder(
    manifest: str | os.PathLike, *, labels: str | Sequence[str],
    image_size: int | tuple[int, int], root: str | os.PathLike | None = None,
    progress: Callable[[int, int], None] | None = None,
    **options: Unpack[labels_lib.LabelOptions]) -> dataset_lib.Dataset:
  """Reads a data set.

  Persons and families: see ``people.read_identities``. Labels: integers, or for
  one label column texts, which are the classes in sorted order or in that of
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
    progress: called after each image with (images read, images in all).
    **options: see ``labels.LabelOptions``.

  Returns:
    The data set.

  Raises:
    FileNotFoundError: if the manifest, the root or an image does not exist.
    ValueError: if the manifest is empty or malformed, lacks a column, repeats a
      path or leaves the root, a value is out of range, or an image cannot be
      read. Images are read after everything else is checked.
  """
  labels = (labels,) if isinstance(labels, str) else tuple(labels)
  rows = table.read_csv(manifest, ('path', 'identity', *labels))
  return load_rows(
      rows, rows.path.parent if root is None else pathlib.Path(root),
      labels=labels, image_size=image_size, progress=progress, **options)


def load_rows(
    rows: table.Table, root: pathlib.Path, *, labels: tuple[str, ...],
    image_size: int | tuple[int, int],
    progress: Callable[[int, int], None] | None,
    **options: Unpack[labels_lib.LabelOptions]) -> dataset_lib.Dataset:
  """Reads the data set that rows describe; arguments as ``load_folder``."""
  size = images_lib.as_size(image_size)
  sample_ids = _check_paths(rows, root)
  columns: dict[str, np.ndarray] = {}
  texts: dict[str, dict[int, str]] = {}
  identity, people, notes = people_lib.read_identities(
      rows.columns['identity'], rows.where)
  for key, values in rows.columns.items():
    if key in ('path', 'identity', 'split'):
      continue
    if (key,) == labels and not options.get('multilabel'):
      columns[key], options['names'] = labels_lib.read_classes(
          key, values, options.get('names'), rows.where)
    elif key in labels:
      columns[key] = labels_lib.read_attribute(key, values, rows.where)
    elif key == people_lib.FAMILY:
      columns[key], texts[key], more = people_lib.read_identities(
          values, rows.where, key)
      notes += more
    else:
      columns[key], distinct = labels_lib.read_column(values)
      texts[key] = dict(enumerate(distinct))
  label_values, task = labels_lib.make_labels(
      columns, labels, rows.where, **options)
  split = rows.columns.get('split')
  n = len(sample_ids)
  images = np.empty((n, *size, 3), np.uint8)
  for i, sample_id in enumerate(sample_ids):
    try:
      images[i] = images_lib.read_image(root / sample_id, size)
    except ValueError as error:
      raise ValueError(
          f'Expected a readable image in {rows.where(i)}, got {sample_id!r}: '
          f'{error}.') from error
    if progress is not None:
      progress(i + 1, n)
  return dataset_lib.Dataset(
      images=images, labels=label_values, identity=identity,
      sample_id=np.array(sample_ids), task=task, name=rows.path.stem,
      people=people, notes=notes,
      column_names={k: v for k, v in texts.items() if v},
      split=None if split is None else np.array(split),
      places=None if rows.lines is None else np.array(
          [rows.where(i) for i in range(n)]),
      columns=labels_lib.other_columns(columns, labels, **options))


def _check_paths(rows: table.Table, root: pathlib.Path) -> list[str]:
  """The paths in one spelling: inside the root, existing, each given once."""
  if not files.is_folder(root):
    raise FileNotFoundError(f'Expected a folder of images, got {root}.')
  first: dict[str, int] = {}
  for i, value in enumerate(rows.columns['path']):
    relative = os.path.normpath(value) if value else ''
    if os.path.isabs(relative):
      relative = os.path.relpath(relative, os.path.abspath(root))
    validate.check_text(f'the path in {rows.where(i)}', [value])
    if not value or relative.split(os.sep)[0] in ('..', '.'):
      raise ValueError(
          f'Expected a path inside {root} in {rows.where(i)}, got '
          f'{validate.shown(value)}.')
    relative = pathlib.PurePath(relative).as_posix()
    if relative in first:
      raise ValueError(
          f'Expected every path once, got {value!r} in '
          f'{rows.where(first[relative])} and in {rows.where(i)}.')
    if not files.is_file(root / relative):
      raise FileNotFoundError(
          f'Expected an image file in {rows.where(i)}, got no file at '
          f'{validate.shorten_path(root / relative)}.')
    if not files.is_inside(root, root / relative):
      raise ValueError(
          f'Expected a path inside {root} in {rows.where(i)}, got a link out '
          f'of it: {value!r}.')
    first[relative] = i
  return list(first)
