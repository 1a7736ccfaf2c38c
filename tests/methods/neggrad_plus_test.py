"""NegGrad+: one joint step, its weight, and what it reads."""


import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlfd_jax import methods, training as train
from dlfd_jax.data import batching
from dlfd_jax.methods import finetune, neggrad_plus
from tests.methods import problems, steps


def config(**fields):
  return neggrad_plus.NegGradPlusConfig(**{
      'batch_size': 8, 'epochs': 1, 'select_threshold': 0.5, 'beta': 0.6,
      'optimizer': steps.PLAIN, **fields})


def one_step(problem, options, state=None):
  """A step on five retain and seven forget rows."""
  batch = problems.batch(problem.splits)
  batch = batching.Pair(
      batch.retain.replace(mask=np.float32([1] * 5 + [0] * 3)),
      batch.forget.replace(mask=np.float32([1] * 7 + [0])))
  step = neggrad_plus.make_step(problem.model, problem.task, options)
  return batch, *steps.take(
      step, problem, batch, options.optimizer, state=state)


def losses_of(problem, batch):
  """Functions of the parameters: losses on the two batches."""
  def loss_of(side):
    images = problems.pixels(problem.dataset, side.index)
    labels = problem.dataset.labels[side.index]
    return lambda params: steps.mean_loss(
        problem, params, images, labels, side.mask)
  return [loss_of(side) for side in batch]


@pytest.mark.parametrize('kind', ['multiclass', 'multilabel'])
def test_weights_take_one_step_on_the_weighted_difference(kind):
  problem = problems.problem(kind)
  batch, new, metrics = one_step(problem, config())
  retain, forget = losses_of(problem, batch)
  params = problem.original['params']
  expected = steps.descended(
      lambda p: 0.6 * retain(p) - 0.4 * forget(p), params)
  assert problems.largest_difference(new.params, expected) < 1e-6
  assert problems.same(new.batch_stats, problem.original['batch_stats'])
  np.testing.assert_allclose(
      metrics.step['forget_loss'], forget(params), rtol=1e-4)
  np.testing.assert_allclose(metrics.count, 5)


def test_batch_statistics_move_the_statistics_by_both_batches_in_turn():
  problem = problems.problem()
  batch, new, _ = one_step(problem, config(batch_norm='batch'))
  stats = problem.original['batch_stats']
  for side, rows in ((batch.retain, 5), (batch.forget, 7)):
    images = problems.pixels(problem.dataset, side.index[:rows])
    _, moved = problem.model.apply(
        {**problem.original, 'batch_stats': stats}, images, train=True,
        mutable=['batch_stats'])
    stats = moved['batch_stats']
  assert problems.largest_difference(new.batch_stats, stats) < 1e-5


def test_all_of_beta_is_fine_tuning():
  problem = problems.problem()
  run = lambda options: methods.unlearn(
      problem, options, devices=problems.devices())
  plain = finetune.FinetuneConfig(
      batch_size=8, epochs=1, select_threshold=0.5, optimizer=steps.PLAIN)
  assert problems.largest_difference(
      run(config(beta=1.0)).last, run(plain).last) < 1e-6


def test_retain_is_passed_once_and_forget_cycled_without_loss():
  problem = problems.problem(forget=10)
  plan, _ = methods.prepare(problems.setting(problem), config(epochs=2))
  rows = [plan.batch(i) for i in range(plan.num_steps)]
  assert plan.num_steps == 2 * 3
  read = np.concatenate([b.retain.index[b.retain.mask > 0] for b in rows[:3]])
  np.testing.assert_array_equal(np.sort(read), problem.splits.retain)
  assert all(b.forget.mask.all() for b in rows)  # full, whatever the sizes
  counts = np.bincount(np.concatenate([b.forget.index for b in rows]))
  assert set(counts[problem.splits.forget]) <= {4, 5}  # 48 reads of 10 images


def test_an_unbounded_ascent_does_not_diverge():
  steep = train.OptimizerConfig(learning_rate=0.05, clip_norm=1.0)
  out = methods.unlearn(
      problems.problem(), config(beta=0.05, epochs=8, optimizer=steep),
      devices=problems.devices())
  losses = [f['forget_loss'] for f in out.history]
  assert out.stop == 'finished' and losses[0] < losses[-1] < 300
  assert all(jnp.isfinite(x).all() for x in jax.tree.leaves(dict(out.last)))
