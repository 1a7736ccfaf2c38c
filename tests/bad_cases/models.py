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

from tests.bad_cases import edits
from tests.bad_cases.case import Case

CHECKPOINTS, WEIGHTS = 'Checkpoints', 'Weights from elsewhere'
_CARD = 'original/checkpoints/model/model.json'
_VARIABLES = 'original/checkpoints/model/variables'
_RUN = 'original/config.json'


def _load(mistake: str, change: Callable | None, *flags: str) -> Case:
  given = flags or ('--model=original',)
  return Case(CHECKPOINTS, mistake, (
      'export_weights', '--weights=out.safetensors', *given), change)


def _card(mistake: str, **changes: Any) -> Case:
  return _load(mistake, edits.fields(_CARD, **changes))


def _unlearn(mistake: str, change: Callable | None, *flags: str) -> Case:
  return Case(CHECKPOINTS, mistake, (
      'unlearn', '--original=original', '--forget_people=2', '--workdir=out',
      *flags), change)


def _run(mistake: str, **changes: Any) -> Case:
  return _unlearn(mistake, edits.fields(_RUN, **changes))


def _largest():
  return str(max((p for p in pathlib.Path(_VARIABLES).rglob('*')
                  if p.is_file()), key=lambda p: p.stat().st_size))


def _whatever_the_sum(edit):
  """Damage below a card that states no checksum."""
  return edits.both(edits.fields(_CARD, sha256=None), edit)


def _import(mistake: str, *flags: str, change: Callable | None = None) -> Case:
  given = {flag.split('=')[0] for flag in flags}
  kept = [flag for flag in (
      '--weights=weights.safetensors', '--data=faces.npz', '--labels=smile',
      '--image_size=16', '--width=2', '--stem=small', '--workdir=out')
          if flag.split('=')[0] not in given]
  return Case(WEIGHTS, mistake, ('import_weights', *kept, *flags), change)


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
    _load('there is no such run', None, '--model=nowhere'),
    _load('the run is not finished', lambda: shutil.rmtree(
        'original/checkpoints')),
    _load('the run is a file', None, '--model=people.txt'),
    _load('the card is no JSON', edits.write(_CARD, '{')),
    _load('the card is a list', edits.write(_CARD, '[1]')),
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
    _card('the model is of another version', schema=7),
    _card('the card lacks the network', model=...),
    _card('the network is a text', model='resnet18'),
    _card('the network has a field that nobody knows', model__depth=9),
    _card('the architecture is unknown', model__architecture='resnet999'),
    _card('the architecture is a function of the system',
          model__architecture='os:system'),
    _card('the architecture is in no module',
          model__architecture='no.such:Net'),
    _card('the width is another', model__width=4),
    _card('the width is 0', model__width=0),
    _card('the width is a text', model__width='wide'),
    _card('there are more outputs than names', model__outputs=3),
    _card('a channel has deviation 0', model__std=[0, 1, 1]),
    _card('a channel has a mean that is no number',
          model__mean=['a', 'b', 'c']),
    _card('two classes have one name', task__names=['a', 'a']),
    _card('a name is a number', task__names=[1, 2]),
    _card('the names are one text', task__names='ab'),
    _card('the kind of task is unknown', task__kind='ranking'),
    _card('the image size is 0', image_size=[0, 0]),
    _card('the image size is absurd', image_size=[10**9, 10**9]),
    _card('the image size is a text', image_size='small'),
    _unlearn('the config of the run is no JSON', edits.write(_RUN, '{')),
    _unlearn('the config of the run is a list', edits.write(_RUN, '[]')),
    _run('the config is of another kind of run', kind='evaluation'),
    _run('the config lacks the data', data=...),
    _run('the config has data that nobody knows', data__colour='red'),
    _run('the config names no labels', data__labels=[]),
    _run('the config has labels that are numbers', data__labels=[3]),
    _run('the config has thresholds of another shape', data__thresholds=[1]),
    _run('the config has a recipe without optimizer', train__optimizer=...),
    _run('the config has 0 epochs', train__epochs=0),
    _run('the config has a network of negative width', network__width=-1),
    _run('the data of the run have moved', data__source='moved.npz'),
    _run('an unlearning run says that it is its own original',
         kind='unlearn', original_path='original'),
    _run('an unlearning run does not say what its original was',
         kind='unlearn'),
    _unlearn('the model saw images of another size', None, '--image_size=12'),
    _unlearn('the model has other classes', edits.arrays(
        'faces.npz', smile=lambda a: np.arange(len(a)) % 3)),
    _import('there is no such file', '--weights=none.safetensors'),
    _import('the ending is unknown', '--weights=people.txt'),
    _import('the file is a folder', '--weights=folder.pth',
            change=lambda: pathlib.Path('folder.pth').mkdir()),
    _import('the safetensors file is empty', change=edits.write(
        'weights.safetensors', b'')),
    _import('the safetensors file is cut short',
            change=edits.cut('weights.safetensors')),
    _import('the safetensors header claims 10^15 bytes', change=edits.write(
        'weights.safetensors', _HEADER)),
    _import('a tensor claims 10^18 numbers', change=edits.write(
        'weights.safetensors', len(_CLAIM).to_bytes(8, 'little') + _CLAIM
        + bytes(4))),
    _import('the .pth file is text', '--weights=weights.pth',
            change=edits.write('weights.pth', 'hello')),
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
    _import('the network is wider', '--width=4'),
    _import('the head is another', '--head=paper'),
    _import('the architecture has no PyTorch twin', '--architecture=vit_s'),
    _import('there are two means', '--mean=0.5,0.5'),
    _import('a mean is a word', '--mean=a,b,c'),
    _import('a mean is not finite', '--mean=nan,0,0'),
    _import('a deviation is 0', '--std=0,1,1'),
    _import('the own network is no module:Class', '--model=resnet'),
    _import('the own network is in no module', '--model=no.such:Net'),
    _import('the own network is no flax module', '--model=json:JSONDecoder'),
    _import('the own network is no class', '--model=json:dumps'),
    _import('the folder holds files already', '--workdir=photos'),
    Case(WEIGHTS, 'the file to export to is there already', (
        'export_weights', '--model=original', '--weights=weights.safetensors')),
    Case(WEIGHTS, 'the folder to export to is not there', (
        'export_weights', '--model=original', '--weights=no/out.safetensors')),
    Case(WEIGHTS, 'the ending to export to is unknown', (
        'export_weights', '--model=original', '--weights=out.bin')),
]
