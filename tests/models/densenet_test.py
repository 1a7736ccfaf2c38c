"""DenseNet121 against torchvision's figures and a forward pass by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlfd_jax.models import densenet
from tests.models import nets


@pytest.mark.parametrize('stem, size, sides', [
    ('imagenet', 224, (56, 28, 14, 7)), ('small', 32, (32, 16, 8, 4))])
def test_each_layer_adds_the_growth_and_a_transition_halves(stem, size, sides):
  counts, channels = (2, 1, 1, 1), 64
  out, found = nets.traced(
      densenet.DenseNet121(5, stem=stem, block_config=counts), size)
  for block, (count, side) in enumerate(
      zip(counts, sides, strict=True), start=1):
    if block > 1:
      channels //= 2
      assert found[f'transition{block - 1}'].shape == (2, side, side, channels)
    for layer in range(1, count + 1):
      channels += 32
      assert found[f'denseblock{block}_denselayer{layer}'].shape == (
          2, side, side, channels)
  assert out.features.shape == (2, channels)


def test_width_scales_stem_and_growth():
  params = nets.shapes(nets.TINY['densenet121'].clone(
      width=6, head='paper'), 32)['params']
  assert params['conv0']['kernel'].shape[-1] == 6
  assert params['denseblock2_denselayer1']['conv2']['kernel'].shape == (
      3, 3, 12, 3)
  assert params['head']['hidden0']['kernel'].shape[-1] == 256


def test_a_dense_layer_equals_its_forward_pass_by_hand():
  x = np.random.default_rng(0).normal(size=(2, 5, 5, 3)).astype(np.float32)
  layer = densenet.DenseLayer(2, jnp.float32)
  variables = nets.of_module(layer, x, train=False)
  p, s = variables['params'], variables['batch_stats']
  y = np.maximum(nets.normalise(x, p['norm1'], s['norm1']), 0)
  y = nets.convolved(y, p['conv1']['kernel'])
  assert y.shape[-1] == 4 * 2
  y = np.maximum(nets.normalise(y, p['norm2'], s['norm2']), 0)
  y = nets.convolved(y, p['conv2']['kernel'])
  got = nets.evaluate(layer, variables, x)
  np.testing.assert_array_equal(got[..., :3], x)  # the input goes on unchanged
  np.testing.assert_allclose(got[..., 3:], y, atol=1e-5)


def test_a_transition_averages_two_by_two_and_drops_an_odd_edge():
  x = np.random.default_rng(0).normal(size=(2, 5, 5, 4)).astype(np.float32)
  layer = densenet.Transition(jnp.float32)
  variables = nets.of_module(layer, x, train=False)
  p, s = variables['params'], variables['batch_stats']
  y = np.maximum(nets.normalise(x, p['norm'], s['norm']), 0)
  y = nets.convolved(y, p['conv']['kernel'])[:, :4, :4]
  wanted = y.reshape(2, 2, 2, 2, 2, 2).mean((2, 4))
  np.testing.assert_allclose(
      nets.evaluate(layer, variables, x), wanted, atol=1e-5)


def test_features_are_the_mean_of_the_last_activations():
  model, variables = nets.TINY['densenet121'], nets.variables('densenet121')
  images = nets.images()
  out, captured = jax.jit(lambda v, x: model.apply(
      v, x, train=False, mutable=['intermediates'],
      capture_intermediates=lambda module, _: module.name == 'norm5'))(
          variables, images)
  last = captured['intermediates']['norm5']['__call__'][0]
  np.testing.assert_allclose(
      out.features, np.maximum(last, 0).mean((1, 2)), atol=1e-5)


@pytest.mark.parametrize('stem, smallest', [('imagenet', 29), ('small', 8)])
def test_images_that_a_halving_would_empty_are_refused(stem, smallest):
  model = nets.TINY['densenet121'].clone(stem=stem)
  out, _ = nets.traced(model, smallest)
  assert out.features.shape[0] == 2
  with pytest.raises(ValueError, match=(
      f'at least {smallest} pixels for the {stem} stem.*got '
      f'{smallest - 1}x{smallest - 1}')):
    nets.shapes(model, smallest - 1)
