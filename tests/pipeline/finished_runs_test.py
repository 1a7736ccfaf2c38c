"""What an earlier process finished is taken bit by bit, or not at all."""

import re
import shutil

import numpy as np
import pytest

from dlfd_jax.pipeline import finished_runs, job
from dlfd_jax.utils import files, stops, storage, writes

ARRAYS = {'forget/logits': np.array([[np.pi, -0.0]], np.float32),
          'test/block 1': np.array([[1 / 3]]), 'steps': np.array([7, 0]),
          'names': np.array(['é', 'b'])}
OF = {'run': 'a', 'versions': {'jax': '1'}}


@pytest.fixture
def folder(tmp_path, monkeypatch):
  monkeypatch.setattr(stops._process, 'saved', None)
  return tmp_path / 'evaluation' / 'checkpoints'


def _open(folder, of=OF):
  folder.parent.mkdir(exist_ok=True)
  return finished_runs.FinishedRuns(folder, of)


def _fails():
  raise AssertionError('it was run again')


def _kept(folder, *names):
  runs = _open(folder)
  for name in names:
    runs.arrays_of(name, lambda: ARRAYS)
  return next(iter(folder.glob('*.npz')))


def test_arrays_are_given_again_bit_by_bit(folder):
  _kept(folder, 'outputs/original', 'blocks/a b/../c')
  assert stops._process.saved == str(folder.parent)
  stops._process.saved = None
  stops.note_saved_in(folder.parent)  # what a command does as it starts
  assert stops._process.saved == str(folder.parent)
  again = _open(folder)
  assert again.names == {'outputs/original', 'blocks/a b/../c'}
  assert again.unused == 0 < again.earlier_s
  for name in again.names:
    found = again.arrays_of(name, _fails)
    assert list(found) == list(ARRAYS)
    for key, values in ARRAYS.items():
      assert found[key].dtype == values.dtype
      assert found[key].tobytes() == values.tobytes()


def test_in_one_process_a_run_is_done_once_also_without_a_folder():
  runs = finished_runs.FinishedRuns()
  runs.arrays_of('one', lambda: ARRAYS)
  assert runs.arrays_of('one', _fails)['steps'] is ARRAYS['steps']


def test_what_is_soon_done_is_not_kept(folder):
  runs = _open(folder)
  runs.arrays_of('figures/a', lambda: ARRAYS, least_s=60)
  runs.arrays_of('figures/b', lambda: ARRAYS, least_s=0)
  assert _open(folder).names == {'figures/b'}


def _cut(path):
  path.write_bytes(path.read_bytes()[:-40])


def _altered(path):
  with np.load(path) as file:
    arrays = dict(file)
  arrays['steps'] = arrays['steps'] + 1
  np.savez(path, **arrays)


def _renamed(path):
  with np.load(path) as file:
    arrays = dict(file)
  arrays['seal'] = np.array(['outputs/other', arrays['seal'][1]])
  np.savez(path, **arrays)


def _bare(path):
  np.savez(path, **ARRAYS)


@pytest.mark.parametrize('change', [_cut, _altered, _renamed, _bare])
def test_an_altered_file_is_not_used_and_its_run_done_again(folder, change):
  path = _kept(folder, 'outputs/original')
  change(path)
  runs = _open(folder)
  assert runs.names == frozenset() and runs.unused == 1
  runs.arrays_of('outputs/original', lambda: ARRAYS)
  again = _open(folder)
  assert again.names == {'outputs/original'} and again.unused == 0


@pytest.mark.parametrize('other', [
    {**OF, 'run': 'b'}, {**OF, 'versions': {'jax': '2'}}])
def test_runs_of_another_evaluation_or_version_are_not_taken(folder, other):
  _kept(folder, 'outputs/original', 'outputs/unlearned')
  runs = _open(folder, other)
  assert runs.names == frozenset() and runs.unused == 2
  runs.arrays_of('outputs/unlearned', lambda: ARRAYS)
  back = _open(folder)  # which costs what was run again there
  assert back.names == {'outputs/original'} and back.unused == 1


def test_what_the_memory_cannot_hold_now_is_refused_and_stays(
    folder, monkeypatch):
  path = _kept(folder, 'outputs/original')
  with monkeypatch.context() as little:
    little.setattr(files, 'memory_bytes', lambda: path.stat().st_size - 1)
    with pytest.raises(ValueError, match='into the memory of this machine'):
      _open(folder)
  assert _open(folder).names == {'outputs/original'}


def test_names_that_are_spelled_alike_have_files_of_their_own(folder):
  _kept(folder, 'a/b', 'a-b', 'a b' + 'c' * 300)
  assert len(_open(folder).names) == 3


def test_a_signal_says_what_is_kept(folder):
  def stopped():
    raise job.Interrupted('Stopped; there is no result yet.')

  runs = _open(folder)
  with pytest.raises(job.Interrupted, match='no result yet') as stop:
    runs.arrays_of('one', stopped)
  assert not stop.value.saved
  runs.arrays_of('two', lambda: ARRAYS)
  with pytest.raises(job.Interrupted, match=re.escape(
      f'finished runs are kept in {folder}')) as stop:
    runs.arrays_of('one', stopped)
  assert stop.value.saved


def test_at_the_end_our_files_go_and_others_stay(folder):
  _kept(folder, 'one', 'two')
  (folder / '.dlfd_jax-0123456789abcdef.tmp').write_text('of a dead process')
  finished_runs.clear(folder)
  assert not folder.exists()
  finished_runs.clear(folder)
  _kept(folder, 'one')
  (folder / 'notes.txt').write_text('of the user')
  finished_runs.clear(folder)
  assert [path.name for path in folder.iterdir()] == ['notes.txt']


def test_a_bucket_has_what_the_folder_has(folder, monkeypatch):
  sent = []
  monkeypatch.setattr(writes.storage, 'push', lambda path, **more: sent.append(
      (path.name, path.exists())))
  assert writes.storage is storage
  path = _kept(folder, 'one')
  finished_runs.clear(folder)
  assert sent == [(path.name, True), (path.name, False)]


def test_a_copied_folder_is_that_of_the_evaluation(folder, tmp_path):
  _kept(folder, 'one')
  other = tmp_path / 'moved' / 'checkpoints'
  other.parent.mkdir()
  shutil.copytree(folder, other)
  assert _open(other).names == {'one'}
