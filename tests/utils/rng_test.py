"""Random generators by seed and purpose."""

import numpy as np
import pytest

from dlfd_jax.utils import rng


def test_generators_differ_by_seed_and_purpose():
  draws = [rng.generator(seed, *purpose).random() for seed in (0, 1)
           for purpose in ((), ('a',), ('b',), (7, 1), (7, 2))]
  assert len(set(draws)) == len(draws)
  assert draws[1] == rng.generator(0, 'a').random()


def test_streams_are_those_of_numpy():
  for words, purpose in (([3], ()), ([3, *b'forget'], ('forget',)),
                         ([3, 7, 1], (7, 1))):
    np.testing.assert_array_equal(rng.generator(3, *purpose).random(9),
                                  np.random.default_rng(words).random(9))


@pytest.mark.parametrize('seed', [-1, 0.5, True, None])
def test_wrong_seeds_are_refused(seed):
  with pytest.raises(ValueError, match='Expected seed (>= 0|to be an integer)'):
    rng.generator(seed, 'a')
