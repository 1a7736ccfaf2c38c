"""Forgetting score, NoMUS, over-forgetting and relearn time, by hand."""

import math

import numpy as np
import pytest

from dlfd_jax.metrics import attack, forgetting, stats

# Test accuracy, attack accuracy, NoMUS as printed by the authors' notebooks.
_MUFAC = [
    ('Original', .6330, .6924, .6241),
    ('Retrained', .6084, .5548, .7494),
    ('Fine-tuning', .6376, .6884, .6304),
    ('CF-k', .6223, .6837, .6274),
    ('EU-k', .6297, .6894, .6255),
    ('NegGrad', .4116, .4751, .6809),
    ('UNSIR impaired only', .2646, .5256, .6067),
    ('UNSIR repaired', .4907, .5309, .7144),
    ('BadTeaching', .4202, .5628, .6473),
    ('SCRUB', .6463, .6638, .6594),
    ('DLFD', .6197, .5279, .7819),
]
_RAF_DB = [
    ('Original', .7503, .6742, .7010),
    ('Retrained', .7194, .5196, .8401),
    ('Fine-tuning', .7516, .6831, .6927),
    ('CF-k', .7513, .6729, .7027),
    ('EU-k', .7523, .6740, .7021),
    ('NegGrad', .7324, .6466, .7196),
    ('UNSIR impaired only', .3862, .5196, .6736),
    ('UNSIR repaired', .6216, .5196, .7912),
    ('BadTeaching', .5153, .5211, .7365),
    ('SCRUB', .7507, .6376, .7378),
    ('DLFD', .6607, .5465, .7839),
]


@pytest.mark.parametrize('name, accuracy, mia, expected', _MUFAC + _RAF_DB)
def test_published_rows(name, accuracy, mia, expected):
  got = forgetting.nomus(accuracy, forgetting.forgetting_score(mia))
  assert got == pytest.approx(expected, abs=1.1e-4), name


def test_score_does_not_see_the_direction_but_the_auc_does():
  unseen = np.random.default_rng(0).uniform(1, 2, 100)
  for forget_loss, signed in ((0., 1.), (10., 0.)):
    forget = np.full(100, forget_loss)
    mia = attack.balanced_accuracy(-forget, -unseen, draws=2)
    assert forgetting.forgetting_score(mia) == 1
    assert attack.auc(-forget, -unseen) == signed


@pytest.mark.parametrize('call, message', [
    (lambda: forgetting.forgetting_score(1.2), 'mia_accuracy in'),
    (lambda: forgetting.nomus(-.1, 0), 'accuracy_test in'),
    (lambda: forgetting.nomus(.1, 2), 'score in'),
    (lambda: forgetting.nomus(.1, .2, weight=3), 'weight in'),
    (lambda: forgetting.tail_share(np.ones(3), np.ones(3), quantile=1),
     r'quantile in \(0, 1\), got 1'),
    (lambda: forgetting.tail_share(np.array([]), np.ones(3)), 'forget losses'),
    (lambda: forgetting.first_reach([], .5), 'one accuracy, got none'),
    (lambda: forgetting.relearn_target(1., 1.),
     r'tolerance in \[0, 1\), got 1'),
    (lambda: forgetting.RelearnTime(-1), 'steps >= 0, got -1'),
])
def test_values_outside_their_range_are_refused(call, message):
  with pytest.raises(ValueError, match=message):
    call()


_GRID = 1 + (np.arange(200) + .5) / 200  # unseen losses, uniform on (1, 2)
_MARGIN = .05


def _difference(value, half=.02):
  return value - half, value + half


def _conditions(forget):
  """Against a retrained model whose forget losses look unseen."""
  auc = attack.auc(-forget, -_GRID) - .5
  tail = float(forgetting.tail_share(forget, _GRID)) - .01
  two_sided = attack.balanced_accuracy(
      forget, _GRID, draws=2, two_sided=True) - .5
  return forgetting.over_forgetting(
      _difference(auc), _difference(tail), _difference(two_sided), _MARGIN)


