"""``import_weights`` and ``export_weights``: PyTorch state dicts in and out."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from absl import flags

from dlfd_jax import checkpoint, models, predict, presets
from dlfd_jax.cli import command, inputs, options
from dlfd_jax.data import dataset as dataset_lib, splits
from dlfd_jax.pipeline import chain, classifier, job
from dlfd_jax.utils import files, plugins, validate

_IMPORT = """
Turns a PyTorch state dict into a model that `dlfd unlearn` takes as --original.

A model of your own is a flax module, --model=module:Class, with an orbax
checkpoint of its variables, or flax's msgpack, as --weights; what it must offer
stands in dlfd_jax/models/custom.py.

The data say which classes there are and how large the images are. In which
order the outputs have them is read from class_to_idx or classes in the file, or
from --head_classes; without either it is that of the data, and said. --mean and
--std are what the model's own training normalised by. The accuracy on all
images is printed, and on each part where the data have a split: if it is far
from what you know, one of these is wrong.

  dlfd import_weights --weights=model.pth --data=faces.csv \\
      --labels=gender --image_size=128 --workdir=runs/original
  dlfd unlearn --original=runs/original --data=faces.csv \\
      --labels=gender --image_size=128 --forget_identities=delete.txt \\
      --workdir=runs/unlearned
"""
_EXPORT = """
Writes the model of a run as a PyTorch state dict, .pth or .safetensors.

  dlfd export_weights --model=runs/unlearned \\
      --weights=unlearned.pth
