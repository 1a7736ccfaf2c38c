"""A data set from folders of images: ``class/image``.

The classes are the folders in natural order, or in one that is given. The parts
may stand above them, ``train/class/image``, or below, ``class/train/image``.
"""

from __future__ import annotations

import collections
import os
import pathlib
import re
from collections.abc import Callable, Collection, Mapping, Sequence

from dlfd_jax.data import (
  dataset as dataset_lib,
  labels as labels_lib,
  split_columns,
)
from dlfd_jax.data.loaders import folder, images as images_lib, table
from dlfd_jax.utils import files, storage, validate

LABEL = 'class'
_MOST_OF_ONE_CLASS = 5  # images, all of one person; more is no person


def load_tree(root: str | os.PathLike, *,
              image_size: int | tuple[int, int],
              identity_pattern: str | None = None,
              class_names: Sequence[str] | None = None,
              same_classes: bool | None = False,
              merge_from: int | None = None,
              split_codes: Mapping[str, str] | None = None,
              progress: Callable[[int, int], None] | None = None,
              in_memory: bool = True,
              forgotten: Collection[str] = ()) -> dataset_lib.Dataset:
  """Reads a data set.

  The sample id of an image is its path in ``root``. Where the names of all
  folders in ``root``, or of all folders directly below those of the classes,
  are words for parts, see ``split_columns.part_of``, they are the split. Hidden
  and housekeeping files are never read, nor are folders below that of a class
  that are links; they, files that are no images by their endings, and images
  outside of a class are counted in ``notes``.

  Args:
    root: the folder.
    image_size: side, or (height, width), that every image is resized to.
    identity_pattern: regular expression with one group, searched in each
      image's path below the folder of its class: what the group finds is the
      person, read as ``people.read_identities`` does. None leaves all persons
      unknown.
    class_names: all classes in their order, or all folders in ``root`` where
      these look like parts and are none; by default natural order.
    same_classes: whether folders whose names differ by case, spaces or
      look-alike signs alone are one class.
    merge_from: the class that takes in all later ones; needs ``class_names``
      unless the folders are 0, 1, 2 and so on.
    split_codes: parts by names of folders, where these are no such words.
    progress: called after each image with (images read, images in all).
    in_memory: whether images are read now; else when they are needed.
    forgotten: sample ids of images that may be absent: a folder of a class that
      had such images may be empty.

  Returns:
    The data set.

  Raises:
    FileNotFoundError: if there is no such folder.
    ValueError: if there are fewer than two classes, a class has no image, some
      folders are parts and others not, folders of classes look like parts, a
      path does not fit the pattern, the pattern finds one person in all of a
      class, or an image cannot be read.
  """
  rows, notes = _list(
      root, identity_pattern, class_names, split_codes, forgotten)
  rows.columns[LABEL] = labels_lib.one_spelling(
      LABEL, rows.columns[LABEL],
      None if class_names == labels_lib.SORTED else class_names, same_classes)
  classes = labels_lib.text_order(rows.columns[LABEL], class_names)
  if merge_from is not None and not class_names and classes != tuple(
      map(str, range(len(classes)))):
    raise ValueError(
        'Expected the order of the classes for merge_from, got '
        f'{validate.listed(classes)}: give all of them in their order by '
        '--class_names.')
  if identity_pattern is not None:
    first = ', '.join(f'{person!r} in {path!r}' for path, person in zip(
        rows.columns['path'][:5], rows.columns['identity']))
    notes.append(f'{identity_pattern} finds the persons {first}.')
  return folder.load_rows(
      rows, rows.path, labels=(LABEL,), image_size=image_size, names=classes,
      merge_from=merge_from, progress=progress, notes=notes,
      in_memory=in_memory, forgotten=forgotten)


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


