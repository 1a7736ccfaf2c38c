"""The account of commands, from real runs."""

import pytest

from dlfd_jax.utils import runs
from experiments.benchmarks import command_seconds


@pytest.mark.slow
def test_a_command_that_fails_is_an_error(tmp_path):
  with pytest.raises(RuntimeError, match='report ended with 2: .*Expected'):
    command_seconds.account_of(tmp_path, 'report', f'--evaluation={tmp_path}')


@pytest.mark.slow
def test_a_command_tells_its_account(tmp_path):
  found = command_seconds.account_of(
      tmp_path, 'check', '--data=synthetic', '--people=6', '--forget_people=1',
      '--image_size=16', '--repeats=0', f'--workdir={tmp_path / "check"}')
  assert set(found) == {
      'wall', 'cpu', 'compiling', 'compiled', 'from_cache', 'parts'}
  assert {'start', 'data', 'rest'} <= set(found['parts'])
  assert sum(found['parts'].values()) == pytest.approx(found['wall'])


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
