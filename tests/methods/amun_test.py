"""AMUN: the attack against NumPy on a linear model, and the steps by hand."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlfd_jax import training as train
from dlfd_jax.data import augment, batching
from dlfd_jax.methods import amun
from dlfd_jax.models import layers
from tests.methods import problems, steps

MEAN, STD, SIZE = 0.3, 0.2, 2


class Linear(nn.Module):
  """Normalises its images itself, and answers wrongly in training mode."""

  @nn.compact
  def __call__(self, images, *, train, mask=None, keys=None, axis_name=None):
    x = ((images - MEAN) / STD).reshape(len(images), -1)
    logits = nn.Dense(3, name='head')(x)
    return layers.Outputs(-logits if train else logits, x)


def config(**fields):
  return amun.AMUNConfig(**{
      'batch_size': 8, 'epochs': 1, 'optimizer': steps.PLAIN, **fields})


@pytest.fixture(name='weights')
def _weights():
  rng = np.random.default_rng(0)
  return {'kernel': rng.normal(size=(SIZE * SIZE * 3, 3)).astype(np.float32),
          'bias': rng.normal(size=3).astype(np.float32)}


def by_hand(task, weights, x, y, options):
  """One image's neighbour, float64: x', its logits, the steps taken."""
  kernel, bias = (weights[name].astype(np.float64)
                  for name in ('kernel', 'bias'))
  logits_of = lambda z: ((z - MEAN) / STD).ravel() @ kernel + bias
  at, most = x.copy(), options.attack_steps * (options.doublings + 1)
  for number in range(most + 1):
    logits = logits_of(at)
    if task.is_multilabel:
      known = y != -1
      other = ((logits > 0) != y)[known].any()
      slope = np.where(known, 1 / (1 + np.exp(-logits)) - y, 0)
    else:
      other = logits.argmax() != y
      slope = np.exp(logits - np.logaddexp.reduce(logits)) - np.eye(3)[y]
    if other or number == most:
      return at, logits, number, other
    radius = options.radius * 2 ** (number // options.attack_steps)
    gradient = (kernel @ slope / STD).reshape(x.shape)
    change = at + radius / 10 * gradient / np.linalg.norm(gradient) - x
    change *= min(1, radius / np.linalg.norm(change))
    at = np.clip(x + change, 0, 1)


@pytest.mark.parametrize('kind', ['multiclass', 'multilabel'])
def test_the_nearest_other_answer_by_hand(kind, weights):
  task, rng = problems.task(kind), np.random.default_rng(2)
  images = rng.uniform(0, 1, (12, SIZE, SIZE, 3))
  images[1:3] = images[1:3].round()  # at the ends of the range
  logits = (((images - MEAN) / STD).reshape(12, -1)
            @ weights['kernel'] + weights['bias'])
  if kind == 'multilabel':
    labels = (logits > 0).astype(np.int32)
    labels[3, 1] = labels[4] = -1  # unknown: one of them, all of them
    labels[0, 2] = 1 - labels[0, 2]  # answered otherwise already
  else:
    labels = logits.argmax(1).astype(np.int32)
    labels[0] = (labels[0] + 1) % 3
  mask = np.ones(12, np.float32)
  mask[11] = 0
  if kind == 'multilabel':
    mask[4] = 0  # as `read` weighs it
  options = config(attack_steps=12, radius=0.04, doublings=4)
  found, answered, changed = jax.jit(
      lambda *args: amun.attack(Linear(), task, *args, options))(
          {'params': {'head': weights}}, jnp.float32(images), labels, mask)
  taken = []
  for i in range(12):
    if not mask[i]:
      np.testing.assert_array_equal(found[i], np.float32(images[i]))
      assert not changed[i]
      continue
    wanted, logits_of, number, other = by_hand(
        task, weights, images[i], labels[i], options)
    taken.append(number)
    np.testing.assert_allclose(found[i], wanted, atol=2e-5)
    assert bool(changed[i]) == other
    if kind == 'multilabel':
      np.testing.assert_array_equal(answered[i], np.where(
          labels[i] == -1, -1, logits_of > 0))
    else:
      assert answered[i] == logits_of.argmax()
  # None for the one answered otherwise; some within the first radius, some by
  # a larger one.
  assert taken[0] == 0 and min(taken[1:]) <= 12 < max(taken)


def test_the_radius_has_a_bound_and_what_has_no_neighbour_says_so(weights):
  images = np.full((2, SIZE, SIZE, 3), 0.5, np.float32)
  weights = {'kernel': weights['kernel'] / 1000,  # no image is another class
             'bias': np.float32([5, 0, 0])}
  options = config(attack_steps=5, radius=0.01, doublings=3)
  found, _, changed = amun.attack(
      Linear(), problems.task(), {'params': {'head': weights}}, images,
      jnp.zeros(2, jnp.int32), jnp.ones(2), options)
  assert not changed.any()
  # Five steps of a tenth of .01, .02, .04 and .08, all in one direction.
  np.testing.assert_allclose(
      np.linalg.norm(np.ravel(found[0] - images[0])), 5 * .015, rtol=1e-3)


def plan_of(problem, **fields):
  return config(attack_steps=20, radius=0.05, doublings=8, **fields).plan(
      problems.setting(problem))


def attacked(problem, plan):
  """The state after the steps that attack, from which training starts."""
  state, constants = plan.start, steps.data_of(problem)
  step = jax.jit(plan.steps[amun.ATTACK])
  for number in range(plan.num_steps):
    if plan.schedule(number) != amun.ATTACK:
      return state, number
    state, _ = step(state, constants, plan.batches.batch(number))


@pytest.mark.parametrize('kind', ['multiclass', 'multilabel'])
def test_every_forget_image_has_its_neighbour_in_its_place(kind):
  problem = problems.flat(kind, forget=20)  # the last batch is padded
  rows = problem.splits.forget
  state, turn = attacked(problem, plan_of(problem))
  assert turn == 3
  assert problems.same(state.params, problem.original['params'])
  clean = problems.pixels(problem.dataset, rows)
  labels, extra = problem.dataset.labels[rows], jax.device_get(state.extra)
  logits = np.asarray(steps.logits_of(problem, state.params, extra['images']))
  predicted = (np.where(labels == -1, -1, logits > 0)
               if kind == 'multilabel' else logits.argmax(1))
  np.testing.assert_array_equal(extra['labels'], predicted)
  differs = predicted != labels
  differs = differs.any(1) if kind == 'multilabel' else differs
  np.testing.assert_array_equal(extra['found'], differs)
  assert differs.mean() > .8
  # Each of its own image: nearer to that than to any other.
  gaps = np.linalg.norm((extra['images'][:, None] - clean[None]).reshape(
      len(rows), len(rows), -1), axis=-1)
  np.testing.assert_array_equal(gaps.argmin(1), np.arange(len(rows)))


@pytest.mark.parametrize('use_retain', [True, False])
def test_an_epoch_has_retain_forget_and_every_neighbour_once(use_retain):
  problem = problems.flat()
  plan = plan_of(problem, use_retain=use_retain)
  own, neighbours = [], []
  for number in range(plan.num_steps):
    if plan.schedule(number) == amun.TRAIN:
      batch = plan.batches.batch(number)
      for index, place, mask in zip(
          batch.index, batch.place, batch.mask, strict=True):
        if mask:
          (own if place < 0 else neighbours).append(int(index))
          assert place < 0 or problem.splits.forget[place] == index
  splits = problem.splits
  assert sorted(own) == sorted(np.concatenate(
      [splits.retain, splits.forget] if use_retain else [splits.forget]))
  assert sorted(neighbours) == splits.forget.tolist()


@pytest.mark.parametrize('kind', ['multiclass', 'multilabel'])
@pytest.mark.parametrize('augmented', [False, True])
def test_a_step_by_hand(kind, augmented):
  problem = problems.flat(kind)
  turned = augment.AugmentConfig() if augmented else None
  plan = plan_of(problem, augment=turned)
  state, turn = attacked(problem, plan)
  batch = plan.batches.batch(turn)
  own = batch.place < 0
  assert 0 < own.sum() < len(own)
  new, metrics = jax.jit(plan.steps[amun.TRAIN])(
      state, steps.data_of(problem), batch)
  extra = jax.device_get(state.extra)
  # What is augmented is drawn as for any step; neighbours are as they are.
  seen = train.read(state, steps.data_of(problem), batching.Batch(
      batch.index, batch.mask, batch.position), problem.task, turned)
  images, labels = np.array(seen.images), problem.dataset.labels[
      batch.index].copy()
  clean = np.array(problems.pixels(problem.dataset, batch.index))
  if augmented:
    assert (np.abs(images - clean).max((1, 2, 3)) > 0.01).all()
  images[~own] = extra['images'][batch.place[~own]]
  labels[~own] = extra['labels'][batch.place[~own]]
  weights = batch.mask * np.where(own, 1, extra['found'][batch.place])
  loss = lambda params: steps.mean_loss(
      problem, params, images, labels, weights)
  expected = steps.descended(loss, problem.original['params'])
  assert problems.largest_difference(new.params, expected) < 1e-5
  np.testing.assert_allclose(
      metrics.rows['loss'] / metrics.count, loss(problem.original['params']),
      rtol=1e-4)
  assert int(new.step) == turn + 1


def test_an_image_without_a_neighbour_is_left_out():
  problem = problems.flat()
  plan = plan_of(problem)
  state, turn = attacked(problem, plan)
  batch = plan.batches.batch(turn)
  nobody = state.replace(extra={
      **state.extra, 'found': jnp.zeros_like(state.extra['found'])})
  left, metrics = jax.jit(plan.steps[amun.TRAIN])(
      nobody, steps.data_of(problem), batch)
  own = (batch.place < 0) * batch.mask
  assert metrics.count == own.sum()
  expected = steps.descended(lambda params: steps.mean_loss(
      problem, params, problems.pixels(problem.dataset, batch.index),
      problem.dataset.labels[batch.index], own), problem.original['params'])
  assert problems.largest_difference(left.params, expected) < 1e-5


def test_the_rate_falls_from_the_first_step_that_trains():
  problem = problems.flat()
  plan = plan_of(problem, optimizer=dataclasses.replace(
      steps.PLAIN, schedule='cosine'))
  state, turn = attacked(problem, plan)
  data = {**steps.data_of(problem), 'num_steps': plan.num_steps}
  batch = plan.batches.batch(turn)
  moved, _ = jax.jit(plan.steps[amun.TRAIN])(state, data, batch)
  whole, _ = jax.jit(plan_of(problem).steps[amun.TRAIN])(state, data, batch)
  assert problems.largest_difference(moved.params, whole.params) < 1e-6


@pytest.mark.parametrize('fields, match', [
    ({'attack_steps': 0}, 'attack_steps of at least 1, got 0'),
    ({'radius': 0.0}, 'radius above 0, got 0'),
    ({'doublings': 31}, 'doublings of at most 30, got 31'),
    ({'use_retain': 1}, 'use_retain to be True or False, got 1')])
def test_bad_fields_are_refused(fields, match):
  with pytest.raises(ValueError, match=match):
    amun.AMUNConfig(**fields)
