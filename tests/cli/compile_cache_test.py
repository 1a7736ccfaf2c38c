"""Compiled programs are kept for the next run, unless the user says else."""

import jax
import pytest

from dlfd_jax.cli import compile_cache
from dlfd_jax.cli import train


@pytest.fixture
def unset():
  """Jax as a user starts it, and as it was again afterwards."""
  before = {name: jax.config.values[name] for name in (
      'jax_compilation_cache_dir', 'jax_enable_compilation_cache')}
  jax.config.update('jax_compilation_cache_dir', None)
  jax.config.update('jax_enable_compilation_cache', True)
  yield
  for name, value in before.items():
    jax.config.update(name, value)


def test_the_users_cache_folder_is_used(unset, tmp_path, monkeypatch):
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
  folder = compile_cache.enable()
  assert folder and folder.parent == tmp_path / 'dlfd_jax' and folder.is_dir()
  assert jax.config.values['jax_compilation_cache_dir'] == str(folder)
  assert compile_cache.enable() is None  # it is set


def test_without_a_setting_it_is_below_home(unset, tmp_path, monkeypatch):
  monkeypatch.delenv('XDG_CACHE_HOME', raising=False)
  monkeypatch.setenv('HOME', str(tmp_path))
  folder = compile_cache.enable()
  assert folder and folder.parent == tmp_path / '.cache' / 'dlfd_jax'


def test_jaxs_own_settings_come_first(unset, tmp_path, monkeypatch):
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
  jax.config.update('jax_enable_compilation_cache', False)
  assert compile_cache.enable() is None
  jax.config.update('jax_enable_compilation_cache', True)
  jax.config.update('jax_compilation_cache_dir', 'elsewhere')
  assert compile_cache.enable() is None
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
  assert compile_cache.enable() is None
  assert jax.config.values['jax_compilation_cache_dir'] is None
