"""``audit``: models of every origin, from the command to the report."""

import json

import jax
import numpy as np
import pytest

import dlfd_jax
from dlfd_jax import checkpoint, parallel
from dlfd_jax.cli import (
  audit,
  compare,
  evaluate,
  exit_codes,
  report,
  train,
  unlearn,
  weights,
)
from dlfd_jax.data import split_files, splits as splits_lib
from dlfd_jax.pipeline import job, run_configs
from dlfd_jax.utils import runs
from tests.cli import runs_of

pytestmark = pytest.mark.usefixtures('shared_compilations')

_QUICK = ['--devices=1', '--bootstrap=20']
_METHOD = ['--method=finetune', '--epochs=1', '--batch_size=16', '--devices=1']


@pytest.fixture(scope='module')
def made(tmp_path_factory, original, faces):
  """An unlearned and a retrained run, and the weights of nobody's run."""
  folder = tmp_path_factory.mktemp('audited')
  listed = folder / 'delete.txt'
  people = np.load(faces)['identity']
  with np.load(original / runs.SPLITS) as file:
    rows = [int(name.rpartition('_')[2]) for name in file['train']]
  listed.write_text('\n'.join(map(str, np.unique(people[rows])[:6])))
  assert unlearn.main([
      f'--original={original}', f'--forget_identities={listed}', *_METHOD,
      f'--workdir={folder / "unlearned"}']) == 0
  assert train.main([
      '--on=retain', f'--original={original}', '--devices=1',
      f'--splits={folder / "unlearned" / runs.SPLITS}',
      f'--workdir={folder / "retrained"}']) == 0
  saved = checkpoint.load_model(original)
  checkpoint.save_model(folder / 'foreign', saved.variables, saved.config,
                        saved.task, saved.image_size)
  return folder


def _audit(made, out, *flags, code=0):
  assert audit.main([f'--forget_identities={made / "delete.txt"}', *_QUICK,
                     *flags, f'--workdir={out}']) == code
  return runs.read_json(out / runs.RESULT) if not code else None


def _cell(result, metric, column):
  record = next(r for r in result['metrics'] if r['metric'] == metric)
  return record[column]['value']


@pytest.mark.slow
def test_an_original_alone_that_has_forgotten_nobody(
    made, original, tmp_path, capsys):
  result = _audit(made, tmp_path / 'out', f'--model={original}')
  said = capsys.readouterr().out
  assert 'trained on 24 of the 24 images' in said
  assert 'on the audited model; no other model was given' in said
  assert result['verification'] == {
      'unverified': [], 'allowed': [], 'original': None, 'unchanged': False}
  assert result['audit'] == {'kind': 'train', 'forget_in_training': 24}
  assert result['request']['people'] == 6
  for metric in ('accuracy_forget', 'mia_auc_matched'):
    assert _cell(result, metric, 'unlearned') is not None
    assert _cell(result, metric, 'original') is None
  assert report.main([f'--evaluation={tmp_path / "out"}']) == 0
  page = (tmp_path / 'out' / runs.REPORT).read_text()
  assert 'the audited model' in page and 'not computed' in page
  before = runs_of.tree(tmp_path / 'out')
  _audit(made, tmp_path / 'out', f'--model={original}')  # finished already
  assert runs_of.tree(tmp_path / 'out') == before


@pytest.mark.slow
def test_the_figures_are_those_of_evaluate(made, original, tmp_path):
  assert evaluate.main([
      f'--original={original}', f'--unlearned={made / "unlearned"}', *_QUICK,
      f'--workdir={tmp_path / "evaluation"}']) in exit_codes.DONE
  known = runs.read_json(tmp_path / 'evaluation' / runs.RESULT)
  result = _audit(made, tmp_path / 'out', f'--original={original}',
                  f'--model={made / "unlearned"}')
  assert result['metrics'] == known['metrics']
  assert result['audit']['forget_in_training'] == 0
  assert result['verification']['unverified'] == []


@pytest.mark.long
def test_forget_is_learnt_again_by_the_recipe_of_the_original(
    made, original, tmp_path):
  recipe = runs.read_json(original / runs.CONFIG)['train']
  result = _audit(
      made, tmp_path / 'out', f'--original={original}', '--tier=1',
      f'--model={made / "unlearned"}', f'--retrained={made / "retrained"}',
      '--relearn_steps=1', '--relearn_seeds=1', '--recovery_steps=1')
  relearn = result['config']['relearn']
  assert relearn['optimizer']['learning_rate'] == pytest.approx(
      .1 * recipe['optimizer']['learning_rate'])
  assert relearn['optimizer']['kind'] == recipe['optimizer']['kind']
  assert relearn['batch_size'] == recipe['batch_size']


