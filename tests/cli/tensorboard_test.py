"""The figures of a run for TensorBoard."""

import sys

import pytest

from dlfd_jax.cli import tensorboard, unlearn


def _flags(original, workdir):
  return [f'--original={original}', '--forget_people=2', '--epochs=1',
          '--batch_size=16', '--method=finetune', '--tensorboard',
          f'--workdir={workdir}']


def test_a_run_writes_its_figures(original, tmp_path, capsys):
  pytest.importorskip('tensorboardX', reason='needs the extra tensorboard')
  assert unlearn.main(_flags(original, tmp_path / 'run')) == 0
  [file] = (tmp_path / 'run' / tensorboard.FOLDER).iterdir()
  data = file.read_bytes()
  for tag in (b'check/val_accuracy', b'check/forget_accuracy', b'steps/loss'):
    assert tag in data, tag
  assert b'tick/' not in data
  capsys.readouterr()


def test_without_the_extra_it_is_one_sentence(
    original, tmp_path, monkeypatch, capsys):
  monkeypatch.setitem(sys.modules, 'tensorboardX', None)
  assert unlearn.main(_flags(original, tmp_path / 'run')) == 2
  assert 'dlfd_jax[tensorboard]' in capsys.readouterr().err
  assert not (tmp_path / 'run').exists()
