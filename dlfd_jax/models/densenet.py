"""DenseNet121 as torchvision defines it, with a width and a small stem."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from dlfd_jax.models import conv, layers

_BOTTLENECK = 4  # channels of the 1x1 convolution, in growths
_SMALLEST = {'imagenet': 29, 'small': 8}  # pixels that outlast every halving


class DenseLayer(nn.Module):
  """Adds ``growth`` channels to its input.

  BatchNorm, ReLU, 1x1 convolution; BatchNorm, ReLU, 3x3 convolution (Huang et
  al. 2017, DenseNet-B).
  """

  growth: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: jax.Array, **norm_args: Any) -> jax.Array:
    y = x
    for i, (channels, size) in enumerate(
        ((_BOTTLENECK * self.growth, 1), (self.growth, 3)), start=1):
      y = nn.relu(layers.BatchNorm(
          dtype=self.dtype, name=f'norm{i}')(y, **norm_args))
      y = conv.Conv(channels, size, 1, self.dtype, name=f'conv{i}',
                    kernel_init=layers.FAN_IN)(y)
    return jnp.concatenate([x, y], axis=-1)


class Transition(nn.Module):
  """Halves channels and resolution between two dense blocks."""

  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: jax.Array, **norm_args: Any) -> jax.Array:
    y = nn.relu(layers.BatchNorm(
        dtype=self.dtype, name='norm')(x, **norm_args))
    y = conv.Conv(x.shape[-1] // 2, 1, 1, self.dtype, name='conv',
                  kernel_init=layers.FAN_IN)(y)
    return nn.avg_pool(y, (2, 2), (2, 2))


class DenseNet121(layers.Network):
  """Densely connected network of 121 layers.

  ``width`` is the channels of the stem, and twice those that a layer adds; 64
  is torchvision's network (7,978,856 parameters with 1,000 outputs and the
  plain head, whose features are 1,024 values). The ImageNet stem is a 7x7
  convolution with stride 2 and a max-pool, the small one a 3x3 convolution with
  stride 1. The last BatchNorm belongs to the last dense layer's block.

  Attributes:
    block_config: layers of each of the four dense blocks.

  Raises:
    ValueError: if the images are smaller than 29 pixels, or 8 with the small
      stem.

  Source: Huang et al. (2017), arXiv:1608.06993; layout as in torchvision.
  """

  block_config: tuple[int, int, int, int] = (6, 12, 24, 16)

  @property
  def blocks(self) -> tuple[tuple[str, ...], ...]:
    """Names of the parameters from input to output, see ``models.blocks``."""
    names: list[str] = []
    for block, count in enumerate(self.block_config, start=1):
      if block > 1:
        names.append(f'transition{block - 1}')
      names += [f'denseblock{block}_denselayer{layer}'
                for layer in range(1, count + 1)]
    return layers.chain(('conv0', 'norm0'), names, ('norm5',))

  @nn.compact
  def __call__(self, images: jax.Array, *, train: bool,
               mask: jax.Array | None = None, keys: jax.Array | None = None,
               axis_name: str | None = None) -> layers.Outputs:
    """Classifies images, see :class:`~dlfd_jax.models.layers.Network`."""
    if min(images.shape[1:3]) < _SMALLEST[self.stem]:
      raise ValueError(
          f'Expected images of at least {_SMALLEST[self.stem]} pixels for the '
          f'{self.stem} stem of DenseNet121, got {images.shape[1]}x'
          f'{images.shape[2]}.')
    norm_args: dict[str, Any] = dict(
        train=train, mask=mask, axis_name=axis_name)
    size, stride = (7, 2) if self.stem == 'imagenet' else (3, 1)
    x = conv.Conv(self.width, size, stride, self.dtype, name='conv0',
                  kernel_init=layers.FAN_IN)(layers.normalised(self, images))
    x = nn.relu(layers.BatchNorm(
        dtype=self.dtype, name='norm0')(x, **norm_args))
    if self.stem == 'imagenet':
      x = layers.max_pool(x)
    for block, count in enumerate(self.block_config, start=1):
      if block > 1:
        x = layers.run_block(self, Transition(
            self.dtype, name=f'transition{block - 1}'), x, **norm_args)
      for layer in range(1, count + 1):
        x = layers.run_block(self, DenseLayer(
            max(self.width // 2, 1), self.dtype,
            name=f'denseblock{block}_denselayer{layer}'), x, **norm_args)
    x = nn.relu(layers.BatchNorm(
        dtype=self.dtype, name='norm5')(x, **norm_args))
    return layers.Head(self.head, self.outputs, name='head')(
        layers.pooled(x), train=train, keys=keys)
