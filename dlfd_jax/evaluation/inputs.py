"""What an evaluation reads, checked once: logits, labels, people, a config."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from dlfd_jax import tasks
from dlfd_jax.data import dataset as dataset_lib, splits as splits_lib
from dlfd_jax.metrics import per_example, stats
from dlfd_jax.utils import validate

MIA_SIDES = ('forget', 'test')  # members and non-members of final attacks
_AT_ONCE = 300_000  # weights held at once by a bootstrap: they stay in cache


@dataclasses.dataclass(frozen=True)
class EvaluationConfig:
  """Settings of an evaluation, fixed before it is run.

  Attributes:
    bootstrap: resamples of people (or images) behind every interval.
    draws: random cuts to equal sizes of the cross-validated attacks.
    permutations: of membership, behind every permutation null.
    seed: of all three; also the number of the same draw for all models.
    auc_margin: differences in an AUC below this do not matter.
    accuracy_margin: differences in an accuracy below this do not matter.

  Raises:
    ValueError: if a value is out of its range.
  """

  bootstrap: int = 2000
  draws: int = 20
  permutations: int = 200
  seed: int = 0
  auc_margin: float = .05
  accuracy_margin: float = .02

  def __post_init__(self):
    for name, least in (('bootstrap', 20), ('draws', 1), ('permutations', 20),
                        ('seed', 0)):
      validate.integer(name, getattr(self, name), least)
    for name in ('auc_margin', 'accuracy_margin'):
      validate.number(name, getattr(self, name), 0, 1, ends='()')


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
  """The labelled images of one split, and how they are resampled.

  Attributes:
    rows: positions inside the split of the images with a known label, ``[n]``.
    labels: ``[n]`` or ``[n, attributes]``.
    identity: person of each image ``[n]``, -1 unknown.
    keys: class of each image ``[n]`` (``Dataset.class_key``).
    units: resampling unit of each image ``[n]``, in ``[0, n_units)``.
    n_units: how many there are.
    unit: ``'person'`` or ``'image'``.
    multiplicities: uint16 ``[bootstrap, n_units]``.
  """

  rows: np.ndarray
  labels: np.ndarray
  identity: np.ndarray
  keys: np.ndarray
  units: np.ndarray
  n_units: int
  unit: str
  multiplicities: np.ndarray

  def __len__(self) -> int:
    return len(self.rows)

  def resampled_sums(self, values: np.ndarray) -> np.ndarray:
    """Sums of ``[n, k]`` over each resample's images, ``[bootstrap, k]``."""
    totals = np.zeros((self.n_units, values.shape[1]))
    np.add.at(totals, self.units, values)
    rows = max(1, _AT_ONCE // self.n_units)
    return np.concatenate([
        self.multiplicities[start:start + rows].astype(np.float64) @ totals
        for start in range(0, len(self.multiplicities), rows)])


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
  """One model's logits on the labelled images of each split it was run on.

  Attributes:
    name: ``'original'``, ``'unlearned'``, ``'retrained_0'`` ...
    logits: split -> float32 ``[n, outputs]``, rows as in ``Part``.
    losses: split -> float64 ``[n]`` in nats.
  """

  name: str
  logits: Mapping[str, np.ndarray]
  losses: Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True, eq=False)
