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

import argparse
import collections
import dataclasses
import io
import json
import os
import pathlib
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, BinaryIO

import jax
import numpy as np
import safetensors
import safetensors.numpy

from dlfd_jax import models
from dlfd_jax.utils import files, validate, writes

State = Mapping[str, np.ndarray]
SUFFIXES = ('.safetensors', '.pth', '.pt')
_LEAVES = {'kernel': 'weight', 'scale': 'weight', 'bias': 'bias',
           'mean': 'running_mean', 'var': 'running_var'}
_HIDDEN = {'hidden0': '0', 'hidden1': '3', 'classifier': '6'}
# Axes of our kernels in PyTorch's order, by rank, and the way back.
_TO_TORCH = {1: (0,), 2: (1, 0), 4: (3, 2, 0, 1)}
_FROM_TORCH = {1: (0,), 2: (1, 0), 4: (2, 3, 1, 0)}
_COUNTER = 'num_batches_tracked'  # a count of batches, which nothing here reads
# Attributes that hold the network: data parallelism, torch.compile, Lightning.
_WRAPPERS = ('module', 'model', '_orig_mod', 'net', 'network', 'encoder',
             'backbone', 'base_model', 'state_dict', 'model_state_dict',
             'model_state', 'weights')
_AVERAGED = re.compile(r'(^|[._])(ema|swa|averaged|teacher|shadow)([._]|$)')
_OTHERS = re.compile(  # what training stores beside a network
    r'(^|[._])(n_averaged|criterion|loss\w*|optim\w*|\w*scheduler|scaler|'
    r'metrics?|class_weights?|num_updates|decay|'
    r'(train|val|test)_(acc|auc|auroc|f1|loss)\w*)([._]|$)')
_QUANTISED = re.compile(
    r'(_packed_params|zero_point|\.SCB|weight_scale|quant_map|absmax|'
    r'quant_state)')
_HEADS = ('fc', 'linear', 'classifier', 'head')
_CLASSES = ('class_to_idx', 'label2id', 'idx_to_class', 'id2label', 'classes',
            'class_names')
_MOST_NAMED = 12
_DEPTH = 3  # of dictionaries in dictionaries


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
        parts.append(f'{what} {validate.listed(names, _MOST_NAMED)}')
    if len(self.misshapen) > _MOST_NAMED:
      parts.append(f'{len(self.misshapen) - _MOST_NAMED} more shapes differ')
    return '; '.join(parts) + self._cause()

  def _cause(self) -> str:
    """What a well-known difference means, where it is one."""
    if any(name.endswith('conv1.weight') and found[2:] != wanted[2:]
           and {found[2:], wanted[2:]} == {(3, 3), (7, 7)}
           for name, found, wanted in self.misshapen):
      return ' (--stem=small has a first kernel of 3 x 3, imagenet of 7 x 7)'
    if any(re.search(r'layer\d\.(\d\.conv3|[2-9]\.conv1)\.', name)
           for name in self.unexpected):
      return ' (these are blocks of a deeper ResNet than ResNet18)'
    return ''


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
  taken, said = _choose(fitting, 'the network')
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
  left = [name for name in found if name not in wanted and _OTHERS.search(name)]
  for name in left:
    del found[name]
  left += beside
  if left:
    said.append(f'left out {validate.listed(sorted(left), _MOST_NAMED)}')
  return found, said


