"""MSG: which weights start anew, and what the others' gradients count."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlfd_jax import methods, training as train
from dlfd_jax.methods import msg
from tests.methods import problems, steps


def test_frozen_statistics_are_refused():
  with pytest.raises(ValueError, match="'batch', as many weights start"):
    msg.MSGConfig(batch_norm='frozen')


def test_the_smallest_gradients_of_each_kernel_start_anew():
  problem = problems.problem()
  setting = problems.setting(problem)
  config = msg.MSGConfig(batch_size=8, epochs=1, renewed=.25)
  plan, _ = methods.prepare(setting, config)
  phases = [plan.schedule(step) for step in range(8)]
  assert phases == ['retain'] * 3 + ['forget'] * 3 + ['renew', 'repair']
  state, constants = plan.start, {
      **steps.data_of(problem), **plan.constants}
  read = [plan.batch(step) for step in range(6)]
  for step, batch in enumerate(read):
    state, _ = jax.jit(plan.steps[phases[step]])(state, constants, batch)
  rows = [np.concatenate([b.index[b.mask > 0] for b in part])
          for part in (read[:3], read[3:])]
  assert len(rows[0]) == min(len(problem.splits.retain), len(rows[1]))
  np.testing.assert_array_equal(np.sort(rows[1]), problem.splits.forget)

  def total(params, of):
    return len(of) * steps.mean_loss(
        problem, params, problems.pixels(problem.dataset, of),
        problem.dataset.labels[of], np.ones(len(of)))

  gradient = jax.grad(
      lambda p: total(p, rows[0]) - total(p, rows[1]))(
          problem.original['params'])
  kernel = np.abs(gradient['Conv_0']['kernel'])
  count = round(.25 * kernel.size)
  small = kernel <= np.sort(kernel.ravel())[count - 1]
  new, _ = jax.jit(plan.steps['renew'])(state, constants, read[-1])
  before, after = (s.params['Conv_0']['kernel'] for s in (state, new))
  np.testing.assert_array_equal(np.asarray(before != after), small)
  factors = new.extra['gradient']
  np.testing.assert_allclose(
      factors['Conv_0']['kernel'], np.where(small, 1, .1))
  assert all((leaf == 1).all() for leaf in problems.leaves(factors['head']))
  assert problems.same(new.params['head'], state.params['head'])


def test_new_weights_have_the_spread_of_their_fan_out():
  params = {'conv': {'kernel': jnp.zeros((3, 3, 32, 64))}}
  state = train.create_state(
      {'params': params, 'batch_stats': {}}, steps.PLAIN, jax.random.key(0))
  state = state.replace(extra={'gradient': params})
  changed, _ = msg._renew(msg.MSGConfig(renewed=1.0))(
      state, {'new_key': jax.random.key(1)})
  np.testing.assert_allclose(
      changed['params']['conv']['kernel'].std(), np.sqrt(2 / (9 * 64)),
      rtol=.03)


def test_the_gradient_counts_as_its_factor_and_weight_decay_in_full():
  problem = problems.problem()
  optimizer = train.OptimizerConfig(
      learning_rate=steps.RATE, momentum=0.0, weight_decay=.1)
  config = msg.MSGConfig(batch_size=8, optimizer=optimizer)
  rng = np.random.default_rng(0)
  factors = jax.tree.map(
      lambda leaf: rng.choice([.1, 1], leaf.shape).astype(np.float32),
      problem.original['params'])
  state = train.create_state(problem.original, optimizer, jax.random.key(0))
  batch = problems.batch(problem.splits).retain
  steps_of = lambda extra, first: steps.take(
      msg.make_step(problem.model, problem.task, config, first), problem,
      batch, optimizer, state=state.replace(
          step=jnp.int32(first), extra={'gradient': extra}))[0].params
  plain = steps_of(jax.tree.map(np.ones_like, factors), 0)
  scaled = steps_of(factors, 3)
  for old, full, part, factor in zip(*map(problems.leaves, (
      problem.original['params'], plain, scaled, factors)), strict=True):
    decay = -steps.RATE * .1 * old
    np.testing.assert_allclose(
        part - old - decay, factor * (full - old - decay), atol=1e-6)


def test_a_network_without_convolutions_is_refused(monkeypatch):
  monkeypatch.setattr(msg.base, 'is_kernel', lambda path, leaf: False)
  with pytest.raises(ValueError, match='with convolutions for MSG'):
    methods.prepare(problems.setting(problems.problem()), msg.MSGConfig())