"""
_STATISTICS = ('mean', 'std')


def _define_import(values: flags.FlagValues) -> None:
  inputs.define_run(values)
  flags.DEFINE_string(
      'weights', None, '.safetensors or .pth file; with --model the folder of '
      'an orbax checkpoint or a file of flax.serialization.to_bytes',
      flag_values=values)
  flags.DEFINE_string(
      'model', None, 'module:Class of your own flax module', flag_values=values)
  flags.DEFINE_string(
      'state', None, 'which of several sets of weights in the file: its key, '
      'such as state_dict_ema, or the prefix of its names', flag_values=values)
  define_outputs(values)
  options.define((*options.DATA, *options.NETWORK), values)


def define_outputs(values: flags.FlagValues) -> None:
  """Flags that say what goes in and comes out of weights from elsewhere."""
  flags.DEFINE_string(
      'head_classes', None, 'what the outputs of the weights are, in their '
      'order: names with commas between, or a text file, one a line; default '
      'what the file says, else the order of the data', flag_values=values)
  for name in _STATISTICS:
    flags.DEFINE_list(
        name, [], 'of the three channels, images in [0, 1]; default '
        "ImageNet's, of a module of your own 0 and 1", flag_values=values)


def read(path: str, dataset: dataset_lib.Dataset, network: presets.Network,
         values: flags.FlagValues) -> classifier.Imported:
  """The weights in a file, by the flags of :func:`define_outputs`."""
  return classifier.import_weights(
      path, dataset, network, state=command.value(values, 'state'),
      head_classes=_head_classes(values), **statistics(values))


def _execute_import(values: flags.FlagValues, line: str) -> dict[str, Any]:
  del line
  workdir = pathlib.Path(command.required(values, 'workdir'))
  weights = command.required(values, 'weights')
  before = _imported_before(workdir)
  if not before:
    checkpoint.check_empty(workdir)
  data_options = inputs.data_options(None, values)
  network = options.apply(
      presets.Network(), options.NETWORK, values, 'the network')
  statistics(values)  # refuses before anything is read
  own = command.value(values, 'model')
  if own:
    if not plugins.is_spec(own):
      raise ValueError(f'Expected --model to be module:Class, got {own!r}.')
    network = dataclasses.replace(network, architecture=own)
  dataset = inputs.load_data(data_options, values)
  saved = read(weights, dataset, network, values)
  record = chain.import_record(saved, dataset)
  if before:
    there = checkpoint.load_model(workdir)
    if (before, there.config, there.task, there.image_size) != (
        record, saved.config, saved.task, saved.image_size):
      checkpoint.check_empty(workdir)  # another model: refused
  devices = inputs.devices(values)
  parts = {}
  if dataset.split is not None:
    parts = {name: np.flatnonzero(dataset.split == name)
             for name in dict.fromkeys((*splits.PARTITION_PARTS,
                                        *splits.SPLITS_PARTS))
             if (dataset.split == name).any()}
  used = inputs.say_used(
      dataset, network=saved.config, devices=devices, parts=parts,
      split_from=inputs.split_from(values, dataset, None))
  parts = {'all': np.arange(len(dataset)), **parts}
  found = job.accuracies(
      predict.Predictor(models.build(saved.config), dataset, devices),
      saved.variables, dataset, parts)
  if not before:
    checkpoint.save_model(workdir, saved.variables, saved.config, saved.task,
                          saved.image_size, imported=record)
  leaves = len(jax.tree.leaves(saved.variables))
  for sentence in saved.said:
    print(f'{sentence}.')
  print(f'{leaves} arrays; accuracy on ' + ', '.join(
      f'{name} {len(parts[name])} images {value:.3f}'
      for name, value in found.items()) + f': {workdir}')
  return {'workdir': str(workdir), 'arrays': leaves, 'images': len(dataset),
          'classes': list(saved.task.names), 'used': used,
          'class_order': saved.class_order, 'said': list(saved.said),
          'accuracy': found['all'], 'accuracy_by_part': {
              name: found[name] for name in parts if name != 'all'}}


def _imported_before(workdir: pathlib.Path) -> Mapping[str, Any]:
  """What is recorded of a whole import there, nothing if there is none.

  A command that was stopped after its last file may be given again.
  """
  try:
    return checkpoint.imported(workdir)
  except FileNotFoundError:
    return {}


def _head_classes(values: flags.FlagValues) -> list[str] | None:
  """The names that ``--head_classes`` gives, or the file that it names."""
  text = command.value(values, 'head_classes')
  if text is None:
    return None
  names = text.split(',')
  if files.is_there(text):
    files.check_file(text, '--head_classes to be names or a text file')
    try:
      names = pathlib.Path(text).read_text('utf-8-sig').splitlines()
    except UnicodeDecodeError as error:
      raise ValueError('Expected --head_classes to be a file in UTF-8, got '
                       f'{text}.') from error
  names = [name.strip() for name in names if name.strip()]
  if len(set(names)) != len(names) or not names:
    raise ValueError('Expected --head_classes to name every output once, got '
                     f'{validate.listed(names) or "none"}.')
  return names


def statistics(values: flags.FlagValues) -> dict[str, tuple[float, ...]]:
  """The normalisation that the flags give."""
  return {name: _three(values, name) for name in _STATISTICS
          if command.value(values, name)}


def _three(values, name):
  texts = command.value(values, name)
  try:
    numbers = tuple(float(text) for text in texts)
  except ValueError as error:
    raise ValueError(
        f'Expected --{name} to be three numbers, got {texts}.') from error
  if len(numbers) != 3:
    raise ValueError(f'Expected --{name} to be three numbers, got {texts}.')
  return numbers


def _define_export(values: flags.FlagValues) -> None:
  flags.DEFINE_string(
      'model', None, 'run or folder of the model', flag_values=values)
  flags.DEFINE_string(
      'weights', None, 'file to write, .safetensors or .pth',
      flag_values=values)
  inputs.define_unverified(values)


def _execute_export(values: flags.FlagValues, line: str) -> dict[str, Any]:
  del line
  model = job.judged(command.required(values, 'model'))
  path = command.required(values, 'weights')
  found = {'verification': chain.check_run(model, 'model').settled(
      command.value(values, chain.FLAG))}
  tensors = classifier.export_weights(
      model.saved, path, {'dlfd_jax': json.dumps(chain.exported(model))})
  command.say_verification(found)
  print(f'{tensors} tensors: {path}')
  return {'weights': path, 'tensors': tensors, **found}


IMPORT = command.Command(
    'import_weights', _IMPORT, _define_import, _execute_import, most=(
        'weights', 'model', 'state', 'workdir', 'config', 'data', 'labels',
        'image_size', 'class_names', 'split_column', 'architecture', 'width',
        'stem', 'head_classes', 'mean', 'std', 'devices', 'json'),
    starts=lambda values: [presets.Network()])
EXPORT = command.Command(
    'export_weights', _EXPORT, _define_export, _execute_export)
