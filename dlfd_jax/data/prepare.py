"""Writes a data set as shards; see ``data.shards`` for what a folder holds."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from dlfd_jax.data import dataset as dataset_lib, pixels, shards as shards_lib
from dlfd_jax.data.loaders import images as images_lib
from dlfd_jax.utils import (
  files,
  records,
  rng,
  runs,
  schemas,
  storage,
  validate,
  writes,
)

_AT_ONCE = 256
_THREADS = 4


def prepare(dataset: dataset_lib.Dataset, folder: str | os.PathLike, *,
            shards: int, seed: int = 0,
            progress: Callable[[int, int], None] | None = None
            ) -> dict[str, Any]:
  """Writes shards and their index; goes on where an earlier start stopped.

  A file of a finished folder that is gone, of another size or, the index, of
  another hash is written again.

  Persons are put in random order and dealt out evenly; a person's images are in
  one shard, in the source's order. An image of nobody known stands for a person
  of its own. Then every image is read back, for the hashes in the index and the
  fingerprint of the whole.

  Args:
    dataset: in memory or not; images are read some at a time.
    folder: new, empty, or one with a part of the same shards.
    shards: how many, at most one a person.
    seed: of the order.
    progress: called with (images done, images in all), each of which counts
      twice: it is written and read back.

  Returns:
    What ``shards.json`` holds.

  Raises:
    ValueError: if the folder holds something else, images cannot be read or
      were no uint8 before, or there are fewer persons than shards.
  """
  validate.integer('shards', shards, 1, shards_lib.MOST_SHARDS)
  shard, place = deal(dataset.identity, shards, seed)
  table = shards_lib.table_hash(dataset)
  opened = runs.RunFolder(folder, {
      'kind': shards_lib.KIND, 'shards': shards, 'seed': seed,
      'image_size': list(dataset.image_size), 'rows': dataset.rows_hash(),
      'table': table,
      'data': dataset.options and dataclasses.asdict(dataset.options)})
  opened.lock()
  path = opened.path / shards_lib.MANIFEST
  names = [shards_lib.shard_name(k, shards) for k in range(shards)]
  if files.is_there(path):
    manifest = records.read(path, schemas.Shards)
    spoilt = _spoilt(opened.path, manifest, names)
    if not spoilt:
      _check_table(opened.path, path, table)
      return manifest
    # The list goes last: until then the next start finds these missing.
    for each in (*spoilt, path):
      _remove(each)
  n = len(dataset)
  told = progress or (lambda done, total: None)
  paths = [str(opened.path / name) for name in names]
  there = shards_lib.Reader(paths, dataset.image_size)
  done, damaged = 0, []
  for k, name in enumerate(names):
    rows = np.flatnonzero(shard == k)
    rows = rows[np.argsort(place[rows])]
    if not (files.is_file(opened.path / name)
            and _holds(there, k, len(rows))):
      damaged += _write(dataset.images, rows, opened.path, name)
    done += len(rows)
    told(done, 2 * n)
  if damaged:
    raise ValueError('Expected a readable image '
                     f'{validate.listed(damaged, comma="; ")}.')
  # Another reader: the first keeps files open that were written anew since.
  reader = shards_lib.Reader(paths, dataset.image_size)
  stored = shards_lib.Shards(reader, shard, place, None, dataset.image_size)
  hashes = np.empty((n, 32), np.uint8)
  digest = dataset.begin_fingerprint()
  done, seen = 0, images_lib.Range()
  for images in stored.stream([
      np.arange(k, min(k + _AT_ONCE, n)) for k in range(0, n, _AT_ONCE)]):
    digest.update(images.data)
    seen.add(images)
    for image in images:
      hashes[done] = np.frombuffer(pixels.sha256(image), np.uint8)
      done += 1
    told(n + done, 2 * n)
  try:
    seen.check(dataset.name)
  except ValueError:  # once the images are mended, nothing of these is used
    for name in names:
      _remove(opened.path / name)
    raise
  writes.write_arrays(opened.path / shards_lib.INDEX, shards_lib.index_of(
      dataset, shard, place, hashes), compressed=True)
  manifest = {
      'kind': shards_lib.KIND, 'version': shards_lib.VERSION, 'images': n,
      'image_size': list(dataset.image_size), 'name': dataset.name,
      'task': dataclasses.asdict(dataset.task), 'notes': list(dataset.notes),
      'rows': dataset.rows_hash(),
      'fingerprint': dataset.end_fingerprint(digest),
      'index': files.sha256(opened.path / shards_lib.INDEX),
      'files': {name: (opened.path / name).stat().st_size
                for name in (shards_lib.INDEX, *names)}}
  writes.write_json(path, manifest)
  return manifest


def deal(identity: np.ndarray, shards: int,
         seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
  """The shard of each image and its place there, int32 ``[n]`` both.

  Args:
    identity: int32 ``[n]``, persons, -1 unknown.
    shards: how many.
    seed: of the order of persons.

  Raises:
    ValueError: if there are fewer persons than shards.
  """
  n = len(identity)
  # An unknown person is one of its own, behind all the known ones.
  alone = identity < 0
  key = np.where(alone, identity.max(initial=0) + 1 + np.arange(n), identity)
  units, unit = np.unique(key, return_inverse=True)
  if shards > len(units):
    raise ValueError(f'Expected at most {len(units)} shards, as many as there '
                     f'are persons, got {shards}.')
  rank = rng.generator(seed, 'shards').permutation(len(units))[unit]
  shard = (rank * shards // len(units)).astype(np.int32)
  order = np.lexsort((np.arange(n), rank))
  starts = np.searchsorted(shard[order], np.arange(shards))
  place = np.empty(n, np.int32)
  place[order] = np.arange(n) - starts[shard[order]]
  return shard, place


def _spoilt(folder: pathlib.Path, manifest: dict[str, Any],
            names: list[str]) -> list[pathlib.Path]:
  """The index and shards that are not there as the manifest lists them."""
  found = [folder / name for name in (shards_lib.INDEX, *names)
           if not files.is_file(folder / name)
           or (folder / name).stat().st_size != manifest['files'].get(name)]
  index = folder / shards_lib.INDEX
  if index not in found and files.sha256(index) != manifest['index']:
    found.append(index)
  return found


def _remove(path: pathlib.Path) -> None:
  """Removes a file; what else has its name is refused where it is written."""
  if files.is_file(path) and not path.is_symlink():
    path.unlink()
    storage.push(path)


def _holds(reader: shards_lib.Reader, shard: int, count: int) -> bool:
  """Whether a shard has so many records; a damaged one has none."""
  try:
    return reader.count(shard) == count
  except ValueError:
    return False


def _check_table(folder: pathlib.Path, manifest: pathlib.Path,
                 table: str) -> None:
  """Raises ValueError if the shards of an earlier version are of other data.

  Their config lacks the hash that a later one is compared with.
  """
  config = records.read(folder / runs.CONFIG, dict[str, Any])
  if 'table' not in config and table != shards_lib.table_hash(
      shards_lib.load_shards(manifest)):
    raise runs.another_run(folder, ['table differs'])


def _write(images: np.ndarray | pixels.Stored, rows: np.ndarray,
           folder: pathlib.Path, name: str) -> list[str]:
  """Writes a shard, whole or not at all; what is wrong with its images."""
  from array_record.python import array_record_module

  damaged: list[str] = []
  with writes.temporary_folder(folder) as beside:
    writer = array_record_module.ArrayRecordWriter(
        str(beside / name), 'group_size:1,uncompressed')
    for record in _encoded(images, rows):
      if isinstance(record, str):
        damaged.append(record)
      else:
        writer.write(record)
    writer.close()
    if not damaged:
      writes.move_whole(beside / name, folder / name)
  return damaged


def _encoded(images: np.ndarray | pixels.Stored,
             rows: np.ndarray) -> Iterator[bytes | str]:
  """Records of images, or why one cannot be read; some threads ahead."""
  def one(row: int) -> bytes | str:
    try:
      return shards_lib.encode(images[row])
    except ValueError as error:
      return str(error)

  with concurrent.futures.ThreadPoolExecutor(
      min(_THREADS, os.cpu_count() or 1)) as pool:
    for start in range(0, len(rows), _AT_ONCE):
      yield from pool.map(one, rows[start:start + _AT_ONCE].tolist())
