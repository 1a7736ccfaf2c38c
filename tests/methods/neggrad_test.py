"""NegGrad: one step, its clip, its epochs and its stop rule."""

import jax
import numpy as np
import optax
import pytest

from dlfd_jax import methods, training as train
from dlfd_jax.methods import neggrad
from tests.methods import problems, steps


def config(**fields):
  return neggrad.NegGradConfig(**{
      'batch_size': 8, 'check_every': 1, 'select_threshold': 0.5,
      'optimizer': steps.PLAIN, **fields})


def one_step(problem, options, mask):
  batch = problems.batch(problem.splits).forget.replace(mask=np.float32(mask))
  step = neggrad.make_step(problem.model, problem.task, options)
  return batch, *steps.take(step, problem, batch, options.optimizer)


@pytest.mark.parametrize('kind', ['multiclass', 'multilabel'])
def test_weights_take_one_step_up_the_loss_of_a_forget_batch(kind):
  problem = problems.problem(kind)
  mask = np.float32([1, 1, 1, 1, 1, 0, 0, 0])
  batch, new, metrics = one_step(problem, config(), mask)
  images = problems.pixels(problem.dataset, batch.index)
  labels = problem.dataset.labels[batch.index]
  loss = lambda params: steps.mean_loss(problem, params, images, labels, mask)
  params = problem.original['params']
  expected = steps.descended(lambda p: -loss(p), params)
  assert problems.largest_difference(new.params, expected) < 1e-6
  assert problems.same(new.batch_stats, problem.original['batch_stats'])
  np.testing.assert_allclose(
      metrics.rows['loss'] / metrics.count, loss(params), rtol=1e-4)
  assert loss(new.params) > loss(params)


def test_a_large_gradient_is_cut_to_norm_one():
  options = neggrad.NegGradConfig()
  assert options.optimizer.clip_norm == 1.0
  steep = train.OptimizerConfig(
      learning_rate=100.0, momentum=0.0, weight_decay=0.0)  # off the flat start
  problem = problems.problem()
  _, far, _ = one_step(problem, config(optimizer=steep), np.ones(8))
  batch = problems.batch(problem.splits).forget
  state = train.create_state(
      far.variables, options.optimizer, jax.random.key(0))
  step = neggrad.make_step(problem.model, problem.task, options)
  new, metrics = steps.take(step, problem, batch, state=state)
  assert metrics.step['gradient_norm'] > 1
  moved = optax.tree.norm(jax.tree.map(
      lambda a, b: a - b, new.params, far.params))
  np.testing.assert_allclose(moved, 1e-3, rtol=0.05)  # rate times one


def test_an_epoch_is_one_pass_over_forget():
  problem = problems.problem(forget=20)
  plan, _ = methods.prepare(problems.setting(problem), config(epochs=2))
  assert plan.num_steps == 2 * 3  # not the batches of retain
  rows = [plan.batch(i) for i in range(3)]
  read = np.concatenate([b.index[b.mask > 0] for b in rows])
  np.testing.assert_array_equal(np.sort(read), problem.splits.forget)


def test_it_stops_once_forget_is_classified_no_better_than_val_once_was():
  fast = train.OptimizerConfig(learning_rate=0.1, clip_norm=1.0)
  out = methods.unlearn(
      problems.problem(), config(epochs=200, optimizer=fast),
      devices=problems.devices())
  assert out.stop == 'stop rule' and 0 < out.steps < 600
  goal = out.history[0]['val_accuracy']
  *before, last = (f['forget_accuracy'] for f in out.history)
  assert last <= goal < min(before)
  assert out.history[-1]['forget_loss'] < 50  # it did not diverge
  losses = [f['forget_loss'] for f in out.history[:4]]
  assert losses == sorted(losses) and losses[0] < losses[-1]


@pytest.mark.parametrize('now, ends', [(0.51, False), (0.5, True), (0.1, True)])
def test_the_stop_rule_compares_forget_now_with_val_then(now, ends):
  original = {'val_accuracy': 0.5, 'forget_accuracy': 1.0}
  figures = {'val_accuracy': 0.9, 'forget_accuracy': now}
  assert neggrad.forgotten(original, figures) is ends
