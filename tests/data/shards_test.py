"""Shards: the same data set as its source, whole, resumable, checked."""

import dataclasses
import json
import os
import pickle
import shutil

import numpy as np
import pytest

from dlfd_jax.data import (
  batching,
  copies as copies_lib,
  dataset as dataset_lib,
  pixels,
  prepare,
  shards,
  sources,
)
from dlfd_jax.utils import runs
from tests import tiny

_FIELDS = ('labels', 'identity', 'sample_id', 'split', 'places', 'name',
           'task', 'people', 'column_names', 'notes')
PEOPLE = 9


def _data(n=40, kind='multiclass'):
  rng = np.random.default_rng(2)
  identity = rng.integers(-1, PEOPLE, n).astype(np.int32)
  return dataclasses.replace(
      tiny.dataset(n, kind), identity=identity,
      columns={'age': rng.integers(0, 9, n).astype(np.int32)},
      people={k: f'Zoë {k}' for k in range(PEOPLE)},
      column_names={'age': {3: 'three'}}, notes=('A note.',),
      split=np.array(['train', 'val'])[rng.integers(0, 2, n)],
      places=np.array([f'line {i}' for i in range(n)]))


@pytest.fixture(scope='module')
def made(tmp_path_factory):
  folder = tmp_path_factory.mktemp('shards') / 'shards'
  prepare.prepare(_data(), folder, shards=3, seed=1)
  return folder


def _load(folder, **options):
  return shards.load_shards(folder / shards.MANIFEST, **options)


@pytest.mark.parametrize('kind', ['multiclass', 'multilabel'])
def test_shards_hold_the_data_set_bit_by_bit(tmp_path, kind):
  data = _data(kind=kind)
  prepare.prepare(data, tmp_path / 'out', shards=4)
  found = _load(tmp_path / 'out')
  for field in _FIELDS:
    assert np.array_equal(getattr(found, field), getattr(data, field)), field
  assert found.columns.keys() == data.columns.keys()
  np.testing.assert_array_equal(found.columns['age'], data.columns['age'])
  np.testing.assert_array_equal(found.images[:], data.images)
  np.testing.assert_array_equal(found.image_hashes, data.image_hashes)
  assert found.fingerprint() == data.fingerprint()
  assert found.image_size == data.image_size and len(found) == len(data)
  plain = dataclasses.replace(
      data, columns={}, people={}, column_names={}, split=None, places=None)
  prepare.prepare(plain, tmp_path / 'plain', shards=1)
  assert _load(tmp_path / 'plain').split is None


def test_rows_are_indexed_like_those_of_an_array(made):
  images, array = _load(made).images, _data().images
  for rows in (3, -1, np.int64(5), np.array([4, 4, 0]), np.arange(6).reshape(
      2, 3), slice(5, 9), np.zeros(0, int), np.arange(40) % 7 == 0):
    np.testing.assert_array_equal(images[rows], array[rows])
  assert images.nbytes == array.nbytes and images.shape == array.shape
  with pytest.raises(IndexError):
    images[40]
  with pytest.raises(TypeError, match='Expected some rows of images that are'):
    np.asarray(images)


def test_a_changed_data_set_is_summed_anew(made):
  found, rows = _load(made), np.arange(5, 20)
  other = dataclasses.replace(found, labels=(found.labels + 1) % 3)
  assert other.fingerprint() == dataclasses.replace(
      _data(), labels=other.labels).fingerprint()
  assert found.take(rows).fingerprint() == _data().take(rows).fingerprint()


def test_persons_are_dealt_whole_evenly_and_by_the_seed():
  identity = np.repeat(np.arange(50), 4).astype(np.int32)
  shard, place = prepare.deal(identity, 7, seed=3)
  for person in range(50):
    assert len(set(shard[identity == person])) == 1
  people = [len(set(identity[shard == k])) for k in range(7)]
  assert max(people) - min(people) <= 1
  for k in range(7):
    assert sorted(place[shard == k]) == list(range((shard == k).sum()))
  again, other = (prepare.deal(identity, 7, seed=s)[0] for s in (3, 4))
  assert (again == shard).all() and (other != shard).any()
  first = [identity[(shard == k) & (place == 0)][0] for k in range(7)]
  assert first != sorted(first)
  unknown = np.full(6, -1, np.int32)
  assert sorted(prepare.deal(unknown, 6)[0]) == list(range(6))
  with pytest.raises(ValueError, match='Expected at most 50 shards, as many as '
                                       'there are persons, got 51'):
    prepare.deal(identity, 51)


class _Breaks(pixels.Files):
  """Images of which one cannot be read, or the machine dies at it."""

  def __init__(self, array, row, error):
    def read(i):
      if i == row:
        raise error
      return array[i]

    super().__init__(len(array), array.shape[1:3], read)


