"""From training to the report, as a user would type it."""

import contextlib
import dataclasses
import json

import numpy as np
import pytest

from dlfd_jax import checkpoint, methods
from dlfd_jax.cli import evaluate, exit_codes, report, train, unlearn
from dlfd_jax.methods import finetune
from dlfd_jax.pipeline import classifier as inference
from dlfd_jax.utils import runs, stop_requests
from tests.cli import runs_of

_METHOD = ['--batch_size=16', '--perturb_steps=1', '--epochs=1',
           '--augment=false']


def _record(result, metric):
  return next(r for r in result['metrics'] if r['metric'] == metric)


def test_train_unlearn_retrain_evaluate_and_report(
    tmp_path, original, capsys):
  unlearned = tmp_path / 'unlearned'
  command = [f'--original={original}', '--forget_people=3', *_METHOD,
             f'--workdir={unlearned}']
  assert unlearn.main(command) == 0
  for name in (runs.CONFIG, runs.VERSIONS, runs.METRICS, runs.SPLITS,
               runs.RESULT):
    assert (unlearned / name).is_file(), name
  before = runs_of.tree(unlearned)
  capsys.readouterr()
  assert unlearn.main([*command, '--json']) == 0  # finished: it is read
  assert runs_of.tree(unlearned) == before
  found = json.loads(capsys.readouterr().out)
  assert [one['question'] for one in found['answers']] == [
      'Forgotten?', 'Still works?', 'Like a retrained model?']
  for number, said in (('R-2', 'request_id was'), ('', '1 to 100 printable')):
    assert unlearn.main([*command, f'--request_id={number}']) == 2
    assert said in capsys.readouterr().err
    assert runs_of.tree(unlearned) == before
  assert found['recommendation'].startswith('Recommendation: ')

  retrained = tmp_path / 'retrained'
  assert train.main([
      '--on=retain', f'--original={original}',
      f'--splits={unlearned / runs.SPLITS}', f'--workdir={retrained}']) == 0

  alone = tmp_path / 'alone'
  common = [f'--original={original}', f'--unlearned={unlearned}',
            '--bootstrap=20']
  assert evaluate.main([*common, f'--workdir={alone}']) == 0
  said = capsys.readouterr().out
  assert 'not computed' in said and 'this was tier' not in said
  result = json.loads((alone / runs.RESULT).read_text())
  cell = _record(result, 'mia_auc_matched')['retrained']
  assert cell['value'] is None and cell['reason']

  both = tmp_path / 'both'
  assert evaluate.main([*common, f'--retrained={retrained}',
                        f'--workdir={both}']) == 0
  assert ('1 retrained model allows --tier=1; this was tier 0.'
          in capsys.readouterr().out)
  result = json.loads((both / runs.RESULT).read_text())
  assert 0 <= _record(result, 'mia_auc_matched')['retrained']['value'] <= 1
  cost = result['efficiency']
  time_s = json.loads((unlearned / runs.RESULT).read_text())['time']
  assert cost['select_s'] == time_s['check_s'] + time_s['choose_s'] > 0
  assert cost['time_s']['unlearned'] == time_s['work_s'] > cost['select_s']
  assert cost['images_processed'] == time_s['images'] > 0
  assert cost['precision'] == 'float32'
  assert report.main([f'--evaluation={both}']) == 0
  page = (both / runs.REPORT).read_text()
  assert 'not a proof of deletion' in page

  classifier = inference.load_classifier(unlearned)
  images = np.zeros((2, runs_of.SIZE, runs_of.SIZE, 3), np.uint8)
  assert np.allclose(classifier.predict(images).sum(-1), 1, atol=1e-5)


@pytest.mark.slow
def test_the_retrained_model_must_have_seen_retain_alone(
    tmp_path, original, capsys):
  for seed in (0, 1):
    assert unlearn.main([
        f'--original={original}', '--forget_people=3', '--method=finetune',
        '--epochs=1', '--batch_size=16', f'--forget_seed={seed}',
        f'--workdir={tmp_path / str(seed)}']) == 0
  assert train.main([
      '--on=retain', f'--original={original}',
      f'--splits={tmp_path / "1" / runs.SPLITS}',
      f'--workdir={tmp_path / "retrained"}']) == 0
  capsys.readouterr()
  assert evaluate.main([
      f'--original={original}', f'--unlearned={tmp_path / "0"}',
      f'--retrained={tmp_path / "retrained"}',
      f'--workdir={tmp_path / "evaluation"}']) == 2
  assert 'trained on the retain images' in capsys.readouterr().err
  assert not (tmp_path / 'evaluation').exists()


@pytest.mark.slow
def test_an_interrupted_run_ends_as_an_uninterrupted_one(
    tmp_path, faces, original, monkeypatch):
  workdir = tmp_path / 'stopped'
  command = [*runs_of.data_flags(faces), *runs_of.NETWORK, *runs_of.RECIPE,
             '--on=all', f'--workdir={workdir}']
  real = stop_requests.on_signals

  class AfterThree(stop_requests.StopRequest):
    """Asks to stop once it was looked at three times."""

    def __init__(self):
      self.looked = 0

    @property
    def requested(self):
      self.looked += 1
      return self.looked >= 3

  monkeypatch.setattr(
      stop_requests, 'on_signals', lambda: contextlib.nullcontext(AfterThree()))
  assert train.main(command) == 75
  assert not (workdir / runs.RESULT).exists()
  monkeypatch.setattr(stop_requests, 'on_signals', real)
  assert train.main(command) == 0
  ended = checkpoint.load_model(workdir).variables
  whole = checkpoint.load_model(original).variables
  assert checkpoint.fingerprint(ended) == checkpoint.fingerprint(whole)

  def untimed(folder):
    return [{k: v for k, v in event.items() if not k.endswith('_s')}
            for event in runs.read_events(folder / runs.METRICS)]
  assert untimed(workdir) == untimed(original)


