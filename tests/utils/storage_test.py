"""Places in object stores, on fsspec's file system in memory."""

import json
import os
import subprocess
import sys
import time

import fsspec
import pytest
from etils import epath

from dlfd_jax.data import prepare, shards, sources
from dlfd_jax.pipeline import chain, forgotten
from dlfd_jax.utils import places, storage, validate, writes
from tests import stores
from tests.data import examples


@pytest.fixture
def store(tmp_path, monkeypatch):
  """The objects of ``gs://``, in this process's memory."""
  memory = fsspec.filesystem('memory')
  memory.store.clear()
  memory.pseudo_dirs[:] = ['']
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
  monkeypatch.setattr(storage, '_system', lambda scheme: memory)
  yield memory
  storage.close()
  memory.store.clear()


def names(store):
  return sorted(name.lstrip('/') for name in store.store)


def test_a_path_of_this_disk_stays_as_it_is(tmp_path):
  assert storage.local(tmp_path / 'a') == tmp_path / 'a'
  assert storage.url_of(tmp_path) is None
  storage.push(tmp_path / 'nothing')  # nor is anything done
  assert storage.shown(str(tmp_path)) == str(tmp_path)


@pytest.mark.parametrize('url', [
    'gs://', 'gs://bucket//a', 'gs://bucket/../other', 'gs://bucket/./a'])
def test_a_url_that_leads_elsewhere_is_refused(store, url):
  with pytest.raises(ValueError, match='Expected gs://bucket/path, got'):
    storage.local(url)


@pytest.mark.parametrize('kind', [str, epath.Path])
def test_what_the_store_holds_is_read(store, kind):
  store.pipe({'/b/run/config.json': b'{}', '/b/run/deep/x': b'1',
              '/b/run2/other': b'2', '/b/run/.lock': b'{}'})
  place = storage.local(kind('gs://b/run'))
  assert (place / 'config.json').read_text() == '{}'
  assert (place / 'deep/x').read_bytes() == b'1'
  assert not (place / '.lock').exists()
  assert not place.with_name('run2').exists()
  assert storage.local(kind('gs://b/run2/other')).read_bytes() == b'2'
  assert storage.url_of(place / 'deep') == 'gs://b/run/deep'


@pytest.mark.filterwarnings('ignore:Sending a large body:ResourceWarning')
@pytest.mark.parametrize('scheme', ['gs', 's3'])
def test_files_come_back_byte_by_byte(scheme, tmp_path, monkeypatch):
  """Whatever they end in: drivers frame what they send."""
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
  written = {f'{i}': b'\0\xff\r\n--' + end for i, end in enumerate((
      b'a', b'\r', b'\n', b'\r\n', b'\n\r', b'\n\n', b'\r\r', b'--', b'\0',
      b'\n--==0==\na', b'\n--==0==--'))}
  written['empty'] = b''
  written['long'] = 6 * 2**20 * b'b' + b'\r'
  with {'gs': stores.gcs, 's3': stores.s3}[scheme]() as (_, objects):
    try:
      run = storage.local(f'{scheme}://{stores.BUCKET}/run')
      run.mkdir()
      for name, data in written.items():
        (run / name).write_bytes(data)
      storage.push(run)
      (run / 'new').write_bytes(b'1\r')
      storage.push(run / 'new', new=True)
    finally:
      storage.close()
    assert {name: objects.cat_file(f'{stores.BUCKET}/run/{name}')
            for name in written} == written
    assert objects.cat_file(f'{stores.BUCKET}/run/new') == b'1\r'


def test_an_object_of_another_length_is_no_success(store, monkeypatch):
  place = storage.place('gs://b/run/x')
  place.parent.mkdir(parents=True)
  place.write_bytes(b'12345')

  def put_file(path, key, *, consistency):
    store.pipe_file(key, b'1234')
    assert consistency != 'size', 'Size mismatch'

  monkeypatch.setattr(store, 'put_file', put_file)
  with pytest.raises(storage.StorageError,
                     match='Expected 5 bytes in gs://b/run/x'):
    storage.push(place)
  assert names(store) == []


def test_people_read_urls_not_places_in_the_copy(store):
  place = storage.local('gs://b/run')
  assert storage.shown(f'in {place}/a, got {place}') == (
      'in gs://b/run/a, got gs://b/run')
  assert validate.shorten_path(place) == 'gs://b/run'
  assert validate.shown(str(place)) == "'gs://b/run'"


def test_stored_paths_are_urls_and_lead_back(store, tmp_path):
  run, data = (storage.local(f'gs://b/{name}') for name in ('run', 'd.npz'))
  assert places.stored(data, run) == 'gs://b/d.npz'
  assert places.found('gs://b/d.npz', tmp_path) == str(data)
  assert places.found('../d.npz', run) == str(data)  # of a run that was copied
  assert places.stored('here.npz', run) == os.path.abspath('here.npz')
  assert places.stored('here.npz', tmp_path) == os.path.relpath(
      'here.npz', tmp_path)


