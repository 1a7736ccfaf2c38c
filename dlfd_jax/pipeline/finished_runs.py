"""Finished runs of an evaluation, kept in its folder until it has a result.

A run is what one model is asked for once: its answers, one learning of forget
again, one attempt to bring it back. A kill costs the run that was going on; the
same command takes what the others gave from files, bit by bit as they gave it.
As with the margins of shadow models (``shadow_models``), arrays are written
whole by the first process and read against a hash. The hash stands in the file
itself and not in an index, as a file is for this evaluation alone, and is
removed once its result is written.

The hash is also of what the run belongs to: models, data, split and settings of
the evaluation, versions and device. A file of anything else, or an altered one,
is not used. It stays until the run of its name is written or the evaluation has
its result: a start on another device costs nothing of what was done on this.
"""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from dlfd_jax import loop, models, parallel
from dlfd_jax.pipeline import chain, job
from dlfd_jax.utils import files, hosts, runs, stops, storage, text, writes

_SEAL, _TOOK = 'seal', 'took_s'  # arrays of a file beside those of its run
_LONGEST = 60  # characters of a run's name in that of its file
# A figure that takes less is as soon made as read. Runs are kept whatever they
# take: a new start counts those that are left.
SOON_S = 1.0
ANSWERS = 'answers'
Arrays = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Run:
  """What a run takes, to tell beforehand how long.

  Attributes:
    name: of the run, ``{kind}/...``.
    images: how many are shown in evaluation mode.
    steps: of training.
    batch_size: of these.
    rows: that they learn.
    stage: what it is a part of, in words.
  """

  name: str
  images: int
  steps: int = 0
  batch_size: int = 0
  rows: np.ndarray | None = None
  stage: str = ANSWERS


class FinishedRuns:
  """The runs of one evaluation.

  Args:
    folder: of their files; None keeps nothing.
    of: JSON of all that decides what they give.

  Attributes:
    names: of those that earlier processes finished.
    earlier_s: seconds that these took.
    unused: how many files are of something else, or damaged.

  Raises:
    ValueError: if a file does not fit into the memory that is free.
  """

  def __init__(self, folder: pathlib.Path | None = None,
               of: Mapping[str, Any] | None = None):
    self._folder, self._of = folder, chain.hash_of(of or {})
    self._found: dict[str, Arrays] = {}
    self.earlier_s, self.unused = 0.0, 0
    if folder is not None:
      self._read(folder)
    self.names = frozenset(self._found)

  def arrays_of(self, name: str, run: Callable[[], Arrays],
                least_s: float = 0.0) -> Arrays:
    """What a run gave, or gives now.

    All processes of an evaluation ask for the same runs in the same order.

    Args:
      name: of the run.
      run: does it.
      least_s: what takes less is not kept.

    Raises:
      job.Interrupted: on SIGTERM or SIGINT.
    """
    if name in self._found:
      return self._found[name]
    started = time.perf_counter()
    try:
      arrays = dict(run())
    except job.Interrupted as stop:
      raise self._interrupted(stop) from stop
    took_s, folder = time.perf_counter() - started, self._folder

    def write() -> None:
      if folder is not None and took_s >= least_s:
        self._write(folder, name, arrays, took_s)

    if folder is not None:
      hosts.first(write)
      stops.note_saved(folder.parent)
    self._found[name] = arrays
    return arrays

  def _interrupted(self, stop: job.Interrupted) -> job.Interrupted:
    return job.Interrupted(
        f'Stopped; finished runs are kept in {self._folder}, and the same '
        'command goes on from there.', saved=True) if (
            self._folder is not None and self._found) else stop

  def _write(self, folder: pathlib.Path, name: str, arrays: Arrays,
             took_s: float) -> None:
    folder.mkdir(exist_ok=True)
    whole: Arrays = {**arrays, _TOOK: np.array(took_s)}
    writes.write_arrays(folder / _file_of(name), {
        **whole, _SEAL: np.array([name, self._seal(name, whole)])})

  def _seal(self, name: str, arrays: Arrays) -> str:
    return chain.hash_of_arrays({**arrays, _SEAL: np.array([self._of, name])})

  def _read(self, folder: pathlib.Path) -> None:
    """Takes what all processes find, and counts what is of something else."""
    here: dict[str, dict[str, np.ndarray]] = {}
    unused, refusal = 0, ''
    for path in sorted(folder.glob('*.npz')):
      try:
        found = self._opened(path)
      except files.TooLargeError as error:
        refusal = str(error)
        break
      if found is None:
        unused += 1
      else:
        here[found[0]] = found[1]
    if hosts.agreed(True, bool(refusal))[0]:
      raise ValueError(refusal or (
          f'Expected the finished runs in {folder} to fit into the memory of '
          'every process, got one that has too little.'))
    names = hosts.from_first(sorted(here))
    lacking = hosts.agreed(
        bool(names), *(name not in here for name in names))
    for name, absent in zip(names, lacking, strict=True):
      if not absent:
        self.earlier_s += float(here[name].pop(_TOOK))
        self._found[name] = here[name]
    self.unused = hosts.from_first(unused)
    if self._found:
      stops.note_saved(folder.parent)

  def _opened(self, path: pathlib.Path
              ) -> tuple[str, dict[str, np.ndarray]] | None:
    """The name and the arrays of a run; None if they are of something else."""
    try:
      arrays = files.read_arrays(path)
    except files.TooLargeError:  # another start may have more memory
      raise
    except (ValueError, FileNotFoundError):
      return None
    seal = arrays.pop(_SEAL, np.zeros(0))
    if seal.shape != (2,) or seal.dtype.kind != 'U':
      return None
    name, stored = map(str, seal)
    return (name, arrays) if stored == self._seal(name, arrays) else None


def of_evaluation(opened: runs.RunFolder, config: Mapping[str, Any],
                  judged: Iterable[chain.Judged], devices: parallel.Devices,
                  hooks: Sequence[loop.Hook] = ()) -> FinishedRuns:
  """The runs of an evaluation in its folder.

  Versions are compared but for that of the operating system, which a restart
  may change and no result hangs on.

  Args:
    opened: the folder.
    config: of the evaluation.
    judged: its models.
    devices: that it runs on.
    hooks: told of files there that are not used.

  Raises:
    ValueError: see :class:`FinishedRuns`.
  """
  versions = runs.versions()
  del versions['platform']
  found = FinishedRuns(opened.checkpoints, {
      'run': chain.run_hash(config), 'versions': versions,
      'device': job.device_name(), 'devices': devices.count,
      runs.OWN_CODE: [models.own_code(one.saved.config) for one in judged]})
  if found.unused:
    for hook in hooks:
      hook({'event': 'expected', 'sentence': (
          f'Not used: {text.counted(found.unused, "file")} in checkpoints, of '
          'other models, settings, versions or devices, or damaged.')})
  return found


def clear(folder: pathlib.Path) -> None:
  """Removes the files of finished runs: the evaluation has its result."""
  def remove() -> None:
    if folder.is_dir():
      writes.clear(folder)
      for path in list(folder.glob('*.npz')):
        path.unlink()
        storage.push(path)
      with contextlib.suppress(OSError):  # somebody put something there
        folder.rmdir()

  hosts.first(remove)


def _file_of(name: str) -> str:
  """The file of a run; a name may have anything in it."""
  words = re.sub(r'[^A-Za-z0-9]+', '-', name)[:_LONGEST]
  return f'{words}-{chain.hash_of(name)[:8]}.npz'
