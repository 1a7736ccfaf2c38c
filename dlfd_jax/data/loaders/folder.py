"""A data set from image files and a CSV manifest.

The manifest has a header and one row per image: ``path``, ``identity``, the
label columns, and optionally ``split`` and columns that are kept for reports.
"""

from __future__ import annotations

import csv
import dataclasses
import os
import pathlib
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from dlfd_jax.data import dataset as dataset_lib, labels as labels_lib
from dlfd_jax.data.loaders import images as images_lib
from dlfd_jax.utils import files, validate

_INT32 = np.iinfo(np.int32)
_UNKNOWN = -1


@dataclasses.dataclass(frozen=True)
class Manifest:
  """The rows of a manifest as columns of text.

  Attributes:
    path: the file, or the folder that was listed instead.
    columns: all values by column, ``path`` and ``identity`` among them.
    lines: number of each row's line; None where no file was read.
  """

  path: pathlib.Path
  columns: dict[str, list[str]]
  lines: list[int] | None = None

  def where(self, i: int) -> str:
    """Names a row in an error."""
    if self.lines is None:
      return f'{self.columns["path"][i]} of {self.path.name}'
    return f'line {self.lines[i]} of {self.path.name}'


def load_folder(
    manifest: str | os.PathLike, *, labels: str | Sequence[str],
    image_size: int | tuple[int, int], root: str | os.PathLike | None = None,
    names: Sequence[str] | None = None, multilabel: bool = False,
    merge_from: int | None = None, thresholds: Mapping[str, int] | None = None,
    name: str | None = None,
    progress: Callable[[int, int], None] | None = None) -> dataset_lib.Dataset:
  """Reads a data set.

  Persons: integers stay as they are; other texts are numbered in sorted order
  (``identity_names`` gives the numbers); blank or -1 is unknown. Labels:
  integers, or for one label column texts, which are the classes in sorted order
  or in that of ``names``; blank is unknown, for several label columns only.
  Other columns: integers stay, texts are numbered in sorted order, blank is -1.
  The sample id of an image is its path.

  Args:
    manifest: the CSV file, UTF-8 with a header.
    labels: see ``labels.make_labels``, as ``names``, ``multilabel``,
      ``merge_from`` and ``thresholds``.
    image_size: side, or (height, width), that every image is resized to; the
      aspect ratio is not kept.
    root: the folder that paths start from; the manifest's by default. Links
      inside it are followed, links out of it are refused.
    names: of the classes or attributes.
    multilabel: whether one label column makes a multilabel task.
    merge_from: the class that takes in all later ones.
    thresholds: least value that counts as 1, by label column.
    name: of the data set; the manifest's name by default.
    progress: called after each image with (images read, images in all).

  Returns:
    The data set.

  Raises:
    FileNotFoundError: if the manifest, the root or an image does not exist.
    ValueError: if the manifest is empty or malformed, lacks a column, repeats a
      path or leaves the root, a value is out of range, or an image cannot be
      read. Images are read after everything else is checked.
  """
  labels = (labels,) if isinstance(labels, str) else tuple(labels)
  rows = _read(manifest, ('path', 'identity', *labels))
  return load_rows(
      rows, rows.path.parent if root is None else pathlib.Path(root),
      labels=labels, image_size=image_size, names=names, multilabel=multilabel,
      merge_from=merge_from, thresholds=thresholds, name=name,
      progress=progress)


def load_rows(
    rows: Manifest, root: pathlib.Path, *, labels: tuple[str, ...],
    image_size: int | tuple[int, int], names: Sequence[str] | None,
    multilabel: bool, merge_from: int | None,
    thresholds: Mapping[str, int] | None, name: str | None,
    progress: Callable[[int, int], None] | None) -> dataset_lib.Dataset:
  """Reads the data set that rows describe; arguments as ``load_folder``."""
  size = images_lib.as_size(image_size)
  sample_ids = _check_paths(rows, root)
  columns, classes = {}, names
  for key, values in rows.columns.items():
    if key in ('path', 'identity', 'split'):
      continue
    if (key,) == labels and not multilabel:
      columns[key], classes = _class_codes(rows, key, names)
    elif key in labels:
      columns[key] = _attribute(rows, key)
    else:
      columns[key], _ = _codes(values)
  label_values, task = labels_lib.make_labels(
      columns, labels, names=classes, multilabel=multilabel,
      merge_from=merge_from, thresholds=thresholds, where=rows.where)
  identity, people = person_codes(rows)
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
      sample_id=np.array(sample_ids), task=task, name=name or rows.path.stem,
      people={number: person for person, number in people.items()},
      split=None if split is None else np.array(split),
      places=None if rows.lines is None else np.array(
          [rows.where(i) for i in range(n)]),
      columns=labels_lib.other_columns(
          columns, labels, changed=bool(thresholds) or merge_from is not None))


