"""What a run's cost is made of."""

import types

import pytest

from experiments.paper import costs


def _done():
  return {'time': {'compile_s': {'max': 9.0, 'min': 9.0},
                   'phase_steps': {'max': 3, 'min': 9}, 'checks': 4}}


def test_steps_checks_start_and_choice_are_all_counted():
  cost = {'prepare': .5, 'check': .1, 'choose': .25, 'train': 1.0,
          'max': .02, 'min': .03, 'stages': 2}
  seconds = costs.seconds_of(_done(), cost)
  # The first step of a phase, the first check of a stage are not in the clock.
  assert seconds == pytest.approx(
      .5 + 6 * .1 + .25 + 4 * .02 + 10 * .03)
  study = types.SimpleNamespace(trained={
      'retrained': types.SimpleNamespace(record={'steps': 8})})
  assert costs.retraining_share(study, _done(), cost) == pytest.approx(
      seconds / 8)
