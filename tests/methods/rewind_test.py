"""Rewind: the reference, the choice, and the run that it wraps."""

import dataclasses
import math
import time

import numpy as np
import pytest

from dlfd_jax import methods, training as train
from dlfd_jax.methods import cf_k, neggrad_plus, rewind, scrub, unsir
from dlfd_jax.models import Outputs
from tests.methods import problems

STEEP = neggrad_plus.NegGradPlusConfig(
    batch_size=8, epochs=3, beta=0.2, select_threshold=0.5,
    optimizer=train.OptimizerConfig(
        kind='adam', learning_rate=0.03, weight_decay=0.0))


@pytest.mark.parametrize('errors, reference, chosen', [
    ([0.0, 0.2, 0.5, 0.9], 0.45, 2),
    ([0.0, 0.2, 0.5, 0.9], 0.05, 0),  # the original is a candidate
    ([0.3, 0.5, 0.3], 0.4, 2),  # of equals the later
    ([0.1, math.inf], 0.9, 0),
    ([math.inf, math.inf], 0.9, 1),
    ([0.1, math.inf], math.inf, 1),  # no reference: the last
])
def test_the_nearest_error_wins(errors, reference, chosen):
  assert rewind.nearest(errors, reference) == chosen


def errors_on(kind, forget_labels, val_labels, answers, measure='error'):
  """``Errors`` on chosen labels; ``answers`` are the logits of val's rows."""
  problem = problems.problem(kind)
  splits = problem.splits
  labels = problem.dataset.labels.copy()
  labels[splits.forget] = np.resize(
      np.int32(forget_labels), labels[splits.forget].shape)
  labels[splits.val] = np.resize(
      np.int32(val_labels), labels[splits.val].shape)
  problem = dataclasses.replace(problem, dataset=dataclasses.replace(
      problem.dataset, labels=labels))
  setting = problems.setting(problem)
  table = np.zeros((len(labels), 3), np.float32)
  table[splits.val] = answers
  setting = dataclasses.replace(
      setting, predictor=lambda table, rows: Outputs(table[rows], None))
  keys = rewind.keys_of(problem.dataset, splits)
  return rewind.Errors(setting, keys, measure), table


def test_the_reference_has_the_labels_of_forget():
  # Forget: two thirds class 0, one third class 1; val: half 1, half 0, whose
  # answer is always 0: error 1/3 by forget's labels, 1/2 by val's own.
  found, table = errors_on('multiclass', [0, 0, 1], [0, 1], [1, 0, 0])
  np.testing.assert_allclose(found.on_held_out(table), 1 / 3)
  assert found.left_out == 0


def test_labels_that_val_lacks_are_left_out_on_both_sides():
  found, table = errors_on('multiclass', [0, 1, 2], [0, 1, 1, 1], [1, 0, 0])
  np.testing.assert_allclose(found.on_held_out(table), 1 / 2)
  assert found.left_out == 8  # a third of 24
  # Forget answers 0 everywhere (all logits equal): half of the rest is wrong.
  np.testing.assert_allclose(found.on_forget(table), 1 / 2)


def test_without_a_shared_label_the_last_state_is_returned():
  watch = rewind.Rewinder(None, None, frozenset({0, 2}))
  assert watch.keep([{'step': 0}, {'step': 2}]) == []
  assert watch.choose([], None) == (None, rewind.NO_LABEL)


def test_attributes_count_by_their_mean_error():
  # One known attribute wrong of two, in every row.
  found, table = errors_on(
      'multilabel', [1, 0, -1], [1, 0, -1], [1.0, 1.0, 1.0])
  np.testing.assert_allclose(found.on_held_out(table), 1 / 2)


def test_the_loss_may_be_compared_instead():
  found, table = errors_on(
      'multiclass', [0, 1, 2], [0, 1, 2], [0, 0, 0], measure='loss')
  np.testing.assert_allclose(
      found.on_held_out(table), np.log(3), rtol=1e-6)


def test_a_model_that_is_not_finite_is_never_near():
  found, table = errors_on('multiclass', [0, 1], [0, 1], [1, 0, 0])
  assert found.on_forget(table * np.nan) == math.inf


class Inner:
  """A controller whose own choice would be another."""

  def choose(self, kept, last):
    raise AssertionError

  def findings(self, chosen):
    return {'of': chosen}


