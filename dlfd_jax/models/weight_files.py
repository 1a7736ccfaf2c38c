"""Files of PyTorch weights: ``.pth`` and ``.safetensors``, read and written.

What a file claims is weighed before it is unpacked, and nothing in it is run.
``torch_weights`` says what its tensors are to a network.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import json
import math
import os
import pathlib
import re
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO

import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from dlfd_jax.utils import (
  files,
  records,
  schemas,
  storage,
  text as text_lib,
  validate,
  writes,
)

State = Mapping[str, np.ndarray]
USE = 'preprocessing'  # the key of safetensors' metadata, see read_use
SUFFIXES = ('.safetensors', '.pth', '.pt')
# Attributes that hold the network: data parallelism, torch.compile, Lightning.
_WRAPPERS = ('module', 'model', '_orig_mod', 'net', 'network', 'encoder',
             'backbone', 'base_model', 'state_dict', 'model_state_dict',
             'model_state', 'weights')
_AVERAGED = re.compile(r'(^|[._])(ema|swa|averaged|teacher|shadow)([._]|$)')
OTHERS = re.compile(  # what training stores beside a network
    r'(^|[._])(n_averaged|criterion|loss\w*|optim\w*|\w*scheduler|scaler|'
    r'metrics?|class_weights?|num_updates|decay|'
    r'(train|val|test)_(acc|auc|auroc|f1|loss)\w*)([._]|$)')
_QUANTISED = re.compile(
    r'(_packed_params|zero_point|\.SCB|weight_scale|quant_map|absmax|'
    r'quant_state)')
_CLASSES = ('class_to_idx', 'label2id', 'idx_to_class', 'id2label', 'classes',
            'class_names')
_MOST_NAMED = 12
_DEPTH = 3  # of dictionaries in dictionaries
# Kinds of numbers of safetensors, in NumPy's words; the packed ones are none.
_KINDS: dict[str, Any] = {
    'BOOL': np.bool_, 'U8': np.uint8, 'I8': np.int8, 'U16': np.uint16,
    'I16': np.int16, 'U32': np.uint32, 'I32': np.int32, 'U64': np.uint64,
    'I64': np.int64, 'F16': np.float16, 'F32': np.float32, 'F64': np.float64,
    'C64': np.complex64, 'BF16': jnp.bfloat16,
    'F8_E4M3': jnp.float8_e4m3fn, 'F8_E5M2': jnp.float8_e5m2,
    'F8_E8M0': jnp.float8_e8m0fnu, 'F8_E4M3FNUZ': jnp.float8_e4m3fnuz,
    'F8_E5M2FNUZ': jnp.float8_e5m2fnuz}
# Float32 takes eight times the bytes of the smallest numbers of a file; the
# rest is for files of a few tensors that are one number each.
_GROWTH, _LEAST_BYTES = 8, 2**24


def choose(names: Iterable[str], what: str) -> tuple[str, list[str]]:
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
  path = storage.local(path)
  _check_suffix(path)
  files.check_file(path, f'the weights {path.name}')
  if path.suffix == '.safetensors':
    tensors, notes = _load_safetensors(path)
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
  key, said = choose(named or dicts, 'the state dict')
  _weigh({name: value.shape for name, value in dicts[key].items()
          if isinstance(value, torch.Tensor) and not value.is_meta
          and not value.is_nested and value.layout == torch.strided}, path)
  tensors, other = {}, []
  for name, value in dicts[key].items():
    if isinstance(name, str) and isinstance(value, torch.Tensor):
      tensors[name] = _values(name, value, path, torch)
    elif isinstance(name, str) and _QUANTISED.search(name):
      raise _quantised(name, path)
    elif not isinstance(value, Mapping):
      other.append(_key(name))
  if other:
    said.append(f'left out {validate.listed(sorted(other), _MOST_NAMED)}')
  return File(tensors, _classes(found) if with_classes else None, tuple(said),
              None if named else state)


def read_use(path: str | os.PathLike) -> dict[str, Any]:
  """How the weights are used, as an export of this program says it.

  Returns:
    ``mean`` and ``std``, ``image_size`` (height, width), and the fields of
    ``network``, of a ``.safetensors`` file; ``{}`` where nothing is said.

  Raises:
    ValueError: if it is no such file, or what it says is none of these.
  """
  path = storage.local(path)
  if path.suffix != '.safetensors' or not files.is_file(path):
    return {}
  notes = _notes(path)
  return records.parse(notes[USE], schemas.Use, f'{USE} of {path}'
                       ) if USE in notes else {}


def _notes(path: pathlib.Path) -> dict[str, str]:
  """The metadata of a safetensors file."""
  with files.reading(f'Expected safetensors in {path}, got something else or a '
                     'damaged file'), safetensors.safe_open(
                         path, 'numpy') as file:
    return file.metadata() or {}


def _load_safetensors(path: pathlib.Path
                      ) -> tuple[dict[str, np.ndarray], dict[str, str]]:
  """The tensors of a file by their names, and its notes."""
  notes = _notes(path)
  with files.reading(f'Expected safetensors in {path}, got something else or a '
                     'damaged file'):
    stored = safetensors.deserialize(path.read_bytes())
  tensors = {}
  for name, one in stored:
    if _QUANTISED.search(name):
      raise _quantised(name, path)
    if one['dtype'] not in _KINDS:
      raise ValueError(
          f'Expected plain numbers in {path}, got {validate.shown(name)} of '
          f'{one["dtype"]}, several numbers in a byte: give the weights before '
          'quantisation.')
    with files.reading(f'Expected tensors of real sizes in {path}, got '
                       f'{validate.shown(name)} of shape {one["shape"]}'):
      tensors[name] = np.frombuffer(
          one['data'], _KINDS[one['dtype']]).reshape(one['shape'])
  return tensors, notes


def _weigh(shapes: Mapping[Any, Sequence[int]], path: pathlib.Path) -> None:
  """Raises ValueError if a file claims more numbers than it can hold.

  A tensor may repeat one number as often as it likes, at no cost until it is
  unpacked.
  """
  sizes = {name: 4 * math.prod(shape) for name, shape in shapes.items()}
  held = path.stat().st_size
  if sum(sizes.values()) > max(_GROWTH * held, _LEAST_BYTES):
    name = max(sizes, key=lambda name: sizes[name])
    raise ValueError(
        f'Expected tensors that the {held:,} bytes of {path} can hold, got '
        f'{sum(sizes.values()):,} bytes of them, such as '
        f'{validate.shown(_key(name))} of shape {list(shapes[name])}.')


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
  if zipfile.is_zipfile(path):  # else of PyTorch before 1.6
    with files.reading(f'Expected a state dict of tensors in {path}, got a '
                       'damaged file'), zipfile.ZipFile(path) as archive:
      claimed = sum(entry.file_size for entry in archive.infolist())
    if claimed > path.stat().st_size:  # PyTorch does not compress
      raise ValueError(
          f'Expected a file that torch.save wrote at {path}, got an archive '
          f'of {path.stat().st_size:,} bytes that unpacks to {claimed:,}.')
  try:
    with torch.serialization.safe_globals(
        harmless), warnings.catch_warnings():
      warnings.simplefilter('ignore')  # of kinds of tensors refused below
      return torch.load(path, map_location='cpu', weights_only=True)
  except Exception as error:  # pickle, zip and torch raise a dozen kinds
    if isinstance(error, OSError) and files.is_of_the_machine(error):
      raise
    refused = re.search(r'GLOBAL ([\w.]+)', str(error))
    if isinstance(error, MemoryError) or "can't allocate" in str(error):
      why = 'one that claims more memory than there is'
    elif refused:
      why = (f'an object of {text_lib.bounded(refused[1], 120)}; save the '
             'state dict alone: torch.save(model.state_dict(), FILE)')
    elif 'TorchScript' in str(error):
      why = ('a TorchScript program; save its state dict: '
             'torch.save(torch.jit.load(FILE).state_dict(), OTHER)')
    elif 'overflow' in str(error) or 'resize storage' in str(error):
      why = 'a tensor whose shape does not fit its numbers'
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
                 depth: int = _DEPTH, seen: set[int] | None = None
                 ) -> Iterator[tuple[str, Mapping]]:
  """Every dictionary that holds tensors, once, by its keys with dots between.

  A small file can hold one dictionary in itself, or in a thousand places.
  """
  seen = set() if seen is None else seen
  seen.add(id(found))
  if _count(found, torch):
    yield place, found
  for key, value in found.items():
    where = f'{place}.{_key(key)}' if place else _key(key)
    if depth and isinstance(value, Mapping) and id(value) not in seen and (
        not OTHERS.search(where)):
      yield from _state_dicts(value, torch, where, depth - 1, seen)


def _key(key: Any) -> str:
  """A key of a dictionary as text; others than plain ones by their type."""
  return str(key) if isinstance(
      key, str | int | np.integer) else f'a {type(key).__name__}'


def _count(found: Mapping, torch: Any) -> int:
  return sum(isinstance(name, str) and isinstance(value, torch.Tensor)
             for name, value in found.items())


def _quantised(name: str, path: pathlib.Path) -> ValueError:
  return ValueError(
      f'Expected plain numbers in {path}, got the quantised '
      f'{text_lib.bounded(name, 160)}: give the weights before quantisation.')


def _values(name: str, value: Any, path: pathlib.Path,
            torch: Any) -> np.ndarray:
  """A tensor as NumPy; floating kinds, of 8 bits too, become float32."""
  shown = text_lib.bounded(name, 160)
  if value.is_quantized or _QUANTISED.search(name):
    raise _quantised(name, path)
  if value.is_meta:
    raise ValueError(f'Expected numbers in {shown} of {path}, got a tensor of '
                     'the meta device, which has a shape alone: save the model '
                     'after its weights are loaded.')
  if value.is_nested or value.layout != torch.strided:
    kind = 'a nested tensor' if value.is_nested else value.layout
    raise ValueError(f'Expected a state dict of dense tensors in {path}, got '
                     f'{shown} of {kind}.')
  if value.is_complex():
    raise ValueError(f'Expected real numbers in {shown} of {path}, got '
                     f'{value.dtype}.')
  value = value.detach().resolve_neg()  # a sign may be noted, not applied
  try:
    return (value.float() if value.is_floating_point() else value).numpy()
  except (RuntimeError, TypeError, NotImplementedError) as error:
    # kinds without a conversion, such as two numbers of four bits in a byte
    raise ValueError(f'Expected {shown} of {path} in a kind of numbers that '
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
          order = {int(n): _key(c) for n, c in pairs}
        except (TypeError, ValueError, OverflowError):
          order = {}
        if sorted(order) != list(range(len(value))):
          named = validate.listed(f'{_key(c)}: {_key(n)}' for n, c in pairs)
          raise ValueError(
              f'Expected {key} of the checkpoint to number its '
              f'{len(value)} classes from 0, got {named}.')
        said[key] = tuple(order[i] for i in range(len(order)))
      elif isinstance(value, list | tuple) and value and all(
          isinstance(c, str | int | np.integer) for c in value):
        said[key] = tuple(str(c) for c in value)
  if len(set(said.values())) > 1:
    raise ValueError(
        f'Expected one order of classes in the checkpoint, got {len(said)}: '
        f'{", ".join(said)} differ; give the right one as --head_classes.')
  return next(iter(said.values()), None)


def write(path: str | os.PathLike, state: State,
          metadata: Mapping[str, str] | None = None) -> None:
  """Writes a state dict; whole or not at all.

  Args:
    path: ends in ``.pth`` or ``.safetensors``.
    state: the tensors by name.
    metadata: texts for the header of safetensors; a ``.pth`` has none.

  Raises:
    ValueError: if the ending is unknown or PyTorch is needed and absent.
    FileExistsError: if there is a file already.
    FileNotFoundError: if its folder is not there.
  """
  path = storage.local(path)
  _check_suffix(path)
  writes.check_new(path)

  def write(file: BinaryIO) -> None:
    if path.suffix == '.safetensors':
      file.write(safetensors.numpy.save(
          dict(state), dict(metadata) if metadata else None))
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
        f'Expected PyTorch for a .pth file: {text_lib.by_extra("torch")}, '
        'or give a .safetensors file.') from error
  return torch