def test_what_was_stopped_goes_on_and_gives_the_same_files(made, tmp_path):
  data, out = _data(), tmp_path / 'out'
  shard, _ = prepare.deal(data.identity, 3, 1)
  row = np.flatnonzero(shard == 2)[0]
  with pytest.raises(KeyboardInterrupt):
    prepare.prepare(dataclasses.replace(data, images=_Breaks(
        data.images, row, KeyboardInterrupt())), out, shards=3, seed=1)
  names = sorted(p.name for p in out.glob('shard*'))
  assert names == [shards.shard_name(k, 3) for k in range(2)]
  with pytest.raises(FileNotFoundError):
    _load(out)
  before = (out / names[0]).stat().st_mtime_ns
  prepare.prepare(data, out, shards=3, seed=1)
  assert (out / names[0]).stat().st_mtime_ns == before
  for name in (*names, shards.shard_name(2, 3), shards.INDEX, shards.MANIFEST):
    assert (out / name).read_bytes() == (made / name).read_bytes()
  manifest = (out / shards.MANIFEST).stat().st_mtime_ns
  prepare.prepare(data, out, shards=3, seed=1)  # nothing is left to do
  assert (out / shards.MANIFEST).stat().st_mtime_ns == manifest


def test_all_images_that_cannot_be_read_are_named(tmp_path):
  data = _data()
  with pytest.raises(ValueError, match='Expected a readable image in line 7'):
    prepare.prepare(dataclasses.replace(data, images=_Breaks(
        data.images, 7, ValueError('in line 7, got x.png: it is no image'))),
        tmp_path / 'out', shards=2)
  with pytest.raises(FileNotFoundError):
    _load(tmp_path / 'out')


@pytest.mark.parametrize('change, said', [
    ({'seed': 2}, 'seed was 1, is now 2'),
    ({'shards': 2}, 'shards was 3, is now 2'),
    ({'dataset': _data(39)}, 'rows differs; table differs. Another folder'),
])
def test_another_output_is_refused(made, change, said):
  with pytest.raises(ValueError, match=said):
    prepare.prepare(**{'dataset': _data(), 'folder': made, 'shards': 3,
                       'seed': 1, **change})


@pytest.mark.parametrize('config', ['of today', 'of an earlier version'])
@pytest.mark.parametrize('change', [
    {'split': None}, {'split': np.full(40, 'val')}, {'columns': {}},
    {'people': {}}, {'people': {k: f'Zoe {k}' for k in range(PEOPLE)}},
    {'column_names': {'age': {3: 'four'}}}, {'notes': ()}, {'name': 'b'},
    {'places': np.array([f'line {i}' for i in range(1, 41)])},
    {'columns': {'age': np.zeros(40, np.int32)}},
], ids=','.join)
def test_another_table_of_the_same_images_is_refused(
    made, tmp_path, change, config):
  shutil.copytree(made, tmp_path / 'out')
  if config != 'of today':
    _forget_table(tmp_path / 'out')
  prepare.prepare(_data(), tmp_path / 'out', shards=3, seed=1)
  with pytest.raises(ValueError, match='Expected the config of the run in .* '
                     'but table differs. Another folder starts another run.'):
    prepare.prepare(dataclasses.replace(_data(), **change), tmp_path / 'out',
                    shards=3, seed=1)
  assert _load(tmp_path / 'out').fingerprint() == _data().fingerprint()


def _forget_table(folder):
  """Leaves a config as earlier versions wrote it."""
  config = json.loads((folder / runs.CONFIG).read_text())
  del config['table']
  (folder / runs.CONFIG).write_text(json.dumps(config))


def _spoil(path, position=None):
  data = bytearray(path.read_bytes())
  position = len(data) // 3 if position is None else position
  data[position] ^= 255
  path.write_bytes(bytes(data))


def _other(folder):
  """Shards of other images of the same names."""
  data = _data()
  prepare.prepare(dataclasses.replace(data, images=255 - data.images),
                  folder, shards=3, seed=1)
  return folder


_FIRST = shards.shard_name(0, 3)