class Table:
  """Errors by the name of the variables."""

  left_out = 0

  def on_forget(self, variables):
    return {'start': 0.0, 'early': 0.3, 'late': 0.7, 'last': 0.9}[variables]

  def on_held_out(self, variables):
    assert variables == 'last'  # the final model's
    return 0.4


def test_the_choice_is_by_the_final_models_error_on_val():
  watch = rewind.Rewinder(Inner(), Table(), frozenset({0, 3, 6}))
  states = [{'step': step} for step in (0, 2, 3, 4, 6, 9)]
  assert watch.keep(states) == [0, 2, 4]
  kept = [({'step': 0}, 'start'), ({'step': 3}, 'early'), ({'step': 6}, 'late')]
  chosen, reason = watch.choose(kept, 'last')
  assert chosen == 1
  assert reason == (
      'its error on forget, 0.300, is nearest to the final '
      "model's on val with the labels of forget, 0.400")
  found = watch.findings({'step': 3})
  assert found['of'] == {'step': 3}
  assert found['rewind_steps'] == [0, 3, 6]
  assert found['rewind_forget_errors'] == [0.0, 0.3, 0.7, 0.9]
  assert found['rewind_reference'] == 0.4


def run(config):
  return methods.unlearn(
      problems.problem(), config, devices=problems.devices())


def test_the_method_runs_as_it_would_alone():
  plain, out = run(STEEP), run(rewind.RewindConfig(method=STEEP))
  assert problems.same(out.last, plain.last)
  found = out.findings
  assert found['rewind_steps'] == [0, 3, 6]
  errors, reference = found['rewind_forget_errors'], found['rewind_reference']
  assert errors[0] == 0.0 < errors[-1]  # memorised, then driven off
  gaps = [abs(error - reference) for error in errors]
  assert gaps[[0, 3, 6, 9].index(out.selected_step)] == min(gaps)


def test_its_time_has_the_evaluation_of_the_candidates(monkeypatch):
  slept, plain = 0.02, rewind.Errors.on_forget

  def slow(self, variables):
    time.sleep(slept)
    return plain(self, variables)

  monkeypatch.setattr(rewind.Errors, 'on_forget', slow)
  clock = run(rewind.RewindConfig(method=STEEP)).clock
  steps_and_checks = sum(clock.phase_s.values()) + clock.check_s
  assert clock.choose_s > 4 * slept  # the original and three epochs
  assert clock.work_s == steps_and_checks + clock.choose_s
  assert clock.total_s > clock.work_s


@pytest.mark.parametrize('reference, step', [(0.0, 0), (0.2, 3), (1.0, 9)])
def test_the_state_of_another_epoch_is_returned(
    reference, step, monkeypatch):
  monkeypatch.setattr(
      rewind.Errors, 'on_held_out', lambda self, variables: reference)
  out = run(rewind.RewindConfig(method=STEEP))
  assert out.selected_step == step
  original = problems.problem().original
  assert problems.same(out.selected, original) is (step == 0)
  assert problems.same(out.selected, out.last) is (step == 9)


def test_candidates_may_come_every_few_steps():
  inner = cf_k.CFKConfig(batch_size=8, epochs=2, k=1, select_threshold=0.5)
  out = run(rewind.RewindConfig(method=inner, every=4, measure='loss'))
  assert out.findings['rewind_steps'] == [0, 4]
  assert out.findings['trained'] == ['head']


def test_unsir_is_rewound_to_the_end_of_any_of_its_epochs():
  inner = unsir.UnsirConfig(
      batch_size=8, epochs=2, noise_images=2, noise_steps=1,
      select_threshold=0.5)
  out = run(rewind.RewindConfig(method=inner))
  # 3 labels; 4 steps an epoch of impair, 3 of repair.
  assert out.findings['rewind_steps'] == [0, 7, 11, 14]
  assert len(out.findings['rewind_forget_errors']) == 5


def test_scrub_r_rewinds_scrub_to_the_ends_of_its_epochs():
  assert isinstance(rewind.ScrubRConfig().method, scrub.ScrubConfig)
  inner = scrub.ScrubConfig(
      batch_size=8, epochs=2, max_epochs=1, forget_batch_size=12,
      select_threshold=0.5)
  out = run(rewind.ScrubRConfig(method=inner))
  assert out.findings['rewind_steps'] == [0, 5]
  assert len(out.findings['rewind_forget_errors']) == 3
