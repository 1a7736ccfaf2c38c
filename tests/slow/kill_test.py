"""Three kills of each command: nothing is lost."""

import pytest

from tests.slow import kill


@pytest.mark.slow
def test_killed_runs_end_as_those_left_alone(tmp_path, monkeypatch):
  monkeypatch.setenv('JAX_DISABLE_MOST_OPTIMIZATIONS', '1')
  for found in kill.everything(
      tmp_path, n=3, seed=1, epochs=3,
      network=['--architecture=tests.models.own_nets:Own']):
    assert found['differences'] == [], found
    assert len(found['kills']) == 3


def test_times_do_not_count_as_differences():
  one = {'step': 3, 'work_s': 1.0, 'a': [{'b_s': 2, 'c': 4}], 'time': {}}
  assert kill.without_times(one) == {'step': 3, 'a': [{'c': 4}]}
