"""LoTUS: what is drawn, the temperature, a step by hand, and the end."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlfd_jax.methods import lotus
from tests.methods import problems, steps


def plan_of(problem, **fields):
  return lotus.LotusConfig(**{
      'batch_size': 8, 'epochs': 3, 'optimizer': steps.PLAIN, **fields}).plan(
          problems.setting(problem))


def keys(count):
  return jax.random.split(jax.random.key(0), count)


def test_sure_targets_are_drawn_by_the_original_s_odds():
  p = np.float32([.7, .2, .1])
  drawn = lotus.draw(problems.task(), jnp.tile(jnp.log(p), (4000, 1)),
                     keys(4000))
  hard = lotus.targets(drawn, jnp.zeros(4000), 1.0)
  assert set(np.unique(hard)) == {0, 1}
  np.testing.assert_allclose(hard.mean(0), p, atol=.03)  # no argmax
  soft = lotus.targets(drawn, jnp.ones(4000), 2.0)
  np.testing.assert_allclose(soft.sum(1), 1, rtol=1e-5)
  np.testing.assert_allclose(
      soft, np.exp(drawn / 2) / np.exp(drawn / 2).sum(1, keepdims=True),
      rtol=1e-4)
  np.testing.assert_allclose(  # certain at last
      lotus.targets(drawn[:50], jnp.ones(50), 1e-4), hard[:50], atol=1e-3)


def test_attributes_are_drawn_each_for_itself():
  p = np.float32([.8, .5, .1])
  drawn = lotus.draw(problems.task('multilabel'), jnp.tile(
      jnp.log(p / (1 - p)), (4000, 1)), keys(4000))
  hard = np.asarray(lotus.targets(drawn, jnp.zeros(4000), 1.0)[..., 0])
  np.testing.assert_allclose(hard.mean(0), p, atol=.03)
  assert np.abs(np.corrcoef(hard.T) - np.eye(3)).max() < .06


def forget_accuracy(problem, params):
  """Written anew: of attributes the mean over those known."""
  rows = problem.splits.forget
  logits = np.asarray(steps.logits_of(
      problem, params, problems.pixels(problem.dataset, rows)))
  labels = problem.dataset.labels[rows]
  if problem.task.is_multilabel:
    return np.mean([((z > 0) == y)[y >= 0].mean()
                    for z, y in zip(logits, labels)])
  return (logits.argmax(1) == labels).mean()


@pytest.mark.parametrize('kind', ['multiclass', 'multilabel'])
def test_the_temperature_is_of_the_student_on_forget_and_the_original_on_val(
    kind):
  problem = problems.problem(kind)
  plan = plan_of(problem, temperature_slope=3.0)
  turn = next(i for i in range(plan.num_steps) if plan.schedule(i) == 'teach')
  epoch = plan.batches.steps_per_epoch
  rng = np.random.default_rng(0)
  student = jax.tree.map(
      lambda p: p + jnp.float32(.4 * rng.normal(size=p.shape)),
      problem.original['params'])
  state = plan.start.replace(step=jnp.int32(epoch), params=student, extra={
      'correct': jnp.float32(99), 'seen': jnp.float32(99)})  # of the last one
  for step in range(epoch, epoch + turn):
    assert plan.schedule(step) == 'count'
    state, _ = steps.take(
        plan.steps['count'], problem, plan.batches.batch(step), state=state)
  assert problems.same(state.params, student)
  assert float(state.extra['seen']) == len(problem.splits.forget)
  found = forget_accuracy(problem, student)
  np.testing.assert_allclose(
      state.extra['correct'] / state.extra['seen'], found, rtol=1e-6)
  of_val = dataclasses.replace(problem, splits=dataclasses.replace(
      problem.splits, forget=problem.splits.val, val=problem.splits.forget))
  known = forget_accuracy(of_val, problem.original['params'])
  assert abs(found - known) > .01
  np.testing.assert_allclose(plan.constants['val_accuracy'], known, rtol=1e-6)
  _, metrics = steps.take(
      plan.steps['teach'], problem, plan.batches.batch(epoch + turn),
      state=state, constants=plan.constants)
  np.testing.assert_allclose(
      metrics.step['temperature'], np.exp(3 * (found - known)), rtol=1e-5)


@pytest.mark.parametrize('kind', ['multiclass', 'multilabel'])
def test_one_step_by_hand(kind):
  problem = problems.problem(kind)
  plan = plan_of(problem)
  step = next(i for i in range(plan.num_steps) if plan.schedule(i) == 'teach')
  batch = plan.batches.batch(step)
  assert 0 < batch.unlearn.sum() < 8
  state = plan.start.replace(step=jnp.int32(step), extra={
      'correct': jnp.float32(9), 'seen': jnp.float32(10)})
  constants = {**plan.constants, 'val_accuracy': jnp.float32(.5)}
  new, _ = steps.take(plan.steps['teach'], problem, batch, state=state,
                      constants=constants)
  images = problems.pixels(problem.dataset, batch.index)
  each = jax.vmap(lambda i: jax.random.fold_in(jax.random.fold_in(
      jax.random.fold_in(state.key, step), 4), i))(batch.position)
  z = lotus.draw(problem.task, steps.logits_of(
      problem, problem.original['params'], images), each)
  if kind == 'multilabel':
    z = z[..., 0] - z[..., 1]  # logistic noise
    soft, hard = jax.nn.sigmoid(z / jnp.exp(2 * .4)), z > 0
  else:
    soft, hard = jax.nn.softmax(z / jnp.exp(2 * .4)), z == z.max(
        1, keepdims=True)
  target = jnp.where(batch.unlearn[:, None] > 0, soft, hard)

  def loss(params):
    logits = steps.logits_of(problem, params, images)
    if kind == 'multilabel':
      losses = -(target * jax.nn.log_sigmoid(logits) +
                 (1 - target) * jax.nn.log_sigmoid(-logits)).mean(1)
    else:
      losses = -(target * jax.nn.log_softmax(logits)).sum(1)
    return (losses * batch.mask).sum() / batch.mask.sum()

  expected = steps.descended(loss, problem.original['params'])
  assert problems.largest_difference(new.params, expected) < 1e-5
  assert problems.same(new.extra, state.extra) and new.step == step + 1


def test_it_stops_where_an_epoch_ends_a_point_under_val():
  plan = plan_of(problems.problem())
  epoch = plan.batches.steps_per_epoch
  original = {'val_accuracy': .8, 'forget_accuracy': 1.0}
  for step, accuracy, ends in (
      (epoch, .79, True), (epoch, .795, False), (epoch, .81, False),
      (epoch + 1, .5, False), (0, .5, True)):
    assert plan.stop(
        original, {'step': step, 'forget_accuracy': accuracy}) == ends
  assert {0, epoch, 2 * epoch} == plan.check_at


def test_a_part_of_retain_and_all_of_forget_are_read_in_each_epoch():
  problem = problems.problem()
  plan = plan_of(problem, retain_share=.3)
  epoch = plan.batches.steps_per_epoch
  parts = []
  for first in (0, epoch):
    read = {'count': [], 'teach': []}
    for step in range(first, first + epoch):
      batch = plan.batches.batch(step)
      read[plan.schedule(step)] += batch.index[batch.mask > 0].tolist()
    assert sorted(read['count']) == list(problem.splits.forget)
    assert set(read['teach']) > set(problem.splits.forget)
    parts.append(set(read['teach']) & set(problem.splits.retain))
  assert parts[0] == parts[1] and len(parts[0]) == 6  # of 20


@pytest.mark.parametrize('part', ['val', 'forget'])
def test_without_a_label_there_is_no_temperature(part):
  problem = problems.problem('multilabel')
  labels = problem.dataset.labels.copy()
  labels[getattr(problem.splits, part)] = -1
  problem = dataclasses.replace(problem, dataset=dataclasses.replace(
      problem.dataset, labels=labels))
  with pytest.raises(ValueError, match=f'known label in {part}'):
    lotus.LotusConfig().plan(problems.setting(problem))
