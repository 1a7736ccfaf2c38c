"""EU-k: the new start, live statistics, and the untouched part."""

import jax
import jax.numpy as jnp
import numpy as np

from dlfd_jax import methods
from dlfd_jax.data import batching
from dlfd_jax.methods import eu_k
from tests.methods import problems, steps


def config(**fields):
  return eu_k.EUKConfig(**{
      'batch_size': 8, 'epochs': 1, 'select_threshold': 0.5, 'k': 1, **fields})


def start(problem, k):
  return eu_k.EUKConfig(k=k).start(problems.setting(problem))


def test_the_last_blocks_start_anew_and_the_others_as_they_were():
  problem = problems.problem()
  new = start(problem, 1)
  for name in ('Conv_0', 'bn'):
    assert problems.same(new['params'][name], problem.original['params'][name])
  assert problems.same(new['batch_stats'], problem.original['batch_stats'])
  for old, drawn in zip(problems.leaves(problem.original['params']['head']),
                        problems.leaves(new['params']['head']), strict=True):
    assert (old != drawn).all()


def test_statistics_of_new_blocks_start_anew_too():
  stats = start(problems.problem(), 2)['batch_stats']['bn']
  np.testing.assert_array_equal(stats['mean'], np.zeros(4))
  np.testing.assert_array_equal(stats['var'], np.ones(4))


def test_new_weights_follow_the_seed_and_are_no_stored_copy():
  first, again, other = (
      start(problems.problem(seed=seed), 1)['params']['head']
      for seed in (0, 0, 1))
  assert problems.same(first, again) and not problems.same(first, other)


def test_one_step_from_the_new_start_is_hand_computed():
  problem = problems.problem()
  out = methods.unlearn(
      problem, config(batch_size=20, optimizer=steps.PLAIN),
      devices=problems.devices())
  batch = batching.Stream(problem.splits.retain, 20, seed=0).batch(0)
  images = problems.pixels(problem.dataset, batch.index)
  labels = problem.dataset.labels[batch.index]
  new = jax.tree.map(jnp.asarray, start(problem, 1))
  # Below the cut batch norm is in evaluation mode, whatever the config says.
  expected = steps.descended(lambda p: steps.mean_loss(
      problem, p, images, labels, np.ones(20)), new['params'])
  last = out.last['params']
  assert problems.largest_difference(last['head'], expected['head']) < 1e-6
  assert problems.same(last['Conv_0'], problem.original['params']['Conv_0'])
  assert problems.same(
      out.last['batch_stats'], problem.original['batch_stats'])


def test_every_value_of_the_new_blocks_is_trained():
  problem = problems.problem()
  out = methods.unlearn(
      problem, config(k=2, epochs=2), devices=problems.devices())
  for old, new in zip(problems.leaves(start(problem, 2)),
                      problems.leaves(out.last), strict=True):
    assert (old != new).any()


def test_it_does_not_start_as_the_original():
  out = methods.unlearn(
      problems.problem(), config(), devices=problems.devices())
  assert out.history[0]['forget_accuracy'] < 0.7  # memorised: 1 before
  assert out.findings['original_forgetting_score'] != (
      out.history[0]['forgetting_score'])
