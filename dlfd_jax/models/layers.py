"""What the networks share: their fields, normalisation and both ends."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

STEMS = ('imagenet', 'small')
# Kaiming normal, as PyTorch counts fans (He et al. 2015, arXiv:1502.01852).
FAN_IN = nn.initializers.variance_scaling(2.0, 'fan_in', 'normal')
FAN_OUT = nn.initializers.variance_scaling(2.0, 'fan_out', 'normal')
HEADS = ('plain', 'paper')
DROPOUTS = 2  # most dropouts in a head: those of the trunk count from here
Array = TypeVar('Array', jax.Array, np.ndarray)


class Network(nn.Module):
  """What every classifier of images in pixel space has.

  A network is called with images, float ``[n, h, w, 3]`` in [0, 1], and

  * ``train``: batch statistics, dropout and stochastic depth; else running
    statistics, and nothing is dropped;
  * ``mask``: ``[n]``, 0 = padding that batch statistics must not see;
  * ``keys``: typed keys ``[n]`` for all that is dropped;
  * ``axis_name``: device axis that batch statistics are summed over;

  and returns :class:`Outputs`, float32. It declares
  ``blocks``, see ``models.blocks``.

  Attributes:
    outputs: number of logits.
    width: size of the network, at least 1; 64 is the full one.
    stem: ``'imagenet'`` as published; ``'small'`` keeps the resolution at the
      input, for images of about 32 to 64 pixels.
    head: see :class:`Head`.
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


class BatchNorm(nn.Module):
  r"""Batch normalisation with masked, global statistics.

  In training, mean and variance are those of the unmasked rows of the *global*
  batch: masked sums, squared sums and counts are summed over ``axis_name``
  before they are divided, so a device whose rows are all masked does no harm.
  Running statistics follow PyTorch: momentum 0.9 on the old value and the
  unbiased variance. A batch without any unmasked row leaves them as they are.

  Attributes:
    momentum: share of the old running value that is kept, in [0, 1).
    epsilon: added to the variance.
    dtype: type of the output; statistics are always float32.

  Source: Ioffe and Szegedy (2015), arXiv:1502.03167, equations 1-4.
  """

  momentum: float = 0.9
  epsilon: float = 1e-5
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool,
               mask: jax.Array | None = None,
               axis_name: str | None = None) -> jax.Array:
    """Normalises the last axis of ``x``.

    Args:
      x: ``[n, ..., channels]``.
      train: use and update batch statistics; else use the running ones.
      mask: ``[n]``, 1 = real row, 0 = padding; None means all are real.
      axis_name: axis to sum statistics over, or None on a single device.

    Returns:
      ``x`` normalised, same shape, of type ``dtype``.
    """
    channels = x.shape[-1]
    scale = self.param('scale', nn.initializers.ones, (channels,))
    bias = self.param('bias', nn.initializers.zeros, (channels,))
    mean = self.variable('batch_stats', 'mean', jnp.zeros, (channels,))
    var = self.variable('batch_stats', 'var', jnp.ones, (channels,))
    if train:
      batch_mean, batch_var, count = _moments(x, mask, axis_name)
      if not self.is_initializing():
        unbiased = batch_var * count / jnp.maximum(count - 1, 1)
        decay = jnp.where(count > 0, self.momentum, 1.0)
        mean.value = decay * mean.value + (1 - decay) * batch_mean
        var.value = decay * var.value + (1 - decay) * unbiased
    else:
      batch_mean, batch_var = mean.value, var.value
    gain = scale * jax.lax.rsqrt(batch_var + self.epsilon)
    return ((x - batch_mean) * gain + bias).astype(self.dtype)


