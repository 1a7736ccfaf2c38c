"""``unlearn`` and ``evaluate`` by two processes, one of them asked to stop."""

import signal
import time

import numpy as np
import pytest

from dlfd_jax.cli import evaluate, exit_codes, train, unlearn
from dlfd_jax.utils import runs
from tests import processes
from tests.cli import runs_of
from tests.slow import kill


def _two(command, flags):
  address = processes.address()
  return [processes.start(
      'dlfd_jax', command, *flags, '--num_processes=2',
      f'--coordinator={address}', f'--process_id={i}') for i in range(2)]


@pytest.fixture(scope='module')
def unlearned(tmp_path_factory, faces):
  """An unlearning of two, stopped by SIGTERM at one, then run to its end."""
  folder = tmp_path_factory.mktemp('two')
  assert train.main([
      *runs_of.data_flags(faces), '--on=all', '--epochs=1', '--batch_size=16',
      '--architecture=tests.models.own_nets:Own',
      f'--workdir={folder / "original"}']) == 0
  flags = [f'--original={folder / "original"}', f'--workdir={folder / "run"}',
           '--forget_people=4', '--batch_size=8', '--epochs=30',
           '--perturb_steps=1']
  log = folder / 'run' / runs.METRICS
  both = _two('unlearn', flags)
  end = time.monotonic() + processes.PATIENCE_S
  while time.monotonic() < end and all(p.poll() is None for p in both) and (
      not log.is_file() or log.read_text().count('"check"') < 2):
    time.sleep(0.02)
  both[1].send_signal(signal.SIGTERM)
  stopped = processes.ended(both)
  codes = [p.returncode for p in both]
  again = _two('unlearn', flags)
  ended = processes.ended(again)
  return folder, (codes, stopped), ([p.returncode for p in again], ended)


@pytest.mark.long
def test_sigterm_at_one_process_stops_both_and_both_go_on(unlearned):
  folder, (codes, stopped), (again, ended) = unlearned
  assert codes == [exit_codes.INTERRUPTED] * 2, stopped
  assert again == [exit_codes.OK] * 2, ended
  result = runs.read_json(folder / 'run' / runs.RESULT)
  assert result['processes'] == 2 and result['devices'] == 4
  steps = [e['step'] for e in runs.read_events(folder / 'run' / runs.METRICS)
           if e['event'] == 'check']
  assert steps == sorted(steps) and steps[-1] == result['steps']
  assert len(steps) == len(set(steps)) + 1  # where the second stage begins


@pytest.mark.long
def test_two_processes_choose_as_one_does(unlearned, capsys):
  folder, *_ = unlearned
  flags = [f'--original={folder / "original"}', '--forget_people=8',
           '--method=auto', '--budget=30', '--candidates=finetune,retrain']
  two = _two('unlearn', [*flags, f'--workdir={folder / "auto_two"}'])
  said = processes.ended(two)
  assert two[0].returncode == two[1].returncode in (
      exit_codes.OK, exit_codes.UNUSABLE), said
  assert unlearn.main([*flags, f'--workdir={folder / "auto_one"}']) in (
      exit_codes.OK, exit_codes.UNUSABLE)
  capsys.readouterr()
  by_two, by_one = (runs.read_result(folder / name)['auto']
                    for name in ('auto_two', 'auto_one'))
  assert by_two['taken'] == by_one['taken'] == 'retrain'
  assert [one['outcome'] for one in by_two['candidates']] == [
      one['outcome'] for one in by_one['candidates']]
  for a, b in zip(by_two['original'], by_one['original'], strict=True):
    assert a['attack'] == b['attack']
    np.testing.assert_allclose(a['auc'], b['auc'], atol=1e-3)


@pytest.mark.long
def test_two_processes_evaluate_as_one_does(unlearned, capsys):
  folder, *_ = unlearned
  flags = [f'--original={folder / "original"}', f'--unlearned={folder / "run"}',
           '--bootstrap=20']
  two = _two('evaluate', [*flags, f'--workdir={folder / "by_two"}'])
  said = processes.ended(two)
  assert [p.returncode for p in two] == [exit_codes.OK] * 2, said
  assert evaluate.main([*flags, f'--workdir={folder / "by_one"}']) == 0
  capsys.readouterr()
  by_two, by_one = (
      {r['metric']: r['unlearned']['value'] for r in runs.read_json(
          folder / name / runs.RESULT)['metrics'] if r.get('unlearned')}
      for name in ('by_two', 'by_one'))
  assert by_two.keys() == by_one.keys() and 'mia_auc_matched' in by_one
  for name, value in by_one.items():
    if value is None:
      assert by_two[name] is None
    else:
      np.testing.assert_allclose(by_two[name], value, atol=1e-3, err_msg=name)


@pytest.mark.long
def test_an_evaluation_of_two_that_was_killed_goes_on(unlearned):
  folder, *_ = unlearned
  flags = [f'--original={folder / "original"}', f'--unlearned={folder / "run"}',
           '--bootstrap=20', '--tier=1', '--relearn_steps=3',
           '--relearn_seeds=2', '--recovery_steps=3']
  whole, killed = folder / 'whole', folder / 'killed'
  alone = _two('evaluate', [*flags, f'--workdir={whole}'])
  said = processes.ended(alone)
  assert [p.returncode for p in alone] == [exit_codes.OK] * 2, said
  flags.append(f'--workdir={killed}')
  both = _two('evaluate', flags)
  kept = killed / runs.CHECKPOINTS
  end = time.monotonic() + processes.PATIENCE_S
  while time.monotonic() < end and all(p.poll() is None for p in both) and (
      len(list(kept.glob('recovery-*.npz'))) < 2):
    time.sleep(0.02)
  for process in both:
    process.send_signal(signal.SIGKILL)
  said = processes.ended(both)
  assert [p.returncode for p in both] == [-signal.SIGKILL] * 2, said
  assert len(list(kept.glob('relearn-*.npz'))) == 2
  again = _two('evaluate', flags)
  said = processes.ended(again)
  assert [p.returncode for p in again] == [exit_codes.OK] * 2, said
  assert 'of them finished before. Expected for the rest' in said[0]
  assert not kill.differences(whole, killed)
