"""Files, read with care; :mod:`~dlfd_jax.utils.writes` writes them.

Somebody else may have written what is read: nothing here runs code of a file,
follows a path out of its folder, or unpacks what no machine could hold.
"""

from __future__ import annotations

import contextlib
import math
import os
import pathlib
import zipfile
import zlib

import numpy as np

from dlfd_jax.utils import validate

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
