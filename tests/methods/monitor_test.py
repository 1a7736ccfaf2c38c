"""What the live attack decides, and the choice of a state."""


import numpy as np
import pytest

from dlfd_jax.methods import base, live, monitor
from tests.methods.problems import figures


class FakeLive:
  """An attack whose answers are given; ``variables`` are the figures."""

  sizes, num_val = (50, 50), 100
  rule = live.Rule('balanced', np.arange(50), np.arange(50))

  def null(self, variables):
    del variables
    return 0.1, 0.2

  def measure(self, variables):
    return variables


def make(original=0.8, select=0.3, selection='best', measured=FakeLive,
         forget_threshold=0.4, stop=None, findings=(), auc=0.6,
         attack='balanced', **rule):
  config = base.MethodConfig(selection=selection, select_threshold=select)
  phases = None if forget_threshold is None else base.PhaseRule(
      active='distance', resting='finetune', threshold=forget_threshold, **rule)
  plan = base.Plan(steps={'distance': None, 'finetune': None}, batches=None,
                   phases=phases, stop=stop, findings=dict(findings),
                   attack=attack)
  return monitor.Monitor(measured(), figures(original, auc), config, plan)


def choose(watch, states):
  return watch.choose([(state, None) for state in states], None)


@pytest.mark.parametrize('score, auc, phase', [
    (0.5, 0.7, 'distance'),
    (0.4, 0.7, 'distance'),  # at the threshold
    (0.39, 0.7, 'finetune'),
    (0.9, 0.5, 'finetune'),  # forget losses as high as unseen ones
    (0.9, 0.1, 'finetune'),  # and above them: over-forgotten
])
def test_phase_follows_the_score_and_the_sign_of_the_attack(score, auc, phase):
  assert make().phase(figures(score, auc)) == phase


def test_a_model_that_is_not_finite_is_not_perturbed_further():
  # Its figures are the worst ones, see live.LiveAttack.measure.
  assert make().phase(figures(1.0, auc=0.0, accuracy=0.0)) == 'finetune'


def test_distance_steps_resume_when_the_score_climbs_back():
  watch = make()
  phases = [watch.phase(figures(score)) for score in (0.6, 0.2, 0.3, 0.5)]
  assert phases == ['distance', 'finetune', 'finetune', 'distance']


def test_phase_at_the_start_is_that_of_the_originals_figures():
  assert make().phase(figures(0.8, step=0)) == 'distance'
  assert make().phase(figures(0.1, step=0)) == 'finetune'


def test_unsigned_rule_perturbs_an_over_forgotten_model():
  assert make(signed=False).phase(figures(0.9, 0.1)) == 'distance'
  assert make(signed=False).phase(figures(0.1, 0.1)) == 'finetune'


def test_opening_phase_holds_until_the_first_check():
  watch = make(opening='first')
  assert watch.phase(figures(0.0, step=0)) == 'first'
  assert watch.phase(figures(0.0, step=1)) == 'finetune'


def test_without_a_forget_threshold_the_active_phase_never_ends():
  watch = make(forget_threshold=None)
  assert watch.phase(figures(0.0, 0.0)) == 'distance'


@pytest.mark.parametrize('forget, select, thresholds', [
    ('null_mean', 'null_95', (0.1, 0.2)),
    ('null_95', 'null_mean', (0.2, 0.1)),
    (0.7, 'null_95', (0.7, 0.2)),
    ('null_mean', 0.6, (0.1, 0.6)),
])
def test_thresholds_are_numbers_or_come_from_the_null(
    forget, select, thresholds):
  found = make(forget_threshold=forget, select=select).findings(None)
  assert (found['forget_threshold'], found['select_threshold']) == thresholds
  assert (found['null_mean'], found['null_95']) == (0.1, 0.2)


@pytest.mark.parametrize('auc, phase, met', [
    (.7, 'distance', False), (.59, 'finetune', True), (.2, 'finetune', False)])
@pytest.mark.parametrize('score', [0., .9])
def test_thresholds_of_the_null_are_those_of_the_auc(auc, phase, met, score):
  watch = make(forget_threshold='null_95', select='null_95', auc=.9)
  assert watch.phase(figures(score, auc)) == phase
  found = watch.findings(figures(score, auc))
  assert found['select_threshold_met'] is met
  assert found['forget_by'] == found['select_by'] == 'mia_auc'
  chosen, reason = choose(watch, [figures(0., .8), figures(.9, .62)])
  assert chosen == 1 and 'attack AUC' in reason