def _list(root: str | os.PathLike, identity_pattern: str | None,
          class_names: Sequence[str] | None,
          split_codes: Mapping[str, str] | None, forgotten: Collection[str]
          ) -> tuple[table.Table, list[str]]:
  """All images as rows, and what was left out."""
  root = storage.local(root)
  if not files.is_folder(root):
    raise FileNotFoundError(f'Expected a folder of images, got {root}.')
  tops = _folders(root)
  pattern = identity_pattern and check_pattern(identity_pattern)
  below = {} if class_names == labels_lib.SORTED else _parts_below(
      tops, split_codes)
  parts = {} if below else _parts(
      root, tops, class_names, split_codes, pattern or None)
  bases = tops if parts else [root]
  names = {path.name for base in bases for path in _folders(base)}
  if len(names) < 2:
    raise ValueError(
        f'Expected a folder for each of two classes or more in {root}, got '
        f'{validate.listed(names) or "none"}.')
  columns: dict[str, list[str]] = {'path': [], LABEL: []}
  if parts or below:
    columns['split'] = []
  skipped: collections.Counter[str] = collections.Counter()
  for place in dict.fromkeys([root, *bases]):  # above the classes
    _images(place, skipped, below=False)
  outside = sum(n for ending, n in skipped.items()
                if ending in images_lib.endings())
  for base in bases:
    for place in _folders(base):
      paths = _images(place, skipped)
      top = f'{place.relative_to(root).as_posix()}/'
      if not paths and not any(one.startswith(top) for one in forgotten):
        raise ValueError(
            f'Expected at least one image in {place}, got none'
            + (f' but {_endings(skipped)}' if skipped else '') + '.')
      for path in paths:
        columns['path'].append(path.relative_to(root).as_posix())
        columns[LABEL].append(place.name)
        if parts:
          columns['split'].append(parts[base.name])
        elif below:
          columns['split'].append(below[path.relative_to(place).parts[0]])
  notes = []
  if skipped:
    notes.append(
        f'Files and folders in {root.name} that were not read: '
        f'{_endings(skipped)}.' + (
            f' Images outside of the folders of classes: {outside}.'
            if outside else ''))
  columns['identity'] = [''] * len(columns['path'])
  if pattern:
    columns['identity'] = _persons(
        pattern, columns['path'], columns[LABEL], 1 + bool(parts or below))
  return table.Table(path=root, columns=columns), notes


def _parts(root: pathlib.Path, tops: Sequence[pathlib.Path],
           class_names: Sequence[str] | None,
           split_codes: Mapping[str, str] | None,
           pattern: re.Pattern | None) -> dict[str, str]:
  """The part of each folder in ``root``; none where they are classes.

  Raises:
    ValueError: if they may be either.
  """
  names = [path.name for path in tops]
  if class_names and set(names) <= set(class_names):
    return {}
  parts = {name: part for name in names
           if (part := split_columns.part_of(name, split_codes))}
  saw = f'got {validate.listed(names, 20)} in {root}'
  if parts and len(parts) < len(names):
    raise ValueError(
        f'Expected either parts such as train, val and test or classes, {saw}: '
        'move what is no part away, say which part it is by '
        f'--split_codes={next(n for n in names if n not in parts)}:test, or '
        'by --class_names='
        f'{validate.listed(names, 50, ",")} that all are classes.')
  if parts:
    first: dict[str, str] = {}
    for name, part in parts.items():
      if first.setdefault(part, name) != name and not split_codes:
        raise ValueError(
            f'Expected one folder for each part, got {first[part]} and {name} '
            f'for {part} in {root}: say by --split_codes what they are.')
    for top in tops if not class_names else ():
      classes = _folders(top)
      if shared := _shared(classes, pattern):
        raise ValueError(
            f'Expected classes below {top}, got '
            f'{validate.listed([path.name for path in classes], 5)}, and they '
            f'hold the same folders ({validate.listed(shared, 5)}), which may '
            'be the classes, as of part/person/class/image. Say by '
            '--class_names which are.')
    return parts
  alike = [name for name in names if split_columns.is_like_part(name)]
  shared = _shared(tops, pattern)
  if class_names == labels_lib.SORTED:  # nobody was asked then
    shared = []
  if alike or shared:
    raise ValueError(
        f'Expected classes or parts, {saw}, and cannot tell which: '
        + (f'{validate.listed(alike)} may be parts' if alike else
           f'they hold the same folders ({validate.listed(shared, 5)})')
        + f'. Say by --class_names={validate.listed(names, 50, ",")} '
        'that they are classes, or '
        'by --split_codes=NAME:train,NAME:val,NAME:test that they are parts.')
  return {}


