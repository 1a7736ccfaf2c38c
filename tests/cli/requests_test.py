"""Every kind of request, from its flag to splits.npz; requests add up."""

import numpy as np
import pytest

from dlfd_jax.cli import check, exit_codes, train, unlearn
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
  assert code in exit_codes.DONE
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
