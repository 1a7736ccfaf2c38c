"""Two real processes against one: the same results, files written once."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from dlfd_jax import checkpoint, parallel
from dlfd_jax.data import batching
from dlfd_jax.utils import hosts
from tests import hosts_worker, processes, tiny


@pytest.fixture
def two(monkeypatch):
  """Makes this process the second of two, as far as counting goes."""
  monkeypatch.setattr(jax, 'process_count', lambda: 2)
  monkeypatch.setattr(jax, 'process_index', lambda: 1)


@pytest.mark.parametrize('given, words', [
    (('host:1', None, None), 'all of --coordinator, --num_processes and'),
    ((None, 2, 0), 'all of --coordinator, --num_processes and'),
    (('host:1', 2, 2), '--process_id from 0 to below --num_processes, got 2 '
     'of 2'),
    (('host', 2, 0), r"--coordinator as host:port, .*got 'host'"),
    ((None, None, None), '--distributed on a TPU pod slice'),
])
def test_a_start_that_cannot_work_is_refused(given, words, monkeypatch):
  def nothing_told(*args, **kwargs):
    raise ValueError('coordinator_address should be defined.')

  monkeypatch.setattr(jax.distributed, 'initialize', nothing_told)
  with pytest.raises(ValueError, match=words):
    hosts.start(*given)


@pytest.fixture
def told(monkeypatch):
  """What jax is told at a start."""
  told = {}
  monkeypatch.setattr(
      jax.distributed, 'initialize',
      lambda *args, **kwargs: told.update(kwargs, args=args))
  return told


def test_a_start_says_who_is_there_and_what_an_end_means(told):
  said = hosts.start('host:1', 2, 1)
  assert told['args'] == ('host:1', 2, 1)
  assert told['heartbeat_timeout_seconds'] == 30
  assert 'Process 0 of 1' in said and 'heartbeats' in said


@pytest.mark.parametrize('coordinator, listens_on', [
    ('127.0.0.1:8', '127.0.0.1:8'), ('localhost:8', 'localhost:8'),
    ('[::1]:8', '[::1]:8'), ('host:8', None), ('10.0.0.1:8', None),
    (None, None)])
def test_processes_of_one_machine_are_heard_by_no_other(
    coordinator, listens_on, told):
  hosts.start(coordinator, *(None, None) if coordinator is None else (2, 0))
  assert told['coordinator_bind_address'] == listens_on


def test_one_process_agrees_with_itself():
  assert hosts.agreed(False, True, False) == (True, False)
  value = {'a': 1}
  assert hosts.from_first(value) is value
  assert hosts.first(lambda: 3) == 3
  assert hosts.own_rows(5) == slice(0, 5)
  hosts.check_same(b'1', 'thing')
  with pytest.raises(FileExistsError):
    hosts.first(lambda: (_ for _ in ()).throw(FileExistsError()))


def test_rows_that_cannot_be_split_over_processes_are_refused(two):
  assert hosts.own_rows(6) == slice(3, 6)
  with pytest.raises(ValueError, match='divisible by the 2 processes, got 5'):
    hosts.own_rows(5)


def test_a_process_reads_its_rows_alone_with_their_global_positions(two):
  data = tiny.dataset(20)
  feed = batching.Feed(data)
  assert not feed.on_device and feed.constants == {}
  stream = batching.Stream(np.arange(20), 6)
  for step, batch in enumerate(feed.batches(stream.batch, 0, 4)):
    whole = stream.batch(step)
    assert batch.position.tolist() == [3, 4, 5]
    np.testing.assert_array_equal(batch.mask, whole.mask[3:])
    np.testing.assert_array_equal(
        batch.images, data.images[whole.index[3:]])
    np.testing.assert_array_equal(
        batch.labels, data.labels[whole.index[3:]])


def test_of_a_memory_map_only_the_rows_of_the_process_are_read(two, tmp_path):
  asked = []

  class Watched(np.memmap):
    def __getitem__(self, rows):
      asked.extend(np.atleast_1d(rows).tolist())
      return super().__getitem__(rows)

  data = tiny.dataset(20)
  pixels = Watched(
      tmp_path / 'pixels', np.uint8, 'w+', shape=data.images.shape)
  pixels[:] = data.images
  asked.clear()
  feed = batching.Feed(dataclasses.replace(data, images=pixels))
  retain, forget = (batching.Stream(rows, 4) for rows in (
      np.arange(12), np.arange(12, 20)))
  batches = list(feed.batches(batching.Pairs(retain, forget).batch, 0, 3))
  own = [retain.batch(step).index[2:] for step in range(3)]
  own += [forget.cycled_batch(step).index[2:] for step in range(3)]
  assert sorted(asked) == sorted(np.concatenate(own).tolist())
  np.testing.assert_array_equal(batches[0].retain.images, data.images[own[0]])


def test_as_many_devices_of_every_process_are_needed(two):
  with pytest.raises(
      ValueError, match=r'as many devices of every process, got \[8, 0\]'):
    parallel.Devices()


def test_equal_trees_have_equal_digests_and_others_not():
  tree = {'a': np.arange(3), 'key': jax.random.key(1)}
  assert parallel.digest(tree) == parallel.digest(jax.tree.map(
      lambda x: x, tree))
  for other in (
      {**tree, 'a': np.arange(3.)}, {**tree, 'a': np.array([0, 1, 3])},
      {**tree, 'key': jax.random.key(2)}, {'b': tree['a'], 'key': tree['key']}):
    assert parallel.digest(tree) != parallel.digest(other)


@pytest.fixture(scope='module')
def runs(tmp_path_factory):
  """What one process with four devices finds, and two with two each."""
  folder = tmp_path_factory.mktemp('hosts')
  hosts_worker.save(
      tiny.devices(4).place(hosts_worker.start_state(hosts_worker.problem())),
      folder / 'of_one')
  address = processes.address()
  both = [processes.start('tests.hosts_worker', str(i), address, str(folder))
          for i in range(2)]
  try:
    one = hosts_worker.compute(tiny.devices(4), folder / 'alone')
  finally:
    said = processes.ended(both)
  for i in range(2):
    assert (folder / f'facts{i}.json').is_file(), said[i]
  return folder, *one


def _read(folder, i):
  with np.load(folder / f'arrays{i}.npz') as found:
    return dict(found), json.loads((folder / f'facts{i}.json').read_text())


def _close(found, wanted, start, tolerance):
  names = [name for name in wanted if name.startswith(start)]
  assert names
  for name in names:
    np.testing.assert_allclose(
        found[name], wanted[name], rtol=tolerance, atol=tolerance,
        err_msg=name)


@pytest.mark.slow
def test_two_processes_find_what_one_does(runs):
  folder, wanted, facts = runs
  found, told = _read(folder, 0)
  assert set(found) == set(wanted)
  for name in ('train', 'distance'):
    _close(found, wanted, name, 1e-6)
    assert told[name] == pytest.approx(facts[name], rel=1e-5, abs=1e-6)
  for name in ('logits', 'features'):
    _close(found, wanted, name, 1e-5)
  _close(found, wanted, 'fit', 1e-4)
  assert len(told['fit']) == len(facts['fit'])
  for ours, theirs in zip(told['unlearn'], facts['unlearn'], strict=True):
    assert ours['step'] == theirs['step']
    assert ours['val_accuracy'] == pytest.approx(
        theirs['val_accuracy'], abs=.15)
    assert ours['forget_loss'] == pytest.approx(
        theirs['forget_loss'], rel=.05)


@pytest.mark.slow
def test_all_processes_end_with_the_same_and_read_only_their_rows(runs):
  folder, _, facts = runs
  (first, told), (second, told_second) = (_read(folder, i) for i in range(2))
  for name in first:
    np.testing.assert_array_equal(first[name], second[name], err_msg=name)
  assert told['unlearn'] == told_second['unlearn']
  assert facts['positions'] == list(range(8)) and facts['padded'] == 4
  assert told['positions'] == [0, 1, 2, 3] and told['padded'] == 4
  assert told_second['positions'] == [4, 5, 6, 7]
  assert told_second['padded'] == 0  # nothing but padding on its devices


@pytest.mark.slow
def test_what_differs_between_processes_is_refused_in_each(runs):
  for i in range(2):
    said = _read(runs[0], i)[1]['said']
    assert said['frozen'].startswith(
        'ValueError: Expected the same constants in every process, got')
    assert said['state'].startswith('ValueError: Expected the same state in')
    assert said['first'].endswith('Expected an empty folder, got a full one.')
    assert said['only_first'] == (0 if i == 0 else None)
    assert said['told'] == 0
    assert said['agreed'] == [True, False] and said['not_asked'] == [False]
    assert 'as many devices of every process, got [2, 1]' in said['uneven']


@pytest.mark.slow
@pytest.mark.parametrize('count', [1, 4])
def test_one_process_restores_the_checkpoint_of_two(runs, count):
  folder = runs[0]
  found, _ = _read(folder, 0)
  tree = hosts_worker.restored(tiny.devices(count), folder)
  for name, value in found.items():
    if name.startswith('train'):
      np.testing.assert_array_equal(
          tree["['kept0']" + name.removeprefix('train')], value)
  like = hosts_worker.problem().original
  model = hosts_worker.named(
      checkpoint.load_variables(folder / 'model' / 'variables', like)[0])
  assert model
  for name, value in model.items():
    np.testing.assert_array_equal(value, found['selected' + name])


@pytest.mark.slow
def test_two_processes_restore_the_checkpoint_of_one(runs):
  wanted = hosts_worker.named(hosts_worker.problem().original)
  for i in range(2):
    with np.load(runs[0] / f'restored{i}.npz') as tree:
      for name, value in wanted.items():
        np.testing.assert_array_equal(tree["['kept0']" + name], value)
      np.testing.assert_array_equal(
          tree["['state'].key"], jax.random.key_data(jax.random.key(5)))
