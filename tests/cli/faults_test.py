"""Disks, memory and other processes fail: one sentence, and nothing is lost."""

import errno
import gc
import os
import pathlib
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest

from dlfd_jax import checkpoint, parallel
from dlfd_jax.cli import command, train, unlearn
from dlfd_jax.utils import runs
from tests.cli import runs_of


def _failing(error, **more):
  def define(values):
    for name in more.get('flags', ()):
      command.flags.DEFINE_integer(name, 1, 'x', flag_values=values)

  def execute(values, line):
    raise error

  return command.Command('failing', 'Fails.', define, execute)


def _sentence(capsys):
  err = capsys.readouterr().err.strip()
  assert err.startswith('error: ') and len(err.splitlines()) == 1, err
  return err


@pytest.mark.parametrize('number', [errno.ENOSPC, errno.EROFS, errno.EDQUOT])
def test_a_disk_that_takes_nothing_is_one_sentence(number, capsys):
  error = OSError(number, os.strerror(number), 'runs/model')
  assert _failing(error).main([]) == 2
  said = _sentence(capsys)
  assert 'Expected to write to runs/model' in said
  assert os.strerror(number) in said and 'saved before is whole' in said


def test_another_failure_of_the_system_is_not_hidden():
  with pytest.raises(OSError, match='input/output'):
    _failing(OSError(errno.EIO, 'input/output')).main([])


def test_a_full_device_names_what_to_lower(capsys):
  error = jax.errors.JaxRuntimeError(
      'RESOURCE_EXHAUSTED: Out of memory while trying to allocate 9 bytes.')
  assert _failing(error, flags=['batch_size', 'width']).main([]) == 2
  assert 'lower one of --batch_size, --width,' in _sentence(capsys)
  assert _failing(error).main([]) == 2  # nothing can be lowered
  assert _sentence(capsys).endswith('use a device with more memory.')
  with pytest.raises(jax.errors.JaxRuntimeError):
    _failing(jax.errors.JaxRuntimeError('INTERNAL: a bug')).main([])


def _flags(faces, workdir):
  return [*runs_of.data_flags(faces), *runs_of.NETWORK, *runs_of.RECIPE,
          '--on=all', f'--workdir={workdir}']


