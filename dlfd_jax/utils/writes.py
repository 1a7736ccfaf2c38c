"""Files written whole or not at all, and never over somebody else's.

What is written first lies in the same folder under a name that nobody can
foresee. It is created there, so that no link leads elsewhere, with the
permissions that the umask leaves. Its writer holds a lock on it: what nobody
holds was left by a process that died, and the next writer removes it. What
lies in the copy of an object store is sent there when it is whole, see
:mod:`~dlfd_jax.utils.storage`.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import pathlib
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO

import numpy as np

from dlfd_jax.utils import records, stops, storage

_TEMPORARY = re.compile(r'\.dlfd_jax-[0-9a-f]{16}\.tmp')
PRIVATE = 0o600  # permissions of what is for its owner's eyes
_FILES = 'files'  # hashes of what was published with a JSON file


def is_temporary(name: str) -> bool:
  """Whether a process that writes, or died in it, has a file of this name."""
  return _TEMPORARY.fullmatch(name) is not None


def write_whole(path: str | os.PathLike,
                write: Callable[[BinaryIO], object]) -> None:
  """Writes a file of a run, and replaces it if it is there.

  A process that is killed leaves an older file of that name as it was, and at
  worst a temporary one beside it, which the next write in the folder removes.

  Raises:
    FileNotFoundError: if the folder does not exist.
    FileExistsError: if there is something else than a file, such as a link.
  """
  path = pathlib.Path(path)
  _check_file(path)
  with stops.after_writing(), _complete(path, write) as temporary:
    os.replace(temporary, path)
    storage.push(path)


def move_whole(temporary: str | os.PathLike, path: str | os.PathLike) -> None:
  """Gives a file of a :func:`temporary_folder`, now complete, its name.

  Raises:
    FileExistsError: if there is something else than a file, such as a link.
  """
  path = pathlib.Path(path)
  _check_file(path)
  with stops.after_writing(), _naming(path):
    with open(temporary, 'rb') as file:
      os.fsync(file.fileno())
    os.replace(temporary, path)
    storage.push(path)


def write_new(path: str | os.PathLike,
              write: Callable[[BinaryIO], object]) -> None:
  """Writes a file that is not there yet, see :func:`write_whole`.

  Raises:
    FileExistsError: if it is there already.
  """
  path = pathlib.Path(path)
  with stops.after_writing(), _complete(path, write) as temporary:
    try:
      os.link(temporary, path)  # refuses what is there, at this moment
    except FileExistsError as error:
      raise FileExistsError(
          f'Expected a new file, {path} is there already.') from error
    except OSError:  # a file system without links
      check_new(path)
      os.replace(temporary, path)
    try:
      storage.push(path, new=True)
    except FileExistsError as error:
      raise FileExistsError(
          f'Expected a new file, {path} is there already.') from error


def check_new(path: str | os.PathLike) -> None:
  """Raises FileExistsError if anything has that name, a broken link too."""
  if os.path.lexists(path):
    raise FileExistsError(f'Expected a new file, {path} is there already.')


def write_text(path: str | os.PathLike, text: str) -> None:
  """Writes a text file in UTF-8, see :func:`write_whole`."""
  data = text.encode('utf-8')
  write_whole(path, lambda file: file.write(data))


def write_json(path: str | os.PathLike, value: Any) -> None:
  """Writes JSON, see :func:`write_whole`; NaN and infinity are refused."""
  write_text(path, _as_json(value))


def write_arrays(path: str | os.PathLike, arrays: Mapping[str, np.ndarray], *,
                 compressed: bool = False) -> None:
  """Writes an npz file, see :func:`write_whole`.

  Raises:
    ValueError: if an array holds Python objects, which would be pickled.
  """
  for name, array in arrays.items():
    if np.asarray(array).dtype.hasobject:
      raise ValueError(f'Expected arrays without Python objects, got {name!r}.')
  # Not `allow_pickle=False`: NumPy 2.1 takes it for one more array.
  save: Callable[..., None] = np.savez_compressed if compressed else np.savez
  write_whole(path, lambda file: save(file, **arrays))


def append(path: str | os.PathLike, text: str) -> None:
  """Appends to a file, which is made; the whole text or, on an error, none.

  Raises:
    FileExistsError: if there is something else than a file, such as a link.
  """
  path = pathlib.Path(path)
  _check_file(path)
  with stops.after_writing(), _naming(path):
    number = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT
                     | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    with open(number, 'ab', buffering=0) as file:
      before = os.fstat(number).st_size
      try:
        rest = text.encode('utf-8')
        while rest:
          rest = rest[file.write(rest):]
      except OSError:
        os.ftruncate(number, before)
        raise
  storage.push_later(path)


def publish(path: str | os.PathLike, value: Mapping[str, Any],
            beside: Mapping[str, str | bytes] | None = None,
            mode: int = 0o666) -> None:
  """Writes a result as JSON, and pages and pictures of it in the same folder.

  Users have files of such names, too. Ours are known by the JSON: it is of the
  same ``kind`` and holds the SHA-256 of all the others, so that nobody's page
  is replaced, not even one that was ours and was edited.

  Args:
    path: of the JSON file.
    value: JSON values with a ``kind``.
    beside: text or bytes by the name of the file.
    mode: permissions, of which the umask takes some.

  Raises:
    FileExistsError: if one of these files is there and is not ours; nothing is
      written then.
  """
  path = pathlib.Path(path)
  contents = {name: text.encode('utf-8') if isinstance(text, str) else text
              for name, text in (beside or {}).items()}
  known = _published(path, value.get('kind'))
  hashes = {}
  for name, content in contents.items():
    now = _hash_of(path.with_name(name))
    if now is not None and known is not None and now not in known:
      raise _not_ours(path.with_name(name))
    # What is replaced stays known until it has been: a kill may come before.
    hashes[name] = list(dict.fromkeys(filter(None, (
        hashlib.sha256(content).hexdigest(), now))))
  text = _as_json({**value, **({_FILES: hashes} if hashes else {})})
  new = {path: text.encode('utf-8'), **{
      path.with_name(name): content for name, content in contents.items()}}
  # All are on the disk before the first one gets its name.
  with stops.after_writing(), contextlib.ExitStack() as stack:
    ready = {place: stack.enter_context(_complete(
        place, lambda file: file.write(content), mode))  # noqa: B023
             for place, content in new.items()}
    for place, temporary in ready.items():
      os.replace(temporary, place)
      storage.push(place)


def check_ours(path: str | os.PathLike, kind: str | None = None) -> None:
  """Raises FileExistsError if another file is there than one of ours.

  So what takes hours is refused before it begins.

  Args:
    path: of a JSON file that :func:`publish` is to write.
    kind: of it; None = any that is there may be replaced.
  """
  path = pathlib.Path(path)
  known = _published(path, kind)
  for name in records.read(path, dict[str, Any])[_FILES] if known else ():
    if _hash_of(path.with_name(name)) not in (None, *(known or ())):
      raise _not_ours(path.with_name(name))


def _published(path: pathlib.Path, kind: Any) -> set[str] | None:
  """Hashes that our JSON file holds; None = an earlier version wrote none."""
  if _hash_of(path) is None:
    return set()
  with contextlib.suppress(ValueError):
    found = records.read(path, dict[str, Any])
    if 'kind' in found and kind in (None, found['kind']):
      return None if _FILES not in found else set(
          re.findall('[0-9a-f]{64}', json.dumps(found[_FILES])))
  raise _not_ours(path)


def _hash_of(path: pathlib.Path) -> str | None:
  """SHA-256 of a file; None if nothing is there."""
  path = storage.local(path)
  if not os.path.lexists(path):
    return None
  if path.is_symlink() or not path.is_file():
    raise _not_ours(path)
  return hashlib.sha256(path.read_bytes()).hexdigest()


def _not_ours(path: pathlib.Path) -> FileExistsError:
  return FileExistsError(
      f'Expected no file at {path} but one that this program wrote and nobody '
      'changed, got another: move it away, or name another place to write to.')


@contextlib.contextmanager
def temporary_folder(folder: str | os.PathLike) -> Iterator[pathlib.Path]:
  """A folder inside another one that is removed at the end, or after a kill."""
  with _naming(folder), contextlib.ExitStack() as stack:
    while True:
      path = _new_name(folder)
      path.mkdir()
      stack.callback(shutil.rmtree, path, ignore_errors=True)
      number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
      stack.callback(os.close, number)
      if _hold(number):
        break
    clear(folder)  # only now: an older one tells whose files lie there
    storage.keep_private(path)
    yield path


def clear(folder: str | os.PathLike[str]) -> None:
  """Removes what dead processes were writing in a folder."""
  with os.scandir(folder) as entries:
    left = [entry for entry in entries if is_temporary(entry.name)]
  for entry in left:
    is_dir = entry.is_dir(follow_symlinks=False)
    with contextlib.suppress(OSError):  # is gone, somebody else's or a link
      number = os.open(entry.path, (os.O_RDONLY if is_dir else os.O_RDWR)
                       | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
      try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(entry.path) if is_dir else os.unlink(entry.path)
      finally:
        os.close(number)


@contextlib.contextmanager
def _complete(path: pathlib.Path, write: Callable[[BinaryIO], object],
              mode: int = 0o666) -> Iterator[pathlib.Path]:
  """A temporary file with the whole content, for the name that it gets."""
  if not path.parent.is_dir():
    raise FileNotFoundError(
        f'Expected the folder {path.parent} for {path.name}, found none.')
  with _naming(path):
    clear(path.parent)
    while True:
      temporary = _new_name(path.parent)
      number = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL
                       | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
      try:
        with open(number, 'wb') as file:
          if _hold(number):
            write(file)
            file.flush()
            os.fsync(number)
            yield temporary
            break
      finally:
        temporary.unlink(missing_ok=True)


def _new_name(folder: str | os.PathLike) -> pathlib.Path:
  return pathlib.Path(folder) / f'.dlfd_jax-{secrets.token_hex(8)}.tmp'


def _hold(number: int) -> bool:
  """Locks a new file or folder; False if it was just taken for a dead one's."""
  try:
    fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except BlockingIOError:
    return False
  except OSError:  # a file system without locks: there nothing is removed
    return True
  return os.fstat(number).st_nlink > 0


@contextlib.contextmanager
def _naming(path: str | os.PathLike) -> Iterator[None]:
  """Errors of the disk name the file that was meant."""
  try:
    yield
  except OSError as error:
    parts = pathlib.Path(os.fsdecode(error.filename or '')).parts
    if error.errno is None or not (
        error.filename is None or any(map(is_temporary, parts))):
      raise
    raise OSError(error.errno, os.strerror(error.errno), str(path)) from error


def _check_file(path: pathlib.Path) -> None:
  """Raises FileExistsError if a name is taken by something else."""
  if os.path.lexists(path) and not stat.S_ISREG(os.lstat(path).st_mode):
    raise FileExistsError(
        f'Expected a file of the run at {path}, got a link or something else '
        'that this program did not write: move it away.')



def _as_json(value: Any) -> str:
  return json.dumps(value, indent=2, allow_nan=False) + '\n'
