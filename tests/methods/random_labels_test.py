"""Random labels: whom they are wrong for, and when they are drawn."""

import numpy as np
import pytest

from dlfd_jax.methods import random_labels
from tests.methods import problems, steps


def config(**fields):
  return random_labels.RandomLabelsConfig(**{
      'batch_size': 8, 'epochs': 2, 'optimizer': steps.PLAIN,
      'batch_norm': 'frozen', **fields})


def test_a_class_is_any_but_the_true_one():
  task, generator = problems.task(outputs=4), np.random.default_rng(0)
  labels = np.repeat(np.arange(4), 3000).astype(np.int32)
  wrong = random_labels.wrong_labels(task, labels, generator)
  assert wrong.dtype == labels.dtype
  counts = np.array([[(wrong[labels == true] == drawn).mean()
                      for drawn in range(4)] for true in range(4)])
  np.testing.assert_allclose(counts, (1 - np.eye(4)) / 3, atol=.03)


def test_attributes_are_coins_not_inversions():
  task = problems.task('multilabel')
  labels = np.ones((4000, 3), np.int32)
  labels[:2000, 1] = -1
  wrong = random_labels.wrong_labels(task, labels, np.random.default_rng(0))
  assert set(np.unique(wrong)) == {0, 1}
  np.testing.assert_allclose(wrong.mean(0), .5, atol=.03)


@pytest.mark.parametrize('redraw', ['epoch', 'once'])
def test_forget_alone_gets_them_in_every_epoch_or_once(redraw):
  problem = problems.problem()
  batches = config(redraw=redraw).relabelled(problems.setting(problem))

  def of_epoch(epoch):
    found = {}
    for step in range(batches.steps_per_epoch):
      batch = batches.batch(epoch * batches.steps_per_epoch + step)
      for row, mask, target in zip(
          batch.index, batch.mask, batch.targets, strict=True):
        if mask:
          found[int(row)] = int(target)
    return found

  first, second = of_epoch(0), of_epoch(1)
  data, splits = problem.dataset, problem.splits
  assert set(first) == {*splits.retain.tolist(), *splits.forget.tolist()}
  for found in (first, second):
    assert all(found[row] == data.labels[row] for row in splits.retain)
    assert all(found[row] != data.labels[row] for row in splits.forget)
  assert (first == second) is (redraw == 'once')


@pytest.mark.parametrize('kind', ['multiclass', 'multilabel'])
def test_a_step_by_hand(kind):
  problem, options = problems.problem(kind), config()
  batch = options.relabelled(problems.setting(problem)).batch(0)
  new, metrics = steps.take(
      random_labels.make_step(problem.model, problem.task, options), problem,
      batch)
  images = problems.pixels(problem.dataset, batch.index)
  loss = lambda params: steps.mean_loss(
      problem, params, images, batch.targets, batch.mask)
  expected = steps.descended(loss, problem.original['params'])
  assert problems.largest_difference(new.params, expected) < 1e-5
  np.testing.assert_allclose(
      metrics.rows['loss'] / metrics.count, loss(problem.original['params']),
      rtol=1e-4)
