"""Folders in object stores, ``gs://`` and ``s3://``, worked on through a copy.

A bucket has no rename, no append and no lock of an operating system, and the
libraries that read images, arrays and checkpoints want files. So a process has
a copy of what it uses on its own disk, below :func:`local`, in which all works
as in any folder, and :func:`push` brings the bucket to what the copy holds. Who
writes says in which order: an object appears whole or not at all, of several
the one that names the others comes last.

The copy is removed when the command ends, and one that a killed process left
by the next command that makes one. Drivers are fsspec's: an ``epath.Path`` is
taken wherever a path is, but its interface has neither a write on condition
nor a listing with hashes, which locks and copies need.
"""

from __future__ import annotations

import atexit
import concurrent.futures
import contextlib
import errno
import fcntl
import importlib
import json
import logging
import os
import pathlib
import secrets
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from dlfd_jax.utils import text as text_lib

# The module that drives a scheme, the extra that brings it, and how a user
# names himself to the store.
_DRIVERS = {
    'gs': ('gcsfs', 'gcs', 'gcloud auth application-default login, or '
           'GOOGLE_APPLICATION_CREDENTIALS'),
    's3': ('s3fs', 's3', 'aws configure, or AWS_ACCESS_KEY_ID and '
           'AWS_SECRET_ACCESS_KEY')}
LOCK = '.lock'
BEAT_S = 20.0  # the holder of a lock shows that often that it is alive
STALE_S = 120.0  # a holder that was silent for as long is taken for dead
_FRAME = b'--==0=='  # around what gcsfs sends of files below a size
_FRAMED = 5 * 2**20
_AT_ONCE = 16  # objects that are copied at the same time
_LOCAL = (errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EMFILE, errno.ENFILE,
          errno.ENOMEM)  # of this machine, not of the store


class StorageError(OSError):
  """A store could not be used; the sentence says which and what helps."""


class _Copy:
  """What this process has of object stores on its disk."""

  def __init__(self) -> None:
    self.root: pathlib.Path | None = None
    self.number = -1  # of the open folder, which tells others that it is used
    self.systems: dict[str, Any] = {}
    self.whole: set[pathlib.Path] = set()  # all that is below is here
    self.tags: dict[pathlib.Path, Any] = {}  # of the objects that were read
    self.sent: dict[pathlib.Path, tuple[int, ...]] = {}  # files as the store's
    self.later: dict[pathlib.Path, None] = {}
    self.private: set[pathlib.Path] = set()  # folders that are not sent
    self.locks: list[Lock] = []
    self.users = 0


_copy = _Copy()


def is_url(path: object) -> bool:
  """Whether a text or path names something in an object store.

  Example:
    >>> is_url('gs://bucket/run'), is_url('runs/gs')
    (True, False)
  """
  if not isinstance(path, (str, os.PathLike)):
    return False
  return str(os.fspath(path)).startswith(tuple(f'{s}://' for s in _DRIVERS))


def local(path: str | os.PathLike) -> pathlib.Path:
  """A path on this disk for one that may lie in a store, with what it holds.

  Args:
    path: a URL, a place in the copy, or any other path, which is returned as it
      is.

  Raises:
    StorageError: if the store cannot be read.
    ValueError: if the URL names no place, or the driver is not installed.
  """
  where = place(path)
  if _is_copied(where):
    _fetch(where)
  return where


def place(path: str | os.PathLike) -> pathlib.Path:
  """As :func:`local`, without reading what the store holds."""
  if not is_url(path):
    return pathlib.Path(path)
  scheme, _, rest = str(os.fspath(path)).partition('://')
  parts = rest.rstrip('/').split('/')
  if not all(parts) or {'.', '..'} & set(parts):
    raise ValueError(f'Expected {scheme}://bucket/path, got '
                     f'{text_lib.bounded(str(path), 200)}.')
  _system(scheme)
  return _root().joinpath(scheme, *parts)


def url_of(path: str | os.PathLike) -> str | None:
  """The URL of a place in the copy or of a URL; None of any other path."""
  if is_url(path):
    return str(os.fspath(path))
  where = pathlib.Path(path)
  if not _is_copied(where):
    return None
  scheme, *parts = where.relative_to(_root()).parts
  return f'{scheme}://{"/".join(parts)}'