def test_every_writer_sends_what_it_wrote(store):
  place = storage.local('gs://b/run')
  place.mkdir()
  writes.write_json(place / 'a.json', {'a': 1})
  writes.append(place / 'log', 'one\n')
  assert names(store) == ['b/run/a.json']  # the log goes with the next
  writes.append(place / 'log', 'two\n')
  writes.publish(place / 'result.json', {'kind': 'k'}, {'page.html': 'x'})
  assert names(store) == ['b/run/a.json', 'b/run/log', 'b/run/page.html',
                          'b/run/result.json']
  assert store.cat('/b/run/log') == b'one\ntwo\n'
  with writes.temporary_folder(place) as temporary:
    writes.write_text(temporary / 'half', 'x')
    assert len(names(store)) == 4
    writes.move_whole(temporary / 'half', place / 'shard')
  assert store.cat('/b/run/shard') == b'x'


def test_shards_are_prepared_into_the_store(store):
  folder = storage.local('gs://b/shards')
  made = prepare.prepare(examples.random_dataset(), folder, shards=3)
  storage.close()
  assert sum('shard-' in name for name in names(store)) == 3, names(store)
  found = shards.load_shards(
      storage.local('gs://b/shards') / shards.MANIFEST)
  assert found.fingerprint() == made['fingerprint']
  options = sources.DataOptions(source=str(storage.local('gs://b/shards')))
  assert sources.load(options).fingerprint() == made['fingerprint']


def test_the_shards_of_a_run_are_found_by_its_config_alone(store):
  made = prepare.prepare(
      examples.random_dataset(), storage.local('gs://b/shards'), shards=3)
  config = places.config_stored({'data': {'source': str(storage.local(
      'gs://b/shards') / shards.MANIFEST)}}, storage.local('gs://b/run'))
  storage.close()  # another command, with nothing here
  source = places.config_found(config, 'gs://b/run')['data']['source']
  assert not places.is_missing('data.source', source)
  assert sources.load(sources.DataOptions(
      source=source)).fingerprint() == made['fingerprint']


def test_a_page_of_somebody_else_in_the_store_is_not_replaced(store):
  for name in ('mine.json', 'mine.md'):
    store.pipe_file(f'/b/{name}', b'{"a": 1}')
  out = storage.local('gs://b/mine')
  with pytest.raises(FileExistsError, match='Expected no file at'):
    writes.check_ours(f'{out}.json')
  store.rm_file('/b/mine.json')
  storage.close()
  with pytest.raises(FileExistsError, match='Expected no file at'):
    writes.publish(f'{storage.local("gs://b/mine")}.json', {'kind': 'table'},
                   {'mine.md': 'ours'})
  assert store.cat('/b/mine.md') == b'{"a": 1}'


def test_a_shard_that_was_cut_in_the_store_is_written_there_again(store):
  data = examples.random_dataset()
  made = prepare.prepare(data, storage.local('gs://b/shards'), shards=3)
  storage.close()
  first = f'b/shards/{shards.shard_name(0, 3)}'
  before = store.cat(f'/{first}')
  store.pipe_file(f'/{first}', before[:100])
  assert prepare.prepare(
      data, storage.local('gs://b/shards'), shards=3) == made
  storage.close()
  assert store.cat(f'/{first}') == before


def test_what_was_found_of_people_lies_in_the_store(store):
  one = chain.Judged(None, 'gs://b/run', {'kind': 'unlearn'}, {})
  storage.local('gs://b/run').mkdir(parents=True)
  forgotten.judge(one, {'finished': 'now', 'sha256': 'a', 'metrics': []},
                  examples.random_dataset())
  storage.close()
  assert names(store) == ['b/run/judged.json']
  assert forgotten._stored(one)['evaluation'] == 'a'


def test_a_result_goes_after_the_log_and_before_its_pages(store, monkeypatch):
  place = storage.local('gs://b/run')
  place.mkdir()
  sent = []
  put = store.put_file
  monkeypatch.setattr(store, 'put_file', lambda path, key, **more: (
      sent.append(key), put(path, key, **more)))
  writes.append(place / 'log', 'one\n')
  writes.publish(place / 'result.json', {'kind': 'k'}, {'page.html': 'x'})
  assert sent == ['b/run/log', 'b/run/result.json', 'b/run/page.html']


def test_a_folder_in_the_store_becomes_the_one_that_is_here(store):
  store.pipe({f'/b/run/step/{name}': b'old' for name in 'abc'})
  store.pipe('/b/run/stepping', b'other')
  place = storage.local('gs://b/run')
  (place / 'step/a').unlink()
  (place / 'step/b').write_bytes(b'new')
  (place / 'step/d').write_bytes(b'more')
  before = store.created('/b/run/step/c')
  storage.push(place / 'step')
  assert names(store) == ['b/run/step/b', 'b/run/step/c', 'b/run/step/d',
                          'b/run/stepping']
  assert store.cat('/b/run/step/b') == b'new'
  assert store.created('/b/run/step/c') == before  # was not sent again
  (place / 'step/b').unlink()
  storage.push(place / 'step/b')
  assert 'b/run/step/b' not in names(store)


