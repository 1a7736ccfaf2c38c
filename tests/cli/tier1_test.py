"""``evaluate`` at tiers 1 and 2: retrained runs to verdicts and a report."""

import contextlib
import functools
import io
import json

import jax
import numpy as np
import pytest

from dlfd_jax import checkpoint
from dlfd_jax.cli import evaluate, report
from dlfd_jax.data import requests, resolution, split_files
from dlfd_jax.evaluation import again
from dlfd_jax.pipeline import (
  chain,
  evaluation_result,
  finished_runs,
  job,
  run_configs,
)
from dlfd_jax.utils import runs
from tests.evaluation import stored_arrays_test
from tests.slow import kill

pytestmark = pytest.mark.usefixtures('shared_compilations')

_QUICK = ['--devices=1', '--bootstrap=20', '--relearn_steps=4',
          '--relearn_seeds=2', '--recovery_steps=4']


@pytest.fixture(scope='module')
def reference_runs(tmp_path_factory, original):
  """What an unlearning run and two retrained ones leave behind.

  Nothing is trained: the models are the original with some noise.
  """
  folder = tmp_path_factory.mktemp('tier1')
  config = runs.read_json(original / runs.CONFIG)
  del config['chain']  # an earlier version
  data = job.load_data(run_configs.data_in(config, original))
  splits, _ = resolution.resolve_request(
      data, split_files.load_splits(original / runs.SPLITS, data),
      requests.ForgetRequest(people=4))
  saved = checkpoint.load_model(original)
  rng = np.random.default_rng(0)
  for name in ('unlearned', *'0123'):
    (folder / name).mkdir()
    noisy = jax.tree.map(
        lambda x: x * (1 + .2 * rng.normal(size=x.shape).astype(x.dtype)),
        saved.variables['params'])
    checkpoint.save_model(
        folder / name / runs.CHECKPOINTS / 'model',
        {**saved.variables, 'params': noisy}, saved.config, saved.task,
        saved.image_size)
  runs.write_json(
      folder / 'unlearned' / runs.CONFIG, {
          **config, 'kind': 'unlearn', 'rows': {
              name: chain.rows_hash(data, rows)
              for name, rows in splits.parts.items()},
          'original_path': str(original)})
  split_files.save_splits(folder / 'unlearned' / runs.SPLITS, data, splits)
  return folder


def _evaluate(original, folder, *flags):
  return evaluate.main([
      f'--original={original}', f'--unlearned={folder / "unlearned"}', *_QUICK,
      *flags])


def _records(path):
  result = json.loads((path / runs.RESULT).read_text())
  return result, {r['metric']: r for r in result['metrics']}


def _of_two(folder, out):
  both = f'{folder / "0"},{folder / "1"}'
  return ['--tier=1', f'--retrained={both}', f'--workdir={out}',
          '--keep_features']


@pytest.fixture(scope='module')
def evaluated(original, reference_runs, tmp_path_factory):
  """The folder of an evaluation with two retrained models; what it said."""
  out = tmp_path_factory.mktemp('evaluated') / 'both'
  with contextlib.redirect_stdout(io.StringIO()) as said:
    assert _evaluate(
        original, reference_runs, *_of_two(reference_runs, out)) == 0
  return out, said.getvalue()


def test_from_runs_to_the_report(
    original, reference_runs, evaluated, tmp_path):
  out, said = evaluated
  assert said.index('Evaluating 4 models: 39 runs. Expected: '
                    'about') < said.index('What decides the verdict')
  assert len(said.splitlines()) < 170
  last = ' '.join(said.splitlines()[-24:])  # of a small terminal
  for word in ('Forgotten?', 'Still works?', 'Like a retrained model?',
               'Recommendation:', f'dlfd report --evaluation={out}'):
    assert word in last
  assert 'Attempts to bring forget back' not in said  # a table of the report
  assert 'After learning retain again, accuracy on forget is' in said
  assert 'Whoever holds the original and the unlearned model' in ' '.join(
      said.split())
  result, records = _records(out)
  for name in ('zrf', 'two_releases', 'retain_exposure',
               'nearer_features_forget', 'probe_membership', 'cka_test',
               'js_forget', 'silhouette_test', 'streisand', 'relearn_steps',
               'gap_mia_auc_matched', 'harmed_people'):
    for column in ('original', 'unlearned', 'retrained', 'null'):
      cell = records[name][column]
      missing = name == 'streisand'  # it takes an interval, of more people
      assert (cell['value'] is None) == missing, (name, column, cell)
  blocks = [name for name in records if name.startswith('cka_test/')]
  assert blocks == ['cka_test/conv', 'cka_test/norm']
  for name in blocks:
    assert 0 < records[name]['unlearned']['value'] <= 1, name
  assert records['relearn_steps']['original']['value'] == 0
  assert set(result['verdicts']) == {'forgetting', 'utility'}
  assert result['config']['tier'] == 1
  for name in ('relearn', 'recovery'):
    assert result['config'][name]['max_steps'] == 4
    assert result['config'][name]['optimizer'] == (
        result['config']['relearn']['optimizer'])
  parts = ('1 %', '5 %', '10 %')
  assert [records[f'recovery_rest/{part}']['unlearned']['reason']
          for part in parts][:2] == [
              '1 % of 4 people is nobody', '5 % of 4 people is nobody']
  for name in ('recovery_accuracy', 'recovery_copies_accuracy/crop 10 %',
               'recovery_copies_auc/noise 5 %'):
    assert records[name]['null']['value'] is not None, name
    assert records[name]['verdict'] in (None, 'too few to say')
  assert result['efficiency']['evaluate_s']['expected_of_rest'] > 0
  assert result['request']['people'] == 4
  assert len(result['request']['sha256_of_image_ids']) == 64
  assert result['efficiency']['evaluate_s']['references'] > 0
  with np.load(out / evaluation_result.FEATURES) as arrays:
    assert arrays['retrained_1/test/features'].ndim == 2
  with np.load(out / evaluation_result.PER_EXAMPLE) as arrays:
    assert not any(name.endswith('/features') for name in arrays.files)
    assert 'unlearned/forget/apart' in arrays.files
    stored_arrays_test.check(arrays)
    left = again.check(result, dict(arrays)).left
    assert not [name for name in left if name.startswith('recovery')]
  before = (out / runs.RESULT).stat().st_mtime_ns
  assert not (out / runs.CHECKPOINTS).exists()
  assert _evaluate(
      original, reference_runs, *_of_two(reference_runs, out)) == 0
  assert (out / runs.RESULT).stat().st_mtime_ns == before  # finished already
  assert report.main(
      [f'--evaluation={out}', f'--workdir={tmp_path / "report"}']) == 0
  page = (tmp_path / 'report' / runs.REPORT).read_text()
  assert 'Overall verdict on forgetting at tier 1' in page
  assert 'Linear probe, forget or unseen' in page
  assert 'Accuracy after learning retain, forget' in page


