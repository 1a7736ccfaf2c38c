"""Whatever writes a file: nothing is lost, exposed or left half-written."""

import contextlib
import fcntl
import functools
import io
import os
import pathlib
import resource
import secrets
import stat
import subprocess
import sys
import tempfile

import numpy as np
import pytest

from dlfd_jax import checkpoint, models, tasks
from dlfd_jax.data import split_files, splits as splits_lib
from dlfd_jax.models import weight_files
from dlfd_jax.report import html
from dlfd_jax.utils import runs, writes
from experiments.publish import programs
from tests import tiny
from tests.report import fakes

TEXT = 'x' * 5000
ARRAYS = {'x': np.random.default_rng(0).integers(0, 9, 5000)}
DATA = tiny.dataset()
PARTS = splits_lib.Partition(
    np.arange(8), np.arange(8, 16), np.arange(16, 24))


def _published(path, text=TEXT):
  writes.publish(path.with_suffix('.json'), {'kind': 'x', 'n': [1] * 999},
                 {path.name: text})


def _table(path):
  with contextlib.redirect_stdout(io.StringIO()):  # no file of the test's own
    programs.write(path.with_suffix(''), {'kind': 'x'}, TEXT, csv=TEXT)


# Files of a run, which replace an older one.
REPLACING = {
    'text': lambda path: writes.write_text(path, TEXT),
    'json': lambda path: writes.write_json(path, TEXT),
    'npz': lambda path: writes.write_arrays(path, ARRAYS),
    'small npz': lambda path: writes.write_arrays(
        path, ARRAYS, compressed=True),
    'splits': lambda path: split_files.save_splits(path, DATA, PARTS)}
# What a user names.
NEW = {
    'new': lambda path: writes.write_new(
        path, lambda file: file.write(TEXT.encode())),
    'safetensors': lambda path: weight_files.write(
        path.with_suffix('.safetensors'), ARRAYS),
    'pth': lambda path: weight_files.write(path.with_suffix('.pth'), ARRAYS)}
PUBLISHED = {
    'page': _published,
    'picture': lambda path: _published(path, TEXT.encode()),
    'report': lambda path: html.write_report(
        fakes.result(), None, None, path.with_suffix('.html')),
    'table': _table}
APPENDED = {
    'log': lambda path: runs.MetricsLog(path).write({'event': TEXT})}
WRITERS = REPLACING | NEW | PUBLISHED | APPENDED


@pytest.fixture(params=WRITERS)
def write(request):
  if request.param == 'pth':
    pytest.importorskip('torch', reason='needs the extra torch')
  return WRITERS[request.param]


@functools.cache
def _names(write):
  """The files that a writer makes, by trying."""
  with tempfile.TemporaryDirectory() as folder:
    write(pathlib.Path(folder, 'out.txt'))
    return sorted(os.listdir(folder))


@pytest.mark.parametrize('compressed', [False, True])
def test_an_npz_file_holds_the_arrays_and_nothing_else(compressed, tmp_path):
  writes.write_arrays(tmp_path / 'a.npz', ARRAYS, compressed=compressed)
  with np.load(tmp_path / 'a.npz') as found:
    assert set(found.files) == set(ARRAYS)
    for name, array in ARRAYS.items():
      np.testing.assert_array_equal(found[name], array)


def test_objects_are_not_pickled(tmp_path):
  with pytest.raises(ValueError, match="without Python objects, got 'b'"):
    writes.write_arrays(tmp_path / 'a.npz', {'b': np.array([None])})
  assert not list(tmp_path.iterdir())


def test_permissions_are_what_the_umask_leaves(write, tmp_path):
  for umask, mode in ((0o077, 0o600), (0o022, 0o644)):
    place = tmp_path / str(umask)
    place.mkdir()
    before = os.umask(umask)
    try:
      write(place / 'out.txt')
    finally:
      os.umask(before)
    # A key is for its owner alone, whatever the umask.
    assert {stat.S_IMODE(p.stat().st_mode) for p in place.iterdir()
            if not p.name.endswith('_key.json')} == {mode}
    assert all(stat.S_IMODE(p.stat().st_mode) == 0o600
               for p in place.glob('*_key.json'))


