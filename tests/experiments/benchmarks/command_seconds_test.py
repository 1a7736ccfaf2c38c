"""The account of commands: read from their last lines, and from real runs."""

import time

import pytest

from dlfd_jax.utils import runs, spent
from experiments.benchmarks import command_seconds


def test_the_line_of_a_command_is_read():
  with spent.account(time.perf_counter() - 2):
    with spent.on('pages'):
      pass
    line = spent.sentence({'time': {
        'trial_s': 1.5, 'compile_s': {'a': .5}, 'phase_s': {'a': .25},
        'first_check_s': 0.0, 'check_s': 0.0, 'choose_s': 0.0,
        'checkpoint_s': 3e3}})
  found = command_seconds.parsed('something\n' + line.replace(' ', '\n  ', 9))
  assert found['wall'] == pytest.approx(2, abs=.5)
  assert found['parts'] == {
      'start': pytest.approx(2, abs=.5), 'pages': 0, 'trial': 1.5,
      'first steps': .5, 'steps': .2, 'checks': 0, 'choice': 0,
      'checkpoints': 3e3}
  assert found['compiled'] == found['from_cache'] == 0


def test_a_command_that_tells_nothing_is_an_error():
  with pytest.raises(ValueError, match='got: nothing'):
    command_seconds.parsed('nothing')


@pytest.mark.long
def test_commands_first_and_again(tmp_path, monkeypatch):
  for name in ('XLA_FLAGS', 'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS'):
    monkeypatch.delenv(name, raising=False)  # as a user has it
  out = tmp_path / 'seconds'
  assert command_seconds.main([
      '--data=synthetic', '--image_size=16', '--width=4', '--stem=small',
      f'--workdir={tmp_path / "work"}', f'--out={out}']) == 0
  rows = {(row['command'], row['turn']): row
          for row in runs.read_json(f'{out}.json')['rows']}
  assert list(rows) == [
      (name, turn) for turn, names in command_seconds.ROUNDS.items()
      for name in names]
  assert rows['evaluate', 'first']['compiled'] > 0
  assert rows['evaluate', 'again']['compiled'] == 0
  assert all(sum(row['parts'].values()) == pytest.approx(row['wall'], abs=1)
             for row in rows.values())
  assert not (tmp_path / 'work').exists()
