"""The convolution of every network, quick on CPUs and for few channels."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import cast

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from dlfd_jax.models import layers

_LAYOUT = ('NHWC', 'HWIO', 'NHWC')
_SMALL_MAP = 2  # height or width of the output
_FEW = 4  # input channels that leave an accelerator's matrix units idle


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

  XLA's convolutions on a CPU are slow in three cases (docs/decisions.md has the
  times): for the smallest maps, which become one product of matrices here, for
  one group a channel, which becomes a sum over the window's places, and in the
  gradient of the kernel, which is made of products too.

  On an accelerator a stem's convolution of pixels, stride 2, is one of stride 1
  on quarter images of four times the channels: its gradient by the images is a
  plain convolution, and the matrix units have more to do.
  """
  size, _, inputs, outputs = kernel.shape
  if platform == 'cpu':
    depthwise = inputs == 1 and groups == outputs
    small = min(_map(x, size, stride)) <= _SMALL_MAP
    if depthwise or groups == 1 and small:
      shifted = _shifted(x, size, stride)
      if depthwise:
        return cast(jax.Array, sum(
            seen * kernel[i // size, i % size, 0]
            for i, seen in enumerate(shifted)))
      return jnp.concatenate(shifted, axis=-1) @ kernel.reshape(-1, outputs)
    if groups == 1:
      return _with_quick_gradient(x, kernel, stride)
  elif (groups == 1 and stride == 2 and size > 3 and inputs <= _FEW
        and x.shape[1] % 2 == x.shape[2] % 2 == 0):
    return _on_quarters(x, kernel)
  return _xla(x, kernel, stride, groups)


def _xla(x: jax.Array, kernel: jax.Array, stride: int,
         groups: int = 1) -> jax.Array:
  pad = len(kernel) // 2
  return lax.conv_general_dilated(
      x, kernel, (stride, stride), [(pad, pad)] * 2, dimension_numbers=_LAYOUT,
      feature_group_count=groups)


def _on_quarters(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """Stride 2, as stride 1 on blocks of 2x2 pixels turned into channels.

  Row 2i + r of the image is row i + a of block part b, where r = 2a + b, so a
  window of odd size is one of (size + 1) / 2 blocks with a zero row before or
  behind it.
  """
  n, height, width, channels = x.shape
  size, outputs = len(kernel), kernel.shape[-1]
  pad, places = size // 2, (size + 1) // 2
  front = pad % 2
  blocks = x.reshape(n, height // 2, 2, width // 2, 2, channels).transpose(
      0, 1, 3, 2, 4, 5).reshape(n, height // 2, width // 2, 4 * channels)
  edge = (front, 1 - front)
  kernel = jnp.pad(kernel, (edge, edge, (0, 0), (0, 0))).reshape(
      places, 2, places, 2, channels, outputs).transpose(
          0, 2, 1, 3, 4, 5).reshape(places, places, 4 * channels, outputs)
  before = (pad + front) // 2
  return lax.conv_general_dilated(
      blocks, kernel, (1, 1), [(before, places - 1 - before)] * 2,
      dimension_numbers=_LAYOUT)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _with_quick_gradient(x: jax.Array, kernel: jax.Array,
                         stride: int) -> jax.Array:
  return _xla(x, kernel, stride)


def _forward(x: jax.Array, kernel: jax.Array, stride: int
             ) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
  return _xla(x, kernel, stride), (x, kernel)


def _backward(stride: int, read: tuple[jax.Array, jax.Array],
              gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
  x, kernel = read
  _, to_images = jax.vjp(lambda x: _xla(x, kernel, stride), x)
  return *to_images(gradient), _kernel_gradient(
      x, gradient, len(kernel), stride)


_with_quick_gradient.defvjp(_forward, _backward)


def _kernel_gradient(x: jax.Array, gradient: jax.Array, size: int,
                     stride: int) -> jax.Array:
  """Sums of x times gradient by place of the window, ``[size, size, c, o]``.

  Place (r, c) pairs x[i + r, j + c] with gradient[i, j], that is x[i + r, k]
  with gradient[i, k - c]: stride 1 needs one product of x moved by rows and
  gradient moved by columns.
  """
  inputs, outputs = x.shape[-1], gradient.shape[-1]
  if stride > 1:
    return jnp.stack([
        jnp.einsum('nhwi,nhwo->io', seen, gradient)
        for seen in _shifted(x, size, stride)
    ]).reshape(size, size, inputs, outputs)
  height, width = gradient.shape[1:3]
  pad = size // 2
  rows, columns = ((0, 0), (pad, pad), (0, 0), (0, 0)), (
      (0, 0), (0, 0), (pad, pad), (0, 0))
  x, gradient = jnp.pad(x, rows), jnp.pad(gradient, columns)
  moved = jnp.concatenate(
      [x[:, i:i + height] for i in range(size)], axis=-1)
  gradients = jnp.concatenate(
      [gradient[:, :, i:i + width] for i in reversed(range(size))], axis=-1)
  product = moved.reshape(-1, size * inputs).T @ gradients.reshape(
      -1, size * outputs)
  return product.reshape(size, inputs, size, outputs).transpose(0, 2, 1, 3)


def _map(x: jax.Array, size: int, stride: int) -> tuple[int, ...]:
  """Height and width of the output."""
  return tuple((n + 2 * (size // 2) - size) // stride + 1
               for n in x.shape[1:3])


def _shifted(x: jax.Array, size: int, stride: int) -> list[jax.Array]:
  """What each place of the window sees, row by row, ``[n, h', w', c]``."""
  pad = size // 2
  height, width = _map(x, size, stride)
  padded = jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
  return [padded[:, row:row + (height - 1) * stride + 1:stride,
                 column:column + (width - 1) * stride + 1:stride]
          for row in range(size) for column in range(size)]
