"""The convolution of every network, quick on the smallest maps too."""

from __future__ import annotations

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from dlfd_jax.models import layers

_LAYOUT = ('NHWC', 'HWIO', 'NHWC')
_SMALL_MAP = 2  # height or width of the output


class Conv(nn.Module):
  """A square convolution, padded by half its size as in PyTorch.

  The same numbers, parameters and initial values as ``nn.Conv``.

  Attributes:
    features: output channels.
    size: height and width of the window, odd.
    stride: between windows.
    dtype: of the computation.
    groups: input channels are split into, see ``nn.Conv``.
    use_bias: adds a learned bias.
    kernel_init: of the kernel ``[size, size, in / groups, features]``.
  """

  features: int
  size: int
  stride: int
  dtype: jnp.dtype
  groups: int = 1
  use_bias: bool = False
  kernel_init: Callable[..., jax.Array] = layers.FAN_OUT

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """Maps ``[n, h, w, c]`` to ``[n, h', w', features]``."""
    kernel = self.param(
        'kernel', self.kernel_init,
        (self.size, self.size, x.shape[-1] // self.groups, self.features))
    y = convolve(x.astype(self.dtype), kernel.astype(self.dtype), self.stride,
                 self.groups, jax.default_backend())
    if self.use_bias:
      bias = self.param('bias', nn.initializers.zeros_init(), (self.features,))
      y += bias.astype(self.dtype)
    return y


def convolve(x: jax.Array, kernel: jax.Array, stride: int, groups: int,
             platform: str) -> jax.Array:
  """Images ``[n, h, w, c]`` by a kernel, padded by half its size.

  XLA's convolutions on a CPU are slow in two cases (docs/decisions.md has the
  times): for the smallest maps, which become one product of matrices here, and
  for one group a channel, which becomes a sum over the window's places.
  """
  size, _, inputs, outputs = kernel.shape
  pad = size // 2
  if platform == 'cpu':
    height, width = ((n + 2 * pad - size) // stride + 1 for n in x.shape[1:3])
    depthwise = inputs == 1 and groups == outputs
    if depthwise or groups == 1 and min(height, width) <= _SMALL_MAP:
      shifted = _shifted(x, size, stride, pad, height, width)
      if depthwise:
        return sum(seen * kernel[i // size, i % size, 0]
                   for i, seen in enumerate(shifted))
      return jnp.concatenate(shifted, axis=-1) @ kernel.reshape(-1, outputs)
  return lax.conv_general_dilated(
      x, kernel, (stride, stride), [(pad, pad)] * 2, dimension_numbers=_LAYOUT,
      feature_group_count=groups)


def _shifted(x, size, stride, pad, height, width):
  """What each place of the window sees, row by row, ``[n, h', w', c]``."""
  padded = jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
  return [padded[:, row:row + (height - 1) * stride + 1:stride,
                 column:column + (width - 1) * stride + 1:stride]
          for row in range(size) for column in range(size)]