class Inputs:
  """Everything that the metrics are functions of.

  Attributes:
    task: the task.
    config: the settings.
    parts: split -> its images.
    original: the original model, None if not given.
    unlearned: the unlearned model, None if not given.
    retrained: the models trained on retain alone.
  """

  task: tasks.Task
  config: EvaluationConfig
  parts: Mapping[str, Part]
  original: Model | None
  unlearned: Model | None
  retrained: tuple[Model, ...]

  @property
  def models(self) -> tuple[Model, ...]:
    """All models that were given, original and unlearned first."""
    first = (self.original, self.unlearned)
    return (*(model for model in first if model is not None), *self.retrained)

  def units_behind(self, *splits: str) -> tuple[int, str]:
    """(number of units, what they are) of a metric on these splits."""
    parts = [self.parts[split] for split in splits]
    kinds = {part.unit for part in parts}
    kind = 'person' if kinds == {'person'} else 'image'
    return sum(part.n_units for part in parts), kind

  def bootstrap(self, function: Callable[..., Any], *splits: str) -> np.ndarray:
    """A metric on every resample, ``[bootstrap, ...]``.

    Args:
      function: of one float64 weight array ``[rows, n]`` per split.
      *splits: whose units are drawn, separately; all models see the same draws.
    """
    parts = [self.parts[split] for split in splits]
    rows = max(1, _AT_ONCE // sum(len(part) for part in parts))
    return np.concatenate([
        function(*(
            part.multiplicities[start:start + rows, part.units].astype(
                np.float64) for part in parts))
        for start in range(0, self.config.bootstrap, rows)])


def generator(config: EvaluationConfig, use: str) -> np.random.Generator:
  """A generator of its own for each use, so that none shifts another."""
  return np.random.default_rng([config.seed, *use.encode()])


def prepare(outputs: Mapping[str, Any],
            dataset: dataset_lib.Dataset,
            splits: splits_lib.Splits,
            config: EvaluationConfig) -> Inputs:
  """Checks logits against data and splits, and leaves out unlabelled images.

  Args:
    outputs: see ``tier0.evaluate``.
    dataset: the data.
    splits: retain, forget, val, test.
    config: the settings.

  Raises:
    ValueError: if a model or split has an unknown name, nothing was given, or
      logits do not fit the split, the task, or are not finite.
  """
  known = ('original', 'unlearned', 'retrained')
  for name in outputs:
    if name not in known:
      raise ValueError(f'Expected models {known}, got {name!r}.')
  splits_lib.check_splits(dataset, splits)
  keys = dataset.class_key()
  parts = {
      name: _part(dataset, positions, keys, config, name)
      for name, positions in splits.parts.items()}
  load = functools.partial(_model, dataset, splits, parts)
  single = [
      None if outputs.get(name) is None else load(name, outputs[name])
      for name in known[:2]]
  retrained = tuple(
      load(f'retrained_{i}', logits)
      for i, logits in enumerate(outputs.get('retrained') or ()))
  if single == [None, None] and not retrained:
    raise ValueError('Expected the logits of at least one model, got none.')
  return Inputs(dataset.task, config, parts, single[0], single[1], retrained)


def _part(dataset, positions, keys, config, name):
  rows = np.flatnonzero(
      per_example.has_label(dataset.task, dataset.labels[positions]))
  if not len(rows):
    raise ValueError(f'Expected a known label in {name}, got none.')
  positions = positions[rows]
  identity = dataset.identity[positions]
  units = stats.units_of(identity)
  unit = 'person' if (identity >= 0).any() else 'image'
  if units.max() == 0 and len(rows) > 1:
    unit, units = 'image', np.arange(len(rows))
  n_units = int(units.max()) + 1
  return Part(
      rows, dataset.labels[positions], identity, keys[positions], units,
      n_units, unit, stats.draw_multiplicities(
          n_units, config.bootstrap, generator(config, f'bootstrap {name}')))


def _model(dataset, splits, parts, name, outputs):
  logits, losses = {}, {}
  for split, values in outputs.items():
    if split not in parts:
      raise ValueError(
          f'Expected splits {tuple(parts)}, got {split!r} of {name}.')
    values = np.asarray(values, np.float32)
    positions = splits.parts[split]
    shape = (len(positions), dataset.task.num_outputs)
    if values.shape != shape:
      raise ValueError(
          f'Expected {name} logits {list(shape)} on {split}, got '
          f'{list(values.shape)}.')
    if not np.isfinite(values).all():
      raise ValueError(f'Expected finite {name} logits on {split}, got '
                       f'{int((~np.isfinite(values)).sum())} that are not.')
    part = parts[split]
    logits[split] = values[part.rows]
    losses[split] = per_example.loss(
        dataset.task, logits[split], part.labels)
  return Model(name, logits, losses)
