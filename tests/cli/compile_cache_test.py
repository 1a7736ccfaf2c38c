"""Compiled programs are kept for the next run, unless the user says else."""

import jax
import pytest

from dlfd_jax.cli import compile_cache, train

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
  folder = compile_cache.enable()
  assert folder and folder.parent == tmp_path / 'dlfd_jax' and folder.is_dir()
  assert jax.config.values['jax_compilation_cache_dir'] == str(folder)
  assert compile_cache.enable() is None  # it is set


def test_without_a_setting_it_is_below_home(unset, tmp_path, monkeypatch):
  monkeypatch.delenv('XDG_CACHE_HOME', raising=False)
  monkeypatch.setenv('HOME', str(tmp_path))
  folder = compile_cache.enable()
  assert folder and folder.parent == tmp_path / '.cache' / 'dlfd_jax'


@pytest.mark.parametrize('said, kept', [(None, 0.0), ('3', 1.0)])
def test_small_programs_are_kept_unless_jax_is_told_else(
    unset, tmp_path, monkeypatch, said, kept):
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
  jax.config.update(LEAST, 1.0)
  monkeypatch.delenv(LEAST.upper())
  if said:
    monkeypatch.setenv(LEAST.upper(), said)  # jax has read it, if it was there
  compile_cache.enable()
  assert jax.config.values[LEAST] == kept


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
