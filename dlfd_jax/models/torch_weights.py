"""PyTorch state dicts to our variables and back.

Names are torchvision's. With the paper's head they are those of the authors'
released checkpoints: the trunk below ``base_model``, the head's three layers
``features.0``, ``features.3`` and ``features.6``. Convolutions change from
``[out, in, h, w]`` to ``[h, w, in, out]``, linear layers from ``[out, in]`` to
``[in, out]``; values are untouched. Nothing is guessed: a tensor that does not
fit is named with its shape, and nothing is loaded.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

import jax
import numpy as np
import safetensors
import safetensors.numpy

from dlfd_jax import models
from dlfd_jax.utils import files

State = Mapping[str, np.ndarray]
SUFFIXES = ('.safetensors', '.pth', '.pt')
_LEAVES = {'kernel': 'weight', 'scale': 'weight', 'bias': 'bias',
           'mean': 'running_mean', 'var': 'running_var'}
_HIDDEN = {'hidden0': '0', 'hidden1': '3', 'classifier': '6'}
# Axes of our kernels in PyTorch's order, by rank, and the way back.
_TO_TORCH = {1: (0,), 2: (1, 0), 4: (3, 2, 0, 1)}
_FROM_TORCH = {1: (0,), 2: (1, 0), 4: (2, 3, 1, 0)}
_COUNTER = 'num_batches_tracked'  # a count of batches, which nothing here reads
# Of containers: data parallelism, common training loops, torch.compile.
_WRAPPERS = ('module.', 'model.', '_orig_mod.')
_NESTED = ('state_dict', 'model_state_dict', 'model')
_MOST_NAMED = 12


def _resnet(path: tuple[str, ...]) -> str:
  names = [re.sub(r'^layer(\d)_(\d)$', r'layer\1.\2', name) for name in path]
  return '.'.join({'downsample_conv': 'downsample.0',
                   'downsample_bn': 'downsample.1'}.get(n, n) for n in names)


def _densenet(path: tuple[str, ...]) -> str:
  return '.'.join(['features', path[0].replace('_', '.'), *path[1:]])


_STAGE = re.compile(r'^stage(\d+)_(\d+)$')
_PARTS = ('expand', 'depthwise', 'se', 'project')


def _efficientnet(path: tuple[str, ...]) -> str:
  layers = {'conv': '0', 'norm': '1'}
  stage = _STAGE.match(path[0])
  if stage is None:  # the first and the last convolution
    part, layer = path[0].split('_')
    return f'features.{0 if part == "stem" else 8}.{layers[layer]}'
  number, block = stage.groups()
  part, _, layer = path[1].partition('_')
  place = _PARTS.index(part) - (number == '1')  # the first does not expand
  last = path[2] if part == 'se' else layers[layer]
  return f'features.{number}.{block}.block.{place}.{last}'


# Architecture -> name of a module of the trunk, and of the plain head.
_NAMES: dict[str, tuple[Callable[[tuple[str, ...]], str], str]] = {
    'resnet18': (_resnet, 'fc'), 'densenet121': (_densenet, 'classifier'),
    'efficientnet_b0': (_efficientnet, 'classifier.1')}


@dataclasses.dataclass(frozen=True)
class Account:
  """Every tensor that does not fit.

  Attributes:
    missing: names that the network needs and the file lacks.
    unexpected: names in the file that the network has no place for.
    misshapen: name, the file's shape, the network's.
  """

  missing: tuple[str, ...]
  unexpected: tuple[str, ...]
  misshapen: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]

  @property
  def fits(self) -> bool:
    return not (self.missing or self.unexpected or self.misshapen)

  def sentence(self) -> str:
    """What does not fit, in one sentence."""
    parts = [
        f'{name} has shape {list(found)}, wanted {list(wanted)}'
        for name, found, wanted in self.misshapen[:_MOST_NAMED]]
    for what, names in (('lacks', self.missing), ('has no place for',
                                                  self.unexpected)):
      if names:
        more = len(names) - _MOST_NAMED
        parts.append(f'{what} {", ".join(names[:_MOST_NAMED])}'
                     + (f' and {more} more' if more > 0 else ''))
    if len(self.misshapen) > _MOST_NAMED:
      parts.append(f'{len(self.misshapen) - _MOST_NAMED} more shapes differ')
    return '; '.join(parts)


def check_architecture(architecture: str) -> None:
  """Raises ValueError if an architecture has no twin in torchvision here."""
  if architecture not in _NAMES:
    raise ValueError(
        f'Expected an architecture in {sorted(_NAMES)} for PyTorch weights, '
        f'got {architecture!r}, which has no twin in torchvision: its '
        'checkpoints are those of orbax.')


def names_of(config: models.ModelConfig) -> dict[tuple[str, ...], str]:
  """Our path of every variable, collection first, to its PyTorch name.

  Raises:
    ValueError: if the architecture has no PyTorch twin here.
  """
  check_architecture(config.architecture)
  trunk, plain = _NAMES[config.architecture]
  found = {}
  for path in _shapes(config):
    module, leaf = path[1:-1], _LEAVES[path[-1]]
    if module[0] != 'head':
      name = trunk(module)
      if config.head == 'paper':
        name = f'base_model.{name}'
    elif config.head == 'paper':
      name = f'features.{_HIDDEN[module[1]]}'
    else:
      name = plain
    found[path] = f'{name}.{leaf}'
  return found


def _shapes(config: models.ModelConfig
            ) -> dict[tuple[str, ...], tuple[int, ...]]:
  """Shape of every variable by its path."""
  size = 64
  tree = jax.eval_shape(
      lambda key: models.init(models.build(config), key, (size, size)),
      jax.random.key(0))
  return {tuple(str(k.key) for k in path): leaf.shape
          for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def account(state: State, config: models.ModelConfig) -> Account:
  """Compares a state dict with what a network needs."""
  state = _unwrapped(state)
  shapes, names = _shapes(config), names_of(config)
  wanted = {name: tuple(shapes[path][i] for i in _TO_TORCH[len(shapes[path])])
            for path, name in names.items()}
  return Account(
      tuple(sorted(set(wanted) - set(state))),
      tuple(sorted(set(state) - set(wanted))),
      tuple((name, state[name].shape, wanted[name])
            for name in sorted(set(state) & set(wanted))
            if state[name].shape != wanted[name]))


def to_variables(state: State,
                 config: models.ModelConfig) -> models.Variables:
  """Our variables, float32, from a state dict.

  Args:
    state: arrays by torchvision's or the release's names; a wrapper's prefix
      (``module.``, ``model.``) is taken off, counters of batches are ignored.
    config: the network that they are of.

  Raises:
    ValueError: with every tensor that does not fit, or if a number is not
      finite.
  """
  found = account(state, config)
  if not found.fits:
    raise ValueError(
        f'Expected the weights of {config.architecture} with the '
        f'{config.head} head and {config.outputs} outputs, but the file '
        f'{found.sentence()}.')
  state = _unwrapped(state)
  tree: dict[str, Any] = {'params': {}, 'batch_stats': {}}
  for path, name in names_of(config).items():
    kind = state[name].dtype  # bfloat16 is none of NumPy's own
    if not any(jax.numpy.issubdtype(kind, of) for of in (
        np.integer, np.floating)):
      raise ValueError(
          f'Expected real numbers in {name}, got {state[name].dtype}.')
    with np.errstate(invalid='ignore', over='ignore'):
      value = np.asarray(state[name], np.float32)
    at = tree
    for part in path[:-1]:
      at = at.setdefault(part, {})
    at[path[-1]] = np.ascontiguousarray(
        value.transpose(_FROM_TORCH[value.ndim]))
  models.check_values(tree, 'the file')
  return tree


def to_state(variables: models.Variables,
             config: models.ModelConfig) -> dict[str, np.ndarray]:
  """The state dict of our variables: the inverse of :func:`to_variables`.

  Each BatchNorm also gets its counter of batches, 0.
  """
  leaves = {tuple(str(k.key) for k in path): np.asarray(leaf)
            for path, leaf in jax.tree_util.tree_leaves_with_path(
                dict(variables))}
  state = {name: np.ascontiguousarray(
      leaves[path].transpose(_TO_TORCH[leaves[path].ndim]))
           for path, name in names_of(config).items()}
  for name in list(state):
    if name.endswith('.running_mean'):
      state[name.replace('running_mean', _COUNTER)] = np.zeros((), np.int64)
  return state


def _unwrapped(state: State) -> State:
  """Without the prefix of a wrapper and the counters of batches."""
  state = {name: value for name, value in state.items()
           if not name.endswith(_COUNTER)}
  while state and (prefix := next(
      (p for p in _WRAPPERS if all(n.startswith(p) for n in state)), '')):
    state = {name.removeprefix(prefix): v for name, v in state.items()}
  return state


def read(path: str | os.PathLike) -> dict[str, np.ndarray]:
  """The tensors of a ``.safetensors``, ``.pth`` or ``.pt`` file.

  A ``.pth`` file is read with ``weights_only=True``, so it cannot run code; a
  dictionary inside it under ``state_dict`` or ``model`` is found.

  Raises:
    FileNotFoundError: if there is no such file.
    ValueError: if it is something else, or PyTorch is needed and absent.
  """
  path = pathlib.Path(path)
  _check_suffix(path)
  if not files.is_file(path):
    raise FileNotFoundError(f'Expected the weights {path}, found no file.')
  if path.suffix == '.safetensors':
    try:
      return safetensors.numpy.load_file(path)
    except (safetensors.SafetensorError, KeyError) as error:
      raise ValueError(
          f'Expected safetensors of a NumPy type in {path}: {error}.'
      ) from error
  torch = _torch()
  try:
    found = torch.load(path, map_location='cpu', weights_only=True)
  except Exception as error:  # pickle, zip and torch raise a dozen kinds
    raise ValueError(
        f'Expected a state dict of tensors in {path}, got something else or a '
        'damaged file; nothing in it was run.') from error
  for name in _NESTED:
    if isinstance(found, Mapping) and isinstance(found.get(name), Mapping):
      found = found[name]
  if not isinstance(found, Mapping) or not found or not all(
      isinstance(name, str) and isinstance(value, torch.Tensor)
      and value.layout == torch.strided for name, value in found.items()):
    raise ValueError(f'Expected a state dict of tensors in {path}, got '
                     f'{type(found).__name__} of other things.')
  return {name: (value.float() if value.is_floating_point() else value
                 ).detach().numpy() for name, value in found.items()}


def write(path: str | os.PathLike, state: State) -> None:
  """Writes a state dict; whole or not at all.

  Raises:
    ValueError: if the ending is unknown or PyTorch is needed and absent.
    FileExistsError: if there is a file already.
    FileNotFoundError: if its folder is not there.
  """
  path = pathlib.Path(path)
  _check_suffix(path)
  if path.exists():
    raise FileExistsError(f'Expected a new file, {path} is there already.')

  def write(file: BinaryIO) -> None:
    if path.suffix == '.safetensors':
      file.write(safetensors.numpy.save(dict(state)))
    else:
      torch = _torch()
      torch.save({name: torch.from_numpy(value.copy())
                  for name, value in state.items()}, file)

  files.write_whole(path, write)


def _check_suffix(path: pathlib.Path) -> None:
  if path.suffix not in SUFFIXES:
    raise ValueError(
        f'Expected weights to end in {", ".join(SUFFIXES)}, got {path}.')


def _torch() -> Any:
  try:
    import torch  # an extra, and slow to import
  except ImportError as error:
    raise ValueError(
        'Expected PyTorch for a .pth file: install the extra dlfd_jax[torch], '
        'or give a .safetensors file.') from error
  return torch
