"""UNSIR: noise, impair and repair, one step each, and their turns."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlfd_jax import methods, training as train
from dlfd_jax.methods import unsir
from tests.methods import problems, steps

SLOW = dataclasses.replace(steps.PLAIN, learning_rate=0.01)


def config(**fields):
  return unsir.UnsirConfig(**{
      'batch_size': 8, 'noise_images': 2, 'noise_steps': 3,
      'select_threshold': 0.5, 'optimizer': steps.PLAIN,
      'repair_optimizer': SLOW, **fields})


def plan_of(problem, **fields):
  """The plan, and what its steps read on one device."""
  setting = problems.setting(problem)
  plan, _ = methods.prepare(setting, config(**fields))
  return plan, {
      **steps.data_of(problem), **plan.constants, 'num_steps': plan.num_steps}


def walk(plan, constants, start, stop, state=None):
  """The states after each step from ``start`` to ``stop``, and the metrics."""
  state = plan.start if state is None else state
  compiled = {name: jax.jit(step) for name, step in plan.steps.items()}
  for i in range(start, stop):
    state, metrics = compiled[plan.schedule(i)](state, constants, plan.batch(i))
    yield state, metrics


@pytest.mark.parametrize('kind', ['multiclass', 'multilabel'])
def test_noise_climbs_the_loss_by_adam_with_a_mean_square_penalty(kind):
  problem = problems.problem(kind)
  plan, constants = plan_of(problem)
  labels = np.asarray(constants['noise_labels'])
  start = np.asarray(plan.start.extra['noise'])
  states = [state for state, _ in walk(plan, constants, 0, 4)]

  @jax.jit
  def slope(noise, labels):
    def objective(noise):  # each image of its own: no mean over them
      losses = [steps.mean_loss(
          problem, problem.original['params'], noise[i:i + 1], labels[i:i + 1],
          np.ones(1)) for i in range(2)]
      return 0.1 * (noise**2).mean((1, 2, 3)).sum() - sum(losses)
    return jax.grad(objective)(noise)

  expected = start.copy()
  for label, stop in ((0, 3), (1, 1)):  # three steps, then one of the next
    rows = slice(2 * label, 2 * label + 2)
    first = second = np.zeros_like(expected[rows])
    for t in range(1, stop + 1):
      g = np.asarray(slope(jnp.asarray(expected[rows]), labels[rows]))
      first, second = 0.9 * first + 0.1 * g, 0.999 * second + 0.001 * g**2
      expected[rows] -= 0.1 * (first / (1 - 0.9**t)) / (
          np.sqrt(second / (1 - 0.999**t)) + 1e-8)
  np.testing.assert_allclose(
      states[-1].extra['noise'], expected, atol=5e-3)
  np.testing.assert_array_equal(  # the others wait
      states[-1].extra['noise'][4:], start[4:])
  assert problems.same(states[-1].params, problem.original['params'])


@pytest.mark.parametrize('penalty', [0.1, 0.5])
def test_the_penalty_is_lambda_times_the_mean_square_of_a_pixel(penalty):
  # The sum over the 192 pixels would swamp a loss of some nats.
  plan, constants = plan_of(problems.problem(), noise_penalty=penalty)
  (_, metrics), = walk(plan, constants, 0, 1)
  noise = np.asarray(plan.start.extra['noise'])[:2]
  np.testing.assert_allclose(
      metrics.step['noise_penalty'], penalty * (noise**2).mean(), rtol=1e-5)
  assert metrics.step['noise_penalty'] < 1.5 * penalty


def test_noise_is_made_for_each_label_of_forget():
  problem = problems.problem()
  forget = problem.splits.forget
  plan, constants = plan_of(problem)
  np.testing.assert_array_equal(
      constants['noise_labels'], np.repeat(np.unique(
          problem.dataset.labels[forget]), 2))
  labels = np.full(len(problem.dataset.labels), 2, np.int32)
  np.testing.assert_array_equal(
      unsir.noise_labels(problem.task, labels), [2])  # never a default of 0


def test_noise_is_made_for_each_label_vector_that_tells_something():
  labels = np.int32([[1, 0, -1], [-1, -1, -1], [0, 0, 1], [1, 0, -1]])
  np.testing.assert_array_equal(
      unsir.noise_labels(problems.task('multilabel'), labels),
      [[0, 0, 1], [1, 0, -1]])


def test_up_to_so_many_retain_images_of_each_label_are_read():
  keys = np.array([0, 0, 0, 1, 1, 2, 0, 1])
  rows = np.array([0, 1, 2, 3, 4, 5])
  drawn = unsir.draw_retain(keys, rows, 2, seed=0)
  assert [int((keys[drawn] == key).sum()) for key in range(3)] == [2, 2, 1]
  assert set(drawn) <= set(rows) and list(drawn) == sorted(set(drawn))
  np.testing.assert_array_equal(unsir.draw_retain(keys, rows, 9, 0), rows)


def test_turns_are_noise_then_impair_then_repair():
  problem = problems.problem()
  plan, _ = plan_of(problem, epochs=2)
  # 3 labels; 20 of retain and 11 of noise; 20 of retain.
  assert [plan.schedule(i) for i in range(plan.num_steps)] == (
      ['noise'] * 9 + ['impair'] * 8 + ['repair'] * 6)
  assert plan.check_at == {13, 17, 20, 23}  # the end of every epoch
  slots = [plan.batch(i).slot.tolist() for i in range(9)]
  assert slots == [[0, 1]] * 3 + [[2, 3]] * 3 + [[4, 5]] * 3


def test_impair_reads_retain_once_and_noise_for_its_share():
  problem = problems.problem()
  plan, _ = plan_of(problem)
  batches = [plan.batch(i) for i in range(9, 13)]
  index, noise = (
      np.concatenate([getattr(b, name)[b.mask > 0] for b in batches])
      for name in ('index', 'slot'))
  np.testing.assert_array_equal(
      np.sort(index[noise < 0]), problem.splits.retain)
  counts = np.bincount(noise[noise >= 0], minlength=6)
  assert counts.sum() == 11 and counts.max() - counts.min() <= 1
  repair = [plan.batch(i) for i in range(13, 16)]
  assert not any(isinstance(b, unsir.MixedBatch) for b in repair)
  read = np.concatenate([b.index[b.mask > 0] for b in repair])
  np.testing.assert_array_equal(np.sort(read), problem.splits.retain)


@pytest.mark.parametrize('kind', ['multiclass', 'multilabel'])
def test_impair_and_repair_take_one_step_each(kind):
  problem = problems.problem(kind)
  plan, constants = plan_of(problem)
  impair = next(i for i in range(plan.num_steps)
                if plan.schedule(i) == 'impair')
  batch = plan.batch(impair)
  assert (batch.slot >= 0).any() and (batch.slot < 0).any()
  (state, _), = walk(plan, constants, impair, impair + 1)
  images = np.array(problems.pixels(problem.dataset, batch.index))
  labels = problem.dataset.labels[batch.index].copy()
  is_noise = batch.slot >= 0
  slots = batch.slot[is_noise]
  images[is_noise] = np.asarray(plan.start.extra['noise'])[slots]
  labels[is_noise] = np.asarray(constants['noise_labels'])[slots]
  expected = steps.descended(
      lambda p: steps.mean_loss(problem, p, images, labels, batch.mask),
      problem.original['params'])
  assert problems.largest_difference(state.params, expected) < 1e-5

  last = plan.num_steps - 1
  batch = plan.batch(last)
  (state, _), = walk(plan, constants, last, last + 1)
  expected = steps.descended(
      lambda p: steps.mean_loss(
          problem, p, problems.pixels(problem.dataset, batch.index),
          problem.dataset.labels[batch.index], batch.mask),
      problem.original['params'], rate=0.01)  # repair's own
  assert problems.largest_difference(state.params, expected) < 1e-5


def test_a_falling_rate_begins_after_the_noise():
  falling = dataclasses.replace(steps.PLAIN, schedule='cosine')
  problem = problems.problem()
  moved = {}
  for name, optimizer in (('constant', steps.PLAIN), ('falling', falling)):
    plan, constants = plan_of(problem, optimizer=optimizer)
    impair = next(i for i in range(plan.num_steps)
                  if plan.schedule(i) == 'impair')
    start = dataclasses.replace(plan.start, step=jnp.int32(impair))
    (state, _), = walk(plan, constants, impair, impair + 1, start)
    assert int(state.step) == impair + 1
    moved[name] = state.params
  assert impair > 0
  assert problems.largest_difference(*moved.values()) < 1e-6


def test_each_optimiser_keeps_a_state_of_its_own():
  optimizer = train.OptimizerConfig(kind='adam', learning_rate=1e-3)
  plan, constants = plan_of(
      problems.problem(), optimizer=optimizer, repair_optimizer=optimizer)
  states = [state for state, _ in walk(plan, constants, 9, 14)]
  fresh = plan.start.opt_state
  same = lambda a, b: all(np.array_equal(x, y) for x, y in zip(
      jax.tree.leaves(a), jax.tree.leaves(b), strict=True))
  assert same(states[3].opt_state['repair'], fresh['repair'])
  assert not same(states[3].opt_state['impair'], fresh['impair'])
  assert same(states[4].opt_state['impair'], states[3].opt_state['impair'])
  assert not same(states[4].opt_state['repair'], fresh['repair'])


def test_noise_that_the_devices_cannot_share_is_refused():
  with pytest.raises(
      ValueError, match='noise_images divisible by the 4 devices, got 2'):
    methods.prepare(problems.setting(problems.problem(), 4), config())