def test_a_number_is_a_forgetting_score_of_the_paper():
  watch = make(forget_threshold=.4, select='null_95')
  assert watch.phase(figures(.5, .51)) == 'distance'
  assert watch.phase(figures(.3, .99)) == 'finetune'
  assert watch.findings(None)['forget_by'] == 'forgetting_score'


def test_a_stop_rule_compares_with_the_original_and_ends_the_run():
  watch = make(original=0.8, stop=lambda original, now: (
      now['forgetting_score'] <= original['forgetting_score'] / 2))
  assert watch.phase(figures(0.5)) == 'distance'
  assert watch.phase(figures(0.4)) is None


def test_what_the_method_learnt_is_among_the_findings():
  found = make(findings={'trained': ['head']}).findings(None)
  assert found['trained'] == ['head'] and 'forget_threshold' in found


def test_the_original_is_never_kept():
  watch = make()
  assert watch.keep([figures(0.1, step=0)]) == []
  assert watch.keep([figures(0.1, step=1)]) == [0]


def test_the_null_is_not_drawn_for_numbers(monkeypatch):
  monkeypatch.setattr(FakeLive, 'null', None)
  watch = make(select=0.3, forget_threshold=0.4)
  assert 'null_mean' not in watch.findings(None)


def test_most_accurate_state_under_the_threshold_is_chosen():
  states = [figures(0.5, accuracy=0.9), figures(0.3, accuracy=0.6),
            figures(0.1, accuracy=0.7), figures(0.2, accuracy=0.7)]
  chosen, reason = choose(make(), states)
  assert chosen == 2  # at equal accuracy the earlier
  assert 'at most 0.300' in reason
  assert make().findings(states[2])['select_threshold_met'] is True


def test_if_no_state_qualifies_the_lowest_score_is_chosen_and_flagged():
  states = [figures(0.5, accuracy=0.9), figures(0.35, accuracy=0.2)]
  chosen, reason = choose(make(), states)
  assert chosen == 1
  assert reason.startswith('no state came under the threshold, a forgetting '
                           'score of 0.300')
  assert make().findings(states[1])['select_threshold_met'] is False


@pytest.mark.parametrize('score, blind', [(0.31, False), (0.3, True)])
def test_an_original_at_or_under_the_threshold_is_flagged(score, blind):
  assert make(score).findings(None)['attack_blind_to_original'] is blind


def test_blind_choice_is_the_auc_nearest_one_half_near_the_best_accuracy():
  watch = make(original=0.1)
  states = [figures(0.1, auc=0.5, accuracy=0.889),
            figures(0.1, auc=0.56, accuracy=0.9),
            figures(0.1, auc=0.47, accuracy=0.891)]
  chosen, reason = choose(watch, states)
  assert chosen == 2
  assert 'cannot see the original' in reason


def test_a_blind_choice_may_lose_what_a_deletion_may():
  # The original had .5: .48 is enough, however good the best state is by luck.
  states = [figures(0.1, auc=auc, accuracy=accuracy) for auc, accuracy in (
      (1.0, .6), (.55, .481), (.5, .479), (.7, .59))]
  watch = make(original=0.1, selection='one_se')
  assert sorted(watch.keep(states)) == [0, 1, 2, 3]
  chosen, reason = choose(watch, states)
  assert chosen == 1 and 'accuracy of 0.480 that it has to keep' in reason
  chosen, reason = choose(watch, states[2:3])  # none has it
  assert chosen == 0 and 'within 1 point of the best' in reason


@pytest.mark.parametrize('attack', ['released', 'balanced'])
def test_the_released_attack_is_never_called_blind(attack):
  for signed in (True, False):
    found = make(0.1, signed=signed, attack=attack).findings(None)
    assert found['attack_blind_to_original'] is (attack == 'balanced')


def test_last_state_is_chosen_without_keeping_any():
  watch = make(selection='last')
  assert watch.keep([figures(0.1)]) == []
  assert choose(watch, []) == (None, 'the last state')


def test_without_a_measured_state_the_last_one_is_returned():
  chosen, reason = choose(make(), [])
  assert chosen is None and 'no state was measured' in reason
  assert make().findings(None)['select_threshold_met'] is None
  assert make().findings(None)['loss_gap'] is None
  assert make().findings({**figures(0.1), 'loss_gap': -0.2})['loss_gap'] == -0.2


@pytest.mark.parametrize('num_val, expected', [
    # One standard error of .8 is sqrt(.8 * .2 / n): .04 for 100 images, so .76
    # is near the best and .755 is not; .02 for 400; .4 for 1.
    (None, 1), (100, 3), (400, 2), (1, 5)])