@pytest.mark.long
def test_audits_of_one_request_are_compared(
    made, original, tmp_path, capsys):
  common = [f'--original={original}', '--tier=1', '--relearn_steps=2',
            '--relearn_seeds=1', '--recovery_steps=1',
            f'--retrained={made / "retrained"}']
  for name in ('unlearned', 'foreign'):
    _audit(made, tmp_path / name, *common, f'--model={made / name}',
           code=4 if name == 'foreign' else 0)
  result = runs.read_json(tmp_path / 'foreign' / runs.RESULT)
  assert result['verification']['unchanged']
  assert set(result['verdicts']) == {'forgetting', 'utility'}
  assert 'that the split alone says so' not in str(result['verification'])
  assert 'was made from the original' in str(result['verification'])
  capsys.readouterr()
  assert compare.main([
      f'--evaluations={tmp_path / "unlearned"},{tmp_path / "foreign"}',
      '--names=ours,theirs',
      f'--workdir={tmp_path / "comparison"}']) == 0
  assert 'theirs: Not verified' in capsys.readouterr().out


@pytest.mark.slow
def test_a_retrained_model_saw_nobody_of_the_request(made, tmp_path):
  result = _audit(made, tmp_path / 'out', f'--model={made / "retrained"}')
  assert result['audit'] == {'kind': 'train', 'forget_in_training': 0}
  assert result['request']['method'] == 'none: a training run'
  assert result['verification']['unverified'] == []


def test_a_person_who_was_forgotten_earlier_is_asked_about_alone(
    made, tmp_path):
  one = tmp_path / 'one.txt'
  one.write_text((made / 'delete.txt').read_text().split()[0])
  assert audit.main([
      f'--model={made / "unlearned"}', f'--forget_identities={one}', *_QUICK,
      f'--workdir={tmp_path / "out"}']) == 0
  result = runs.read_json(tmp_path / 'out' / runs.RESULT)
  assert result['request']['images'] == 4
  assert result['request']['earlier_images'] == 20
  assert result['audit']['forget_in_training'] == 0


@pytest.mark.slow
def test_tier_1_without_an_original(made, tmp_path):
  result = _audit(made, tmp_path / 'out', f'--model={made / "unlearned"}',
                  f'--retrained={made / "retrained"}', '--recovery_steps=2')
  assert result['config']['tier'] == 1  # what one retrained model allows
  assert result['config']['relearn'] == 'not run'
  assert result['config']['recovery']['max_steps'] == 2  # it needs no original
  record = next(r for r in result['metrics']
                if r['metric'] == 'recovery_accuracy')
  assert record['unlearned']['value'] is not None
  assert _cell(result, 'js_forget', 'unlearned') is not None
  assert result['verdicts']['forgetting']['verdict'] != 'indistinguishable'


@pytest.mark.long
def test_tier_2_of_foreign_models_without_an_original(
    made, original, tmp_path, capsys):
  saved, rng = checkpoint.load_model(original), np.random.default_rng(0)
  for i in range(5):
    checkpoint.save_model(
        tmp_path / str(i), {**saved.variables, 'params': jax.tree.map(
            lambda x: x * (1 + .2 * rng.normal(size=x.shape).astype(x.dtype)),
            saved.variables['params'])}, saved.config, saved.task,
        saved.image_size)
  result = _audit(
      made, tmp_path / 'out', f'--model={made / "unlearned"}',
      '--retrained=' + ','.join(str(tmp_path / str(i)) for i in range(5)))
  assert {record['tier'] for record in result['metrics']} == {0, 1, 2}
  assert set(result['verdicts']) == {'forgetting', 'utility'}
  assert result['verdicts']['forgetting']['verdict'] != 'indistinguishable'
  assert 'on retrained ones' in capsys.readouterr().out
  assert report.main([f'--evaluation={tmp_path / "out"}']) == 0


def test_the_members_of_a_foreign_model_are_only_stated(
    made, original, faces, tmp_path, capsys):
  flags = [f'--model={made / "foreign"}',
           *[f for f in runs_of.data_flags(faces) if 'preset' not in f]]
  _audit(made, tmp_path / 'out', *flags, code=2)
  assert 'Expected to be told whom' in capsys.readouterr().err
  result = _audit(made, tmp_path / 'out', *flags,
                  f'--splits={original / runs.SPLITS}')
  assert 'the split alone says so' in capsys.readouterr().out
  assert result['audit']['forget_in_training'] is None


