"""The search: its objective, its budget, its files."""

import pytest

from dlfd_jax import methods, presets
from dlfd_jax.utils import configs, runs, text
from experiments.paper import spaces, study, sweep


def _done(auc=.5, retain=1.0, val=.8, stop='finished', step=4):
  return {'history': [{'step': 0, 'mia_auc': .9}, {'step': 4, 'mia_auc': auc}],
          'selected_step': step, 'stop': stop, 'accuracies': {
              'original': {'retain': 1.0, 'val': .8},
              'unlearned': {'retain': retain, 'val': val}}}


def test_a_model_as_a_retrained_one_has_the_most():
  assert sweep.objective(_done()) == {
      'score': 1, 'auc': .5, 'lost_retain': 0, 'lost_val': 0}


@pytest.mark.parametrize('worse, cost', [
    ({'auc': .6}, .2), ({'auc': .35}, .3),  # a leak; too much forgotten
    ({'retain': .9}, .1), ({'val': .75}, .05), ({'step': 0}, .8)])
def test_leak_over_forgetting_and_lost_accuracy_each_lower_the_score(
    worse, cost):
  found = sweep.objective(_done(**worse))
  assert found['score'] == pytest.approx(1 - cost)


def test_a_better_accuracy_than_the_originals_does_not_buy_a_leak():
  assert sweep.objective(_done(val=.9, auc=.6))['score'] == pytest.approx(.8)


@pytest.mark.parametrize('broken', [
    {'stop': 'not finite'}, {'auc': None}, {'step': 3}])
def test_what_cannot_be_measured_is_worst(broken):
  worst = sweep.objective(_done(auc=0., retain=0., val=0.))['score']
  assert sweep.objective(_done(**broken))['score'] < worst


def test_nomus_would_rank_a_model_above_retraining_and_the_score_does_not():
  """A guessing attack and a better test accuracy: repaired, not retrained."""
  repaired = sweep.score([.15, -.05], .5)
  assert repaired < sweep.score([0., 0.], .52)


@pytest.mark.parametrize('times, more', [
    ([], True), ([1000], True), ([1000, 1], False), ([1, 1], True),
    ([40, 40, 40], False), ([1] * 8, False)])
def test_trials_end_by_their_number_or_by_time_but_two_always_run(times, more):
  tried = [{'time_s': time} for time in times]
  assert sweep.wants_more(tried, 8, 100) == more


def test_a_method_that_went_on_has_a_budget_of_its_own():
  def made(command, cap_s):
    return {'command': command, 'trials': 8, 'cap_s': cap_s}

  file = sweep.merge({}, {'kind': 'tuned'}, made('all', 9.), 'cf_k', {'n': 1})
  file = sweep.merge(file, {'kind': 'tuned'}, made('all', 9.), 'dlfd', {'n': 2})
  assert file == {'kind': 'tuned', **made('all', 9.),
                  'methods': {'cf_k': {'n': 1}, 'dlfd': {'n': 2}}}
  file = sweep.merge(file, {'kind': 'other'}, made('on', 30.), 'cf_k', {'n': 3})
  assert file['kind'] == 'tuned'
  assert file['command'] == 'all' and file['cap_s'] == 9.
  assert file['methods'] == {'dlfd': {'n': 2}, 'cf_k': {
      'n': 3, 'command': 'on', 'cap_s': 30.}}


@pytest.mark.parametrize('name, method, paths', [
    ('finetune', 'finetune', {'optimizer.learning_rate', 'epochs'}),
    ('restore_finetune', 'restore', {
        'restore.weight', 'restore.epochs',
        'restore.optimizer.learning_rate'}),
    ('official_compat', 'official_compat', set())])
def test_a_candidate_is_a_method_or_one_restored(name, method, paths):
  found = sweep.candidate(presets.STARTS['demo'], name)
  assert (found.label, found.method) == (name, method)
  assert set(found.space) == paths
  start = spaces.start_of(found.start, found.space)
  assert configs.replace(found.start, start)


def test_a_restored_method_and_dlfd_restore_search_the_same_way():
  preset = presets.STARTS['demo']
  ours, alike = (sweep.candidate(preset, name)
                 for name in ('dlfd_restore', 'restore_dlfd'))
  assert ours.space == alike.space
  assert ours.start.restore == alike.start.restore


def test_the_folder_of_a_run_changes_with_every_setting():
  config = presets.STARTS['demo'].methods['finetune']
  names = {study.folder_of('a', 'finetune', each) for each in (
      config, configs.replace(config, {'epochs': 9}))}
  assert len(names) == 2


