"""Speed-up: never without a stated search time."""

import pytest

from dlfd_jax.pipeline import evaluation_facts


def test_speed_up_with_and_without_the_search():
  cells = evaluation_facts.speed_up(600, 30, 270)
  assert cells['speed_up'].value == 20
  assert cells['speed_up_with_search'].value == 2


def test_a_search_of_zero_may_be_stated():
  cells = evaluation_facts.speed_up(600, 30, 0)
  assert cells['speed_up'].value == cells['speed_up_with_search'].value == 20


@pytest.mark.parametrize('retrain, search, reason', [
    (600, None, 'not stated'), (None, 0, 'no retrained model')])
def test_no_speed_up_without_all_times(retrain, search, reason):
  for cell in evaluation_facts.speed_up(retrain, 30, search).values():
    assert cell.value is None and reason in cell.reason


@pytest.mark.parametrize('times, message', [
    ((0, 30, 0), 'retrain_s > 0, got 0'), ((600, -1, 0), 'unlearn_s > 0'),
    ((600, 30, -1), 'search_s >= 0')])
def test_bad_times_are_refused(times, message):
  with pytest.raises(ValueError, match=message):
    evaluation_facts.speed_up(*times)


@pytest.mark.parametrize('record, reason', [
    ({'device_peak_bytes': None}, 'that of the host'), ({}, 'not recorded')])
def test_unknown_memory_of_a_device_is_no_zero(record, reason):
  cell = evaluation_facts.device_peak(record)
  assert cell['value'] is None and reason in cell['reason']
  assert evaluation_facts.device_peak({'device_peak_bytes': 7})['value'] == 7
