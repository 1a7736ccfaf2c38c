"""What the networks share."""

import jax
import jax.numpy as jnp
import numpy as np

from dlfd_jax.models import layers, resnet
from tests.models import nets


def test_pooling_sums_in_float32():
  # 512 times 1 + 1/128: a sum in bfloat16 would stay at 256.
  x = jnp.full((1, 16, 32, 1), 1 + 1 / 128, jnp.bfloat16)
  pooled = layers.pooled(x)
  assert pooled.dtype == jnp.float32
  np.testing.assert_array_equal(pooled, x[:, 0, 0])


def test_normalisation_is_by_channel_and_of_the_networks_type():
  network = layers.Network(
      3, mean=(0.0, 0.25, 0.5), std=(1.0, 0.5, 0.25), dtype=jnp.bfloat16)
  x = layers.normalised(network, jnp.full((2, 1, 1, 3), 0.75))
  assert x.dtype == jnp.bfloat16
  np.testing.assert_array_equal(x[:, 0, 0], [[0.75, 1.0, 1.0]] * 2)


def test_a_chain_joins_the_last_names_and_ends_with_the_head():
  assert layers.chain(('stem',), ['a', 'b'], ('norm',)) == (
      ('stem',), ('a',), ('b', 'norm'), ('head',))


def test_convolutions_start_kaiming_normal_by_fan_out():
  block = resnet.BasicBlock(64, 2, jnp.float32)
  params = jax.jit(lambda: block.init(
      nets.KEY, np.zeros((1, 8, 8, 32), np.float32), train=False))()['params']
  for name, fan_out in (('conv1', 9 * 64), ('conv2', 9 * 64),
                        ('downsample_conv', 64)):
    kernel = np.asarray(params[name]['kernel']).ravel()
    expected = np.sqrt(2 / fan_out)
    # Standard error of a deviation: 1 / sqrt(2 n), .016 for 2,048 values.
    np.testing.assert_allclose(kernel.std(), expected, rtol=0.05)
    assert abs(kernel.mean()) < 0.1 * expected
    assert np.abs(kernel).max() > 3 * expected  # not truncated at 2
  for name in ('bn1', 'bn2', 'downsample_bn'):
    assert (params[name]['scale'] == 1).all() and not params[name]['bias'].any()
