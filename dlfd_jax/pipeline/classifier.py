"""Classifiers for use: images in, probabilities out."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dlfd_jax import checkpoint, models, parallel, tasks


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
    self._probabilities = jax.jit(probabilities_of(saved.config, saved.task))

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


def probabilities_of(config: models.ModelConfig, task: tasks.Task
                     ) -> Callable[[models.Variables, jax.Array], jax.Array]:
  """``(variables, uint8 [n, h, w, 3])`` to probabilities ``[n, outputs]``."""
  model = models.build(config)

  def probabilities(variables: models.Variables,
                    images: jax.Array) -> jax.Array:
    images = images.astype(jnp.float32) / 255.0
    outputs: Any = model.apply(variables, images, train=False)
    return (jax.nn.sigmoid(outputs.logits) if task.is_multilabel
            else jax.nn.softmax(outputs.logits))

  return probabilities
