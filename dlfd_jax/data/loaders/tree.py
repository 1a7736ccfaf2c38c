"""A data set from folders of images: ``class/image``.

The classes are the folders in sorted order (by number where all names are
numbers). Above them may stand the parts: ``train/class/image`` and so on.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
from collections.abc import Callable, Sequence

from dlfd_jax.data import dataset as dataset_lib, splits as splits_lib
from dlfd_jax.data.loaders import folder, table
from dlfd_jax.utils import files

LABEL = 'class'
_MOST_OF_ONE_CLASS = 5  # images, all of one person; more is no person
SUFFIXES = ('.bmp', '.gif', '.jpeg', '.jpg', '.png', '.ppm', '.tif', '.tiff',
            '.webp')
_PARTS = {*splits_lib.PARTITION_PARTS, *splits_lib.SPLITS_PARTS}


def load_tree(root: str | os.PathLike, *,
              image_size: int | tuple[int, int],
              identity_pattern: str | None = None,
              merge_from: int | None = None,
              progress: Callable[[int, int], None] | None = None
              ) -> dataset_lib.Dataset:
  """Reads a data set.

  The sample id of an image is its path in ``root``. Where all folders in
  ``root`` are called train, retain, forget, val or test, they are the split.
  Files that are no images by their names, and hidden ones, are skipped.

  Args:
    root: the folder.
    image_size: side, or (height, width), that every image is resized to.
    identity_pattern: regular expression with one group, searched in each
      image's path below the folder of its class: what the group finds is the
      person, read as ``people.read_identities`` does. None leaves all persons
      unknown.
    merge_from: the class that takes in all later ones.
    progress: called after each image with (images read, images in all).

  Returns:
    The data set.

  Raises:
    FileNotFoundError: if there is no such folder.
    ValueError: if there are fewer than two classes, a class has no image, a
      path does not fit the pattern, the pattern finds one person in all of a
      class, or an image cannot be read.
  """
  rows, classes = _list(root, identity_pattern)
  dataset = folder.load_rows(
      rows, rows.path, labels=(LABEL,), image_size=image_size, names=classes,
      merge_from=merge_from, progress=progress)
  if identity_pattern is None:
    return dataset
  first = ', '.join(f'{person!r} in {path!r}' for path, person in zip(
      rows.columns['path'][:5], rows.columns['identity']))
  return dataclasses.replace(dataset, notes=(
      f'{identity_pattern} finds the persons {first}.', *dataset.notes))


def check_pattern(pattern: str) -> re.Pattern:
  """The compiled pattern.

  Raises:
    ValueError: if it is no regular expression with exactly one group.
  """
  try:
    compiled = re.compile(pattern)
  except re.error as error:
    raise ValueError(
        f'Expected a regular expression, got {pattern!r}: {error}.') from error
  if compiled.groups != 1:
    raise ValueError(
        'Expected one group in the pattern of a person, such as '
        f"'(\\d+)_', got {compiled.groups} in {pattern!r}.")
  return compiled


def _list(root: str | os.PathLike, identity_pattern: str | None
          ) -> tuple[table.Table, tuple[str, ...]]:
  """All images as rows, and the names of the classes."""
  root = pathlib.Path(root)
  if not files.is_folder(root):
    raise FileNotFoundError(f'Expected a folder of images, got {root}.')
  tops = _folders(root)
  split = bool(tops) and {path.name for path in tops} <= _PARTS
  bases = tops if split else [root]
  names = {path.name for base in bases for path in _folders(base)}
  numbers = all(name.isascii() and name.isdigit() for name in names)
  classes = sorted(names, key=lambda name: (int(name) if numbers else 0, name))
  if len(classes) < 2:
    raise ValueError(
        f'Expected a folder for each of two classes or more in {root}, got '
        f'{", ".join(classes) or "none"}.')
  columns: dict[str, list[str]] = {'path': [], LABEL: []}
  if split:
    columns['split'] = []
  for base in bases:
    for place in _folders(base):
      paths = _images(place)
      if not paths:
        raise ValueError(f'Expected at least one image in {place}, got none.')
      for path in paths:
        columns['path'].append(path.relative_to(root).as_posix())
        columns[LABEL].append(place.name)
        if split:
          columns['split'].append(base.name)
  columns['identity'] = [''] * len(columns['path'])
  if identity_pattern is not None:
    columns['identity'] = _persons(
        check_pattern(identity_pattern), columns['path'], columns[LABEL],
        1 + split)
  places = {name: str(k) for k, name in enumerate(classes)}
  columns[LABEL] = [places[name] for name in columns[LABEL]]
  return table.Table(path=root, columns=columns), tuple(classes)


def _persons(pattern: re.Pattern, paths: Sequence[str],
             classes: Sequence[str], depth: int) -> list[str]:
  """The person in each path.

  Args:
    pattern: has one group.
    paths: of the images in the tree.
    classes: of the images.
    depth: the number of folders above an image, that of its class included.

  Raises:
    ValueError: if a path has none, or those of a class have all the same.
  """
  persons = []
  for path in paths:
    start = len(path) - len(path.split('/', depth)[-1])
    # A pattern may begin with what is above: the slash, or the whole path.
    for match, least in ((pattern.search(path), start),
                         (pattern.search(path, start - 1), start),
                         (pattern.search(path[start:]), 0)):
      if match and match.group(1) and match.start(1) >= least:
        persons.append(match.group(1))
        break
    else:
      raise ValueError(
          f'Expected a person by the pattern {pattern.pattern!r} in every path '
          f'below the folder of its class, got none in {path!r}.')
  members: dict[str, list[int]] = {}
  for i, name in enumerate(classes):
    members.setdefault(name, []).append(i)
  for name, rows in members.items():
    person, *others = {persons[i] for i in rows}
    if not others and len(rows) > _MOST_OF_ONE_CLASS:
      raise ValueError(
          f'Expected several persons in each class by the pattern '
          f'{pattern.pattern!r}, got {person!r} alone in all {len(rows)} '
          f'images of {name!r}, such as '
          f'{", ".join(paths[i] for i in rows[:5])}.')
  return persons


def _folders(path: pathlib.Path) -> list[pathlib.Path]:
  return sorted(p for p in path.iterdir()
                if p.is_dir() and not p.name.startswith('.'))


def _images(place: pathlib.Path) -> list[pathlib.Path]:
  return sorted(p for p in place.rglob('*')
                if p.suffix.lower() in SUFFIXES and p.is_file()
                and not p.name.startswith('.'))
