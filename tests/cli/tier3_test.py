"""Tier 3 from the command: shadow models that learned labels by heart.

Labels are drawn, so that whoever answers right has seen the image. Fine-tuning
at a rate of nothing leaves every trace; EU-k of all blocks is retraining.
"""

import dataclasses
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import dlfd_jax
from dlfd_jax import checkpoint
from dlfd_jax.cli import commands, exit_codes
from dlfd_jax.pipeline import (
  chain,
  finished_runs,
  job,
  predictors as predictors_lib,
  reference_models,
  run_configs,
  shadow_models,
  unlearn,
)
from dlfd_jax.utils import runs
from tests import mutations, tiny
from tests.cli import runs_of
from tests.slow import kill

pytestmark = pytest.mark.usefixtures('shared_compilations')

_ROOT = pathlib.Path(__file__).parents[2]
_PEOPLE, _EACH = 48, 3
_NETWORK = ['--architecture=tests.models.own_nets:Memory']
_RECIPE = ['--epochs=60', '--batch_size=32', '--optimizer=adam',
           '--learning_rate=.005', '--augment=false']
_METHODS = {
    'kept': ['--method=finetune', '--epochs=1', '--learning_rate=1e-9',
             '--optimizer=adam'],
    'exact': ['--method=eu_k', '--k=2', *_RECIPE[:1], *_RECIPE[2:4]]}
_QUICK = ['--tier=3', '--bootstrap=60', '--relearn_steps=0',
          '--recovery_steps=0']


def _run(command, folder, *flags, code=exit_codes.OK):
  assert commands.main([command, *flags, '--devices=1',
                        f'--workdir={folder}']) == code
  return folder


@pytest.fixture(scope='module')
def made(tmp_path_factory):
  """A folder of runs: the original, two unlearned, references, shadows."""
  here = tmp_path_factory.mktemp('tier3')
  rng = np.random.default_rng(0)
  n = _PEOPLE * _EACH
  np.savez(here / 'faces.npz', identity=np.repeat(np.arange(_PEOPLE), _EACH),
           images=rng.integers(0, 256, (n, 12, 12, 3), np.uint8),
           shade=rng.permutation(np.arange(n) % 2).astype(np.int32))
  original = _run('train', here / 'original', *_NETWORK, *_RECIPE, '--on=all',
                  *runs_of.data_flags(here / 'faces.npz'))
  for name, method in _METHODS.items():
    _run('unlearn', here / name, f'--original={original}', *method,
         '--forget_people=14', '--batch_size=32',
         code=exit_codes.NOT_FORGOTTEN if name == 'kept' else exit_codes.OK)
  for design, count in (('retrained', 4), ('random', 8), ('keep', 24),
                        ('request', 4), ('half', 4)):
    _run('references', here / design, f'--original={original}',
         f'--unlearned={here / "kept"}', f'--design={design}', f'--n={count}',
         '--repeats=0')
  return here


def _flags(made, name, design='random', shadows=None):
  return [f'--original={made / "original"}', f'--unlearned={made / name}',
          f'--references={made / "retrained"}', *_QUICK,
          f'--shadows={shadows or made / design}']


def _records(folder):
  result = runs.read_json(folder / runs.RESULT)
  return result, {r['metric']: r for r in result['metrics']
                  if r['tier'] == 3}


@pytest.fixture(scope='module')
def judged(made):
  """Both methods, evaluated with the random design."""
  return {name: _records(_run(
      'evaluate', made / f'evaluation of {name}', *_flags(made, name),
      code=exit_codes.NOT_FORGOTTEN if name == 'kept' else exit_codes.OK))
      for name in _METHODS}


def _like_chance(record):
  """Within three standard errors of the null."""
  null, value = record['null'], record['unlearned']['value']
  return abs(value - null['value']) < .75 * (null['high'] - null['low'])


