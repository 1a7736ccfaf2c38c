"""Every kind of request, from its flag to splits.npz; requests add up."""

import json

import numpy as np
import pytest

from dlfd_jax.cli import audit, check, evaluate, references, train, unlearn
from dlfd_jax.data import requests
from dlfd_jax.utils import runs
from tests.cli import runs_of

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures('shared_compilations')]
BRIEF = ['--method=finetune', '--epochs=1', '--batch_size=16']


@pytest.fixture(scope='module')
def families(tmp_path_factory, shared_compilations):
  """An original of data with families of two people."""
  folder = tmp_path_factory.mktemp('families')
  path = runs_of.write_data(folder)
  arrays = dict(np.load(path))
  np.savez(path, **arrays, family=arrays['identity'] // 2)
  assert train.main([
      *runs_of.data_flags(path), *runs_of.NETWORK, *runs_of.RECIPE, '--on=all',
      f'--workdir={folder / "original"}']) == 0
  return folder / 'original'


def _train_people(original):
  return sorted({int(name.split('_')[-1]) // runs_of.EACH if '_' in name
                 else int(name) // runs_of.EACH
                 for name in np.load(original / runs.SPLITS)['train'].tolist()})


def _unlearn(folder, original, *flags):
  code = unlearn.main([f'--original={original}', *BRIEF, *flags,
                       f'--workdir={folder}'])
  assert code == 0
  with np.load(folder / runs.SPLITS, allow_pickle=False) as file:
    return {name: file[name] for name in file.files}


@pytest.mark.parametrize('kind', requests.KINDS)
def test_every_kind_writes_the_same_file(tmp_path, families, kind):
  stored = np.load(families / runs.SPLITS)
  some = stored['train'][:6].tolist()
  person = _train_people(families)[0]
  lines = {'identities': person, 'families': person // 2,
           'sample_ids': '\n'.join(some)}
  if kind in lines:
    (tmp_path / 'list.txt').write_text(f'{lines[kind]}\n')
  value = {'classes': 'shade 1', 'subclasses': f'family:{person // 2}',
           'people': 2, 'fraction': 0.2, 'images': 7, 'image_fraction': .1}.get(
               kind, tmp_path / 'list.txt')
  found = _unlearn(tmp_path / 'run', families, f'--forget_{kind}={value}')
  assert {'retain', 'forget', 'val', 'test', 'by_person'} <= set(found)
  assert sorted([*found['retain'], *found['forget']]) == sorted(stored['train'])
  if kind == 'sample_ids':
    assert sorted(found['forget']) == sorted(some)
  if kind == 'people':
    assert len(found['forget']) == 2 * runs_of.EACH
  if kind == 'images':
    assert len(found['forget']) == 7
  assert ('classes' in found) == (kind in ('classes', 'subclasses'))


def test_requests_add_up_and_are_named(tmp_path, original, capsys):
  first = _unlearn(tmp_path / 'first', original, '--forget_people=2')
  later = _unlearn(tmp_path / 'second', tmp_path / 'first', '--forget_people=2')
  assert not set(first['forget']) & set(later['retain'])
  assert sorted(later['earlier']) == sorted(first['forget'])
  capsys.readouterr()
  assert check.main([
      f'--original={tmp_path / "second"}', '--forget_people=1', '--repeats=0',
      f'--workdir={tmp_path / "check"}']) == 0
  assert '16 images' in capsys.readouterr().out


@pytest.fixture(scope='module')
def grains(tmp_path_factory, shared_compilations):
  """An original of three coarse classes, of two fine ones each."""
  folder = tmp_path_factory.mktemp('grains')
  rng = np.random.default_rng(0)
  fine = np.tile(np.arange(6), 40).astype(np.int32)
  images = rng.integers(0, 60, (240, runs_of.SIZE, runs_of.SIZE, 3)) + (
      30 * fine[:, None, None, None])
  path = folder / 'grains.npz'
  np.savez(path, images=images.astype(np.uint8), coarse=fine // 2, fine=fine,
           identity=np.repeat(np.arange(80), 3).astype(np.int32))
  assert train.main([
      '--preset=demo', f'--data={path}', '--labels=coarse',
      f'--image_size={runs_of.SIZE}', *runs_of.NETWORK, '--epochs=6',
      '--batch_size=16', '--on=all', f'--workdir={folder / "original"}']) == 0
  return folder / 'original'


_FIGURES = ['--devices=1', '--bootstrap=20', '--relearn_steps=2',
            '--relearn_seeds=1', '--recovery_steps=0']


@pytest.mark.parametrize('flag, whole, share', [
    ('--forget_classes=coarse 1', 'coarse 1', 1 / 3),
    ('--forget_subclasses=fine:3', 'fine:3', 1 / 6),
    ('--forget_images=20', None, None)])
def test_classes_and_images_go_through_every_command(
    tmp_path, grains, capsys, flag, whole, share):
  request = [f'--original={grains}', flag]
  assert check.main([*request, '--repeats=0',
                     f'--workdir={tmp_path / "check"}']) == 0
  said = capsys.readouterr().out
  assert (f'Forgotten whole: {whole}.' in said) == bool(whole)
  assert ('persons: the request is not by person' in said)
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
  assert references.main([
      f'--original={grains}', f'--unlearned={tmp_path / "unlearned"}', '--n=2',
      '--repeats=0', f'--workdir={tmp_path / "references"}']) == 0
  models = ['--tier=1', f'--references={tmp_path / "references"}', *_FIGURES]
  assert evaluate.main([
      f'--original={grains}', f'--unlearned={tmp_path / "unlearned"}', *models,
      f'--workdir={tmp_path / "evaluation"}']) == 0
  capsys.readouterr()
  assert audit.main([
      *request, f'--model={grains}', *_FIGURES,
      f'--workdir={tmp_path / "audit"}']) == 0
  results = [json.loads((tmp_path / name / runs.RESULT).read_text())
             for name in ('evaluation', 'audit')]
  for result in results:
    found = {one['metric']: one for one in result['metrics']}
    assert ('accuracy_test_forgotten' in found) == bool(whole)
    assert found['mia_auc']['unlearned']['value'] is not None
    if whole:
      name = 'accuracy_test_forgotten'
      assert abs(found[name]['n_units'] - share * found[
          'accuracy_test']['n_units'] / (1 - share)) < 8
  found = {one['metric']: one for one in results[0]['metrics']}
  if whole == 'coarse 1':
    assert found['accuracy_test_forgotten']['retrained']['value'] == 0
    assert found['accuracy_test']['retrained']['value'] > .8
  assert results[0]['verdicts']['utility']['verdict'] != 'distinguishable'