def test_a_link_at_the_target_is_refused(write, tmp_path):
  victim = tmp_path / 'victim'
  for name in _names(write):
    for content in ('mine', None):  # None: it leads nowhere
      victim.unlink(missing_ok=True)
      if content:
        victim.write_text(content)
      place = tmp_path / f'{name}_{content}'
      place.mkdir()
      (place / name).symlink_to(victim)
      with pytest.raises(FileExistsError, match='^Expected '):
        write(place / 'out.txt')
      assert os.listdir(place) == [name] and (place / name).is_symlink()
      assert victim.read_text() == content if content else not victim.exists()


def test_a_link_at_the_temporary_name_is_not_followed(
    write, tmp_path, monkeypatch):
  if write in APPENDED.values():
    pytest.skip('it has no temporary file')
  victim, place = tmp_path / 'victim', tmp_path / 'place'
  victim.write_text('mine')
  place.mkdir()
  monkeypatch.setattr(secrets, 'token_hex', lambda n: 2 * n * '0')
  trap = place / f'.dlfd_jax-{"0" * 16}.tmp'
  assert writes.is_temporary(trap.name)
  trap.symlink_to(victim)
  with pytest.raises(FileExistsError):
    write(place / 'out.txt')
  assert victim.read_text() == 'mine' and os.listdir(place) == [trap.name]


@contextlib.contextmanager
def _largest_file(size):
  before = resource.getrlimit(resource.RLIMIT_FSIZE)
  resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
  try:
    yield
  finally:
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_nothing_half_written(write, tmp_path):
  with _largest_file(300), pytest.raises(OSError) as raised:
    write(tmp_path / 'out.txt')
  assert raised.value.errno and pathlib.Path(
      raised.value.filename).name in _names(write)
  assert [p for p in tmp_path.iterdir() if p.stat().st_size] == []
  write(tmp_path / 'out.txt')  # with room, it goes on
  again = tmp_path / 'again'
  again.mkdir()
  write(again / 'out.txt')
  assert sorted(os.listdir(tmp_path)) == sorted(
      ['again', *os.listdir(again)])


def test_a_read_only_folder_is_named(write):
  _names(write)  # whatever is imported for it is
  with tempfile.TemporaryDirectory() as folder:
    os.chmod(folder, 0o555)
    before = os.geteuid()
    if before == 0:  # who may write anywhere
      os.seteuid(65534)
    try:
      with pytest.raises(PermissionError) as raised:
        write(pathlib.Path(folder, 'out.txt'))
      assert pathlib.Path(raised.value.filename).parent == pathlib.Path(folder)
      assert 'dlfd_jax-' not in raised.value.filename
    finally:
      os.seteuid(before)
    assert os.listdir(folder) == []


@pytest.mark.parametrize('name', NEW | PUBLISHED)
def test_a_file_of_somebody_else_stays(name, tmp_path):
  write = WRITERS[name]
  if name == 'pth':
    pytest.importorskip('torch', reason='needs the extra torch')
  for file in _names(write):
    place = tmp_path / file
    place.mkdir()
    (place / file).write_text('{"mine": 1}')
    with pytest.raises(FileExistsError, match='^Expected .*' + file):
      write(place / 'out.txt')
    assert os.listdir(place) == [file]
    assert (place / file).read_text() == '{"mine": 1}'


@pytest.mark.parametrize('name', REPLACING)
def test_an_error_in_the_middle_leaves_the_older_file(
    name, tmp_path, monkeypatch):
  WRITERS[name](tmp_path / 'out')
  older = (tmp_path / 'out').read_bytes()

  def stop(number):
    raise KeyboardInterrupt
  monkeypatch.setattr(os, 'fsync', stop)
  with pytest.raises(KeyboardInterrupt):
    WRITERS[name](tmp_path / 'out')
  assert os.listdir(tmp_path) == ['out']
  assert (tmp_path / 'out').read_bytes() == older


