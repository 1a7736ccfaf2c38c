"""The over-forgetting flag: raised by too much, not by too little."""

import numpy as np
import pytest

from dlfd_jax.metrics import attack, stats, streisand

_GRID = 1 + (np.arange(200) + .5) / 200  # unseen losses, uniform on (1, 2)
_MARGIN = .05


def _difference(value, half=.02):
  return stats.Difference(value, value - half, value + half, half / 2, 100.)


def _conditions(forget):
  """Against a retrained model whose forget losses look unseen."""
  auc = attack.auc(-forget, -_GRID) - .5
  tail = float(streisand.tail_share(forget, _GRID)) - .01
  two_sided = attack.two_sided_accuracy(forget, _GRID, draws=2) - .5
  return streisand.conditions(
      _difference(auc), _difference(tail), _difference(two_sided), _MARGIN)


def test_losses_above_all_unseen_ones_raise_the_flag():
  forget = np.full(200, 10.)
  assert attack.auc(-forget, -_GRID) == 0
  assert streisand.tail_share(forget, _GRID) == 1
  found = _conditions(forget)
  assert found.flag == 'over-forgotten'
  assert found.auc and found.tail


def test_a_model_that_remembers_everything_raises_nothing():
  forget = np.zeros(200)
  assert attack.auc(-forget, -_GRID) == 1
  assert streisand.tail_share(forget, _GRID) == 0
  found = _conditions(forget)
  assert found.flag == 'none' and found.count == 0


def test_one_law_on_both_sides_raises_nothing():
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
  assert streisand.tail_share(forget, _GRID) == pytest.approx(.05)


def test_a_small_auc_shift_inside_the_margin_does_not_count():
  found = streisand.conditions(
      _difference(-.02, .01), _difference(0.), None, _MARGIN)
  assert found.count == 0


def test_weights_are_copies():
  forget = np.array([0., 1.99, 5.])
  weights = np.array([[1., 0, 1], [0, 2, 2], [1, 1, 1]])
  unseen = np.tile([1., 2.], (3, 100))
  got = streisand.tail_share(forget, _GRID, weights, unseen)
  expected = [
      streisand.tail_share(np.repeat(forget, w.astype(int)),
                           np.repeat(_GRID, v.astype(int)))
      for w, v in zip(weights, unseen)]
  np.testing.assert_allclose(got, expected)


def test_bad_input_is_refused():
  with pytest.raises(ValueError, match=r'quantile in \(0, 1\), got 1'):
    streisand.tail_share(_GRID, _GRID, quantile=1)
  with pytest.raises(ValueError, match='forget losses'):
    streisand.tail_share(np.array([]), _GRID)
