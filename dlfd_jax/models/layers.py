"""What the networks share: their fields and both ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

STEMS = ('imagenet', 'small')
# Kaiming normal, as PyTorch counts fans (He et al. 2015, arXiv:1502.01852).
FAN_IN = nn.initializers.variance_scaling(2.0, 'fan_in', 'normal')
FAN_OUT = nn.initializers.variance_scaling(2.0, 'fan_out', 'normal')


class Network(nn.Module):
  """What every classifier of images in pixel space has.

  A network is called with images, float ``[n, h, w, 3]`` in [0, 1], and

  * ``train``: batch statistics, dropout and stochastic depth; else running
    statistics, and nothing is dropped;
  * ``mask``: ``[n]``, 0 = padding that batch statistics must not see;
  * ``keys``: typed keys ``[n]`` for all that is dropped;
  * ``axis_name``: device axis that batch statistics are summed over;

  and answers with :class:`~dlfd_jax.models.heads.Outputs`, float32. It declares
  ``blocks``, see ``models.blocks``.

  Attributes:
    outputs: number of logits.
    width: size of the network, at least 1; 64 is the full one.
    stem: ``'imagenet'`` as published; ``'small'`` keeps the resolution at the
      input, for images of about 32 to 64 pixels.
    head: see :class:`~dlfd_jax.models.heads.Head`.
    mean: per-channel mean that the first layer subtracts, pixel units.
    std: per-channel deviation that it divides by, pixel units.
    dtype: type of the computation; parameters, statistics and outputs stay
      float32.
    remat: keep only the inputs of the blocks for the gradient, see
      :func:`run_block`.
  """

  outputs: int
  width: int = 64
  stem: str = 'imagenet'
  head: str = 'plain'
  mean: tuple[float, ...] = (0.485, 0.456, 0.406)
  std: tuple[float, ...] = (0.229, 0.224, 0.225)
  dtype: jnp.dtype = jnp.float32
  remat: bool = False


def run_block(network: Network, block: nn.Module, x: jax.Array,
              **options: Any) -> jax.Array:
  """One block of a network on ``x``.

  With the network's ``remat`` the gradient keeps ``x`` alone and computes what
  is inside the block again: less memory for about a forward pass more. Values,
  parameters and running statistics are the same.
  """
  if not network.remat:
    return block(x, **options)
  # The options are closed over: some are no arrays.
  return nn.remat(lambda module, x: module(x, **options))(block, x)


def normalised(network: Network, images: jax.Array) -> jax.Array:
  """Images ``[n, h, w, 3]`` in [0, 1], by the network's mean and deviation."""
  x = (images - jnp.array(network.mean)) / jnp.array(network.std)
  return x.astype(network.dtype)


def pooled(x: jax.Array) -> jax.Array:
  """The mean over positions, ``[n, h, w, c]`` to float32 ``[n, c]``."""
  return x.astype(jnp.float32).mean((1, 2))


def max_pool(x: jax.Array) -> jax.Array:
  """3x3 maximum with stride 2, that of the ImageNet stems."""
  # As a maximum of nine slices it is no quicker, not even on a GPU.
  return nn.max_pool(x, (3, 3), (2, 2), [(1, 1), (1, 1)])


def chain(stem: Sequence[str], middle: Sequence[str],
          last: Sequence[str] = ()) -> tuple[tuple[str, ...], ...]:
  """Blocks from input to output: the stem, each name, and the head.

  ``last`` are names that belong to the last block before the head.
  """
  *most, end = middle
  return (tuple(stem), *((name,) for name in most), (end, *last), ('head',))
