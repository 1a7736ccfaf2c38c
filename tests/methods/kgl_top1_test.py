"""KGL-top1: a step of each part by hand, and who comes when."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlfd_jax import methods
from dlfd_jax.methods import kgl_top1
from tests.methods import problems, steps


def optimizer(rate):
  return dataclasses.replace(steps.PLAIN, learning_rate=rate)


def plan_of(problem, **fields):
  return methods.prepare(problems.setting(problem), kgl_top1.KGLTop1Config(**{
      'batch_size': 8, 'epochs': 2, 'optimizer': optimizer(.08),
      'uniform_optimizer': optimizer(.02), 'forget_optimizer': optimizer(.03),
      **fields}))[0]


def taken(problem, plan, step):
  state = plan.start.replace(step=jnp.int32(step))
  new, _ = steps.take(
      plan.steps[plan.schedule(step)], problem, plan.batch(step), state=state)
  return new


def images_of(problem, batch):
  return problems.pixels(problem.dataset, batch.index)


@pytest.mark.parametrize('kind', ['multiclass', 'multilabel'])
def test_the_first_pass_makes_forget_uniform(kind):
  problem = problems.problem(kind)
  plan = plan_of(problem)
  batch = plan.batch(0)
  images = images_of(problem, batch)
  expected = steps.descended(lambda params: steps.mean_kl(
      problem, params, images, batch.mask, 1.0,
      teacher=jnp.zeros((8, 3))), problem.original['params'], .02)
  new = taken(problem, plan, 0)
  assert problems.largest_difference(new.params, expected) < 1e-6
  assert set(batch.index) <= set(problem.splits.forget)


@pytest.mark.parametrize('kind', ['multiclass', 'multilabel'])
def test_a_forget_step_moves_forget_alone_away_from_held_retain(kind):
  problem = problems.problem(kind)
  plan = plan_of(problem)
  pair = plan.batch(5)  # the third of forget; retain goes round: 4 of 8 are new
  assert plan.schedule(5) == 'forget' and pair.retain.mask.all()

  def place(params, images):
    out = problem.model.apply(
        {**problem.original, 'params': params}, images, train=False)
    return out.features if kind == 'multilabel' else out.logits

  held = place(problem.original['params'], images_of(problem, pair.retain))

  def loss(params):
    near = place(params, images_of(problem, pair.forget)) @ held.T / 1.15
    return -jax.nn.log_softmax(near).mean()

  expected = steps.descended(loss, problem.original['params'], .03)
  new = taken(problem, plan, 5)
  assert problems.largest_difference(new.params, expected) < 1e-6
  if kind == 'multilabel':  # no weight of the last layer is asked
    moved = problems.moved(problem.original['params'], new.params)
    assert moved and all(path[0] != 'head' for path in moved)


@pytest.mark.parametrize('batch_size', [8, 16])
def test_the_rate_on_retain_grows_with_the_batch(batch_size):
  problem = problems.problem()
  plan = plan_of(problem, batch_size=batch_size)
  step = next(i for i in range(9) if plan.schedule(i) == 'retain')
  batch = plan.batch(step)
  images = images_of(problem, batch)
  expected = steps.descended(
      lambda params: steps.mean_loss(
          problem, params, images, problem.dataset.labels[batch.index],
          batch.mask), problem.original['params'], .08 * batch_size / 64)
  new = taken(problem, plan, step)
  assert problems.largest_difference(new.params, expected) < 1e-6


def test_each_part_has_a_momentum_and_a_schedule_of_its_own():
  problem = problems.problem()
  plan = plan_of(problem, **{
      f'{part}optimizer': dataclasses.replace(
          optimizer(.05), momentum=.9, schedule=schedule)
      for part, schedule in (('', 'constant'), ('uniform_', 'constant'),
                             ('forget_', 'cosine'))})
  before = plan.start.opt_state
  for step, part in ((0, 'uniform'), (3, 'forget'), (6, 'retain')):
    new = taken(problem, plan, step)
    assert [name for name in before if not problems.same(
        {'': new.opt_state[name]}, {'': before[name]})] == [part]
  # 6 steps of forget: the last one's rate is that of 5/6 of the half period.
  moves = [problems.largest_difference(
      taken(problem, plan, step).params, problem.original['params'])
           for step in (3, 11)]
  slopes = [max(np.abs(leaf).max() for leaf in jax.tree.leaves(
      taken(problem, plan, step).opt_state['forget'])) for step in (3, 11)]
  np.testing.assert_allclose(
      (moves[1] / slopes[1]) / (moves[0] / slopes[0]),
      .5 * (1 + np.cos(np.pi * 5 / 6)), rtol=1e-2)


def test_no_image_is_lost_where_forget_is_longer_than_retain():
  turns = kgl_top1.Rounds(forget=3, retain=2, epochs=2)
  found = [turns.locate(i) for i in range(turns.num_steps)]
  assert found == [
      ('uniform', 0), ('uniform', 1), ('uniform', 2),
      ('forget', 0), ('forget', 1), ('forget', 2), ('retain', 0), ('retain', 1),
      ('forget', 3), ('forget', 4), ('forget', 5), ('retain', 2), ('retain', 3)]
  assert turns.ends == {3, 8, 13}
  problem = problems.problem(retain=10)  # two batches, and three of forget
  plan = plan_of(problem)
  for first in (0, 3, 8):
    read = [plan.batch(i) for i in range(first, first + 3)]
    rows = [getattr(batch, 'forget', batch).index for batch in read]
    assert set(np.concatenate(rows)) == set(problem.splits.forget)
  assert plan.check_at == turns.ends


def test_it_is_least_where_all_are_equally_near():
  z, others = np.float32(np.random.default_rng(0).normal(size=(2, 4, 3)))
  counts = np.float32([1, 0, 1, 1])
  near = (z @ others.T / .7)[:, counts > 0]
  expected = (np.log(np.exp(near).sum(1)) - near.mean(1))
  found = kgl_top1.contrast_loss(z, others, counts, .7)
  np.testing.assert_allclose(found, expected, rtol=1e-5)
  assert (np.asarray(found) > np.log(3)).all()
  np.testing.assert_allclose(
      kgl_top1.contrast_loss(0 * z, others, counts, .7), np.log(3), rtol=1e-6)


def test_a_temperature_of_0_is_refused():
  with pytest.raises(ValueError, match='contrast_temperature'):
    kgl_top1.KGLTop1Config(contrast_temperature=0.0)
