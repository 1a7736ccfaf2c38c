"""Classifiers by name: a config in, a flax module and its variables out."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from dlfd_jax.models import (
  custom,
  densenet,
  efficientnet,
  layers,
  resnet,
  vit,
)
from dlfd_jax.models.layers import Outputs
from dlfd_jax.utils import memo, plugins, validate

__all__ = ['ARCHITECTURES', 'COMPUTE_DTYPES', 'ModelConfig', 'Outputs',
           'Variables', 'block_means', 'blocks', 'build', 'check_values',
           'config_of', 'in_float32', 'init', 'last_blocks', 'num_parameters',
           'own_code', 'resolve_dtype', 'with_block_means']

Variables = Mapping[str, Any]  # {'params': ..., 'batch_stats': ...}
_NETWORKS: dict[str, type[layers.Network]] = {
    'resnet18': resnet.ResNet18, 'densenet121': densenet.DenseNet121,
    'efficientnet_b0': efficientnet.EfficientNetB0, 'vit_s': vit.ViTS}
ARCHITECTURES = tuple(_NETWORKS)
_DTYPES = {'float32': jnp.float32, 'bfloat16': jnp.bfloat16}
COMPUTE_DTYPES = (*_DTYPES, 'auto')
MOST_OUTPUTS, MOST_WIDTH = 100_000, 4096
_FAST_IN_BFLOAT16 = ('tpu', 'gpu')


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelConfig:
  """Everything that rebuilds a classifier; stored beside every checkpoint.

  Attributes:
    architecture: one of :data:`ARCHITECTURES`, or a user's ``module:Class`` or
      ``file.py:Class``.
    outputs: number of logits.
    width: size of the network, 64 is the full one; see each architecture.
    stem: ``'imagenet'`` or ``'small'``.
    head: ``'plain'`` or ``'paper'``.
    mean: per-channel mean, pixel units in [0, 1].
    std: per-channel deviation, pixel units, above 0.
    compute_dtype: ``'float32'``, ``'bfloat16'`` or ``'auto'``, see
      :func:`resolve_dtype`; parameters, statistics, outputs and all that is
      computed from these stay float32.
    remat: of the blocks' values, see ``layers.run_block``: how the network is
      computed, not what it is. A user's own class decides itself.

  Raises:
    ValueError: if a field has another value.
  """

  architecture: str = 'resnet18'
  outputs: int
  width: int = 64
  stem: str = 'imagenet'
  head: str = 'plain'
  mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
  std: tuple[float, float, float] = (0.229, 0.224, 0.225)
  compute_dtype: str = 'auto'
  remat: bool = False

  def __post_init__(self) -> None:
    for name, choices in (('architecture', ARCHITECTURES),
                          ('stem', layers.STEMS), ('head', layers.HEADS),
                          ('compute_dtype', COMPUTE_DTYPES)):
      value = getattr(self, name)
      if name != 'architecture' or not plugins.is_spec(value):
        validate.one_of(name, value, choices)
    for name, most in (('outputs', MOST_OUTPUTS), ('width', MOST_WIDTH)):
      validate.integer(name, getattr(self, name), 1, most)
    validate.channels(self.mean, self.std)
    validate.boolean('remat', self.remat)


def resolve_dtype(compute_dtype: str, platform: str | None = None) -> str:
  """``'float32'`` or ``'bfloat16'``: what a ``compute_dtype`` means here.

  Args:
    compute_dtype: one of :data:`COMPUTE_DTYPES`; ``'auto'`` is bfloat16 on
      accelerators and float32 elsewhere.
    platform: ``'cpu'``, ``'gpu'`` or ``'tpu'``; default that of this process.

  Example:
    >>> resolve_dtype('auto', 'tpu'), resolve_dtype('auto', 'cpu')
    ('bfloat16', 'float32')
  """
  if compute_dtype != 'auto':
    return compute_dtype
  platform = platform or jax.default_backend()
  return 'bfloat16' if platform in _FAST_IN_BFLOAT16 else 'float32'


def build(config: ModelConfig) -> nn.Module:
  """The classifier that ``config`` describes, without variables.

  A user's own class (``module:Class``, ``file.py:Class``) is imported; see
  ``models.custom``.
  """
  if plugins.is_spec(config.architecture):
    found = custom.load(
        config.architecture, config.outputs, config.mean, config.std)
    return cast(nn.Module, dataclasses.replace(found, config=config))
  return _NETWORKS[config.architecture](
      outputs=config.outputs, width=config.width, stem=config.stem,
      head=config.head, mean=tuple(config.mean), std=tuple(config.std),
      dtype=_DTYPES[resolve_dtype(config.compute_dtype)], remat=config.remat)


def own_code(config: ModelConfig | None) -> dict[str, str | None]:
  """The file's hash of a user's own class, by its name; empty for ours."""
  if config is None or not plugins.is_spec(config.architecture):
    return {}
  found = plugins.load_object(config.architecture)
  return {found.__name__: plugins.file_hash(found)}


def build_for(config: ModelConfig, image_size: tuple[int, int]) -> nn.Module:
  """``build``, and a look at what a user's own class returns.

  Raises:
    ValueError: if it lacks a part of what ``models.custom`` asks for.
  """
  model = build(config)
  if plugins.is_spec(config.architecture):
    own = cast(custom.Classifier, model)
    custom.check(own, config.architecture, config.outputs, image_size)
    custom.check_logits(own, init(model, jax.random.key(0), image_size),
                        config.architecture, image_size)
  return model


def config_of(model: nn.Module) -> ModelConfig | None:
  """The config that :func:`build` made a classifier from.

  None for a module that was made otherwise.
  """
  for name, network in _NETWORKS.items():
    if type(model) is network:
      return ModelConfig(
          architecture=name, compute_dtype=jnp.dtype(model.dtype).name,
          **{field: getattr(model, field) for field in (
              'outputs', 'width', 'stem', 'head', 'mean', 'std', 'remat')})
  return getattr(model, 'config', None)


def init(model: nn.Module, key: jax.Array,
         image_size: tuple[int, int]) -> Variables:
  """Fresh variables ``{'params', 'batch_stats'}`` for images of that size.

  Floating values are float32, under ``JAX_ENABLE_X64`` too. Without BatchNorm
  ``batch_stats`` is empty.
  """
  height, width = image_size  # a hashable tuple, whatever was given
  draw = _make_init(model, (height, width))
  # Inside another program it is a part of that, without options of its own.
  inside = isinstance(key, jax.core.Tracer)
  return {'batch_stats': {}, **(draw.__wrapped__ if inside else draw)(key)}


@memo.one_for_equal
def _make_init(model: nn.Module, image_size: tuple[int, int]) -> Any:
  # It runs once: on a CPU compiling it with care takes 13 s and saves none. The
  # values differ from those of the usual program by rounding.
  options = ({'xla_backend_optimization_level': 0}
             if jax.default_backend() == 'cpu' else None)
  return jax.jit(lambda key: in_float32(model.init(
      key, jnp.zeros((1, *image_size, 3), jnp.float32), train=False)),
                 compiler_options=options)


@memo.one_for_equal
def shapes(model: nn.Module, image_size: tuple[int, int]) -> Variables:
  """Shapes and types of what :func:`init` makes, which is not made."""
  return jax.eval_shape(
      lambda key: init(model, key, image_size), jax.random.key(0))


@memo.one_for_equal
def output_shapes(model: nn.Module, image_size: tuple[int, int]) -> Any:
  """Shapes and types of what a network returns for one image."""
  images = jnp.zeros((1, *image_size, 3), jnp.float32)
  return jax.eval_shape(
      lambda variables: model.apply(variables, images, train=False),
      shapes(model, image_size))


def in_float32(tree: Any) -> Any:
  """Without float64, which ``JAX_ENABLE_X64`` makes and nothing else reads."""
  return jax.tree.map(
      lambda leaf: leaf.astype(np.float32) if leaf.dtype == np.float64 else
      leaf, tree)


def check_values(variables: Variables, where: str) -> None:
  """Raises ValueError if a parameter or statistic is no number that can be.

  A network with one NaN gives the same outputs for every image, silently.

  Args:
    variables: of a network.
    where: they are from, for the message.
  """
  for path, leaf in jax.tree_util.tree_leaves_with_path(dict(variables)):
    values = np.asarray(leaf)
    name = jax.tree_util.keystr(path)
    bad = np.count_nonzero(~np.isfinite(values))
    if bad:
      raise ValueError(f'Expected finite numbers in {name} of {where}, got '
                       f'{bad} of {values.size} that are not.')
    if path[-1] == jax.tree_util.DictKey('var') and (values < 0).any():
      raise ValueError(f'Expected variances of at least 0 in {name} of '
                       f'{where}, got {values.min()}.')


def num_parameters(variables: Variables) -> int:
  """Number of trainable values."""
  return sum(leaf.size for leaf in jax.tree.leaves(variables['params']))


def blocks(model: nn.Module) -> tuple[tuple[str, ...], ...]:
  """The blocks of a classifier from input to output: its names of parameters.

  A module declares them as ``blocks``: for each block the top-level name of its
  parameters, or several. ResNet18: the stem, ``layer1_0`` ... ``layer4_1`` and
  the head; in the others a block is a dense layer or a transition, an inverted
  bottleneck, or an encoder layer.

  Raises:
    ValueError: if the module declares none.
  """
  declared = getattr(model, 'blocks', None)
  if not declared:
    raise ValueError(
        f'Expected {type(model).__name__} to declare `blocks`, the top-level '
        'names of its parameters from input to output, got none.')
  return tuple((b,) if isinstance(b, str) else tuple(b) for b in declared)


def last_blocks(model: nn.Module, variables: Variables,
                k: int) -> tuple[str, ...]:
  """Top-level names of the parameters of the last ``k`` blocks.

  Block 1 is the head; see :func:`blocks`.

  Raises:
    ValueError: if there are fewer blocks, or they are not the parameters'.
  """
  ordered = blocks(model)
  names = [name for block in ordered for name in block]
  if sorted(names) != sorted(variables['params']):
    raise ValueError(
        f'Expected the blocks of {type(model).__name__} to name each of '
        f'{sorted(variables["params"])} once, got {names}.')
  if not 1 <= k <= len(ordered):
    raise ValueError(
        f'Expected k from 1 to {len(ordered)}, the blocks of '
        f'{type(model).__name__}, got {k}.')
  return tuple(name for block in ordered[-k:] for name in block)


def with_block_means(model: nn.Module, variables: Variables, images: jax.Array
                     ) -> tuple[Outputs, dict[str, jax.Array]]:
  """Outputs, and what every block but the head returns, mean over positions.

  Args:
    model: a classifier that declares its blocks, see :func:`blocks`.
    variables: of it.
    images: ``[n, h, w, 3]`` in [0, 1].

  Returns:
    In evaluation mode: the model's outputs, whose features are what the head
    reads, and float32 ``[n, d]`` by the name of each block's last module, from
    input to output.
  """
  names = {name for block in blocks(model)[:-1] for name in block}

  def is_block(module: nn.Module, method: str) -> bool:
    return method == '__call__' and len(module.path) == 1 and (
        module.path[0] in names)

  outputs, state = cast(Any, model).apply(
      variables, images, train=False, capture_intermediates=is_block,
      mutable=['intermediates'])
  values = state.get('intermediates', {})
  means = {}
  for block in blocks(model)[:-1]:
    modules = [name for name in block if name in values]
    if modules:  # others are bare parameters
      rows = values[modules[-1]]['__call__'][0].astype(jnp.float32)
      means[modules[-1]] = rows.mean(tuple(range(1, rows.ndim - 1)))
  return outputs, means


def block_means(model: nn.Module, variables: Variables,
                images: jax.Array) -> dict[str, jax.Array]:
  """The second part of :func:`with_block_means`."""
  return with_block_means(model, variables, images)[1]