@pytest.mark.slow
def test_a_trace_is_seen_and_exact_unlearning_is_not(judged):
  leak, exact = (judged[name][1] for name in _METHODS)
  for name in ('u_lira_auc', 'u_lira_accuracy'):
    assert leak[name]['unlearned']['value'] > .8, name
    assert _like_chance(exact[name]), name
    assert not _like_chance(leak[name]), name
    assert exact[name]['original']['value'] > .8
  assert leak['u_lira_auc']['verdict'] == 'distinguishable'
  assert leak['u_lira_auc']['gate'] == 'sees the original'
  assert exact['u_lira_auc']['verdict'] != 'distinguishable'
  assert leak['klom_forget']['delta']['value'] > 10 * abs(
      exact['klom_forget']['delta']['value'])
  assert leak['lira_online_auc']['unlearned']['value'] > .8
  assert abs(exact['lira_online_auc']['unlearned']['value'] - .5) < .2
  for split in ('retain', 'test'):
    assert exact[f'klom_{split}']['unlearned']['value'] is not None
  assert exact['challenge_final_score']['unlearned']['value'] is not None


@pytest.mark.slow
def test_accuracies_are_those_of_the_answers(made, judged):
  """Of two classes the margin says which is taken."""
  del judged
  with np.load(made / 'evaluation of kept' / 'per_example.npz') as arrays:
    for name in ('before', 'unlearned'):
      np.testing.assert_allclose(
          arrays[f'shadows/accuracies/{name}'], np.stack([
              (arrays[f'shadows/{split}/{name}'] > 0).mean(1)
              for split in ('retain', 'test')], axis=1))
    assert arrays['shadows/accuracies/before'][:, 0].min() > .9


@pytest.mark.slow
def test_models_of_earlier_versions_are_read_again(
    made, judged, tmp_path, monkeypatch):
  """They kept margins alone; nothing is unlearned for the accuracies."""
  del judged
  plan, predictors, whole = _of_an_earlier_version(made, tmp_path)
  asked = []
  unlearned = unlearn.unlearn
  monkeypatch.setattr(unlearn, 'unlearn', lambda *args, **more: asked.append(
      more['workdir']) or unlearned(*args, **more))
  for times in (8, 8):  # the second finds what the first kept
    again = shadow_models.unlearned_shadows(plan, predictors)
    assert len(asked) == times
    for name, values in whole.accuracies.items():
      np.testing.assert_array_equal(again.accuracies[name], values)


@pytest.mark.slow
def test_runs_that_were_removed_are_not_unlearned_again(
    made, tmp_path, monkeypatch):
  """Of models of earlier versions the margins are then all that there is."""
  plan, predictors, whole = _of_an_earlier_version(made, tmp_path)
  for run in plan.folder.glob('0*/'):
    shutil.rmtree(run)
  monkeypatch.setattr(unlearn, 'unlearn', None)  # not called
  with pytest.raises(ValueError, match='whose margins are kept, got none'):
    shadow_models.unlearned_shadows(plan, predictors)
  again = shadow_models.unlearned_shadows(
      plan, predictors, allow_unverified=True)
  np.testing.assert_array_equal(again.unlearned, whole.unlearned)
  assert not again.accuracies


def _of_an_earlier_version(made, tmp_path):
  """Shadow models that unlearned, their margins kept without accuracies.

  Returns:
    The plan, predictors for it, and what is to be found again.
  """
  folder = tmp_path / 'shadows'
  shutil.copytree(made / 'random', folder)
  data, models = _data(made), [job.judged(made / name)
                               for name in ('exact', 'original')]
  predictors = predictors_lib.Predictors(data['dataset'], tiny.devices())
  plan = shadow_models.plan(folder, *models, *data.values())
  whole = shadow_models.unlearned_shadows(plan, predictors)
  index = runs.read_json(plan.folder / runs.RESULT)
  for entry in index['models']:
    path = plan.folder / f'{entry["folder"]}-{plan.state}.npz'
    with np.load(path) as arrays:
      kept = {name: arrays[name] for name in arrays.files
              if not name.endswith('/accuracy')}
      assert len(kept) < len(arrays.files)
    np.savez(path, **kept)
    entry['margins'][plan.state] = chain.hash_of_arrays(kept)
  (plan.folder / runs.RESULT).write_text(json.dumps(chain.sealed(
      index, runs.read_config(plan.folder, 'unlearned shadows'))))
  return plan, predictors, whole


