"""Fine-tuning: plain SGD on retain."""

import dataclasses

import jax
import numpy as np

from dlfd_jax import methods
from dlfd_jax import train
from dlfd_jax.data import batching
from dlfd_jax.methods import finetune
from tests.methods import problems

RATE, MOMENTUM, DECAY = 0.01, 0.9, 0.1


def config(**fields):
  return finetune.FinetuneConfig(**{
      'batch_size': 8, 'select_threshold': 0.5,
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
    batch = stream.epoch_batch(step)
    gradient = slope(
        params, problems.pixels(data, batch['index']),
        data.labels[batch['index']], batch['mask'])
    velocity = jax.tree.map(
        lambda v, g, p: MOMENTUM * v + g + DECAY * p, velocity, gradient,
        params)
    params = jax.tree.map(lambda p, v: p - RATE * v, params, velocity)
  assert problems.largest_difference(out.last['params'], params) < 1e-6
  assert problems.same(out.last['batch_stats'], original['batch_stats'])
  assert out.selected_step == 3


def test_it_reads_retain_alone():
  problem = problems.problem()
  images = problem.dataset.images.copy()
  others = np.setdiff1d(np.arange(len(images)), problem.splits.retain)
  images[others] = 255 - images[others]
  other = dataclasses.replace(problem, dataset=dataclasses.replace(
      problem.dataset, images=images))
  left, right = (
      methods.unlearn(p, config(), devices=problems.devices())
      for p in (problem, other))
  assert problems.same(left.last, right.last)
  assert left.history != right.history


def test_live_norm_moves_the_running_statistics():
  problem = problems.problem()
  out = methods.unlearn(
      problem, config(batch_norm='live'), devices=problems.devices())
  assert not problems.same(
      out.last['batch_stats'], problem.original['batch_stats'])
