"""A small vision transformer in the layout of torchvision's ``vit_b_16``."""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from dlfd_jax.models import layers

_HEADS = 6
_MLP = 4  # hidden values of the perceptron, in those of a token
_PATCH = {'imagenet': 16, 'small': 4}  # pixels
_XAVIER = nn.initializers.variance_scaling(1.0, 'fan_avg', 'uniform')
# PyTorch's own start of a linear layer: U(+-1/sqrt(inputs)).
_LINEAR = nn.initializers.variance_scaling(1 / 3, 'fan_in', 'uniform')
_PATCH_INIT = nn.initializers.variance_scaling(1.0, 'fan_in', 'normal')
_NEARLY_ZERO = nn.initializers.normal(1e-6)


def _layer_norm(dtype: jnp.dtype, name: str) -> nn.LayerNorm:
  return nn.LayerNorm(
      epsilon=1e-6, dtype=dtype, use_fast_variance=False, name=name)


class SelfAttention(nn.Module):
  """Scaled dot-product attention among the tokens of an image.

  Attributes:
    heads: must divide the values of a token.
    dtype: type of the computation; the softmax is float32.

  Source: Vaswani et al. (2017), arXiv:1706.03762, equation 1.
  """

  heads: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    count, tokens, size = x.shape
    x = nn.Dense(3 * size, dtype=self.dtype, kernel_init=_XAVIER,
                 name='in_proj')(x)
    query, key, value = (
        part.reshape(count, tokens, self.heads, size // self.heads)
        for part in jnp.split(x, 3, axis=-1))
    x = jax.nn.dot_product_attention(query, key, value)
    return nn.Dense(size, dtype=self.dtype, kernel_init=_LINEAR,
                    name='out_proj')(x.reshape(count, tokens, size))


class EncoderLayer(nn.Module):
  """Attention and a perceptron, each after a LayerNorm and with a shortcut."""

  heads: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    dense = lambda size, name: nn.Dense(
        size, dtype=self.dtype, kernel_init=_XAVIER, bias_init=_NEARLY_ZERO,
        name=name)
    x = x + SelfAttention(self.heads, self.dtype, name='self_attention')(
        _layer_norm(self.dtype, 'ln_1')(x))
    y = dense(_MLP * x.shape[-1], 'mlp_0')(_layer_norm(self.dtype, 'ln_2')(x))
    return x + dense(x.shape[-1], 'mlp_3')(nn.gelu(y, approximate=False))


class ViTS(layers.Network):
  """Vision transformer of 12 layers and 6 heads, without BatchNorm.

  ``width`` is the values of each head; 64 is ViT-S/16, 384 values a token
  (22,050,664 parameters with 1,000 outputs, 224 pixels and the plain head). A
  patch is 16 pixels a side, 4 with the small stem. The features are the class
  token after the last LayerNorm. Parameters fit one number of patches: that of
  the images they were made for.

  Attributes:
    depth: encoder layers.

  Raises:
    ValueError: if a patch does not divide the sides of the images, or the
      parameters are of another number of patches.

  Source: Dosovitskiy et al. (2021), arXiv:2010.11929; ViT-S: Touvron et al.
  (2021), arXiv:2012.12877; layout as in torchvision.
  """

  depth: int = 12

  @property
  def blocks(self) -> tuple[tuple[str, ...], ...]:
    """Names of the parameters from input to output, see ``models.blocks``."""
    return layers.chain(
        ('conv_proj', 'class_token', 'pos_embedding'),
        [f'encoder_layer_{i}' for i in range(self.depth)], ('ln',))

  @nn.compact
  def __call__(self, images: jax.Array, *, train: bool,
               mask: jax.Array | None = None, keys: jax.Array | None = None,
               axis_name: str | None = None) -> layers.Outputs:
    """Classifies images, see :class:`~dlfd_jax.models.layers.Network`."""
    del mask, axis_name  # no statistics of the batch
    count, height, width = images.shape[:3]
    patch, size = _PATCH[self.stem], _HEADS * self.width
    if height % patch or width % patch:
      raise ValueError(
          f'Expected images of a multiple of {patch} pixels a side, the patch '
          f'of the {self.stem} stem of ViT-S, got {height}x{width}.')
    x = nn.Conv(
        size, (patch, patch), (patch, patch), 'VALID', dtype=self.dtype,
        kernel_init=_PATCH_INIT, name='conv_proj')(
            layers.normalised(self, images)).reshape(count, -1, size)
    tokens = x.shape[1] + 1
    if self.has_variable('params', 'pos_embedding'):
      known: int = self.get_variable('params', 'pos_embedding').shape[1]
      if known != tokens:
        raise ValueError(
            f'Expected images of {known - 1} patches, for which the parameters '
            f'are, got {tokens - 1} patches ({height}x{width} pixels).')
    first = self.param('class_token', nn.initializers.zeros, (1, 1, size))
    where = self.param(
        'pos_embedding', nn.initializers.normal(0.02), (1, tokens, size))
    first = jnp.broadcast_to(first, (count, 1, size)).astype(self.dtype)
    x = jnp.concatenate([first, x], axis=1) + where.astype(self.dtype)
    for i in range(self.depth):
      x = layers.run_block(self, EncoderLayer(
          _HEADS, self.dtype, name=f'encoder_layer_{i}'), x)
    x = _layer_norm(jnp.float32, 'ln')(x[:, 0])
    return layers.Head(self.head, self.outputs, name='head')(
        x, train=train, keys=keys)
