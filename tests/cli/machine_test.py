"""Freed memory stays with the process; compiled programs stay on the disk."""

import platform
import subprocess
import sys

import jax
import pytest

from dlfd_jax.cli import machine, train

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


def test_the_users_cache_folder_is_used(unset, tmp_path, monkeypatch):
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
  folder = machine.keep_programs()
  assert folder and folder.parent == tmp_path / 'dlfd_jax' and folder.is_dir()
  assert jax.config.values['jax_compilation_cache_dir'] == str(folder)
  assert machine.keep_programs() is None  # it is set


def test_without_a_setting_it_is_below_home(unset, tmp_path, monkeypatch):
  monkeypatch.delenv('XDG_CACHE_HOME', raising=False)
  monkeypatch.setenv('HOME', str(tmp_path))
  folder = machine.keep_programs()
  assert folder and folder.parent == tmp_path / '.cache' / 'dlfd_jax'


@pytest.mark.parametrize('said, kept', [(None, 0.0), ('3', 1.0)])
def test_small_programs_are_kept_unless_jax_is_told_else(
    unset, tmp_path, monkeypatch, said, kept):
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
  jax.config.update(LEAST, 1.0)
  monkeypatch.delenv(LEAST.upper())
  if said:
    monkeypatch.setenv(LEAST.upper(), said)  # jax has read it, if it was there
  machine.keep_programs()
  assert jax.config.values[LEAST] == kept


def test_jaxs_own_settings_come_first(unset, tmp_path, monkeypatch):
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
  jax.config.update('jax_enable_compilation_cache', False)
  assert machine.keep_programs() is None
  jax.config.update('jax_enable_compilation_cache', True)
  jax.config.update('jax_compilation_cache_dir', 'elsewhere')
  assert machine.keep_programs() is None
  assert jax.config.values['jax_compilation_cache_dir'] == 'elsewhere'
  assert not list(tmp_path.iterdir())


def test_every_command_keeps_them(unset, tmp_path, monkeypatch, capsys):
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
  assert train.main([f'--data={tmp_path / "absent.npz"}', '--labels=age',
                     f'--workdir={tmp_path / "run"}']) == 2
  assert 'absent.npz' in capsys.readouterr().err
  kept = jax.config.values['jax_compilation_cache_dir']
  assert kept and kept.startswith(str(tmp_path / 'cache' / 'dlfd_jax'))


def test_a_folder_that_cannot_be_made_is_no_error(unset, tmp_path, monkeypatch):
  (tmp_path / 'file').write_text('')
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'file'))
  assert machine.keep_programs() is None
  assert jax.config.values['jax_compilation_cache_dir'] is None
