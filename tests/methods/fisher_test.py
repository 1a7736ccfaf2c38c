"""Fisher forgetting: whose noise, and how much of it."""

import numpy as np
import pytest

from dlfd_jax import methods
from dlfd_jax.data import batching
from dlfd_jax.methods import fisher
from tests.methods import problems
from tests.methods.importance_test import summed


@pytest.mark.parametrize('kind', ['multiclass', 'multilabel'])
def test_the_noise_is_normal_with_the_fourth_root_of_the_information(kind):
  problem = problems.problem(kind)
  found = methods.unlearn(
      problem, fisher.FisherConfig(batch_size=8, noise_scale=.01),
      devices=problems.devices())
  stream = batching.Stream(problem.splits.retain, 8, shuffle=False)
  total = summed(problem, 'expected_fisher', [
      stream.batch(i) for i in range(stream.steps_per_epoch)])
  information, old, new = (
      np.concatenate([leaf.ravel() for leaf in problems.leaves(tree)])
      for tree in (total, problem.original['params'], found.last['params']))
  information = information / len(problem.splits.retain) + 1e-8
  z = (new - old) / (.01 * information ** -.25)
  # A wrong power would give too much to the one half, too little to the other.
  low = information < np.median(information)
  for half in (z[low], z[~low]):
    assert abs(half.mean()) < 4 / len(half) ** .5
    assert abs(half.var() - 1) < 4 * (2 / len(half)) ** .5
  assert problems.same(found.last['batch_stats'],
                       problem.original['batch_stats'])


def test_what_retain_does_not_feel_gets_most_and_no_more_than_100_times():
  found = fisher.deviation(np.float32([0, 1e-4, 16]), .02)
  np.testing.assert_allclose(found, [2, .2, .01], rtol=1e-3)


@pytest.mark.parametrize('fields', [{'epochs': 2}, {'batch_norm': 'batch'}])
def test_settings_of_training_are_refused(fields):
  with pytest.raises(ValueError, match='no training in Fisher.*adds noise'):
    fisher.FisherConfig(**fields)


def test_it_needs_some_noise():
  with pytest.raises(ValueError, match='noise_scale'):
    fisher.FisherConfig(noise_scale=0.0)
