"""Where a process's seconds go: only in a command, and all of them."""

import re
import time

import jax
import pytest

from dlfd_jax.utils import spent


def test_without_an_account_nothing_is_kept():
  with spent.on(spent.READ):
    pass
  assert spent.so_far() == {} and spent.of_command({}) is None


def test_each_result_of_a_process_has_its_own_account():
  with spent.account(time.perf_counter() - 2):
    first = spent.since_last()
    assert first['start_s'] >= 2
    with spent.on(spent.READ):
      time.sleep(.02)
    jax.jit(lambda x: 5 * x - 11)(jax.numpy.ones(7)).block_until_ready()
    second, whole = spent.since_last(), spent.so_far()
  assert second['start_s'] == 0 and second['read_s'] >= .02
  for name in ('cpu_s', 'compiling_s', 'compiled', 'from_cache'):
    assert first[name] + second[name] == pytest.approx(whole[name], abs=.05)
  assert second['compiled'] + second['from_cache'] >= 1
  assert spent.since_last() == {}


def test_parts_and_rest_are_the_whole():
  with spent.account(time.perf_counter() - 2):
    with spent.on(spent.READ):
      time.sleep(.02)
    with spent.on(spent.READ):
      time.sleep(.02)
    jax.jit(lambda x: 3 * x + 17)(jax.numpy.ones(5)).block_until_ready()
    now = spent.so_far()
    said = spent.sentence(spent.of_command({}))
  assert now['start_s'] >= 2 and now['read_s'] >= .04
  assert now['compiling_s'] > 0 and now['compiled'] + now['from_cache'] >= 1
  parts = re.match(
      r'([\d.]+) s, [\d.]+ s of CPU time: start ([\d.]+), data ([\d.]+), '
      r'rest ([\d.]+); of these [\d.]+ to trace and compile, (\d+) programs '
      r'anew and (\d+) from the cache\.$', said)
  whole, *rest = map(float, parts.groups()[:4])
  assert sum(rest) == pytest.approx(whole, abs=.3)
  assert spent.so_far() == {}


def test_a_runs_own_clock_and_an_evaluations_parts_are_named():
  clock = {'phase_s': {'a': 1., 'b': 2.}, 'compile_s': {
      'a': 4., 'trial': 2.},
           'check_s': .5, 'first_check_s': .25, 'choose_s': .125,
           'checkpoint_s': 0., 'trial_s': 8.}
  with spent.account(time.perf_counter() - 100):
    said = spent.sentence(spent.of_command({'time': clock}))
    assert ('trial 10.0, first steps 4.0, steps 3.0, checks 0.8, choice 0.1, '
            'checkpoints 0.0 (with') in said
    said = spent.sentence(spent.of_command({'efficiency': {'evaluate_s': {
        'models': 4., 'outputs': 1., 'figures': 2., 'relearn': 3.,
        'expected_of_rest': 5., 'cpu': 9.}}}))
    assert 'models 4.0, outputs 1.0, figures 2.0 (with' in said
