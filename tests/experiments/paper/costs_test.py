"""What a run's cost is made of."""

import types

import pytest

from dlfd_jax import checkpoint, models, presets
from dlfd_jax.methods import finetune, restore, rum
from dlfd_jax.utils import runs
from experiments.paper import costs
from tests.methods import problems


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


@pytest.mark.long
@pytest.mark.parametrize('config, phases', [
    (restore.RestoreConfig(), {'finetune', 'restore', 'restore_resting'}),
    (rum.RumConfig(high=finetune.FinetuneConfig()), {'finetune'})])
def test_every_stage_of_a_method_is_measured(
    config, phases, tmp_path, monkeypatch):
  problem = problems.flat()
  monkeypatch.setattr(models, 'build', lambda config: problem.model)
  study = types.SimpleNamespace(
      devices=problems.devices(), dataset=problem.dataset, seed=0,
      splits=problem.splits, saved=checkpoint.SavedModel(
          problem.original, None, problem.task, problem.dataset.image_size),
      task=types.SimpleNamespace(preset=presets.PRESETS['demo']))
  cost = costs.measure(
      tmp_path / 'cost.json', study, problems.short(config))
  assert cost['stages'] == 2 and phases < set(cost)
  assert all(cost[name] > 0 for name in (*phases, 'prepare', 'check', 'train'))
  assert runs.read_json(tmp_path / 'cost.json') == cost