def test_one_standard_error_chooses_the_latest_near_the_best(
    num_val, expected, monkeypatch):
  accuracies = [0.79, 0.8, 0.785, 0.76, 0.755, 0.51, 0.99]
  scores = [0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.9]  # the last one is not forgotten
  states = [figures(score, accuracy=accuracy, step=step) for
            step, (score, accuracy) in enumerate(zip(
                scores, accuracies, strict=True))]
  monkeypatch.setattr(FakeLive, 'num_val', num_val)
  selection = 'best' if num_val is None else 'one_se'
  chosen, reason = choose(make(selection=selection), states)
  assert chosen == expected
  assert ('standard error' in reason) is (num_val is not None)


@pytest.mark.parametrize('least, expected', [
    (0.0, 3), (0.77, 2), (0.785, 2), (0.79, 1), (0.8, 1),
    (0.81, 3)])  # none has it: the latest near the one that misses by least
def test_a_standard_error_is_no_leave_to_lose_too_much(least, expected):
  accuracies = [0.79, 0.8, 0.785, 0.76, 0.755]
  states = [figures(0.1, accuracy=accuracy, step=step)
            for step, accuracy in enumerate(accuracies)]
  chosen, reason = monitor.Selection(0.4, False, 99, least=least).choose(states)
  assert chosen == expected
  assert (f'none below the {least:.3f}' in reason) is (0 < least <= 0.8)
  # All are under the threshold: the reason may not say that none is.
  assert reason.startswith('no state both came under') is (least > 0.8)


def test_what_misses_by_least_is_read_with_its_standard_error():
  # Of .58 on 448 images: .0233. The last state misses by .0117, .0094 more
  # than the third; one of .55 would miss by too much.
  states = [figures(0.0, auc, accuracy, step) for step, (auc, accuracy) in
            enumerate([(.5, .554), (.6, .58), (.559, .58), (.523, .571)])]
  rule = monitor.Selection(0.1744, False, 448, monitor.AUC, 0.5827)
  assert rule.choose(states)[0] == 3
  assert rule.choose([*states, figures(0.0, .523, .55, 4)])[0] == 3
  assert rule.keep(states) == [2, 3]
  # Nor is one later that the attack sees better.
  assert rule.choose([*states, figures(0.0, .6, .583, 4)])[0] == 3


@pytest.mark.parametrize('states, expected', [
    # (AUC, val accuracy) with at most .06 from .5 and at least .45.
    ([(.503, .239), (.669, .426), (.389, .419), (.405, .445)], 3),  # a run
    ([(.5, .40), (.58, .45)], 1),  # .05 of accuracy against .02 of AUC
    ([(.5, .44), (.58, .45)], 0),
    ([(.9, .45), (.7, .44), (.6, .20)], 1),
    ([(.5, .20), (.56, .45)], 1)])  # the second meets both
def test_a_state_that_lost_its_task_is_no_way_under_the_threshold(
    states, expected):
  found = [figures(0.0, auc, accuracy, step)
           for step, (auc, accuracy) in enumerate(states)]
  rule = monitor.Selection(0.12, False, 10**6, monitor.AUC, 0.45)
  assert rule.choose(found)[0] == expected


@pytest.mark.parametrize('by', [monitor.AUC, monitor.SCORE])
@pytest.mark.parametrize('blind, num_val, least', [
    (False, None, 0.0), (True, None, 0.0), (False, 100, 0.0),
    (False, 2000, 0.0), (False, 100, 0.81), (False, 2000, 0.81)])
def test_pruning_never_drops_the_state_that_would_win(
    blind, num_val, least, by):
  rng = np.random.default_rng(0)
  rule = monitor.Selection(0.4, blind, num_val, by, least)
  for _ in range(300):
    length = rng.integers(1, 12)
    states = [
        # Coarse values, so that ties occur.
        figures(rng.integers(0, 6) / 5, 0.5 + rng.integers(-3, 4) / 10,
                0.8 + rng.integers(0, 6) / 200, step)
        for step in range(1, length + 1)]
    kept = []
    for end in range(1, length + 1):
      kept = [*kept, states[end - 1]]
      kept = [kept[i] for i in rule.keep(kept)]
      expected, _ = rule.choose(states[:end])
      chosen, _ = rule.choose(kept)
      assert kept[chosen] == states[expected]


def test_only_one_state_is_kept_where_the_attack_sees():
  states = [figures(0.5), figures(0.3), figures(0.2, accuracy=0.6)]
  assert monitor.Selection(0.4, False, None).keep(states) == [2]