def test_losses_above_all_unseen_ones_raise_the_flag():
  forget = np.full(200, 10.)
  assert attack.auc(-forget, -_GRID) == 0
  assert forgetting.tail_share(forget, _GRID) == 1
  found = _conditions(forget)
  assert found.flag == 'over-forgotten'
  assert found.auc and found.tail


def test_a_model_that_remembers_everything_raises_nothing():
  forget = np.zeros(200)
  assert attack.auc(-forget, -_GRID) == 1
  assert forgetting.tail_share(forget, _GRID) == 0
  found = _conditions(forget)
  assert found.flag == 'none' and found.count == 0


def test_one_distribution_on_both_sides_raises_nothing():
  assert _conditions(_GRID).flag == 'none'
  assert _conditions(_GRID).sentences == []


def test_losses_on_both_sides_are_seen_by_the_two_sided_attack():
  forget = np.repeat([.5, 2.5], 100)
  assert attack.auc(-forget, -_GRID) == .5
  found = _conditions(forget)
  assert found.two_sided and not found.auc
  assert any('two-sided' in sentence for sentence in found.sentences)


def test_a_tail_of_ten_in_two_hundred():
  low, high = stats.clopper_pearson(10, 200)
  assert (low, high) == pytest.approx((.024234, .090028), abs=1e-6)
  low, high = stats.clopper_pearson(2, 200)
  assert (low, high) == pytest.approx((.001213, .035655), abs=1e-6)
  forget = np.concatenate([np.full(190, 1.5), np.full(10, 9.)])
  assert forgetting.tail_share(forget, _GRID) == pytest.approx(.05)


def test_a_small_auc_shift_inside_the_margin_does_not_count():
  found = forgetting.over_forgetting(
      _difference(-.02, .01), _difference(0.), None, _MARGIN)
  assert found.count == 0


def test_weights_are_copies():
  forget = np.array([0., 1.99, 5.])
  weights = np.array([[1., 0, 1], [0, 2, 2], [1, 1, 1]])
  unseen = np.tile([1., 2.], (3, 100))
  got = forgetting.tail_share(forget, _GRID, weights, unseen)
  expected = [
      forgetting.tail_share(np.repeat(forget, w.astype(int)),
                           np.repeat(_GRID, v.astype(int)))
      for w, v in zip(weights, unseen)]
  np.testing.assert_allclose(got, expected)


def _one_weight(w, steps=10):
  """Accuracies of one weight, margin w, logistic loss, rate 1."""
  seen = []
  for _ in range(steps + 1):
    seen.append(float(w > 0))
    w += 1 / (1 + math.exp(w))
  return forgetting.first_reach(seen, 1.0)


def test_one_weight_by_hand():
  quick, slow = _one_weight(-1.), _one_weight(-2.)
  assert (quick.steps, slow.steps) == (2, 3)
  assert forgetting.log2_steps(quick) - forgetting.log2_steps(
      slow) == pytest.approx(-.415037, abs=1e-6)


def test_one_step_of_difference_is_not_a_factor_of_a_hundred():
  """Epochs with .01 added would give .0099 or 101."""
  none, one, two = (forgetting.log2_steps(forgetting.RelearnTime(steps))
                    for steps in range(3))
  assert 2 ** (none - one) == pytest.approx(.5)
  assert 2 ** (two - one) == pytest.approx(1.5)


def test_the_first_step_at_the_target_counts():
  goal = forgetting.relearn_target(1.0)
  assert goal == pytest.approx(.95)
  assert forgetting.first_reach([.96], goal).steps == 0
  found = forgetting.first_reach([.2, .95, .4, 1.], goal)
  assert found == forgetting.RelearnTime(1)


def test_a_run_that_never_gets_there_is_capped():
  found = forgetting.first_reach([.2, .3, .4], .95)
  assert found == forgetting.RelearnTime(2, capped=True)
