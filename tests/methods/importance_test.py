"""What parameters mean to images: each sum against gradients one by one."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlfd_jax import tasks, training as train
from dlfd_jax.methods import importance
from tests.methods import problems, steps

MASK = np.float32([1, 1, 1, 1, 1, 1, 1, 0])
MEASURE = {'gradient': lambda g: g, 'fisher': np.square, 'output': np.abs}


def summed(problem, kind, batches, sign=1.0):
  state = train.create_state(
      problem.original, steps.PLAIN, jax.random.key(0))
  state = state.replace(extra={'sum': importance.zeros(state.params)})
  step = jax.jit(importance.make_step(
      problem.model, problem.task, kind, 'sum', sign))
  for batch in batches:
    state, _ = step(state, steps.data_of(problem), batch)
  assert problems.same(state.variables, problem.original)
  assert state.step == len(batches)
  return state.extra['sum']


@pytest.mark.parametrize('kind', sorted(MEASURE))
@pytest.mark.parametrize('task', ['multiclass', 'multilabel'])
def test_it_is_the_sum_over_images(kind, task):
  problem = problems.problem(task)
  batch = problems.batch(problem.splits).forget.replace(mask=MASK)
  labels = problem.dataset.labels[batch.index]
  images = problems.pixels(problem.dataset, batch.index)

  def value(params, image, label):
    logits = steps.logits_of(problem, params, image[None])
    if kind == 'output':
      return jnp.square(logits).sum()
    return tasks.example_loss(problem.task, logits, label[None])[0]

  own = jax.jit(jax.grad(value))
  each = [own(problem.original['params'], images[i], labels[i])
          for i in range(8) if MASK[i]]
  expected = jax.tree.map(
      lambda *gs: sum(MEASURE[kind](np.asarray(g)) for g in gs), *each)
  found = summed(problem, kind, [batch])
  for a, b in zip(problems.leaves(found), problems.leaves(expected),
                  strict=True):
    np.testing.assert_allclose(a, b, rtol=2e-3, atol=1e-6)


@pytest.mark.parametrize('task', ['multiclass', 'multilabel'])
def test_the_expected_information_is_over_all_labels_by_their_odds(task):
  problem = problems.problem(task)
  batch = problems.batch(problem.splits).forget.replace(mask=MASK)
  images = problems.pixels(problem.dataset, batch.index)
  labels = np.arange(3) if task == 'multiclass' else np.array(
      list(itertools.product([0, 1], repeat=3)))

  @jax.jit
  def by_hand(image):
    def loss(params, label):
      return tasks.example_loss(problem.task, steps.logits_of(
          problem, params, image[None]), label[None])[0]

    params = problem.original['params']
    logits = steps.logits_of(problem, params, image[None])[0]
    odds = jax.nn.softmax(logits) if task == 'multiclass' else jnp.where(
        labels == 1, jax.nn.sigmoid(logits), jax.nn.sigmoid(-logits)).prod(-1)
    slopes = jax.vmap(jax.grad(loss), (None, 0))(params, jnp.asarray(labels))
    return jax.tree.map(
        lambda g: jnp.tensordot(odds, jnp.square(g), 1), slopes)

  each = [by_hand(images[i]) for i in range(8) if MASK[i]]
  found = summed(problem, 'expected_fisher', [batch])
  for a, *parts in zip(problems.leaves(found), *map(problems.leaves, each),
                       strict=True):
    np.testing.assert_allclose(a, sum(parts), rtol=5e-3, atol=1e-6)


@pytest.mark.parametrize('kind', sorted(MEASURE))
def test_the_batch_size_plays_no_part(kind):
  problem = problems.problem()
  whole, halves = (
      [problems.batch(problem.splits, size, step).forget
       for step in range(24 // size)] for size in (24, 8))
  order = [np.sort(np.concatenate([b.index for b in batches]))
           for batches in (whole, halves)]
  np.testing.assert_array_equal(*order)
  one, many = (summed(problem, kind, batches) for batches in (whole, halves))
  for a, b in zip(problems.leaves(one), problems.leaves(many), strict=True):
    np.testing.assert_allclose(a, b, rtol=2e-3, atol=1e-5)


def test_groups_have_every_row_once():
  images, labels = jnp.arange(18.).reshape(9, 2), jnp.arange(9)
  found = importance.grouped(images, labels, jnp.ones(9), jnp.full(9, .5))
  assert [x.shape for x in found] == [(2, 8, 2), (2, 8), (2, 8), (2, 8)]
  counted = np.ravel(found[2]) > 0
  np.testing.assert_array_equal(np.ravel(found[1])[counted], np.arange(9))
  np.testing.assert_array_equal(
      found[0].reshape(16, 2)[counted], images)
  few = importance.grouped(images[:2], labels[:2], jnp.ones(2), jnp.ones(2))
  assert few[2].shape == (1, 2)


def test_a_sign_takes_away():
  problem = problems.problem()
  batch = [problems.batch(problem.splits).forget]
  plus, minus = (summed(problem, 'gradient', batch, s) for s in (1.0, -1.0))
  for a, b in zip(problems.leaves(plus), problems.leaves(minus), strict=True):
    np.testing.assert_array_equal(a, -b)


def test_the_largest_are_ranked_over_all_leaves():
  values = {'a': jnp.arange(6.0), 'b': jnp.full((2, 2), 4.5)}
  found = importance.largest(values, .5)  # of 10: 5, and four of 4.5
  np.testing.assert_array_equal(found['a'], [0, 0, 0, 0, 0, 1])
  np.testing.assert_array_equal(found['b'], np.ones((2, 2)))
  assert importance.largest(values, 1.0)['a'].sum() == 6
  assert importance.largest(values, 1e-9)['a'].tolist() == [0, 0, 0, 0, 0, 1]
