"""Running a method: its checks and its stages."""

import math

import pytest

from dlfd_jax.methods import finetune, live, restore, run
from tests.methods import problems


@pytest.mark.parametrize('selection, step, reason', [
    ('best', 2, 'the most accurate state on val'),
    ('one_se', 4, 'the latest state within a standard error'),
    ('last', 6, 'the last state')])
def test_a_run_returns_the_state_that_its_rule_names(
    selection, step, reason, monkeypatch):
  problem = problems.problem()
  n = len(problem.splits.val)
  error = math.sqrt(0.8 * 0.2 / n)
  accuracies = iter([0.5, 0.5, 0.5, 0.8, 0.7, 0.8 - 0.9 * error,
                     0.8 - 1.1 * error, 0.99])
  scores = iter([0.9, 0.9, *[0.1] * 5, 0.9])  # the original, and at step 0
  monkeypatch.setattr(live.LiveAttack, 'measure', lambda self, variables: {
      **problems.figures(next(scores), accuracy=next(accuracies)),
      'loss_gap': 0.0})
  out = run.unlearn(problem, finetune.FinetuneConfig(
      batch_size=8, epochs=2, check_every=1, selection=selection,
      select_threshold=0.3), devices=problems.devices(1))
  assert out.steps == 6
  assert out.selected_step == step and out.reason.startswith(reason)
  assert problems.same(out.selected, out.last) is (step == 6)


def test_a_teacher_need_keep_no_accuracy_and_its_student_must(monkeypatch):
  seen, harmed = [.9, .9], [.1, .2]  # score, val accuracy: at most .3, .88
  found = iter([seen, seen, harmed, [.35, .6], seen,  # the teacher's
                seen, seen, harmed, [.35, .87], seen])
  monkeypatch.setattr(live.LiveAttack, 'measure', lambda self, variables: {
      **problems.figures(*(values := next(found))[:1], accuracy=values[1]),
      'loss_gap': 0.0})
  few = {'batch_size': 8, 'epochs': 1, 'check_every': 1, 'select_threshold': .3,
         'selection': 'one_se'}
  out = run.unlearn(problems.problem(), restore.RestoreConfig(
      method=finetune.FinetuneConfig(**few),
      restore=restore.StageConfig(**few)), devices=problems.devices(1))
  assert out.findings['stages'][0]['selected_step'] == 1
  assert out.selected_step == out.findings['stages'][0]['steps'] + 2
  assert 'misses the two by least' in out.reason


@pytest.mark.parametrize('batches, images, batch, steps, expected', [
    (100, 600, 64, 5, 10),  # a tenth of an epoch: ceil(7200 / 960) = 8
    (20, 600, 64, 5, 8),
    (20, 600, 32, 15, 7),  # ceil(7200 / 1120)
    (5, 100, 64, 0, 4),  # ceil(1200 / 320)
    (5, 1, 1000, 5, 1),
])
def test_checks_take_at_most_a_tenth_of_the_time(
    batches, images, batch, steps, expected):
  assert run.default_check_every(
      batches, images, batch, 2 * steps + 5) == expected
  assert expected == max(
      batches // 10, math.ceil(12 * images / (batch * (2 * steps + 5))))
  for length in (1, 7, 40):  # a short run beside much data
    assert run.default_check_every(
        batches, images, batch, 2 * steps + 5, length) == min(
            expected, math.ceil(length / 4))
