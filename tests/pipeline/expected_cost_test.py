"""What a method is expected to take, from a step of each phase."""

import dataclasses

import pytest

from dlfd_jax import methods, models, presets, training as train
from dlfd_jax.methods import base, live
from dlfd_jax.pipeline import expected_cost, timing
from tests.methods import contract_test, problems

SECONDS = {'distance': 3.0, 'finetune': 1.0, 'max': 5.0, 'min': 2.0,
           'restore': 1.0, 'restore_resting': 1.0}


def expected(monkeypatch, config, checked=0.0):
  monkeypatch.setattr(expected_cost, '_CHECKED', checked)
  monkeypatch.setattr(timing, 'time_in_turns', lambda calls, *more: (
      {}, {name: [SECONDS[name]] for name in calls}))
  return expected_cost.of_method(
      problems.problem(), config, problems.devices())


def steps_of(config):
  plan, _ = methods.prepare(problems.setting(problems.problem()), config)
  return plan, plan.num_steps


def test_a_schedule_says_how_many_steps_a_phase_has(monkeypatch):
  config = contract_test.CONFIGS['scrub']
  plan, count = steps_of(config)
  phases = [plan.schedule(step) for step in range(count)]
  assert set(phases) == {'max', 'min'}
  assert expected(monkeypatch, config) == pytest.approx(
      sum(SECONDS[phase] for phase in phases))


def test_phases_that_the_run_decides_are_equally_long(monkeypatch):
  config = contract_test.CONFIGS['dlfd']
  plan, count = steps_of(config)
  assert set(plan.steps) == {'distance', 'finetune'}
  assert expected(monkeypatch, config) == pytest.approx(2.0 * count)


def test_checks_cost_what_they_read(monkeypatch):
  config = dataclasses.replace(
      contract_test.CONFIGS['finetune'], batch_size=8, check_every=2)
  _, count = steps_of(config)
  bare, whole = (expected(monkeypatch, config, of) for of in (0.0, 1.5))
  images = live.LiveAttack(
      problems.setting(problems.problem()), config.live_limit).images
  # A step is 5 passes over 8 images.
  assert whole / bare == pytest.approx(1 + 1.5 * images / (5 * 8 * 2))


def test_a_trial_counts_down_to_the_configured_rate(monkeypatch):
  config = contract_test.CONFIGS['finetune']
  _, count = steps_of(config)
  tried = dataclasses.replace(config, trial=base.TrialConfig(
      steps=7, factors=(3.0, 1.0, .1)))
  assert expected(monkeypatch, tried) == pytest.approx(count + 2 * 7)


@pytest.mark.parametrize('method', ['dlfd_restore', 'dlfd'])
def test_an_estimate_counts_passes(method, monkeypatch):
  monkeypatch.setattr(
      expected_cost, '_images_a_second', lambda *more: 100.0)
  problem = problems.problem()
  ours = presets.own_config(method)
  distance = getattr(ours, 'method', ours)
  recipe = train.TrainConfig(epochs=2, batch_size=10)
  splits = problem.splits
  cost = expected_cost.estimate(expected_cost.Workload(
      method=ours, recipe=recipe, config=models.ModelConfig(outputs=2),
      variables=problem.original, dataset=problem.dataset,
      retain=splits.retain, forget=splits.forget), problems.devices())
  assert cost['step_s']['train'] == pytest.approx(3 * 10 / 100)
  assert cost['retrain_s'] == pytest.approx(
      2 * -(-len(splits.retain) // 10) * .3)
  stages = ['distance']
  if method == 'dlfd_restore':
    stages.append('joint')
    assert cost['step_s']['joint'] == pytest.approx(
        7 * ours.restore.batch_size / 100)
  assert cost['step_s']['distance'] == pytest.approx(
      3 * (distance.perturb_steps + 2) * distance.batch_size / 100)
  assert set(cost['steps']) == {*stages, 'train'}
  assert cost['method'] == ours.title
  assert cost['unlearn_s'] == pytest.approx(sum(
      cost['steps'][name] * cost['step_s'][name] for name in stages))


@pytest.mark.slow
@pytest.mark.parametrize('name', [
    'dlfd_restore', 'scrub', *(pytest.param(name, marks=pytest.mark.long)
                               for name in (
        'salun', 'kgl_top1', 'lotus', 'margin_matching', 'unsir', 'rum'))])
def test_steps_are_timed_as_they_will_be_run(name):
  """With all that they read: a phase has constants and batches of its own."""
  seconds = expected_cost.of_method(
      problems.problem(), contract_test.CONFIGS[name], problems.devices())
  assert 0 < seconds < 600
