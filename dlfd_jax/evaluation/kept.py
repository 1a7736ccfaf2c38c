"""What unlearning cost in accuracy, from logits."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from dlfd_jax.data import dataset as dataset_lib, splits as splits_lib
from dlfd_jax.metrics import accuracy, usable

LEARNT = 'learnt'  # of each image of a part: the method learnt from it


def drops(outputs: Mapping[str, Any], dataset: dataset_lib.Dataset,
          splits: splits_lib.Splits, learnt: Mapping[str, np.ndarray]
          ) -> list[usable.AccuracyDrop]:
  """What was lost on each part, see ``usable.accuracy_drops``.

  Images that the method learnt from do not count, nor what is forgotten whole.

  Args:
    outputs: logits by model and part, see :func:`~.run.evaluate`.
    dataset: the data.
    splits: its parts.
    learnt: see :func:`arrays`, by part.
  """
  return usable.accuracy_drops(*(
      _right(outputs.get(model) or {}, dataset, splits, learnt)
      for model in ('original', 'unlearned')))


def arrays(dataset: dataset_lib.Dataset, splits: splits_lib.Splits,
           sample_ids: Collection[str]) -> dict[str, np.ndarray]:
  """Which images of a part a method learnt from beside retain and forget.

  Args:
    dataset: the data.
    splits: its parts.
    sample_ids: of what was set aside for the method.

  Returns:
    Bool ``[n]`` by part, of those parts alone that have such images.
  """
  found = {part: np.isin(dataset.sample_id[rows], list(sample_ids))
           for part, rows in splits.parts.items()}
  return {part: inside for part, inside in found.items() if inside.any()}


def _right(logits: Mapping[str, np.ndarray], dataset: dataset_lib.Dataset,
           splits: splits_lib.Splits, learnt: Mapping[str, np.ndarray]
           ) -> dict[str, usable.PartAccuracy]:
  """What a model has right of each part that it was asked about."""
  found = {}
  for part, of_part in logits.items():
    rows = splits.parts[part]
    judged = np.isin(rows, splits.stays(part))
    judged &= ~learnt.get(part, np.zeros(len(rows), bool))
    if judged.any():
      found[part] = usable.PartAccuracy(
          accuracy.accuracy(dataset.task, of_part[judged],
                            dataset.labels[rows[judged]]),
          dataset.identity[rows[judged]])
  return found
