"""PyTorch state dicts to our variables and back.

Names are torchvision's. With the paper's head they are those of the authors'
released checkpoints: the trunk below ``base_model``, the head's three layers
``features.0``, ``features.3`` and ``features.6``. Convolutions change from
``[out, in, h, w]`` to ``[h, w, in, out]``, linear layers from ``[out, in]`` to
``[in, out]``; values are untouched. Nothing is guessed: a tensor that does not
fit is named with its shape, and nothing is loaded. What a training loop stores
around a network (a prefix of names, an average of the weights, a loss with
weights of its own) is told from it; what was chosen and left out is said.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import re
import types
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from dlfd_jax import models
from dlfd_jax.models import weight_files
from dlfd_jax.utils import validate

State = weight_files.State
_LEAVES = {'kernel': 'weight', 'scale': 'weight', 'bias': 'bias',
           'mean': 'running_mean', 'var': 'running_var'}
_HIDDEN = {'hidden0': '0', 'hidden1': '3', 'classifier': '6'}
# Axes of our kernels in PyTorch's order, by rank, and the way back.
_TO_TORCH = {1: (0,), 2: (1, 0), 4: (3, 2, 0, 1)}
_FROM_TORCH = {1: (0,), 2: (1, 0), 4: (2, 3, 1, 0)}
_COUNTER = 'num_batches_tracked'  # a count of batches, which nothing here reads
_HEADS = ('fc', 'linear', 'classifier', 'head')
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


_KERNELS = {(3, 3), (7, 7)}  # of the first layer, by stem


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
        parts.append(f'{what} {validate.listed(names, _MOST_NAMED)}')
    if len(self.misshapen) > _MOST_NAMED:
      parts.append(f'{len(self.misshapen) - _MOST_NAMED} more shapes differ')
    return '; '.join(parts) + self._cause()

  def _cause(self) -> str:
    """What a well-known difference means, where it is one."""
    first = next(((found, wanted) for name, found, wanted in self.misshapen
                  if name.split('.')[-2:] == ['conv1', 'weight']
                  and not re.search(r'layer\d', name)), None)
    if first is not None:
      found, wanted = first
      causes = []
      if found[1:2] == wanted[1:2] and found[2:] in _KERNELS and (
          found[0] not in (0, wanted[0])):
        causes.append(f'--width={found[0]} fits the first layer')
      if {found[2:], wanted[2:]} == _KERNELS:
        causes.append(
            '--stem=small has a first kernel of 3 x 3, imagenet of 7 x 7')
      if causes:
        return f' ({"; ".join(causes)})'
    if any(re.search(r'layer\d\.(\d\.conv3|[2-9]\.conv1)\.', name)
           for name in self.unexpected):
      return ' (these are blocks of a deeper ResNet than ResNet18)'
    return ''


def has_twin(architecture: str) -> bool:
  """Whether an architecture has a twin in torchvision here."""
  return architecture in _NAMES


def check_architecture(architecture: str) -> None:
  """Raises ValueError if an architecture has no twin in torchvision here."""
  if not has_twin(architecture):
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


@functools.lru_cache(8)  # an import asks for them many times
def _shapes(config: models.ModelConfig
            ) -> Mapping[tuple[str, ...], tuple[int, ...]]:
  """Shape of every variable by its path."""
  size = 64
  tree = models.shapes(models.build(config), (size, size))
  return types.MappingProxyType({
      tuple(str(k.key) for k in path): leaf.shape
      for path, leaf in jax.tree_util.tree_leaves_with_path(tree)})


def account(state: State, config: models.ModelConfig) -> Account:
  """Compares a state dict with what a network needs."""
  state, _ = matched(state, config)
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
    state: arrays by torchvision's or the release's names, see
      :func:`matched`.
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
  state, _ = matched(state, config)
  tree: dict[str, Any] = {'params': {}, 'batch_stats': {}}
  for path, name in names_of(config).items():
    kind = state[name].dtype  # bfloat16 is none of NumPy's own
    if kind in (np.int8, np.uint8):
      raise ValueError(f'Expected real numbers in {name}, got {kind}: the file '
                       'is of a quantised network; give the weights before '
                       'quantisation.')
    if not any(jax.numpy.issubdtype(kind, of) for of in (
        np.integer, np.floating)):
      raise ValueError(f'Expected real numbers in {name}, got {kind}.')
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


def matched(state: State, config: models.ModelConfig,
            prefix: str | None = None) -> tuple[State, list[str]]:
  """The tensors of one network by its own names, out of those of a file.

  Taken off is the prefix below which the file has most of the network's names;
  the head may stand beside it (``encoder.*`` and ``fc.*``) and may be called
  ``fc``, ``linear``, ``classifier`` or ``head``. The ``shortcut`` of ResNets
  for CIFAR is the ``downsample`` of torchvision.

  Args:
    state: arrays by name; counters of batches are ignored.
    config: the network that is looked for.
    prefix: the network's, where several fit.

  Returns:
    The tensors, those too that do not fit, and sentences on what was chosen
    and what was left out as no part of the network.

  Raises:
    ValueError: if two networks fit and none is named, or none fits the name.
  """
  state = {name: value for name, value in state.items()
           if not name.endswith(_COUNTER)}
  if config.architecture == 'resnet18' and not any(
      '.downsample.' in name for name in state):
    state = {name.replace('.shortcut.', '.downsample.'): value
             for name, value in state.items()}
  names = names_of(config)
  wanted = set(names.values())
  head = {name for path, name in names.items() if path[1] == 'head'}
  counts: collections.Counter[str] = collections.Counter()
  for name in state:
    parts = name.split('.')
    for i in range(len(parts)):
      if '.'.join(parts[i:]) in wanted:
        counts[''.join(part + '.' for part in parts[:i])] += 1
  whole = [p for p, n in counts.items() if 2 * n > len(wanted)]
  fitting = whole if prefix is None else [
      p for p in whole if p == f'{prefix}.' or p.startswith(f'{prefix}.')]
  if not fitting:
    if prefix is not None:
      places = [p.rstrip('.') or 'the top of the file' for p in whole]
      raise ValueError(
          f'Expected a {config.architecture} below --state={prefix}, got '
          + (f'one below {validate.listed(places)}.' if places else 'none.'))
    return state, []
  taken, said = weight_files.choose(fitting, 'the network')
  found = {name.removeprefix(taken): value for name, value in state.items()
           if name.startswith(taken)}
  beside = {name: value for name, value in state.items()
            if not name.startswith(taken)}
  if config.head == 'plain' and not head & set(found):
    others = len(beside)
    found, beside = _with_head(found, beside, taken, head, said)
    if len(beside) < others or not head <= set(found):
      # a layer may stand between the trunk and the head beside it
      found |= {name: beside.pop(name) for name in list(beside)
                if not _is_foreign(name, fitting)}
  left = [name for name in found
          if name not in wanted and weight_files.OTHERS.search(name)]
  for name in left:
    del found[name]
  left += beside
  if left:
    said.append(f'left out {validate.listed(sorted(left), _MOST_NAMED)}')
  return found, said


def _is_foreign(name: str, networks: list[str]) -> bool:
  return bool(weight_files.OTHERS.search(name) or any(
      p and name.startswith(p) for p in networks))


def _with_head(found: State, beside: State, taken: str, head: set[str],
               said: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
  """The last layer, from below or beside the trunk and under another name."""
  found, beside = dict(found), dict(beside)
  plain = next(iter(head)).rpartition('.')[0]
  places = [('', found)]
  for i in range(taken.count('.'), 0, -1):
    places.append((''.join(
        part + '.' for part in taken.split('.')[:i - 1]), beside))
  for front, tensors in places:
    layers = {match[1] for name in tensors if name.startswith(front)
              and (match := re.fullmatch(
                  rf'({"|".join(_HEADS)}|(?:{"|".join(_HEADS)})\.\d)\.weight',
                  name.removeprefix(front))) and tensors[name].ndim == 2}
    if len(layers) == 1:
      layer = front + layers.pop()
      for leaf in ('weight', 'bias'):
        if f'{layer}.{leaf}' in tensors:
          found[f'{plain}.{leaf}'] = tensors.pop(f'{layer}.{leaf}')
      said.append(f'took {layer} for the last layer, {plain}')
      break
  return found, beside
