"""The learning rate from a short trial on retain and val."""

import dataclasses
import os
import signal

import jax
import numpy as np
import pytest

from dlfd_jax import checkpoint, methods, training as train
from dlfd_jax.methods import base, finetune, restore, trial
from dlfd_jax.metrics import usable
from tests import tiny
from tests.methods import contract_test, problems

FAST = train.OptimizerConfig(learning_rate=0.02)
TRIAL = base.TrialConfig(steps=4, factors=(1e4, 10.0, 1.0, .1))


def config(**fields):
  return finetune.FinetuneConfig(**{
      'batch_size': 8, 'epochs': 2, 'check_every': 3, 'optimizer': FAST,
      'trial': TRIAL, **fields})


def run(method, problem=None, count=1, **options):
  return methods.unlearn(problem or problems.problem(), method,
                         devices=problems.devices(count), **options)


@pytest.mark.parametrize('lost, parts, expected', [
    ((10, 0), ('retain',), .1 - .05), ((2, 2), ('val',), -.02),
    # Within one standard error of the bound, and yet more than may be lost.
    ((3, 0), ('val',), .03 - .02), ((2, 0), ('val',), 0),
    ((10, 0), ('retain', 'val'), .1 - .02)])
def test_the_excess_is_the_loss_beyond_the_limit(lost, parts, expected):
  before, after = np.ones(100), np.ones(100)
  after[:lost[0]] = 0
  before[100 - lost[1]:] = 0  # gained elsewhere
  assert trial.excess_of(
      dict.fromkeys(parts, before), dict.fromkeys(parts, after),
      usable.MOST_LOST) == pytest.approx(expected, abs=1e-8)


def test_a_teacher_may_lose_most_of_its_skill_above_a_guess_on_retain():
  problem = problems.problem()
  parts = {'retain': problem.splits.retain, 'val': problem.splits.val}
  labels = problem.dataset.labels[parts['retain']]
  guess = np.bincount(labels).max() / len(labels)
  for share in (1., .75, .1):
    hits = {'retain': (np.arange(len(labels)) < share * len(labels)) * 1.,
            'val': np.ones(len(parts['val']))}
    assert trial.of_teacher(problem, parts, hits) == {'retain': pytest.approx(
        .9 * max(hits['retain'].mean() - guess, 0))}


def test_the_largest_rate_that_keeps_accuracy_is_chosen_and_taken():
  found = run(config())
  tried = found.findings['trial']['tried']
  assert [one['factor'] for one in tried] == list(TRIAL.factors)[:len(tried)]
  assert [one['kept'] for one in tried] == [*[False] * (len(tried) - 1), True]
  chosen = tried[-1]['factor']
  assert len(tried) > 1 and found.findings['trial']['factor'] == chosen
  # The run itself is one at that rate.
  alone = run(config(trial=None, optimizer=dataclasses.replace(
      FAST, learning_rate=FAST.learning_rate * chosen)))
  assert problems.largest_difference(found.last, alone.last) < 1e-6
  assert found.findings['trial']['steps'] == 4 * len(tried)
  assert 0 < found.clock.trial_s < found.clock.work_s
  # What compiling took is no work of the trial.
  trial_s = found.findings['trial']
  assert 0 < trial_s['compile_s'] == found.clock.compile_s['trial']
  assert found.clock.trial_s == trial_s['time_s'] - trial_s['compile_s']


def test_a_trial_is_a_run_in_miniature():
  """Of its steps under its schedule, at its rate, from the original."""
  cosine = dataclasses.replace(FAST, schedule='cosine')
  problem = problems.problem()
  setting = problems.setting(problem)
  method = config(optimizer=cosine, epochs=4)
  plan, _ = methods.prepare(setting, method)
  runner = trial._Runner(setting, trial.at_rate(plan, 3.0))
  state, lead = runner.lead()
  got = runner.take(state, lead, 3)
  short = run(config(trial=None, epochs=1, optimizer=dataclasses.replace(
      cosine, learning_rate=.06)), problem)
  assert lead == 0 and short.steps == 3
  assert problems.largest_difference(got.variables, short.last) < 1e-6


def test_where_no_rate_keeps_accuracy_it_loses_least(monkeypatch):
  lost = iter([.5, .2, .3, .9])
  monkeypatch.setattr(trial, 'excess_of', lambda *args: next(lost))
  found = run(config(trial=base.TrialConfig(
      steps=1, factors=(3.0, 2.0, 1.0, .5)))).findings['trial']
  assert (found['factor'], found['kept']) == (2.0, False)
  assert 'loses least' in trial.sentence('Fine-tuning', found)


