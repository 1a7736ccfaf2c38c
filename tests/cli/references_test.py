"""``references``: made once, resumed, evaluated with, not mixed up."""

import json
import shutil

import jax
import numpy as np
import pytest

from dlfd_jax import fit, loop
from dlfd_jax.cli import commands, exit_codes, unlearn
from dlfd_jax.pipeline import (
  classifier,
  job,
  reference_designs as designs,
  reference_models,
)
from dlfd_jax.utils import runs
from tests import mutations
from tests.cli import runs_of

pytestmark = pytest.mark.usefixtures('shared_compilations')


@pytest.fixture(scope='module')
def unlearned(tmp_path_factory, original):
  folder = tmp_path_factory.mktemp('references') / 'unlearned'
  assert unlearn.main([
      f'--original={original}', '--forget_people=4', '--method=finetune',
      '--epochs=1', '--batch_size=16', f'--workdir={folder}']) == 0
  return folder


@pytest.fixture(scope='module')
def two(original, unlearned):
  folder = unlearned.with_name('two')
  assert _references(original, unlearned, folder, '--n=2') == 0
  return folder


def _references(original, unlearned, folder, *flags):
  return commands.main([
      'references', f'--original={original}', f'--unlearned={unlearned}',
      f'--workdir={folder}', *flags])


@pytest.mark.slow
def test_evaluate_takes_them_and_they_may_become_more(
    tmp_path, original, unlearned, two, capsys):
  folder = tmp_path / 'references'
  shutil.copytree(two, folder)
  before = runs_of.tree(folder / '000')
  assert _references(original, unlearned, folder, '--n=3') == 0
  out = capsys.readouterr().out
  assert '3 retrained models, 2 epochs each; 2 finished already.' in out
  assert 'ms each' in out and '3 models in' in out
  assert runs_of.tree(folder / '000') == before
  found = reference_models.load_references(folder)
  assert [one['seed'] for one in found.record['models']] == [1, 2, 3]
  assert len({one['weights'] for one in found.record['models']}) == 3
  before = (folder / runs.RESULT).read_bytes()
  for n in (1, 3):  # they stay three, and nothing is done again
    assert _references(original, unlearned, folder, f'--n={n}') == 0
    assert (folder / runs.RESULT).read_bytes() == before

  line = ['evaluate', f'--original={original}', f'--unlearned={unlearned}',
          '--bootstrap=20', f'--workdir={tmp_path / "evaluation"}']
  capsys.readouterr()
  assert commands.main([*line, f'--retrained={folder}']) == 2
  assert 'name it with --references' in capsys.readouterr().err
  assert commands.main(
      [*line, f'--references={folder}']) in exit_codes.DONE
  result = json.loads((tmp_path / 'evaluation' / runs.RESULT).read_text())
  assert len(result['models']['retrained']) == 3
  assert result['verification']['unverified'] == []


@pytest.mark.slow
def test_a_stopped_command_goes_on_with_the_next_model(
    tmp_path, original, unlearned, two, monkeypatch):
  folder = tmp_path / 'references'
  real, begun = loop.run, []

  def second_is_stopped(plan, *args, **kwargs):
    begun.append(plan)
    found = real(plan, *args, **kwargs)
    return (found if len(begun) == 1 else
            loop.LoopResult(found.variables, [], [], loop.INTERRUPTED, 1,
                            found.clock))

  monkeypatch.setattr(loop, 'run', second_is_stopped)
  assert _references(original, unlearned, folder, '--n=2') == 75
  assert len(reference_models.load_references(folder).folders) == 1
  monkeypatch.setattr(loop, 'run', real)
  assert _references(original, unlearned, folder, '--n=2') == 0
  found, whole = map(reference_models.load_references, (folder, two))
  assert ([one['weights'] for one in found.record['models']]
          == [one['weights'] for one in whole.record['models']])


@pytest.mark.long
def test_everybody_of_the_pool_is_in_half_of_the_shadow_models(
    tmp_path, original, unlearned, capsys, monkeypatch):
  folder, titles, real = tmp_path / 'shadows', [], job.shown
  monkeypatch.setattr(job, 'shown', lambda hooks, title, *more: (
      titles.append(title) or real(hooks, title, *more)))
  flags = ['--design=random', '--n=4', '--repeats=0']
  assert _references(original, unlearned, folder, *flags) == 0
  assert [title for title in titles if title.startswith('train')] == [
      f'train shadow {k} of 4' for k in (1, 2, 3, 4)]
  assert '4 shadow models, 2 epochs each.' in capsys.readouterr().out
  found = reference_models.load_references(folder)
  members = found.membership
  assert members.states.shape == (4, 4) == (len(members.seed),
                                            len(members.person))
  assert (members.states.sum(0) == 2).all()
  request = np.load(unlearned / runs.SPLITS)
  assert set(members.sample_id) == set(request['forget'])
  for k, run in enumerate(found.folders):
    with np.load(f'{run}/{runs.SPLITS}') as parts:
      mine = members.sample_id[members.of_images()[k] == 1]
      if mine.size:
        assert set(parts['forget']) == set(mine)
        assert set(parts['retain']) == set(request['retain'])
      else:
        assert set(parts['train']) == set(request['retain'])
      assert set(parts['test']) == set(request['test'])
    record = runs.read_result(run, 'train')
    assert record['images'] == len(request['retain']) + mine.size
  # They have seen people to be forgotten, and unlearning takes them.
  assert commands.main([
      'evaluate', f'--original={original}', f'--unlearned={unlearned}',
      f'--references={folder}', f'--workdir={tmp_path / "evaluation"}']) == 2
  assert "the design 'random'" in capsys.readouterr().err
  drawn = next(k for k in range(4) if members.states[k].any())
  assert unlearn.main([
      f'--original={found.folders[drawn]}', '--method=finetune', '--epochs=1',
      '--batch_size=16', f'--workdir={tmp_path / "again"}']) == 0
  def read(place):
    loaded = reference_models.load_references(place, allow_unverified=True)
    loaded.membership.of_images()
    return loaded.folders

  tried = mutations.summary(list(mutations.try_all(folder, [
      mutations.Subject(name, name, read) for name in (
          runs.CONFIG, runs.RESULT, designs.MEMBERSHIP)], every=3)))
  assert not tried['faults'] and tried['tried'] > 300
  arrays = members.arrays()
  arrays['states'] = 1 - arrays['states']
  np.savez(folder / designs.MEMBERSHIP, **arrays)
  with pytest.raises(ValueError, match='is altered'):
    reference_models.load_references(folder)


