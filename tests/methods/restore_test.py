"""Restore: the joint step, its two weights, and the stages of a run."""

import dataclasses
import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlfd_jax import checkpoint, methods, tasks, training as train
from dlfd_jax.methods import (
  dlfd,
  finetune,
  monitor,
  restore,
  rewind,
  run as run_lib,
)
from dlfd_jax.utils import runs
from tests.methods import problems, steps

RETAIN = np.float32([1, 1, 1, 1, 1, 1, 0, 0])
FORGET = np.float32([1, 1, 1, 1, 1, 0, 0, 0])
FAST = train.OptimizerConfig(learning_rate=0.02)


def stage(**fields):
  return restore.StageConfig(**{
      'batch_size': 8, 'epochs': 1, 'check_every': 1, 'select_threshold': 0.5,
      'optimizer': steps.PLAIN, **fields})


def teacher_of(problem, seed=3, scale=0.1):
  rng = np.random.default_rng(seed)
  return {**problem.original, 'params': jax.tree.map(
      lambda leaf: leaf + rng.normal(0, scale, leaf.shape).astype(np.float32),
      problem.original['params'])}


@pytest.mark.parametrize('statistics', ['joint', 'retain'])
@pytest.mark.parametrize('batch_norm', ['batch', 'frozen'])
@pytest.mark.parametrize('kind', ['multiclass', 'multilabel'])
def test_a_joint_step_by_hand(kind, batch_norm, statistics):
  problem = problems.problem(kind)
  teacher, weight = teacher_of(problem), 0.7
  pair = problems.batch(problem.splits)
  pair = pair._replace(retain=pair.retain.replace(mask=RETAIN),
                       forget=pair.forget.replace(mask=FORGET))
  config = stage(batch_norm=batch_norm, statistics=statistics)
  new, metrics = steps.take(
      restore.make_step(problem.model, problem.task, config), problem, pair,
      steps.PLAIN, {'teacher': teacher, 'weight': weight})
  # The same on the rows that count alone, in two losses of their own.
  kept, gone = (pair.retain.index[RETAIN > 0], pair.forget.index[FORGET > 0])
  x_r, x_f = (problems.pixels(problem.dataset, rows) for rows in (kept, gone))
  labels = problem.dataset.labels[kept]
  taught = problem.model.apply(teacher, x_f, train=False).logits
  seen = jnp.ones(len(x_r) + len(x_f))
  if statistics == 'retain':
    seen = seen.at[len(x_r):].set(0)

  def loss(params):
    outputs, _ = problem.model.apply(
        {**problem.original, 'params': params}, jnp.concatenate([x_r, x_f]),
        train=batch_norm == 'batch', mask=seen, mutable=['batch_stats'])
    on_r, on_f = outputs.logits[:len(x_r)], outputs.logits[len(x_r):]
    has = tasks.has_label(problem.task, labels)
    ce = (tasks.example_loss(problem.task, on_r, labels) * has).sum() / (
        has.sum())
    return ce + weight * tasks.example_kl(problem.task, taught, on_f).mean()

  expected = steps.descended(loss, problem.original['params'])
  assert problems.largest_difference(new.params, expected) < 1e-5
  assert metrics.count == tasks.has_label(problem.task, labels).sum()


def plan_of(config, problem):
  setting = problems.setting(problem)
  return config.plan(dataclasses.replace(setting, teacher=setting.original))


def test_while_it_rests_without_weight_it_reads_retain_alone():
  problem, stated = problems.problem(), config(resting_weight=0.0)
  plan = plan_of(stated, problem)
  pair = problems.batch(problem.splits)
  rested, _ = steps.take(
      plan.steps['restore_resting'], problem, pair, FAST)  # no teacher is asked
  alone, _ = steps.take(train.make_supervised_step(
      problem.model, problem.task, FAST, train_mode=True), problem, pair, FAST)
  assert problems.same(rested.params, alone.params)


