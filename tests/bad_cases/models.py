"""Trained models and weight files: damaged, hostile or of another kind."""

from __future__ import annotations

import functools
import json
import pathlib
import shutil
from collections.abc import Callable
from typing import Any

import numpy as np
import safetensors.numpy

from tests.bad_cases import case, edits
from tests.bad_cases.case import Case

CHECKPOINTS, WEIGHTS = 'Checkpoints', 'Weights from elsewhere'
_CARD = 'original/checkpoints/model/model.json'
_VARIABLES = 'original/checkpoints/model/variables'
_IMPORT = ('import_weights --weights=weights.safetensors --data=faces.npz '
           '--labels=smile --image_size=16 --width=2 --stem=small '
           '--workdir=out')


def _load(mistake: str, change: Callable) -> Case:
  return case.of(
      CHECKPOINTS, mistake,
      'export_weights --weights=out.safetensors --model=original', (), change)


def _unlearn(mistake: str, change: Callable) -> Case:
  return case.of(
      CHECKPOINTS, mistake,
      'unlearn --original=original --forget_people=2 --workdir=out', (), change)


def _largest():
  return str(max((p for p in pathlib.Path(_VARIABLES).rglob('*')
                  if p.is_file()), key=lambda p: p.stat().st_size))


def _whatever_the_sum(edit):
  """Damage below a card that states no checksum."""
  return edits.both(edits.fields(_CARD, 'sha256', None), edit)


def _import(mistake: str, *flags: str, change: Callable | None = None) -> Case:
  return case.of(WEIGHTS, mistake, _IMPORT, flags, change)


def _says(mistake: str, flags: tuple[str, ...] = (), **said: Any) -> Case:
  """What the metadata of the weights say of their use."""
  def edit():
    state = safetensors.numpy.load_file('weights.safetensors')
    safetensors.numpy.save_file(state, 'weights.safetensors', {
        'preprocessing': json.dumps(said)})
  return _import(mistake, *flags, change=edit)


def _tensors(mistake: str, change: Callable[[dict], Any]) -> Case:
  """``change`` alters the tensors by name, in place."""
  def edit():
    state = safetensors.numpy.load_file('weights.safetensors')
    change(state)
    safetensors.numpy.save_file(state, 'weights.safetensors')
  return _import(mistake, change=edit)


def _torch(mistake: str, content: Callable[[Any], Any]) -> Case:
  """``content`` gets PyTorch and makes what is saved."""
  def edit():
    import torch  # an extra
    torch.save(content(torch), 'weights.pth')
  return _import(mistake, '--weights=weights.pth', change=edit)


class Runs:
  """An object whose pickle would run a command."""

  def __reduce__(self):
    return functools.partial(pathlib.Path.touch), (pathlib.Path('touched'),)


def _everywhere(value):
  def change(state):
    for name, tensor in state.items():
      if tensor.dtype.kind == 'f':  # no counter
        state[name] = np.full_like(tensor, value)
  return change


_HEADER = (10**15).to_bytes(8, 'little') + b'{}'
_CLAIM = json.dumps({'x': {'dtype': 'F32', 'shape': [10**9, 10**9],
                           'data_offsets': [0, 4]}}).encode()

