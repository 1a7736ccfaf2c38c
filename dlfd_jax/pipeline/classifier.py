"""Classifiers from elsewhere and for use: weights in and out, probabilities."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dlfd_jax import checkpoint, models, parallel, presets, tasks
from dlfd_jax.data import dataset as dataset_lib
from dlfd_jax.models import torch_weights
from dlfd_jax.utils import plugins


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


def import_weights(path: str | os.PathLike, dataset: dataset_lib.Dataset,
                   network: presets.Network,
                   **statistics: Any
                   ) -> checkpoint.SavedModel:
  """A classifier that was trained elsewhere.

  Args:
    path: a ``.safetensors`` or ``.pth`` state dict; of a network of your own
      (``module:Class``) the folder of an orbax checkpoint.
    dataset: says what the outputs mean and how large the images are.
    network: the weights are of.
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
  variables = (
      _own_variables(path, config, dataset.image_size) if own else
      torch_weights.to_variables(torch_weights.read(path), config))
  return checkpoint.SavedModel(
      variables, config, dataset.task, dataset.image_size)


def _own_variables(path: str | os.PathLike, config: models.ModelConfig,
                   image_size: tuple[int, int]) -> Mapping[str, Any]:
  model = models.build_for(config, image_size)
  like = jax.eval_shape(
      lambda key: models.init(model, key, image_size), jax.random.key(0))
  # Variables without statistics are saved without the empty collection.
  kept = {name: tree for name, tree in like.items() if tree}
  return {**{name: {} for name in like},
          **checkpoint.load_variables(path, kept)}


def export_weights(saved: checkpoint.SavedModel, path: str | os.PathLike
                   ) -> int:
  """Writes a PyTorch state dict, ``.pth`` or ``.safetensors``.

  Returns:
    The number of tensors.
  """
  state = torch_weights.to_state(saved.variables, saved.config)
  torch_weights.write(path, state)
  return len(state)
