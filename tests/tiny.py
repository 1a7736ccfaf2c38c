"""A tiny classifier, its data and its states, for tests of the core."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from dlfd_jax import models, parallel, tasks, training as train
from dlfd_jax.data import dataset as dataset_lib
from dlfd_jax.models import layers

SIZE = 4
PLAIN = train.OptimizerConfig(
    learning_rate=0.1, momentum=0.0, weight_decay=0.0)


class TinyNet(nn.Module):
  """One hidden layer with BatchNorm; keeps the model contract."""

  outputs: int = 3
  hidden: int = 6
  drop: float = 0.0
  blocks = (('hidden', 'bn'), 'classifier')

  @nn.compact
  def __call__(self, images, *, train, mask=None, keys=None, axis_name=None):
    x = layers.Linear(self.hidden, name='hidden')(
        images.reshape(len(images), -1) - 0.5)
    x = jnp.tanh(layers.BatchNorm(name='bn')(
        x, train=train, mask=mask, axis_name=axis_name))
    x = layers.dropout(x, self.drop, keys, 0, train=train)
    return layers.Outputs(layers.Linear(self.outputs, name='classifier')(x), x)


def task(kind=tasks.MULTICLASS, outputs=3):
  return tasks.Task(kind, tuple(f'name{i}' for i in range(outputs)))


def dataset(n=24, kind=tasks.MULTICLASS, outputs=3, seed=0):
  """Noise whose brightness tells the label, or the first attribute."""
  rng = np.random.default_rng(seed)
  if kind == tasks.MULTICLASS:
    labels = np.resize(np.arange(outputs), n).astype(np.int32)
    level = labels
  else:
    labels = rng.integers(0, 2, (n, outputs)).astype(np.int32)
    level = labels[:, 0]
  images = rng.integers(0, 100, (n, SIZE, SIZE, 3))
  images += 60 * level[:, None, None, None]
  return dataset_lib.Dataset(
      images=images.astype(np.uint8), labels=labels,
      identity=np.arange(n, dtype=np.int32),
      sample_id=np.array([f'image{i}' for i in range(n)]),
      task=task(kind, outputs))


@functools.cache
def _fresh(model):
  return jax.jit(lambda key: models.init(model, key, (SIZE, SIZE)))


def variables(model=None, seed=0):
  """Fresh variables on the host."""
  return parallel.fetch(_fresh(model or TinyNet())(jax.random.key(seed)))


def state(model=None, optimizer=PLAIN, seed=0):
  return train.create_state(
      variables(model, seed), optimizer, jax.random.key(seed + 1))


def on_device(data):
  """What a step's ``constants`` hold when the data set lies on the device."""
  return {'images': data.images, 'labels': data.labels}


def devices(count=1, **options):
  return parallel.Devices(jax.local_devices()[:count], **options)


def leaves(tree):
  return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]


def largest_difference(left, right):
  """Largest absolute difference between two trees of arrays."""
  return max(
      float(np.abs(a - b).max())
      for a, b in zip(leaves(left), leaves(right), strict=True))


def same(left, right):
  """Whether two trees of arrays are equal bit by bit."""
  return all(
      np.array_equal(a, b)
      for a, b in zip(leaves(left), leaves(right), strict=True))
