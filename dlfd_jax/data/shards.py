"""A data set as array_record shards of encoded images, and one index.

``dlfd prepare`` writes it, see ``data.prepare``. A folder holds
``shards.json``, written last: names and sizes of all files, the task;
``index.npz``: labels, persons, ids, columns, the SHA-256 of each image's pixels
and where it lies; and ``shard-00000-of-00008.array_record`` and so on, a record
an image, as PNG. The rows of the index are those of the source, in its order.
So any split, request, draw or batch means the same images as before.

The index is held in memory, about 100 bytes an image. Images are decoded when a
step needs them: by threads, or for many of them by processes, both of grain.
Each is compared with its hash: files that were damaged or are others' do not
pass for the data.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import hashlib
import io
import json
import os
import pathlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from absl import flags
from PIL import Image

from dlfd_jax import tasks
from dlfd_jax.data import dataset as dataset_lib, pixels
from dlfd_jax.utils import files, records, schemas, storage, validate

MANIFEST = 'shards.json'
INDEX = 'index.npz'
KIND = 'shards'
VERSION = 1
MOST_SHARDS = 10_000
# Images from which on processes, which start in 2 s, can be worth it. On two
# cores they free the thread that trains, and decode no faster than threads
# (docs/results/sharded_data.md).
WORTH = 2**14

_MOST_OPEN = 256  # files of a process; a system may allow 1,024
_THREADS = 4
_COLUMN, _NAMES, _NUMBERS = 'column:', 'names:', 'numbers:'
_PEOPLE = 'people'
_PLACE = np.dtype([('shard', '<i4'), ('place', '<i4'), ('check', '<u8')])


def manifest_of(source: str) -> str:
  """The manifest of a folder of shards; any other source as it is."""
  place = os.path.join(source, MANIFEST)
  return place if files.is_file(place) else source


def shard_name(shard: int, count: int) -> str:
  """The file of one of ``count`` shards."""
  return f'shard-{shard:05d}-of-{count:05d}.array_record'


def encode(image: np.ndarray) -> bytes:
  """An image uint8 ``[h, w, 3]`` as PNG, which keeps every pixel."""
  buffer = io.BytesIO()
  Image.fromarray(image).save(buffer, 'png', compress_level=1)
  return buffer.getvalue()


class Reader:
  """Decodes records of shards; another process opens the files anew.

  Args:
    paths: of the shards.
    size: (height, width) of the images.
  """

  def __init__(self, paths: Sequence[str], size: tuple[int, int]):
    self._paths, self._size = tuple(paths), size
    self.__setstate__(self.__getstate__())

  def __getstate__(self) -> dict[str, Any]:
    return {'_paths': self._paths, '_size': self._size}

  def __setstate__(self, state: dict[str, Any]) -> None:
    self.__dict__.update(state)
    self._lock = threading.Lock()
    self._open: collections.OrderedDict[int, Any] = collections.OrderedDict()

  def _file(self, shard: int) -> Any:
    from array_record.python import array_record_module

    with self._lock:
      found = self._open.pop(shard, None)
      if found is None:
        found = array_record_module.ArrayRecordReader(
            self._paths[shard], 'readahead_buffer_size:0,max_parallelism:0',
            file_reader_buffer_size=2**15)
        if len(self._open) >= _MOST_OPEN:
          self._open.popitem(last=False)
      self._open[shard] = found  # the last one is the latest
      return found

  def count(self, shard: int) -> int:
    """Records of a shard."""
    with self._reading(shard):
      return self._file(shard).num_records()

  def read(self, where: np.ndarray, check: bool = True) -> np.ndarray:
    """Images uint8 ``[m, h, w, 3]``.

    Args:
      where: ``[m]`` of shard, place in it and the first bytes of the hash.
      check: compare with the hash.

    Raises:
      ValueError: naming the shard, if it is damaged or another's.
    """
    images = np.empty((len(where), *self._size, 3), np.uint8)
    order = np.argsort(where['shard'], kind='stable')
    starts = np.flatnonzero(np.diff(where['shard'][order], prepend=-1))
    for group in np.split(order, starts[1:]):
      if not len(group):
        continue
      shard = int(where['shard'][group[0]])
      places = where['place'][group].tolist()
      with self._reading(shard):
        found = self._file(shard).read(places)
      for row, place, record in zip(group, places, found, strict=True):
        images[row] = self._decoded(record, shard, place)
        if check and _check(pixels.sha256(images[row])) != where['check'][row]:
          raise self._damaged(shard, f'another image at place {place}')
    return images

  def _decoded(self, record: bytes, shard: int, place: int) -> np.ndarray:
    with self._reading(shard), Image.open(
        io.BytesIO(record), formats=('PNG',)) as image:
      decoded = np.asarray(image)
    if decoded.shape != (*self._size, 3) or decoded.dtype != np.uint8:
      raise self._damaged(
          shard, f'{decoded.dtype} {list(decoded.shape)} at place {place}')
    return decoded

  def _damaged(self, shard: int, got: str) -> ValueError:
    return ValueError(
        f'Expected {os.path.basename(self._paths[shard])} as it was prepared, '
        f'got {got}: put the file back, or remove it and prepare the data '
        'again.')

  def _reading(self, shard: int) -> contextlib.AbstractContextManager[None]:
    return files.reading(
        f'Expected {os.path.basename(self._paths[shard])} as it was prepared, '
        'got a damaged file, to be put back, or removed and prepared again')


def _check(digest: bytes) -> int:
  return int.from_bytes(digest[:8], 'little')


@dataclasses.dataclass(frozen=True, eq=False)
class _Lists:
  """A source of grain: the images of each list of places."""

  reader: Reader
  where: np.ndarray
  ends: np.ndarray
  check: bool

  def __len__(self) -> int:
    return len(self.ends)

  def __getitem__(self, k: int) -> np.ndarray:
    start = self.ends[k - 1] if k else 0
    return self.reader.read(self.where[start:self.ends[k]], self.check)


class Shards(pixels.Stored):
  """The images of a folder of shards.

  Args:
    reader: of its files.
    shard: int32 ``[n]``, of each image.
    place: int32 ``[n]``, in the shard.
    hashes: uint8 ``[n, 32]`` of the pixels; None = not known yet, so nothing is
      compared.
    size: (height, width).
    fingerprints: see ``pixels.Stored``.
    workers: processes that decode long streams; 0 = threads of this one.
    worth: images from which on a stream is a long one.
  """

  def __init__(self, reader: Reader, shard: np.ndarray, place: np.ndarray,
               hashes: np.ndarray | None, size: tuple[int, int],
               fingerprints: Mapping[str, str] | None = None,
               workers: int = 0, worth: int = WORTH):
    super().__init__(len(shard), size, fingerprints)
    self._reader, self._workers, self._worth = reader, workers, worth
    self._check = hashes is not None
    self._where = np.zeros(len(shard), _PLACE)
    self._where['shard'], self._where['place'] = shard, place
    if hashes is not None:
      self.hashes = hashes
      self._where['check'] = np.ascontiguousarray(
          hashes[:, :8]).view('<u8')[:, 0]

  def read(self, rows: np.ndarray) -> np.ndarray:
    """As above."""
    return self._reader.read(self._where[rows], self._check)

  def in_order(self, rows: np.ndarray) -> np.ndarray:
    """As above: by shard, and as they lie there."""
    return np.argsort(self._where[rows], order=('shard', 'place'))

  def stream(self, lists: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
    """As above, read ahead by threads or processes of grain."""
    lengths = [len(rows) for rows in lists]
    if len(lists) < 2:  # nothing to read ahead
      yield from map(self.read, lists)
      return
    import grain

    workers = self._workers if sum(lengths) >= self._worth else 0
    threads = 1 if workers else min(_THREADS, os.cpu_count() or 1)
    read = grain.MapDataset.source(_Lists(
        self._reader, self._where[np.concatenate(lists)],
        np.cumsum(lengths), self._check)).to_iter_dataset(
            grain.ReadOptions(num_threads=threads,
                              prefetch_buffer_size=threads + 1))
    if workers:
      if not flags.FLAGS.is_parsed():  # grain has some, and reads them
        flags.FLAGS.mark_as_parsed()
      # Through pipes: shared memory is 64 MB in a container, and left behind by
      # a process that is killed.
      read = grain.experimental.WithOptionsIterDataset(
          read, grain.experimental.DatasetOptions(min_shm_size=2**62))
      read = read.mp_prefetch(
          grain.MultiprocessingOptions(
              num_workers=workers, per_worker_buffer_size=2),
          worker_init_fn=_begin_worker)
    found = iter(read)
    try:
      yield from found
    except RuntimeError as error:
      raise ValueError('Expected the processes that read the images to go on, '
                       f'got: {error}') from error
    finally:
      with contextlib.suppress(AttributeError):  # threads have no end to see to
        found.close()


def _begin_worker(index: int, count: int) -> None:
  """A process that decodes ends with the one that started it, and only so."""
  del index, count
  import multiprocessing
  import signal

  for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
  parent = multiprocessing.parent_process()
  assert parent is not None

  def watch() -> None:
    parent.join()
    os._exit(0)

  threading.Thread(target=watch, daemon=True).start()


def load_shards(path: str | os.PathLike,
                workers: int = 0, worth: int = WORTH) -> dataset_lib.Dataset:
  """The data set of a folder, its images left in the shards.

  Args:
    path: of its manifest.
    workers: see :class:`Shards`; like ``worth``.
    worth: images.

  Raises:
    FileNotFoundError: if the manifest, the index or a shard is not there.
    ValueError: if one is damaged, or another's; the message names it.
  """
  path = pathlib.Path(path)
  storage.local(path.parent)  # of a run's data in a store its manifest is here
  manifest: Mapping[str, Any] = records.read(path, schemas.Shards)
  if (manifest['kind'], manifest['version']) != (KIND, VERSION):
    raise ValueError(
        f'Expected {path} to tell of shards of version {VERSION}, got '
        f'{validate.shown(manifest["kind"])} of {manifest["version"]}.')
  for name, size in manifest['files'].items():
    place = path.parent / name
    again = 'put the file back, or prepare the data again'
    if os.path.basename(name) != name or not files.is_file(place):
      raise FileNotFoundError(
          f'Expected {validate.shown(name)} beside {path}, got no such file: '
          f'{again}.')
    if place.stat().st_size != size:
      raise ValueError(
          f'Expected {place} as it was prepared, of {size} bytes, got '
          f'{place.stat().st_size}: {again}.')
  if files.sha256(path.parent / INDEX) != manifest['index']:
    raise ValueError(f'Expected {path.parent / INDEX} as it was prepared, got '
                     f'another or a damaged one: {again}.')
  arrays = files.read_arrays(path.parent / INDEX)
  height, width = manifest['image_size']
  names = [name for name in manifest['files'] if name != INDEX]
  images = Shards(
      Reader([str(path.parent / name) for name in names], (height, width)),
      arrays['shard'], arrays['place'], arrays['hash'], (height, width),
      {manifest['rows']: manifest['fingerprint']}, workers, worth)
  texts = {key.removeprefix(_NAMES): dict(zip(
      arrays[_NUMBERS + key.removeprefix(_NAMES)].tolist(), array.tolist()))
           for key, array in arrays.items() if key.startswith(_NAMES)}
  return dataset_lib.Dataset(
      images=images, labels=arrays['labels'], identity=arrays['identity'],
      sample_id=arrays['sample_id'], split=arrays.get('split'),
      places=arrays.get('places'), name=manifest['name'],
      task=tasks.Task(manifest['task']['kind'],
                      tuple(manifest['task']['names'])),
      people=texts.pop(_PEOPLE, {}),
      column_names={key.removeprefix(_COLUMN): value
                    for key, value in texts.items()},
      notes=tuple(manifest['notes']),
      columns={key.removeprefix(_COLUMN): array
               for key, array in arrays.items() if key.startswith(_COLUMN)})


def index_of(dataset: dataset_lib.Dataset, shard: np.ndarray,
             place: np.ndarray, hashes: np.ndarray) -> dict[str, np.ndarray]:
  """What ``index.npz`` holds; arguments as of :class:`Shards`."""
  return {**_table_of(dataset), 'shard': shard, 'place': place, 'hash': hashes}


def table_hash(dataset: dataset_lib.Dataset) -> str:
  """SHA-256 of all that a folder holds of a data set but its pixels.

  Other than ``Dataset.rows_hash`` it knows split, columns, names and notes.
  """
  digest = hashlib.sha256(json.dumps(
      [dataset.name, dataclasses.asdict(dataset.task), dataset.notes]).encode())
  for name, array in sorted(_table_of(dataset).items()):
    digest.update(json.dumps([name, array.shape]).encode())
    if array.dtype.kind == 'U':  # however long the longest text may be
      digest.update(json.dumps(array.tolist()).encode())
    else:
      digest.update(np.ascontiguousarray(array).data)
  return digest.hexdigest()


def _table_of(dataset: dataset_lib.Dataset) -> dict[str, np.ndarray]:
  """What ``index.npz`` holds of the source."""
  found = {'labels': dataset.labels, 'identity': dataset.identity,
           'sample_id': dataset.sample_id}
  for name, array in (('split', dataset.split), ('places', dataset.places)):
    if array is not None:
      found[name] = array
  found |= {_COLUMN + name: array for name, array in dataset.columns.items()}
  texts = {_COLUMN + name: value
           for name, value in dataset.column_names.items()}
  for name, value in {_PEOPLE: dataset.people, **texts}.items():
    if value:
      found[_NAMES + name] = np.array(list(value.values()), np.str_)
      found[_NUMBERS + name] = np.array(list(value), np.int64)
  return found
