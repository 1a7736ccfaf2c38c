"""Tiny networks of every architecture."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from dlfd_jax import models
from dlfd_jax.models import densenet, efficientnet, resnet, vit

KEY = jax.random.key(0)
SIZE = 16  # pixels of the tiny networks
TINY = {
    'resnet18': resnet.ResNet18(3, width=4, stem='small'),
    'densenet121': densenet.DenseNet121(
        3, width=8, stem='small', block_config=(1, 2, 1, 1)),
    'efficientnet_b0': efficientnet.EfficientNetB0(
        3, width=4, stem='small', depths=(1, 2, 1, 1, 1, 1, 1)),
    'vit_s': vit.ViTS(3, width=2, stem='small', depth=2),
}


def full(architecture, **fields):
  return models.build(models.ModelConfig(
      architecture=architecture, **{'outputs': 1000, **fields}))


@functools.cache
def shapes(model, size):
  """Of the variables for images of that size; nothing is computed."""
  return jax.eval_shape(lambda key: models.init(model, key, (size, size)), KEY)


def traced(model, size):
  """Shapes of the outputs and of what each top-level module returns."""
  def run(variables):
    return model.apply(
        variables, jnp.zeros((2, size, size, 3)), train=False,
        capture_intermediates=True, mutable=['intermediates'])

  out, captured = jax.eval_shape(run, shapes(model, size))
  return out, {name: value['__call__'][0]
               for name, value in captured['intermediates'].items()
               if name not in ('__call__', 'head')}


def images(n=4, size=SIZE, seed=0):
  rng = np.random.default_rng(seed)
  return rng.uniform(0, 1, (n, size, size, 3)).astype(np.float32)


def filled(tree, seed=0):
  """Any values for those shapes that keep activations near 1."""
  rng = np.random.default_rng(seed)
  return jax.tree.map(
      lambda x: (rng.uniform(0.5, 1.5, x.shape) if x.ndim == 1 else
                 rng.normal(size=x.shape) / np.sqrt(x.size / x.shape[-1])
                 ).astype(np.float32), tree)


@functools.cache
def variables(architecture):
  """Those of a tiny network."""
  return filled(shapes(TINY[architecture], SIZE))


def of_module(module, *inputs, **options):
  """Variables with any values for a part of a network."""
  return filled(jax.eval_shape(
      lambda: module.init(KEY, *inputs, **options)))


@functools.cache
def _evaluation(model):
  return jax.jit(lambda v, x: model.apply(v, x, train=False))


def evaluate(model, variables, images):
  return _evaluation(model)(variables, images)


@functools.cache
def _training(model):
  return jax.jit(lambda v, x, mask, keys: model.apply(
      v, x, train=True, mask=mask, keys=keys, mutable=['batch_stats']))


def train(model, variables, images, mask=None, keys=None):
  """Outputs and statistics in training mode, all rows real by default."""
  count = len(images)
  return _training(model)(
      variables, images, np.ones(count, np.float32) if mask is None else mask,
      jax.random.split(KEY, count) if keys is None else keys)
