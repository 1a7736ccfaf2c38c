"""The files of one run: its folder, config, log and result.

A folder that is not empty is resumed if its config equals the command's, and
refused with the difference if not. Nothing a user made is overwritten.
"""

from __future__ import annotations

import datetime
import errno
import fcntl
import functools
import hashlib
import importlib.metadata
import json
import os
import pathlib
import platform
import re
import resource
import sys
import weakref
from collections.abc import Mapping
from typing import Any

from dlfd_jax.utils import (
  configs,
  files,
  places,
  records,
  schemas,
  storage,
  validate,
  writes,
)
from dlfd_jax.utils.writes import (
  publish as publish,
  write_json as write_json,
  write_text as write_text,
)

read_json = records.read

CONFIG = 'config.json'
VERSIONS = 'versions.json'
METRICS = 'metrics.jsonl'
SPLITS = 'splits.npz'
RESULT = 'result.json'
MODEL_CARD = 'model.json'  # beside the variables of a model
REPORT = 'report.html'
LOCK = '.lock'
CHECKPOINTS = 'checkpoints'
CANDIDATES = 'candidates'  # of --method=auto
PLACES = (*places.OF_CONFIG, places.KEY)
_HASH = re.compile('[0-9a-f]{64}')
_OTHERS = 'other images are to be forgotten'
OWN_CODE = 'own_code'  # of a config: hashes of the files of a user's classes
# None: as many people as the source has; what earlier versions did, and did not
# record. Of shards ``table`` tells what a split column meant.
_LEFT_OPEN = ('chain', 'data.people', 'data.class_names', 'data.split_column',
              'table', OWN_CODE)
_PACKAGES = ('dlfd_jax', 'jax', 'jaxlib', 'flax', 'optax', 'ott-jax',
             'orbax-checkpoint', 'numpy', 'scikit-learn')


def versions() -> dict[str, str]:
  """Versions of Python, the platform and the packages that shape a result."""
  found = {'python': platform.python_version(), 'platform': platform.platform()}
  for package in _PACKAGES:
    try:
      found[package] = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
      found[package] = 'not installed'
  return {**found, 'dlfd_jax_source': source_hash()}


@functools.cache
def source_hash() -> str:
  """SHA-256 of the package's Python files: which code ran, exactly."""
  root = pathlib.Path(__file__).parents[1]
  digest = hashlib.sha256()
  for path in sorted(root.rglob('*.py')):
    digest.update(path.relative_to(root).as_posix().encode() + b'\0')
    digest.update(hashlib.sha256(path.read_bytes()).digest())
  return digest.hexdigest()


def now() -> str:
  """Date and time, UTC, as in 2026-11-27T09:30:00Z."""
  return datetime.datetime.now(datetime.UTC).strftime('%Y-%m-%dT%H:%M:%SZ')


def peak_bytes() -> int:
  """Largest resident memory of this process so far, bytes; host memory only."""
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
  return peak if sys.platform == 'darwin' else 1024 * peak


def another_run(path: str | os.PathLike, lines: list[str]) -> ValueError:
  """What a folder is refused with that holds a run of another config."""
  return ValueError(
      f'Expected the config of the run in {path} to resume it, but '
      + '; '.join(sorted(lines, key=_OTHERS.__ne__)[:5])
      + '. Another folder starts another run.')


def differences(old: Any, new: Any, name: str = '',
                verbs: tuple[str, str] = ('was', 'is now')) -> list[str]:
  """What differs, in words; where files lie is not part of a run.

  An older config need not know a field that is None; and what a field that is
  left open meant is told by the fingerprint of the data and the hashes of rows.
  """
  if name in PLACES or (name in _LEFT_OPEN and None in (old, new)):
    return []
  if isinstance(old, dict) and isinstance(new, dict):
    return [
        line for key in sorted(set(old) | set(new))
        for line in differences(
            old.get(key), new.get(key), f'{name}.{key}' if name else key,
            verbs)]
  field = name.rpartition('.')[2]
  old, new = configs.current(field, old), configs.current(field, new)
  if old == new:
    return []
  if name == 'chain.parts.forget':
    return [_OTHERS]
  if all(_HASH.fullmatch(str(value)) for value in (old, new)):
    return [f'{name} differs']
  return [f'{name} {verbs[0]} {validate.shown(old)}, '
          f'{verbs[1]} {validate.shown(new)}']


def read_config(run: str | os.PathLike, *kinds: str) -> dict[str, Any]:
  """The config of a run of one of some kinds, with paths for this process.

  Raises:
    FileNotFoundError: if there is none.
    ValueError: if it is of another kind, or not whole.
  """
  run = storage.local(run)
  if not files.is_there(run / CONFIG) and files.is_file(run / MODEL_CARD):
    raise FileNotFoundError(
        f'Expected a run of {" or ".join(kinds)} in {run}, got a model alone, '
        'as import_weights writes it: nothing tells how it was trained. '
        'Retrained models of it are made by dlfd train --on=retain with its '
        'own recipe; dlfd audit judges a model that no run of dlfd made.')
  return places.config_found(records.read(run / CONFIG, {
      kind: schemas.CONFIGS[kind] for kind in kinds}), run)


def read_result(run: str | os.PathLike, *kinds: str) -> dict[str, Any]:
  """The result of a run of one of some kinds; ``{}`` while there is none.

  Raises:
    ValueError: if it is of another kind, or not whole.
  """
  path = storage.local(run) / RESULT
  return records.read(path, {
      kind: schemas.RESULTS[kind] for kind in kinds or schemas.RESULTS
  }) if files.is_file(path) else {}


def read_events(path: str | os.PathLike) -> list[dict[str, Any]]:
  """The log of a run, finished or not; none without the file.

  Raises:
    ValueError: if a line but the last is no event.
  """
  return records.read_lines(path, schemas.Event)


