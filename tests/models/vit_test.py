"""ViT-S against its published size and a forward pass written in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from tests.models import nets

TINY, VARIABLES = nets.TINY['vit_s'], nets.variables('vit_s')


def test_the_small_stem_has_patches_of_4_pixels():
  out, found = nets.traced(
      nets.full('vit_s', width=4, stem='small', head='paper'), 32)
  assert found['conv_proj'].shape == (2, 8, 8, 24)
  assert found['encoder_layer_0'].shape == (2, 1 + 64, 24)
  assert out.features.shape == (2, 128)


def _dense(x, layer):
  return x @ layer['kernel'] + layer['bias']


def _layer_norm(x, layer):
  centred = x - x.mean(-1, keepdims=True)
  spread = np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6)
  return centred / spread * layer['scale'] + layer['bias']


def _attention(x, params, heads):
  """One head of one image at a time."""
  size = x.shape[-1] // heads
  projected = _dense(x, params['in_proj'])
  out = np.zeros_like(projected[..., :x.shape[-1]])
  for image in range(len(x)):
    for head in range(heads):
      query, key, value = (
          projected[image, :, start + head * size:start + (head + 1) * size]
          for start in range(0, 3 * x.shape[-1], x.shape[-1]))
      weights = scipy.special.softmax(query @ key.T / np.sqrt(size), axis=1)
      out[image, :, head * size:(head + 1) * size] = weights @ value
  return _dense(out, params['out_proj'])


def _gelu(x):
  return x * scipy.special.ndtr(x)


def test_the_network_equals_its_forward_pass_by_hand():
  images, p = nets.images(), VARIABLES['params']
  count, patch, size = 4, 4, 12
  x = (images.astype(np.float64) - TINY.mean) / np.array(TINY.std)
  # [n, row, y, column, x, c] to one row of pixels per patch.
  x = x.reshape(count, 4, patch, 4, patch, 3).transpose(0, 1, 3, 2, 4, 5)
  x = x.reshape(count, 16, -1) @ p['conv_proj']['kernel'].reshape(-1, size)
  x = x + p['conv_proj']['bias']
  first = np.broadcast_to(p['class_token'], (count, 1, size))
  x = np.concatenate([first, x], axis=1) + p['pos_embedding']
  for i in range(2):
    layer = p[f'encoder_layer_{i}']
    x = x + _attention(
        _layer_norm(x, layer['ln_1']), layer['self_attention'], 6)
    hidden = _gelu(_dense(_layer_norm(x, layer['ln_2']), layer['mlp_0']))
    x = x + _dense(hidden, layer['mlp_3'])
  features = _layer_norm(x, p['ln'])[:, 0]
  out = nets.evaluate(TINY, VARIABLES, images)
  np.testing.assert_allclose(out.features, features, atol=1e-4)
  np.testing.assert_allclose(
      out.logits, _dense(features, p['head']['classifier']), atol=1e-4)


def test_weights_start_as_torchvisions():
  params = jax.jit(lambda: nets.full(
      'vit_s', width=16, stem='small', outputs=3).clone(depth=1).init(
          nets.KEY, jnp.zeros((1, 32, 32, 3)), train=False))()['params']
  layer = params['encoder_layer_0']
  inside = layer['self_attention']
  # Uniform: Xavier +-sqrt(6 / (in + out)), but PyTorch's own +-1 / sqrt(in) at
  # the end of the attention. 96 values a token.
  for kernel, bound in (
      (inside['in_proj']['kernel'], np.sqrt(6 / (96 + 288))),
      (inside['out_proj']['kernel'], np.sqrt(1 / 96)),
      (layer['mlp_0']['kernel'], np.sqrt(6 / (96 + 384)))):
    assert 0.99 * bound < np.abs(kernel).max() <= bound
    np.testing.assert_allclose(np.std(kernel), bound / np.sqrt(3), rtol=0.03)
  np.testing.assert_allclose(
      np.std(params['conv_proj']['kernel']), np.sqrt(1 / 48), rtol=0.05)
  np.testing.assert_allclose(np.std(params['pos_embedding']), 0.02, rtol=0.05)
  assert not params['class_token'].any() and not inside['in_proj']['bias'].any()
  assert 0 < np.abs(layer['mlp_0']['bias']).max() < 1e-5


@pytest.mark.parametrize('stem, patch, size', [
    ('imagenet', 16, 40), ('small', 4, 30)])
def test_images_that_no_patch_divides_are_refused(stem, patch, size):
  with pytest.raises(ValueError, match=(
      f'multiple of {patch} pixels a side.*{stem} stem.*got {size}x{size}')):
    nets.shapes(TINY.clone(stem=stem), size)


def test_images_of_another_size_than_the_parameters_are_refused():
  with pytest.raises(ValueError, match=(
      r'16 patches, for which.*got 25 patches \(20x20 pixels\)')):
    jax.eval_shape(lambda v: TINY.apply(
        v, nets.images(size=20), train=False), VARIABLES)


def test_training_is_evaluation():
  out, stats = nets.train(TINY, VARIABLES, nets.images())
  wanted = nets.evaluate(TINY, VARIABLES, nets.images())
  np.testing.assert_allclose(out.logits, wanted.logits, atol=1e-5)
  assert not jax.tree.leaves(stats)
