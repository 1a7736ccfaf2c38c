"""Signs of paired differences, against all of them counted one by one."""

import itertools

import numpy as np
import pytest

from dlfd_jax.metrics import paired


def counted(values):
  """The share of all choices of signs whose sum is as large."""
  sums = [float(np.dot(signs, values))
          for signs in itertools.product((1, -1), repeat=len(values))]
  return np.mean([total >= sum(values) - 1e-12 for total in sums])


@pytest.mark.parametrize('values', [
    [.4], [.1, .3, -.2], [0., 0., .5], [-.3, -.1], [.2] * 7,
    list(np.random.default_rng(0).normal(.2, 1, 9))])
def test_p_is_the_share_of_signs(values):
  assert paired.p_no_less(values) == pytest.approx(counted(values))
  assert paired.p_no_less(3 * np.array(values)) == paired.p_no_less(values)


def test_many_people_are_drawn():
  values = np.random.default_rng(1).normal(.3, 1, 14)
  assert paired.p_no_less(values) == pytest.approx(counted(values), abs=.01)
  assert paired.p_no_less(np.zeros(50)) == 1
  assert paired.p_no_less(np.full(50, .2)) == 1 / 20_001


@pytest.mark.parametrize('level', [.05, .0125, .01, .25])
def test_the_fewest_people_just_reach_the_level(level):
  n = paired.fewest(level)
  assert paired.p_no_less(np.ones(n)) <= level
  assert n == 1 or paired.p_no_less(np.ones(n - 1)) > level


@pytest.mark.parametrize('values', [[], [np.nan], [[1.]]])
def test_what_is_no_list_of_numbers_is_refused(values):
  with pytest.raises(ValueError, match='Expected'):
    paired.p_no_less(values)