def _moments(x: jax.Array, mask: jax.Array | None, axis_name: str | None
             ) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Mean, biased variance (each ``[channels]``) and count of the real rows."""
  x = x.astype(jnp.float32)
  per_row = math.prod(x.shape[1:-1])
  axes = tuple(range(x.ndim - 1))
  if mask is None:
    total, squares = x.sum(axes), jnp.square(x).sum(axes)
    count = jnp.float32(x.shape[0] * per_row)
  else:
    real = mask.reshape((-1,) + (1,) * (x.ndim - 1)) > 0
    x = jnp.where(real, x, 0.0)
    total, squares = x.sum(axes), jnp.square(x).sum(axes)
    count = (mask > 0).sum().astype(jnp.float32) * per_row
  if axis_name is not None:
    total, squares, count = jax.lax.psum((total, squares, count), axis_name)
  safe = jnp.maximum(count, 1.0)
  mean = total / safe
  return mean, jnp.maximum(squares / safe - jnp.square(mean), 0.0), count


class Outputs(NamedTuple, Generic[Array]):
  """What a classifier returns: ``logits [n, c]`` and ``features [n, d]``.

  Both are float32, ``jax.Array`` on the devices and ``np.ndarray`` on the host.

  ``features`` are the penultimate activations: the input of the last layer.
  """

  logits: Array
  features: Array


def _torch_linear_init(key: jax.Array, shape: tuple[int, ...],
                       dtype: jnp.dtype = jnp.float32) -> jax.Array:
  bound = 1 / math.sqrt(shape[0])
  return jax.random.uniform(key, shape, dtype, -bound, bound)


class Linear(nn.Module):
  """A fully connected layer, initialised as PyTorch does: U(+-1/sqrt(in)).

  In float32 at the highest precision wherever it runs: an accelerator's default
  rounds the products' factors to 8 or 11 bits.
  """

  outputs: int

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    inputs = x.shape[-1]
    kernel = self.param('kernel', _torch_linear_init, (inputs, self.outputs))
    bias = self.param(
        'bias',
        lambda key, shape: _torch_linear_init(key, (inputs,) + shape)[0],
        (self.outputs,))
    return jnp.matmul(x, kernel, precision='highest') + bias


def dropout(x: jax.Array, rate: float, keys: jax.Array | None, layer: int, *,
            train: bool, whole: bool = False) -> jax.Array:
  """Dropout with one key per example, so that it ignores the device count.

  Args:
    x: ``[n, ...]``.
    rate: share of values set to 0, in [0, 1).
    keys: typed keys ``[n]``; needed only if ``train``.
    layer: number of this dropout in the network; each draws its own mask.
    train: drop; else return ``x``.
    whole: an example is kept or dropped whole, as in stochastic depth.

  Raises:
    ValueError: if ``train`` and no keys are given.
  """
  if not train or rate == 0:
    return x
  if keys is None:
    raise ValueError('Expected keys, one per example, for dropout in training.')
  shape = (1,) * (x.ndim - 1) if whole else x.shape[1:]
  keep = jax.vmap(
      lambda key: jax.random.bernoulli(
          jax.random.fold_in(key, layer), 1 - rate, shape))(keys)
  return jnp.where(keep, x / (1 - rate), 0).astype(x.dtype)


class Head(nn.Module):
  """Pooled activations ``[n, p]`` to :class:`Outputs`, all in float32.

  It costs next to nothing, and bfloat16 would leave steps of .03 between logits
  of 4 to 8, which losses, the attack and transport would see.

  Attributes:
    kind: ``'plain'`` is one linear layer (features = the pooled values);
      ``'paper'`` is p-256-128-c with ReLU and dropout 0.5 (features = the 128
      values), the head of the authors' DLFD code.
    outputs: number of logits.
    drop: dropout before the plain head's layer, in [0, 1); the features are
      the values before it.
  """

  kind: str
  outputs: int
  drop: float = 0.0

  @nn.compact
  def __call__(self, x: jax.Array, *, train: bool,
               keys: jax.Array | None = None) -> Outputs:
    x = x.astype(jnp.float32)
    if self.kind == 'paper':
      for layer, size in enumerate((256, 128)):
        x = nn.relu(Linear(size, name=f'hidden{layer}')(x))
        if layer == 1:
          features = x
        x = dropout(x, 0.5, keys, layer, train=train)
    else:
      features = x
      x = dropout(x, self.drop, keys, 0, train=train)
    logits = Linear(self.outputs, name='classifier')(x)
    return Outputs(logits, features)
