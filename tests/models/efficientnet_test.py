"""EfficientNetB0 against torchvision's figures and blocks by hand."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlfd_jax.models import efficientnet, layers
from tests.models import nets

FULL = nets.full('efficientnet_b0')
CHANNELS = (32, 16, 24, 40, 80, 112, 192, 320)


@pytest.mark.parametrize('stem, size, sides', [
    ('imagenet', 224, (112, 56, 28, 14, 14, 7, 7)),
    ('small', 32, (32, 16, 8, 4, 4, 2, 2))])
def test_stages(stem, size, sides):
  out, found = nets.traced(efficientnet.EfficientNetB0(
      5, stem=stem, depths=(1,) * 7), size)
  assert [found[f'stage{stage}_0'].shape[1:] for stage in range(1, 8)] == [
      (side, side, c) for side, c in zip(sides, CHANNELS[1:], strict=True)]
  assert out.features.shape == (2, 1280)


def test_channels_are_multiples_of_8_near_the_wanted_number():
  assert tuple(efficientnet.channels_of(c, 64) for c in CHANNELS) == CHANNELS
  # A half of 24 is 12, halfway between 8 and 16; an eighth of 88 is 11, whose
  # nearest multiple 8 is more than a tenth below it.
  assert efficientnet.channels_of(24, 32) == 16
  assert efficientnet.channels_of(88, 8) == 16
  assert efficientnet.channels_of(320, 4) == 24
  assert efficientnet.channels_of(16, 1) == 8


def test_squeeze_excitation_equals_its_forward_pass_by_hand():
  x = np.random.default_rng(0).normal(size=(2, 3, 3, 4)).astype(np.float32)
  layer = efficientnet.SqueezeExcitation(2, jnp.float32)
  variables = nets.filled(jax.eval_shape(lambda: layer.init(nets.KEY, x)))
  p = variables['params']
  hidden = x.mean((1, 2)) @ p['fc1']['kernel'][0, 0] + p['fc1']['bias']
  hidden = hidden * nets.sigmoid(hidden)
  scale = nets.sigmoid(
      hidden @ p['fc2']['kernel'][0, 0] + p['fc2']['bias'])
  np.testing.assert_allclose(
      layer.apply(variables, x), x * scale[:, None, None], rtol=1e-5)


@pytest.mark.parametrize('expand, size, stride, shortcut', [
    (1, 3, 1, True), (6, 5, 2, False)])
def test_a_block_equals_its_forward_pass_by_hand(
    expand, size, stride, shortcut):
  x = np.random.default_rng(0).normal(size=(2, 6, 6, 4)).astype(np.float32)
  block = efficientnet.MBConv(expand, size, stride, 4, 0.5, 0, jnp.float32)
  variables = nets.of_module(block, x, train=False)
  p, s = variables['params'], variables['batch_stats']
  silu = lambda y: y * nets.sigmoid(y)
  normal = lambda y, name: nets.normalise(y, p[name], s[name])

  y = x.astype(np.float64)
  assert ('expand_conv' in p) == (expand != 1)
  if expand != 1:
    y = silu(normal(
        nets.convolved(y, p['expand_conv']['kernel']), 'expand_norm'))
  y = silu(normal(nets.depthwise(
      y, p['depthwise_conv']['kernel'], stride), 'depthwise_norm'))
  squeeze = efficientnet.SqueezeExcitation(1, jnp.float32)
  y = np.asarray(squeeze.apply({'params': p['se']}, y.astype(np.float32)))
  y = normal(nets.convolved(y, p['project_conv']['kernel']), 'project_norm')
  got = nets.evaluate(block, variables, x)
  np.testing.assert_allclose(got, x + y if shortcut else y, atol=1e-4)


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


def _block(drop, count=32):
  """A block with a shortcut, its variables and its input."""
  x = np.random.default_rng(0).normal(size=(count, 3, 3, 8))
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


def test_training_without_keys_is_refused():
  with pytest.raises(ValueError, match='Expected keys, one per example'):
    jax.eval_shape(lambda v: nets.TINY['efficientnet_b0'].apply(
        v, nets.images(), train=True, mutable=['batch_stats']),
        nets.variables('efficientnet_b0'))