def test_what_was_published_is_replaced_until_somebody_edits_it(tmp_path):
  path = tmp_path / 'page.html'
  for text in ('first', 'second', 'second'):
    _published(path, text)
    assert path.read_text() == text
  path.write_text('edited')
  with pytest.raises(FileExistsError, match='nobody changed'):
    _published(path, 'third')
  assert path.read_text() == 'edited'


@pytest.mark.parametrize('text', ['{', '[]', '{"kind": "y"}', '{"kind": 3}'])
def test_json_of_another_kind_is_nobodys_permission(text, tmp_path):
  (tmp_path / 'page.json').write_text(text)
  with pytest.raises(FileExistsError, match=r'page\.json'):
    _published(tmp_path / 'page.html')


def test_a_kill_between_two_files_is_no_edit(tmp_path, monkeypatch):
  path = tmp_path / 'page.html'
  _published(path, 'first')
  replace = os.replace

  def stop(old, new):
    if pathlib.Path(new) == path:
      raise KeyboardInterrupt
    replace(old, new)
  with monkeypatch.context() as patch:
    patch.setattr(os, 'replace', stop)
    with pytest.raises(KeyboardInterrupt):
      _published(path, 'second')
  assert path.read_text() == 'first'
  _published(path, 'third')
  assert path.read_text() == 'third'


def test_what_an_earlier_version_published_is_ours(tmp_path):
  (tmp_path / 'page.json').write_text('{"kind": "x", "schema": 1}')
  (tmp_path / 'page.html').write_text('older')
  _published(tmp_path / 'page.html', 'new')
  assert (tmp_path / 'page.html').read_text() == 'new'


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path):
  code = """if True:
      import os, pathlib, sys
      from dlfd_jax.utils import writes
      path = pathlib.Path(sys.argv[1])
      os.fsync = lambda number: os.kill(os.getpid(), 9)
      with writes.temporary_folder(path.parent) as folder:
        (folder / 'x').touch()
        writes.write_text(path, 'x')"""
  ran = subprocess.run([sys.executable, '-c', code, tmp_path / 'out'],
                       check=False)
  assert ran.returncode == -9
  left = os.listdir(tmp_path)
  assert len(left) == 2 and all(map(writes.is_temporary, left))
  writes.write_text(tmp_path / 'out', 'x')
  assert os.listdir(tmp_path) == ['out']


def test_what_a_living_process_writes_stays(tmp_path):
  with writes.temporary_folder(tmp_path) as folder:
    (tmp_path / 'file').write_text('x')
    held = tmp_path / f'.dlfd_jax-{"a" * 16}.tmp'
    with open(held, 'wb') as file:
      fcntl.flock(file, fcntl.LOCK_EX)
      writes.write_text(tmp_path / 'out', 'x')
      assert held.is_file() and folder.is_dir()
  writes.write_text(tmp_path / 'out', 'x')
  assert sorted(os.listdir(tmp_path)) == ['file', 'out']


def test_saved_models_and_loops_keep_the_umask(tmp_path):
  model = models.ModelConfig(outputs=2, width=2, stem='small')
  before = os.umask(0o077)
  try:
    checkpoint.save_model(
        tmp_path / 'model', tiny.variables(), model,
        tasks.Task(tasks.MULTICLASS, ('a', 'b')), (4, 4))
    loop = checkpoint.LoopCheckpoints(tmp_path / 'loop')
    loop.save(1, tiny.variables(), {})
    loop.close()
  finally:
    os.umask(before)
  open_to_others = [p for place in ('model', 'loop')
                    for p in (tmp_path / place).rglob('*')
                    if p.stat().st_mode & 0o077]
  assert open_to_others == []