@pytest.mark.parametrize('few, batch', [(1, 1), (3, 3), (8, 8), (24, 8)])
def test_a_forget_batch_is_no_larger_than_the_request(few, batch):
  problem = problems.problem()
  whole = problem.splits.forget
  problem = dataclasses.replace(problem, splits=dataclasses.replace(
      problem.splits, forget=whole[:few]))
  batches = plan_of(config(), problem).batches
  read = [batches.batch(step).forget for step in range(4)]
  assert {len(one.index) for one in read} == {batch}
  assert all(one.mask.all() for one in read)
  if few <= 8:
    for one in read:
      assert sorted(one.index) == sorted(whole[:few])


@pytest.mark.parametrize('few, signed', [(7, False), (8, True), (24, True)])
def test_the_anchor_holds_few_images_from_both_sides(few, signed):
  problem = problems.problem()
  problem = dataclasses.replace(problem, splits=dataclasses.replace(
      problem.splits, forget=problem.splits.forget[:few]))
  stated = config()
  assert plan_of(stated, problem).phases.signed is signed
  watch = run_lib.prepare(dataclasses.replace(
      problems.setting(problem), teacher=problems.devices().place(
          problem.original)), stated)[1]
  if watch.findings(None)['steering'] != 'passes':
    over = problems.figures(1.0, auc=0.0)
    assert watch.phase(over) == ('restore_resting' if signed else 'restore')


@pytest.mark.parametrize('epochs, size, within', [(2, 8, 1), (9, 1, 5)])
def test_the_attack_looks_four_times_an_epoch_however_cheap_steps_are(
    epochs, size, within):
  stated = restore.RestoreConfig(restore=stage(
      batch_size=size, epochs=epochs, check_every=None))
  plan = plan_of(stated, problems.problem())  # 20 images of retain
  assert plan.check_within == within
  few, many = (run_lib.check_every(plan, stated.inner, images)
               for images in (1, 100_000))
  assert few <= many == within
  assert run_lib.check_every(
      plan, stage(batch_size=size, check_every=5), 1) == 5


def test_without_weight_only_retain_teaches():
  problem = problems.problem()
  pair = problems.batch(problem.splits)
  config = stage(batch_norm='frozen')
  joint, _ = steps.take(
      restore.make_step(problem.model, problem.task, config), problem, pair,
      steps.PLAIN, {'teacher': teacher_of(problem), 'weight': 0.0})
  alone, _ = steps.take(train.make_supervised_step(
      problem.model, problem.task, steps.PLAIN, train_mode=False), problem,
                        pair, steps.PLAIN)
  assert problems.largest_difference(joint.params, alone.params) < 1e-6


def config(**fields):
  return restore.RestoreConfig(
      method=finetune.FinetuneConfig(
          batch_size=8, epochs=2, check_every=1, optimizer=FAST),
      restore=stage(optimizer=FAST, epochs=2, **fields))


def run(method, **options):
  return methods.unlearn(problems.problem(), method,
                         devices=problems.devices(), **options)


def test_the_teacher_is_the_methods_own_result_and_the_student_the_original():
  found, alone = run(config()), run(config().method)
  assert (found.steps, alone.steps) == (12, 6)
  own = [{**figures, 'step': figures['step'] + 6} for figures in run_lib._run(
      dataclasses.replace(
          problems.setting(problems.problem()), teacher=alone.selected),
      config(), devices=problems.devices(), log=None, checkpoints=None,
      checkpoint_seconds=60, hooks=(), done=0, is_last=True).history]
  assert found.history == alone.history + own
  assert own[0] == {**alone.history[0], 'step': 6}  # the original again
  first, = found.findings['stages']
  assert (first['method'], first['steps']) == ('Fine-tuning', 6)
  assert first['selected_step'] == alone.selected_step
  assert found.config == config()
  assert set(found.clock.phase_steps) == {'finetune', 'restore'} | (
      set(found.clock.phase_steps) & {'restore_resting'})


