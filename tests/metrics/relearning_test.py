"""Relearn time and AIN on a problem that can be done by hand."""

import math

import numpy as np
import pytest

from dlfd_jax.metrics import relearning


def _one_weight(w, steps=10):
  """Accuracies of one weight, margin w, logistic loss, rate 1."""
  seen = []
  for _ in range(steps + 1):
    seen.append(float(w > 0))
    w += 1 / (1 + math.exp(w))
  return relearning.first_reach(seen, 1.0)


def test_one_weight_by_hand():
  quick, slow = _one_weight(-1.), _one_weight(-2.)
  assert (quick.steps, slow.steps) == (2, 3)
  index = relearning.ain(quick, slow)
  assert index == .75
  assert math.log2(index) == pytest.approx(-.415037, abs=1e-6)
  assert relearning.log2_steps(quick) - relearning.log2_steps(
      slow) == pytest.approx(-.415037, abs=1e-6)


def test_one_step_of_difference_is_not_a_factor_of_a_hundred():
  """Epochs with .01 added would give .0099 or 101."""
  a, b = relearning.RelearnTime(0), relearning.RelearnTime(1)
  smoothed = .01 / 1.01
  assert smoothed == pytest.approx(.009901, abs=1e-6)
  assert relearning.ain(a, b) == .5
  assert relearning.ain(relearning.RelearnTime(2), b) == 1.5


def test_the_first_step_at_the_target_counts():
  goal = relearning.target(1.0)
  assert goal == pytest.approx(.95)
  assert relearning.first_reach([.96], goal).steps == 0
  found = relearning.first_reach([.2, .95, .4, 1.], goal)
  assert found == relearning.RelearnTime(1)


def test_a_run_that_never_gets_there_is_capped():
  found = relearning.first_reach([.2, .3, .4], .95)
  assert found == relearning.RelearnTime(2, capped=True)


def test_ain_is_undefined_without_a_retrained_time():
  two = relearning.RelearnTime(2)
  assert relearning.ain(two, relearning.RelearnTime(9, capped=True)) is None
  assert relearning.ain(two, relearning.RelearnTime(0)) is None
  assert relearning.ain(relearning.RelearnTime(9, capped=True), two) == 10 / 3


@pytest.mark.parametrize('call, message', [
    (lambda: relearning.first_reach([], .5), 'one accuracy, got none'),
    (lambda: relearning.target(1., 1.), r'tolerance in \[0, 1\), got 1'),
    (lambda: relearning.RelearnTime(-1), 'steps >= 0, got -1')])
def test_bad_input_is_refused(call, message):
  with pytest.raises(ValueError, match=message):
    call()


def test_equal_models_have_an_index_of_one():
  rng = np.random.default_rng(0)
  for steps in rng.integers(1, 50, 5):
    time = relearning.RelearnTime(int(steps))
    assert relearning.ain(time, time) == 1
