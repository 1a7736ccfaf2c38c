"""EfficientNetB0 as torchvision defines it, with a width and a small stem."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from dlfd_jax.models import conv, layers

# Expansion, kernel, stride and channels of each stage (Tan and Le 2019, table
# 1); the number of blocks is the module's field `depths`.
_STAGES = ((1, 3, 1, 16), (6, 3, 2, 24), (6, 5, 2, 40), (6, 3, 2, 80),
           (6, 5, 1, 112), (6, 5, 2, 192), (6, 3, 1, 320))
_STEM_CHANNELS = 32
_LAST = 4  # the last convolution's channels, in those of the last stage
_DROP = 0.2  # before the plain head's layer, and of the last block's depth


def channels_of(channels: int, width: int) -> int:
  """``channels`` of the full network at another width.

  A multiple of 8, at least 8, nearest to ``channels * width / 64`` (halves go
  up) but not more than a tenth below it: torchvision's rule.
  """
  wanted = channels * width / 64
  rounded = max(8, int(wanted + 4) // 8 * 8)
  return rounded + 8 if rounded < 0.9 * wanted else rounded


class SqueezeExcitation(nn.Module):
  """Scales each channel by a function of all channels' means.

  Attributes:
    squeezed: channels between the two 1x1 convolutions.
    dtype: type of the computation.

  Source: Hu et al. (2018), arXiv:1709.01507.
  """

  squeezed: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    scale = layers.pooled(x)[:, None, None]
    scale = conv.Conv(
        self.squeezed, 1, 1, self.dtype, name='fc1', use_bias=True)(scale)
    scale = conv.Conv(
        x.shape[-1], 1, 1, self.dtype, name='fc2', use_bias=True)(
            nn.silu(scale))
    return x * nn.sigmoid(scale)


class MBConv(nn.Module):
  """Inverted bottleneck: expand, depthwise, squeeze and excite, project.

  Attributes:
    expand: channels of the depthwise convolution, in those of the input.
    size: of the depthwise kernel.
    stride: of the depthwise convolution.
    channels: of the output.
    drop: probability that an example skips the block in training; counts only
      where there is a shortcut.
    layer: number of this draw in the network.
    dtype: type of the computation.

  Source: Sandler et al. (2018), arXiv:1801.04381; stochastic depth: Huang et
  al. (2016), arXiv:1603.09382.
  """

  expand: int
  size: int
  stride: int
  channels: int
  drop: float
  layer: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool,
               keys: jax.Array | None = None, **norm_args: Any) -> jax.Array:
    def bn(y: jax.Array, name: str) -> jax.Array:
      return layers.BatchNorm(dtype=self.dtype, name=f'{name}_norm')(
          y, train=train, **norm_args)

    inputs, y = x.shape[-1], x
    wide = self.expand * inputs
    if self.expand != 1:
      y = conv.Conv(wide, 1, 1, self.dtype, name='expand_conv')(y)
      y = nn.silu(bn(y, 'expand'))
    y = conv.Conv(wide, self.size, self.stride, self.dtype, groups=wide,
                  name='depthwise_conv')(y)
    y = nn.silu(bn(y, 'depthwise'))
    y = SqueezeExcitation(max(1, inputs // 4), self.dtype, name='se')(y)
    y = bn(conv.Conv(self.channels, 1, 1, self.dtype, name='project_conv')(y),
           'project')
    if self.stride != 1 or inputs != self.channels:
      return y
    return x + layers.dropout(
        y, self.drop, keys, self.layer, train=train, whole=True)


class EfficientNetB0(layers.Network):
  """EfficientNet's smallest network.

  ``width`` scales all channels, see :func:`channels_of`; 64 is torchvision's
  network (5,288,548 parameters with 1,000 outputs and the plain head, whose
  features are 1,280 values). The small stem's convolution has stride 1. Dropout
  of 0.2 stands before the plain head's layer; the paper's head has its own.

  Attributes:
    depths: blocks of each of the seven stages.

  Source: Tan and Le (2019), arXiv:1905.11946; layout as in torchvision.
  """

  depths: tuple[int, ...] = (1, 2, 2, 3, 3, 4, 1)

  @property
  def blocks(self) -> tuple[tuple[str, ...], ...]:
    """Names of the parameters from input to output, see ``models.blocks``."""
    return layers.chain(
        ('stem_conv', 'stem_norm'),
        [f'stage{stage}_{block}'
         for stage, depth in enumerate(self.depths, start=1)
         for block in range(depth)], ('last_conv', 'last_norm'))

  @nn.compact
  def __call__(self, images: jax.Array, *, train: bool,
               mask: jax.Array | None = None, keys: jax.Array | None = None,
               axis_name: str | None = None) -> layers.Outputs:
    """Classifies images, see :class:`~dlfd_jax.models.layers.Network`."""
    norm_args: dict[str, Any] = dict(
        train=train, mask=mask, axis_name=axis_name)

    def activated(x: jax.Array, name: str) -> jax.Array:
      return nn.silu(layers.BatchNorm(
          dtype=self.dtype, name=f'{name}_norm')(x, **norm_args))

    x = conv.Conv(
        channels_of(_STEM_CHANNELS, self.width), 3,
        2 if self.stem == 'imagenet' else 1, self.dtype, name='stem_conv')(
            layers.normalised(self, images))
    x = activated(x, 'stem')
    done, total = 0, sum(self.depths)
    for stage, ((expand, size, stride, channels), depth) in enumerate(
        zip(_STAGES, self.depths, strict=True), start=1):
      for block in range(depth):
        x = layers.run_block(self, MBConv(
            expand, size, 1 if block else stride,
            channels_of(channels, self.width), _DROP * done / total,
            layers.DROPOUTS + done, self.dtype,
            name=f'stage{stage}_{block}'), x, keys=keys, **norm_args)
        done += 1
    x = conv.Conv(
        _LAST * x.shape[-1], 1, 1, self.dtype, name='last_conv')(x)
    return layers.Head(
        self.head, self.outputs, drop=_DROP, name='head')(
            layers.pooled(activated(x, 'last')), train=train, keys=keys)
