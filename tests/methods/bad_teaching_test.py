"""BadTeaching: one step, its two teachers, and what it reads."""

import jax
import numpy as np
import pytest
from scipy import special

from dlfd_jax import methods, training as train
from dlfd_jax.methods import bad_teaching
from tests.methods import problems, steps

U = np.float32([1, 0, 0, 1, 1, 0, 1, 0])
MASK = np.float32([1, 1, 1, 1, 1, 1, 0, 0])


def config(**fields):
  return bad_teaching.BadTeachingConfig(**{
      'batch_size': 8, 'select_threshold': 0.5, 'optimizer': steps.PLAIN,
      **fields})


def random_net(problem, seed=9):
  """Other weights and other statistics."""
  return jax.tree.map(
      lambda x: np.abs(np.random.default_rng(seed).normal(
          0, 0.3, x.shape)).astype(np.float32), problem.original)


def one_step(problem, options, state=None):
  batch = bad_teaching.TeachingBatch(**{
      **vars(problems.batch(problem.splits).retain), 'mask': MASK,
      'unlearn': U})
  constants = {
      'competent': problem.original, 'incompetent': random_net(problem)}
  step = bad_teaching.make_step(problem.model, problem.task, options)
  images = problems.pixels(problem.dataset, batch.index)
  return images, *steps.take(
      step, problem, batch, options.optimizer, constants, state)


def loss_of(problem, images, temperature, bad):
  """(1 - u) KL(T_s || S) + u KL(T_d || S), mean over rows."""
  good = steps.logits_of(problem, problem.original['params'], images)
  teacher = np.where(U[:, None] > 0, bad, good)
  return lambda params: steps.mean_kl(
      problem, params, images, MASK, temperature, teacher)


@pytest.mark.parametrize('kind, temperature', [
    ('multiclass', 1.0), ('multilabel', 1.0), ('multiclass', 3.0)])
def test_the_student_follows_one_teacher_on_each_side(kind, temperature):
  problem = problems.problem(kind)
  images, new, metrics = one_step(problem, config(temperature=temperature))
  bad = problem.model.apply(random_net(problem), images, train=False).logits
  loss = loss_of(problem, images, temperature, bad)
  params = problem.original['params']
  expected = steps.descended(loss, params)
  scale = problems.largest_difference(expected, params)
  assert problems.largest_difference(new.params, expected) < 1e-4 * scale
  np.testing.assert_allclose(
      metrics.rows['loss'] / metrics.count, loss(params), rtol=1e-4)


def test_a_uniform_teacher_may_take_the_random_ones_place():
  problem = problems.problem()
  images, new, _ = one_step(problem, config(incompetent='uniform'))
  expected = steps.descended(
      loss_of(problem, images, 1.0, 0.0), problem.original['params'])
  assert problems.largest_difference(new.params, expected) < 1e-5


def test_teachers_stay_in_evaluation_mode_if_the_student_trains():
  problem = problems.problem()
  images, new, metrics = one_step(problem, config(batch_norm='batch'))
  bad = problem.model.apply(random_net(problem), images, train=False).logits
  good = steps.logits_of(problem, problem.original['params'], images)
  teacher = np.where(U[:, None] > 0, bad, good)
  student, _ = problem.model.apply(
      problem.original, images, train=True, mask=MASK,
      mutable=['batch_stats'])
  p, q = special.softmax(teacher, 1), special.softmax(student.logits, 1)
  wanted = (special.rel_entr(p, q).sum(1) * MASK).sum()
  np.testing.assert_allclose(metrics.rows['loss'], wanted, rtol=1e-4)
  assert not problems.same(new.batch_stats, problem.original['batch_stats'])


def test_the_objective_is_bounded_and_brings_forget_to_the_random_net():
  # The negated divergence from a random teacher would fall without bound.
  problem = problems.problem()
  options = config(optimizer=train.OptimizerConfig(
      kind='adam', learning_rate=0.01, weight_decay=0.0))
  state, losses = None, []
  for _ in range(6):
    _, state, metrics = one_step(problem, options, state)
    losses.append(float(metrics.rows['loss']))
  assert losses == sorted(losses, reverse=True) and losses[-1] > 0


def plan_of(problem, **fields):
  return methods.prepare(problems.setting(problem), config(**fields))[0]


def test_an_epoch_reads_all_of_forget_and_a_part_of_retain_once():
  problem = problems.problem()
  plan = plan_of(problem, retain_share=0.25, epochs=2)
  assert plan.num_steps == 2 * 4  # 24 of forget, 5 of the 20 of retain
  subsets = []
  for epoch in range(2):
    rows = [plan.batch(4 * epoch + i) for i in range(4)]
    index, u = (np.concatenate([getattr(b, name)[b.mask > 0] for b in rows])
                for name in ('index', 'unlearn'))
    np.testing.assert_array_equal(np.sort(index[u == 1]), problem.splits.forget)
    assert set(index[u == 0]) <= set(problem.splits.retain)
    assert len(set(index[u == 0])) == 5 == (u == 0).sum()
    subsets.append(set(index[u == 0]))
  assert subsets[0] == subsets[1]  # drawn once


def test_the_random_nets_entropy_is_told():
  problem = problems.problem()
  out = methods.unlearn(problem, config(), devices=problems.devices())
  assert 0.3 < out.findings['incompetent_entropy'] < np.log(3)
  uniform = methods.unlearn(
      problem, config(incompetent='uniform'), devices=problems.devices())
  assert 'incompetent_entropy' not in uniform.findings
  assert not problems.same(out.last, uniform.last)
