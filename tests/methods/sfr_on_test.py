"""SFR-on: mask, shares, one step of ascent and of descent by hand."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlfd_jax import methods, training as train
from dlfd_jax.methods import sfr_on
from tests.methods import problems, steps

HEAVY = train.OptimizerConfig(  # all that could move a weight outside the mask
    learning_rate=.02, momentum=.9, weight_decay=.1, schedule='cosine')


def plan_of(problem, **fields):
  return methods.prepare(problems.setting(problem), sfr_on.SFROnConfig(
      **{'batch_size': 8, 'epochs': 2, 'optimizer': HEAVY, **fields}))[0]


def test_who_is_when():
  turns = sfr_on.Iterations(first=3, every=2, length=5)
  found = [(turns.phase(i), turns.number(i)) for i in range(3, 11)]
  assert found == [
      ('ascend', 0), ('descend', 0), ('descend', 1), ('ascend', 2),
      ('descend', 2), ('descend', 3), ('ascend', 4), ('descend', 4)]
  assert turns.num_steps == 11
  problem = problems.problem()  # 3 batches of retain and of forget
  plan = plan_of(problem, ascent_every=2)
  assert [plan.schedule(i)[0] for i in range(plan.num_steps)] == list(
      'rrrfffmaddaddadd')
  forget = [plan.batch(i).index for i in (7, 10, 13)]  # a whole pass
  assert set(np.concatenate(forget)) == set(problem.splits.forget)


def test_the_mask_is_of_means_and_of_what_neither_knows():
  problem = problems.problem()
  plan = plan_of(problem, ascent_saliency=2.0)
  n, m = len(problem.splits.retain), len(problem.splits.forget)
  rng = np.random.default_rng(0)
  sums = {name: jax.tree.map(
      lambda p, most=most: jnp.float32(rng.uniform(0, most, p.shape)),
      problem.original['params'])
          for name, most in (('retain', n), ('forget', 2 * m))}
  state, metrics = steps.take(
      plan.steps['mask'], problem, plan.batch(6),
      state=plan.start.replace(extra=sums))
  found = problems.leaves(state.extra['forget'])
  expected = [f / m >= 2 * r / n for f, r in zip(
      *map(problems.leaves, (sums['forget'], sums['retain'])), strict=True)]
  for a, b in zip(found, expected, strict=True):
    np.testing.assert_array_equal(a, b)
  share = sum(b.sum() for b in expected) / sum(b.size for b in expected)
  assert .3 < share < .7
  np.testing.assert_allclose(metrics.step['masked_in'], share, rtol=1e-6)
  assert problems.same(state.extra['retain'], problem.original['params'])
  nobody, _ = steps.take(
      plan_of(problem).steps['mask'], problem, plan.batch(6), state=plan.start)
  assert all(leaf.all() for leaf in problems.leaves(nobody.extra['forget']))


def masked(problem, plan, step, share=.5):
  """A state at ``step`` with a mask, some momentum and old weights."""
  rng = np.random.default_rng(1)
  draw = lambda p: jnp.float32(rng.normal(size=p.shape))  # noqa: E731
  params = problem.original['params']
  mask = jax.tree.map(lambda p: jnp.float32(rng.uniform(
      size=p.shape) < share), params)
  momentum = jax.tree.map(draw, params)
  _, trace = plan.start.opt_state
  return plan.start.replace(
      step=jnp.int32(step), opt_state=(
          plan.start.opt_state[0], trace._replace(trace=momentum)),
      extra={'forget': mask, 'retain': jax.tree.map(draw, params)})


@pytest.mark.parametrize('clip', [7.0, .01])
@pytest.mark.parametrize('kind', ['multiclass', 'multilabel'])
def test_one_ascent_by_hand(kind, clip):
  problem = problems.problem(kind)
  plan = plan_of(problem, ascent_every=2, ascent_clip=clip,
                 ascent_flatness=.7, batch_norm='frozen')
  batch, state = plan.batch(10), masked(problem, plan, 10)  # iteration 2 of 6
  mask = np.float32([1, 1, 1, 1, 1, 0, 0, 0])
  batch = batch.replace(mask=mask)
  new, _ = steps.take(plan.steps['ascend'], problem, batch, state=state)
  images = problems.pixels(problem.dataset, batch.index)
  labels = problem.dataset.labels[batch.index]

  def losses(params):
    return jnp.stack([steps.mean_loss(
        problem, params, images[i:i + 1], labels[i:i + 1], np.ones(1))
                      for i in range(5)])

  each = np.maximum(losses(problem.original['params']), 1e-4) ** -.7
  weight = 25 * .5 * (1 + np.cos(np.pi * 2 / 6))
  gradient = jax.grad(lambda params: -weight * (
      each / each.sum() * losses(params)).sum())(problem.original['params'])
  gradient = [g * m for g, m in zip(*map(problems.leaves, (
      gradient, state.extra['forget'])), strict=True)]
  norm = np.sqrt(sum((g**2).sum() for g in gradient))
  assert norm > .01
  rate = .02 * .5 * (1 + np.cos(np.pi * 2 / 6))
  for old, after, g, m, v, w in zip(
      *map(problems.leaves, (problem.original['params'], new.params)),
      gradient, *map(problems.leaves, (
          state.extra['forget'], state.opt_state[1].trace,
          new.opt_state[1].trace)), strict=True):
    moved = .9 * v + g * min(1, clip / norm) + .1 * old
    np.testing.assert_allclose(w, np.where(m > 0, moved, v), rtol=1e-3,
                               atol=1e-4)
    np.testing.assert_allclose(
        after, np.where(m > 0, old - rate * moved, old), rtol=1e-3, atol=1e-5)
    np.testing.assert_array_equal(w[m == 0], v[m == 0])
    np.testing.assert_array_equal(after[m == 0], old[m == 0])
  assert new.step == 11 and problems.same(new.extra, state.extra)


def test_the_descent_knows_no_mask_and_beta_of_1_keeps_all_of_it():
  problem = problems.problem()
  plan = plan_of(problem, ascent_every=2)
  state, batch = masked(problem, plan, 8, share=0), plan.batch(8)
  supervised = train.make_supervised_step(
      problem.model, problem.task, HEAVY, 6, train_mode=False)
  free, _ = train.as_part(state, 0, lambda own: steps.take(
      supervised, problem, batch, state=own))
  for beta in (1.0, .25):
    step = plan_of(problem, ascent_every=2, kept_move=beta).steps['descend']
    new, _ = steps.take(step, problem, batch, state=state)
    expected = jax.tree.map(lambda n, o, b=beta: b * n + (1 - b) * o,
                            free.params, state.extra['retain'])
    assert problems.largest_difference(new.params, expected) < 1e-6
    assert problems.same(new.extra['retain'], new.params)
    assert problems.same(new.extra['forget'], state.extra['forget'])
  assert problems.moved(problem.original['params'], free.params) == set(
      problems.by_path(free.params))


def test_a_loss_of_nothing_does_not_take_all():
  losses = jnp.array([0., 1e-4, 1e-2, 5.])
  counts = jnp.array([1., 1., 1., 0.])
  found = sfr_on.flattened(losses, counts, .5)
  np.testing.assert_allclose(found, np.array([10, 10, 1, 0]) / 21, rtol=1e-5)
  even = sfr_on.flattened(losses, counts, 0.0)
  np.testing.assert_allclose(even, [1 / 3, 1 / 3, 1 / 3, 0], rtol=1e-6)
  assert not sfr_on.flattened(losses, 0 * counts, .5).any()


@pytest.mark.parametrize('field, value', [
    ('ascent_every', 0), ('ascent_weight', 0), ('ascent_flatness', -1),
    ('ascent_saliency', -1), ('ascent_clip', 0), ('kept_move', 0),
    ('kept_move', 1.1)])
def test_values_out_of_range_are_refused(field, value):
  with pytest.raises(ValueError, match=field):
    dataclasses.replace(sfr_on.SFROnConfig(), **{field: value})
