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
from dlfd_jax.data import dataset as dataset_lib, shards, sources, splits
from dlfd_jax.models import weight_files
from dlfd_jax.pipeline import (
  chain,
  chain_checks,
  job,
  setups,
  weights as weights_lib,
)
from dlfd_jax.utils import plugins, validate

_IMPORT = """
Turns a PyTorch state dict into a model that `dlfd unlearn` takes as --original.

A model of your own is a flax module, --model=module:Class, with an orbax
checkpoint of its variables, or flax's msgpack, as --weights; what it must offer
stands in dlfd_jax/models/custom.py.

Four things have to be as in the model's own training: --image_size; --mean and
--std, by which it normalised; --channel_order; and the order of the classes,
which is read from class_to_idx or classes in the file, from --head_classes
(that of the weights alone) or --class_names (of the data, too). Without any of
these it is that of the data, and said. What export_weights wrote says all.

Some images are tried first. Where the answers are no better than chance, or
another usual set-up has at most half of the errors, nothing is imported, and
the flags of the set-up that fits are named. The accuracy on all images is
printed, and on each part where the data have a split.

  dlfd import_weights --weights=model.pth --data=faces.csv \\
      --labels=gender --image_size=128 --workdir=runs/original
  dlfd unlearn --original=runs/original --data=faces.csv \\
      --labels=gender --image_size=128 --forget_identities=delete.txt \\
      --workdir=runs/unlearned
"""
_EXPORT = """
Writes the model of a run as a PyTorch state dict, .pth or .safetensors, and
says how to use it; .safetensors holds that, too. A .stablehlo file is a program
with the weights in it, for jax.export, of batches of any number of images.

  dlfd export_weights --model=runs/unlearned \\
      --weights=unlearned.safetensors
"""
_STATISTICS = ('mean', 'std')


def _define_import(values: flags.FlagValues) -> None:
  inputs.define_run(values, trains=False)
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
  inputs.define_unverified(values)
  options.define((*options.DATA, *options.NETWORK), values)


def define_outputs(values: flags.FlagValues) -> None:
  """Flags that say what goes in and comes out of weights from elsewhere."""
  flags.DEFINE_string(
      'head_classes', None, 'what the outputs of the weights are, in their '
      'order: names with commas between, or a text file, one a line; default '
      'what the file says, else the order of the data', flag_values=values)
  for name in _STATISTICS:
    flags.DEFINE_list(
        name, [], "of the network's three channels, images in [0, 1]; default "
        "what an export says, else ImageNet's, of a module of your own 0 and "
        '1', flag_values=values)
  flags.DEFINE_enum(
      'channel_order', setups.RGB, list(setups.CHANNEL_ORDERS), 'bgr: the '
      'weights were trained on images as OpenCV reads them', flag_values=values)


def define_size(values: flags.FlagValues, path: str) -> None:
  """Takes the size of the images from an export, where no flag gives it.

  Args:
    values: the flags; ``--image_size`` is set.
    path: of the weights.

  Raises:
    ValueError: if nobody says at which size the model was trained: another one
      raises no error and ruins its answers.
  """
  source = shards.manifest_of(command.required(values, 'data'))
  if (command.value(values, 'image_size') is not None
      or source == sources.SYNTHETIC or source.lower().endswith('.json')):
    return
  size = weight_files.read_use(path).get('image_size')
  if size is None:
    raise ValueError(
        'Expected --image_size, the pixels a side that the model was trained '
        f'at, got none, and {path} does not say it' + (
            ' (none: as the images are stored).' if source.endswith('.npz')
            else '.'))
  if size[0] == size[1]:
    values['image_size'].value = str(size[0])


def read(path: str, dataset: dataset_lib.Dataset, network: presets.Network,
         values: flags.FlagValues, state: str | None) -> weights_lib.Imported:
  """The weights in a file, by the flags of :func:`define_outputs`.

  ``state`` names one of several sets of weights.
  """
  return weights_lib.import_weights(
      path, dataset, network, state=state,
      head_classes=_head_classes(values),
      channel_order=command.value(values, 'channel_order'),
      allow_unverified=command.value(values, chain_checks.FLAG),
      hooks=[command.Progress()], **statistics(values))


def network_of(path: str, values: flags.FlagValues) -> presets.Network:
  """The network of a file, by the flags, else as an export says."""
  return options.apply(weights_lib.network_of(path, presets.Network()),
                       options.NETWORK, values, 'the network')


def _execute_import(values: flags.FlagValues, line: str) -> dict[str, Any]:
  del line
  workdir = pathlib.Path(command.required(values, 'workdir'))
  weights = command.required(values, 'weights')
  before = _imported_before(workdir)
  if not before:
    checkpoint.check_empty(workdir)
  statistics(values)  # refuses before anything is read
  define_size(values, weights)
  data_options = inputs.data_options(None, values)
  network = network_of(weights, values)
  own = command.value(values, 'model')
  if own:
    if not plugins.is_spec(own):
      raise ValueError(f'Expected --model to be module:Class, got {own!r}.')
    network = dataclasses.replace(network, architecture=own)
  dataset = inputs.load_data(data_options, values)
  saved = read(
      weights, dataset, network, values, command.value(values, 'state'))
  record = chain.import_record(saved, dataset, weights, saved.allowed)
  if before:
    there = checkpoint.load_model(workdir)
    known = {name: value for name, value in record.items()
             if name != 'file' or name in before}  # not by earlier versions
    if (before, there.config, there.task, there.image_size) != (
        known, saved.config, saved.task, saved.image_size):
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
          'allowed': list(saved.allowed),
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
  names = inputs.read_names('head_classes', text) or [
      name.strip() for name in text.split(',') if name.strip()]
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
      'weights', None, 'file to write, .safetensors, .pth or .stablehlo',
      flag_values=values)
  inputs.define_unverified(values)


def _execute_export(values: flags.FlagValues, line: str) -> dict[str, Any]:
  del line
  model = job.judged(command.required(values, 'model'))
  path = command.required(values, 'weights')
  found = {'verification': chain_checks.check_run(model, 'model').settled(
      command.value(values, chain_checks.FLAG))}
  tensors = weights_lib.export_weights(
      model.saved, path, {'dlfd_jax': json.dumps(chain.exported(model))})
  command.say_verification(found)
  use, names = weights_lib.use_of(model.saved), model.saved.task.names
  print('Images: {} x {} pixels (height x width), {resize}; {channels}; values '
        'divided by 255'.format(*use['image_size'], **use) + (
            ', unnormalised: the program does the rest.'
            if path.endswith(weights_lib.PROGRAM) else
            f', less {validate.listed(use["mean"])}, divided by '
            f'{validate.listed(use["std"])}.'))
  print(f'Outputs: {validate.listed(names, 20)}.')
  print(f'{tensors} tensors: {path}')
  return {'weights': path, 'tensors': tensors, 'preprocessing': use,
          'classes': list(names), **found}


IMPORT = command.Command(
    'import_weights', _IMPORT, _define_import, _execute_import, most=(
        'weights', 'model', 'state', 'workdir', 'config', 'data', 'labels',
        'image_size', 'class_names', 'split_column', 'architecture', 'width',
        'stem', 'head_classes', 'mean', 'std', 'devices', 'json'),
    starts=lambda values: [presets.Network()])
EXPORT = command.Command(
    'export_weights', _EXPORT, _define_export, _execute_export)
