"""ResNet18 against torchvision's figures and a forward pass written by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlfd_jax.models import resnet
from tests.models import nets

TINY = nets.TINY['resnet18']
VARIABLES = nets.variables('resnet18')


def _stages(model, size):
  """Outputs, and the shape after each residual stage."""
  out, found = nets.traced(model, size)
  return out, [found[f'layer{stage}_1'].shape[1:] for stage in (1, 2, 3, 4)]


def test_stages_of_the_imagenet_stem():
  out, stages = _stages(resnet.ResNet18(5), 224)
  assert stages == [
      (56, 56, 64), (28, 28, 128), (14, 14, 256), (7, 7, 512)]
  assert out.logits.shape == (2, 5) and out.features.shape == (2, 512)


def test_stages_of_the_small_stem():
  out, stages = _stages(
      resnet.ResNet18(5, width=16, stem='small', head='paper'), 32)
  assert stages == [(32, 32, 16), (16, 16, 32), (8, 8, 64), (4, 4, 128)]
  assert out.logits.shape == (2, 5) and out.features.shape == (2, 128)


@pytest.mark.parametrize('stride, width', [(1, 3), (2, 4)])
def test_a_block_equals_its_forward_pass_by_hand(stride, width):
  rng = np.random.default_rng(0)
  x = rng.normal(size=(2, 6, 6, 3)).astype(np.float32)
  block = resnet.BasicBlock(width, stride, jnp.float32)
  variables = nets.of_module(block, x, train=False)
  p, s = variables['params'], variables['batch_stats']

  y = nets.convolved(x.astype(np.float64), p['conv1']['kernel'], stride)
  y = np.maximum(nets.normalise(y, p['bn1'], s['bn1']), 0)
  y = nets.normalise(
      nets.convolved(y, p['conv2']['kernel']), p['bn2'], s['bn2'])
  shortcut = x
  if stride == 2:
    shortcut = nets.normalise(
        nets.convolved(x, p['downsample_conv']['kernel'], stride),
        p['downsample_bn'], s['downsample_bn'])
  assert ('downsample_conv' in p) == (stride == 2)
  got = nets.evaluate(block, variables, x)
  np.testing.assert_allclose(got, np.maximum(y + shortcut, 0), atol=1e-5)


def test_convolutions_start_kaiming_normal_by_fan_out():
  block = resnet.BasicBlock(64, 2, jnp.float32)
  params = jax.jit(lambda: block.init(
      nets.KEY, np.zeros((1, 8, 8, 32), np.float32), train=False))()['params']
  for name, fan_out in (('conv1', 9 * 64), ('conv2', 9 * 64),
                        ('downsample_conv', 64)):
    kernel = np.asarray(params[name]['kernel']).ravel()
    wanted = np.sqrt(2 / fan_out)
    # Standard error of a deviation: 1 / sqrt(2 n), .016 for 2,048 values.
    np.testing.assert_allclose(kernel.std(), wanted, rtol=0.05)
    assert abs(kernel.mean()) < 0.1 * wanted
    assert np.abs(kernel).max() > 3 * wanted  # not truncated at 2
  for name in ('bn1', 'bn2', 'downsample_bn'):
    assert (params[name]['scale'] == 1).all() and not params[name]['bias'].any()


def test_normalisation_is_the_first_layer():
  mean, std = np.array(TINY.mean), np.array(TINY.std)
  images = nets.images()
  bare = TINY.clone(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
  inside = nets.evaluate(TINY, VARIABLES, images)
  outside = nets.evaluate(
      bare, VARIABLES, ((images - mean) / std).astype(np.float32))
  np.testing.assert_allclose(inside.logits, outside.logits, rtol=1e-4)
  np.testing.assert_allclose(inside.features, outside.features, rtol=1e-4)


def test_bfloat16_gives_float32_outputs_near_the_float32_ones():
  images = nets.images()
  exact = nets.evaluate(TINY, VARIABLES, images)
  near = nets.evaluate(TINY.clone(dtype=jnp.bfloat16), VARIABLES, images)
  assert near.logits.dtype == near.features.dtype == jnp.float32
  # 8 bits of mantissa (.004 each rounding) through 18 layers.
  scale = np.abs(exact.features).max()
  np.testing.assert_allclose(
      near.features, exact.features, atol=0.03 * scale)
  assert np.abs(near.features - exact.features).max() > 0


def test_training_with_masked_rows_equals_the_reduced_batch():
  images, mask = nets.images(8), np.array([1, 0, 1, 1, 1, 0, 1, 1], np.float32)
  run = jax.jit(lambda x, mask: TINY.apply(
      VARIABLES, x, train=True, mask=mask, mutable=['batch_stats']))
  out, new = run(images, mask)
  few, few_new = run(images[mask > 0], np.ones(6, np.float32))
  np.testing.assert_allclose(out.logits[mask > 0], few.logits, atol=1e-4)
  jax.tree.map(
      lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
      new, few_new)
