"""What an evaluation reads, checked once: logits, people, references."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from dlfd_jax import tasks
from dlfd_jax.data import dataset as dataset_lib, splits as splits_lib
from dlfd_jax.evaluation.references import (
  Halves,
  Recovery,
  References,
  Shadows,
  check_names,
)
from dlfd_jax.metrics import (
  forgetting,
  per_example,
  recovery as recovery_lib,
  stats,
)
from dlfd_jax.utils import rng, text, validate

RANDOM = 'random'  # a randomly initialised network, among the features' models
# The test images that forget is held against: all, or those of the classes that
# are forgotten whole; `test` are then the others.
UNSEEN = 'unseen'
FEATURED = ('forget', 'test')  # splits whose features are compared
_AT_ONCE = 300_000  # weights held at once by a bootstrap: they stay in cache
_Function = TypeVar('_Function', bound=Callable[..., Any])
# Arrays by name, of what is named; made now, if nobody kept them.
Keep = Callable[[str, Callable[[], Mapping[str, np.ndarray]]],
                Mapping[str, np.ndarray]]


def keep_nothing(name: str, make: Callable[[], Mapping[str, np.ndarray]]
                 ) -> Mapping[str, np.ndarray]:
  """A ``Keep`` that makes everything."""
  del name
  return make()


class NoLabelError(ValueError):
  """No image of a part has a known label."""


@dataclasses.dataclass(frozen=True)
class EvaluationConfig:
  """Settings of an evaluation, fixed before it is run.

  Attributes:
    bootstrap: resamples of people (or images) behind every interval.
    draws: random cuts to equal sizes of the cross-validated attacks; None = as
      many as make two seeds agree (``attack.enough_draws``).
    permutations: of membership, behind every permutation null.
    seed: of all three; also the number of the same draw for all models.
    auc_margin: differences in an AUC below this do not matter.
    accuracy_margin: differences in an accuracy below this do not matter.

  Raises:
    ValueError: if a value is out of its range.
  """

  bootstrap: int = 2000
  draws: int | None = None
  permutations: int = 200
  seed: int = 0
  auc_margin: float = .05
  accuracy_margin: float = .02

  def __post_init__(self) -> None:
    for name, least in (('bootstrap', 20), ('permutations', 20), ('seed', 0)):
      validate.integer(name, getattr(self, name), least)
    if self.draws is not None:
      validate.integer('draws', self.draws)
    for name in ('auc_margin', 'accuracy_margin'):
      validate.number(name, getattr(self, name), 0, 1, ends='()')


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
    klom_margin: nor nats of mean KLOM beyond its null.

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
  klom_margin: float = .05

  def __post_init__(self) -> None:
    for name, least in (('probe_folds', 2), ('probe_permutations', 2),
                        ('probe_people', 2), ('jackknife_groups', 2)):
      validate.integer(name, getattr(self, name), least)
    for name in ('harm_limit', 'distance_margin', 'cka_margin', 'ain_margin',
                 'klom_margin'):
      validate.number(name, getattr(self, name), 0, ends='(]')


@dataclasses.dataclass(frozen=True, eq=False)
class Part:
  """The labelled images of one split, and how they are resampled.

  Attributes:
    rows: positions inside the split of the images with a known label, ``[n]``.
    labels: ``[n]`` or ``[n, attributes]``.
    identity: person of each image ``[n]``, -1 unknown.
    keys: class of each image ``[n]`` (``Dataset.class_key``).
    columns: the data's own columns by name, int ``[n]``.
    units: resampling unit of each image ``[n]``, in ``[0, n_units)``.
    n_units: how many there are.
    unit: ``'person'`` or ``'image'``.
    multiplicities: uint8 ``[bootstrap, n_units]``.
    people: how many people there are, an image of nobody known counting as one.
  """

  rows: np.ndarray
  labels: np.ndarray
  identity: np.ndarray
  keys: np.ndarray
  columns: Mapping[str, np.ndarray]
  units: np.ndarray
  n_units: int
  unit: str
  multiplicities: np.ndarray
  people: int

  def __len__(self) -> int:
    return len(self.rows)

  @property
  def has_interval(self) -> bool:
    """Whether resampling says anything: of few units it does not."""
    return self.n_units >= stats.ENOUGH

  def units_in(self, counts: np.ndarray) -> int:
    """How many units have an image that counts, bool or float ``[n]``."""
    return np.unique(self.units[np.asarray(counts) > 0]).size

  def resampled_sums(self, values: np.ndarray) -> np.ndarray:
    """Sums of ``[n, k]`` over each resample's images, ``[bootstrap, k]``.

    NaN where there is no interval.
    """
    if not self.has_interval:
      return np.full((len(self.multiplicities), values.shape[1]), np.nan)
    totals = np.zeros((self.n_units, values.shape[1]))
    np.add.at(totals, self.units, values)
    return self.resampled_totals(totals)

  def resampled_share(self, totals: np.ndarray) -> np.ndarray:
    """First total over second of each resample ``[bootstrap]``, NaN for 0."""
    first, second = self.resampled_totals(totals).T
    return np.divide(first, second, out=np.full(len(first), np.nan),
                     where=second > 0)

  def resampled_totals(self, totals: np.ndarray) -> np.ndarray:
    """The same of what each unit has in all, ``[n_units, k]``."""
    rows = max(1, _AT_ONCE // self.n_units)
    return np.concatenate([
        self.multiplicities[start:start + rows].astype(np.float64) @ totals
        for start in range(0, len(self.multiplicities), rows)])


@dataclasses.dataclass(frozen=True, eq=False)
class Model:
  """What one model gave on the labelled images of each split it was run on.

  Attributes:
    name: ``'original'``, ``'unlearned'``, ``'retrained_0'`` ...
    logits: split -> float32 ``[n, outputs]``, rows as in ``Part``.
    losses: split -> float64 ``[n]`` in nats.
    features: split -> penultimate features ``[n, d]``.
    blocks: split -> block -> means of its output ``[n, d]``.
    relearned: its relearn times, one per seed.
    apart: distances of its features, see ``References``; None = not stored.
    treated: treatment -> the same model after it, logits and losses alone.
  """

  name: str
  logits: Mapping[str, np.ndarray]
  losses: Mapping[str, np.ndarray]
  features: Mapping[str, np.ndarray]
  blocks: Mapping[str, Mapping[str, np.ndarray]]
  relearned: Sequence[forgetting.RelearnTime]
  apart: np.ndarray | None = None
  treated: Mapping[str, Model] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, eq=False)
class Inputs:
  """Everything that the metrics are functions of.

  Attributes:
    task: the task.
    config: the settings.
    reference_config: the settings of tier 1.
    parts: split -> its images, and ``UNSEEN``. Where classes are forgotten
      whole, val and test are the images of the others, and ``UNSEEN`` those of
      these in test, possibly none; else it is test.
    original: the original model, None if not given.
    unlearned: the unlearned model, None if not given.
    retrained: the models trained on retain alone.
    random: the randomly initialised network, of which only features are known.
    random_logits: of randomly initialised networks on forget.
    shadows: of tier 3, images as in the parts.
    halves: of tier 2, likewise.
    recovery: what was tried to bring forget back, likewise.
    memo: results of functions that several metrics share, see :func:`once`.
    keep: what takes long and was kept, by names that begin with ``figures/``.
  """

  task: tasks.Task
  config: EvaluationConfig
  reference_config: ReferenceConfig
  parts: Mapping[str, Part]
  original: Model | None
  unlearned: Model | None
  retrained: tuple[Model, ...]
  random: Model
  random_logits: Sequence[np.ndarray]
  shadows: Shadows | None = None
  halves: Halves | None = None
  recovery: Recovery | None = None
  memo: dict[Any, Any] = dataclasses.field(default_factory=dict)
  keep: Keep = keep_nothing

  @property
  def by_class(self) -> bool:
    """Whether classes are forgotten whole."""
    return self.parts[UNSEEN] is not self.parts['test']

  def called(self, split: str) -> str:
    """A split in words."""
    if split != UNSEEN:
      return split
    return 'the forgotten class in test' if self.by_class else 'test'

  @property
  def without_intervals(self) -> list[str]:
    """The splits of too few units for resampling to say anything."""
    return list(dict.fromkeys(
        self.called(name) for name, part in self.parts.items()
        if not part.has_interval))

  def no_logits(self, split: str) -> str:
    """Why a model has no logits on a split."""
    if split == UNSEEN and not len(self.parts[split]):
      return 'test has no image of the forgotten class'
    return f'no logits on {self.called(split)}'

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

  def fewest(self, *splits: str) -> int:
    """Units on the split that has fewest: they limit an interval's freedom."""
    return min(self.parts[split].n_units for split in splits)

  def too_few(self, *splits: str) -> str | None:
    """Why nothing can be said of a difference on these splits, if so."""
    few = {split: self.parts[split] for split in splits
           if self.parts[split].people < stats.ENOUGH}
    if not few:
      return None
    counts = ', '.join(
        f'{self.called(split)} has ' + text.counted(
            part.people, 'image' if (part.identity < 0).all() else 'person')
        for split, part in few.items())
    return f'{counts}; it takes {stats.ENOUGH} on each side'

  def bootstrap(self, function: Callable[..., Any], *splits: str,
                by_unit: bool = False) -> np.ndarray:
    """A metric on every resample, ``[bootstrap, ...]``.

    NaN where a split has no interval.

    Args:
      function: of one float64 weight array ``[rows, n]`` per split.
      *splits: whose units are drawn, separately; all models see the same draws.
      by_unit: n is the number of units, and not of images.
    """
    parts = [self.parts[split] for split in splits]
    columns = [np.arange(part.n_units) if by_unit else part.units
               for part in parts]
    if not all(part.has_interval for part in parts):
      one = function(*(np.ones((1, len(column))) for column in columns))
      return np.full((self.config.bootstrap, *one.shape[1:]), np.nan)
    rows = max(1, _AT_ONCE // sum(map(len, columns)))
    return np.concatenate([
        function(*(
            part.multiplicities[start:start + rows, column].astype(np.float64)
            for part, column in zip(parts, columns, strict=True)))
        for start in range(0, self.config.bootstrap, rows)])


def once(function: _Function) -> _Function:
  """Runs a function of inputs once per arguments; metrics share the result."""
  @functools.wraps(function)
  def call(inputs: Inputs, *args: Any, **kwargs: Any) -> Any:
    key = function, args, tuple(sorted(kwargs.items()))
    if key not in inputs.memo:
      inputs.memo[key] = function(inputs, *args, **kwargs)
    return inputs.memo[key]

  return call  # type: ignore[return-value]


def generator(config: EvaluationConfig, use: str) -> np.random.Generator:
  """A generator of its own for each use, so that none shifts another."""
  return rng.generator(config.seed, use)


def prepare(outputs: Mapping[str, Any],
            dataset: dataset_lib.Dataset,
            splits: splits_lib.Splits,
            config: EvaluationConfig | None = None,
            references: References | None = None,
            reference_config: ReferenceConfig | None = None) -> Inputs:
  """Checks outputs against data and splits, and leaves out unlabelled images.

  Args:
    outputs: see ``run.evaluate``.
    dataset: the data.
    splits: retain, forget, val, test.
    config: the settings.
    references: what was run for tier 1.
    reference_config: the settings of tier 1.

  Raises:
    ValueError: if a model or split has an unknown name, nothing was given, an
      array does not fit the split or the task or is not finite, or models were
      relearnt with different numbers of seeds.
  """
  config = config or EvaluationConfig()
  references = references or References()
  single = ('original', 'unlearned')
  check_names(outputs, (*single, 'retrained'))
  splits_lib.check_splits(dataset, splits)
  keys = dataset.class_key()
  parts = {
      name: _part(dataset, positions, splits.stays(name), keys, config, name)
      for name, positions in splits.parts.items()}
  parts[UNSEEN] = parts['test'] if not splits.classes else _part(
      dataset, splits.test, splits.unseen('test'), keys, config, UNSEEN)
  by_name = {name: outputs[name] for name in single
             if outputs.get(name) is not None}
  by_name |= {f'retrained_{i}': of_model
              for i, of_model in enumerate(outputs.get('retrained') or ())}
  if not by_name:
    raise ValueError('Expected the logits of at least one model, got none.')
  check_names(references.features, [*by_name, RANDOM])
  for by_model in (
      references.relearned, references.blocks, references.apart,
      references.recovery.logits if references.recovery else {}):
    check_names(by_model, list(by_name))
  if len({len(times) for times in references.relearned.values()}) > 1:
    raise ValueError('Expected every model to be relearnt with the same seeds.')
  for name, values in references.apart.items():
    if values.ndim != 2 or values.shape[1] != len(by_name) or not (
        values >= 0).all():
      raise ValueError(
          f'Expected distances of {name} to {len(by_name)} models, 0 or more, '
          f'got shape {list(values.shape)}.')
  models = {
      name: _model(dataset.task, splits, parts, name, of_model, references)
      for name, of_model in by_name.items()}
  random_logits = [
      _rows(splits, parts, 'forget', values, 'random logits')
      for values in references.random_logits]
  for values in random_logits:
    if values.shape[1] != dataset.task.num_outputs:
      raise ValueError(
          f'Expected {dataset.task.num_outputs} random logits per image, got '
          f'{values.shape[1]}.')
  return Inputs(
      dataset.task, config, reference_config or ReferenceConfig(), parts,
      models.get('original'), models.get('unlearned'),
      tuple(model for name, model in models.items() if name not in single),
      _model(dataset.task, splits, parts, RANDOM, {}, references),
      random_logits, _shadows(references.shadows, splits, parts),
      _halves(references.halves, splits, parts),
      _recovery(references.recovery, splits, parts))


def _recovery(recovery: Recovery | None, splits: splits_lib.Splits,
              parts: Mapping[str, Part]) -> Recovery | None:
  if recovery is None:
    return None
  for names in (*recovery.logits.values(), recovery.taught, recovery.left_out):
    for name in names:
      validate.one_of('treatment', name, recovery_lib.TREATMENTS)
  for name, taught in recovery.taught.items():
    if np.shape(taught) != (len(splits.forget),) or taught.dtype != bool:
      raise ValueError(
          f'Expected one bool an image of forget [{len(splits.forget)}] for '
          f'the part {name}, got {taught.dtype} {list(np.shape(taught))}.')
  return recovery.take(parts['forget'].rows)


def _shadows(shadows: Shadows | None, splits: splits_lib.Splits,
             parts: Mapping[str, Part]) -> Shadows | None:
  if shadows is None:
    return None
  found = {'forget': shadows.states.shape[1], **{
      split: values.shape[1] for split, of_split in shadows.elsewhere.items()
      for values in of_split.values()}}
  for split, count in found.items():
    if split not in parts or count != len(splits.parts[split]):
      raise ValueError(
          'Expected shadow models on '
          f'{len(splits.parts.get(split, ()))} images of {split}, got {count}.')
  return shadows.take({split: part.rows for split, part in parts.items()})


def _halves(halves: Halves | None, splits: splits_lib.Splits,
            parts: Mapping[str, Part]) -> Halves | None:
  if halves is None:
    return None
  for split, values in halves.likelihoods.items():
    if values.shape[1] != len(splits.parts[split]):
      raise ValueError(
          f'Expected half-references on {len(splits.parts[split])} images of '
          f'{split}, got {values.shape[1]}.')
  return Halves({split: values[:, parts[split].rows]
                 for split, values in halves.likelihoods.items()},
                halves.outside[:, parts['retain'].rows])


def units_of(identity: np.ndarray) -> tuple[np.ndarray, str, int]:
  """What is resampled of images, and held out of probes as a whole.

  Args:
    identity: person of each image ``[n]``, -1 = unknown.

  Returns:
    The unit of each image, int64 ``[n]``; what they are, ``'person'`` or
    ``'image'``, which those of one person alone are; and the number of people,
    an unknown one for each image without.
  """
  units = stats.units_of(identity)
  people = int(units.max(initial=-1)) + 1
  if people == 1 and len(units) > 1:
    return np.arange(len(units)), 'image', people
  return units, 'person' if (identity >= 0).any() else 'image', people


def _part(dataset: dataset_lib.Dataset, positions: np.ndarray,
          chosen: np.ndarray, keys: np.ndarray, config: EvaluationConfig,
          name: str) -> Part:
  """The images with a known label among ``chosen`` ones of a split."""
  rows = np.flatnonzero(
      per_example.has_label(dataset.task, dataset.labels[positions])
      & np.isin(positions, chosen))
  if not len(rows) and name != UNSEEN:
    raise NoLabelError(f'Expected a known label in {name}, got none.')
  positions = positions[rows]
  identity = dataset.identity[positions]
  units, unit, people = units_of(identity)
  n_units = int(units.max(initial=-1)) + 1
  return Part(
      rows, dataset.labels[positions], identity, keys[positions],
      {column: values[positions]
       for column, values in dataset.columns.items()}, units, n_units, unit,
      stats.draw_multiplicities(
          n_units, config.bootstrap, generator(config, f'bootstrap {name}'))
      if n_units else np.zeros((config.bootstrap, 0), np.uint8),
      people)


def _model(task: tasks.Task, splits: splits_lib.Splits,
           parts: Mapping[str, Part], name: str,
           outputs: Mapping[str, np.ndarray], references: References) -> Model:
  logits, losses = {}, {}
  for split, values in outputs.items():
    if split not in splits.parts:
      raise ValueError(
          f'Expected splits {tuple(splits.parts)}, got {split!r} of {name}.')
    values = np.asarray(values, np.float32)
    shape = (len(splits.parts[split]), task.num_outputs)
    if values.shape != shape:
      raise ValueError(
          f'Expected {name} logits {list(shape)} on {split}, got '
          f'{list(values.shape)}.')
    if not np.isfinite(values).all():
      raise ValueError(f'Expected finite {name} logits on {split}, got '
                       f'{int((~np.isfinite(values)).sum())} that are not.')
    for part in _parts_of(split, parts):
      logits[part] = values[parts[part].rows]
      losses[part] = per_example.loss(task, logits[part], parts[part].labels)
  rows = functools.partial(_rows, splits, parts)
  return Model(
      name, logits, losses,
      {part: rows(split, values, f'{name} features', part)
       for split, values in references.features.get(name, {}).items()
       for part in _parts_of(split, parts)},
      {part: {block: rows(split, values, f'{name} {block}', part)
              for block, values in of_split.items()}
       for split, of_split in references.blocks.get(name, {}).items()
       for part in _parts_of(split, parts)},
      references.relearned.get(name, ()),
      rows('forget', references.apart[name], f'{name} distances')
      if name in references.apart else None,
      {treatment: _model(task, splits, parts, f'{name}, {treatment}', of_split,
                         References())
       for treatment, of_split in (
           references.recovery.logits.get(name, {}).items()
           if references.recovery else ())})


def _parts_of(split: str, parts: Mapping[str, Part]) -> list[str]:
  """The parts that images of a split are in; not ``UNSEEN`` if it is empty."""
  return [part for part in ((split, UNSEEN) if split == 'test' else (split,))
          if part not in parts or len(parts[part])]


def _rows(splits: splits_lib.Splits, parts: Mapping[str, Part], split: str,
          values: np.ndarray, name: str, part: str | None = None) -> np.ndarray:
  """Of values of all images of a split, those of one of its parts."""
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
  return values[parts[part or split].rows]
