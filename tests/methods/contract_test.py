"""What every method promises, over the registry."""

import dataclasses
import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlfd_jax import checkpoint
from dlfd_jax import methods
from dlfd_jax import runs
from dlfd_jax import train
from dlfd_jax.methods import dlfd
from dlfd_jax.methods import dlfd_released
from dlfd_jax.methods import finetune
from dlfd_jax.methods import monitor
from tests.methods import problems

SHARED = {'batch_size': 8, 'check_every': 1}
CONFIGS = {
    'dlfd': dlfd.DLFDConfig(
        **SHARED, perturb_steps=1, sinkhorn=problems.SMALL, epochs=2,
        forget_threshold=0.0, select_threshold=0.7),
    'official_compat': dlfd_released.DLFDReleasedConfig(
        **SHARED, perturb_steps=1, forget_threshold=0.0, select_threshold=0.7),
    'finetune': finetune.FinetuneConfig(
        **SHARED, epochs=2, select_threshold='null_95'),
}
STEPS = {'dlfd': 6, 'official_compat': 2, 'finetune': 6}
every_method = pytest.mark.parametrize('name', sorted(methods.METHODS))
# The released form compiles one program more than the others: rarer.
mostly = pytest.mark.parametrize('name', [
    pytest.param(name, marks=(
        pytest.mark.slow if name == 'official_compat' else ()))
    for name in sorted(methods.METHODS)])


def run(name, problem=None, count=1, **options):
  return methods.unlearn(
      problem or problems.problem(), CONFIGS[name],
      devices=problems.devices(count), **options)


def test_every_method_is_under_contract():
  assert set(CONFIGS) == set(methods.METHODS)
  for name, config in CONFIGS.items():
    assert type(config) is methods.METHODS[name].config
  titles = [method.title for method in methods.METHODS.values()]
  assert len(set(titles)) == len(titles)


@every_method
def test_it_runs_and_changes_the_parameters_alone(name):
  check_run(name, 'multiclass')


@mostly
def test_it_runs_on_many_labels(name):
  check_run(name, 'multilabel')


def check_run(name, kind):
  problem = problems.problem(kind)
  before = jax.tree.map(np.copy, problem.original)
  # The original as device arrays: a donated buffer would be gone afterwards.
  problem = dataclasses.replace(
      problem, original=jax.tree.map(jnp.asarray, problem.original))
  pixels = problem.dataset.images.copy()
  out = run(name, problem)
  assert (out.stop, out.steps) == ('finished', STEPS[name])
  assert problems.same(problem.original, before)
  np.testing.assert_array_equal(problem.dataset.images, pixels)
  for variables in (out.selected, out.last):
    assert all(np.isfinite(leaf).all() for leaf in problems.leaves(variables))
    assert not problems.same(variables['params'], before['params'])
    checkpoint.check_same_shapes(variables, before, 'the result')
  assert [figures['step'] for figures in out.history] == list(
      range(STEPS[name] + 1))
  for figures in out.history:
    assert all(np.isfinite(value) for value in figures.values())
  assert out.findings['original_forgetting_score'] == (
      out.history[0]['forgetting_score'])
  assert out.reason and out.config == CONFIGS[name]


@every_method
def test_it_is_deterministic_in_its_seed(name):
  first, again = (run(name, problems.problem(seed=5)) for _ in range(2))
  assert problems.same(first.last, again.last)
  assert problems.same(first.selected, again.selected)
  assert first.history == again.history
  if name != 'official_compat':  # it reads in file order, without any draw
    other = run(name, problems.problem(seed=6))
    assert not problems.same(first.last, other.last)


@every_method
def test_it_never_reads_test(name):
  problem = problems.problem()
  images, labels = (
      getattr(problem.dataset, field).copy() for field in ('images', 'labels'))
  test = problem.splits.test
  images[test] = 255 - images[test]
  labels[test] = (labels[test] + 1) % 3
  poisoned = dataclasses.replace(problem, dataset=dataclasses.replace(
      problem.dataset, images=images, labels=labels))
  clean, other = run(name, problem), run(name, poisoned)
  assert problems.same(clean.last, other.last)
  assert problems.same(clean.selected, other.selected)
  assert clean.history == other.history


