"""What tier 1 reads beside logits: features, random networks, relearn times."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from dlfd_jax.data import dataset as dataset_lib, splits as splits_lib
from dlfd_jax.evaluation import comparison, inputs as inputs_lib
from dlfd_jax.metrics import forgetting
from dlfd_jax.utils import validate

RANDOM = 'random'  # a randomly initialised network, among the features' models


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReferenceConfig:
  """Settings of tier 1, fixed before it is run.

  Attributes:
    probe_folds: of the person-disjoint probes.
    probe_permutations: of people, behind the membership probe's second null.
    probe_people: most people that the person probe tells apart.
    jackknife_groups: of people, left out in turn behind the intervals of CKA.
    harm_limit: a person who loses more accuracy than this counts as harmed.
    distance_margin: a smaller normalised distance does not matter.
    cka_margin: nor a smaller difference in CKA,
    ain_margin: nor in log2 of the anamnesis index.

  Raises:
    ValueError: if a value is out of its range.
  """

  probe_folds: int = 5
  probe_permutations: int = 20
  probe_people: int = 100
  jackknife_groups: int = 20
  harm_limit: float = .05
  distance_margin: float = .10
  cka_margin: float = .05
  ain_margin: float = 1.0

  def __post_init__(self):
    for name, least in (('probe_folds', 2), ('probe_permutations', 2),
                        ('probe_people', 2), ('jackknife_groups', 2)):
      validate.integer(name, getattr(self, name), least)
    for name in ('harm_limit', 'distance_margin', 'cka_margin', 'ain_margin'):
      validate.number(name, getattr(self, name), 0, ends='(]')


@dataclasses.dataclass(frozen=True, eq=False)
class References:
  """Everything that has to be run for tier 1; each may be left out.

  Attributes:
    features: model (``'original'``, ``'unlearned'``, ``'retrained_0'`` ...,
      and ``'random'``) -> split -> penultimate features ``[n, d]`` in
      evaluation mode, all images of the split in its order.
    random_logits: of randomly initialised networks on forget, each ``[n,
      outputs]``.
    relearned: model -> one time per seed of the batches, the same seeds for
      all; the original's are 0.
    blocks: model -> split -> block -> means of its answer ``[n, d]``, blocks
      from input to output, the same of every model.
  """

  features: Mapping[str, Mapping[str, np.ndarray]] = dataclasses.field(
      default_factory=dict)
  random_logits: Sequence[np.ndarray] = ()
  relearned: Mapping[str, Sequence[forgetting.RelearnTime]] = (
      dataclasses.field(default_factory=dict))
  blocks: Mapping[str, Mapping[str, Mapping[str, np.ndarray]]] = (
      dataclasses.field(default_factory=dict))


@dataclasses.dataclass(frozen=True, eq=False)
class Setting:
  """What all tier-1 metrics are functions of.

  Attributes:
    inputs: checked logits, labels and people.
    config: the settings.
    estimates: tier 0's figures, model -> metric -> estimate.
    features: as in ``References``, rows as in ``inputs.parts``.
    random_logits: likewise.
    relearned: as in ``References``.
    columns: name -> split -> int values ``[n]``, rows as in ``inputs.parts``.
    blocks: as in ``References``, rows as in ``inputs.parts``.
  """

  inputs: inputs_lib.Inputs
  config: ReferenceConfig
  estimates: Mapping[str, Mapping[str, comparison.Estimate]]
  features: Mapping[str, Mapping[str, np.ndarray]]
  random_logits: Sequence[np.ndarray]
  relearned: Mapping[str, Sequence[forgetting.RelearnTime]]
  columns: Mapping[str, Mapping[str, np.ndarray]]
  blocks: Mapping[str, Mapping[str, Mapping[str, np.ndarray]]]


def prepare(inputs: inputs_lib.Inputs,
            estimates: Mapping[str, Mapping[str, comparison.Estimate]],
            references: References,
            dataset: dataset_lib.Dataset,
            splits: splits_lib.Splits,
            config: ReferenceConfig) -> Setting:
  """Checks references against data and splits.

  Raises:
    ValueError: if a model or split has an unknown name, an array another shape
      or a value that is not finite, or models were relearnt with different
      numbers of seeds.
  """
  names = [model.name for model in inputs.models]
  for given, known in ((references.features, [*names, RANDOM]),
                       (references.relearned, names),
                       (references.blocks, names)):
    for name in given:
      if name not in known:
        raise ValueError(f'Expected models {known}, got {name!r}.')
  features = {
      name: {split: _rows(inputs, splits, split, values, f'{name} features')
             for split, values in of_model.items()}
      for name, of_model in references.features.items()}
  random_logits = [
      _rows(inputs, splits, 'forget', values, 'random logits')
      for values in references.random_logits]
  for values in random_logits:
    if values.shape[1] != inputs.task.num_outputs:
      raise ValueError(
          f'Expected {inputs.task.num_outputs} random logits per image, got '
          f'{values.shape[1]}.')
  if len({len(times) for times in references.relearned.values()}) > 1:
    raise ValueError('Expected every model to be relearnt with the same seeds.')
  columns = {
      name: {split: column[positions][inputs.parts[split].rows]
             for split, positions in splits.parts.items()}
      for name, column in dataset.columns.items()}
  blocks = {
      name: {split: {
          block: _rows(inputs, splits, split, values, f'{name} {block}')
          for block, values in of_split.items()}
             for split, of_split in of_model.items()}
      for name, of_model in references.blocks.items()}
  return Setting(inputs, config, estimates, features, random_logits,
                 references.relearned, columns, blocks)


def _rows(inputs, splits, split, values, name):
  if split not in splits.parts:
    raise ValueError(
        f'Expected splits {tuple(splits.parts)}, got {split!r} of {name}.')
  values = np.asarray(values, np.float32)
  n = len(splits.parts[split])
  if values.ndim != 2 or len(values) != n:
    raise ValueError(
        f'Expected {name} [{n}, d] on {split}, got {list(values.shape)}.')
  if not np.isfinite(values).all():
    raise ValueError(f'Expected finite {name} on {split}, got others.')
  return values[inputs.parts[split].rows]