def test_what_others_wrote_meanwhile_is_read_again(store):
  store.pipe({'/b/run/a': b'1', '/b/run/b': b'1'})
  place = storage.local('gs://b/run')
  store.pipe('/b/run/a', b'22')
  store.rm('/b/run/b')
  assert storage.local('gs://b/run/a').read_bytes() == b'1'
  storage.refresh(place)
  assert (place / 'a').read_bytes() == b'22'
  assert not (place / 'b').exists()


def test_what_is_prepared_in_private_stays_here(store):
  place = storage.local('gs://b/data')
  place.mkdir()
  storage.keep_private(place)
  writes.write_text(place / 'table', 'x')
  assert names(store) == []


def test_the_copy_is_removed_with_the_command_and_after_a_kill(
    store, tmp_path):
  with storage.session(), storage.session():
    place = storage.local('gs://b/run')
    assert place.parent.is_dir()
  assert not place.parent.exists()
  code = ('from dlfd_jax.utils import storage; import os; '
          'print(storage._root()); os._exit(9)')
  left = subprocess.run([sys.executable, '-c', code], check=False, text=True,
                        stdout=subprocess.PIPE).stdout.strip()
  assert os.path.isdir(left)
  storage.local('gs://b/run')
  assert not os.path.isdir(left)


def test_more_than_the_disk_holds_is_not_begun(store, monkeypatch):
  store.pipe('/b/run/a', b'12345')
  monkeypatch.setattr(storage.shutil, 'disk_usage', lambda path: (
      storage.shutil._ntuple_diskusage(9, 8, 4)))
  with pytest.raises(OSError, match='do not fit into the 0.0 GB'):
    storage.local('gs://b/run')


def _others(silent=0, **known):
  """The lock of another process."""
  return {'host': 'elsewhere', 'pid': 7, 'token': 'x',
          'time': time.time() - silent, **known}


def test_a_lock_keeps_others_out_and_goes_with_its_holder(store):
  place = storage.local('gs://b/run')
  lock = storage.Lock(place)
  assert json.loads(store.cat('/b/run/.lock'))['pid'] == os.getpid()
  with pytest.raises(ValueError, match='another one is at work in it'):
    storage.Lock(place)
  lock.release()
  assert names(store) == []
  storage.Lock(place)
  storage.close()
  assert names(store) == []


@pytest.mark.parametrize('other, free', [
    ({}, False), ({'silent': 1000}, True),
    ({'host': storage._host(), 'pid': os.getppid()}, False),
    ({'host': storage._host(), 'pid': os.getpid()}, True),
    ({'host': storage._host(), 'pid': 2**22 + 1}, True)])
def test_the_lock_of_a_dead_holder_is_taken(store, other, free):
  other = _others(**other)
  place = storage.local('gs://b/run')
  store.pipe('/b/run/.lock', json.dumps(other).encode())
  if free:
    storage.Lock(place)
  else:
    with pytest.raises(ValueError, match='gave the last sign of life'):
      storage.Lock(place)
    assert json.loads(store.cat('/b/run/.lock')) == other


def test_who_lost_the_lock_writes_nothing_more(store):
  place = storage.local('gs://b/run')
  place.mkdir()
  storage.Lock(place)
  store.pipe('/b/run/.lock', json.dumps(_others()).encode())
  with pytest.raises(ValueError, match='another one took it over'):
    writes.write_text(place / 'late', 'x')
  assert names(store) == ['b/run/.lock']
  storage.close()  # nor does it take the other's away
  assert names(store) == ['b/run/.lock']


def test_the_holder_shows_that_it_is_alive(store, monkeypatch):
  monkeypatch.setattr(storage, 'BEAT_S', 0.01)
  storage.Lock(storage.local('gs://b/run'))
  first = json.loads(store.cat('/b/run/.lock'))['time']
  end = time.monotonic() + 60
  while time.monotonic() < end and (
      json.loads(store.cat('/b/run/.lock'))['time'] == first):
    time.sleep(0.01)
  assert json.loads(store.cat('/b/run/.lock'))['time'] > first


@pytest.mark.parametrize('scheme, module, extra', [
    ('gs', 'gcsfs', 'gcs'), ('s3', 's3fs', 's3')])
def test_a_missing_driver_names_its_extra(monkeypatch, scheme, module, extra):
  monkeypatch.setitem(sys.modules, module, None)
  monkeypatch.setattr(storage, '_copy', storage._Copy())
  with pytest.raises(ValueError, match=rf'Expected {module} for {scheme}:// '
                     rf'folders: install the extra {extra} \(in the clone'):
    storage.local(f'{scheme}://b/run')
