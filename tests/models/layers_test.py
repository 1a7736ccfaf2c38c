"""What the networks share."""

import jax.numpy as jnp
import numpy as np

from dlfd_jax.models import layers


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
