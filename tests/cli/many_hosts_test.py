"""A run of two processes on the command line, and one of them killed."""

import json
import signal
import time

import pytest

from dlfd_jax.cli import train
from dlfd_jax.utils import runs
from tests import processes
from tests.cli import runs_of

_ENDS_WITHIN_S = 60


@pytest.mark.parametrize('flags, words', [
    (['--num_processes=2'], 'Expected all of --coordinator, --num_processes'),
    (['--coordinator=here', '--num_processes=2', '--process_id=0'],
     "Expected --coordinator as host:port, the port from 1 to 65535, "
     "got 'here'"),
])
def test_a_start_that_lacks_something_is_one_sentence(
    tmp_path, faces, capsys, flags, words):
  assert train.main([*runs_of.data_flags(faces), *flags,
                     f'--workdir={tmp_path / "run"}']) == 2
  assert words in capsys.readouterr().err
  assert not (tmp_path / 'run').exists()


@pytest.fixture(scope='module')
def killed(tmp_path_factory, faces):
  """A training of two processes; the second is killed at a checkpoint."""
  workdir = tmp_path_factory.mktemp('killed') / 'run'
  flags = [*runs_of.data_flags(faces), '--on=all', '--batch_size=16',
           '--architecture=tests.models.own_nets:Own',
           '--checkpoint_seconds=0', f'--workdir={workdir}']
  address = processes.address()
  both = [processes.start(
      'experiments.train', *flags, '--epochs=2000', '--num_processes=2',
      f'--coordinator={address}', f'--process_id={i}') for i in range(2)]
  saved = workdir / runs.CHECKPOINTS / 'loop'
  end = time.monotonic() + processes.PATIENCE_S
  while time.monotonic() < end and all(p.poll() is None for p in both) and (
      not saved.is_dir() or not any(p.name.isdigit() for p in saved.iterdir())):
    time.sleep(0.1)
  alive = [p.poll() is None for p in both]
  heard = processes.heard_on(address)
  both[1].send_signal(signal.SIGKILL)
  start = time.monotonic()
  said = processes.ended(both[:1], 2 * _ENDS_WITHIN_S)
  seconds = time.monotonic() - start
  said += processes.ended(both[1:])
  assert alive == [True, True], said
  return workdir, flags, both[0], said, seconds, heard


@pytest.mark.long
def test_when_one_process_dies_the_other_ends_and_said_why_before(killed):
  _, _, process, said, seconds, heard = killed
  assert process.returncode != 0
  assert seconds < _ENDS_WITHIN_S
  assert 'Process 0 of 2 with 2 of 4 devices' in said[0]
  assert 'the last checkpoint' in said[0]
  assert heard <= set(processes.LOOPBACK)


@pytest.mark.long
def test_one_process_goes_on_from_the_last_checkpoint_of_two(killed):
  workdir, flags, *_ = killed
  steps = json.loads((workdir / runs.CONFIG).read_text())['train']['epochs']
  assert steps == 2000
  events = runs.read_events(workdir / runs.METRICS)
  assert [e['step'] for e in events if e['event'] == 'check'] == sorted(
      {e['step'] for e in events if e['event'] == 'check'})  # written once
  alone = processes.start(
      'experiments.train', *flags, '--epochs=2000', '--checkpoint_seconds=0')
  log = workdir / runs.METRICS
  before = log.stat().st_size
  end = time.monotonic() + processes.PATIENCE_S
  while time.monotonic() < end and alone.poll() is None and (
      log.stat().st_size <= before + 2000):
    time.sleep(0.1)
  alone.send_signal(signal.SIGTERM)
  said, = processes.ended([alone])
  assert alone.returncode == 75, said
  again = [e['step'] for e in runs.read_events(log) if e['event'] == 'check']
  assert again == sorted(set(again)) and len(again) > 1
