"""From pooled activations to logits, and what `features` are."""

from __future__ import annotations

import math
from typing import Any, Generic, NamedTuple, TypeVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

HEADS = ('plain', 'paper')
DROPOUTS = 2  # most dropouts in a head: those of the trunk count from here
Array = TypeVar('Array', jax.Array, np.ndarray)


class Outputs(NamedTuple, Generic[Array]):
  """A classifier's outputs: ``logits [n, c]`` and ``features [n, d]``, float32.

  Both are ``jax.Array`` on the devices and ``np.ndarray`` on the host.

  ``features`` are the penultimate activations: the input of the last layer.
  """

  logits: Array
  features: Array


def _torch_linear_init(key: jax.Array, shape: tuple[int, ...],
                       dtype: Any = jnp.float32) -> jax.Array:
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
