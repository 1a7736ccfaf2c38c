"""Correlation collapse in numbers: what frozen features tell of whom they show.

Three metrics of tier 1 for one model, without intervals, for evaluations
that kept features but did not run tier 1.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np

from dlfd_jax.evaluation.estimate import Estimate
from dlfd_jax.metrics import features as features_lib

METRICS = ('probe_label_test', 'probe_people_test', 'silhouette_test')
MOST_PEOPLE = 100  # that the person probe tells apart


def measure(features: np.ndarray, labels: np.ndarray, identity: np.ndarray, *,
            seed: int = 0) -> dict[str, Estimate]:
  """Label probe, person probe and silhouette of one model's features.

  Args:
    features: ``[n, d]``, finite.
    labels: ``[n]``, or ``[n, a]`` with -1 unknown; of several attributes the
      mean counts.
    identity: person of each ``[n]``, -1 unknown.
    seed: of folds and halves.

  Returns:
    Accuracy balanced over classes on people the probe was not fitted to,
    accuracy averaged over people on the other half of their images, and the
    mean silhouette; a cell's reason says why a value is missing.
  """
  identity = np.asarray(identity, np.int64)
  columns = list(np.atleast_2d(np.asarray(labels).T))
  units = np.where(
      identity < 0, np.arange(len(identity)) + identity.max(initial=0) + 1,
      identity)
  return {
      'probe_label_test': _cell(lambda: float(np.mean([
          _label(features, column, units, seed) for column in columns]))),
      'probe_people_test': _cell(lambda: _people(features, identity, seed)),
      'silhouette_test': _cell(lambda: float(np.mean([
          _silhouette(features, column) for column in columns])))}


def _cell(metric: Callable[[], float]) -> Estimate:
  """The metric, or why the data do not allow it."""
  try:
    return Estimate(metric())
  except features_lib.TooFewError as error:
    return Estimate(None, reason=str(error))


def _label(features: np.ndarray, labels: np.ndarray, units: np.ndarray,
           seed: int) -> float:
  right = features_lib.labels_probe(features, labels, units, seed=seed)
  known = labels >= 0
  return features_lib.balanced(right[known], labels[known])


def _people(features: np.ndarray, identity: np.ndarray, seed: int) -> float:
  rows, right = features_lib.people_probe(
      features, identity, limit=MOST_PEOPLE, seed=seed)
  return features_lib.balanced(right, identity[rows])


def _silhouette(features: np.ndarray, labels: np.ndarray) -> float:
  known = labels >= 0
  return float(features_lib.silhouettes(features[known], labels[known]).mean())


def by_class(features: np.ndarray, labels: np.ndarray, names: Sequence[str],
             multilabel: bool) -> dict[str, Estimate]:
  """The mean silhouette of each class, or of each attribute's two sides.

  Args:
    features: ``[n, d]``, finite.
    labels: ``[n]``, or ``[n, a]`` with -1 unknown.
    names: of classes or attributes.
    multilabel: whether labels are attributes.
  """
  def of(k: int) -> float:
    if multilabel:
      return _silhouette(features, labels[:, k])
    if not (labels == k).any():
      raise features_lib.TooFewError('no test image of this class')
    return float(features_lib.silhouettes(features, labels)[labels == k].mean())

  return {name: _cell(functools.partial(of, k))
          for k, name in enumerate(names)}


def chance(labels: np.ndarray, identity: np.ndarray) -> tuple[float, float]:
  """What guessing gives: ``(label, person)`` accuracy, each in (0, 1].

  Example:
    >>> chance(np.array([0, 1, 1, 0]), np.array([4, 4, 7, 7]))
    (0.5, 0.5)
  """
  columns = np.atleast_2d(np.asarray(labels).T)
  by_label = [1 / max(np.unique(c[c >= 0]).size, 1) for c in columns]
  _, counts = np.unique(identity[identity >= 0], return_counts=True)
  people = min(int((counts > 1).sum()), MOST_PEOPLE)
  return float(np.mean(by_label)), 1 / max(people, 1)
