"""Weights in and out: from PyTorch or flax, to PyTorch, or as a program."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np

from dlfd_jax import checkpoint, loop, models, presets
from dlfd_jax.data import dataset as dataset_lib
from dlfd_jax.data.loaders import images as images_lib
from dlfd_jax.models import torch_weights, weight_files
from dlfd_jax.pipeline import class_order, classifier, setups
from dlfd_jax.utils import plugins, storage, text, validate, writes

PROGRAM = '.stablehlo'
_PLATFORMS = ('cpu', 'cuda', 'rocm', 'tpu')
_NETWORK = ('architecture', 'width', 'stem', 'head')
_SORTED_AS_TEXT = (
    '; a model trained on a tree of folders (ImageFolder) has them as texts, '
    '0, 1, 10, 11, 2: then give --head_classes')


@dataclasses.dataclass(frozen=True)
class Imported(checkpoint.SavedModel):
  """A classifier from elsewhere, its outputs in the order of the data's.

  Attributes:
    said: sentences on what was chosen, left out and assumed.
    class_order: who told the order of the head's outputs: ``'head_classes'``,
      ``'file'``, ``'class_names'`` that the data were read with, or
      ``'assumed'``, that of the data.
    allowed: sentences on why the set-up is likely wrong; the user went on.
  """

  said: tuple[str, ...]
  class_order: str
  allowed: tuple[str, ...]


def import_weights(path: str | os.PathLike, dataset: dataset_lib.Dataset,
                   network: presets.Network, *, state: str | None = None,
                   head_classes: Sequence[str] | None = None,
                   channel_order: str = setups.RGB,
                   allow_unverified: bool = False,
                   hooks: Sequence[loop.Hook] = (),
                   **statistics: Any) -> Imported:
  """A classifier that was trained elsewhere, once it is seen to work.

  Args:
    path: a ``.safetensors`` or ``.pth`` state dict; of a network of your own
      (``module:Class``) an orbax checkpoint or a file of flax's msgpack.
    dataset: says what the outputs mean and how large the images are.
    network: the weights are of.
    state: which of several sets of weights in the file, by its key or prefix.
    head_classes: the names of the head's outputs in their order; default what
      the file says, and that of the data if it says nothing.
    channel_order: ``'bgr'`` for weights that were trained on images as OpenCV
      reads them: the first kernel is turned, and so are the statistics.
    allow_unverified: go on where :func:`setups.check` finds the set-up wrong.
    hooks: told of the search for a better set-up.
    **statistics: ``mean`` and ``std`` that its training normalised by, pixel
      units, in the order of its channels; default what an export of this
      program says, else ImageNet's, of a network of your own 0 and 1.

  Raises:
    FileNotFoundError, ValueError: if the weights are not there or do not fit,
      or answer no better than chance, or much better in another set-up.
  """
  own = plugins.is_spec(network.architecture)
  validate.one_of('channel_order', channel_order, setups.CHANNEL_ORDERS)
  use = {} if own else weight_files.read_use(path)
  told: dict[str, Any] = {
      name: tuple(map(float, use[name])) for name in ('mean', 'std')
      if name in use and name not in statistics}
  if own:
    statistics = {'mean': (0.0,) * 3, 'std': (1.0,) * 3, **statistics}
    if channel_order != setups.RGB:
      raise ValueError(
          'Expected channel_order for weights of PyTorch, got it for '
          f'{network.architecture}: a network of your own turns the channels '
          'itself.')
  else:
    torch_weights.check_architecture(network.architecture)
  config = models.ModelConfig(
      outputs=dataset.task.num_outputs, **dataclasses.asdict(network),
      **(told | statistics))
  stored = None
  if own:
    variables, said = _own_variables(path, config, dataset.image_size, state)
  else:
    file = weight_files.read(path, state, with_classes=head_classes is None)
    tensors, more = torch_weights.matched(file.tensors, config, file.prefix)
    said, stored = [*file.said, *more], file.classes
    _check_outputs(tensors, config, stored or head_classes)
    variables = torch_weights.to_variables(tensors, config)
  said += _of_use(use, told, dataset)
  names, order, rows = dataset.task.names, 'assumed', None
  if head_classes is not None or stored is not None:
    order = 'file' if head_classes is None else 'head_classes'
    rows = class_order.rows_of(
        names, (head_classes if stored is None else stored) or (),
        '--head_classes' if stored is None else
        f'the classes in {path} (--head_classes gives others)')
    if (rows != np.arange(len(rows))).any():
      if own:
        raise ValueError(
            f'Expected the outputs of {network.architecture} in the order of '
            f'the data, {validate.listed(names)}: those of a network of your '
            'own are not put into another order.')
      variables = _permuted(variables, rows)
      said.append('put the outputs into the order of the data: '
                  + validate.listed(names))
  elif getattr(dataset.options, 'class_names', None):
    order = 'class_names'
    said.append('took the outputs in the order of --class_names: '
                + validate.listed(names))
  else:
    short = class_order.short(names)
    said.append('nothing says what the outputs are: assumed the order of the '
                f'data, {validate.listed(names)}' + _SORTED_AS_TEXT * (
                    not dataset.task.is_multilabel
                    and list(short) != sorted(short)))
  if channel_order != setups.RGB:
    variables, config = _turned(variables, config)
    said.append('turned the first kernel from BGR to RGB')
  saved = checkpoint.SavedModel(
      variables, config, dataset.task, dataset.image_size)
  found, more = setups.check(
      saved, dataset, os.fspath(path), rows, channel_order,
      not allow_unverified, hooks)
  allowed = found.settled(allow_unverified)['allowed']
  return Imported(variables, config, dataset.task, dataset.image_size,
                  (*said, *more, *allowed), order, tuple(allowed))


def network_of(path: str | os.PathLike,
               start: presets.Network) -> presets.Network:
  """The network that an export says it is of, in the place of ``start``'s.

  Raises:
    ValueError: if it says what is no network.
  """
  said = weight_files.read_use(path).get('network', {})
  if set(said) - set(_NETWORK):
    raise ValueError(f'Expected a network of {", ".join(_NETWORK)} in {path}, '
                     f'got {validate.listed(said)}.')
  return dataclasses.replace(start, **said)


def _of_use(use: Mapping[str, Any], told: Mapping[str, Any],
            dataset: dataset_lib.Dataset) -> list[str]:
  """Sentences on what the file says of its use."""
  said = []
  if told:
    said.append('took from the file ' + ' and '.join(
        f'{name} {validate.listed(value)}' for name, value in told.items()))
  size = use.get('image_size')
  if size and tuple(size) != dataset.image_size:
    said.append(
        f'the file says that it was trained at {size[0]} x {size[1]} pixels; '
        'the images are of {} x {}'.format(*dataset.image_size))
  return said


def _check_outputs(tensors: torch_weights.State, config: models.ModelConfig,
                   classes: Sequence[str] | None) -> None:
  """Raises ValueError if a head has another number of outputs than the data."""
  last = [name for path, name in torch_weights.names_of(config).items()
          if path[-2:] == ('classifier', 'bias')]
  outputs = [len(tensors[name]) for name in last
             if name in tensors and tensors[name].ndim == 1]
  if outputs and outputs[0] != config.outputs:
    more = (f', {validate.listed(classes)}'
            if classes and len(classes) == outputs[0] else '')
    raise ValueError(
        f'Expected {config.outputs} outputs, as many as the data have classes, '
        f'got a head of {outputs[0]}{more}: {last[0]} has shape '
        f'[{outputs[0]}].')


def _permuted(variables: models.Variables,
              rows: np.ndarray) -> models.Variables:
  """Variables whose output ``i`` is what ``rows[i]`` was."""
  params = dict(variables['params'])
  params['head'] = {**params['head'], 'classifier': {
      name: leaf[..., rows]
      for name, leaf in params['head']['classifier'].items()}}
  return {**variables, 'params': params}


def _turned(variables: models.Variables, config: models.ModelConfig
            ) -> tuple[models.Variables, models.ModelConfig]:
  """A network of images with their channels in the other order."""
  first = models.blocks(models.build(config))[0][0]
  params = dict(variables['params'])
  params[first] = {**params[first], 'kernel': np.ascontiguousarray(
      params[first]['kernel'][:, :, ::-1])}
  return {**variables, 'params': params}, dataclasses.replace(
      config, mean=config.mean[::-1], std=config.std[::-1])


def _own_variables(path: str | os.PathLike, config: models.ModelConfig,
                   image_size: tuple[int, int], state: str | None
                   ) -> tuple[models.Variables, list[str]]:
  model = models.build_for(config, image_size)
  like = models.shapes(model, image_size)
  # Variables without statistics are saved without the empty collection.
  kept = {name: tree for name, tree in like.items() if tree}
  variables, said = checkpoint.load_variables(path, kept, state)
  return {**{name: {} for name in like}, **variables}, said


def use_of(saved: checkpoint.SavedModel) -> dict[str, Any]:
  """What whoever uses exported weights has to know of their images."""
  return {
      'image_size': list(saved.image_size), 'resize': images_lib.HOW,
      'channels': 'RGB', 'range': [0, 1], 'mean': list(saved.config.mean),
      'std': list(saved.config.std), 'network': {
          name: getattr(saved.config, name) for name in _NETWORK}}


def export_weights(saved: checkpoint.SavedModel, path: str | os.PathLike,
                   metadata: Mapping[str, str] | None = None) -> int:
  """Writes a PyTorch state dict, or a program that needs neither package.

  The header of ``.safetensors`` also holds ``classes``, the names of the
  outputs, and ``preprocessing``, see :func:`use_of`, both as JSON. A program,
  ``.stablehlo``, is that of ``jax.export``, weights included: uint8
  ``[n, h, w, 3]`` of any n to float32 ``[n]`` by the name of each output,
  probabilities, on CPU, GPU and TPU.

  Args:
    saved: the classifier.
    path: a new file, ``.safetensors``, ``.pth`` or ``.stablehlo``.
    metadata: further texts for the header of safetensors.

  Returns:
    The number of tensors.

  Raises:
    FileExistsError, FileNotFoundError, ValueError: if it cannot be written.
  """
  if storage.local(path).suffix == PROGRAM:
    writes.check_new(path)
    program = _program(saved)
    writes.write_new(path, lambda file: file.write(program))
    return len(jax.tree.leaves(saved.variables))
  state = torch_weights.to_state(saved.variables, saved.config)
  weight_files.write(path, state, {
      'format': 'pt', 'classes': json.dumps(saved.task.names),
      weight_files.USE: json.dumps(use_of(saved)), **(metadata or {})})
  return len(state)


def _program(saved: checkpoint.SavedModel) -> bytes:
  config = saved.config
  if config.compute_dtype == 'auto':  # bfloat16 is slow where it is not native
    config = dataclasses.replace(config, compute_dtype='float32')
  answer = classifier.probabilities_of(config, saved.task)

  def by_name(images: jax.Array) -> dict[str, jax.Array]:
    return dict(zip(saved.task.names, answer(saved.variables, images).T,
                    strict=True))

  count, = jax.export.symbolic_shape('n')
  exported = jax.export.export(jax.jit(by_name), platforms=_PLATFORMS)(
      jax.ShapeDtypeStruct((count, *saved.image_size, 3), jnp.uint8))
  try:
    return bytes(exported.serialize())
  except ImportError as error:  # of flatbuffers, which jax does not require
    raise ValueError('Expected flatbuffers for a .stablehlo file: '
                     f'{text.by_extra("stablehlo")}.') from error
