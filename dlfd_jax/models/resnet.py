"""ResNet18 as torchvision defines it, with a width and a small-image stem."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from dlfd_jax.models import heads
from dlfd_jax.models import norm

STEMS = ('imagenet', 'small')
_kaiming_fan_out = nn.initializers.variance_scaling(2.0, 'fan_out', 'normal')


def _conv(features, size, stride, dtype, name):
  pad = size // 2
  return nn.Conv(
      features, (size, size), (stride, stride), [(pad, pad), (pad, pad)],
      use_bias=False, dtype=dtype, kernel_init=_kaiming_fan_out, name=name)


class BasicBlock(nn.Module):
  """Two 3x3 convolutions and a shortcut (He et al. 2016, figure 5, left)."""

  width: int
  stride: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: jax.Array, **norm_args) -> jax.Array:
    bn = lambda name: norm.BatchNorm(dtype=self.dtype, name=name)
    y = _conv(self.width, 3, self.stride, self.dtype, 'conv1')(x)
    y = nn.relu(bn('bn1')(y, **norm_args))
    y = _conv(self.width, 3, 1, self.dtype, 'conv2')(y)
    y = bn('bn2')(y, **norm_args)
    if self.stride != 1 or x.shape[-1] != self.width:
      x = _conv(self.width, 1, self.stride, self.dtype, 'downsample_conv')(x)
      x = bn('downsample_bn')(x, **norm_args)
    return nn.relu(x + y)


class ResNet18(nn.Module):
  """Residual network of 18 layers for images in pixel space.

  Attributes:
    outputs: number of logits.
    width: channels of the first stage, doubled in each later one; 64 is
      torchvision's network (11,689,512 parameters with 1,000 outputs and the
      plain head).
    stem: ``'imagenet'``: 7x7 stride 2 and max-pool; ``'small'``: 3x3 stride 1
      without pooling, for images of about 32 to 64 pixels.
    head: see :class:`~dlfd_jax.models.heads.Head`.
    mean: per-channel mean that the first layer subtracts, pixel units.
    std: per-channel deviation that it divides by, pixel units.
    dtype: type of the computation; parameters, statistics and outputs stay
      float32.

  Source: He et al. (2016), arXiv:1512.03385; layout as in torchvision.
  """

  outputs: int
  width: int = 64
  stem: str = 'imagenet'
  head: str = 'plain'
  mean: tuple[float, ...] = (0.485, 0.456, 0.406)
  std: tuple[float, ...] = (0.229, 0.224, 0.225)
  dtype: jnp.dtype = jnp.float32

  @property
  def blocks(self) -> tuple[tuple[str, ...], ...]:
    """Names of the parameters from input to output, see ``models.blocks``."""
    stages = ((f'layer{stage + 1}_{block}',)
              for stage in range(4) for block in range(2))
    return (('conv1', 'bn1'), *stages, ('head',))

  @nn.compact
  def __call__(self, images: jax.Array, *, train: bool,
               mask: jax.Array | None = None, keys: jax.Array | None = None,
               axis_name: str | None = None) -> heads.Outputs:
    """Classifies images.

    Args:
      images: float ``[n, h, w, 3]`` in [0, 1], not normalised.
      train: batch statistics and dropout; else running statistics, no dropout.
      mask: ``[n]``, 0 = padding that batch statistics must not see.
      keys: typed keys ``[n]`` for dropout.
      axis_name: device axis that batch statistics are summed over.

    Returns:
      :class:`~dlfd_jax.models.heads.Outputs`, float32.
    """
    norm_args: dict[str, Any] = dict(
        train=train, mask=mask, axis_name=axis_name)
    x = (images - jnp.array(self.mean)) / jnp.array(self.std)
    x = x.astype(self.dtype)
    if self.stem == 'imagenet':
      x = _conv(self.width, 7, 2, self.dtype, 'conv1')(x)
    else:
      x = _conv(self.width, 3, 1, self.dtype, 'conv1')(x)
    x = nn.relu(norm.BatchNorm(dtype=self.dtype, name='bn1')(x, **norm_args))
    if self.stem == 'imagenet':
      x = nn.max_pool(x, (3, 3), (2, 2), [(1, 1), (1, 1)])
    for stage in range(4):
      for block in range(2):
        x = BasicBlock(
            self.width * 2**stage, 2 if stage and not block else 1, self.dtype,
            name=f'layer{stage + 1}_{block}')(x, **norm_args)
    x = x.astype(jnp.float32).mean((1, 2)).astype(self.dtype)
    return heads.Head(self.head, self.outputs, self.dtype, name='head')(
        x, train=train, keys=keys)
