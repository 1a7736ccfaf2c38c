"""Files: read with care, and written whole or not at all.

Somebody else may have written what is read: nothing here runs code of a file,
follows a path out of its folder, or unpacks what no machine could hold.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import pathlib
import zipfile
import zlib
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

import numpy as np

from dlfd_jax.utils import stops, validate

_BROKEN = (ValueError, OSError, EOFError, AttributeError, TypeError, KeyError,
           NotImplementedError, RuntimeError, MemoryError, SyntaxError,
           zipfile.BadZipFile, zlib.error)
_HOUSEKEEPING = {
    '.ds_store', '.git', '.ipynb_checkpoints', '.svn', '.thumbnails',
    '@eadir', '__macosx', '__pycache__', '#recycle', '#snapshot',
    '$recycle.bin', 'system volume information', 'lost+found', 'lost.dir',
    'thumbs.db', 'ehthumbs.db', 'desktop.ini', 'icon\r'}


def is_file(path: str | os.PathLike) -> bool:
  """Whether there is such a file; none has a name that no disk allows.

  Python's own raises where a name is too long, or a link leads to itself.
  """
  try:
    return pathlib.Path(path).is_file()
  except (OSError, ValueError):
    return False


def is_folder(path: str | os.PathLike) -> bool:
  """Whether there is such a folder, see :func:`is_file`."""
  try:
    return pathlib.Path(path).is_dir()
  except (OSError, ValueError):
    return False


def is_inside(root: str | os.PathLike, path: str | os.PathLike) -> bool:
  """Whether a path is below a folder, all links followed."""
  try:
    root, path = os.path.realpath(root), os.path.realpath(path)
  except (OSError, ValueError):
    return False
  return os.path.commonpath([root, path]) == root


def is_housekeeping(name: str) -> bool:
  """Whether programs keep a file or folder of this name for themselves.

  Copies, thumbnails and waste of notebooks, disks and archives: nobody's data,
  though some of them are images.
  """
  name = name.lower()
  return name.startswith(('._', '.trash')) or name in _HOUSEKEEPING


def memory_bytes() -> int:
  """The memory of this machine; 2^63 - 1 where nothing tells."""
  with contextlib.suppress(ValueError, OSError, AttributeError):
    return os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
  return 2**63 - 1


def write_whole(path: str | os.PathLike,
                write: Callable[[BinaryIO], object]) -> None:
  """Writes a file under another name and renames it when it is complete.

  A process that is killed leaves an older file of that name as it was, and at
  worst a hidden one beside it.

  Raises:
    FileNotFoundError: if the folder does not exist.
  """
  path = pathlib.Path(path)
  if not path.parent.is_dir():
    raise FileNotFoundError(
        f'Expected the folder {path.parent} for {path.name}, found none.')
  temporary = path.with_name(f'.{path.name}.{os.getpid()}.tmp')
  try:
    with stops.after_writing():
      with open(temporary, 'wb') as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
      os.replace(temporary, path)
  except BaseException:
    temporary.unlink(missing_ok=True)
    raise


def write_text(path: str | os.PathLike, text: str) -> None:
  """Writes a text file in UTF-8, see :func:`write_whole`."""
  data = text.encode('utf-8')
  write_whole(path, lambda file: file.write(data))


def write_json(path: str | os.PathLike, value: Any) -> None:
  """Writes JSON, see :func:`write_whole`; NaN and infinity are refused."""
  write_text(path, json.dumps(value, indent=2, allow_nan=False) + '\n')


def write_arrays(path: str | os.PathLike, arrays: Mapping[str, np.ndarray], *,
                 compressed: bool = False) -> None:
  """Writes an npz file, see :func:`write_whole`."""
  save: Callable[..., None] = np.savez_compressed if compressed else np.savez
  write_whole(path, lambda file: save(file, allow_pickle=False, **arrays))


def read_arrays(path: str | os.PathLike,
                what: str = 'plain arrays') -> dict[str, np.ndarray]:
  """All arrays of an npz file, none of them pickled.

  Before an array is unpacked, its header is compared with the size that the
  archive states, and the sum of these with the memory.

  Args:
    path: the file.
    what: is expected in it, for the message.

  Raises:
    FileNotFoundError: if there is no such file.
    ValueError: if it is something else, or could not be held.
  """
  if not is_file(path):
    raise FileNotFoundError(f'Expected an npz file, got no file at {path}.')
  try:
    with zipfile.ZipFile(path) as archive:
      need = sum(_size(archive, entry) for entry in archive.infolist())
  except _BROKEN as error:
    found = error if isinstance(error, _Unfit) else 'something else'
    raise ValueError(f'Expected {path} to be an npz file of {what}, got '
                     f'{found}.') from error
  if need > memory_bytes():
    raise ValueError(
        f'Expected the arrays of {path} to fit into the memory of '
        f'{memory_bytes() / 1e9:.0f} GB, got {need / 1e9:.0f} GB of them.')
  try:
    with np.load(path, allow_pickle=False) as file:
      return {name: file[name] for name in file.files}
  except _BROKEN as error:
    raise ValueError(f'Expected {path} to be an npz file of {what}, got '
                     'something else.') from error


class _Unfit(ValueError):
  """What an archive holds that is no plain array."""


def _size(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> int:
  """Bytes of an entry, which must be those that its header claims."""
  if not entry.filename.endswith('.npy'):
    raise _Unfit(f'the entry {validate.shown(entry.filename)}')
  with archive.open(entry) as file:
    readers = {(1, 0): np.lib.format.read_array_header_1_0,
               (2, 0): np.lib.format.read_array_header_2_0}
    shape, _, dtype = readers[np.lib.format.read_magic(file)](file)
    begin = file.tell()
  if dtype.hasobject:
    raise _Unfit(f'pickled objects in {entry.filename}')
  claimed = math.prod(shape) * dtype.itemsize
  if claimed != entry.file_size - begin:
    raise _Unfit(f'{entry.file_size - begin} bytes where the header of '
                 f'{entry.filename} claims {claimed}')
  return entry.file_size
