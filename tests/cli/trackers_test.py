"""Runs told to TensorBoard, Weights & Biases and MLflow, all offline."""

import json
import sys

import pytest

from dlfd_jax.cli import evaluate, trackers, unlearn
from dlfd_jax.utils import runs

pytestmark = pytest.mark.filterwarnings('ignore')  # of the libraries
LEARNING_RATE = '0.0123'


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
  for name, value in {
      'WANDB_MODE': 'offline', 'MLFLOW_TRACKING_URI': f'file:{tmp_path}/store',
      'MLFLOW_ALLOW_FILE_STORE': 'true', 'GIT_PYTHON_REFRESH': 'quiet',
      'MLFLOW_EXPERIMENT_NAME': 'mine'}.items():
    monkeypatch.setenv(name, value)


def _unlearn(original, workdir, tracker):
  return [f'--original={original}', '--forget_people=2', '--epochs=1',
          '--batch_size=16', '--method=finetune', f'--workdir={workdir}',
          f'--learning_rate={LEARNING_RATE}', f'--tracker={tracker}']


def _in_mlflow():
  import mlflow
  client = mlflow.MlflowClient()
  return client, client.search_runs([
      client.get_experiment_by_name('mine').experiment_id])


def _files(folder):
  return b''.join(path.read_bytes() for path in sorted(folder.rglob('*'))
                  if path.is_file())


@pytest.mark.slow
def test_a_run_and_its_evaluation_are_told(original, tmp_path, capsys):
  for module, _ in trackers.LIBRARIES.values():
    pytest.importorskip(module, reason='needs its extra')
  run, judged = tmp_path / 'run', tmp_path / 'evaluation'
  every = ','.join(trackers.LIBRARIES)
  assert unlearn.main(_unlearn(original, run, every)) == 0
  assert evaluate.main([
      f'--original={original}', f'--unlearned={run}', '--bootstrap=20',
      f'--workdir={judged}', f'--tracker={every}']) == 0
  assert unlearn.main(_unlearn(original, run, every)) == 0  # told once
  assert 'failed' not in capsys.readouterr().err
  for folder in ('tensorboard', 'wandb'):
    told = _files(run / folder)
    for word in (b'check/val_accuracy', b'steps/loss',
                 b'config.optimizer.learning_rate',
                 b'final/accuracies/unlearned/val'):
      assert word in told, word
    assert b'tick/' not in told
    assert b'final/unlearned/accuracy_test' in _files(judged / folder)
  checks = [line for line in map(json.loads, (
      run / runs.METRICS).read_text().splitlines()) if line['event'] == 'check']
  client, (of_judged, of_run) = _in_mlflow()  # the last one first
  assert of_run.data.params['config.optimizer.learning_rate'] == LEARNING_RATE
  assert of_run.data.metrics['final/accuracies/unlearned/val'] == (
      runs.read_json(run / runs.RESULT)['accuracies']['unlearned']['val'])
  assert [(m.step, m.value) for m in client.get_metric_history(
      of_run.info.run_id, 'check/val_accuracy')] == [
          (check['step'], check['val_accuracy']) for check in checks]
  assert {of_run.info.status, of_judged.info.status} == {'FINISHED'}
  assert 0 <= of_judged.data.metrics['final/unlearned/mia_auc'] <= 1


class _Fake:
  """Remembers what it was told; fails where it is asked to."""

  def __init__(self, about, said, fails):
    self.id = about.id or f'id {len(said)}'
    self._said, self._fails = said, fails
    said.append(('begin', self.id, about.config))

  def log(self, numbers, step):
    if step == self._fails:
      raise OSError('the server is gone\nand more')
    self._said.append((step, numbers))

  def end(self, final, failed):
    self._said.append(('end', final, failed))


@pytest.fixture
def fake(monkeypatch):
  said = []

  def install(fails=None):
    monkeypatch.setitem(trackers._MAKERS, 'wandb',
                        lambda about: _Fake(about, said, fails))
    monkeypatch.setitem(sys.modules, 'wandb', sys)  # installed or not
    return said

  return install


def test_one_that_fails_midway_does_not_lose_the_run(
    fake, original, tmp_path, capsys):
  said = fake(fails=4)
  assert unlearn.main(_unlearn(original, tmp_path / 'run', 'wandb')) == 0
  begin, *steps = [step for step, *_ in said]
  assert begin == 'begin' and steps[0] == 0 and max(steps) == 3
  error = capsys.readouterr().err
  assert error.count('wandb failed, and the run goes on without it: OSError: '
                     'the server is gone') == 1
  assert 'and more' not in error
  assert runs.read_json(tmp_path / 'run' / runs.RESULT)['stop'] == 'finished'


def test_a_stopped_run_goes_on_where_it_was(fake, tmp_path):
  said = fake()
  runs.write_json(tmp_path / runs.CONFIG, {
      'seed': 3, 'rows': {}, 'request_id': 'of Ann'})
  asked = trackers.Trackers(('wandb',))
  with pytest.raises(KeyboardInterrupt), asked.run(tmp_path) as run:
    run.hooks[0]({'event': 'check', 'step': 1, 'num_steps': 9, 'loss': .5,
                  'next_phase': 'x', 'val_loss': float('nan')})
    raise KeyboardInterrupt
  for _ in range(2):  # the second time it is finished
    with asked.run(tmp_path) as run:
      run.finish({'accuracy': .5})
  assert said == [
      ('begin', 'id 0', {'seed': 3}), (1, {'check/loss': .5}),
      ('end', None, True), ('begin', 'id 0', {'seed': 3}),
      ('end', {'accuracy': .5}, False)]


def test_nobody_is_asked_for_a_key_in_the_middle_of_a_run(
    original, tmp_path, monkeypatch, capsys):
  class Wandb:  # as far as it is asked
    login = staticmethod(lambda prompt, verify: prompt)

  monkeypatch.setitem(sys.modules, 'wandb', Wandb)
  monkeypatch.setenv('WANDB_MODE', 'online')
  assert unlearn.main(_unlearn(original, tmp_path / 'run', 'wandb')) == 2
  assert 'WANDB_API_KEY' in capsys.readouterr().err
  assert not (tmp_path / 'run').exists()


@pytest.mark.parametrize('name', trackers.LIBRARIES)
def test_without_its_library_nothing_starts(
    name, original, tmp_path, monkeypatch, capsys):
  module, extra = trackers.LIBRARIES[name]
  monkeypatch.setitem(sys.modules, module, None)
  assert unlearn.main(_unlearn(original, tmp_path / 'run', name)) == 2
  assert capsys.readouterr().err == (
      f'error: Expected {module} for --tracker={name}: install the extra '
      f"{extra} (in the clone: pip install -e '.[{extra}]').\n")
  assert not (tmp_path / 'run').exists()
