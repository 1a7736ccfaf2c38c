"""Distances of answers in ``per_example.npz``, and the figures they give again.

What the figures of two releases and of nearness are computed from, beside the
losses: whoever has the arrays needs no model to check them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from dlfd_jax import tasks
from dlfd_jax.data import splits as splits_lib
from dlfd_jax.evaluation import nearer as nearer_lib, releases
from dlfd_jax.evaluation.inputs import Inputs, Model
from dlfd_jax.metrics import attack, nearer

Arrays = Mapping[str, np.ndarray]
_OF_MODELS = ('retain', 'forget', 'test')


def distances(inputs: Inputs, splits: splits_lib.Splits
              ) -> dict[str, np.ndarray]:
  """Of every later version to the original, of the unlearned one to all.

  Returns:
    ``{model}/{split}/outputs_to_original``; of ``unlearned`` on forget and test
    also ``outputs_to_retrained_{i}``, and on forget the same of ``features``;
    float32 ``[n]``, all images of the split, NaN without a known label. What
    was not given is left out.
  """
  original, unlearned = inputs.original, inputs.unlearned
  if original is None:
    return {}
  wanted: list[tuple[Model, Model, str, str]] = [
      (model, original, nearer_lib.OUTPUTS, split)
      for model in inputs.models if model is not original
      for split in _OF_MODELS]
  if unlearned is not None:
    wanted.append((unlearned, original, nearer_lib.FEATURES, 'forget'))
    wanted += [(unlearned, other, *pair) for other in inputs.retrained
               for pair in nearer_lib.COMPARED]
  found = {}
  for model, other, what, split in wanted:
    if nearer_lib.missing((model, other), what, split) is None:
      values = np.full(len(splits.parts[split]), np.nan, np.float32)
      values[inputs.parts[split].rows] = nearer_lib.distance(
          inputs, model, other, what, split)
      found[f'{model.name}/{split}/{what}_to_{other.name}'] = values
  return found


def figures(arrays: Arrays, model: str) -> dict[str, float]:
  """Values of the metrics that stored losses and distances give again.

  Args:
    arrays: as in ``per_example.npz``.
    model: whose figures; those of nearness are of ``unlearned``.
  """
  stay = releases.STAY
  found = {
      'mia_auc_retain': _matched(arrays, _losses(arrays, model, stay), stay),
      'mia_auc_retain_person': attack.person_auc(
          *_losses(arrays, model, stay),
          *(arrays[f'{split}/identity'][_known(arrays, split)]
            for split in stay))}
  if f'original/{stay[0]}/loss' in arrays and model != 'original':
    before = figures(arrays, 'original')
    for name, text in (('mia_auc_retain', 'retain_exposure'),
                       ('mia_auc_retain_person', 'retain_exposure_person')):
      found[text] = found[name] - before[name]
    for against, ending in (('test', ''), ('retain', '_retain')):
      found |= {f'two_releases{ending}{name}': _matched(
          arrays, sides, ('forget', against))
                for name, sides in _changes(arrays, model, against).items()}
  found |= _nearness(arrays, model)
  return {name: value for name, value in found.items() if np.isfinite(value)}


def _known(arrays: Arrays, split: str) -> np.ndarray:
  labels = arrays[f'{split}/labels']
  if labels.ndim == 1:
    return np.ones(len(labels), bool)
  known: np.ndarray = (labels != tasks.UNKNOWN).any(axis=1)
  return known


def _losses(arrays: Arrays, model: str,
            splits: Sequence[str]) -> list[np.ndarray]:
  """Minus the loss of the images with a label."""
  return [-arrays[f'{model}/{split}/loss'][_known(arrays, split)].astype(
      np.float64) for split in splits]


def _changes(arrays: Arrays, model: str,
             against: str) -> dict[str, list[np.ndarray]]:
  """Scores on forget and on another split, by the end of the metric's name."""
  splits = ('forget', against)
  rises = [before - after for before, after in zip(*(
      _losses(arrays, name, splits) for name in ('original', model)))]
  found = {'': rises, '_two_sided': [np.abs(rise) for rise in rises]}
  moved = [f'{model}/{split}/outputs_to_original' for split in splits]
  if set(moved) <= set(arrays):
    found['_outputs'] = [arrays[name][_known(arrays, split)]
                         for name, split in zip(moved, splits)]
  return found


def _matched(arrays: Arrays, scores: Sequence[np.ndarray],
             splits: Sequence[str]) -> float:
  """Class-matched AUC, NaN where no class is on both sides."""
  labels = [arrays[f'{split}/labels'][_known(arrays, split)]
            for split in splits]
  rows = np.concatenate(labels)
  keys = np.unique(rows, axis=0, return_inverse=True)[1].reshape(-1)
  cut = len(labels[0])
  sides = [keys[:cut], keys[cut:]]
  shared = np.isin(sides[0], sides[1]).any()
  if rows.ndim > 1 and ((rows < 0).any() or not shared):
    sides = [np.zeros_like(side) for side in sides]
  elif not shared:
    return float('nan')
  return attack.class_matched_auc(*scores, *sides, draws=None)


def _nearness(arrays: Arrays, model: str) -> dict[str, float]:
  found = {}
  for what, split in nearer_lib.COMPARED:
    start = f'{model}/{split}/{what}_to_'
    others = [values for name, values in arrays.items()
              if name.startswith(f'{start}retrained_')]
    if f'{start}original' in arrays and others:
      found[f'nearer_{what}_{split}'] = float(nearer.nearness(
          np.nanmean(arrays[f'{start}original'], dtype=np.float64),
          np.nanmean(others, dtype=np.float64)))
  return found