@pytest.mark.slow
def test_what_was_done_is_recorded_and_read_again(made, judged, monkeypatch):
  result, _ = judged['exact']
  assert result['shadows']['models'] == 8
  assert result['shadows']['method'] == 'eu_k'
  assert result['models']['shadows'].endswith('random')
  assert any('32 together are a screening' in note for note in result['notes'])
  assert result['verification']['unverified'] == []
  monkeypatch.setattr(unlearn, 'unlearn', None)  # not called again
  again = dlfd_jax.evaluate(
      made / 'original', made / 'exact',
      reference_models.load_references(made / 'retrained').folders,
      dlfd_jax.EvaluationConfig(bootstrap=60), shadows=made / 'random',
      tier_1=dlfd_jax.Tier1Config(relearn_steps=0, recovery_steps=0),
      devices=tiny.devices(),
      **_data(made))
  assert again.record['metrics'] == result['metrics']


def _data(made):
  config = runs.read_config(made / 'exact', 'unlearn')
  dataset = dlfd_jax.load_data(run_configs.data_in(config, made / 'exact'))
  return {'dataset': dataset, 'splits': dlfd_jax.load_splits(
      made / 'exact' / runs.SPLITS, dataset)}


@pytest.mark.long
def test_a_killed_command_goes_on_and_finds_the_same(
    made, judged, tmp_path, capsys):
  shadows = tmp_path / 'shadows'
  shutil.copytree(made / 'random', shadows, ignore=shutil.ignore_patterns(
      shadow_models.UNLEARNED))
  argv = ['evaluate', *_flags(made, 'exact', shadows=shadows), '--devices=1',
          f'--workdir={tmp_path / "evaluation"}']
  process = subprocess.Popen(
      [sys.executable, '-m', 'dlfd_jax', *argv], cwd=_ROOT,
      env={**os.environ, 'PYTHONPATH': str(_ROOT),
           'JAX_DISABLE_MOST_OPTIMIZATIONS': '1'}, stderr=subprocess.DEVNULL,
      stdout=subprocess.DEVNULL)
  wanted = f'{shadow_models.UNLEARNED}/*/003/{runs.CONFIG}'
  while process.poll() is None and not list(shadows.glob(wanted)):
    time.sleep(.02)
  process.send_signal(signal.SIGKILL)
  assert process.wait() == -signal.SIGKILL
  kept = next((shadows / shadow_models.UNLEARNED).iterdir())
  before = {k: (kept / f'{k:03d}-model.npz').stat().st_mtime_ns
            for k in range(3)}
  capsys.readouterr()
  assert commands.main(argv) == 0
  assert 'finished already' in capsys.readouterr().out
  assert before == {k: (kept / f'{k:03d}-model.npz').stat().st_mtime_ns
                    for k in range(3)}
  result, _ = _records(tmp_path / 'evaluation')
  assert result['metrics'] == judged['exact'][0]['metrics']


@pytest.mark.long
def test_shadow_models_share_their_programs(made, tmp_path,
                                            count_compilations):
  """However many there are, and whomever they forget."""
  shadows = tmp_path / 'shadows'
  shutil.copytree(made / 'random', shadows, ignore=shutil.ignore_patterns(
      shadow_models.UNLEARNED))
  data = _data(made)
  plan = shadow_models.plan(
      shadows, job.judged(made / 'kept'), job.judged(made / 'original'),
      data['dataset'], data['splits'])
  predictors = predictors_lib.Predictors(data['dataset'], tiny.devices())
  begun = []
  with count_compilations() as counter:
    shadow_models.unlearned_shadows(
        plan, predictors, hooks=[
            lambda event: begun.append(counter['_fun'])
            if event['event'] == 'begin' else None])
  assert len(begun) == 8 and begun[0] == 0
  # A step of the method and the live measurement, then margins of all splits.
  assert begun[2:] + [counter['_fun']] == 7 * begun[2:3]
  assert begun[2] <= 3


