"""BatchNorm against flax, closed forms and the physically reduced batch."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlfd_jax.models import layers

CHANNELS = 3
MASK = np.array([1, 1, 0, 1, 1, 0, 0, 0], np.float32)  # of 4 shards 1 empty


def _batch(n=8, seed=0, mean=1.0):
  rng = np.random.default_rng(seed)
  return rng.normal(mean, 2.0, (n, 2, 2, CHANNELS)).astype(np.float32)


def _variables():
  """Parameters and statistics that are not the trivial ones."""
  channel = np.arange(CHANNELS, dtype=np.float32)
  return {
      'params': {'scale': 0.5 + channel, 'bias': channel - 1},
      'batch_stats': {'mean': 0.3 * channel, 'var': 1.0 + channel}}


def _apply(x, mask, variables=None, axis_name=None):
  return layers.BatchNorm().apply(
      variables or _variables(), x, train=True, mask=mask,
      axis_name=axis_name, mutable=['batch_stats'])


_train = jax.jit(_apply)


def _loss_and_gradients(x, mask, target, axis_name=None):
  """Outputs, statistics and the gradients of a loss over the real rows.

  The loss is a sum over this device's rows, as in a step: gradients by
  parameters are summed over the devices, those by images are not.
  """
  def loss(params, x):
    y, new = _apply(
        x, mask, {**_variables(), 'params': params}, axis_name)
    real = mask.reshape(-1, 1, 1, 1) > 0
    return jnp.where(real, jnp.square(y - target), 0.0).sum(), (y, new)

  (params, images), (y, new) = jax.grad(loss, (0, 1), has_aux=True)(
      _variables()['params'], x)
  if axis_name is not None:
    params = jax.lax.psum(params, axis_name)
  return y, new, params, images


@pytest.mark.parametrize('train', [True, False])
def test_it_equals_flax_and_evaluation_updates_nothing(train):
  x, variables = _batch(), _variables()
  ours, new = layers.BatchNorm().apply(
      variables, x, train=train, mutable=['batch_stats'])
  theirs, their_new = nn.BatchNorm(
      use_running_average=not train, momentum=0.9, epsilon=1e-5).apply(
          variables, x, mutable=['batch_stats'])
  np.testing.assert_allclose(ours, theirs, atol=1e-6)
  np.testing.assert_allclose(
      new['batch_stats']['mean'], their_new['batch_stats']['mean'], atol=1e-6)
  assert train or jax.tree.all(jax.tree.map(
      np.array_equal, new['batch_stats'], variables['batch_stats']))


def test_running_statistics_are_pytorchs_over_two_batches():
  # torch.nn.BatchNorm2d: running = .9 running + .1 batch, the variance unbiased
  first, second = _batch(seed=1), _batch(seed=2)
  _, new = _train(first, None)
  _, new = _train(second, None, {**_variables(), **new})
  mean = _variables()['batch_stats']['mean']
  var = _variables()['batch_stats']['var']
  for x in (first, second):
    rows = x.reshape(-1, CHANNELS).astype(np.float64)
    mean = 0.9 * mean + 0.1 * rows.mean(0)
    var = 0.9 * var + 0.1 * rows.var(0, ddof=1)
  np.testing.assert_allclose(new['batch_stats']['mean'], mean, atol=1e-6)
  np.testing.assert_allclose(new['batch_stats']['var'], var, rtol=1e-6)


@pytest.mark.parametrize('devices', [1, 2, 4, 8])
def test_masked_equals_the_reduced_batch_on_any_number_of_devices(devices):
  x, target = _batch(), _batch(seed=3)
  real = MASK > 0
  y, new, params, images = jax.jit(_loss_and_gradients)(
      x[real], np.ones(real.sum(), np.float32), target[real])

  split = lambda a: a.reshape(devices, -1, *a.shape[1:])
  got = jax.pmap(
      lambda *args: _loss_and_gradients(*args, axis_name='batch'),
      axis_name='batch', devices=jax.local_devices()[:devices])(
          split(x), split(MASK), split(target))
  got_y, got_new, got_params, got_images = jax.tree.map(np.asarray, got)

  join = lambda a: a.reshape(-1, *a.shape[2:])
  np.testing.assert_allclose(join(got_y)[real], y, atol=2e-6)
  np.testing.assert_allclose(join(got_images)[real], images, atol=2e-5)
  assert not join(got_images)[~real].any()
  for name in ('mean', 'var'):
    for device in range(devices):
      np.testing.assert_allclose(
          got_new['batch_stats'][name][device], new['batch_stats'][name],
          rtol=1e-6, atol=1e-6)
  for name in ('scale', 'bias'):
    np.testing.assert_allclose(got_params[name][0], params[name], rtol=1e-5)


def test_an_all_masked_batch_leaves_the_statistics():
  y, new = _train(_batch(), np.zeros(8, np.float32))
  assert np.isfinite(y).all()
  assert jax.tree.all(jax.tree.map(
      np.array_equal, new['batch_stats'], _variables()['batch_stats']))


def test_one_real_value_gives_finite_statistics():
  x = np.full((1, CHANNELS), 3.0, np.float32)
  y, new = _train(x, np.ones(1, np.float32))
  np.testing.assert_allclose(y, _variables()['params']['bias'][None], atol=1e-5)
  np.testing.assert_allclose(
      new['batch_stats']['var'], 0.9 * _variables()['batch_stats']['var'],
      rtol=1e-6)


def test_masked_rows_may_hold_anything():
  x = _batch()
  _, new = _train(x, MASK)
  x[MASK == 0] = np.nan
  _, same = _train(x, MASK)
  assert jax.tree.all(jax.tree.map(np.array_equal, new, same))


def test_bfloat16_rounds_the_result_only_once():
  x = jnp.asarray(_batch(mean=3.0), jnp.bfloat16)
  y, new = layers.BatchNorm(dtype=jnp.bfloat16).apply(
      _variables(), x, train=True, mutable=['batch_stats'])
  exact, exact_new = _train(x.astype(jnp.float32), None)
  assert y.dtype == jnp.bfloat16
  assert new['batch_stats']['mean'].dtype == jnp.float32
  np.testing.assert_array_equal(y, exact.astype(jnp.bfloat16))
  np.testing.assert_allclose(
      new['batch_stats']['var'], exact_new['batch_stats']['var'], rtol=1e-6)
