"""EfficientNetB0: its channels, stochastic depth."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from dlfd_jax.models import efficientnet, layers
from tests.models import nets

FULL = nets.full('efficientnet_b0')
CHANNELS = (32, 16, 24, 40, 80, 112, 192, 320)


def test_channels_are_multiples_of_8_near_the_wanted_number():
  assert tuple(efficientnet.channels_of(c, 64) for c in CHANNELS) == CHANNELS
  # A half of 24 is 12, halfway between 8 and 16; an eighth of 88 is 11, whose
  # nearest multiple 8 is more than a tenth below it.
  assert efficientnet.channels_of(24, 32) == 16
  assert efficientnet.channels_of(88, 8) == 16
  assert efficientnet.channels_of(320, 4) == 24
  assert efficientnet.channels_of(16, 1) == 8


def test_depth_drops_linearly_over_the_blocks_each_with_its_own_draw():
  found, head = [], []

  def note(call, args, kwargs, context):
    if isinstance(context.module, efficientnet.MBConv):
      found.append((context.module.drop, context.module.layer))
    if isinstance(context.module, layers.Head):
      head.append(context.module.drop)
    return call(*args, **kwargs)

  with nn.intercept_methods(note):
    jax.eval_shape(lambda: FULL.init(
        nets.KEY, jnp.zeros((1, 32, 32, 3)), train=False))
  rates, draws = zip(*found, strict=True)
  np.testing.assert_allclose(rates, 0.2 * np.arange(16) / 16)
  assert draws == tuple(range(2, 18))  # after those of the heads
  assert head == [0.2]


def _block(drop):
  """A block with a shortcut, its variables and its input."""
  x = np.random.default_rng(0).normal(size=(32, 3, 3, 8))
  block = efficientnet.MBConv(1, 3, 1, 8, drop, 3, jnp.float32)
  x = x.astype(np.float32)
  return block, nets.of_module(block, x, train=False), x


def test_an_example_skips_a_block_by_its_own_key():
  block, variables, x = _block(0.5)
  keys = jax.random.split(nets.KEY, 32)

  def skipped(x, keys):
    y, _ = nets.train(block, variables, x, keys=keys)
    return (np.asarray(y) == x).all((1, 2, 3))

  everyone = skipped(x, keys)
  assert 6 <= everyone.sum() <= 26  # 3.5 standard deviations around 16
  order = np.random.default_rng(1).permutation(32)
  others = np.where(np.arange(32)[:, None, None, None] < 16, x[order], 2 * x)
  np.testing.assert_array_equal(
      skipped(others, keys[order]), everyone[order])


def test_who_does_not_skip_counts_for_those_who_do():
  # Batch statistics do not depend on the draw, so rates can be compared.
  always, sometimes = (
      np.asarray(nets.train(block, variables, x)[0]) - x
      for block, variables, x in (_block(0.0), _block(0.5)))
  kept = sometimes.any((1, 2, 3))
  assert 0 < kept.sum() < 32
  np.testing.assert_allclose(
      sometimes[kept], always[kept] / 0.5, rtol=1e-4, atol=1e-5)