def _shared(classes: Sequence[pathlib.Path],
            pattern: re.Pattern | None) -> list[str]:
  """Folders of one name in two of these, but for those of persons."""
  counts = collections.Counter(
      inner.name for path in classes for inner in _folders(path))
  return sorted(name for name, count in counts.items() if count > 1 and not (
      pattern and any(
          (person := pattern.search(f'{above}{name}/')) and person[1] == name
          for above in ('', f'{classes[0].name}/'))))


def _parts_below(tops: Sequence[pathlib.Path],
                 split_codes: Mapping[str, str] | None) -> dict[str, str]:
  """The part of each folder directly below classes; none where they are none.

  Raises:
    ValueError: if it is not said what some of them are.
  """
  names = sorted({path.name for top in tops for path in _folders(top)})
  parts = {name: part for name in names
           if (part := split_columns.part_of(name, split_codes))}
  alike = [name for name in names
           if name in parts or split_columns.is_like_part(name)]
  if len(alike) <= len(names) / 2 or len(
      {*parts.values(), *split_columns.parts_in(alike)}) < 2:
    return {}
  saw = f'got {validate.listed(names, 20)} below folders such as {tops[0]}'
  if len(parts) < len(names):
    raise ValueError(
        f'Expected parts such as train, val and test, {saw}: say by '
        f'--split_codes={next(n for n in names if n not in parts)}:test what '
        'each is, or rename folders that are no parts.')
  for top in tops:
    loose: collections.Counter[str] = collections.Counter()
    _images(top, loose, below=False)
    if loose.keys() & images_lib.endings():
      raise ValueError(f'Expected every image of {top} in one of its parts, '
                       f'{saw}, and beside them {_endings(loose)}.')
  return parts


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
          f'{validate.listed(paths[i] for i in rows[:5])}.')
  return persons


def _folders(path: pathlib.Path) -> list[pathlib.Path]:
  return sorted(p for p in path.iterdir() if p.is_dir()
                and not p.name.startswith('.')
                and not files.is_housekeeping(p.name))


def _images(place: pathlib.Path, skipped: collections.Counter[str],
            below: bool = True) -> list[pathlib.Path]:
  """Images in a folder and those below it; counts what else there is."""
  images = []
  for folder_name, folders, names in os.walk(place):
    hidden = [name for name in folders if name.startswith('.')
              or files.is_housekeeping(name)]
    skipped.update(f'{name}/' for name in hidden)
    # Those of classes are read as any folder; a link further down could lead
    # out of the tree, or round in it.
    linked = [name for name in folders if below and name not in hidden
              and os.path.islink(os.path.join(folder_name, name))]
    skipped.update(f'{name}/ (a link)' for name in linked)
    folders[:] = [] if not below else [
        name for name in folders if name not in (*hidden, *linked)]
    for name in names:
      path = pathlib.Path(folder_name, name)
      ending = path.suffix.lower()
      if name.startswith('.') or files.is_housekeeping(name):
        skipped[name if files.is_housekeeping(name) and not name.startswith(
            '._') else 'hidden'] += 1
      elif not below or ending not in images_lib.endings() or (
          not path.is_file()):
        skipped[ending] += 1
      else:
        images.append(path)
  return sorted(images)


def _endings(skipped: Mapping[str, int]) -> str:
  """What was skipped, the commonest first: ``4 .txt, 1 Thumbs.db``."""
  return validate.listed(
      (f'{n} {ending or "without ending"}' for ending, n in sorted(
          skipped.items(), key=lambda item: (-item[1], item[0]))), 20)
