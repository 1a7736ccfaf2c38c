"""Runs in folders of odd names: trained, resumed, read and evaluated."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import tempfile

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from dlfd_jax import checkpoint, models, presets, training
from dlfd_jax.cli import weights
from dlfd_jax.data import splits as splits_lib
from dlfd_jax.pipeline import train
from dlfd_jax.utils import files, runs
from tests import grids, tiny

QUICK = ['lr=0.1,bins=[1,2]']
NAMES = [
    'a\\b', '[', ']', '[a', 'a]', '[a-z]', '[!a]', 'a?b', '*', 'a*b', '**',
    '\\', '\\\\server', 'C:\\runs', ' ', ' a', 'a ', 'a  b', '"', "'", '`',
    'a"b\'c', '%', '%20', 'a%2Fb', '%s', '-', '-rf', '--workdir=x', '~',
    '~root', '$HOME',
    '${HOME}', '{0}', '{a}', '(a)', 'a&b', 'a|b', 'a;b', '<a>', '#a', '!a',
    '@a', '^', 'a:b', 'file:', 'gs:', 's3:', 'a=b', 'a,b', '.hidden', '...',
    'a.orbax-checkpoint-tmp', '12', 'loop', 'é', 'e\u0301', '日本語', '😀', 'İ',
    '\u202e', '\u00a0', '\t', 'a\nb', '\x01', 'x' * 200, '[' * 200, 'é' * 127]


def _tree(value):
  return {'w': np.full(3, value, np.float32), 'key': jax.random.key(7)}


@pytest.mark.parametrize('name', [
    *QUICK, *grids.some(NAMES, 16)])
def test_checkpoints_come_back_from_a_folder_of_any_name(name, tmp_path):
  folder = tmp_path / name
  config = models.ModelConfig(outputs=3, width=2, stem='small')
  variables = models.init(models.build(config), jax.random.key(0), (8, 8))
  for replace in (False, True):
    checkpoint.save_model(folder / 'model', variables, config, tiny.task(),
                          (8, 8), replace=replace)
  assert tiny.same(checkpoint.load_model(folder / 'model').variables, variables)
  for first in (1, 3):  # resumed
    with contextlib.closing(checkpoint.LoopCheckpoints(folder)) as saver:
      assert saver.latest() == (None if first == 1 else 2)
      for step in (first, first + 1):
        saver.save(step, _tree(step), {'at': step})
  with contextlib.closing(checkpoint.LoopCheckpoints(folder)) as saver:
    assert saver.latest() == 4 and saver.meta(3) == {'at': 3}
    assert (saver.restore(4, _tree(0))['w'] == 4).all()
  with ocp.StandardCheckpointer() as theirs:
    theirs.save(tmp_path / 'plain', {'params': {'w': np.ones(3, np.float32)}})
  (tmp_path / 'plain').rename(folder / 'theirs')
  found, _ = checkpoint.load_variables(
      folder / 'theirs', {'params': {'w': np.zeros(3, np.float32)}})
  assert (found['params']['w'] == 1).all()
  # all files are in the folder: none went elsewhere under a mangled name
  assert [p.name for p in tmp_path.iterdir()] == [name]


def test_where_folders_have_no_numbers_a_link_leads_to_them(
    tmp_path, monkeypatch):
  monkeypatch.setattr(checkpoint, '_OPEN_FOLDERS', pathlib.Path('/no/where'))
  monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path))
  test_checkpoints_come_back_from_a_folder_of_any_name('[a', tmp_path)


_KILLED = """
import os, signal, sys
import numpy as np
from dlfd_jax import checkpoint
saver = checkpoint.LoopCheckpoints(sys.argv[1])
for step in (1, 2):
  saver.save(step, {'w': np.full(3, step, np.float32)}, {})
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_leaves_no_temporary_folder(tmp_path):
  folder, temporary = tmp_path / 'lr=0.1,[1]', tmp_path / 'tmp'
  temporary.mkdir()
  ended = subprocess.run(
      [sys.executable, '-c', _KILLED, str(folder)], check=False, env={
          **os.environ, 'TMPDIR': str(temporary), 'JAX_PLATFORMS': 'cpu'})
  assert ended.returncode == -signal.SIGKILL
  assert not list(temporary.iterdir())
  with contextlib.closing(checkpoint.LoopCheckpoints(folder)) as saver:
    assert saver.latest() == 2


@pytest.mark.long
def test_a_run_stops_goes_on_and_is_exported_in_such_a_folder(
    tmp_path, capsys):
  """By the folder's name as it stands on the command line."""
  folder = tmp_path / '-lr=0.1,bins=[1,2] "é"%s\\'
  dataset = tiny.dataset()
  splits = splits_lib.draw_partition(dataset, seed=0)
  config = training.TrainConfig(epochs=2, batch_size=8)
  network = presets.Network(width=2, stem='small')

  def stop(event):
    if event['event'] == 'check':
      raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    train.train(dataset, splits, config, network, workdir=folder,
                hooks=[stop], checkpoint_seconds=0)
  run = train.train(dataset, splits, config, network, workdir=folder)
  assert train.train(
      dataset, splits, config, network, workdir=folder).record == run.record
  assert weights.EXPORT.main([
      f'--model={folder}', f'--weights={folder}/w.safetensors']) == 0
  capsys.readouterr()


def test_commas_in_the_names_of_retrained_runs_are_understood(tmp_path):
  names = ['lr=0.1,bins=[1,2]', 'a', 'b,c', 'gone']
  folders = [str(tmp_path / name) for name in names]
  for folder in folders[:-1]:
    (tmp_path / folder).mkdir()
  assert files.joined(','.join(folders).split(',')) == folders


def test_a_name_that_cannot_be_printed_is_refused(tmp_path):
  with pytest.raises(ValueError, match='whose name is UTF-8'):
    runs.RunFolder(tmp_path / '\udcff', {})
  assert not list(tmp_path.iterdir())


def test_a_checkpoint_that_cannot_be_read_again_leaves_the_one_before(
    tmp_path, monkeypatch):
  with contextlib.closing(checkpoint.LoopCheckpoints(tmp_path)) as saver:
    for step in (1, 2):
      saver.save(step, _tree(step), {'at': step})
    with monkeypatch.context() as broken:
      broken.setattr(saver, 'restore', lambda *_: 1 / 0)
      with pytest.raises(ValueError, match='the one before it is kept'):
        saver.save(3, _tree(3), {'at': 3})
    assert saver.latest() == 2 and saver.meta(1) == {'at': 1}


def test_a_model_that_cannot_be_read_again_leaves_the_one_before(
    tmp_path, monkeypatch):
  config = models.ModelConfig(outputs=3, width=2, stem='small')
  variables = models.init(models.build(config), jax.random.key(0), (8, 8))
  save = lambda tree: checkpoint.save_model(
      tmp_path, tree, config, tiny.task(), (8, 8), replace=True)
  save(variables)
  with monkeypatch.context() as broken:
    broken.setattr(checkpoint, '_read', lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
      save(jax.tree.map(lambda x: x + 1, variables))
  assert tiny.same(checkpoint.load_model(tmp_path).variables, variables)
