"""SalUn: the mask by hand, and what it holds still."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlfd_jax import methods, training as train
from dlfd_jax.methods import salun
from tests.methods import problems, steps

DRIFTING = train.OptimizerConfig(  # all that could move a masked weight
    learning_rate=.01, momentum=.9, weight_decay=.1)


def mask_of(problem, share):
  """1 for the weights with the largest gradients on forget, in NumPy."""
  rows = problem.splits.forget
  gradient = jax.grad(lambda params: steps.mean_loss(
      problem, params, problems.pixels(problem.dataset, rows),
      problem.dataset.labels[rows], np.ones(len(rows))))(
          problem.original['params'])
  flat = np.sort(np.concatenate(
      [np.abs(leaf).ravel() for leaf in problems.leaves(gradient)]))
  least = flat[len(flat) - round(share * len(flat))]
  return [np.abs(leaf) >= least for leaf in problems.leaves(gradient)]


@pytest.mark.parametrize('share', [.2, .5])
@pytest.mark.parametrize('kind', ['multiclass', 'multilabel'])
def test_only_what_matters_to_forget_moves(kind, share):
  problem = problems.problem(kind)
  out = methods.unlearn(problem, salun.SalUnConfig(
      batch_size=8, epochs=2, mask_share=share, optimizer=DRIFTING),
                        devices=problems.devices())
  moved = [before != after for before, after in zip(
      problems.leaves(problem.original['params']),
      problems.leaves(out.last['params']), strict=True)]
  for of_leaf, mask in zip(moved, mask_of(problem, share), strict=True):
    assert not of_leaf[~mask].any()
    assert not mask.any() or of_leaf[mask].mean() > .9
  total = sum(m.size for m in moved)
  assert abs(sum(m.sum() for m in moved) / total - share) < .1


def test_a_whole_mask_is_random_labels():
  problem = problems.problem()
  plan, _ = methods.prepare(problems.setting(problem), salun.SalUnConfig(
      batch_size=8, epochs=1, mask_share=1.0, optimizer=steps.PLAIN,
      batch_norm='frozen'))
  assert [plan.schedule(step) for step in range(6)] == (
      ['saliency'] * 3 + ['mask', 'relabel', 'relabel'])
  batch = plan.batch(4)
  state = train.create_state(
      problem.original, steps.PLAIN, jax.random.key(0)).replace(
          step=jnp.int32(4), extra={'saliency': jax.tree.map(
              jnp.ones_like, problem.original['params'])})
  new, _ = steps.take(plan.steps['relabel'], problem, batch, state=state)
  expected = steps.descended(
      lambda params: steps.mean_loss(
          problem, params, problems.pixels(problem.dataset, batch.index),
          batch.targets, batch.mask), problem.original['params'])
  assert problems.largest_difference(new.params, expected) < 1e-5