def test_a_folder_is_one_processs_at_a_time(tmp_path, capsys):
  code = ('import sys; from dlfd_jax.utils import runs; '
          'folder = runs.RunFolder(sys.argv[1], {"a": 1}); '
          'folder.lock(); print("in"); '
          'sys.stdout.flush(); sys.stdin.read()')
  with subprocess.Popen(
      [sys.executable, '-c', code, str(tmp_path / 'run')], text=True,
      stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
    assert other.stdout.readline() == 'in\n'
    folder = runs.RunFolder(tmp_path / 'run', {'a': 1})
    with pytest.raises(ValueError, match='for one process, but another one'):
      folder.lock()
    other.kill()  # leaves no lock behind
  folder.lock()
  runs.RunFolder(tmp_path / 'run', {'a': 1}).lock()  # again, by the same one


def _root_ignores_modes():
  return os.geteuid() == 0


@pytest.mark.skipif(_root_ignores_modes(), reason='root may write anywhere')
def test_a_read_only_folder_is_one_sentence(faces, tmp_path, capsys):
  (tmp_path / 'closed').mkdir(mode=0o500)
  assert train.main(_flags(faces, tmp_path / 'closed' / 'run')) == 2
  assert 'Permission denied' in _sentence(capsys)


def test_a_read_only_disk_is_one_sentence(faces, small_disk, capsys):
  subprocess.run(['mount', '-o', 'remount,ro', str(small_disk)], check=True)
  assert train.main(_flags(faces, small_disk / 'run')) == 2
  assert 'Read-only file system' in _sentence(capsys)


def test_vanished_data_are_one_sentence(faces, original, tmp_path, capsys):
  copy = tmp_path / 'original'
  shutil.copytree(original, copy)
  config = runs.read_json(copy / runs.CONFIG)
  config['data']['source'] = str(tmp_path / 'gone.npz')
  runs.write_json(copy / runs.CONFIG, config)
  assert unlearn.main([f'--original={copy}', '--forget_people=2',
                       f'--workdir={tmp_path / "out"}']) == 2
  assert 'gone.npz' in _sentence(capsys)
  assert not (tmp_path / 'out').exists()


def _largest(folder):
  return max((p for p in pathlib.Path(folder).rglob('*') if p.is_file()),
             key=lambda p: p.stat().st_size)


@pytest.mark.parametrize('damage', ['truncated', 'altered', 'other arrays'])
def test_a_damaged_model_is_refused(damage, original, tmp_path, capsys):
  copy = tmp_path / 'original'
  shutil.copytree(original, copy)
  model = copy / runs.CHECKPOINTS / 'model'
  if damage == 'other arrays':
    card = runs.read_json(model / 'model.json')
    runs.write_json(model / 'model.json', {**card, 'sha256': '0' * 64})
  else:
    file = _largest(model / 'variables')
    data = bytearray(file.read_bytes())
    half = len(data) // 2
    file.write_bytes(data[:half] if damage == 'truncated' else bytes(
        [*data[:half], *(byte ^ 255 for byte in data[half:half + 64]),
         *data[half + 64:]]))
  assert unlearn.main([f'--original={copy}', '--forget_people=2',
                       f'--workdir={tmp_path / "out"}']) == 2
  assert 'was altered or is not whole' in _sentence(capsys)
  assert not (tmp_path / 'out').exists()


@pytest.fixture
def small_disk(tmp_path):
  """A folder on a disk of 300 kB."""
  folder = tmp_path / 'small'
  folder.mkdir()
  done = subprocess.run(
      ['mount', '-t', 'tmpfs', '-o', 'size=300k', 'tmpfs', str(folder)],
      check=False, capture_output=True)
  if done.returncode:
    pytest.skip(f'mounting is refused here: {done.stderr.decode().strip()}')
  yield folder
  subprocess.run(['umount', '-l', str(folder)], check=True)


# Writes that failed late report to an event loop that orbax has closed.
@pytest.mark.filterwarnings('ignore::pytest.PytestUnraisableExceptionWarning')
@pytest.mark.slow
def test_a_full_disk_is_one_sentence_and_the_last_state_loads(
    faces, original, small_disk, capsys):
  workdir = small_disk / 'run'
  (small_disk / 'filler').write_bytes(b'x' * 230_000)
  flags = [f'--original={original}', '--forget_people=2', '--epochs=1',
           '--batch_size=16', '--method=finetune', f'--workdir={workdir}']
  assert unlearn.main(flags) == 2
  assert 'No space left on device' in _sentence(capsys)
  assert (workdir / runs.METRICS).exists()
  assert not (workdir / runs.RESULT).exists()
  gc.collect()  # now, not during another test
  (small_disk / 'filler').unlink()
  subprocess.run(['mount', '-o', 'remount,size=20m', str(small_disk)],
                 check=True)
  assert unlearn.main(flags) == 0
  capsys.readouterr()
  before = checkpoint.load_model(original).variables
  after = checkpoint.load_model(workdir).variables
  assert any(not np.array_equal(a, b) for a, b in zip(
      jax.tree.leaves(before), jax.tree.leaves(after), strict=True))


@pytest.mark.slow
def test_a_device_that_fills_up_half_way_loses_nothing(
    original, tmp_path, monkeypatch, capsys):
  workdir = tmp_path / 'run'
  flags = [f'--original={original}', '--forget_people=2', '--epochs=2',
           '--batch_size=16', '--method=finetune', '--trial=false',
           '--checkpoint_seconds=0',
           f'--workdir={workdir}']
  compile_ = parallel.Devices.compile

  def compile_small(devices, step):
    run = compile_(devices, step)
    calls = iter(range(99))

    def call(*arguments):
      if next(calls) == 7:
        raise jax.errors.JaxRuntimeError(
            'RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.')
      return run(*arguments)

    return call

  with monkeypatch.context() as full:
    full.setattr(parallel.Devices, 'compile', compile_small)
    assert unlearn.main(flags) == 2
  assert 'lower one of --batch_size, --device_bytes' in _sentence(capsys)
  assert not (workdir / runs.RESULT).exists()
  saved = max(int(p.name) for p in (
      workdir / runs.CHECKPOINTS / 'loop').iterdir() if p.name.isdigit())
  assert unlearn.main(flags) == 0  # with a smaller load beside it
  result = runs.read_json(workdir / runs.RESULT)
  assert 0 < saved < result['steps']
  steps = [event['step'] for event in runs.read_events(workdir / runs.METRICS)
           if event['event'] == 'check']
  assert steps == sorted(set(steps)) and steps[-1] == result['steps']
