"""A PyTorch checkpoint goes in, is unlearned and comes back."""

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from dlfd_jax import models
from dlfd_jax.cli import unlearn, weights
from dlfd_jax.data import sources, split_files, splits
from dlfd_jax.data.loaders import npz
from dlfd_jax.models import weight_files
from dlfd_jax.pipeline import classifier as inference
from tests.cli import runs_of

torch = pytest.importorskip('torch', reason='needs the extra torch')
from tests.models import torch_nets  # noqa: E402

NETWORK = ['--width=4', '--stem=imagenet']


@pytest.fixture
def checkpoint_file(tmp_path):
  net = torch_nets.shake(torch_nets.ResNet18(2, 4))
  torch.save(net.state_dict(), tmp_path / 'model.pth')
  return tmp_path / 'model.pth'


def _data_flags(folder):
  return [flag for flag in runs_of.data_flags(runs_of.write_data(folder))
          if not flag.startswith('--preset')]


def test_the_whole_way_there_and_back(tmp_path, checkpoint_file, capsys):
  data = _data_flags(tmp_path)
  original = tmp_path / 'original'
  assert weights.IMPORT.main([
      f'--weights={checkpoint_file}', *data, *NETWORK, '--allow_unverified',
      f'--workdir={original}']) == 0
  assert 'accuracy on all' in capsys.readouterr().out
  same = tmp_path / 'same.pth'
  assert weights.EXPORT.main(
      [f'--model={original}', f'--weights={same}']) == 0
  first, back = (weight_files.read(p).tensors for p in (checkpoint_file, same))
  assert sorted(first) == sorted(back)
  assert all((first[n] == back[n]).all() for n in first)
  capsys.readouterr()
  # whom the model was trained on is unknown: no attack would mean anything
  assert unlearn.main([
      f'--original={original}', *data, '--forget_people=3',
      f'--workdir={tmp_path / "unlearned"}']) == 2
  assert 'Expected the split of' in capsys.readouterr().err


@pytest.mark.parametrize('flags, sentence', [
    (['--mean=0.5,0.5'], 'Expected --mean to be three numbers'),
    (['--std=a,b,c'], 'Expected --std to be three numbers'),
    (['--width=8'], 'has shape'),
    (['--head=paper'], 'lacks base_model'),
    (['--architecture=vit_s'], "got 'vit_s', which has no twin in torchvision"),
    (['--model=tests.models.own_nets:LogitsAlone'], '`features` are missing'),
    (['--model=tests.models.own_nets:WithoutTrain'], 'to take `train`'),
    (['--weights=none.pth'], 'got no file')])
def test_a_wrong_flag_is_one_sentence_and_writes_nothing(
    tmp_path, checkpoint_file, flags, sentence, capsys):
  folder = tmp_path / 'original'
  assert weights.IMPORT.main([
      f'--weights={checkpoint_file}', *_data_flags(tmp_path), *NETWORK,
      f'--workdir={folder}', *flags]) == 2
  assert sentence in capsys.readouterr().err
  assert not folder.exists()


@pytest.mark.long
def test_a_module_of_ones_own_goes_the_same_way(tmp_path, capsys):
  config = models.ModelConfig(
      architecture='tests.models.own_nets:Own', outputs=2,
      mean=(0.0,) * 3, std=(1.0,) * 3)
  variables = models.init(
      models.build(config), jax.random.key(0), (runs_of.SIZE, runs_of.SIZE))
  with ocp.StandardCheckpointer() as saver:
    saver.save(tmp_path / 'mine', variables)
  data, original = _data_flags(tmp_path), tmp_path / 'original'
  flags = ['--model=tests.models.own_nets:Own', *data, '--allow_unverified',
           f'--workdir={original}']
  assert weights.IMPORT.main([*flags, f'--weights={tmp_path / "no"}']) == 2
  assert 'Expected an orbax checkpoint' in capsys.readouterr().err
  assert weights.IMPORT.main([*flags, f'--weights={tmp_path / "mine"}']) == 0
  # Stopped after its last file, it may be given again; another model may not.
  written = {path: path.stat().st_mtime_ns for path in original.rglob('*')}
  assert weights.IMPORT.main([*flags, f'--weights={tmp_path / "mine"}']) == 0
  assert weights.IMPORT.main([
      *flags, f'--weights={tmp_path / "mine"}', '--std=.5,.5,.5']) == 2
  with ocp.StandardCheckpointer() as saver:
    saver.save(tmp_path / 'other', jax.tree.map(lambda x: x + 1, variables))
  assert weights.IMPORT.main([*flags, f'--weights={tmp_path / "other"}']) == 2
  assert written == {
      path: path.stat().st_mtime_ns for path in original.rglob('*')}
  parts = splits.draw_partition(
      sources.load(sources.DataOptions(
          source=str(tmp_path / 'faces.npz'), labels=('shade',))), seed=0)
  stored = tmp_path / 'splits.npz'
  split_files.save_splits(stored, npz.load_npz(
      tmp_path / 'faces.npz', labels='shade'), parts)
  assert unlearn.main([
      f'--original={original}', *data, f'--splits={stored}',
      '--forget_people=3', '--epochs=1', '--batch_size=16', '--devices=1',
      '--perturb_steps=1', f'--workdir={tmp_path / "unlearned"}']) == 0
  classifier = inference.load_classifier(tmp_path / 'unlearned')
  images = np.zeros((2, runs_of.SIZE, runs_of.SIZE, 3), np.uint8)
  assert classifier.predict(images).shape == (2, 2)
  capsys.readouterr()
