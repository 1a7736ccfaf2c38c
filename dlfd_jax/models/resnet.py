"""ResNet18 as torchvision defines it, with a width and a small-image stem."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from dlfd_jax.models import conv, layers


class BasicBlock(nn.Module):
  """Two 3x3 convolutions and a shortcut (He et al. 2016, figure 5, left)."""

  width: int
  stride: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: jax.Array, **norm_args: Any) -> jax.Array:
    bn = lambda name: layers.BatchNorm(dtype=self.dtype, name=name)
    y = conv.Conv(self.width, 3, self.stride, self.dtype, name='conv1')(x)
    y = nn.relu(bn('bn1')(y, **norm_args))
    y = conv.Conv(self.width, 3, 1, self.dtype, name='conv2')(y)
    y = bn('bn2')(y, **norm_args)
    if self.stride != 1 or x.shape[-1] != self.width:
      x = conv.Conv(
          self.width, 1, self.stride, self.dtype, name='downsample_conv')(x)
      x = bn('downsample_bn')(x, **norm_args)
    return nn.relu(x + y)


class ResNet18(layers.Network):
  """Residual network of 18 layers.

  ``width`` is the channels of the first stage, doubled in each later one; 64 is
  torchvision's network (11,689,512 parameters with 1,000 outputs and the plain
  head). The ImageNet stem is a 7x7 convolution with stride 2 and a max-pool,
  the small one a 3x3 convolution with stride 1.

  Source: He et al. (2016), arXiv:1512.03385; layout as in torchvision.
  """

  @property
  def blocks(self) -> tuple[tuple[str, ...], ...]:
    """Names of the parameters from input to output, see ``models.blocks``."""
    return layers.chain(
        ('conv1', 'bn1'), [f'layer{stage + 1}_{block}'
                           for stage in range(4) for block in range(2)])

  @nn.compact
  def __call__(self, images: jax.Array, *, train: bool,
               mask: jax.Array | None = None, keys: jax.Array | None = None,
               axis_name: str | None = None) -> layers.Outputs:
    """Classifies images, see :class:`~dlfd_jax.models.layers.Network`."""
    norm_args: dict[str, Any] = dict(
        train=train, mask=mask, axis_name=axis_name)
    x = layers.normalised(self, images)
    size, stride = (7, 2) if self.stem == 'imagenet' else (3, 1)
    x = conv.Conv(self.width, size, stride, self.dtype, name='conv1')(x)
    x = nn.relu(layers.BatchNorm(dtype=self.dtype, name='bn1')(x, **norm_args))
    if self.stem == 'imagenet':
      x = layers.max_pool(x)
    for stage in range(4):
      for block in range(2):
        x = layers.run_block(self, BasicBlock(
            self.width * 2**stage, 2 if stage and not block else 1, self.dtype,
            name=f'layer{stage + 1}_{block}'), x, **norm_args)
    return layers.Head(self.head, self.outputs, name='head')(
        layers.pooled(x), train=train, keys=keys)
