"""The images that a run is steered by."""

import numpy as np

from dlfd_jax.metrics import live_attack


def test_live_subset_has_the_same_classes_on_both_sides():
  rng = np.random.default_rng(9)
  forget, val = rng.integers(0, 3, 400), rng.integers(0, 5, 700)
  pick, other = live_attack.live_subset(forget, val, limit=150, seed=1)
  assert len(pick) == len(other) == 150
  np.testing.assert_array_equal(
      np.bincount(forget[pick], minlength=5),
      np.bincount(val[other], minlength=5))
  shares = np.bincount(forget[pick]) / 150
  np.testing.assert_allclose(shares, np.bincount(forget) / 400, atol=.05)
  for index, n in ((pick, 400), (other, 700)):
    assert len(np.unique(index)) == 150 and 0 <= index[0] <= index[-1] < n
  again = live_attack.live_subset(forget, val, limit=150, seed=1)
  np.testing.assert_array_equal(pick, again[0])


def test_live_subset_takes_all_it_can_match_below_the_limit():
  forget, val = np.array([0, 0, 1]), np.array([0, 1, 1, 2])
  pick, other = live_attack.live_subset(forget, val)
  assert len(pick) == len(other) == 2
