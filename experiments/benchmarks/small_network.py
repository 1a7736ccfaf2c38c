"""A network of four convolutions, for studies of many runs."""

from __future__ import annotations

import flax.linen as nn
import jax

from dlfd_jax.models import layers


class SmallNet(nn.Module):
  """3 x 3 convolutions of 16 to 64 channels, each with BatchNorm and ReLU."""

  outputs: int
  blocks = (('conv0', 'norm0'), ('conv1', 'norm1'), ('conv2', 'norm2'),
            ('conv3', 'norm3'), ('head',))

  @nn.compact
  def __call__(self, images: jax.Array, *, train: bool,
               mask: jax.Array | None = None, keys: jax.Array | None = None,
               axis_name: str | None = None) -> layers.Outputs:
    x = images
    for i, (channels, stride) in enumerate(
        ((16, 1), (32, 2), (64, 2), (64, 1))):
      x = nn.Conv(channels, (3, 3), stride, use_bias=False, name=f'conv{i}')(x)
      x = nn.relu(layers.BatchNorm(name=f'norm{i}')(
          x, train=train, mask=mask, axis_name=axis_name))
    return layers.Head('plain', self.outputs, name='head')(
        layers.pooled(x), train=train, keys=keys)
