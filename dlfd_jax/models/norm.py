"""Batch normalisation that counts only real rows, on any number of devices."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp


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
  per_row = 1
  for size in x.shape[1:-1]:
    per_row *= size
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
