"""A user's own flax module as a classifier.

Named ``module:Class`` or ``file.py:Class`` where the built-in networks are
named. Asked of the class:

* ``Class(outputs=...)``, or ``Class()`` if it takes no ``outputs``;
* ``__call__(images, *, train, ...)``: images are float ``[n, h, w, 3]``; batch
  statistics and dropout are used if ``train``;
* it returns ``logits [n, outputs]``, before any softmax, and ``features [n,
  d]``.

``mask`` (0 = padding), ``keys`` (one per example) and ``axis_name`` are passed
to a ``__call__`` that takes them. One that does not gets ``rngs={'dropout':
...}``, and its batch statistics see padding; without ``axis_name`` each device
normalises by the statistics of its own rows, and the running statistics are
the mean over devices.
``blocks`` (see ``models.blocks``) is needed by CF-k and EU-k alone.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from dlfd_jax.models import layers
from dlfd_jax.utils import plugins

_OPTIONAL = ('mask', 'keys', 'axis_name')


@dataclasses.dataclass(frozen=True)
class Classifier:
  """A user's module with the calls of our networks.

  Two of equal modules are equal, so that they share compiled programs.

  Attributes:
    module: the user's.
    accepts: which of the optional arguments it takes.
    mean: subtracted from the images first, pixel units.
    std: divided by, pixel units.
    config: the ``ModelConfig`` that builds it again.
  """

  module: nn.Module
  accepts: frozenset[str]
  mean: tuple[float, ...]
  std: tuple[float, ...]
  config: Any = dataclasses.field(default=None, compare=False)

  @property
  def blocks(self) -> Any:
    return getattr(self.module, 'blocks', None)

  def init(self, key: jax.Array, images: jax.Array, *,
           train: bool) -> Mapping[str, Any]:
    return self.module.init(key, self._normalised(images), train=train)

  def apply(self, variables: Mapping[str, Any], images: jax.Array, *,
            train: bool, keys: jax.Array | None = None, **options: Any) -> Any:
    """As flax's, with the optional arguments that the module takes."""
    if keys is not None and 'keys' not in self.accepts:
      options.setdefault('rngs', {'dropout': keys[0]})
    if 'keys' in self.accepts:
      options['keys'] = keys
    axis_name = options.get('axis_name')
    for name in _OPTIONAL:
      if name not in self.accepts:
        options.pop(name, None)
    returned = self.module.apply(
        variables, self._normalised(images), train=train, **options)
    if axis_name is None or 'axis_name' in self.accepts or not options.get(
        'mutable'):
      return returned
    outputs, new = returned
    return outputs, jax.lax.pmean(new, axis_name)

  def _normalised(self, images: jax.Array) -> jax.Array:
    return (images - jnp.array(self.mean)) / jnp.array(self.std)


def load(architecture: str, outputs: int, mean: tuple[float, ...],
         std: tuple[float, ...]) -> Classifier:
  """Imports and checks a user's class.

  Raises:
    ValueError: if it cannot be imported, is no flax module, or lacks ``train``.
  """
  cls = plugins.load_object(architecture)
  if not (inspect.isclass(cls) and issubclass(cls, nn.Module)):
    raise ValueError(
        f'Expected {architecture} to be a flax.linen.Module, got a '
        f'{type(cls).__name__}.')
  takes = inspect.signature(cls.__call__).parameters
  anything = any(p.kind is p.VAR_KEYWORD for p in takes.values())
  if 'train' not in takes and not anything:
    raise ValueError(
        f'Expected {architecture}.__call__ to take `train`, got '
        f'{sorted(set(takes) - {"self"})}.')
  fields = {field.name for field in dataclasses.fields(cls)}
  try:
    module = cls(outputs=outputs) if 'outputs' in fields else cls()
  except TypeError as error:
    raise ValueError(
        f'Expected {architecture} to be made from `outputs` alone, got '
        f'{error}.') from error
  return Classifier(
      module, frozenset(name for name in _OPTIONAL if name in takes),
      tuple(mean), tuple(std))


def check_logits(model: Any, variables: Mapping[str, Any],
                 architecture: str, image_size: tuple[int, int]) -> None:
  """Looks at what a module returns for a few images of noise.

  Raises:
    ValueError: if it returns probabilities, of which the loss would take the
      softmax once more.
  """
  images = np.random.default_rng(0).random((4, *image_size, 3), np.float32)
  returned: Any = model.apply(variables, jnp.asarray(images), train=False)
  logits = np.asarray(returned.logits, np.float32)
  if (logits.shape[1] > 1 and logits.min() >= 0 and logits.max() <= 1
      and np.allclose(logits.sum(1), 1, atol=1e-3)):
    raise ValueError(
        f'Expected {architecture} to return logits, got probabilities: every '
        'row is in [0, 1] and sums to 1. Return what its softmax is given.')


def check(model: Classifier, architecture: str, outputs: int,
          image_size: tuple[int, int]) -> None:
  """Runs the shapes through a module and names what its outputs lack.

  Raises:
    ValueError: if ``logits`` or ``features`` is missing or has another shape.
  """
  images = jnp.zeros((2, *image_size, 3), jnp.float32)

  def run(key: jax.Array) -> Any:
    variables = model.init(key, images, train=False)
    return model.apply(variables, images, train=False)

  try:
    returned = jax.eval_shape(run, jax.random.key(0))
  except Exception as error:  # whatever the user's module raises
    raise ValueError(
        f'Expected {architecture} to take images {images.shape} with '
        f'train=False alone, got {type(error).__name__}: {error}') from error
  if isinstance(returned, jax.ShapeDtypeStruct):
    raise ValueError(
        f'Expected {architecture} to return `logits` and `features` (see '
        f'dlfd_jax.models.Outputs), got one array {returned.shape}: its '
        '`features` are missing.')
  for name in layers.Outputs._fields:
    if not hasattr(returned, name):
      raise ValueError(
          f'Expected {architecture} to return `{name}` (see '
          f'dlfd_jax.models.Outputs), got {type(returned).__name__}.')
  if returned.logits.shape != (2, outputs):
    raise ValueError(
        f'Expected {architecture} to return {outputs} logits an image, got '
        f'logits of shape {returned.logits.shape} for 2 images.')
  if len(returned.features.shape) != 2 or returned.features.shape[0] != 2:
    raise ValueError(
        f'Expected {architecture} to return features [n, d], got shape '
        f'{returned.features.shape} for 2 images.')