def test_a_rate_that_is_not_finite_is_no_choice(monkeypatch):
  monkeypatch.setattr(trial, 'hits_of', lambda setting, variables, parts: (
      {'val': np.ones(4)} if variables is setting.original else None))
  found = run(config()).findings['trial']
  assert (found['factor'], found['kept']) == (.1, False)  # the smallest
  assert [one['accuracies'] for one in found['tried']] == [None] * 4


def test_only_retain_and_val_are_read():
  problem = problems.problem()
  parts = trial.parts_of(problem)
  assert set(parts) == set(usable.MOST_LOST)
  for name, rows in parts.items():
    assert np.isin(rows, problem.splits.parts[name]).all()
  labels = problem.dataset.labels.copy()
  labels[problem.splits.forget] = (labels[problem.splits.forget] + 1) % 3
  other = dataclasses.replace(problem, dataset=dataclasses.replace(
      problem.dataset, labels=labels))
  assert _figures(run(config(), other)) == _figures(run(config(), problem))


def _figures(found):
  return {key: value for key, value in found.findings['trial'].items()
          if not key.endswith('_s')}


def test_a_program_is_compiled_once_whatever_the_rates(monkeypatch):
  traced = []
  update = train.update
  monkeypatch.setattr(train, 'update', lambda *args, **kwargs: traced.append(
      1) or update(*args, **kwargs))
  run(config(batch_size=10))
  assert len(traced) == 1


def test_the_choice_does_not_depend_on_the_devices():
  one, many = (run(config(), count=count) for count in (1, 4))
  tried = [[(t['factor'], t['kept'], t['accuracies'])
            for t in found.findings['trial']['tried']] for found in (one, many)]
  assert tried[0] == tried[1]


@pytest.mark.parametrize('where', [2, 9])  # in each of the two stages
def test_what_was_chosen_is_read_again(where, tmp_path, monkeypatch):
  method = restore.RestoreConfig(method=config(), restore=restore.StageConfig(
      batch_size=8, epochs=2, check_every=1, select_threshold=0.5,
      optimizer=FAST, trial=TRIAL))
  whole, ended = run(method), []

  def stop(event):
    if event['event'] == 'tick' and event['step'] == where:
      os.kill(os.getpid(), signal.SIGTERM)

  tries = trial._try

  def noted(setting, plan, inner, teaches):
    ended.append((type(inner), teaches))
    return tries(setting, plan, inner, teaches)

  monkeypatch.setattr(trial, '_try', noted)
  for hooks in ([stop], []):
    saver = checkpoint.LoopCheckpoints(tmp_path)
    found = run(method, checkpoints=saver, hooks=hooks)
    saver.close()
  assert ended == [
      (finetune.FinetuneConfig, True), (restore.StageConfig, False)]
  assert problems.same(whole.selected, found.selected)
  of_stage, = found.findings['stages']
  assert 'tried' in of_stage['trial'] and 'tried' in found.findings['trial']


@pytest.mark.parametrize('name', ['salun', 'unsir', 'msg'])
def test_steps_that_only_look_at_the_data_are_no_trial(name):
  setting = problems.setting(problems.problem())
  plan, _ = methods.prepare(setting, contract_test.CONFIGS[name])
  runner = trial._Runner(setting, trial.at_rate(plan, 1.0))
  state, lead = runner.lead()
  assert lead > 0
  assert problems.same(state.params, jax.tree.map(
      np.asarray, setting.original['params']))
  after = runner.take(state, lead, lead + 1)
  assert not problems.same(after.params, setting.original['params'])


@pytest.mark.parametrize('fields, message', [
    ({'steps': 0}, 'steps of at least 1'),
    ({'factors': (1.0, 0.0)}, 'factors above 0'),
    ({'factors': ()}, 'from the largest'),
    ({'factors': (1.0, 3.0)}, 'from the largest')])
def test_settings_of_a_trial(fields, message):
  with pytest.raises(ValueError, match=message):
    base.TrialConfig(**fields)


def test_a_factor_of_the_state_multiplies_the_rate():
  state = tiny.state()
  gradients = jax.tree.map(np.ones_like, state.params)

  def moved(rate_factor, optimizer):
    return jax.jit(lambda state: train.update(
        state, gradients, state.batch_stats, np.float32(0), optimizer, 10
    )[0].params)(dataclasses.replace(state, rate_factor=rate_factor))

  doubled = dataclasses.replace(tiny.PLAIN, learning_rate=.2)
  assert tiny.same(moved(np.float32(2), tiny.PLAIN), moved((), doubled))