@pytest.mark.long
def test_people_who_stay_and_a_whole_request(made):
  result, of_kept = _records(_run(
      'evaluate', made / 'keep evaluated', *_flags(made, 'exact', 'keep'),
      f'--half_references={made / "half"}'))
  exposed = next(r for r in result['metrics']
                 if r['metric'] == 'gap_rmia_auc_retain')
  assert abs(exposed['delta']['value']) < .2
  assert result['models']['half_references'].endswith('half')
  assert _like_chance(of_kept['privacy_harm'])
  assert of_kept['klom_forget']['unlearned']['value'] is not None
  result, of_request = _records(_run(
      'evaluate', made / 'request evaluated',
      *_flags(made, 'kept', 'request'), code=exit_codes.NOT_FORGOTTEN))
  assert of_request['u_lira_retrained_auc']['unlearned']['value'] > .8
  assert 'no model never saw' in of_request['u_lira_auc']['unlearned'][
      'reason']
  assert result['verdicts']['forgetting']['metrics']['u_lira_auc'] == (
      'not of this design')


@pytest.mark.long
def test_an_audit_with_half_references_goes_on_after_a_kill(
    made, tmp_path, monkeypatch, capsys):
  def run(name):
    return _run(
        'audit', tmp_path / name, f'--model={made / "exact"}',
        f'--original={made / "original"}', f'--splits={splits}', '--tier=2',
        *_QUICK[1:], f'--references={made / "retrained"}',
        f'--half_references={made / "half"}')

  splits = made / 'exact' / runs.SPLITS
  whole, write = run('whole'), finished_runs.FinishedRuns._write

  def dying(self, folder, name, *more):
    write(self, folder, name, *more)
    if name == 'half/1':
      raise KeyboardInterrupt

  with monkeypatch.context() as context, pytest.raises(KeyboardInterrupt):
    context.setattr(finished_runs.FinishedRuns, '_write', dying)
    run('killed')
  capsys.readouterr()
  assert not kill.differences(whole, run('killed'))
  # Six models, their blocks, five random networks and two half-references.
  assert 'Evaluating 6 models: 21 runs, 19 of them finished before. ' in (
      capsys.readouterr().out)


@pytest.mark.long
def test_an_audit_says_what_it_cannot_know(made, tmp_path, capsys):
  saved = checkpoint.load_model(made / 'original')
  checkpoint.save_model(tmp_path / 'foreign', saved.variables, saved.config,
                        saved.task, saved.image_size)
  out = tmp_path / 'audit'
  with np.load(made / 'kept' / runs.SPLITS) as parts:
    rows = [int(name.rpartition('_')[2]) for name in parts['forget']]
  listed = tmp_path / 'delete.txt'
  listed.write_text('\n'.join(map(str, np.unique(
      np.load(made / 'faces.npz')['identity'][rows]))))
  _run('audit', out, f'--model={tmp_path / "foreign"}',
       f'--original={made / "original"}', f'--forget_identities={listed}',
       f'--references={made / "retrained"}', *_QUICK,
       f'--shadows={made / "random"}', code=exit_codes.NOT_FORGOTTEN)
  assert 'Nothing is unlearned' in capsys.readouterr().out
  result, records = _records(out)
  assert records['lira_online_auc']['unlearned']['value'] > .8
  assert records['u_lira_auc']['unlearned']['value'] is None
  assert records['u_lira_auc']['original']['value'] > .8
  assert any('needs no unlearned shadow model' in note
             for note in result['notes'])
  assert not (made / 'random' / shadow_models.UNLEARNED / 'None').exists()


