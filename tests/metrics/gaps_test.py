"""Gaps, average gap and tug of war: closed forms."""

import numpy as np
import pytest

from dlfd_jax.metrics import gaps


def test_average_gap_and_tow_of_the_closed_form():
  assert gaps.tow(.10, .02, .03) == pytest.approx(.855540)
  assert gaps.average_gap(.10, .02, .03, .05) == pytest.approx(.05)


def test_signs_do_not_cancel():
  assert gaps.tow(-.10, .02, -.03) == pytest.approx(.855540)
  assert gaps.average_gap(.05, -.05, .05, -.05) == pytest.approx(.05)


def test_perfect_is_no_gap():
  assert gaps.average_gap(0, 0, 0, 0) == 0
  assert gaps.tow(0, 0, 0) == 1
  assert gaps.tow(1, 0, 0) == 0


def test_two_retrained_models_differ_by_their_seed_spread():
  rng = np.random.default_rng(0)
  pairs = rng.normal(0, .02, (2, 40_000))
  spread = np.abs(pairs[0] - pairs[1]).mean()
  assert spread == pytest.approx(1.128379 * .02, rel=.02)


def test_replicates_go_through():
  got = gaps.average_gap(*np.full((4, 3), -.1))
  np.testing.assert_allclose(got, [.1, .1, .1])


@pytest.mark.parametrize('call', [
    lambda: gaps.tow(1.2, 0, 0), lambda: gaps.average_gap(0, 0, -1.1, 0)])
def test_a_gap_of_percentages_is_refused(call):
  with pytest.raises(ValueError, match=r'in \[-1, 1\], got one of 1\.'):
    call()
