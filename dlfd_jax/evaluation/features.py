"""The values of metrics that read frozen features: probes, silhouettes, CKA."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dlfd_jax.evaluation import inputs as inputs_lib
from dlfd_jax.evaluation.estimate import SHARE, Estimate, mean
from dlfd_jax.evaluation.inputs import Inputs, Model, Part, once
from dlfd_jax.evaluation.outputs import (
  NO_ORIGINAL,
  SIDES,
  mean_over,
  resampled_counts,
)
from dlfd_jax.metrics import accuracy, features as features_lib, stats

NO_FEATURES = 'no features were given'
PERMUTED, CKA = 'permuted', 'cka'  # kinds of kept figures beside the probes


def _of_features(*splits: str) -> Callable[..., Any]:
  """A metric of features on splits; missing if there are none, or too few."""
  def decorate(function: Callable[..., Estimate]) -> Callable[..., Estimate]:
    @functools.wraps(function)
    def call(inputs: Inputs, model: Model, *args: Any) -> Estimate:
      if not set(splits) <= set(model.features):
        return Estimate.missing(NO_FEATURES)
      try:
        return _kept(inputs, kept_name(function.__name__, model.name, *args),
                     lambda: function(inputs, *(
                         model.features[split] for split in splits), *args))
      except features_lib.TooFewError as error:
        return Estimate.refused(error)

    return once(call)

  return decorate


def kept_name(kind: str, *names: Any) -> str:
  """The name of a kept figure; with ``''`` what those of a kind begin with.

  Example:
    >>> kept_name(CKA, 'test', 'original'), kept_name(CKA, '')
    ('figures/cka/test/original', 'figures/cka/')
  """
  return '/'.join(('figures', kind, *map(str, names)))


def _kept(inputs: Inputs, name: str,
          make: Callable[[], Estimate]) -> Estimate:
  """An estimate that takes long, see :func:`kept_name`."""
  return Estimate.of_arrays(inputs.keep(name, lambda: make().arrays()))


@_of_features(*SIDES)
def probe_membership(inputs: Inputs, forget: np.ndarray,
                     test: np.ndarray) -> Estimate:
  """Balanced accuracy of a probe for forget against unseen people."""
  parts = [inputs.parts[split] for split in SIDES]
  right = features_lib.membership_probe(
      forget, test, *(part.units for part in parts),
      folds=inputs.reference_config.probe_folds, seed=inputs.config.seed)
  sums = [part.resampled_sums(np.stack([r, np.ones_like(r)], axis=-1))
          for part, r in zip(parts, right)]
  return Estimate.resampled(
      float(np.mean([r.mean() for r in right])),
      np.mean([s[:, 0] / s[:, 1] for s in sums], axis=0),
      inputs.fewest(*SIDES), SHARE)


def random_network(inputs: Inputs,
                   value: Callable[[Inputs, Model], Estimate]) -> list[str]:
  """A sentence on the metric of a randomly initialised network, if known."""
  estimate = value(inputs, inputs.random)
  if estimate.value is None:
    return []
  return [f'A randomly initialised network: {estimate.value:.3f}.']


def membership_notes(inputs: Inputs,
                     value: Callable[[Inputs, Model], Estimate]) -> list[str]:
  """Also a sentence on the unlearned model's probe when people swap sides."""
  notes = random_network(inputs, value)
  parts = [inputs.parts[split] for split in SIDES]
  model = inputs.unlearned
  if model is None or not set(SIDES) <= set(model.features) or (
      min(part.n_units for part in parts) < 2):
    return notes
  features = [model.features[split] for split in SIDES]
  values = inputs.keep(kept_name(PERMUTED, model.name), lambda: {
      'values': features_lib.permuted_membership_probe(
          *features, *(part.units for part in parts),
          permutations=inputs.reference_config.probe_permutations,
          folds=inputs.reference_config.probe_folds,
          seed=inputs.config.seed)})['values']
  return [*notes, 'With people swapped between the sides: '
          f'{values.mean():.3f}, from {values.min():.3f} to '
          f'{values.max():.3f} in {len(values)} draws.']


def _probe_people(inputs: Inputs, split: str, features: np.ndarray) -> Estimate:
  part = inputs.parts[split]
  if part.unit != 'person':
    raise features_lib.TooFewError('Expected several known people.')
  rows, right = features_lib.people_probe(
      features, part.identity, limit=inputs.reference_config.probe_people,
      seed=inputs.config.seed)
  units = part.units[rows]
  tried = np.bincount(units, minlength=part.n_units)
  hits = np.bincount(units, right, part.n_units)
  share = np.divide(hits, tried, out=np.zeros(part.n_units), where=tried > 0)
  return Estimate.resampled(
      float(share[tried > 0].mean()),
      part.resampled_share(np.stack([share, tried > 0], 1)),
      int((tried > 0).sum()), SHARE)


@_of_features('forget')
def probe_people_forget(inputs: Inputs, features: np.ndarray) -> Estimate:
  """Accuracy of a probe for the person, on forget."""
  return _probe_people(inputs, 'forget', features)


@_of_features('test')
def probe_people_test(inputs: Inputs, features: np.ndarray) -> Estimate:
  """Accuracy of a probe for the person, on test."""
  return _probe_people(inputs, 'test', features)


def _targets(inputs: Inputs, attribute: str | None) -> list[np.ndarray]:
  """Classes of test images: of the task, or of one attribute or all of them."""
  labels = inputs.parts['test'].labels
  if not inputs.task.is_multilabel:
    return [labels]
  if attribute is not None:
    return [labels[:, inputs.task.names.index(attribute)]]
  return list(labels.T)


