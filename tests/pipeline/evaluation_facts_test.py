"""Speed-up: never without a stated search time."""

import types

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


@pytest.mark.parametrize('other, compared', [
    ({}, True), ({'device': 'cuda H200'}, False), ({'devices': 8}, False),
    ({'compute_dtype': 'bfloat16'}, False)])
def test_seconds_are_compared_on_one_machine_alone(other, compared):
  record = {'device': 'cpu', 'devices': 1, 'compute_dtype': 'float32'}
  judged = {name: types.SimpleNamespace(record={
      **record, 'time': {'work_s': 3.}, **more}) for name, more in (
          ('original', {'device': 'tpu'}), ('unlearned', {}),
          ('retrained_0', {}), ('retrained_1', other))}
  found = evaluation_facts.efficiency(judged, 0.)
  assert (found['speed_up']['value'] is not None) == compared
  assert found['time_s']['retrained'] == 3
  judged['retrained_1'].record = {}  # one of another tool
  assert evaluation_facts.efficiency(judged, 0.)['speed_up']['value'] == 1
