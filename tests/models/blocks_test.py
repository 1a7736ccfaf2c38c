"""Which parameters CF-k and EU-k train: k blocks of each full network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlfd_jax import models
from tests.methods import problems
from tests.models import nets

RESNET18 = [
    {'conv1', 'bn1'}, {'layer1_0'}, {'layer1_1'}, {'layer2_0'}, {'layer2_1'},
    {'layer3_0'}, {'layer3_1'}, {'layer4_0'}, {'layer4_1'}, {'head'}]
DENSENET121 = [
    {'conv0', 'norm0'},
    *({f'denseblock1_denselayer{i}'} for i in range(1, 7)), {'transition1'},
    *({f'denseblock2_denselayer{i}'} for i in range(1, 13)), {'transition2'},
    *({f'denseblock3_denselayer{i}'} for i in range(1, 25)), {'transition3'},
    *({f'denseblock4_denselayer{i}'} for i in range(1, 16)),
    {'denseblock4_denselayer16', 'norm5'}, {'head'}]
EFFICIENTNET_B0 = [
    {'stem_conv', 'stem_norm'}, {'stage1_0'}, {'stage2_0'}, {'stage2_1'},
    {'stage3_0'}, {'stage3_1'}, {'stage4_0'}, {'stage4_1'}, {'stage4_2'},
    {'stage5_0'}, {'stage5_1'}, {'stage5_2'}, {'stage6_0'}, {'stage6_1'},
    {'stage6_2'}, {'stage6_3'}, {'stage7_0', 'last_conv', 'last_norm'},
    {'head'}]
VIT_S = [
    {'conv_proj', 'class_token', 'pos_embedding'},
    *({f'encoder_layer_{i}'} for i in range(11)), {'encoder_layer_11', 'ln'},
    {'head'}]
TABLE = {'resnet18': RESNET18, 'densenet121': DENSENET121,
         'efficientnet_b0': EFFICIENTNET_B0, 'vit_s': VIT_S}
every = pytest.mark.parametrize('name', models.ARCHITECTURES)


def trained(name, k):
  model = nets.full(name)
  return models.last_blocks(model, nets.shapes(model, 64), k)


@every
def test_the_last_k_blocks_are_exactly_these_parameters(name):
  table = TABLE[name]
  for k in range(1, len(table) + 1):
    found = trained(name, k)
    assert len(found) == len(set(found))
    assert found[-1] == 'head' and set(found) == set.union(*table[-k:])
  # k of all blocks is every parameter that the network has.
  assert set(found) == set(nets.shapes(nets.full(name), 64)['params'])


@pytest.mark.parametrize('name, count, kind', [
    ('resnet18', 10, 'ResNet18'), ('densenet121', 63, 'DenseNet121'),
    ('efficientnet_b0', 18, 'EfficientNetB0'), ('vit_s', 14, 'ViTS')])
def test_more_blocks_than_the_network_has_are_one_sentence(name, count, kind):
  assert len(trained(name, count)) == len(set.union(*TABLE[name]))
  for k in (0, count + 1):
    with pytest.raises(ValueError) as error:
      trained(name, k)
    assert str(error.value) == (
        f'Expected k from 1 to {count}, the blocks of {kind}, got {k}.')


@every
def test_every_block_but_the_head_has_a_mean_output(name):
  model = nets.TINY[name]
  found = jax.eval_shape(
      lambda variables, images: models.block_means(model, variables, images),
      nets.shapes(model, 32), jnp.zeros((2, 32, 32, 3)))
  blocks = models.blocks(model)[:-1]
  assert len(found) == len(blocks)
  if name == 'resnet18':
    assert list(found) == ['bn1', *(
        f'layer{i}_{j}' for i in range(1, 5) for j in range(2))]
  for block in blocks:
    output, = (found[part] for part in block if part in found)
    assert output.shape[0] == 2 and output.ndim == 2


def test_the_mean_output_of_a_block_by_hand():
  problem = problems.problem()
  variables = problem.original
  images = problems.pixels(problem.dataset, np.arange(4))
  found = jax.jit(lambda v, x: models.block_means(problem.model, v, x))(
      variables, images)
  assert list(found) == ['bn']  # the last module of the block
  x = jax.lax.conv_general_dilated(
      4 * (images - 0.5), variables['params']['Conv_0']['kernel'], (2, 2),
      'SAME', dimension_numbers=('NHWC', 'HWIO', 'NHWC'))
  stats, scale = variables['batch_stats']['bn'], variables['params']['bn']
  x = (x - stats['mean']) / jnp.sqrt(stats['var'] + 1e-5)
  expected = (x * scale['scale'] + scale['bias']).mean((1, 2))
  np.testing.assert_allclose(found['bn'], expected, atol=1e-5)
