"""Classifiers from elsewhere and for use: weights in and out, probabilities."""

from __future__ import annotations

import dataclasses
import os
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dlfd_jax import checkpoint, models, parallel, presets, tasks
from dlfd_jax.data import dataset as dataset_lib
from dlfd_jax.models import torch_weights, weight_files
from dlfd_jax.utils import plugins, validate


class Classifier:
  """A trained or unlearned classifier, ready for images.

  Attributes:
    task: names its outputs.
    image_size: (height, width) that it was trained on, pixels.
    variables: its parameters and statistics.
  """

  def __init__(self, saved: checkpoint.SavedModel):
    self.task: tasks.Task = saved.task
    self.image_size = saved.image_size
    self.variables = saved.variables
    model = models.build(saved.config)

    @jax.jit
    def probabilities(variables: models.Variables,
                      images: jax.Array) -> jax.Array:
      images = images.astype(jnp.float32) / 255.0
      outputs: Any = model.apply(variables, images, train=False)
      return (jax.nn.sigmoid(outputs.logits) if saved.task.is_multilabel
              else jax.nn.softmax(outputs.logits))

    self._probabilities = probabilities

  def predict(self, images: np.ndarray) -> np.ndarray:
    """Probabilities of classes, or of each attribute.

    Args:
      images: uint8 ``[n, h, w, 3]`` of the size the model was trained on.

    Returns:
      float32 ``[n, outputs]`` in [0, 1]; rows of a multiclass task sum to 1.

    Raises:
      ValueError: if the images have another type or shape.
    """
    images = np.asarray(images)
    if (images.dtype != np.uint8 or images.ndim != 4
        or images.shape[1:] != (*self.image_size, 3)):
      raise ValueError(
          f'Expected images uint8 [n, {self.image_size[0]}, '
          f'{self.image_size[1]}, 3], got {images.dtype} '
          f'{list(images.shape)}.')
    return parallel.fetch(self._probabilities(self.variables, images))


def load_classifier(folder: str | os.PathLike) -> Classifier:
  """The classifier of a run, or of a folder with a saved model.

  Raises:
    FileNotFoundError: if there is none.
    ValueError: if its files do not fit together.
  """
  return Classifier(checkpoint.load_model(folder))


@dataclasses.dataclass(frozen=True)
class Imported(checkpoint.SavedModel):
  """A classifier from elsewhere, its outputs in the order of the data's.

  Attributes:
    said: sentences on what was chosen, left out and assumed.
    class_order: who told the order of the head's outputs: ``'head_classes'``,
      ``'file'``, or ``'assumed'``, that of the data.
  """

  said: tuple[str, ...]
  class_order: str


def import_weights(path: str | os.PathLike, dataset: dataset_lib.Dataset,
                   network: presets.Network, *, state: str | None = None,
                   head_classes: Sequence[str] | None = None,
                   **statistics: Any) -> Imported:
  """A classifier that was trained elsewhere.

  Args:
    path: a ``.safetensors`` or ``.pth`` state dict; of a network of your own
      (``module:Class``) an orbax checkpoint or a file of flax's msgpack.
    dataset: says what the outputs mean and how large the images are.
    network: the weights are of.
    state: which of several sets of weights in the file, by its key or prefix.
    head_classes: the names of the head's outputs in their order; default what
      the file says, and that of the data if it says nothing.
    **statistics: ``mean`` and ``std`` that its training normalised by, pixel
      units; default ImageNet's, of a network of your own 0 and 1.

  Raises:
    FileNotFoundError, ValueError: if the weights are not there or do not fit.
  """
  own = plugins.is_spec(network.architecture)
  if own:
    statistics = {'mean': (0.0,) * 3, 'std': (1.0,) * 3, **statistics}
  else:
    torch_weights.check_architecture(network.architecture)
  config = models.ModelConfig(
      outputs=dataset.task.num_outputs, **dataclasses.asdict(network),
      **statistics)
  if own:
    variables, said = _own_variables(path, config, dataset.image_size, state)
    stored = None
  else:
    file = weight_files.read(path, state, with_classes=head_classes is None)
    tensors, more = torch_weights.matched(file.tensors, config, file.prefix)
    said, stored = [*file.said, *more], file.classes
    _check_outputs(tensors, config, stored or head_classes)
    variables = torch_weights.to_variables(tensors, config)
  names, order = dataset.task.names, 'assumed'
  if head_classes is not None or stored is not None:
    order = 'file' if head_classes is None else 'head_classes'
    rows = _rows_of(
        names, (head_classes if stored is None else stored) or (),
        '--head_classes' if stored is None else f'the classes in {path}')
    if (rows != np.arange(len(rows))).any():
      if own:
        raise ValueError(
            f'Expected the outputs of {network.architecture} in the order of '
            f'the data, {validate.listed(names)}: those of a network of your '
            'own are not put into another order.')
      variables = _permuted(variables, rows)
      said.append('put the outputs into the order of the data: '
                  + validate.listed(names))
  else:
    said.append('nothing says what the outputs are: assumed the order of the '
                f'data, {validate.listed(names)}' + _SORTED_AS_TEXT * (
                    len(names) >= 10 and all(map(_NUMBERED.match, names))))
  return Imported(variables, config, dataset.task, dataset.image_size,
                  tuple(said), order)


