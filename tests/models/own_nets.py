"""Classifiers as a user might have written them, whole and lacking."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from dlfd_jax.models import layers

NOT_A_MODULE = 3


class Own(nn.Module):
  """Knows nothing of masks or keys; flax's own BatchNorm and dropout."""

  outputs: int
  blocks = ('conv', 'norm', 'last')

  @nn.compact
  def __call__(self, images, *, train):
    x = nn.Conv(4, (3, 3), (4, 4), name='conv')(images)
    x = nn.relu(nn.BatchNorm(
        use_running_average=not train, name='norm')(x))
    x = nn.Dropout(0.2, deterministic=not train)(x.mean((1, 2)))
    return layers.Outputs(nn.Dense(self.outputs, name='last')(x), x)


class WithoutTrain(nn.Module):

  @nn.compact
  def __call__(self, images):
    return images


class LogitsAlone(nn.Module):
  outputs: int

  @nn.compact
  def __call__(self, images, *, train):
    return nn.Dense(self.outputs)(images.mean((1, 2)))


class NeedsADepth(nn.Module):
  outputs: int
  depth: int

  def __call__(self, images, *, train):
    return images


class Raises(nn.Module):

  def __call__(self, images, mask, *, train):
    return images


class OtherCount(nn.Module):

  @nn.compact
  def __call__(self, images, *, train):
    x = images.mean((1, 2))
    return layers.Outputs(nn.Dense(11)(x), x)


class FlatFeatures(nn.Module):
  outputs: int

  @nn.compact
  def __call__(self, images, *, train):
    x = images.mean((1, 2))
    return layers.Outputs(nn.Dense(self.outputs)(x), jnp.ravel(x))


class Softmax(nn.Module):
  outputs: int

  @nn.compact
  def __call__(self, images, *, train):
    x = images.mean((1, 2))
    return layers.Outputs(nn.softmax(nn.Dense(self.outputs)(x)), x)


class Double(nn.Module):
  """Leaves the type of its parameters and statistics to JAX."""

  outputs: int

  @nn.compact
  def __call__(self, images, *, train):
    x = images.mean((1, 2))
    kernel = self.param('kernel', lambda key: jax.random.normal(
        key, (3, self.outputs)))
    mean = self.variable('batch_stats', 'mean', lambda: jnp.zeros(3, float))
    if train and not self.is_initializing():
      mean.value = .9 * mean.value + .1 * x.mean(0).astype(float)
    return layers.Outputs((x - mean.value) @ kernel, x)


class Memory(nn.Module):
  """Learns single images by heart, in seconds."""

  outputs: int
  blocks = ('hidden', 'last')

  @nn.compact
  def __call__(self, images, *, train):
    flat = images.reshape(len(images), -1) - .5
    x = nn.tanh(nn.Dense(48, name='hidden')(flat))
    return layers.Outputs(nn.Dense(self.outputs, name='last')(x), x)