class _Killed(BaseException):
  """As a signal would end the process: nothing may catch it."""


@pytest.mark.slow
def test_a_killed_evaluation_goes_on_to_the_same_figures(
    original, reference_runs, evaluated, tmp_path, monkeypatch, capsys):
  out, kept = tmp_path / 'killed', []
  write = finished_runs.FinishedRuns._write

  def die_after(last):
    def dying(self, folder, name, *more):
      write(self, folder, name, *more)
      kept.append(name)
      if name.startswith(last):
        raise _Killed

    monkeypatch.setattr(finished_runs.FinishedRuns, '_write', dying)

  monkeypatch.setattr(finished_runs, 'SOON_S', 0)  # else no figure is kept
  command = functools.partial(
      _evaluate, original, reference_runs, *_of_two(reference_runs, out))
  for last in ('outputs/original', 'blocks/unlearned', 'relearn/unlearned/1',
               'recovery/original/retain', 'recovery/unlearned/noise_5',
               'figures/probe_'):
    die_after(last)
    with pytest.raises(_Killed):
      command()
    assert len(list((out / runs.CHECKPOINTS).iterdir())) == len(kept)
  die_after('nothing')
  (out / runs.CHECKPOINTS / 'foreign.npz').write_bytes(b'PK')
  capsys.readouterr()
  assert command() == 0
  said = capsys.readouterr().out
  assert ('Evaluating 4 models: 39 runs, 39 of them finished before. Expected '
          'for the rest: about') in said
  assert 'Not used: 1 file in checkpoints, of other models, settings,' in said
  assert '), without compiling and all other figures.' in said
  assert len(kept) == len(set(kept)) > 39  # each was done once
  assert not kill.differences(evaluated[0], out)
  seconds = runs.read_json(out / runs.RESULT)['efficiency']['evaluate_s']
  whole = runs.read_json(
      evaluated[0] / runs.RESULT)['efficiency']['evaluate_s']
  assert seconds['finished_earlier'] > 0 and 'finished_earlier' not in whole


@pytest.mark.slow
def test_four_retrained_models_are_references_of_attacks(
    original, reference_runs, tmp_path, capsys):
  out = tmp_path / 'four'
  four = ','.join(str(reference_runs / name) for name in '0123')
  assert _evaluate(
      original, reference_runs, '--tier=2', '--relearn_steps=0',
      '--recovery_steps=0',
      f'--retrained={four}', f'--workdir={out}') == 0
  assert 'RMIA AUC' in capsys.readouterr().out
  result, records = _records(out)
  assert result['config']['tier'] == 2
  for name in ('rmia_auc', 'lira_auc_two_sided', 'lira_auc_person'):
    for column in ('original', 'unlearned', 'retrained', 'null'):
      assert 0 <= records[name][column]['value'] <= 1, (name, column)
  assert report.main([f'--evaluation={out}']) == 0
  page = (out / runs.REPORT).read_text()
  assert 'Overall verdict on forgetting at tier 2' in page
  assert 'RMIA AUC, by person' in page


@pytest.mark.long
def test_one_retrained_model_and_no_relearning(
    original, reference_runs, tmp_path):
  out = tmp_path / 'one'
  assert _evaluate(
      original, reference_runs, '--tier=1', '--relearn_steps=0',
      f'--retrained={reference_runs / "0"}', f'--workdir={out}') == 0
  result, records = _records(out)
  assert 'two retrained models' in records['zrf']['null']['reason']
  assert records['log2_ain']['unlearned']['reason'] == 'no relearning was run'
  assert result['config']['relearn'] == 'not run'
  assert 'cannot tell' in records['recovery_accuracy']['notes'][-1]
  assert not (out / evaluation_result.FEATURES).exists()
  assert all(r['verdict'] != 'indistinguishable' for r in records.values())


def test_the_same_retrained_run_twice_is_refused(
    original, reference_runs, tmp_path, capsys):
  run = str(reference_runs / '0')
  assert _evaluate(
      original, reference_runs, '--tier=1', f'--retrained={run},{run}',
      f'--workdir={tmp_path / "out"}') == 2
  assert 'of different seeds' in capsys.readouterr().err
  assert not (tmp_path / 'out').exists()