@pytest.mark.parametrize(('flags', 'sentence'), [
    (['--design=random', '--n=3'], 'an even number of models'),
    (['--n=0'], '--n'),
    (['--forget_people=2'], 'no --splits and no --forget_'),
    (['--unlearned=nowhere'], 'nowhere'),
    (['--seed=5', '--n=2'], 'seed was 1, is now 5'),
    (['--design=random', '--n=2'], 'design was'),
])
def test_refusals_leave_the_folder(
    original, unlearned, two, capsys, flags, sentence):
  before = runs_of.tree(two)
  assert _references(original, unlearned, two, *flags) == 2
  error = capsys.readouterr().err
  assert sentence in error and error.count('\n') == 1
  assert runs_of.tree(two) == before


def _swap(folder):
  (folder / '000').rename(folder / 'x')
  (folder / '001').rename(folder / '000')
  (folder / 'x').rename(folder / '001')


def _edit(folder):
  path = folder / runs.RESULT
  path.write_text(path.read_text().replace('"seed": 2', '"seed": 9'))


@pytest.mark.parametrize(('change', 'sentence'), [
    (_swap, 'got another one'),
    (_edit, 'one that was altered'),
    (lambda folder: shutil.rmtree(folder / '001'), 'got no finished run'),
    (lambda folder: (folder / runs.RESULT).unlink(), 'found none'),
    (shutil.rmtree, 'got no file'),
], ids=['exchanged', 'edited', 'model gone', 'index gone', 'all gone'])
def test_altered_references_are_refused(
    tmp_path, original, unlearned, two, capsys, change, sentence):
  folder = tmp_path / 'references'
  shutil.copytree(two, folder)
  change(folder)
  assert commands.main([
      'evaluate', f'--original={original}', f'--unlearned={unlearned}',
      f'--references={folder}', f'--workdir={tmp_path / "evaluation"}']) == 2
  assert sentence in capsys.readouterr().err
  assert not (tmp_path / 'evaluation').exists()


@pytest.mark.long
def test_as_many_are_trained_at_once_as_the_memory_holds(
    tmp_path, original, unlearned, two, monkeypatch):
  tried, real = [], fit.fit_together

  def holds_two(model, dataset, members, *args, **kwargs):
    tried.append(len(members))
    if len(members) > 2:
      raise jax.errors.JaxRuntimeError('RESOURCE_EXHAUSTED: out of memory')
    return real(model, dataset, members, *args, **kwargs)

  monkeypatch.setattr(fit, 'fit_together', holds_two)
  monkeypatch.setattr(reference_models, '_at_once', lambda devices: True)
  folder = tmp_path / 'references'
  flags = ['--n=3', '--devices=1', '--repeats=0']
  assert _references(original, unlearned, folder, *flags) == 0
  assert tried == [3, 2]  # the last one is trained by itself
  found = reference_models.load_references(folder)
  records = [runs.read_result(run, 'train') for run in found.folders]
  assert [r.get('together') for r in records] == [2, 2, None]
  monkeypatch.undo()
  images = np.random.default_rng(0).integers(
      0, 256, (9, runs_of.SIZE, runs_of.SIZE, 3), np.uint8)
  alone = tmp_path / 'alone'
  assert _references(original, unlearned, alone, *flags) == 0
  for run, other in zip(
      found.folders, reference_models.load_references(alone).folders,
      strict=True):
    # Not the weights: Adam makes steps of what the bias before a BatchNorm
    # has for a gradient, which is rounding alone.
    left, right = (classifier.load_classifier(one).predict(images)
                   for one in (run, other))
    np.testing.assert_allclose(left, right, atol=1e-3)
    assert runs.read_config(run, 'train') == runs.read_config(other, 'train')
  before = runs_of.tree(folder / '001')
  assert _references(original, unlearned, folder, *flags) == 0
  assert runs_of.tree(folder / '001') == before