def identity_names(manifest: str | os.PathLike) -> dict[str, int]:
  """The number of each person by name; empty where persons are integers.

  Raises:
    FileNotFoundError: if there is no such manifest.
    ValueError: if it is malformed or has no column ``identity``.
  """
  _, names = person_codes(_read(manifest, ('identity',)))
  return names


def family_names(manifest: str | os.PathLike) -> dict[str, int]:
  """The number of each family by name; empty where families are integers.

  Raises:
    FileNotFoundError: if there is no such manifest.
    ValueError: if it is malformed or has no column ``family``.
  """
  rows = _read(manifest, ('family',))
  return _codes(rows.columns['family'])[1]


def _read(manifest, needed) -> Manifest:
  path = pathlib.Path(manifest)
  if not files.is_file(path):
    raise FileNotFoundError('Expected a CSV manifest, got no file at '
                            f'{validate.shorten_path(path)}.')
  try:
    with open(path, encoding='utf-8-sig', newline='') as file:
      reader = csv.reader(file, strict=True)
      rows = [(reader.line_num, [value.strip() for value in row])
              for row in reader if any(value.strip() for value in row)]
  except (UnicodeDecodeError, csv.Error) as error:
    raise ValueError(
        f'Expected {path} to be a CSV file in UTF-8, got something else: '
        f'{error}.') from error
  if len(rows) < 2:
    raise ValueError(
        f'Expected a header and at least one image in {path}, got {len(rows)} '
        'rows.')
  header = rows[0][1]
  for name in needed:
    if name not in header:
      raise ValueError(
          f'Expected a column {name!r} in {path}, got {", ".join(header)}.')
  if len(set(header)) != len(header) or '' in header:
    raise ValueError(
        f'Expected distinct column names in {path}, got {", ".join(header)}.')
  for line, row in rows[1:]:
    if len(row) != len(header):
      raise ValueError(
          f'Expected {len(header)} values in line {line} of {path}, got '
          f'{len(row)}.')
  return Manifest(
      path=path, lines=[line for line, _ in rows[1:]],
      columns={name: [row[k] for _, row in rows[1:]]
               for k, name in enumerate(header)})


def _check_paths(rows, root) -> list[str]:
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


def _codes(values: list[str]) -> tuple[np.ndarray, dict[str, int]]:
  """Integers as they are, else texts numbered in sorted order; blank is -1.

  Texts that would become equal as integers (7 and 007) or do not fit int32 stay
  texts.

  Returns:
    int32 ``[n]``, and the number of each text (empty for integers).
  """
  texts = sorted({value for value in values if value})
  if all(re.fullmatch(r'[+-]?[0-9]+', text, re.ASCII) for text in texts):
    numbers = {text: int(text) for text in texts}
    if len(set(numbers.values())) == len(texts) and all(
        _INT32.min <= number <= _INT32.max for number in numbers.values()):
      return np.array([numbers.get(value, _UNKNOWN) for value in values],
                      np.int32), {}
  names = {text: k for k, text in enumerate(texts)}
  return np.array([names.get(value, _UNKNOWN) for value in values],
                  np.int32), names


def person_codes(rows: Manifest) -> tuple[np.ndarray, dict[str, int]]:
  """Each row's person, and the number of each name (none for integers).

  Raises:
    ValueError: if an integer is below -1.
  """
  values = ['' if value == '-1' else value
            for value in rows.columns['identity']]
  codes, names = _codes(values)
  bad = np.flatnonzero(codes < _UNKNOWN)
  if bad.size:
    raise ValueError(
        'Expected identity to be a name, an integer >= 0 or -1 (unknown), got '
        f'{values[bad[0]]!r} in {rows.where(bad[0])}.')
  return codes, names


def _class_codes(rows, label, names):
  """Class numbers of a label column, and the class names if they are texts."""
  values = rows.columns[label]
  for i, value in enumerate(values):
    if not value:
      raise ValueError(
          f'Expected a class in column {label!r} in {rows.where(i)}, got a '
          'blank.')
  codes, numbers = _codes(values)
  if names is None:
    return codes, (tuple(numbers) if numbers else None)
  if not numbers:
    return codes, names
  places = {text: k for k, text in enumerate(names)}
  for i, value in enumerate(values):
    if value not in places:
      raise ValueError(
          f'Expected one of {", ".join(names)} in column {label!r} in '
          f'{rows.where(i)}, got {value!r}.')
  return np.array([places[value] for value in values], np.int32), names


def _attribute(rows, label) -> np.ndarray:
  """An integer column, blank unknown; texts have no order to make 0, 1 of."""
  values = rows.columns[label]
  for i, value in enumerate(values):
    if value and not re.fullmatch(r'[+-]?[0-9]{1,9}', value, re.ASCII):
      raise ValueError(
          f'Expected integers in column {label!r}, got {value!r} in '
          f'{rows.where(i)}.')
  return np.array([int(value or _UNKNOWN) for value in values], np.int32)