@pytest.mark.long
def test_altered_files_are_read_or_refused(made, judged, tmp_path):
  """Also where the user asked to go on with what is not verified."""
  del judged
  folder = tmp_path / 'shadows'
  shutil.copytree(made / 'random', folder)
  data, models = _data(made), [job.judged(made / name)
                               for name in ('exact', 'original')]
  predictors = predictors_lib.Predictors(data['dataset'], tiny.devices())

  def read(place):
    plan = shadow_models.plan(
        place, *models, *data.values(), allow_unverified=True)
    return shadow_models.unlearned_shadows(
        plan, predictors, allow_unverified=True)

  of_method = next(folder.glob(
      f'{shadow_models.UNLEARNED}/eu_k*')).relative_to(folder)
  tried = mutations.summary(list(mutations.try_all(folder, [
      mutations.Subject(name, str(of_method / name), read) for name in (
          runs.CONFIG, runs.RESULT, '002-model.npz')], every=12)))
  assert not tried['faults'] and tried['tried'] > 100


def _other_recipe(folder):
  _alter(folder / runs.CONFIG, lambda config: config['train'].update(epochs=9))


def _alter(path, change):
  value = json.loads(path.read_text())
  change(value)
  path.write_text(json.dumps(value))


def _few(folder):
  _alter(folder / runs.RESULT, lambda index: index['models'].pop())


def _margins(folder):
  path = next(folder.glob(f'{shadow_models.UNLEARNED}/eu_k*/002-model.npz'))
  with np.load(path) as arrays:
    np.savez(path, **{name: 0 * arrays[name] for name in arrays.files})


def _run_gone(folder):
  shutil.rmtree(next(folder.glob(f'{shadow_models.UNLEARNED}/eu_k*/002')))


@pytest.mark.parametrize(('change', 'flags', 'sentence'), [
    (_margins, [], 'the margins of'),
    (_run_gone, [], 'whose margins are kept'),
    (_other_recipe, [], 'the references'),
    (_few, [f'--{dlfd_jax.pipeline.chain_checks.FLAG}'],
     'Expected all 8 models'),
    (lambda folder: None, ['--shadows=retrained'], 'got retrained models'),
    (lambda folder: None, ['--tier=2'], 'at tier 3 alone'),
    (lambda folder: None, ['--shadows=nowhere'], 'nowhere'),
], ids=['margins', 'run gone', 'recipe', 'unfinished', 'design', 'tier',
        'none'])
@pytest.mark.long
def test_refusals(made, judged, tmp_path, capsys, monkeypatch, change, flags,
                  sentence):
  del judged
  folder = tmp_path / 'shadows'
  shutil.copytree(made / 'random', folder)
  change(folder)
  monkeypatch.chdir(made)
  out = tmp_path / 'evaluation'
  _run('evaluate', out, *_flags(made, 'exact', shadows=folder), *flags,
       code=exit_codes.USER_ERROR)
  error = capsys.readouterr().err
  assert sentence in error and error.count('\n') == 1, error
  assert not (out / runs.RESULT).exists()


@pytest.mark.long
def test_shadow_models_of_another_request_or_recipe(made, tmp_path, capsys):
  other = _run('unlearn', tmp_path / 'other', *_METHODS['kept'],
               f'--original={made / "original"}', '--forget_people=9',
               '--batch_size=32', code=exit_codes.NOT_FORGOTTEN)
  data, judged = _data(made), [job.judged(made / 'kept'),
                               job.judged(made / 'original')]
  splits = dlfd_jax.load_splits(other / runs.SPLITS, data['dataset'])
  with pytest.raises(ValueError, match='split or request'):
    shadow_models.plan(made / 'random', *judged, data['dataset'], splits)
  config = judged[1].config
  recipe = dataclasses.replace(judged[1], config={
      **config, 'train': {**config['train'], 'epochs': 9}})
  with pytest.raises(ValueError, match='another: train.epochs was 9'):
    shadow_models.plan(made / 'random', judged[0], recipe, *data.values())
  flags = _flags(made, 'kept')
  flags[1] = f'--unlearned={other}'
  _run('evaluate', tmp_path / 'evaluation', *flags,
       code=exit_codes.USER_ERROR)
  assert 'split or request' in capsys.readouterr().err
