"""The optimiser, the guard, and the supervised step on any devices."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dlfd_jax import parallel, tasks, training as train
from dlfd_jax.data import augment, batching
from tests import tiny

SGD = train.OptimizerConfig(
    learning_rate=0.1, momentum=0.9, weight_decay=0.01)
FLIP = augment.AugmentConfig(
    shift=0.0, scale=0.0, rotate=0.0, brightness=0.0, contrast=0.0,
    saturation=0.0)


def _vector_state(optimizer, value):
  params = {'w': jnp.asarray(value, jnp.float32)}
  return train.create_state(
      {'params': params, 'batch_stats': {'mean': jnp.ones(2)}}, optimizer,
      jax.random.key(0))


@functools.cache
def _jitted_update(optimizer):
  return jax.jit(lambda state, gradient, stats, loss: train.update(
      state, gradient, stats, loss, optimizer, 10))


def _update(state, gradient, optimizer, loss=1.0, stats=None):
  return _jitted_update(optimizer)(
      state, {'w': jnp.asarray(gradient, jnp.float32)},
      state.batch_stats if stats is None else stats, jnp.float32(loss))


def test_two_steps_of_sgd_are_pytorchs():
  # torch.optim.SGD: g <- g + wd p; buf <- m buf + g; p <- p - lr buf. With
  # p = 2, g = 1: g = 1.02, p = 2 - .102 = 1.898. Then g = .5 + .01898,
  # buf = .918 + .51898 = 1.43698, p = 1.898 - .143698 = 1.754302.
  state = _vector_state(SGD, [2.0])
  state, norm = _update(state, [1.0], SGD)
  np.testing.assert_allclose(state.params['w'], [1.898], rtol=1e-6)
  assert norm == 1.0  # of the gradient alone
  state, _ = _update(state, [0.5], SGD)
  np.testing.assert_allclose(state.params['w'], [1.754302], rtol=1e-6)
  assert state.step == 2 and state.skipped == 0


def test_without_momentum_and_decay_a_step_is_plain_descent():
  state, _ = _update(_vector_state(tiny.PLAIN, [2.0]), [3.0], tiny.PLAIN)
  np.testing.assert_allclose(state.params['w'], [1.7], rtol=1e-6)


def test_momentum_does_not_hold_the_learning_rate():
  # With a falling rate, buf = m buf + g, p -= rate buf: rates .1 and .05 at
  # steps 0 and 5 of 10.
  cosine = dataclasses.replace(SGD, schedule='cosine', weight_decay=0.0)
  state, _ = _update(_vector_state(cosine, [0.0]), [1.0], cosine)
  state, _ = _update(state.replace(step=jnp.int32(5)), [1.0], cosine)
  np.testing.assert_allclose(
      state.params['w'], [-0.1 - 0.05 * 1.9], rtol=1e-5)


def test_cosine_is_one_half_period():
  config = dataclasses.replace(SGD, schedule='cosine')
  rates = [float(config.rate(step, 8)) for step in range(9)]
  wanted = 0.05 * (1 + np.cos(np.pi * np.arange(9) / 8))
  np.testing.assert_allclose(rates, wanted, atol=1e-7)
  np.testing.assert_allclose(
      rates, [optax.cosine_decay_schedule(0.1, 8)(i) for i in range(9)],
      atol=1e-7)
  assert np.float32(SGD.rate(5, 8)) == np.float32(0.1)


def test_clipping_comes_before_weight_decay():
  # |g| = 5 is cut to 1: (.6, .8); then .01 p joins.
  config = dataclasses.replace(SGD, clip_norm=1.0, momentum=0.0)
  state, norm = _update(_vector_state(config, [1.0, 2.0]), [3.0, 4.0], config)
  np.testing.assert_allclose(
      state.params['w'], [1 - 0.1 * 0.61, 2 - 0.1 * 0.82], rtol=1e-6)
  assert norm == 5.0  # before clipping
  short, _ = _update(_vector_state(config, [1.0, 2.0]), [0.3, 0.4], config)
  np.testing.assert_allclose(
      short.params['w'], [1 - 0.1 * 0.31, 2 - 0.1 * 0.42], rtol=1e-6)


@pytest.mark.parametrize('gradient, loss, stats', [
    ([np.nan, 1.0], 1.0, 1.0), ([np.inf, 1.0], 1.0, 1.0),
    ([1.0, 1.0], np.nan, 1.0), ([1.0, 1.0], np.inf, 1.0),
    ([1.0, 1.0], 1.0, np.nan), ([3e38, 0.0], 1.0, 1.0)])
def test_a_step_that_is_not_finite_keeps_everything_but_the_counts(
    gradient, loss, stats):
  before, _ = _update(_vector_state(SGD, [1.0, 2.0]), [0.5, 0.5], SGD)
  after, _ = _update(
      before, gradient, SGD, loss, {'mean': jnp.full(2, stats)})
  assert tiny.same(after.params, before.params)
  assert tiny.same(after.batch_stats, before.batch_stats)
  assert tiny.same(after.opt_state, before.opt_state)
  assert after.step == before.step + 1 and after.skipped == 1
  good, _ = _update(after, [0.5, 0.5], SGD)
  assert good.skipped == 1 and not tiny.same(good.params, before.params)


def test_a_new_state_copies_its_variables():
  mine = tiny.variables()
  state = train.create_state(mine, SGD, jax.random.key(0))
  for leaf in jax.tree.leaves((state.params, state.batch_stats)):
    leaf.delete()  # as donation does
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(mine))


def test_keys_differ_by_row_step_and_stream_and_by_nothing_else():
  state = tiny.state()
  draws = lambda *args: jax.vmap(lambda k: jax.random.bits(k))(
      train.example_keys(*args)).tolist()
  rows = jnp.arange(8)
  first = draws(state, rows)
  later = draws(state.replace(step=jnp.int32(1)), rows)
  other = draws(state, rows, 1)
  assert len(set(first + later + other)) == 24
  assert draws(state, rows[4:]) == first[4:]
  assert draws(tiny.state(seed=0), rows) == first


def _setting(kind=tasks.MULTICLASS, drop=0.0):
  """13 images in batches of 8: every second batch has 3 masked rows."""
  data = tiny.dataset(13, kind)
  model = tiny.TinyNet(drop=drop)
  return data, model, batching.Stream(np.arange(13), 8, seed=3)


@functools.cache
def _jitted(kind=tasks.MULTICLASS, drop=0.0, train_mode=True):
  data, model, _ = _setting(kind, drop)
  return jax.jit(train.make_supervised_step(
      model, data.task, SGD, 20, train_mode=train_mode))


def _weighted(batch, weights=None):
  return batch.replace(weights=np.ones(8, np.float32)
                       if weights is None else np.asarray(weights, np.float32))


def _reduced(batch, rows):
  return jax.tree.map(lambda array: array[rows], batch)


@functools.cache
def _trained(count):
  """The state after 1 and after 20 steps, masked ones first, and metrics."""
  data, model, stream = _setting(drop=0.5)
  where = tiny.devices(count)
  run = where.compile(train.make_supervised_step(
      model, data.task, SGD, 20, augment=FLIP))
  constants = where.place(tiny.on_device(data))
  state, found = where.place(tiny.state(model, SGD)), {}
  for i in range(1, 21):
    state, metrics = run(state, constants, stream.batch(i))
    found[i] = parallel.fetch((state.variables, state.opt_state, metrics))
  return found


@functools.cache
def _reduced_step():
  """The first of those steps on its 5 real rows alone, without pmap."""
  data, model, stream = _setting(drop=0.5)
  batch = stream.batch(1)
  assert batch.mask.tolist() == [1, 1, 1, 1, 1, 0, 0, 0]
  step = jax.jit(train.make_supervised_step(
      model, data.task, SGD, 20, augment=FLIP))
  state, metrics = step(
      tiny.state(model, SGD), tiny.on_device(data), _reduced(batch, slice(5)))
  return parallel.fetch((state.variables, state.opt_state, metrics))


@pytest.mark.parametrize('count', [1, 2, 4, 8])
def test_a_masked_step_on_any_devices_equals_the_reduced_batch(count):
  # On 4 devices one shard is empty, on 8 there are three; dropout and flips
  # follow the row's position, so they are the same in the reduced batch.
  *state, metrics = _trained(count)[1]
  *wanted, wanted_metrics = _reduced_step()
  assert tiny.largest_difference(state, wanted) < 1e-6
  for value, wanted in zip(*map(jax.tree.leaves, (metrics, wanted_metrics))):
    np.testing.assert_allclose(value, wanted, rtol=1e-5)


@pytest.mark.parametrize('count', [2, 4, 8])
def test_any_number_of_devices_gives_the_same_training(count):
  assert tiny.largest_difference(
      _trained(count)[20], _trained(1)[20]) < 1e-4
  fresh = tiny.variables(tiny.TinyNet(drop=0.5))
  assert tiny.largest_difference(_trained(1)[20][0], fresh) > 0.05


def test_runs_of_any_length_are_one_program():
  data, model, stream = _setting()
  cosine = dataclasses.replace(SGD, schedule='cosine')
  state = tiny.state(model, cosine).replace(step=jnp.int32(3))
  constants, batch = tiny.on_device(data), _weighted(stream.batch(0))
  step = jax.jit(train.make_supervised_step(model, data.task, cosine))
  for length in (5, 7, 20):
    fixed = jax.jit(train.make_supervised_step(
        model, data.task, cosine, length))
    wanted, _ = fixed(state, constants, batch)
    found, _ = step(
        state, {**constants, 'num_steps': jnp.int32(length)}, batch)
    assert tiny.largest_difference(found.params, wanted.params) < 1e-7
  assert step._cache_size() == 1


def test_metrics_are_sums_over_the_real_rows():
  data, model, stream = _setting()
  state, batch = tiny.state(model, SGD), stream.batch(1)
  _, metrics = _jitted()(state, tiny.on_device(data), _weighted(batch))
  real = batch.index[:5]
  apply = jax.jit(lambda v, x: model.apply(
      v, x, train=True, mutable=['batch_stats'])[0].logits)
  logits = apply(state.variables, data.images[real].astype(np.float32) / 255)
  losses = tasks.example_loss(data.task, logits, data.labels[real])
  right = (np.asarray(logits).argmax(-1) == data.labels[real]).sum()
  np.testing.assert_allclose(metrics.rows['loss'], losses.sum(), rtol=1e-5)
  assert metrics.rows['correct'] == right
  assert metrics.count == 5


def test_a_step_descends_the_mean_loss():
  data, model, stream = _setting()
  state, batch = tiny.state(model, SGD), stream.batch(0)
  images = data.images[batch.index].astype(np.float32) / 255

  @jax.jit
  @jax.grad
  def slope(params):
    out = model.apply(
        {'params': params, 'batch_stats': state.batch_stats}, images,
        train=False)
    return tasks.example_loss(
        data.task, out.logits, data.labels[batch.index]).mean()

  gradient = slope(state.params)
  new, metrics = _jitted(train_mode=False)(
      state, tiny.on_device(data), _weighted(batch))
  wanted = jax.tree.map(
      lambda p, g: p - 0.1 * (g + 0.01 * p), state.params, gradient)
  assert tiny.largest_difference(new.params, wanted) < 1e-6
  np.testing.assert_allclose(
      metrics.step['gradient_norm'], optax.tree.norm(gradient), rtol=1e-5)


def test_frozen_statistics_stay_and_drop_nothing():
  data, model, stream = _setting()
  args = (tiny.state(model, SGD), tiny.on_device(data),
          _weighted(stream.batch(0)))
  state, _ = _jitted(drop=0.5, train_mode=False)(*args)
  undropped, _ = _jitted(drop=0.0, train_mode=False)(*args)
  assert tiny.same(state.batch_stats, tiny.variables(model)['batch_stats'])
  assert tiny.same(state.params, undropped.params)


def test_a_membership_matrix_trains_stacked_models_like_single_ones():
  data, model, stream = _setting(drop=0.5)
  step = _jitted(drop=0.5)
  members = np.random.default_rng(0).integers(0, 2, (3, 13)).astype(np.float32)
  constants = tiny.on_device(data)
  singles = [tiny.state(model, SGD, seed) for seed in range(3)]
  stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *singles)
  together = jax.jit(jax.vmap(
      lambda state, weights, batch: step(
          state, constants, batch.replace(weights=weights)), (0, 0, None)))
  for i in range(6):
    batch = stream.batch(i)
    weights = members[:, batch.index]
    stacked, _ = together(stacked, weights, batch)
    singles = [
        step(state, constants, _weighted(batch, weights[k]))[0]
        for k, state in enumerate(singles)]
  for k, single in enumerate(singles):
    got = jax.tree.map(lambda leaf, k=k: leaf[k], stacked.variables)
    assert tiny.largest_difference(got, single.variables) < 1e-5
  assert tiny.largest_difference(
      singles[0].variables, singles[1].variables) > 1e-2


def test_who_is_no_member_has_no_influence():
  data, model, stream = _setting()
  batch = stream.batch(0)
  weights = np.array([1, 0, 1, 1, 0, 0, 1, 1], np.float32)
  batch = _weighted(batch, weights)
  state, constants = tiny.state(model, SGD), tiny.on_device(data)
  got, _ = _jitted()(state, constants, batch)
  wanted, _ = _jitted()(state, constants, _reduced(batch, weights > 0))
  assert tiny.largest_difference(got.variables, wanted.variables) < 1e-6


def test_unknown_labels_are_masked_in_loss_and_statistics():
  data, model, stream = _setting(tasks.MULTILABEL)
  batch = _weighted(stream.batch(0))
  labels = data.labels.copy()
  labels[batch.index[2]] = tasks.UNKNOWN  # no attribute of it is known
  labels[batch.index[4], 1] = tasks.UNKNOWN  # one is not
  step, state = _jitted(tasks.MULTILABEL), tiny.state(model, SGD)
  got, metrics = step(state, {'images': data.images, 'labels': labels}, batch)
  wanted, _ = step(
      state, {'images': data.images, 'labels': labels},
      _reduced(batch, np.arange(8) != 2))
  assert metrics.count == 7
  assert tiny.largest_difference(got.variables, wanted.variables) < 1e-6
  images = data.images.copy()  # what such an image shows does not matter
  images[batch.index[2]] = 255 - images[batch.index[2]]
  other, _ = step(state, {'images': images, 'labels': labels}, batch)
  assert tiny.same(got.variables, other.variables)


def test_no_key_is_used_twice():
  data, model, stream = _setting(drop=0.5)
  step = train.make_supervised_step(model, data.task, SGD, 20, augment=FLIP)
  with jax.debug_key_reuse(True):
    state, _ = jax.jit(step)(
        tiny.state(model, SGD), tiny.on_device(data), stream.batch(0))
  assert state.step == 1


def _one_step(train_mode, trainable, optimizer=SGD, steps=1):
  """A state before and after supervised steps on the named part."""
  data, model = tiny.dataset(16), tiny.TinyNet()
  before = train.create_state(
      tiny.variables(model), optimizer, jax.random.key(0), trainable)
  step = jax.jit(train.make_supervised_step(
      model, data.task, optimizer, 10, train_mode=train_mode,
      trainable=trainable))
  after, stream = before, batching.Stream(np.arange(16), 8)
  for i in range(steps):
    after, metrics = step(after, tiny.on_device(data), stream.batch(i))
  return before, after, metrics


@pytest.mark.parametrize('train_mode', [False, True])
def test_what_is_not_trained_feels_no_gradient_decay_or_momentum(
    train_mode):
  before, after, _ = _one_step(train_mode, ('classifier',), steps=3)
  for name in ('hidden', 'bn'):
    assert tiny.same(after.params[name], before.params[name])
  assert not tiny.same(after.params['classifier'], before.params['classifier'])
  assert tiny.same(after.batch_stats, before.batch_stats)
  trained = sum(leaf.size for leaf in jax.tree.leaves(after.opt_state))
  assert trained == sum(
      leaf.size for leaf in jax.tree.leaves(after.params['classifier']))


def test_a_part_takes_the_step_it_would_take_in_the_whole():
  _, part, metrics = _one_step(False, ('classifier', 'bn'))
  _, whole, _ = _one_step(False, None)
  for name in ('classifier', 'bn'):
    assert tiny.largest_difference(
        part.params[name], whole.params[name]) < 1e-7
  assert metrics.step['gradient_norm'] > 0


def test_layers_that_are_not_trained_run_in_evaluation_mode():
  model, data = tiny.TinyNet(), tiny.dataset(8)
  images = jnp.asarray(data.images, jnp.float32) / 255
  before = tiny.variables(model)

  def trained(trainable):
    return train.forward(
        model, before['params'], before['batch_stats'],
        train.Rows(images, None, jnp.ones(8), None), train=True,
        axis_name=None, trainable=trainable)

  outputs, stats = trained(('hidden', 'classifier'))
  np.testing.assert_allclose(
      outputs.logits, train.logits(model, before, images), rtol=1e-5)
  assert tiny.same(stats, before['batch_stats'])
  outputs, stats = trained(('bn', 'classifier'))
  np.testing.assert_allclose(outputs.logits, trained(None)[0].logits, rtol=1e-5)
  assert not tiny.same(stats, before['batch_stats'])


def test_no_gradient_is_computed_below_the_cut():
  data, model = tiny.dataset(8), tiny.TinyNet()
  constants, batch = tiny.on_device(data), batching.pad(np.arange(8), 8)

  def products(trainable):
    state = train.create_state(
        tiny.variables(model), SGD, jax.random.key(0), trainable)
    step = train.make_supervised_step(
        model, data.task, SGD, 10, train_mode=False, trainable=trainable)
    text = jax.jit(step).lower(state, constants, batch).as_text()
    return text.count('dot_general')

  # Forward 2; backward: classifier kernel, classifier input, hidden kernel.
  assert (products(None), products(('classifier',))) == (5, 3)


def test_descend_sums_the_losses_of_the_devices():
  data, model = tiny.dataset(8), tiny.TinyNet()

  def step(state, constants, batch, *, axis_name=None):
    rows = train.read(state, constants, batch, data.task)

    def local_loss(params):
      metrics, stats, _ = train.cross_entropy(
          model, data.task, params, state.batch_stats, rows, train=False,
          axis_name=axis_name)
      return -2 * metrics.rows['loss'], (stats, metrics)

    return train.descend(
        state, local_loss, tiny.PLAIN, 10, axis_name=axis_name)

  results = []
  for count in (1, 4):
    where = tiny.devices(count)
    state, metrics = where.compile(step)(
        where.place(tiny.state(model)), where.place(tiny.on_device(data)),
        batching.pad(np.arange(8), 8))
    results.append((state.params, parallel.fetch_scalars(metrics)))
  (one, sums), (four, others) = results
  assert tiny.largest_difference(one, four) < 1e-6
  np.testing.assert_allclose(sums.rows['loss'], others.rows['loss'], rtol=1e-6)
  assert sums.count == others.count == 8


ADAM = train.OptimizerConfig(
    kind='adam', learning_rate=0.1, momentum=0.8, weight_decay=0.5)


def descend(config, params, slopes):
  """Parameters after one step per slope, by the transform and the rate."""
  transform = config.transform()
  state = transform.init(params)
  for step, slope in enumerate(slopes):
    direction, state = transform.update(slope, state, params)
    params = params - config.rate(step, 10) * direction
  return params


def test_adam_is_pytorchs_with_decay_in_the_gradient():
  # By hand, p = [2, -1], b1 .8, b2 .999: g <- g + .5 p before the moments.
  params = np.array([2.0, -1.0])
  first = second = np.zeros(2)
  slopes = [np.array([1.0, 0.2]), np.array([-3.0, 0.1])]
  for t, slope in enumerate(slopes, 1):
    g = slope + 0.5 * params
    first = 0.8 * first + 0.2 * g
    second = 0.999 * second + 0.001 * g**2
    step = first / (1 - 0.8**t) / (np.sqrt(second / (1 - 0.999**t)) + 1e-8)
    params = params - 0.1 * step
  got = descend(ADAM, jnp.array([2.0, -1.0]), [jnp.array(s) for s in slopes])
  np.testing.assert_allclose(got, params, rtol=1e-5)


def test_adamws_decay_is_in_the_step():
  config = dataclasses.replace(ADAM, kind='adamw')
  # At the first step Adam moves by the slope's sign; and .5 p joins that.
  got = descend(config, jnp.array([2.0, -1.0]), [jnp.array([1.0, -0.2])])
  np.testing.assert_allclose(
      got, [2 - .1 * (1 + 1), -1 - .1 * (-1 - .5)], rtol=1e-5)


def test_a_part_of_a_run_has_an_optimiser_and_a_count_of_its_own():
  cosine = train.OptimizerConfig(
      learning_rate=1.0, momentum=0.5, weight_decay=0.0, schedule='cosine')
  state = train.create_state(
      {'params': {'w': jnp.zeros(())}, 'batch_stats': {}}, cosine,
      jax.random.key(0))
  both = state.replace(step=jnp.int32(7), opt_state={
      name: state.opt_state for name in ('a', 'b')})

  def take(of_part):
    return train.descend(
        of_part, lambda params: (params['w'], ({}, train.StepMetrics())),
        cosine, 2, axis_name=None, shape=lambda slope: jax.tree.map(
            lambda g: 3 * g, slope))

  first, _ = train.as_part(both, 0, take, 'a')
  second, _ = train.as_part(first, 1, take, 'a')
  # Slope 3; rates 1 and 1/2; momentum 3, then 3 + 3/2.
  assert (int(first.step), int(second.step)) == (8, 9)
  assert jax.tree.leaves(second.opt_state['a']) == [4.5]
  assert jax.tree.leaves(second.opt_state['b']) == [0]
  shared, _ = train.as_part(
      both.replace(opt_state=state.opt_state), 1, take)
  assert jax.tree.leaves(shared.opt_state) == [3]
  np.testing.assert_allclose(
      [one.params['w'] for one in (first, second, shared)],
      [-3, -3 - .5 * 4.5, -1.5], rtol=1e-6)


def test_adam_without_decay_is_optaxs():
  config = dataclasses.replace(
      ADAM, momentum=0.9, weight_decay=0.0, clip_norm=0.5)
  slopes = [jnp.array([3.0, 4.0]), jnp.array([0.1, -0.1])]
  params = jnp.array([1.0, 1.0])
  theirs = optax.chain(optax.clip_by_global_norm(0.5), optax.adam(0.1))
  state, wanted = theirs.init(params), params
  for slope in slopes:
    updates, state = theirs.update(slope, state)
    wanted = wanted + updates
  np.testing.assert_allclose(descend(config, params, slopes), wanted, rtol=1e-6)