def shown(text: str) -> str:
  """A text for people, with URLs where it names places in the copy."""
  if _copy.root is not None and str(_copy.root) in text:
    for scheme in _DRIVERS:
      text = text.replace(f'{_copy.root}/{scheme}/', f'{scheme}://')
  return text


def refresh(path: str | os.PathLike) -> None:
  """Reads again what others may have written below a place."""
  where = pathlib.Path(path)
  if _is_copied(where):
    _fetch(where, again=True)


def local_all(paths: Iterable[pathlib.Path]) -> None:
  """Reads many files, by their names and all at once; some may be absent."""
  if _copy.root is None:
    return
  missing = [path for path in paths if _is_copied(path)
             and not _is_whole(path) and not path.is_file()]

  def one(path: pathlib.Path) -> None:
    with contextlib.suppress(FileNotFoundError):
      _get(path, _key(path))

  if missing:
    with _using(missing[0], 'read'):
      _each(one, missing)


def keep_private(folder: str | os.PathLike) -> None:
  """What is written below a folder from now on stays in the copy."""
  if _is_copied(pathlib.Path(folder)):
    _copy.private.add(pathlib.Path(folder))


def push(path: str | os.PathLike, *, new: bool = False) -> None:
  """Brings the store to what is at a place in the copy; other paths stay.

  A file becomes an object at once, what was to be sent later before it. Of a
  folder the files that changed are sent, then objects are deleted that have no
  file. Where nothing is, nothing is left.

  Args:
    path: the place.
    new: nothing of that name may be in the store.

  Raises:
    FileExistsError: if there is, with ``new``.
    StorageError: if the store cannot be written.
  """
  where = pathlib.Path(path)
  if not _is_copied(where) or any(map(where.is_relative_to, _copy.private)):
    return
  for lock in _copy.locks:
    lock.check(where)
  _copy.later.pop(where, None)
  with _using(where, 'write'):
    for earlier in list(_copy.later):
      _send(_files(earlier))
      del _copy.later[earlier]
    if new:
      _put(where, mode='create')
      _copy.sent[where] = _signature(where)
      return
    ours = _files(where)
    _send(ours)
    if where.is_file():
      return
    gone = [name for name in _listed(where) if _place_of(where, name)
            not in ours and not name.endswith('/' + LOCK)]
    _each(_system_of(where).rm_file, gone)
    for path in [p for p in _copy.sent if p.is_relative_to(where)]:
      if path not in ours:
        del _copy.sent[path]


def push_later(path: str | os.PathLike) -> None:
  """The same, before the next :func:`push` or :func:`flush`."""
  where = pathlib.Path(path)
  if _is_copied(where):
    _copy.later[where] = None


def flush() -> None:
  """Sends what was to be sent later."""
  if _copy.later:
    push(next(iter(_copy.later)))


@contextlib.contextmanager
def session() -> Iterator[None]:
  """A command: what it held and copied is given back at its end."""
  _copy.users += 1
  try:
    yield
  finally:
    _copy.users -= 1
    if not _copy.users:
      close()


def close() -> None:
  """Releases locks and removes the copy."""
  global _copy
  for lock in list(_copy.locks):
    lock.release()
  if _copy.root is not None:
    os.close(_copy.number)
    shutil.rmtree(_copy.root, ignore_errors=True)
  users, _copy = _copy.users, _Copy()
  _copy.users = users


