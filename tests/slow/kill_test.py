"""Kills of some commands: nothing is lost; the page has all of them."""

import pytest

from tests.slow import kill


@pytest.mark.long
def test_stopped_commands_end_as_those_left_alone(tmp_path, monkeypatch):
  monkeypatch.setenv('JAX_DISABLE_MOST_OPTIMIZATIONS', '1')
  for found in kill.everything(
      tmp_path, n=4, seed=1, epochs=3, minutes=10,
      names=['train', 'unlearn', 'check']):
    assert found['differences'] == found['broken'] == [], found
    assert len(found['kills']) >= 1


def test_some_commands_are_stopped_anew_and_the_others_kept():
  earlier = {'command': 'kill --n=9', 'campaigns': [
      {'command': name, 'runs': 1} for name in ('verify', 'train')]}
  found = kill.merged([{'command': 'verify', 'runs': 2}], earlier)
  assert found == {'earlier': ['kill --n=9'], 'campaigns': [
      {'command': 'train', 'runs': 1}, {'command': 'verify', 'runs': 2}]}
  assert kill.merged([], {})['earlier'] == []


def test_times_do_not_count_as_differences():
  one = {'step': 3, 'work_s': 1.0, 'a': [{'b_s': 2, 'c': 4}], 'time': {}}
  assert kill.without_times(one) == {'step': 3, 'a': [{'c': 4}]}


def test_files_that_are_lost_left_over_or_changed_are_differences(tmp_path):
  one, other = tmp_path / 'one', tmp_path / 'other'
  for folder, names in ((one, 'abc'), (other, 'bcd')):
    folder.mkdir()
    for name in names:
      (folder / f'{name}.pth').write_text(f'{name}{folder}' * (name == 'b'))
  assert kill.differences(one, other) == [
      'other: a.pth is lost', 'other: d.pth is left over',
      'other: b.pth differs']
