"""Files, read with care; :mod:`~dlfd_jax.utils.writes` writes them.

Somebody else may have written what is read: nothing here runs code of a file,
follows a path out of its folder, or unpacks what no machine could hold.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import hashlib
import math
import os
import pathlib
import re
import stat
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np

from dlfd_jax.utils import text as text_lib, validate

_KINDS = ((stat.S_ISDIR, 'a folder'), (stat.S_ISFIFO, 'a pipe'),
          (stat.S_ISSOCK, 'a socket'), (stat.S_ISCHR, 'a device'),
          (stat.S_ISBLK, 'a device'))
_MEMORY = pathlib.Path('/proc/meminfo')
_CONTAINER = pathlib.Path('/sys/fs/cgroup/memory.max')
_MACHINE = (errno.EACCES, errno.EPERM, errno.EIO, errno.ENOMEM, errno.EMFILE,
            errno.ENFILE, errno.ESTALE, errno.ENOSPC, errno.EROFS, errno.EDQUOT)
_PIECE = 2**20  # bytes read at once
_HOUSEKEEPING = {
    '.ds_store', '.git', '.ipynb_checkpoints', '.svn', '.thumbnails',
    '@eadir', '__macosx', '__pycache__', '#recycle', '#snapshot',
    '$recycle.bin', 'system volume information', 'lost+found', 'lost.dir',
    'thumbs.db', 'ehthumbs.db', 'desktop.ini', 'icon\r'}


class TooLargeError(ValueError):
  """What is to be read does not fit into the memory that is free now."""


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


def is_there(path: str | os.PathLike) -> bool:
  """Whether there is anything of that name, a broken link or a pipe included.

  What may be absent is asked for by this; what is there is then read, and
  refused if it is no file.
  """
  try:
    return os.path.lexists(path)
  except ValueError:
    return False


def joined(texts: list[str]) -> list[str]:
  """Paths between commas; a name may have some (``bins=[1,2]``)."""
  found: list[str] = []
  while texts:
    size = next((n for n in range(len(texts), 0, -1)
                 if os.path.exists(','.join(texts[:n]))), 1)
    found.append(','.join(texts[:size]))
    texts = texts[size:]
  return found


def read_text(path: str | os.PathLike, expected: str) -> str:
  """The text of a file in UTF-8, with or without a byte-order mark.

  Args:
    path: the file.
    expected: as of :func:`check_file`.

  Raises:
    FileNotFoundError, ValueError: as that does, and if it is no such text.
  """
  check_file(path, expected)
  try:
    return pathlib.Path(path).read_text(encoding='utf-8-sig')
  except UnicodeDecodeError as error:
    utf_16 = error.object.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    raise ValueError(
        f'Expected {path} to be UTF-8 text, got '
        f'{"UTF-16" if utf_16 else "other bytes"}: save it as UTF-8 ("CSV '
        'UTF-8" in Excel).') from error


def check_file(path: str | os.PathLike, expected: str) -> None:
  """Raises unless there is a file that can be read to its end and held.

  A pipe, a socket or a device could keep its reader waiting for ever.

  Args:
    path: the file.
    expected: what it should be, for messages, such as ``'an npz file'``.

  Raises:
    FileNotFoundError: if there is nothing of that name.
    ValueError: if it is something else, or larger than the memory.
  """
  place = validate.shorten_path(path, 300)
  try:
    found = os.stat(path)
  except (OSError, ValueError) as error:  # also: no disk allows the name
    if isinstance(error, PermissionError):
      raise
    raise FileNotFoundError(
        f'Expected {expected}, got no file at {place}.') from error
  for is_kind, kind in _KINDS:
    if is_kind(found.st_mode):
      raise ValueError(f'Expected {expected}, got {kind} at {place}.')
  check_held(found.st_size, f'{expected} at {place}')


def check_folder(folder: str | os.PathLike[str]) -> None:
  """Raises ValueError unless files and folders are all that is below a folder.

  A library that opens whatever it finds there would wait for a pipe, or follow
  a link to the files of somebody else.
  """
  for place, folders, names in os.walk(os.fspath(folder)):
    for name in (*folders, *names):
      path = pathlib.Path(place, name)
      if path.is_symlink() and not is_inside(folder, path):
        raise ValueError(f'Expected the files of {folder} inside it, got a '
                         f'link out of it: {validate.shown(name)}.')
      if name in names:
        check_file(path, f'files alone in {folder}')


def check_held(size: int, what: str) -> None:
  """Raises TooLargeError if so many bytes do not fit into the free memory."""
  free = memory_bytes()
  if size > free:
    raise TooLargeError(
        f'Expected {what} to fit into the memory of this machine, of which '
        f'{free / 1e9:.1f} GB are free, got {size / 1e9:.1f} GB.')


def is_of_the_machine(error: BaseException) -> bool:
  """Whether an error tells of no permission, memory or disk, not of a file."""
  return isinstance(error, MemoryError) or (
      isinstance(error, OSError) and error.errno in _MACHINE)


@contextlib.contextmanager
def reading(sentence: str) -> Iterator[None]:
  """Turns what a library raises at a damaged file into a ValueError.

  Readers of others raise a dozen kinds of exceptions, and none of them is the
  program's mistake. What :func:`is_of_the_machine` is not the file's fault
  and passes.

  Args:
    sentence: what was expected and got, without its full stop. What the library
      said follows.

  Raises:
    ValueError: instead of what was raised.
  """
  try:
    yield
  except Exception as error:
    if is_of_the_machine(error):
      raise
    # Where an object lies in memory helps nobody, and is another each time.
    said = re.sub(r' (object )?at 0x[0-9a-f]+', '', str(error))
    said = text_lib.bounded(said, 160).rstrip('.')
    raise ValueError(f'{sentence}'
                     + (f' ({said})' if said else '') + '.') from error


def add_content(digest: Any, path: str | os.PathLike) -> None:
  """Adds the bytes of a file to a sum, piece by piece."""
  with open(path, 'rb') as file:
    while piece := file.read(_PIECE):
      digest.update(piece)


def sha256(path: str | os.PathLike) -> str:
  """SHA-256 of a file of any size."""
  digest = hashlib.sha256()
  add_content(digest, path)
  return digest.hexdigest()


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
  """The memory that is free for this process; 2^63 - 1 where nothing tells."""
  free = [2**63 - 1]
  with contextlib.suppress(ValueError, OSError, AttributeError):
    free.append(os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES'))
  with contextlib.suppress(ValueError, OSError):
    found = re.search(r'MemAvailable:\s+(\d+) kB', _MEMORY.read_text('utf-8'))
    free.append(1024 * int(found[1]) if found else free[0])
  with contextlib.suppress(ValueError, OSError):  # 'max' means no limit
    free.append(int(_CONTAINER.read_text('utf-8')))
  return min(free)




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
  check_file(path, 'an npz file')
  expected = f'Expected {path} to be an npz file of {what}, got'
  with reading(f'{expected} something else'), zipfile.ZipFile(path) as archive:
    sizes = [_size(archive, entry) for entry in archive.infolist()]
  for size in sizes:
    if isinstance(size, str):
      raise ValueError(f'{expected} {size}.')
  check_held(sum(size for size in sizes if isinstance(size, int)),
             f'the arrays of {path}')
  with reading(f'{expected} something else'), np.load(
      path, allow_pickle=False) as file:
    return {name: file[name] for name in file.files}


def _size(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> int | str:
  """Bytes of an entry, those that its header claims; or what is wrong."""
  name = validate.shown(entry.filename)
  if not entry.filename.endswith('.npy'):
    return f'the entry {name}'
  with archive.open(entry) as file:
    readers = {(1, 0): np.lib.format.read_array_header_1_0,
               (2, 0): np.lib.format.read_array_header_2_0}
    shape, _, dtype = readers[np.lib.format.read_magic(file)](file)
    begin = file.tell()
  if dtype.hasobject:
    return f'pickled objects in {name}'
  claimed = math.prod(shape) * dtype.itemsize
  if claimed != entry.file_size - begin:
    return (f'{entry.file_size - begin} bytes where the header of {name} '
            f'claims {claimed}')
  return entry.file_size
