"""Using a saved classifier: one call from pixels to probabilities."""

from __future__ import annotations

import os
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
    model = models.build(saved.config)

    @jax.jit
    def probabilities(variables, images):
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
