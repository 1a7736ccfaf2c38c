"""The convolution is nn.Conv, whichever way it is computed."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlfd_jax.models import conv, layers

# size of the map, window, stride, channels, groups
CASES = [
    (1, 3, 1, 4, 1), (2, 3, 1, 4, 1), (4, 3, 2, 4, 1), (3, 5, 2, 4, 1),
    (2, 1, 1, 4, 1), (2, 1, 2, 4, 1), (5, 3, 1, 4, 1), (5, 3, 1, 4, 4),
    (6, 5, 2, 4, 4), (2, 3, 1, 4, 2), (5, 3, 2, 4, 1), (9, 7, 2, 3, 1),
    (4, 1, 1, 4, 1), (6, 1, 2, 4, 1), (6, 5, 1, 3, 1), (5, 3, 1, 4, 2)]


def _pair(window, stride, channels, groups, **options):
  outputs = channels if groups > 1 else channels + 2
  ours = conv.Conv(
      outputs, window, stride, jnp.float32, groups=groups, **options)
  pad = window // 2
  return ours, nn.Conv(
      outputs, (window, window), (stride, stride), ((pad, pad),) * 2,
      feature_group_count=groups, use_bias=ours.use_bias,
      kernel_init=layers.FAN_OUT)


@pytest.mark.parametrize('size, window, stride, channels, groups', CASES)
def test_values_and_gradients_are_those_of_flax(
    size, window, stride, channels, groups):
  ours, theirs = _pair(window, stride, channels, groups)
  x = jax.random.normal(jax.random.key(0), (3, size, size + 1, channels))

  @functools.partial(jax.jit, static_argnums=0)
  def run(module):
    variables = module.init(jax.random.key(1), x)
    y, back = jax.vjp(module.apply, variables, x)
    return variables, y, back(jnp.sin(y))

  (variables, *results), (others, *wanted) = run(ours), run(theirs)
  jax.tree.map(np.testing.assert_array_equal, variables, others)
  jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4),
      results, wanted)


def test_a_bias_starts_at_0_and_is_added():
  ours, theirs = _pair(3, 1, 4, 1, use_bias=True)
  x = jax.random.normal(jax.random.key(0), (3, 2, 2, 4))
  variables = ours.init(jax.random.key(1), x)
  assert not variables['params']['bias'].any()
  variables['params']['bias'] = jnp.arange(6.0)
  np.testing.assert_allclose(
      ours.apply(variables, x), theirs.apply(variables, x), atol=1e-5)


@pytest.mark.parametrize('size, window, stride, channels, groups', CASES)
def test_only_a_cpu_leaves_xlas_convolution(
    size, window, stride, channels, groups):
  x = jnp.zeros((1, size, size, channels))
  kernel = jnp.zeros((window, window, channels // groups, channels))
  used = {platform: 'conv_general_dilated' in str(jax.make_jaxpr(
      lambda x, kernel, platform=platform: conv.convolve(
          x, kernel, stride, groups, platform))(x, kernel))
          for platform in ('cpu', 'gpu', 'tpu')}
  small = size <= 2 * stride and groups == 1
  assert used == {
      'cpu': not small and groups != channels, 'gpu': True, 'tpu': True}


@pytest.mark.parametrize('height, width, size', [
    (12, 8, 7), (8, 12, 5), (6, 10, 9), (7, 8, 7)])
def test_a_stem_on_an_accelerator_is_the_same_convolution(height, width, size):
  x = jax.random.normal(jax.random.key(0), (2, height, width, 3))
  kernel = jax.random.normal(jax.random.key(1), (size, size, 3, 4))

  @functools.partial(jax.jit, static_argnums=0)
  def run(platform):
    y, back = jax.vjp(lambda x, kernel: conv.convolve(
        x, kernel, 2, 1, platform), x, kernel)
    return y, back(jnp.sin(y))

  (found, *gradients), (wanted, *others) = run('gpu'), run('cpu')
  np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(
      a, b, rtol=1e-4, atol=2e-4), gradients, others)
  strides = str(jax.make_jaxpr(lambda x: conv.convolve(
      x, kernel, 2, 1, 'gpu'))(x)).count('window_strides=(1, 1)')
  assert strides == (height % 2 == 0)


def test_the_kernels_gradient_leaves_xla_on_a_cpu():
  x, kernel = jnp.ones((2, 5, 5, 3)), jnp.ones((3, 3, 3, 4))

  def convolutions(stride, platform):
    return str(jax.make_jaxpr(jax.grad(
        lambda kernel: conv.convolve(x, kernel, stride, 1, platform).sum()))(
            kernel).pretty_print(use_color=False)).count('dot_general')

  assert convolutions(1, 'cpu') == 1
  assert convolutions(2, 'cpu') == 9
  assert convolutions(1, 'gpu') == 0