CASES = [
    _load('the run is not finished', lambda: shutil.rmtree(
        'original/checkpoints')),
    _load('the card is no text', edits.write(_CARD, bytes(range(256)))),
    _load('the card is nested 100,000 deep', edits.write(
        _CARD, '[' * 100_000)),
    _load('the arrays are gone', lambda: shutil.rmtree(_VARIABLES)),
    _load('an array file is cut short', lambda: edits.cut(_largest())()),
    _load('bytes of an array file were altered',
          lambda: edits.flip(_largest())()),
    _load('an array file was altered, and the checksum taken out',
          _whatever_the_sum(lambda: edits.cut(_largest())())),
    _load('the list of arrays is no JSON, and the checksum taken out',
          _whatever_the_sum(edits.write(f'{_VARIABLES}/_METADATA', '{'))),
    _unlearn('an unlearning run says that it is its own original', edits.both(
        edits.fields('original/config.json', 'kind', 'unlearn'),
        edits.fields('original/config.json', 'original_path', 'original'))),
    _unlearn('the model has other classes', edits.arrays(
        'faces.npz', smile=lambda a: np.arange(len(a)) % 3)),
    _import('the file is a folder', '--weights=folder.pth',
            change=lambda: pathlib.Path('folder.pth').mkdir()),
    _import('the safetensors file is empty', change=edits.write(
        'weights.safetensors', b'')),
    _import('the safetensors header claims 10^15 bytes', change=edits.write(
        'weights.safetensors', _HEADER)),
    _import('a tensor claims 10^18 numbers', change=edits.write(
        'weights.safetensors', len(_CLAIM).to_bytes(8, 'little') + _CLAIM
        + bytes(4))),
    _import('the .pth file is empty', '--weights=weights.pth',
            change=edits.write('weights.pth', b'')),
    _torch('the .pth file would run a command', lambda torch: {'x': Runs()}),
    _torch('the .pth file is a whole module, not a state dict',
           lambda torch: torch.nn.Linear(2, 2)),
    _torch('the .pth file holds one tensor', lambda torch: torch.zeros(3)),
    _torch('the .pth file holds a list', lambda torch: [torch.zeros(3)]),
    _torch('the .pth file holds nothing', lambda torch: {}),
    _torch('names of tensors are numbers', lambda torch: {1: torch.zeros(3)}),
    _torch('a tensor is sparse', lambda torch: {
        'conv1.weight': torch.zeros(3, 3).to_sparse()}),
    _torch('a tensor is quantised', lambda torch: {
        'fc._packed_params.dtype': torch.qint8, 'conv1.scale': torch.ones(1)}),
    _torch('a tensor has no values (meta)', lambda torch: {
        'conv1.weight': torch.zeros(3, device='meta')}),
    _torch('the .pth file holds two networks', lambda torch: {
        name: {'fc.bias': torch.zeros(2)} for name in 'ab'}),
    _torch('class_to_idx does not count from 0', lambda torch: {
        'state_dict': {'fc.bias': torch.zeros(2)},
        'class_to_idx': {'no': 1, 'yes': 2}}),
    _torch('the head has another number of outputs', lambda torch: {
        'fc.bias': torch.zeros(1000)}),
    _import('the checkpoint of an own network is a text',
            '--model=tests.models.own_nets:Own', '--weights=people.txt'),
    _import('the checkpoint of an own network is no checkpoint',
            '--model=tests.models.own_nets:Own', '--weights=photos'),
    _import('the own network returns probabilities',
            '--model=tests.models.own_nets:Softmax', '--weights=photos'),
    case.of(WEIGHTS, 'nobody says at which size the model was trained',
            _IMPORT.replace(' --image_size=16', '')),
    _import('the answers are no better than chance'),
    _import('channel_order of a network of your own', '--channel_order=bgr',
            '--model=tests.models.own_nets:Own', '--weights=photos'),
    _says('the metadata give two means', mean=[.5, .5]),
    _says('the metadata give a size of texts', image_size=['a', 'b']),
    _says('the metadata name an unknown part of a network',
          network={'depth': 18}),
    _says('the metadata give a deviation of 0', mean=[0, 0, 0], std=[0, 0, 0]),
    _tensors('a tensor is missing', lambda state: state.pop('fc.bias')),
    _tensors('a tensor is too many', lambda state: state.update(
        extra=np.zeros(3, np.float32))),
    _tensors('a tensor has another shape', lambda state: state.update(
        {'fc.bias': np.zeros(7, np.float32)})),
    _tensors('all weights are NaN', _everywhere(np.nan)),
    _tensors('a weight is infinite', lambda state: state.update(
        {'fc.bias': np.array([np.inf, 0], np.float32)})),
    _tensors('a running variance is below 0', lambda state: state.update(
        {'bn1.running_var': -state['bn1.running_var']})),
    _tensors('weights are complex numbers', lambda state: state.update(
        {'fc.bias': np.zeros(2, np.complex64)})),
]
