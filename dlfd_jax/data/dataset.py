"""A labelled image set as plain arrays, checked when it is made."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import types
from collections.abc import Mapping
from typing import Any

import numpy as np

from dlfd_jax import tasks
from dlfd_jax.data import pixels
from dlfd_jax.utils import validate

_AT_ONCE = 256


@dataclasses.dataclass(frozen=True)
class Dataset:
  """Images with labels, people and stable names. Reads and writes no files.

  Attributes:
    images: uint8 ``[n, h, w, 3]``, in memory or memory-mapped; or
      ``pixels.Stored`` images, which are read when they are needed.
    labels: int32 ``[n]`` (multiclass) or ``[n, a]`` (multilabel; -1 unknown).
    identity: int32 ``[n]``, the person in each image, -1 unknown.
    sample_id: unicode ``[n]``, a distinct and stable name of each image.
    task: what the labels mean.
    columns: further int32 ``[n]`` arrays by name (family, attributes ...), kept
      for reports; a method never reads them.
    name: shown in reports.
    people: names of persons by number, where the source has names; each is of
      one person.
    column_names: texts by number of each column whose values the source gives
      as texts.
    places: unicode ``[n]``, where the source lists each image, such as ``line 3
      of faces.csv``, for errors; None if it lists none.
    split: unicode ``[n]`` with ``train``, ``retain``, ``forget``, ``val`` or
      ``test`` where the source fixes a split, else None.
    notes: what whoever reads a result must know of how the data were read, a
      sentence each, such as the number of files that were skipped.
    options: the ``DataOptions`` it was loaded by, recorded with runs so that
      commands can read it again; None = arrays of a user.

  The images are kept as a view that cannot be written to: their hashes are
  computed once.

  Raises:
    ValueError: if an array has another shape, type or range than stated.
  """

  images: np.ndarray | pixels.Stored
  labels: np.ndarray
  identity: np.ndarray
  sample_id: np.ndarray
  task: tasks.Task
  columns: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
  name: str = 'data'
  people: Mapping[int, str] = dataclasses.field(default_factory=dict)
  column_names: Mapping[str, Mapping[int, str]] = dataclasses.field(
      default_factory=dict)
  split: np.ndarray | None = None
  places: np.ndarray | None = None
  notes: tuple[str, ...] = ()
  options: Any = None

  def __post_init__(self) -> None:
    images = self.images
    for name in ('labels', 'identity', 'sample_id'):
      validate.instance(name, getattr(self, name), np.ndarray)
    if not isinstance(images, pixels.Stored):
      validate.instance('images', images, np.ndarray)
    validate.instance('task', self.task, tasks.Task)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3:
      raise ValueError(
          'Expected images uint8 [n, h, w, 3], got '
          f'{images.dtype} {list(images.shape)}.')
    n = len(images)
    if n == 0:
      raise ValueError('Expected at least one image, got 0.')
    outputs, several = self.task.num_outputs, self.task.is_multilabel
    shape = (n, outputs) if several else (n,)
    if self.labels.shape != shape or self.labels.dtype != np.int32:
      raise ValueError(
          f'Expected labels int32 {list(shape)} for a {self.task.kind} task, '
          f'got {self.labels.dtype} {list(self.labels.shape)}.')
    low, high = (-1, 1) if several else (0, outputs - 1)
    bad = np.argwhere((self.labels < low) | (self.labels > high))
    if len(bad):
      raise ValueError(
          f'Expected labels in [{low}, {high}], got '
          f'{int(self.labels[tuple(bad[0])])} in row {bad[0][0]}.')
    _check_vector('identity', self.identity, n, np.int32)
    if self.identity.min() < -1:
      raise ValueError(
          f'Expected identity >= -1, got {int(self.identity.min())}.')
    if self.sample_id.shape != (n,) or self.sample_id.dtype.kind != 'U':
      raise ValueError(
          f'Expected sample_id text [{n}], got {self.sample_id.dtype} '
          f'{list(self.sample_id.shape)}.')
    ids, counts = np.unique(self.sample_id, return_counts=True)
    if len(ids) != n:
      raise ValueError(
          f'Expected distinct sample ids, got {str(ids[counts > 1][0])!r} '
          f'{int(counts.max())} times.')
    validate.check_text('sample ids', self.sample_id.tolist())
    validate.instance('columns', self.columns, Mapping)
    for name, column in self.columns.items():
      validate.instance(f'column {name!r}', column, np.ndarray)
      _check_vector(f'column {name!r}', column, n, np.int32)
    for name, texts in (('split', self.split), ('places', self.places)):
      if texts is None:
        continue
      validate.instance(name, texts, np.ndarray)
      if texts.shape != (n,):
        raise ValueError(
            f'Expected {name} [{n}], got {list(texts.shape)}.')
    _check_names('people', self.people, self.identity)
    object.__setattr__(self, 'columns', types.MappingProxyType(
        dict(self.columns)))
    if isinstance(images, np.ndarray):
      view = images.view()
      view.setflags(write=False)
      object.__setattr__(self, 'images', view)

  def __len__(self) -> int:
    return len(self.images)

  def where(self, i: int) -> str:
    """Names an image in an error: its sample id, and where it is listed."""
    name = repr(str(self.sample_id[i]))
    return name if self.places is None else f'{name} ({self.places[i]})'

  def called(self, person: int) -> str:
    """A person's name; the number where the source has no names."""
    if person < 0:
      return 'unknown'
    return self.people.get(int(person), str(person))

  def named(self, rows: np.ndarray) -> list[str | None]:
    """Of each image who is in it, None where nobody is known."""
    return [self.called(code) if code >= 0 else None
            for code in self.identity[rows]]

  def people_in(self, rows: np.ndarray) -> np.ndarray:
    """The known persons in some images, sorted int32."""
    found = np.unique(self.identity[rows])
    return found[found >= 0]

  def noted(self, *notes: str) -> Dataset:
    """The same data with further notes."""
    return dataclasses.replace(self, notes=(*self.notes, *notes))

  def with_classes_of(self, task: tasks.Task) -> Dataset:
    """The same labels in the task of a model that knows more classes.

    Classes are matched by name. Data whose classes are not some of the model's
    stay as they are.
    """
    names = self.task.names
    if (self.task.is_multilabel or task.is_multilabel
        or not set(names) < set(task.names)):
      return self
    codes = np.array([task.names.index(name) for name in names], np.int32)
    return dataclasses.replace(self, task=task, labels=codes[self.labels])

  def take(self, rows: np.ndarray) -> Dataset:
    """Some rows, their pixels copied to memory."""
    return dataclasses.replace(
        self, images=np.asarray(self.images[rows]), labels=self.labels[rows],
        identity=self.identity[rows], sample_id=self.sample_id[rows],
        split=None if self.split is None else self.split[rows],
        places=None if self.places is None else self.places[rows],
        columns={name: column[rows] for name, column in self.columns.items()})

  @property
  def image_size(self) -> tuple[int, int]:
    """(height, width) in pixels."""
    return self.images.shape[1], self.images.shape[2]

  @property
  def has_identities(self) -> bool:
    """Whether every image's person is known."""
    return bool((self.identity >= 0).all())

  def fingerprint(self) -> str:
    """SHA-256 of all that a run depends on: pixels, labels, people and ids."""
    if isinstance(self.images, pixels.Stored):
      known = self.images.fingerprints.get(self.rows_hash())
      if known is not None:
        return known
    return self.end_fingerprint(self._pixels.copy())

  def rows_hash(self) -> str:
    """SHA-256 of all of :meth:`fingerprint` but the pixels."""
    return self.end_fingerprint(self.begin_fingerprint())

  def begin_fingerprint(self) -> hashlib._Hash:
    """The sum of a fingerprint to which all pixels are added, in order."""
    digest = hashlib.sha256(repr(self.task).encode())
    digest.update(repr(self.images.shape).encode())
    return digest

  def end_fingerprint(self, digest: hashlib._Hash) -> str:
    """The fingerprint from the sum with the pixels in it."""
    for array in (self.labels, self.identity):
      _add(digest, array)
    digest.update('\n'.join(self.sample_id.tolist()).encode())
    return digest.hexdigest()

  @functools.cached_property
  def _pixels(self) -> hashlib._Hash:
    digest = self.begin_fingerprint()
    if isinstance(self.images, pixels.Stored):
      rows = np.arange(len(self))
      for images in self.images.stream(
          [rows[k:k + _AT_ONCE] for k in range(0, len(self), _AT_ONCE)]):
        digest.update(np.ascontiguousarray(images).data)
    else:
      digest.update(np.ascontiguousarray(self.images).data)
    return digest

  @functools.cached_property
  def image_hashes(self) -> np.ndarray:
    """SHA-256 of the pixels of every image, uint8 ``[n, 32]``."""
    if isinstance(self.images, pixels.Stored):
      return self.images.hashes
    digests = b''.join(pixels.sha256(image) for image in self.images)
    return np.frombuffer(digests, np.uint8).reshape(len(self), 32)

  def class_key(self) -> np.ndarray:
    """One integer per image that names its label (or label vector), ``[n]``."""
    if not self.task.is_multilabel:
      return self.labels
    _, key = np.unique(self.labels, axis=0, return_inverse=True)
    return key.reshape(-1).astype(np.int32)


def _check_names(name: str, names: Mapping[int, str],
                 codes: np.ndarray) -> None:
  """Raises ValueError if a name is of two numbers.

  Where some numbers have no name, they are called by themselves.
  """
  validate.instance(name, names, Mapping)
  if not names:
    return
  others = set(np.unique(codes).tolist()) - names.keys()
  first: dict[str, int] = {str(code): code for code in others}
  for code, text in names.items():
    if first.setdefault(text, code) != code:
      raise ValueError(
          f'Expected a name of its own for each number in {name}, got '
          f'{validate.shown(text)} for {first[text]} and {code}.')


def _add(digest: hashlib._Hash, array: np.ndarray) -> None:
  digest.update(repr(array.shape).encode())
  digest.update(np.ascontiguousarray(array).data)


def _check_vector(name: str, array: np.ndarray, n: int,
                  dtype: type[np.generic]) -> None:
  if array.shape != (n,) or array.dtype != dtype:
    raise ValueError(
        f'Expected {name} {np.dtype(dtype)} [{n}], got {array.dtype} '
        f'{list(array.shape)}.')
