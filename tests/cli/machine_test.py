"""Freed memory stays with the process; compiled programs stay on the disk."""

import os
import platform
import subprocess
import sys
import zlib

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

from dlfd_jax.cli import evaluate, exit_codes, machine, train, unlearn
from dlfd_jax.utils import memo, spent
from tests.cli import runs_of

_FAULTS = """
import resource, runpy, sys
import numpy as np
machine = runpy.run_path(sys.argv[2])  # without all of jax
kept = sys.argv[1] == 'keep' and machine['keep_memory']()
def step():
  np.ones(64 << 17)  # 64 MiB
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(4):
  step()
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def _faults(how):
  kept, faults = subprocess.run(
      [sys.executable, '-c', _FAULTS, how, machine.__file__],
      capture_output=True, text=True, check=True,
      env={'NUMPY_MADVISE_HUGEPAGE': '0'}).stdout.split()
  assert kept == str(how == 'keep')
  return int(faults)


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='no glibc here')
def test_a_steps_pages_are_there_for_the_next():
  assert _faults('keep') < _faults('leave') / 20


def test_elsewhere_nothing_is_done(monkeypatch):
  monkeypatch.setattr(platform, 'libc_ver', lambda: ('', ''))
  assert not machine.keep_memory()


LEAST = 'jax_persistent_cache_min_compile_time_secs'


@pytest.fixture
def unset():
  """Jax as a user starts it, and as it was again afterwards."""
  before = {name: jax.config.values[name] for name in (
      'jax_compilation_cache_dir', 'jax_enable_compilation_cache', LEAST)}
  jax.config.update('jax_compilation_cache_dir', None)
  jax.config.update('jax_enable_compilation_cache', True)
  yield
  for name, value in before.items():
    jax.config.update(name, value)
  compilation_cache.reset_cache()


def kept():
  with machine.keep_programs() as folder:
    return folder


def test_the_users_cache_folder_is_used(unset, tmp_path, monkeypatch):
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
  folder = kept()
  assert folder and folder.parent == tmp_path / 'dlfd_jax' and folder.is_dir()
  assert not folder.stat().st_mode & 0o077
  assert jax.config.values['jax_compilation_cache_dir'] == str(folder)
  assert kept() is None  # it is set


def test_without_a_setting_it_is_below_home(unset, tmp_path, monkeypatch):
  monkeypatch.delenv('XDG_CACHE_HOME', raising=False)
  monkeypatch.setenv('HOME', str(tmp_path))
  folder = kept()
  assert folder and folder.parent == tmp_path / '.cache' / 'dlfd_jax'


@pytest.mark.parametrize('said, least', [(None, 0.0), ('3', 1.0)])
def test_small_programs_are_kept_unless_jax_is_told_else(
    unset, tmp_path, monkeypatch, said, least):
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
  jax.config.update(LEAST, 1.0)
  monkeypatch.delenv(LEAST.upper())
  if said:
    monkeypatch.setenv(LEAST.upper(), said)  # jax has read it, if it was there
  kept()
  assert jax.config.values[LEAST] == least


def test_jaxs_own_settings_come_first(unset, tmp_path, monkeypatch):
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
  jax.config.update('jax_enable_compilation_cache', False)
  assert kept() is None
  jax.config.update('jax_enable_compilation_cache', True)
  jax.config.update('jax_compilation_cache_dir', 'elsewhere')
  assert kept() is None
  assert jax.config.values['jax_compilation_cache_dir'] == 'elsewhere'
  assert not list(tmp_path.iterdir())


def test_every_command_keeps_them(unset, tmp_path, monkeypatch, capsys):
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
  assert train.main([f'--data={tmp_path / "absent.npz"}', '--labels=age',
                     f'--workdir={tmp_path / "run"}']) == 2
  assert 'absent.npz' in capsys.readouterr().err
  folder = jax.config.values['jax_compilation_cache_dir']
  assert folder and folder.startswith(str(tmp_path / 'cache' / 'dlfd_jax'))


@pytest.mark.parametrize('spoil, said', [
    (lambda path: path.write_text(''), 'File exists'),
    (lambda path: (path.mkdir(), path.chmod(0o777)), 'others can write to it'),
    (lambda path: (path.mkdir(), os.chown(path, 12345, -1)), "another user's"),
    (lambda path: path.symlink_to('nowhere'), 'File exists'),
])
def test_a_folder_that_cannot_be_used_is_one_line(
    spoil, said, unset, tmp_path, monkeypatch, capsys):
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
  try:
    spoil(tmp_path / 'dlfd_jax')
  except PermissionError:
    pytest.skip('only root can give a folder away')
  assert kept() is None
  assert jax.config.values['jax_compilation_cache_dir'] is None
  line, = capsys.readouterr().err.splitlines()
  assert line.startswith('note: ') and said in line


@pytest.mark.parametrize('home', ['', 'here', '.'])
def test_a_relative_cache_home_does_not_count(
    home, unset, tmp_path, monkeypatch):
  monkeypatch.setenv('HOME', str(tmp_path))
  monkeypatch.setenv('XDG_CACHE_HOME', home)
  assert kept().parent == tmp_path / '.cache' / 'dlfd_jax'


@pytest.mark.parametrize('spoil', [
    lambda path: path.write_bytes(b''),
    lambda path: path.write_bytes(path.read_bytes()[:100]),
    lambda path: path.write_bytes(zlib.compress(b'no program')),
    lambda path: (path.unlink(), path.mkdir())])
def test_programs_that_cannot_be_read_are_removed(
    spoil, unset, tmp_path, monkeypatch, capsys):
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
  monkeypatch.delenv(LEAST.upper())

  def entries():
    compilation_cache.reset_cache()
    jax.clear_caches()
    jax.jit(lambda x: 3 * x + 1)(jax.numpy.ones(3)).block_until_ready()
    return list(tmp_path.rglob('*-cache'))

  with machine.keep_programs() as folder:
    made = entries()
  assert made and not capsys.readouterr().err
  for path in made:
    spoil(path)
  jax.config.update('jax_compilation_cache_dir', None)
  with machine.keep_programs():
    entries()
  line, = capsys.readouterr().err.splitlines()
  assert f'{folder} could not be read, and the folder was emptied' in line
  assert not list(tmp_path.rglob('*-cache'))


@pytest.mark.slow
def test_a_second_run_of_any_command_compiles_nothing(
    unset, tmp_path, monkeypatch):
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
  monkeypatch.delenv(LEAST.upper(), raising=False)
  data = runs_of.write_data(tmp_path)

  def compiled(command, *words):
    """Programs compiled and read in what a new process would do."""
    jax.config.update('jax_compilation_cache_dir', None)
    compilation_cache.reset_cache()
    jax.clear_caches()
    memo.clear()
    with spent.account(0.):
      assert command.main(list(words)) in exit_codes.DONE
      return [spent.so_far()[name] for name in ('compiled', 'from_cache')]

  for name in ('first', 'second'):
    place = tmp_path / name
    found = {
        'train': compiled(
            train, *runs_of.data_flags(data), *runs_of.NETWORK,
            *runs_of.RECIPE, '--on=all', f'--workdir={place / "original"}'),
        'unlearn': compiled(
            unlearn, f'--original={place / "original"}', '--forget_people=3',
            '--method=dlfd', '--epochs=1', '--batch_size=16',
            '--learning_rate=.01', f'--workdir={place / "unlearned"}'),
        'evaluate': compiled(
            evaluate, f'--original={place / "original"}',
            f'--unlearned={place / "unlearned"}', '--bootstrap=20',
            f'--workdir={place / "evaluation"}')}
    assert all(sum(counts) for counts in found.values())
  assert {name: counts[0] for name, counts in found.items()} == dict.fromkeys(
      found, 0)
