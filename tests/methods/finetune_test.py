"""Fine-tuning: plain SGD on retain."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from dlfd_jax import methods, training as train
from dlfd_jax.data import batching
from dlfd_jax.methods import finetune
from tests.methods import problems

RATE, MOMENTUM, DECAY = 0.01, 0.9, 0.1


def config(**fields):
  return finetune.FinetuneConfig(**{
      'batch_size': 8, 'epochs': 1, 'select_threshold': 0.5,
      'optimizer': train.OptimizerConfig(
          learning_rate=RATE, momentum=MOMENTUM, weight_decay=DECAY),
      **fields})


def test_it_is_sgd_with_decay_before_momentum_on_every_retain_batch():
  problem = problems.problem(seed=3)
  out = methods.unlearn(problem, config(), devices=problems.devices())
  data, original = problem.dataset, problem.original

  @jax.jit
  def slope(params, images, labels, weights):
    def loss(params):
      logits = problem.model.apply(
          {**original, 'params': params}, images, train=False).logits
      losses = -jax.nn.log_softmax(logits)[np.arange(8), labels]
      return (losses * weights).sum() / weights.sum()
    return jax.grad(loss)(params)

  stream = batching.Stream(problem.splits.retain, 8, seed=3)
  params = original['params']
  velocity = jax.tree.map(np.zeros_like, params)
  for step in range(3):
    batch = stream.batch(step)
    gradient = slope(
        params, problems.pixels(data, batch.index),
        data.labels[batch.index], batch.mask)
    velocity = jax.tree.map(
        lambda v, g, p: MOMENTUM * v + g + DECAY * p, velocity, gradient,
        params)
    params = jax.tree.map(lambda p, v: p - RATE * v, params, velocity)
  assert problems.largest_difference(out.last['params'], params) < 1e-6
  assert problems.same(out.last['batch_stats'], original['batch_stats'])
  assert out.selected_step == 3


def test_a_cosine_falls_once_over_the_run_not_in_every_epoch():
  # The release sets its period to the epochs and steps it per batch.
  problem, moved = problems.problem(), []
  plain = train.OptimizerConfig(
      learning_rate=RATE, momentum=0.0, weight_decay=0.0)
  for schedule in ('constant', 'cosine'):
    optimizer = dataclasses.replace(plain, schedule=schedule)
    plan, _ = methods.prepare(
        problems.setting(problem), config(epochs=2, optimizer=optimizer))
    step = jax.jit(plan.steps['finetune'])
    data = plan.reads(
        {'images': problem.dataset.images, 'labels': problem.dataset.labels},
        problems.devices())['finetune']
    start = train.create_state(problem.original, optimizer, jax.random.key(0))
    moved.append([])
    for number in range(6):  # every one from the original
      state, _ = step(start.replace(step=jnp.int32(number)), data,
                      plan.batch(number))
      moved[-1].append(problems.largest_difference(
          state.params, problem.original['params']))
  shares = np.array(moved[1]) / np.array(moved[0])
  np.testing.assert_allclose(
      shares, (1 + np.cos(np.pi * np.arange(6) / 6)) / 2, atol=2e-3)