@_of_features('test')
def probe_label(inputs: Inputs, features: np.ndarray,
                attribute: str | None = None) -> Estimate:
  """Balanced accuracy of a probe for the label, on people it never saw."""
  part = inputs.parts['test']
  estimates = []
  for labels in _targets(inputs, attribute):
    right = features_lib.labels_probe(
        features, labels, part.units,
        folds=inputs.reference_config.probe_folds, seed=inputs.config.seed)
    classes = np.unique(labels[labels >= 0])
    tries = (labels[:, None] == classes).astype(np.float64)
    hits = tries * np.nan_to_num(right)[:, None]
    estimates.append(resampled_counts(part, accuracy.Counts(hits, tries)))
  return mean(estimates)


@_of_features('test')
def silhouette(inputs: Inputs, features: np.ndarray,
               name: str | None = None) -> Estimate:
  """Mean silhouette of test images, of all or of one class or attribute."""
  task, part = inputs.task, inputs.parts['test']
  estimates = []
  for labels in _targets(inputs, name if task.is_multilabel else None):
    known = labels >= 0
    values = np.full(len(labels), np.nan)
    values[known] = features_lib.silhouettes(features[known], labels[known])
    if not task.is_multilabel and name is not None:
      values[labels != task.names.index(name)] = np.nan
    estimates.append(mean_over(part, values))
  return mean(estimates)


@once
def _jackknife(inputs: Inputs, split: str) -> list[np.ndarray]:
  """Images of each group of people that the jackknife leaves out."""
  part: Part = inputs.parts[split]
  rng = inputs_lib.generator(inputs.config, 'jackknife')
  order = rng.permutation(part.n_units)
  count = min(inputs.reference_config.jackknife_groups, part.n_units)
  group = np.empty(part.n_units, np.int64)
  group[order] = np.arange(part.n_units) % count
  return [np.flatnonzero(group[part.units] == i) for i in range(count)]


def _features(model: Model, split: str, block: str | None) -> Any:
  """Of a block, or penultimate ones; None if there are none."""
  return (model.features.get(split) if block is None else
          model.blocks.get(split, {}).get(block))


@once
def _hsic(inputs: Inputs, first: Model, second: Model, split: str,
          block: str | None, biased: bool) -> np.ndarray:
  """HSIC of all images and, where it can be, without each group of people."""
  groups = _jackknife(inputs, split)
  x, y = (_features(model, split, block) for model in (first, second))
  enough = len(groups) >= stats.ENOUGH and len(x) - max(map(len, groups)) >= 4
  return features_lib.hsic(x, y, groups if enough else (), biased=biased)


@once
def _cka(inputs: Inputs, slot: Model, reference: Model, split: str,
         block: str | None, biased: bool) -> Estimate:
  """CKA of two models' features, with jackknife pseudo-replicates.

  The replicates' variance is the delete-a-group jackknife's, and models share
  the groups, so that the variance of a difference is right too.
  """
  x, y = (_features(model, split, block) for model in (slot, reference))
  if x is None or y is None:
    return Estimate.missing(NO_FEATURES)
  if len(x) < 4:
    return Estimate.missing('it needs at least 4 images')
  return _kept(inputs, kept_name(
      CKA, split, slot.name, reference.name,
      f'cka_{"biased" if biased else "unbiased"}', block or ''),
               lambda: _jackknifed(features_lib.cka_of(*(
                   _hsic(inputs, *pair, split, block, biased) for pair in (
                       (slot, reference), (slot, slot),
                       (reference, reference))))))


def _jackknifed(values: np.ndarray) -> Estimate:
  """CKA of all images, with what it is without each group; maybe none."""
  value, without = float(values[0]), values[1:]
  if np.isnan(value):
    return Estimate.missing('the features are constant')
  if not len(without) or np.isnan(without).any():
    return Estimate(value)
  count = len(without)
  replicates = value + (count - 1) / math.sqrt(count) * (
      without - without.mean())
  return Estimate.resampled(value, replicates, count)


def cka(inputs: Inputs, slot: Model, references: Sequence[Model],
        block: str | None = None, *, split: str, biased: bool = False
        ) -> Estimate:
  """Linear CKA with the references, of penultimate features or of a block."""
  # It is symmetric, and left-out models meet each other twice: once is enough.
  pairs = [sorted((slot, reference), key=lambda model: model.name)
           for reference in references]
  return mean([_cka(inputs, first, second, split, block, biased)
               for first, second in pairs])


def cka_to_original(inputs: Inputs, model: Model, *, split: str) -> Estimate:
  """Linear CKA with the original model: how much has changed."""
  if inputs.original is None:
    return Estimate.missing(NO_ORIGINAL)
  return _cka(inputs, model, inputs.original, split, None, False)


def block_names(inputs: Inputs, *, split: str) -> list[str]:
  """Blocks that some model's features were given of, input to output."""
  return list(dict.fromkeys(
      block for model in inputs.models
      for block in model.blocks.get(split, {})))


def biased_floor(inputs: Inputs, value: Any, *, split: str) -> list[str]:
  """What the biased form of CKA gives for unrelated features."""
  del value
  for model in (*inputs.models, inputs.random):
    if split in model.features:
      floor = features_lib.cka_independent_floor(*model.features[split].shape)
      return [f'Independent features of this size give {floor:.3f}.']
  return []