def test_people_whom_a_run_was_trained_on_are_not_unseen(
    made, original, tmp_path, capsys):
  data = job.load_data(run_configs.data_of(original))
  parts = split_files.load_splits(original / runs.SPLITS, data)
  split_files.save_splits(tmp_path / 'swapped.npz', data, splits_lib.Partition(
      train=parts.train, val=parts.test, test=parts.val))
  swapped = f'--splits={tmp_path / "swapped.npz"}'
  _audit(made, tmp_path / 'fine', f'--model={original}', swapped)
  split_files.save_splits(tmp_path / 'wrong.npz', data, splits_lib.Partition(
      train=parts.train[:-8], val=parts.val, test=parts.train[-8:]))
  wrong = f'--splits={tmp_path / "wrong.npz"}'
  capsys.readouterr()
  _audit(made, tmp_path / 'out', f'--model={original}', wrong, code=2)
  assert 'never saw, got 8 that it was trained on' in capsys.readouterr().err
  assert not (tmp_path / 'out').exists()
  result = _audit(made, tmp_path / 'out', f'--model={original}', wrong,
                  '--allow_unverified')
  assert 'test of images that' in str(result['verification']['allowed'])


@pytest.mark.long
def test_weights_of_another_framework(tmp_path, capsys):
  torch = pytest.importorskip('torch', reason='needs the extra torch')
  from tests.models import torch_nets
  net = torch_nets.shake(torch_nets.ResNet18(2, 4))
  torch.save(net.state_dict(), tmp_path / 'model.pth')
  path = runs_of.write_data(tmp_path)
  arrays = dict(np.load(path))
  part = np.repeat(['train', 'val', 'test'], [64, 16, 16])
  np.savez(path, **arrays, split=part)
  common = [*[f for f in runs_of.data_flags(path) if 'preset' not in f],
            '--width=4', '--stem=imagenet', '--allow_unverified']
  said = {}
  assert weights.IMPORT.main([
      f'--weights={tmp_path / "model.pth"}', *common,
      f'--workdir={tmp_path / "imported"}']) == 0
  capsys.readouterr()
  for name, flags in {'model.pth': common, 'imported': common[:2]}.items():
    assert audit.main([
        f'--model={tmp_path / name}', *flags, '--forget_people=6', *_QUICK,
        *(['--image_size=12'] if name == 'imported' else []),
        f'--workdir={tmp_path / "out" / name}']) == 0, capsys.readouterr().err
    result = json.loads(
        (tmp_path / 'out' / name / runs.RESULT).read_text())
    said[name] = result
    assert 'was imported' in capsys.readouterr().out
  assert said['model.pth']['metrics'] == said['imported']['metrics']
  assert len(said['model.pth']['models']['files']['unlearned']) == 64
  assert 'order of the outputs' in str(said['model.pth']['verification'])

  # Retrained models of the user's own: a file, and an imported one.
  for k in range(2):
    torch.save(torch_nets.shake(torch_nets.ResNet18(2, 4)).state_dict(),
               tmp_path / f'retrained_{k}.pth')
  assert weights.IMPORT.main([
      f'--weights={tmp_path / "retrained_1.pth"}', *common,
      f'--workdir={tmp_path / "retrained_1"}']) == 0
  assert audit.main([
      f'--model={tmp_path / "model.pth"}', *common, '--forget_people=6',
      *_QUICK, f'--retrained={tmp_path / "retrained_0.pth"},'
      f'{tmp_path / "retrained_1"}', f'--workdir={tmp_path / "beside"}']
                    ) in exit_codes.DONE, capsys.readouterr().err
  result = json.loads((tmp_path / 'beside' / runs.RESULT).read_text())
  assert len(result['models']['retrained']) == 2
  assert {'retrained_0', 'retrained_1'} <= set(result['models']['files'])
  record, = (one for one in result['metrics']
             if one['metric'] == 'accuracy_test')
  assert record['delta']['value'] is not None


def test_the_same_from_python(made, original, tmp_path):
  known = _audit(made, tmp_path / 'out', f'--model={original}',
                 f'--retrained={made / "retrained"}', '--relearn_steps=0',
                 '--recovery_steps=2')
  assert known['config']['tier'] == 1
  data = job.load_data(run_configs.data_of(original))
  splits = split_files.load_splits(made / 'unlearned' / runs.SPLITS, data)
  found = dlfd_jax.audit(
      original, splits, data, retrained=[made / 'retrained'],
      config=dlfd_jax.EvaluationConfig(bootstrap=20),
      tier_1=dlfd_jax.Tier1Config(relearn_steps=0, recovery_steps=2),
      devices=parallel.Devices(jax.devices()[:1]))
  assert found.record['metrics'] == known['metrics']
  assert any('audited model' in line for line in found.headline())
  with pytest.raises(ValueError, match='Expected the original model'):
    dlfd_jax.evaluate(None, original, splits=splits, dataset=data)