def test_a_listed_person_in_test_is_reported_and_left_out(
    tmp_path, original, capsys):
  with np.load(original / runs.SPLITS) as file:
    test_id, train_id = str(file['test'][0]), str(file['train'][0])
  people = [str(int(i.split('_')[-1]) // runs_of.EACH)
            for i in (test_id, train_id)]
  listed = tmp_path / 'delete.txt'
  listed.write_text('\n'.join(people))
  assert unlearn.main([
      f'--original={original}', f'--forget_identities={listed}',
      '--method=finetune', '--epochs=1', '--batch_size=16',
      f'--workdir={tmp_path / "out"}']) == 0
  assert 'left out' in capsys.readouterr().out


def test_a_new_method_is_a_config_a_plan_and_one_line(
    tmp_path, original, monkeypatch, capsys):
  @dataclasses.dataclass(frozen=True, kw_only=True)
  class MyConfig(finetune.FinetuneConfig):
    title = 'Mine'

  # What the line in dlfd_jax/methods/__init__.py does.
  monkeypatch.setitem(methods.METHODS, 'mine', MyConfig)
  assert unlearn.main([
      f'--original={original}', '--forget_people=3', '--method=mine',
      '--batch_size=16', f'--workdir={tmp_path / "mine"}']) == 0
  result = json.loads((tmp_path / 'mine' / runs.RESULT).read_text())
  assert result['method'] == 'mine'
  capsys.readouterr()


@pytest.mark.slow
def test_a_second_request_keeps_the_first_forgotten(
    tmp_path, original, faces, capsys):
  flags = ['--method=finetune', '--epochs=1', '--batch_size=16', '--devices=1']
  first, second = tmp_path / 'first', tmp_path / 'second'
  assert unlearn.main([f'--original={original}', '--forget_people=2', *flags,
                       f'--workdir={first}']) == 0
  assert unlearn.main([
      f'--original={first}', *runs_of.data_flags(faces), '--forget_people=2',
      '--forget_seed=1', *flags, f'--workdir={second}']) == 0
  one, two = (np.load(run / runs.SPLITS) for run in (first, second))
  assert set(two['earlier']) == set(one['forget'])
  assert not set(two['retain']) & set(one['forget'])
  assert set(two['forget']) <= set(one['retain'])
  rows = [int(name.rpartition('_')[2]) for name in one['forget']]
  people = np.unique(np.load(faces)['identity'][rows])
  assert ('stay out of retain. Names: ' + ', '.join(map(str, people)) + '.'
          in capsys.readouterr().out)


@pytest.mark.long
def test_groups_of_rum_have_methods_and_flags_of_their_own(
    tmp_path, original, capsys):
  command = ['--method=rum', '--rum_of=nothing,finetune,salun',
             f'--original={original}', '--forget_people=3',
             '--medium_epochs=1', '--high_epochs=1', '--high_mask_share=0.3',
             '--medium_batch_size=16', '--high_batch_size=16']
  torn = tmp_path / 'torn'
  assert unlearn.main([*command, f'--workdir={torn}']) == 0
  before = runs_of.tree(torn)
  assert unlearn.main([*command, f'--workdir={torn}']) == 0
  assert runs_of.tree(torn) == before
  said = 'people to forget have images in several groups'
  assert said in capsys.readouterr().out
  result = runs.read_json(torn / runs.RESULT)
  assert any(said in note for note in result['notes'])
  config = runs.read_json(torn / runs.CONFIG)['config']
  assert config['low'] is None and config['medium']['name'] == 'finetune'
  assert (config['high']['name'], config['high']['mask_share']) == ('salun', .3)
  assert [s['group'] for s in result['findings']['stages']] == [
      'medium', 'high']
  retrained = tmp_path / 'retrained'
  assert train.main([
      '--on=retain', f'--original={original}',
      f'--splits={torn / runs.SPLITS}', f'--workdir={retrained}']) == 0
  heldout = [*command, '--rum_by=person', '--rum_proxy=heldout',
             f'--workdir={tmp_path / "whole"}']
  assert unlearn.main([*heldout, f'--rum_retrained={original}']) == 2
  assert 'never to have seen an image of forget' in capsys.readouterr().err
  assert not (tmp_path / 'whole').exists()
  assert unlearn.main([*heldout, f'--rum_retrained={retrained}']) == 0
  whole = runs.read_json(tmp_path / 'whole' / runs.RESULT)
  assert whole['findings']['people_in_several_groups'] == 0
  evaluation = tmp_path / 'evaluation'
  assert evaluate.main([
      f'--original={original}', f'--unlearned={tmp_path / "whole"}',
      '--bootstrap=20', f'--workdir={evaluation}']) in exit_codes.DONE
  assert report.main([f'--evaluation={evaluation}']) == 0