class Lock:
  """An object beside a run that tells who is at work in it.

  It is made on the condition that there is none, and written again every
  :data:`BEAT_S` by a thread. A holder that is known to be dead, or was silent
  for :data:`STALE_S`, is followed by the next one. A process that finds out
  that it was followed writes nothing more. Two that come to a dead holder's
  lock in the same moment may both believe for one beat to hold it: then the
  first write of the loser fails.

  Args:
    folder: in the copy.

  Raises:
    ValueError: if another process is at work in the folder.
    StorageError: if the store cannot be written.
  """

  def __init__(self, folder: pathlib.Path):
    self._folder = folder
    self._key = _key(folder / LOCK)
    self._me = {'host': _host(), 'pid': os.getpid(),
                'token': secrets.token_hex(8)}
    self._lost = False
    self._end = threading.Event()
    with _using(folder / LOCK, 'write'):
      self._take()
    _copy.locks.append(self)
    self._thread = threading.Thread(target=self._beat, daemon=True)
    self._thread.start()

  def _take(self) -> None:
    system = _system_of(self._folder)
    for _ in range(3):
      other = self._read()
      if other is not None and other.get('token') != self._me['token']:
        self._check_dead(other)
        with contextlib.suppress(FileNotFoundError):
          system.rm_file(self._key)
      with contextlib.suppress(FileExistsError):
        system.pipe_file(self._key, self._written(), mode='create')
      # Not every store keeps to the condition.
      if (self._read() or {}).get('token') == self._me['token']:
        return
    raise self._taken('')

  def _check_dead(self, other: Mapping[str, Any]) -> None:
    silent = time.time() - float(other.get('time') or 0)
    if other.get('host') == self._me['host']:
      if other.get('pid') == os.getpid():
        if other.get('token') not in {one._me['token'] for one in _copy.locks}:
          return  # one of this process that could not be removed
      elif not _is_alive(other.get('pid')):
        return
    if silent < STALE_S:
      raise self._taken(
          f'Process {other.get("pid")} of {other.get("host")} gave the last '
          f'sign of life {max(silent, 0):.0f} s ago; if it was killed, the '
          f'folder is free {STALE_S:.0f} s after that sign.')

  def _taken(self, more: str) -> ValueError:
    return ValueError(
        f'Expected {url_of(self._folder)} for one process, but another one is '
        'at work in it: wait for it, stop it, or name another folder.'
        + f' {text_lib.bounded(more, 300)}'.rstrip())

  def _read(self) -> dict[str, Any] | None:
    try:
      found = json.loads(_system_of(self._folder).cat_file(self._key))
    except FileNotFoundError:
      return None
    except ValueError:  # nobody knows whose
      return {}
    return found if isinstance(found, dict) else {}

  def _written(self) -> bytes:
    return json.dumps({**self._me, 'time': time.time()}).encode()

  def _beat(self) -> None:
    while not self._end.wait(BEAT_S):
      with contextlib.suppress(StorageError), _using(self._folder, 'write'):
        if (self._read() or {}).get('token') != self._me['token']:
          self._lost = True
          return
        _system_of(self._folder).pipe_file(self._key, self._written())

  def check(self, path: pathlib.Path) -> None:
    """Raises ValueError if a path is below a folder that another one holds."""
    if path.is_relative_to(self._folder) and not self._end.is_set():
      with _using(path, 'write'):
        self._lost |= (self._read() or {}).get('token') != self._me['token']
      if self._lost:
        raise ValueError(
            f'Expected {url_of(self._folder)} for this process, but another '
            'one took it over while this one could not be heard: what it '
            'saves from there counts.')

  def release(self) -> None:
    """Gives the folder to the next one; a store that is gone keeps it."""
    if self._end.is_set():
      return
    self._end.set()
    self._thread.join()  # a beat would write the lock again
    if self in _copy.locks:
      _copy.locks.remove(self)
    with contextlib.suppress(StorageError), _using(self._folder, 'write'):
      if (self._read() or {}).get('token') == self._me['token']:
        _system_of(self._folder).rm_file(self._key)


def _host() -> str:
  """This machine since it was started, or this container."""
  boot = pathlib.Path('/proc/sys/kernel/random/boot_id')
  with contextlib.suppress(OSError):
    return f'{socket.gethostname()} {boot.read_text().strip()[:8]}'
  return socket.gethostname()


def _is_alive(pid: object) -> bool:
  if not isinstance(pid, int) or pid < 1:
    return True  # nobody knows
  try:
    os.kill(pid, 0)
  except ProcessLookupError:
    return False
  except OSError:
    pass
  return True


def _root() -> pathlib.Path:
  """The folder of the copy; each process has one of its own."""
  if _copy.root is None:
    cache = os.environ.get('XDG_CACHE_HOME', '')
    if not os.path.isabs(cache):  # relative ones do not count
      cache = os.path.join(os.path.expanduser('~'), '.cache')
    above = pathlib.Path(os.path.realpath(cache), 'dlfd_jax', 'stores')
    above.mkdir(0o700, parents=True, exist_ok=True)
    with open(above / LOCK, 'wb') as gate:
      fcntl.flock(gate, fcntl.LOCK_EX)
      for left in above.glob('copy-*'):
        with contextlib.suppress(OSError):  # in use
          os.close(_hold(left))
          shutil.rmtree(left)
      folder = pathlib.Path(tempfile.mkdtemp(prefix='copy-', dir=above))
      _copy.number = _hold(folder)
    _copy.root = folder
    atexit.register(_remove, folder, os.getpid())
  return _copy.root


