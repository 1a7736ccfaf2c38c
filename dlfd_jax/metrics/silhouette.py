"""How well classes keep apart in feature space."""

from __future__ import annotations

import numpy as np

from dlfd_jax.utils import validate


def silhouettes(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
  """Silhouette of each image for its class, ``[n]`` in [-1, 1].

  ``(b - a) / max(a, b)`` with a the mean Euclidean distance to the images of
  its own class and b the smallest mean distance to another class. Higher means
  clearer classes, 0 = between two, below 0 = nearer to another class; 0 for a
  class of one image. Features are taken as they are: a common scale, shift or
  rotation changes nothing.

  Args:
    features: ``[n, d]``, finite.
    labels: int class of each ``[n]``.

  Raises:
    ValueError: if lengths differ, a feature is not finite, or there are not at
      least two classes, one of them with two images.

  Reference: Rousseeuw (1987).
  """
  features = validate.floats('features', features)
  labels = validate.array('labels', labels)
  if (features.ndim != 2 or not features.size
      or labels.shape != features.shape[:1]):
    raise ValueError(
        f'Expected features [n, d] and labels [n], got {list(features.shape)} '
        f'and {list(labels.shape)}.')
  if not np.isfinite(features).all():
    raise ValueError('Expected finite features, got others.')
  classes = np.unique(labels).size
  if not 2 <= classes < labels.size:
    raise ValueError(
        'Expected at least two classes and more images than classes, got '
        f'{classes} classes of {labels.size} images.')
  size = np.abs(features).max()
  if size == 0:
    return np.zeros(len(labels))
  from sklearn import metrics  # takes most of a second
  return metrics.silhouette_samples(features / size, labels)