@mostly
def test_streamed_images_give_the_result_of_those_on_the_device(name):
  resident, streamed = run(name), run(name, device_bytes=0)
  assert problems.largest_difference(resident.last, streamed.last) < 1e-6
  assert resident.selected_step == streamed.selected_step


def without_times(event):
  return {name: value for name, value in event.items()
          if not name.endswith('_s')}


@every_method
def test_it_resumes_to_the_same_result(name, tmp_path):
  log = runs.MetricsLog()
  whole = run(name, log=log)

  def stop(event):
    if event['event'] == 'tick' and event['step'] == STEPS[name] // 2:
      os.kill(os.getpid(), signal.SIGTERM)

  saver = checkpoint.LoopCheckpoints(tmp_path)
  logs = [runs.MetricsLog(tmp_path / runs.METRICS) for _ in range(2)]
  halted = run(name, checkpoints=saver, log=logs[0], hooks=[stop])
  saver.close()
  assert halted.stop == 'interrupted' and halted.steps < STEPS[name]
  saver = checkpoint.LoopCheckpoints(tmp_path)
  resumed = run(
      name, checkpoints=saver, log=runs.MetricsLog(tmp_path / runs.METRICS))
  saver.close()
  assert resumed.stop == 'finished'
  assert problems.same(whole.last, resumed.last)
  assert problems.same(whole.selected, resumed.selected)
  assert whole.history == resumed.history
  assert (whole.selected_step, whole.reason, whole.findings) == (
      resumed.selected_step, resumed.reason, resumed.findings)
  events = runs.read_events(tmp_path / runs.METRICS)
  assert [without_times(event) for event in events] == [
      without_times(event) for event in log.events]


@every_method
def test_each_step_and_the_evaluation_compile_once(
    name, monkeypatch, count_compilations):
  phases = iter(['distance', 'finetune'] * 4)
  if name == 'dlfd':  # both of its phases, twice and more
    monkeypatch.setattr(
        monitor.Monitor, 'phase', lambda self, figures: next(phases))
  with count_compilations() as counts:
    out = run(name)
  steps = {'dlfd': 2, 'official_compat': 2, 'finetune': 1}[name]
  assert len(out.clock.compile_s) == steps
  assert counts['_fun'] == steps + 1


@pytest.mark.parametrize('name, rate', [
    *((name, 1e30) for name in sorted(methods.METHODS)), ('finetune', 1e20)])
def test_a_step_that_is_not_finite_stops_at_the_last_good_state(
    name, rate, monkeypatch):
  monkeypatch.setitem(CONFIGS, name, dataclasses.replace(
      CONFIGS[name], optimizer=train.OptimizerConfig(learning_rate=rate)))
  problem = problems.problem()
  out = run(name, problem)
  assert out.stop == 'not finite'
  assert out.steps < STEPS[name]
  for variables in (out.last, out.selected):
    assert all(np.isfinite(leaf).all() for leaf in problems.leaves(variables))
  if rate == 1e30:  # the very first step overflows
    assert problems.same(out.last, problem.original)
    assert problems.same(out.selected, problem.original)
    assert out.findings['select_threshold_met'] is None


@every_method
@pytest.mark.slow
def test_two_devices_agree_with_one(name):
  one, two = run(name), run(name, count=2)
  assert two.stop == 'finished'
  # Perturbing methods take signs, so a few pixels may differ from step 2 on.
  limit = 1e-5 if name == 'finetune' else 1e-3
  assert problems.largest_difference(one.last, two.last) < limit
  np.testing.assert_allclose(
      [figures['val_loss'] for figures in one.history],
      [figures['val_loss'] for figures in two.history], rtol=1e-2)