def _hold(folder: pathlib.Path) -> int:
  number = os.open(folder, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
  try:
    fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
  except OSError:
    os.close(number)
    raise
  return number


def _remove(folder: pathlib.Path, pid: int) -> None:
  if os.getpid() == pid:
    shutil.rmtree(folder, ignore_errors=True)


def _is_copied(path: pathlib.Path) -> bool:
  return _copy.root is not None and path.is_relative_to(_copy.root) and (
      path != _copy.root)


def _system(scheme: str) -> Any:
  """The file system of a scheme, which remembers no listing."""
  if scheme not in _copy.systems:
    module, extra, _ = _DRIVERS[scheme]
    try:
      importlib.import_module(module)
      fsspec = importlib.import_module('fsspec')
    except ImportError as error:
      raise ValueError(
          f'Expected {module} for {scheme}:// folders: '
          f'{text_lib.by_extra(extra)}.') from error
    logging.getLogger(module).setLevel(logging.CRITICAL)  # we say it, once
    _copy.systems[scheme] = fsspec.filesystem(
        scheme, use_listings_cache=False, skip_instance_cache=True)
  return _copy.systems[scheme]


def _system_of(path: pathlib.Path) -> Any:
  return _system(path.relative_to(_root()).parts[0])


def _key(path: pathlib.Path) -> str:
  """What the driver calls a place: bucket and key."""
  return '/'.join(path.relative_to(_root()).parts[1:])


def _place_of(where: pathlib.Path, name: str) -> pathlib.Path:
  scheme = where.relative_to(_root()).parts[0]
  return _root().joinpath(scheme, *name.split('/'))


def _listed(where: pathlib.Path) -> dict[str, Any]:
  """The objects at and below a place by their names, with what is known."""
  key, found = _key(where), {}
  for name, known in _system_of(where).find(key, detail=True).items():
    name = name.lstrip('/')
    if known.get('type') != 'file' or name.endswith('/') or not (
        name == key or name.startswith(key + '/')):
      continue  # a console writes an empty object for a folder
    if not all(part not in ('', '.', '..') for part in name.split('/')):
      raise ValueError(f'Expected names of files in {url_of(where)}, got '
                       f'{text_lib.bounded(name, 200)}.')
    found[name] = known
  return found


def _is_whole(where: pathlib.Path) -> bool:
  return bool({where, *where.parents} & _copy.whole)


def _fetch(where: pathlib.Path, again: bool = False) -> None:
  """Makes the copy at a place what the store holds there."""
  if not again and _is_whole(where):
    return
  with _using(where, 'read'):
    found = {_place_of(where, name): known
             for name, known in _listed(where).items()
             if not name.endswith('/' + LOCK)}
    tags = {path: (known.get('size'), str(
        known.get('ETag') or known.get('etag') or known.get('mtime')
        or known.get('created'))) for path, known in found.items()}
    wanted = [path for path in found if not (
        path.is_file() and _copy.tags.get(path) == tags[path])]
    size = sum(int(found[path].get('size') or 0) for path in wanted)
    free = shutil.disk_usage(_root()).free
    if size > free:
      raise OSError(errno.ENOSPC, f'{size / 1e9:.1f} GB of {url_of(where)} do '
                    f'not fit into the {free / 1e9:.1f} GB that are free',
                    str(_root().parent))
    where.parent.mkdir(parents=True, exist_ok=True)
    for path in {path.parent for path in wanted}:
      try:
        path.mkdir(parents=True, exist_ok=True)
      except (FileExistsError, NotADirectoryError) as error:
        raise ValueError(f'Expected files or a folder at {url_of(path)}, got '
                         'an object and others below it.') from error
    _each(lambda path: _get(path, _key(path)), wanted)
  _copy.tags.update(tags)
  if again:
    for path in _files(where):
      if path not in found and path.name != LOCK:
        path.unlink()
  _copy.whole.add(where)


def _get(path: pathlib.Path, key: str) -> None:
  path.parent.mkdir(parents=True, exist_ok=True)
  _system_of(path).get_file(key, str(path))
  _copy.sent[path] = _signature(path)


def _files(where: pathlib.Path) -> list[pathlib.Path]:
  if where.is_dir():
    return sorted(path for path in where.rglob('*') if path.is_file())
  return [where] if where.is_file() else []


def _signature(path: pathlib.Path) -> tuple[int, ...]:
  known = path.stat()
  return known.st_ino, known.st_size, known.st_mtime_ns


def _send(paths: Iterable[pathlib.Path]) -> None:
  """Sends the files that are not in the store as they are here."""
  def one(path: pathlib.Path) -> None:
    now = _signature(path)
    _put(path)
    _copy.sent[path] = now

  _each(one, [path for path in paths
              if _copy.sent.get(path) != _signature(path)])


def _put(path: pathlib.Path, **how: Any) -> None:
  """Makes an object of a file; one of another size is an error.

  gcsfs frames a small file with line feeds alone where MIME asks for carriage
  return and line feed: of a file that ends in a carriage return that last byte
  may be read as the frame's. Such a file goes as one chunk of a resumable
  upload, which has no frame.
  """
  system, key = _system_of(path), _key(path)
  if path.relative_to(_root()).parts[0] != 'gs':
    system.put_file(str(path), key, **how)
    return
  size, how = path.stat().st_size, {**how, 'consistency': 'size'}
  with path.open('rb') as file:
    data = file.read() if 0 < size < _FRAMED else b''
  try:
    if data.endswith(b'\r') or _FRAME in data:
      system.pipe_file(key, data, chunksize=size, **how)
    else:
      system.put_file(str(path), key, **how)
  except AssertionError as error:  # this is how gcsfs says it
    system.rm_file(key)  # no shortened object keeps a good name
    raise StorageError(
        f'Expected {size} bytes in {url_of(path)}, where so many were sent, '
        'got another number: the same command sends them again.') from error


def _each(call: Callable[[Any], object], items: list[Any]) -> None:
  """Calls for each item, many at once; the first error ends it."""
  if len(items) == 1:
    call(items[0])
  elif items:
    with concurrent.futures.ThreadPoolExecutor(_AT_ONCE) as pool:
      made = [pool.submit(call, item) for item in items]
      try:
        for one in made:
          one.result()
      finally:
        for one in made:
          one.cancel()


@contextlib.contextmanager
def _using(where: pathlib.Path, how: str) -> Iterator[None]:
  """Turns what a driver raises into one sentence.

  Drivers and the libraries below them raise dozens of exceptions, none of
  which is the program's mistake.
  """
  try:
    yield
  except (StorageError, ValueError, MemoryError, FileExistsError):
    raise
  except Exception as error:
    if isinstance(error, OSError) and error.errno in _LOCAL:
      raise
    raise StorageError(_sentence(error, where, how)) from error


def _sentence(error: Exception, where: pathlib.Path, how: str) -> str:
  url = url_of(where)
  scheme, bucket = where.relative_to(_root()).parts[:2]
  said = text_lib.bounded(str(error), 200).rstrip('.') or type(error).__name__
  kind = type(error).__name__
  if 'Credentials' in kind or 'Token' in kind or getattr(
      error, 'code', None) == 401:
    return (f'Expected credentials to {how} {url}, got none that are valid '
            f'({said}): {_DRIVERS[scheme][2]} name them.')
  if isinstance(error, PermissionError) or said.startswith('Forbidden') or (
      getattr(error, 'code', None) == 403):
    return (f'Expected the permission to {how} {url}, got a refusal of the '
            f'store ({said}).')
  if isinstance(error, FileNotFoundError) or (
      isinstance(error, OSError) and error.errno == errno.EINVAL) or (
          'ParamValidation' in kind):
    return (f'Expected the bucket {scheme}://{bucket} to {how} {url}, got: '
            f'{said}.')
  return (f'Expected to {how} {url}, got {kind}: {said}. What was saved there '
          'before is whole; when the store can be reached again, the same '
          'command goes on.')
