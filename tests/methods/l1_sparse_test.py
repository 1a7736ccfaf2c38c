"""L1-sparse: the penalty, by hand and over the epochs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlfd_jax import training as train
from dlfd_jax.methods import l1_sparse
from tests.methods import problems, steps


@pytest.mark.parametrize('kind', ['multiclass', 'multilabel'])
def test_a_step_by_hand(kind):
  problem = problems.problem(kind)
  options = l1_sparse.L1SparseConfig(
      batch_size=8, epochs=3, gamma=.01, optimizer=steps.PLAIN,
      batch_norm='frozen')
  batch = problems.batch(problem.splits).retain
  new, metrics = steps.take(
      l1_sparse.make_step(problem.model, problem.task, options), problem,
      batch)
  images = problems.pixels(problem.dataset, batch.index)
  norm = lambda params: sum(
      jnp.abs(leaf).sum() for leaf in jax.tree.leaves(params))
  expected = steps.descended(
      lambda params: steps.mean_loss(
          problem, params, images, problem.dataset.labels[batch.index],
          batch.mask) + .01 * norm(params), problem.original['params'])
  assert problems.largest_difference(new.params, expected) < 1e-5
  np.testing.assert_allclose(
      metrics.step['l1_norm'], norm(problem.original['params']), rtol=1e-5)


def test_its_weight_falls_from_epoch_to_epoch():
  options = l1_sparse.L1SparseConfig(epochs=4, gamma=.8)
  found = [float(options.weight(step, 12)) for step in range(12)]
  np.testing.assert_allclose(found, np.repeat([.8, .6, .4, .2], 3), rtol=1e-6)


def test_weights_vanish_under_it():
  problem = problems.problem()

  def norm_after(gamma):
    options = l1_sparse.L1SparseConfig(
        batch_size=8, gamma=gamma, batch_norm='frozen',
        optimizer=train.OptimizerConfig(learning_rate=.01, weight_decay=0.0))
    step = jax.jit(l1_sparse.make_step(problem.model, problem.task, options))
    state = train.create_state(
        problem.original, options.optimizer, jax.random.key(0))
    for i in range(9):
      state, _ = step(state, steps.data_of(problem),
                      problems.batch(problem.splits, step=i).retain)
    return sum(float(jnp.abs(x).sum()) for x in jax.tree.leaves(state.params))

  assert norm_after(.1) < norm_after(.01) < norm_after(0.0)
