"""Classes, sub-classes and random images, from the flag to the verdicts."""

import json

import numpy as np
import pytest

from dlfd_jax.cli import (
  audit,
  check,
  evaluate,
  exit_codes,
  references,
  train,
  unlearn,
)
from dlfd_jax.utils import runs
from tests.cli import runs_of

pytestmark = pytest.mark.usefixtures('shared_compilations')


def _unlearn(folder, original, flag):
  """What a run stores of its split."""
  assert unlearn.main([
      f'--original={original}', flag, '--method=finetune', '--epochs=1',
      '--batch_size=16', f'--workdir={folder}']) == 0
  with np.load(folder / runs.SPLITS, allow_pickle=False) as file:
    return {name: file[name] for name in file.files}


@pytest.fixture(scope='module')
def grains(tmp_path_factory, shared_compilations):
  """An original of three coarse classes, of two fine ones each."""
  folder = tmp_path_factory.mktemp('grains')
  rng = np.random.default_rng(0)
  fine = np.tile(np.arange(6), 40).astype(np.int32)
  images = rng.integers(0, 30, (240, runs_of.SIZE, runs_of.SIZE, 3)) + (
      40 * fine[:, None, None, None])
  path = folder / 'grains.npz'
  np.savez(path, images=images.astype(np.uint8), coarse=fine // 2, fine=fine,
           identity=np.repeat(np.arange(80), 3).astype(np.int32))
  assert train.main([
      '--preset=demo', f'--data={path}', '--labels=coarse',
      f'--image_size={runs_of.SIZE}', *runs_of.NETWORK, '--epochs=12',
      '--batch_size=16', '--on=all', f'--workdir={folder / "original"}']) == 0
  return folder / 'original'


@pytest.mark.long
@pytest.mark.parametrize('flag, whole', [
    ('--forget_classes=coarse 1', 'coarse 1'), ('--forget_images=20', None),
    ('--forget_subclasses=fine:3', 'fine:3')])
def test_auto_claims_nothing_of_what_is_forgotten_whole(
    tmp_path, grains, capsys, flag, whole):
  folder = tmp_path / 'auto'
  code = unlearn.main([
      f'--original={grains}', flag, '--method=auto', '--budget=5',
      '--candidates=finetune,retrain', f'--workdir={folder}'])
  result = json.loads((folder / runs.RESULT).read_text())
  first, last = result['auto']['candidates']
  assert code in (0, 5) and last['outcome'] == 'taken'
  if whole:
    assert first['outcome'] == 'skipped'
    assert f'{whole} is to be forgotten whole' in first['because'][0]
    assert f'{whole} is to be forgotten whole' in capsys.readouterr().out
  # Of images at random attacks may see that they are remembered.
  seen = any(one['remembers'] for one in result['auto']['original'])
  assert bool(result['auto']['blind']) == (bool(whole) or not seen)


_FIGURES = ['--devices=1', '--bootstrap=20']
_TIER_1 = ['--tier=1', '--relearn_steps=2', '--relearn_seeds=1',
           '--recovery_steps=0']


@pytest.mark.parametrize('flag, whole, tier', [
    pytest.param(*case, marks=getattr(pytest.mark, mark)) for *case, mark in (
        ('--forget_classes=coarse 1', 'coarse 1', 1, 'slow'),
        ('--forget_subclasses=fine:3', 'fine:3', 0, 'long'),
        ('--forget_images=20', None, 0, 'long'),
        ('--forget_subclasses=fine:3', 'fine:3', 1, 'long'),
        ('--forget_images=20', None, 1, 'long'))])
def test_classes_and_images_go_through_every_command(
    tmp_path, grains, capsys, flag, whole, tier):
  request = [f'--original={grains}', flag]
  assert check.main([*request, '--repeats=0',
                     f'--workdir={tmp_path / "check"}']) == 0
  said = capsys.readouterr().out
  assert (f'Forgotten whole: {whole}.' in said) == bool(whole)
  assert 'people: the request is not by person' in said
  stored = _unlearn(tmp_path / 'unlearned', grains, flag)
  before = runs_of.tree(tmp_path / 'unlearned')
  again = _unlearn(tmp_path / 'unlearned', grains, flag)  # finished
  assert runs_of.tree(tmp_path / 'unlearned') == before
  for name, ids in stored.items():
    np.testing.assert_array_equal(ids, again[name])
  unlearned = json.loads((tmp_path / 'unlearned' / runs.RESULT).read_text())
  # No more than was asked for is counted as lost on val.
  assert not any('validation' in one for one in unlearned['do_not_use'])
  assert unlearned['request'].get('classes') == (whole and [whole])
  if tier:
    assert references.main([
        f'--original={grains}', f'--unlearned={tmp_path / "unlearned"}',
        '--n=2', '--repeats=0', f'--workdir={tmp_path / "references"}']) == 0
    models = [*_FIGURES, *_TIER_1,
              f'--references={tmp_path / "references"}']
  assert evaluate.main([
      f'--original={grains}', f'--unlearned={tmp_path / "unlearned"}',
      *(models if tier else _FIGURES), f'--workdir={tmp_path / "evaluation"}',
  ]) in exit_codes.DONE
  capsys.readouterr()
  assert audit.main([
      flag, f'--model={grains}', *_FIGURES,
      f'--workdir={tmp_path / "audit"}']) in exit_codes.DONE
  results = [json.loads((tmp_path / name / runs.RESULT).read_text())
             for name in ('evaluation', 'audit')]
  for result in results:
    found = {one['metric']: one for one in result['metrics']}
    assert ('accuracy_test_forgotten' in found) == bool(whole)
    assert found['mia_auc']['unlearned']['value'] is not None
  if tier:
    assert results[0]['verdicts'].keys() == {'forgetting', 'utility'}
  if tier and whole == 'coarse 1':  # retrained models cannot know it
    found = {one['metric']: one for one in results[0]['metrics']}
    assert found['accuracy_test_forgotten']['retrained']['value'] == 0
    assert found['accuracy_test']['retrained']['value'] > .8