# Classes that are integers are called by their column: "age 0", "age 1".
_NUMBERED = re.compile(r'(?:.* )?(\d+)$')
_SORTED_AS_TEXT = (
    '; a model trained on a tree of folders (ImageFolder) has them as texts, '
    '0, 1, 10, 11, 2: then give --head_classes')


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


def _rows_of(names: Sequence[str], head: Sequence[str],
             where: str) -> np.ndarray:
  """The head's row of every class of the data.

  Classes that are integers may be called by their numbers alone.

  Raises:
    ValueError: if the two do not have the same classes, each once.
  """
  numbered = all(map(_NUMBERED.match, names))

  def key(name: str) -> str:
    name = unicodedata.normalize('NFC', name).strip()
    if numbered and (name in names or name.isdecimal()):
      return str(int(name.rpartition(' ')[2]))
    return name

  rows = {key(name): i for i, name in enumerate(head)}
  unknown = [name for name in head if key(name) not in map(key, names)]
  lacking = [name for name in names if key(name) not in rows]
  if unknown or lacking or len(head) != len(names):
    raise ValueError(
        f'Expected each class of the data once in {where}, '
        f'{validate.listed(names)}, got {validate.listed(head)}'
        + (f'; the data have no {validate.listed(unknown)}' if unknown else '')
        + (f'; {validate.listed(lacking)} is missing' if lacking else '') + '.')
  return np.array([rows[key(name)] for name in names])


def _permuted(variables: models.Variables,
              rows: np.ndarray) -> models.Variables:
  """Variables whose output ``i`` is what ``rows[i]`` was."""
  params = dict(variables['params'])
  params['head'] = {**params['head'], 'classifier': {
      name: leaf[..., rows]
      for name, leaf in params['head']['classifier'].items()}}
  return {**variables, 'params': params}


def _own_variables(path: str | os.PathLike, config: models.ModelConfig,
                   image_size: tuple[int, int], state: str | None
                   ) -> tuple[models.Variables, list[str]]:
  model = models.build_for(config, image_size)
  like = jax.eval_shape(
      lambda key: models.init(model, key, image_size), jax.random.key(0))
  # Variables without statistics are saved without the empty collection.
  kept = {name: tree for name, tree in like.items() if tree}
  variables, said = checkpoint.load_variables(path, kept, state)
  return {**{name: {} for name in like}, **variables}, said


def export_weights(saved: checkpoint.SavedModel, path: str | os.PathLike,
                   metadata: Mapping[str, str] | None = None) -> int:
  """Writes a PyTorch state dict, ``.pth`` or ``.safetensors``.

  Args:
    saved: the classifier.
    path: a new file.
    metadata: texts for the header of safetensors.

  Returns:
    The number of tensors.
  """
  state = torch_weights.to_state(saved.variables, saved.config)
  weight_files.write(path, state, metadata)
  return len(state)
