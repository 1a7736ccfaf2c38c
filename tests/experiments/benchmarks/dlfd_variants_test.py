"""Variants of DLFD: what each changes in a step, and what the page says."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlfd_jax import models, ot, training as train
from dlfd_jax.methods import base, dlfd
from experiments.benchmarks import (
  distance_stages,
  dlfd_variants,
  teachers,
)
from tests.methods import perturb_test, problems, steps

OPTIONS = {'batch_size': 8, 'optimizer': steps.PLAIN, 'perturb_steps': 2,
           'perturb_step_size': .02, 'sinkhorn': perturb_test.EXACT}


def taken(**fields):
  """The state after one step of a variant, as its plan has it."""
  problem = problems.problem()
  config = distance_stages.VariantConfig(**{**OPTIONS, **fields})
  plan = config.plan(base.Setting.of(
      problem, problems.devices(), method=config))
  batch = plan.batches.batch(0)
  if config.relative:  # unseen images that are those to be forgotten
    batch = batch._replace(forget=distance_stages.Sides(
        batch.forget.forget, batch.forget.forget))
  return steps.take(plan.steps[dlfd.DISTANCE], problem, batch)


@pytest.mark.long
def test_without_an_option_it_is_dlfd_bit_by_bit():
  problem = problems.problem()
  plan = dlfd.DLFDConfig(**OPTIONS).plan(problems.setting(problem))
  expected, _ = steps.take(
      plan.steps[dlfd.DISTANCE], problem, plan.batches.batch(0))
  assert problems.same(taken()[0].variables, expected.variables)
  assert not problems.same(
      taken(every_block=True)[0].variables, expected.variables)


@pytest.mark.long
def test_nothing_pulls_where_unseen_images_are_those_to_forget():
  new, metrics = taken(relative=True)
  expected, _ = taken(ot_weight=0.0)
  assert problems.same(new.variables, expected.variables)
  assert float(metrics.step['ot_start']) == 0


@pytest.mark.long
def test_the_relative_objective_is_the_difference_of_two():
  case = perturb_test.Case()
  config = distance_stages.VariantConfig(**OPTIONS, ot_weight=3.0)
  sides = [case.forget, case.forget[::-1] ** 2]
  targets = [dlfd.forget_target(
      case.model, case.variables, images, np.ones(8, np.float32), config, None)
             for images in sides]
  weights, ce_weight = jnp.asarray(case.weights), jnp.float32(.7)
  rows = train.Rows(case.images, case.labels, weights, None)
  found = distance_stages.objective(
      case.model, case.task, case.variables, rows, tuple(targets), ce_weight,
      config, None)
  forget, unseen, ce = (dlfd.objective(
      case.model, case.task, case.variables, case.labels, weights, target,
      jnp.float32(of_ce), dataclasses.replace(config, ot_weight=weight), None)
                        for target, of_ce, weight in (
                            (targets[0], 0, 3), (targets[1], 0, 3),
                            (targets[0], .7, 0)))
  both = jax.jit(jax.value_and_grad(lambda x: found(x)[0]))
  by_parts = jax.jit(jax.value_and_grad(
      lambda x: forget(x)[0] - unseen(x)[0] + ce(x)[0]))
  for one, other in zip(both(case.images), by_parts(case.images), strict=True):
    np.testing.assert_allclose(one, other, atol=1e-5)


def test_the_cost_by_every_block_is_the_mean_of_their_cosines():
  problem = problems.problem()
  images = problems.pixels(problem.dataset, np.arange(4))
  rows = jax.jit(lambda x: distance_stages.EveryBlock(problem.model).apply(
      problem.original, x, train=False))(images)
  plain = problem.model.apply(problem.original, images, train=False)
  parts = [*models.block_means(
      problem.model, problem.original, images).values(), plain.features]

  def cosines(x):
    x = np.asarray(x, np.float64)
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    return 1 - x @ x.T

  unit = ot.unit_rows(rows.features)
  np.testing.assert_allclose(
      ot.cosine_cost(unit, unit), np.mean([*map(cosines, parts)], 0), atol=1e-5)
  np.testing.assert_allclose(rows.logits, plain.logits, atol=1e-5)


def test_every_person_is_shown_equally_often_and_each_of_their_images():
  people = np.array([4, 4, 4, 4, 7, 7, 9, -1, -1])  # five units
  rows = np.arange(100, 109)
  walk = distance_stages.ByPerson(rows, people, batch_size=10, seed=3)
  batches = [walk.batch(step) for step in range(4)]
  assert all(batch.mask.all() for batch in batches)
  count = np.bincount(
      np.concatenate([batch.index for batch in batches]) - 100, minlength=9)
  np.testing.assert_array_equal(count, [2, 2, 2, 2, 4, 4, 8, 8, 8])
  np.testing.assert_array_equal(walk.batch(2).index, batches[2].index)
  assert not np.array_equal(batches[0].index, batches[1].index)


def test_a_plan_reads_the_people_of_forget_and_who_is_held_out():
  problem = problems.problem()  # 24 forget images, one of a person else
  people = problem.dataset.identity.copy()
  people[problem.splits.forget[:16]] = people[problem.splits.forget[0]]
  problem = dataclasses.replace(problem, dataset=dataclasses.replace(
      problem.dataset, identity=people))
  config = distance_stages.VariantConfig(
      **OPTIONS, relative=True, by_person=True)
  setting = base.Setting.of(problem, problems.devices(), method=config)
  batches = config.plan(setting).batches
  shown = [batches.batch(step).forget for step in range(9)]
  count = np.bincount(people[np.concatenate(
      [sides.forget.index for sides in shown])])
  assert set(count[count > 0]) == {8}  # of nine people
  unseen = np.concatenate([sides.unseen.index for sides in shown])
  assert set(unseen) == set(setting.held_out.rows)


@pytest.mark.long
def test_the_gradient_of_the_last_inner_pass_is_one_pass_less():
  """Of K passes the last moves no image that the weights would ever see."""
  problem, passes = problems.problem(), 3
  config = dlfd.DLFDConfig(**{**OPTIONS, 'perturb_steps': passes})
  plan = config.plan(problems.setting(problem))
  batch = plan.batches.batch(0)
  rows, forget = (problems.pixels(problem.dataset, side.index)
                  for side in (batch.retain, batch.forget))
  labels = problem.dataset.labels[batch.retain.index]
  weights = jnp.asarray(batch.retain.mask)
  target = dlfd.forget_target(
      problem.model, problem.original, forget, jnp.asarray(batch.forget.mask),
      config, None)

  def loss(params, images):
    evaluate = dlfd.objective(
        problem.model, problem.task, {**problem.original, 'params': params},
        labels, weights, target, jnp.float32(.5), config, None)
    return evaluate(images)[0]

  @jax.jit
  def last(images):  # one derivative for pixels and, of its part, weights
    for _ in range(passes):
      at = images
      images = dlfd.project(images + config.perturb_step_size * jnp.sign(
          jax.grad(loss, 1)(problem.original['params'], images)), rows, None)
    return at

  expected = steps.descended(
      lambda params: steps.mean_loss(
          problem, params, last(rows), labels, weights),
      problem.original['params'])
  found, _ = taken(perturb_steps=passes - 1)
  assert problems.largest_difference(found.params, expected) < 1e-5


def test_an_unknown_option_of_the_distance_is_refused():
  with pytest.raises(ValueError, match='update_loss'):
    distance_stages.VariantConfig(update_loss='combined')


def test_the_page_says_which_variant_is_nearer():
  def cells(**gaps):
    return [{'model': name, 'seed': seed, 'passes': 1.0, 'figures': {
        **dict.fromkeys(teachers.COLUMNS, .6), 'gap': gap}}
            for name, of in gaps.items() for seed, gap in enumerate(of)]

  page = dlfd_variants.markdown({
      'worlds': [{'title': 'W', 'about': 'seeds.', 'seeds': 3,
                  'cells': cells(dlfd=(.2, .3, .4), k_1=(.1, .2, .31),
                                 k_2=(.3, .4, .49), by_person=(.1, .4, .4)),
                  'missing': [['every_block', 0]]}],
      'command': 'c', 'device': 'cpu', 'versions': {'jax': '1'}})
  assert ('Some variants have a smaller gap. W: smaller gap of K = 1; larger '
          'gap of K = 2; tie of forget batches by person.') in page
  assert 'Partial: 1 of 13 models are not run yet.' in page


def test_a_variant_costs_what_its_passes_say():
  costs = [teachers.passes(distance_stages.VariantConfig(
      perturb_steps=3, relative=relative), dlfd.DISTANCE)
           for relative in (False, True)]
  assert costs == pytest.approx([13 / 3, 14 / 3])