def _is_foreign(name: str, networks: list[str]) -> bool:
  return bool(_OTHERS.search(name) or any(
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


def _choose(names: Iterable[str], what: str) -> tuple[str, list[str]]:
  """One of several prefixes or keys: the trained weights before averages.

  Raises:
    ValueError: if two are as likely.
  """
  def rank(name: str) -> int:
    parts = [part for part in name.split('.') if part]
    return 3 if _AVERAGED.search(name) else 1 if not parts else 0 if all(
        part in _WRAPPERS for part in parts) else 2

  ranked = sorted(names, key=lambda name: (rank(name), name))
  shown = [name.rstrip('.') for name in ranked]
  if len(ranked) == 1:
    return ranked[0], []
  if rank(ranked[0]) == rank(ranked[1]):
    raise ValueError(
        f'Expected one network in the file, got '
        f'{validate.listed(map(repr, shown))}: '
        'name one with --state.')
  return ranked[0], [
      f'took {shown[0] or "the tensors at the top"} for {what}; '
      + validate.listed(f'--state={name}' for name in shown[1:])
      + (' takes the other' if len(shown) == 2 else ' take others')]


@dataclasses.dataclass(frozen=True)
class File:
  """What a file of weights holds.

  Attributes:
    tensors: by their names.
    classes: what its outputs are in their order; None if the file does not say.
    said: what was chosen and left out, sentences.
    prefix: that ``--state`` names, if it is none of the file's keys.
  """

  tensors: dict[str, np.ndarray]
  classes: tuple[str, ...] | None = None
  said: tuple[str, ...] = ()
  prefix: str | None = None


def read(path: str | os.PathLike, state: str | None = None,
         with_classes: bool = True) -> File:
  """The tensors of a ``.safetensors``, ``.pth`` or ``.pt`` file.

  A ``.pth`` file is read with ``weights_only=True``, so it cannot run code; a
  dictionary of tensors inside it is found. ``class_to_idx`` or ``classes`` in
  it, or in the metadata of safetensors, say what the outputs are.

  Args:
    path: the file.
    state: the key of the state dict to read, such as ``'state_dict_ema'``, or
      the prefix of its names.
    with_classes: also read the order of the outputs.

  Raises:
    FileNotFoundError: if there is no such file.
    ValueError: if it is something else, holds tensors without plain values, or
      PyTorch is needed and absent.
  """
  path = pathlib.Path(path)
  _check_suffix(path)
  if not files.is_file(path):
    raise FileNotFoundError(f'Expected the weights {path}, found no file.')
  if path.suffix == '.safetensors':
    try:
      tensors = safetensors.numpy.load_file(path)
      with safetensors.safe_open(path, 'numpy') as file:
        notes = file.metadata() or {}
    except (safetensors.SafetensorError, KeyError, TypeError,
            AttributeError) as error:
      raise ValueError(
          f'Expected safetensors of a NumPy type in {path}, such as F32, F16 '
          f'or BF16: {type(error).__name__} {error}.') from error
    return File(tensors, _classes({
        key: _from_json(notes[key]) for key in _CLASSES
        if with_classes and key in notes}), prefix=state)
  torch = _torch()
  found = _load(torch, path)
  if not isinstance(found, Mapping):
    raise ValueError(f'Expected a state dict of tensors in {path}, got '
                     f'a {type(found).__name__} without named tensors.')
  dicts = dict(_state_dicts(found, torch))
  most = max((_count(d, torch) for d in dicts.values()), default=0)
  dicts = {key: d for key, d in dicts.items() if 2 * _count(d, torch) >= most}
  if not dicts:
    raise ValueError(
        f'Expected a state dict of tensors in {path}, got '
        f'a {type(found).__name__} without named tensors.')
  named = [key for key in dicts if state and (
      key == state or key.startswith(f'{state}.'))]
  key, said = _choose(named or dicts, 'the state dict')
  tensors, other = {}, []
  for name, value in dicts[key].items():
    if isinstance(name, str) and isinstance(value, torch.Tensor):
      tensors[name] = _values(name, value, path, torch)
    elif isinstance(name, str) and _QUANTISED.search(name):
      raise _quantised(name, path)
    elif not isinstance(value, Mapping):
      other.append(str(name))
  if other:
    said.append(f'left out {validate.listed(sorted(other), _MOST_NAMED)}')
  return File(tensors, _classes(found) if with_classes else None, tuple(said),
              None if named else state)


def _load(torch: Any, path: pathlib.Path) -> Any:
  """What a file holds, with plain Python and NumPy values beside tensors."""
  numbers = [type(np.dtype(code)) for code in (
      '?', 'i1', 'i2', 'i4', 'i8', 'u1', 'u2', 'u4', 'u8', 'f2', 'f4', 'f8',
      'U1', 'S1')]
  harmless: list[Any] = [
      argparse.Namespace, np.dtype, np.ndarray, *numbers, set, complex,
      *((pathlib.PurePosixPath, f'{module}.{name}')
        for module in ('pathlib', 'pathlib._local')
        for name in ('Path', 'PosixPath', 'PurePosixPath')),
      *((pathlib.PureWindowsPath, f'{module}.{name}')
        for module in ('pathlib', 'pathlib._local')
        for name in ('WindowsPath', 'PureWindowsPath')),
      *((function, f'numpy.{module}.multiarray.{name}')
        for module in ('core', '_core') for name, function in (
            ('scalar', _scalar),
            ('_reconstruct', np.zeros(1).__reduce__()[0])))]
  try:
    with torch.serialization.safe_globals(
        harmless), warnings.catch_warnings():
      warnings.simplefilter('ignore')  # of kinds of tensors refused below
      return torch.load(path, map_location='cpu', weights_only=True)
  except Exception as error:  # pickle, zip and torch raise a dozen kinds
    refused = re.search(r'GLOBAL ([\w.]+)', str(error))
    if refused:
      why = (f'an object of {refused[1]}; save the state dict alone: '
             'torch.save(model.state_dict(), FILE)')
    elif 'TorchScript' in str(error):
      why = ('a TorchScript program; save its state dict: '
             'torch.save(torch.jit.load(FILE).state_dict(), OTHER)')
    else:
      why = 'something else or a damaged file'
    raise ValueError(f'Expected a state dict of tensors in {path}, got {why}; '
                     'nothing in it was run.') from error


def _scalar(kind: np.dtype, data: Any = b'') -> Any:
  """A NumPy number from its bytes; those of objects are pickles, refused."""
  if kind.hasobject:
    raise ValueError('an object')
  return np.frombuffer(data, kind)[0]


def _state_dicts(found: Mapping, torch: Any, place: str = '',
                 depth: int = _DEPTH) -> Iterator[tuple[str, Mapping]]:
  """Every dictionary that holds tensors, by its keys with dots between."""
  if _count(found, torch):
    yield place, found
  for key, value in found.items():
    where = f'{place}.{key}' if place else str(key)
    if depth and isinstance(value, Mapping) and not _OTHERS.search(where):
      yield from _state_dicts(value, torch, where, depth - 1)


def _count(found: Mapping, torch: Any) -> int:
  return sum(isinstance(name, str) and isinstance(value, torch.Tensor)
             for name, value in found.items())


def _quantised(name: str, path: pathlib.Path) -> ValueError:
  return ValueError(f'Expected plain numbers in {path}, got the quantised '
                    f'{name}: give the weights before quantisation.')


def _values(name: str, value: Any, path: pathlib.Path,
            torch: Any) -> np.ndarray:
  """A tensor as NumPy; floating kinds, of 8 bits too, become float32."""
  if value.is_quantized or _QUANTISED.search(name):
    raise _quantised(name, path)
  if value.is_meta:
    raise ValueError(f'Expected numbers in {name} of {path}, got a tensor of '
                     'the meta device, which has a shape alone: save the model '
                     'after its weights are loaded.')
  if value.layout != torch.strided:
    raise ValueError(f'Expected a state dict of dense tensors in {path}, got '
                     f'{name} of {value.layout}.')
  value = value.detach()
  try:
    return (value.float() if value.is_floating_point() else value).numpy()
  except (RuntimeError, TypeError) as error:  # kinds without a conversion
    raise ValueError(f'Expected {name} of {path} in a kind of numbers that '
                     f'can be read, got {value.dtype}.') from error


def _from_json(text: str) -> Any:
  try:
    return json.loads(text)
  except ValueError:
    return text.split(',')


def _classes(found: Mapping) -> tuple[str, ...] | None:
  """What the outputs are in their order, where a checkpoint says it.

  Raises:
    ValueError: if it says two orders, or numbers that are none of outputs.
  """
  said = {}
  for holder in (found, *found.values()):
    if isinstance(holder, argparse.Namespace):
      holder = vars(holder)
    if not isinstance(holder, Mapping):
      continue
    for key in _CLASSES:
      value = holder.get(key)
      value = value.tolist() if isinstance(value, np.ndarray) else value
      if isinstance(value, Mapping) and value:
        pairs = [(n, c) for n, c in value.items()] if key in (
            'idx_to_class', 'id2label') else [(n, c) for c, n in value.items()]
        try:
          order = {int(n): str(c) for n, c in pairs}
        except (TypeError, ValueError):
          order = {}
        if sorted(order) != list(range(len(value))):
          raise ValueError(
              f'Expected {key} of the checkpoint to number its '
              f'{len(value)} classes from 0, got {dict(value)!r:.200}.')
        said[key] = tuple(order[i] for i in range(len(order)))
      elif isinstance(value, list | tuple) and value and all(
          isinstance(c, str | int | np.integer) for c in value):
        said[key] = tuple(str(c) for c in value)
  if len(set(said.values())) > 1:
    raise ValueError(
        f'Expected one order of classes in the checkpoint, got {len(said)}: '
        f'{", ".join(said)} differ; give the right one as --head_classes.')
  return next(iter(said.values()), None)


def write(path: str | os.PathLike, state: State) -> None:
  """Writes a state dict; whole or not at all.

  Raises:
    ValueError: if the ending is unknown or PyTorch is needed and absent.
    FileExistsError: if there is a file already.
    FileNotFoundError: if its folder is not there.
  """
  path = pathlib.Path(path)
  _check_suffix(path)
  writes.check_new(path)

  def write(file: BinaryIO) -> None:
    if path.suffix == '.safetensors':
      file.write(safetensors.numpy.save(dict(state)))
    else:
      torch = _torch()
      held = io.BytesIO()  # torch hides what a disk says
      torch.save({name: torch.from_numpy(value.copy())
                  for name, value in state.items()}, held)
      file.write(held.getbuffer())

  writes.write_new(path, write)


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
