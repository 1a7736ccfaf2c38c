"""Margin matching: the quantiles, the renewals and the joint step."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlfd_jax import methods
from dlfd_jax.data import batching
from dlfd_jax.methods import margin_matching as matching
from dlfd_jax.metrics import per_example
from dlfd_jax.utils import runs
from tests.methods import problems, steps

MASK = np.float32([1, 1, 1, 1, 1, 0, 0, 0])


def config(**fields):
  return matching.MarginMatchingConfig(**{
      'batch_size': 8, 'epochs': 2, 'check_every': 100,
      'optimizer': steps.PLAIN, **fields})


def prepared(problem, options):
  setting = problems.setting(problem, config=options)
  return setting, methods.prepare(setting, options)[0]


def quantiles(forget, others, keys, other_keys):
  """One column by NumPy, class by class; NaN where nothing is compared."""
  found = np.full(len(forget), np.nan)
  for key in set(keys[keys >= 0]):
    rows = np.flatnonzero(keys == key)
    same = others[other_keys == key]
    if len(same) < 3:
      same = others[other_keys >= 0]
    if len(same):
      ranks = np.argsort(np.argsort(forget[rows], kind='stable'))
      found[rows] = np.quantile(
          same, (ranks + .5) / len(rows), method='hazen')
  return found


@pytest.mark.parametrize('few', [False, True])
@pytest.mark.parametrize('attributes', [0, 3])
def test_targets_are_the_quantiles_at_the_ranks(attributes, few):
  rng = np.random.default_rng(1)
  n, m, columns = 40, 8 if few else 30, max(attributes, 1)
  low, high = (-1, 2) if attributes else (0, 4)
  keys, others_keys = (
      rng.integers(low, high, (size, columns)) for size in (n, m))
  others_keys[:, 0] = np.minimum(others_keys[:, 0], 1)  # classes are missing
  if attributes:
    others_keys[:, 2] = -1  # nothing to compare with
  values, others = (rng.normal(size=(size, columns)).astype(np.float32)
                    for size in (n, m))
  values[:20] = np.round(values[:20])  # many are equal
  places = matching.places_of(keys, others_keys)
  found = jax.jit(matching.targets)(values, others, places)
  wanted = np.stack([quantiles(
      values[:, a], others[:, a], keys[:, a], others_keys[:, a])
                     for a in range(columns)], 1)
  np.testing.assert_array_equal(places['length'] > 0, np.isfinite(wanted))
  there = np.isfinite(wanted)
  np.testing.assert_allclose(found[there], wanted[there], rtol=1e-5, atol=1e-6)
  assert there.any() and not np.asarray(found)[~there].any()


def test_as_many_images_are_matched_one_to_one():
  keys = np.zeros((5, 1), int)
  places = matching.places_of(keys, keys)
  values = np.float32([[.3], [9], [-2], [4], [.1]])
  others = np.float32([[50], [10], [40], [20], [30]])
  np.testing.assert_allclose(
      matching.targets(values, others, places)[:, 0], [30, 50, 10, 40, 20])


@pytest.mark.parametrize('kind, batch_norm', [
    ('multiclass', 'batch'), ('multilabel', 'frozen'),
    pytest.param('multiclass', 'frozen', marks=pytest.mark.slow),
    pytest.param('multilabel', 'batch', marks=pytest.mark.slow)])
def test_a_joint_step_by_hand(kind, batch_norm):
  problem = problems.problem(kind)
  options = config(batch_norm=batch_norm, weight=.7)
  setting, plan = prepared(problem, options)
  pair = problems.batch(problem.splits)
  pair = pair._replace(forget=pair.forget.replace(mask=MASK))
  rng = np.random.default_rng(0)
  shape = plan.start.extra['targets'].shape
  wanted = rng.normal(0, 2, shape).astype(np.float32)
  state = plan.start.replace(extra={**plan.start.extra, 'targets': wanted})
  new, metrics = steps.take(
      plan.steps[matching.MATCH], problem, pair, constants={
          **setting.constants, **plan.constants}, state=state)
  # The same in two losses written anew, on the rows that count alone.
  gone = pair.forget.index[MASK > 0]
  at = np.searchsorted(problem.splits.forget, gone)
  labels = problem.dataset.labels
  x_r, x_f = (problems.pixels(problem.dataset, rows)
              for rows in (pair.retain.index, gone))

  def losses(params):
    outputs, _ = problem.model.apply(
        {**problem.original, 'params': params}, jnp.concatenate([x_r, x_f]),
        train=batch_norm == 'batch', mutable=['batch_stats'])
    on_r, on_f = outputs.logits[:len(x_r)], outputs.logits[len(x_r):]
    y_r, y_f = labels[pair.retain.index], labels[gone]
    if kind == 'multilabel':
      known_r, known = y_r >= 0, y_f >= 0
      each = jax.nn.softplus(jnp.where(y_r == 1, -on_r, on_r)) * known_r
      retain = (each.sum(1) / known_r.sum(1)).mean()
      margin = jnp.where(y_f == 1, on_f, -on_f)
    else:
      retain = -jax.nn.log_softmax(on_r)[np.arange(len(y_r)), y_r].mean()
      own = np.eye(3, dtype=bool)[y_f]
      margin, known = (on_f[own] - jnp.log(
          (jnp.exp(on_f) * ~own).sum(1)))[:, None], np.ones((5, 1))
    apart = jnp.abs(margin - wanted[at])
    smooth = jnp.where(apart < 1, apart**2 / 2, apart - .5) * known
    return retain, (smooth.sum(1) / known.sum(1)).mean()

  def loss(params):
    retain, forget = losses(params)
    return retain + .7 * forget

  expected = steps.descended(loss, problem.original['params'])
  assert problems.largest_difference(new.params, expected) < 1e-5
  np.testing.assert_allclose(
      metrics.step['margin_loss'], losses(problem.original['params'])[1],
      rtol=1e-4)
  assert (new.extra['targets'] == wanted).all()


@pytest.mark.parametrize('kind', ['multiclass', 'multilabel'])
def test_renewals_measure_the_model_as_it_is(kind):
  """In two batches, the last one with padding, in evaluation mode."""
  problem, options = problems.problem(kind), config(batch_size=5)
  setting, plan = prepared(problem, options)
  held, forget = setting.held_out.rows, problem.splits.forget
  assert len(held) + len(forget) == 32
  state, constants = plan.start, {**setting.constants, **plan.constants}
  state = state.replace(params=jax.tree.map(lambda x: 1.3 * x, state.params))
  for number in range(2):
    assert plan.schedule(number) == matching.RENEW
    new, metrics = steps.take(plan.steps[matching.RENEW], problem,
                              plan.batch(number), constants=constants,
                              state=state)
    assert problems.same(new.variables, state.variables)
    state = new
  rows = np.concatenate([held, forget])
  logits = problem.model.apply(
      dict(state.variables), problems.pixels(problem.dataset, rows),
      train=False).logits
  values = per_example.margin(
      problem.task, np.asarray(logits), problem.dataset.labels[rows],
      **({'per_attribute': True} if kind == 'multilabel' else {}))
  values = np.nan_to_num(values.reshape(len(rows), -1))
  np.testing.assert_allclose(state.extra['margins'], values, atol=1e-4)
  keys = problem.dataset.labels.reshape(len(problem.dataset), -1)
  wanted = np.stack([quantiles(
      values[8:, a], values[:8, a], keys[forget][:, a], keys[held][:, a])
                     for a in range(values.shape[1])], 1)
  there = np.isfinite(wanted)
  np.testing.assert_allclose(
      np.asarray(state.extra['targets'])[there], wanted[there], atol=1e-3)
  np.testing.assert_allclose(
      metrics.step['margin_distance'],
      np.abs(values[8:] - wanted)[there].mean(), rtol=1e-3)


def test_padding_is_written_nowhere():
  problem = problems.problem()
  setting, plan = prepared(problem, config())
  batch = plan.batch(0)
  mask = np.resize(np.float32([1, 1, 0, 1]), len(batch.mask))
  state = plan.start.replace(extra={
      **plan.start.extra, 'margins': plan.start.extra['margins'] + 77})

  def margins_of(rows):
    new, _ = steps.take(
        plan.steps[matching.RENEW], problem, rows.replace(mask=mask),
        constants={**setting.constants, **plan.constants}, state=state)
    return np.asarray(new.extra['margins'])

  found = margins_of(batch)
  assert (found[mask == 0] == 77).all() and (found[mask > 0] != 77).all()
  other = batch.replace(index=np.where(mask > 0, batch.index, 0))
  np.testing.assert_array_equal(found, margins_of(other))


def test_a_margin_that_is_no_number_is_dropped_and_counted():
  problem = problems.problem()
  setting, plan = prepared(problem, config())
  state = plan.start.replace(params=jax.tree.map(
      lambda x: jnp.full_like(x, jnp.nan), plan.start.params))
  new, _ = steps.take(
      plan.steps[matching.RENEW], problem, plan.batch(0),
      constants={**setting.constants, **plan.constants}, state=state)
  assert new.skipped == 1 and not new.extra['margins'].any()


@pytest.mark.parametrize('size, every', [(8, 2), (8, 6), (4, 4), (4, 100)])
def test_margins_are_renewed_before_every_so_many_joint_steps(size, every):
  problem = problems.problem()
  options = config(batch_size=size, renew_every=every, epochs=2)
  setting, plan = prepared(problem, options)
  turns = -(-32 // (4 * size))
  wanted, taken, watched = setting.pairs(options), 0, []
  for step in range(plan.num_steps):
    batch = plan.batch(step)
    if plan.schedule(step) == matching.RENEW:
      watched.append((taken, batch.index[batch.mask > 0]))
    else:
      pair = wanted.batch(taken)
      assert np.array_equal(batch.retain.index, pair.retain.index)
      assert np.array_equal(batch.forget.index, pair.forget.index)
      taken += 1
  length = 2 * wanted.steps_per_epoch
  assert taken == length
  assert [after for after, _ in watched] == np.repeat(
      np.arange(0, length, every), turns).tolist()
  everybody = np.concatenate([setting.held_out.rows, problem.splits.forget])
  for i in range(0, len(watched), turns):
    assert np.array_equal(
        np.concatenate([rows for _, rows in watched[i:i + turns]]), everybody)


def test_the_margins_of_forget_come_to_those_of_unseen_images():
  def distances(weight):
    log = runs.MetricsLog()
    methods.unlearn(problems.problem(), config(
        weight=weight, epochs=8, renew_every=3, batch_norm='frozen',
        optimizer=dataclasses.replace(steps.PLAIN, learning_rate=.02)),
                    devices=problems.devices(), log=log)
    return [event['margin_distance'] for event in log.events
            if 'margin_distance' in event]

  plain, matched = distances(0.0), distances(3.0)
  assert len(plain) == len(matched) == 8
  assert plain[0] == matched[0]  # the original's
  assert matched[-1] < .5 * matched[0] and matched[-1] < .6 * plain[-1]


def test_it_says_by_what_it_may_be_judged():
  assert 'judge it by references only' in config().caution
  assert 'cannot' in matching.__doc__


@pytest.mark.parametrize('fields, found', [
    ({'weight': -1}, 'weight'), ({'renew_every': 0}, 'renew_every')])
def test_fields_are_checked(fields, found):
  with pytest.raises(ValueError, match=f'Expected {found}'):
    config(**fields)


def test_rows_are_of_one_kind_of_batch():
  _, plan = prepared(problems.problem(), config())
  assert isinstance(plan.batch(0), batching.Batch)
  assert isinstance(plan.batch(1), batching.Pair)