def read_log(run: str | os.PathLike) -> list[dict[str, Any]]:
  """The log of a run; of a finished one as long as its result says.

  Raises:
    ValueError: if it is missing or was cut, or a line is no event.
  """
  path = pathlib.Path(run) / METRICS
  events = read_events(path)
  _check_lines(path, len(events),
               read_result(run).get('log_lines', len(events)))
  return events


def _check_lines(path: pathlib.Path, lines: int, written: int) -> None:
  if lines != written:
    raise ValueError(
        f'Expected {written} lines in {path}, as the run wrote them, got '
        f'{lines if path.is_file() else "no file"}: put the whole log back, or '
        'run again in an empty folder.')


class RunFolder:
  """The folder of one run, created or resumed.

  What a start that was cut short left behind does not count as a file in it.

  Args:
    path: the folder.
    config: everything that decides the result, JSON values only; run-time
      matters such as the device count stay out of it, and the places of files
      are not compared (contents are, by their hashes).
    held: another process of the same run made the folder and holds it.

  Raises:
    ValueError: if the folder holds something else than a run of this config,
      or one in an object store has another process at work in it.
  """

  def __init__(self, path: str | os.PathLike, config: dict[str, Any], *,
               held: bool = False) -> None:
    self.path = storage.local(path)
    self._kind = schemas.RESULTS.get(config.get('kind', ''), dict[str, Any])
    try:
      config = json.loads(json.dumps(config, allow_nan=False))
    except (TypeError, ValueError) as error:
      raise ValueError(f'Expected JSON values in the config of {path}, got '
                       f'others: {error}.') from error
    try:
      str(self.path).encode()
    except UnicodeEncodeError as error:  # its bytes could not be printed
      raise ValueError('Expected a folder for the run whose name is UTF-8, got '
                       f'{ascii(str(self.path))}.') from error
    for place in (self.path, *self.path.parents):
      if place.is_symlink() and not place.exists():
        raise ValueError(f'Expected a folder for the run, {place} is a link '
                         'that leads nowhere.')
      if place.exists() and not place.is_dir():
        raise ValueError(f'Expected a folder for the run, {place} is a file.')
    if not held and storage.url_of(self.path) and not (
        self.path / RESULT).exists():
      weakref.finalize(self, storage.Lock(self.path).release)
      storage.refresh(self.path)  # what the one before wrote last
    if self.path.exists() and any(
        not (writes.is_temporary(p.name) or p.name.startswith('.' + CONFIG))
        for p in self.path.iterdir()):
      if not files.is_there(self.path / CONFIG):
        raise ValueError(
            f'Expected an empty folder or a run to resume, {path} holds '
            'other files.')
      there = records.read(self.path / CONFIG, dict[str, Any])
      if there.get('kind') != config.get('kind'):
        raise ValueError(
            f'Expected an empty folder or a run of {config.get("kind")!r} to '
            f'resume, {path} holds one of {validate.shown(there.get("kind"))}.')
      lines = differences(there, config)
      if lines:
        raise another_run(path, lines)
      self.resumed = True
    else:
      self.path.mkdir(parents=True, exist_ok=True)
      write_json(self.path / CONFIG, places.config_stored(config, self.path))
      self.resumed = False
    if not (self.path / VERSIONS).is_file():
      write_json(self.path / VERSIONS, versions())

  def lock(self) -> None:
    """Keeps other processes out of the folder while this one lives.

    A process that was killed leaves no lock behind. In an object store the
    folder is held from its opening, see ``storage.Lock``.

    Raises:
      ValueError: if another process is at work in the folder.
    """
    file = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW
                   | os.O_CLOEXEC, 0o666)
    weakref.finalize(self, os.close, file)
    try:
      fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:  # or a file system without locks
      if error.errno in (errno.EACCES, errno.EAGAIN):
        raise ValueError(
            f'Expected {self.path} for one process, but another one is at work '
            'in it: wait for it, stop it, or name another folder.') from error

  @property
  def checkpoints(self) -> pathlib.Path:
    return self.path / CHECKPOINTS

  @property
  def result(self) -> dict[str, Any] | None:
    """The finished run's result, or None while it is not finished."""
    path = self.path / RESULT
    return records.read(path, self._kind) if files.is_there(path) else None

  def write_result(self, result: dict[str, Any],
                   beside: Mapping[str, str | bytes] | None = None) -> None:
    """Writes the result, and pages and pictures of it; see ``publish``."""
    publish(self.path / RESULT, result, beside)


class MetricsLog:
  """Events as JSON lines; times stand in fields that end with ``_s``.

  Args:
    path: the file; None keeps the events in memory only.
  """

  def __init__(self, path: str | os.PathLike | None = None) -> None:
    self._path = None if path is None else pathlib.Path(path)
    self.events = [] if path is None else read_events(path)

  def __len__(self) -> int:
    return len(self.events)

  def truncate(self, lines: int) -> None:
    """Cuts the log back to its first ``lines`` events.

    Raises:
      ValueError: if the file has fewer.
    """
    if self._path is not None:
      _check_lines(self._path, len(self.events[:lines]), lines)
    self.restore(self.events[:lines])

  def restore(self, events: list[dict[str, Any]]) -> None:
    """Replaces the log."""
    self.events = list(events)
    if self._path is not None:
      write_text(self._path, ''.join(
          json.dumps(event, allow_nan=False) + '\n' for event in self.events))

  def write(self, event: dict[str, Any]) -> None:
    """Appends one event."""
    line = json.dumps(event, allow_nan=False)
    self.events.append(json.loads(line))
    if self._path is not None:
      writes.append(self._path, line + '\n')