def test_the_anchor_holds_forget_where_the_teacher_is():
  problem = problems.problem()
  teacher = problems.devices().place(teacher_of(problem, scale=0.5))

  def gap(weight):
    found = run_lib._run(
        dataclasses.replace(problems.setting(problem), teacher=teacher),
        config(weight=weight, dynamic=False), devices=problems.devices(),
        log=None, checkpoints=None, checkpoint_seconds=60, hooks=(), done=0,
        is_last=True).last
    predict = problems.setting(problem).predictor
    rows = problem.splits.forget
    return float(tasks.example_kl(
        problem.task, predict(teacher, rows).logits,
        predict(found, rows).logits).mean())

  assert gap(1.0) < gap(0.2) < gap(0.0)


@pytest.mark.parametrize('stage, steps', [
    ({}, 6), ({'shown': 1}, 3), ({'shown': 2}, 6), ({'shown': 9}, 6),
    ({'shown': 1, 'least_steps': 4}, 4), ({'shown': 1, 'least_steps': 9}, 6)])
def test_work_is_in_proportion_to_the_request(stage, steps):
  # 24 forget images in batches of 8; two epochs are 6 steps.
  assert run(config(**stage)).steps == 6 + steps
  teacher = dataclasses.replace(config(), method=dlfd.DLFDConfig(
      batch_size=8, epochs=2, perturb_steps=1, **stage))
  assert run(teacher).steps == steps + 6


@pytest.mark.parametrize('strength', [1.0, 0.0])
def test_the_live_attack_chooses_the_weight(strength, monkeypatch):
  monkeypatch.setattr(monitor, 'strength', lambda metrics, by: strength)
  log = runs.MetricsLog()
  run(config(), log=log)
  checks = [event for event in log.events if event['event'] == 'check']
  first, *later = [event for event in checks if event['step'] >= 6][1:]
  assert first['next_phase'] == 'restore'  # whatever the original is like
  for event in later:
    assert event['next_phase'] == (
        'restore' if strength and event['mia_auc'] > 0.5 else
        'restore_resting')


def test_both_weights_are_of_one_program():
  plan, _ = methods.prepare(
      dataclasses.replace(
          problems.setting(problems.problem()),
          teacher=problems.devices().place(teacher_of(problems.problem()))),
      config(weight=2.0, resting_weight=0.5))
  first, second = plan.steps['restore'], plan.steps['restore_resting']
  assert first is second
  read = plan.reads({}, problems.devices())
  assert [float(read[phase]['weight']) for phase in plan.steps] == [2.0, 0.5]


def test_a_stage_alone_has_no_teacher():
  with pytest.raises(ValueError, match='inside RestoreConfig'):
    run(stage())


@pytest.mark.parametrize('wrapper', [
    restore.RestoreConfig, rewind.RewindConfig])
def test_a_wrapper_wraps_no_other(wrapper):
  with pytest.raises(ValueError, match='runs no other in .*, got Restore'):
    wrapper(method=restore.RestoreConfig())


@pytest.mark.parametrize('where', [2, 6, 9])  # in each stage, and between
def test_it_goes_on_in_the_stage_where_it_was_stopped(where, tmp_path):
  def stop(event):
    if event['event'] == 'tick' and event['step'] == where:
      os.kill(os.getpid(), signal.SIGTERM)

  whole, taken = run(config()), []
  for hooks in ([stop], [lambda event: taken.append(event)]):
    saver = checkpoint.LoopCheckpoints(tmp_path)
    found = run(config(), checkpoints=saver, hooks=hooks)
    saver.close()
  ticks = [e['step'] for e in taken if e['event'] == 'tick']
  assert ticks == list(range(where + 1, 13))
  assert problems.same(whole.selected, found.selected)
  assert whole.history == found.history
  assert whole.findings == found.findings


def test_dlfd_and_restore_is_a_method_of_its_own():
  found = methods.resolve('dlfd_restore')()
  assert isinstance(found.method, dlfd.DLFDConfig)
  assert found.title == 'DLFD + restore'
  assert methods.method_of(found) == 'dlfd_restore'