@pytest.mark.parametrize('spoil, error, said', [
    (lambda p: (p / _FIRST).unlink(), FileNotFoundError, _FIRST),
    (lambda p: os.truncate(p / _FIRST, 65536 // 2), ValueError, _FIRST),
    (lambda p: (p / shards.INDEX).unlink(), FileNotFoundError, shards.INDEX),
    (lambda p: _spoil(p / shards.INDEX), ValueError, shards.INDEX),
    (lambda p: shutil.copy(_other(p / 'b') / shards.INDEX, p), ValueError,
     shards.INDEX),
    (lambda p: (p / shards.MANIFEST).write_text('{}'), ValueError,
     shards.MANIFEST),
    (lambda p: (p / shards.MANIFEST).write_text((
        p / shards.MANIFEST).read_text().replace('"version": 1', '"version": 2'
                                                 )), ValueError, 'version 1'),
])
def test_a_spoilt_folder_is_refused_before_it_is_used(
    made, tmp_path, spoil, error, said):
  shutil.copytree(made, tmp_path / 'copy')
  spoil(tmp_path / 'copy')
  with pytest.raises(error, match=said):
    _load(tmp_path / 'copy')


@pytest.mark.parametrize('listed', [True, False])
@pytest.mark.parametrize('spoil', [
    lambda p: (p / _FIRST).unlink(),
    lambda p: os.truncate(p / _FIRST, 65536 // 2),
    lambda p: os.truncate(p / _FIRST, 0),
    lambda p: (p / _FIRST).write_bytes(b'others' * 1000),
    lambda p: (p / _FIRST).write_bytes((p / _FIRST).read_bytes() + b'x'),
    lambda p: (p / shards.INDEX).unlink(),
    lambda p: _spoil(p / shards.INDEX),
    lambda p: shutil.copy(_other(p / 'b') / shards.INDEX, p),
])
def test_the_same_command_writes_a_spoilt_file_again(
    made, tmp_path, spoil, listed):
  copy = tmp_path / 'copy'
  shutil.copytree(made, copy)
  whole = shards.shard_name(2, 3)
  before = (copy / whole).stat().st_ino
  spoil(copy)
  if not listed:  # as if the first start had not ended
    (copy / shards.MANIFEST).unlink()
  prepare.prepare(_data(), copy, shards=3, seed=1)
  found = _load(copy)
  assert found.fingerprint() == _data().fingerprint()
  np.testing.assert_array_equal(
      np.concatenate(list(found.images.stream(
          [np.arange(20), np.arange(20, 40)]))), _data().images)
  for name in (_FIRST, whole, shards.INDEX, shards.MANIFEST):
    assert (copy / name).read_bytes() == (made / name).read_bytes()
  assert (copy / whole).stat().st_ino == before


def test_an_unfinished_shard_of_another_number_is_written_again(made, tmp_path):
  copy = tmp_path / 'copy'
  shutil.copytree(made, copy)
  shutil.copy(copy / shards.shard_name(1, 3), copy / _FIRST)
  (copy / shards.MANIFEST).unlink()
  prepare.prepare(_data(), copy, shards=3, seed=1)
  assert (copy / _FIRST).read_bytes() == (made / _FIRST).read_bytes()


def test_a_kill_while_a_file_is_written_again_leaves_an_unfinished_folder(
    made, tmp_path):
  copy, data = tmp_path / 'copy', _data()
  shutil.copytree(made, copy)
  os.truncate(copy / _FIRST, 100)
  row = np.flatnonzero(prepare.deal(data.identity, 3, 1)[0] == 0)[0]
  with pytest.raises(KeyboardInterrupt):
    prepare.prepare(dataclasses.replace(data, images=_Breaks(
        data.images, row, KeyboardInterrupt())), copy, shards=3, seed=1)
  assert not (copy / shards.MANIFEST).exists()
  assert not (copy / _FIRST).exists()
  prepare.prepare(data, copy, shards=3, seed=1)
  assert (copy / _FIRST).read_bytes() == (made / _FIRST).read_bytes()


@pytest.mark.parametrize('spoil', [
    lambda p: _spoil(p / _FIRST, 200),
    lambda p: (p / _FIRST).write_bytes(bytes((p / _FIRST).stat().st_size)),
    lambda p: shutil.copy(_other(p / 'b') / _FIRST, p / _FIRST),
    lambda p: shutil.copy(p / shards.shard_name(1, 3), p / _FIRST),
])
def test_a_damaged_or_foreign_shard_is_named_when_it_is_read(
    made, tmp_path, spoil):
  copy = tmp_path / 'copy'
  shutil.copytree(made, copy)
  spoil(copy)
  manifest = json.loads((copy / shards.MANIFEST).read_text())
  manifest['files'][_FIRST] = (copy / _FIRST).stat().st_size  # as if equal
  (copy / shards.MANIFEST).write_text(json.dumps(manifest))
  images = _load(copy).images
  with pytest.raises(ValueError, match=(
      f'{_FIRST} as it was prepared, got .* removed? .*prepare')):
    list(images.stream([np.arange(20), np.arange(20, 40)]))
  (copy / _FIRST).unlink()
  prepare.prepare(_data(), copy, shards=3, seed=1)
  assert (copy / _FIRST).read_bytes() == (made / _FIRST).read_bytes()


def _pairs():
  retain, forget = (batching.Stream(rows, 6, seed=1, salt=salt)
                    for salt, rows in enumerate(
                        (np.arange(25), np.arange(25, 32))))
  return batching.Pairs(retain, forget).batch


@pytest.mark.parametrize('listed', [1, 30, 2**20])
@pytest.mark.parametrize('start', [0, 4])
def test_batches_are_those_from_memory_at_any_step(
    made, monkeypatch, start, listed):
  monkeypatch.setattr(batching, '_LISTED', listed)
  feed = batching.Feed(_load(made))
  wanted = batching.Feed(_data(), device_bytes=0)
  assert not feed.on_device and feed.constants == {}
  for make in (_pairs(), lambda step: [_pairs()(step), {'x': np.ones(2)}],
               lambda step: {'x': np.full(2, step)}):
    for a, b in zip(feed.batches(make, start, 9),
                    wanted.batches(make, start, 9), strict=True):
      assert tiny.same(a, b)
  stacked = lambda step: batching.pad(np.arange(step, step + 6), 6).replace(
      index=np.arange(step, step + 6).reshape(2, 3))
  for a, b in zip(feed.batches(stacked, 0, 3), wanted.batches(stacked, 0, 3)):
    assert tiny.same(a, b) and a.images.shape[:2] == (2, 3)
  assert tiny.same(feed.fill(_pairs()(2)), wanted.fill(_pairs()(2)))


@pytest.mark.parametrize('me', [0, 1])
def test_a_process_reads_its_own_rows_alone(made, monkeypatch, me):
  monkeypatch.setattr(batching.hosts, 'count', lambda: 2)
  monkeypatch.setattr(
      batching.hosts, 'own_rows', lambda n: slice(me * n // 2,
                                                  (me + 1) * n // 2))
  data, asked = _load(made), []
  read = shards.Reader.read
  monkeypatch.setattr(shards.Reader, 'read', lambda self, where, *rest: (
      asked.extend(where[['shard', 'place']].tolist()),
      read(self, where, *rest))[1])
  list(batching.Feed(data).batches(_pairs(), 0, 3))
  shard, place = prepare.deal(data.identity, 3, 1)
  own = [getattr(_pairs()(step), side).index[me * 3:me * 3 + 3]
         for step in range(3) for side in ('retain', 'forget')]
  rows = np.concatenate(own)
  assert sorted(asked) == sorted(zip(shard[rows].tolist(),
                                     place[rows].tolist()))


def test_copies_are_those_from_memory(tmp_path):
  data = _data()
  images = data.images.copy()
  images[7], images[9] = images[3], images[3] + (images[3] < 255)
  data = dataclasses.replace(data, images=images)
  prepare.prepare(data, tmp_path / 'out', shards=3)
  rows = np.arange(40)[::-1]
  one, other = (copies_lib.find_copies(found, rows)
                for found in (data, _load(tmp_path / 'out')))
  assert one.near.size or len(set(one.group)) < 40
  for field in ('positions', 'group', 'near'):
    np.testing.assert_array_equal(getattr(one, field), getattr(other, field))


def test_a_reader_travels_to_a_process_without_its_open_files(made):
  images = _load(made).images
  images[0]
  again = pickle.loads(pickle.dumps(images._reader))
  np.testing.assert_array_equal(again.read(images._where[:3]), images[:3])


def test_more_files_than_may_be_open_are_read(made, monkeypatch):
  monkeypatch.setattr(shards, '_MOST_OPEN', 1)
  images = _load(made).images
  for row in range(10):
    np.testing.assert_array_equal(images[row], _data().images[row])
    assert len(images._reader._open) == 1


def test_a_folder_names_its_manifest_and_takes_no_other_option(made):
  options = sources.DataOptions(source=str(made))
  assert options.source == str(made / shards.MANIFEST)
  assert sources.DataOptions(source=options.source) == options
  assert sources.unread(options, ['source', 'labels', 'image_size']) == [
      'labels', 'image_size']
  assert isinstance(sources.load(options), dataset_lib.Dataset)
  with pytest.raises(ValueError, match='a folder of dlfd prepare'):
    sources.DataOptions(source=str(made.parent))


@pytest.mark.slow
def test_processes_decode_the_same_in_the_same_order(made):
  plain = _load(made)
  images = shards.Shards(
      plain.images._reader, *prepare.deal(plain.identity, 3, 1),
      plain.image_hashes, plain.image_size, workers=2, worth=1)
  lists = [np.arange(k, k + 5) for k in range(0, 35, 5)]
  for _ in range(2):
    for rows, found in zip(lists, images.stream(lists), strict=True):
      np.testing.assert_array_equal(found, _data().images[rows])
  part = images.stream(lists)
  next(part)
  part.close()  # a run that stops early