def test_nothing_of_another_version_of_ones_own_method_counts(tmp_path):
  """Runs, trials and costs lie in folders and files of this mark."""
  marks = []
  for version in range(2):
    folder = tmp_path / str(version)
    folder.mkdir()
    (folder / 'mine.py').write_text(
        'from dlfd_jax.methods import finetune\n\n\n'
        f'class Mine(finetune.FinetuneConfig):\n  title = "Mine {version}"\n')
    config = methods.resolve(f'{folder}/mine.py:Mine')()
    marks.append(study.own_mark(config))
    assert study.folder_of('Mine', 'mine.py:Mine', config).endswith(marks[-1])
    wrapped = methods.METHODS['rewind'](method=config)
    assert study.own_mark(wrapped) == marks[-1]
  assert '' not in marks and len(set(marks)) == 2
  assert not study.own_mark(presets.STARTS['demo'].methods['dlfd_restore'])


@pytest.mark.long
def test_a_search_is_resumed_and_its_values_make_a_preset(
    tmp_path, capsys, shared_compilations):
  out = tmp_path / 'out'
  out.mkdir()
  line = ['--tasks=demo', '--people=12', '--images_per_person=4',
          '--architecture=tests.models.own_nets:Own', '--image_size=16',
          '--epochs=1', '--devices=1',
          '--methods=neggrad', '--trials=2', f'--workdir={tmp_path / "runs"}',
          f'--out={out}']
  assert sweep.main(line) == 0
  first = runs.read_json(out / 'demo.json')
  found = first['methods']['neggrad']
  assert found['trials'] == 2
  assert found['score'] == max(t['score'] for t in found['tried'])
  tuned = presets.with_values(
      presets.STARTS['demo'], {'neggrad': found['values']})
  rate = tuned.methods['neggrad'].optimizer.learning_rate
  assert rate == found['values']['optimizer.learning_rate']
  assert sweep.main([*line[:-3], '--trials=3', *line[-2:]]) == 0
  again = runs.read_json(out / 'demo.json')['methods']['neggrad']
  assert again['tried'][:2] == found['tried'] and again['trials'] == 3
  capsys.readouterr()


@pytest.mark.slow
@pytest.mark.filterwarnings('ignore')  # of the libraries
def test_trackers_are_told_of_every_trial(
    tmp_path, monkeypatch, capsys, shared_compilations):
  """Through the packages themselves: W&B offline, MLflow's own SQLite store."""
  mlflow = pytest.importorskip('mlflow', reason='needs its extra')
  pytest.importorskip('wandb', reason='needs its extra')
  for name, value in {
      'WANDB_MODE': 'offline', 'GIT_PYTHON_REFRESH': 'quiet',
      'MLFLOW_TRACKING_URI': f'sqlite:///{tmp_path}/mlflow.db'}.items():
    monkeypatch.setenv(name, value)
  line = ['--tasks=demo', '--people=12', '--images_per_person=4',
          '--architecture=tests.models.own_nets:Own', '--image_size=16',
          '--head=plain', '--stem=small', '--width=64', '--epochs=1',
          '--devices=1', '--methods=neggrad', '--trials=2',
          f'--workdir={tmp_path / "runs"}', f'--out={tmp_path}',
          '--tracker=wandb,mlflow']
  for _ in range(2):  # what is stored is not told again
    assert sweep.main(line) == 0
    assert 'failed' not in capsys.readouterr().err
  tried = runs.read_json(tmp_path / 'demo.json')['methods']['neggrad']['tried']
  client = mlflow.MlflowClient()
  told = client.search_runs([
      client.get_experiment_by_name('dlfd_jax').experiment_id])[::-1]
  folders = sorted((tmp_path / 'runs' / study.TRACKED).iterdir())
  assert [run.info.run_name for run in told] == [one.name for one in folders]
  group, = {run.data.tags['group'] for run in told}
  assert group.startswith('sweep demo-') and len(group) > 128
  for trial, run, folder in zip(tried, told, folders, strict=True):
    values = {name: str(value) for name, value in trial.pop('values').items()}
    assert run.info.status == 'FINISHED' and run.data.metrics == trial
    assert run.data.params.items() >= {'method': 'neggrad', **values}.items()
    stored, = folder.glob('wandb/offline-run-*/*.wandb')
    content = stored.read_bytes()
    for word in ('lost_retain', 'neggrad', *values, *values.values(),
                 text.bounded(folder.name, 128), text.bounded(group, 128)):
      assert word.encode() in content, word
    assert text.bounded(folder.name, 128).endswith(folder.name[-20:])
    assert group.encode() not in content


@pytest.mark.parametrize('flags, sentence', [
    (['--methods=nothing'], 'Expected --methods of'),
    (['--tasks=nothing'], 'Expected --tasks of'),
    (['--data=a.npz,b.npz'], 'Expected --data to name 1 sources'),
    (['--out=nowhere'], 'Expected the folder nowhere of --out, found '
     'none: create it first.')])
def test_a_wrong_flag_is_one_sentence(flags, sentence, tmp_path, capsys):
  folder = tmp_path / 'w'
  assert sweep.main(
      [f'--workdir={folder}', f'--out={tmp_path}', *flags]) == 2
  assert sentence in capsys.readouterr().err
  assert not folder.exists()
