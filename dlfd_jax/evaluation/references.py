"""What has to be trained or run for an evaluation beside the models' logits.

From tier 1 on; each may be left out. ``inputs.prepare`` checks it against data
and splits.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dlfd_jax.metrics import forgetting, lira, recovery as recovery_lib
from dlfd_jax.utils import validate

HALVES = 'retain', 'test', 'val'  # splits of half-references
OUT, FORGET, KEEP = 0, 1, 2  # states of an image in a shadow model


@dataclasses.dataclass(frozen=True, eq=False)
class Shadows:
  """Margins of shadow models, before and after they unlearned.

  Attributes:
    unlearned: float64 ``[models, n]``, all images of forget in its order; None:
      the models unlearned nothing, as ``why`` says.
    before: of the same models before they unlearned, ``[models, n]``.
    states: int8 ``[models, n]``: ``OUT`` = never seen, ``FORGET`` = trained on
      and unlearned, ``KEEP`` = trained on and kept.
    retrained: of models that were each trained as one of these without what it
      had to forget, ``[models, n]``; None: the retrained models of the
      evaluation are that.
    elsewhere: other splits -> ``'unlearned'``, ``'before'``, ``'retrained'`` ->
      ``[models, images of the split]``.
    accuracies: ``'unlearned'``, ``'before'``, ``'retrained'`` -> accuracy on
      retain and test, ``[models, 2]`` in [0, 1], NaN without a known label. A
      margin does not say it: one below 0 is right where no other single class
      is likelier.
    why: nothing was unlearned.

  Raises:
    ValueError: if shapes do not fit, a margin is not finite, an accuracy is
      out of its range or a state unknown.
  """

  unlearned: np.ndarray | None
  before: np.ndarray
  states: np.ndarray
  retrained: np.ndarray | None = None
  elsewhere: Mapping[str, Mapping[str, np.ndarray]] = dataclasses.field(
      default_factory=dict)
  accuracies: Mapping[str, np.ndarray] = dataclasses.field(
      default_factory=dict)
  why: str = 'no shadow model unlearned anything'

  def __post_init__(self) -> None:
    shapes = [np.shape(self.states)]
    for name in ('unlearned', 'before', 'retrained'):
      if getattr(self, name) is not None:
        object.__setattr__(self, name, lira.check_margins(
            f'{name} margins', getattr(self, name)))
        shapes.append(getattr(self, name).shape)
    if len(set(shapes)) > 1:
      raise ValueError('Expected margins and states [models, images] of one '
                       f'shape, got {", ".join(map(str, shapes))}.')
    if not np.isin(self.states, (OUT, FORGET, KEEP)).all():
      raise ValueError('Expected states 0, 1 and 2, got others.')
    for name, values in self.accuracies.items():
      values = validate.floats('accuracies', values)
      if values.shape != (len(self.states), 2) or (
          (values < 0) | (values > 1)).any():
        raise ValueError(
            f'Expected accuracies of {name} models on retain and test '
            f'[{len(self.states)}, 2] in [0, 1], got others.')
    object.__setattr__(self, 'elsewhere', {
        split: {name: lira.check_margins(f'{name} margins on {split}', values)
                for name, values in of_split.items()}
        for split, of_split in self.elsewhere.items()})

  @property
  def by_request(self) -> bool:
    """Whether every model had all of forget to forget."""
    return bool((self.states == FORGET).all())

  def take(self, rows: Mapping[str, np.ndarray]) -> Shadows:
    """Those of some images of each split."""
    unlearned, before, states, retrained = (
        None if values is None else values[:, rows['forget']] for values in (
            self.unlearned, self.before, self.states, self.retrained))
    assert before is not None and states is not None
    return dataclasses.replace(
        self, unlearned=unlearned, before=before, states=states,
        retrained=retrained, elsewhere={
            split: {name: values[:, rows[split]]
                    for name, values in of_split.items()}
            for split, of_split in self.elsewhere.items()})


@dataclasses.dataclass(frozen=True, eq=False)
class Halves:
  """Models that were each trained on a random half of those who stay.

  Attributes:
    likelihoods: ``'retain'``, ``'test'`` and ``'val'`` -> likelihood of the
      label, float64 ``[models, n]`` in [0, 1], all images of the split.
    outside: bool ``[models, n of retain]``, who never saw which image.

  Raises:
    ValueError: if shapes do not fit, or an image is in all models.
  """

  likelihoods: Mapping[str, np.ndarray]
  outside: np.ndarray

  def __post_init__(self) -> None:
    check_names(self.likelihoods, HALVES)
    shapes = {split: values.shape for split, values in self.likelihoods.items()}
    if (self.outside.shape != shapes.get('retain')
        or len({shape[0] for shape in shapes.values()}) > 1):
      raise ValueError(
          f'Expected likelihoods [models, n] of the same models, got {shapes} '
          f'and {self.outside.shape}.')
    if not self.outside.any(0).all():
      raise ValueError('Expected every image of retain outside of one of the '
                       'half-references, got one that is in all.')


@dataclasses.dataclass(frozen=True, eq=False)
class Recovery:
  """What models answer after each treatment of ``metrics.recovery``.

  Attributes:
    logits: model -> treatment -> split -> ``[n, outputs]``, all images of the
      split; a treatment whose model has no finite answers is left out.
    taught: treatment -> which images of forget it taught, bool ``[n]``.
    left_out: treatment -> why it was not run.
    notes: to be read with the figures of a treatment, by its name.
  """

  logits: Mapping[str, Mapping[str, Mapping[str, np.ndarray]]]
  taught: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
  left_out: Mapping[str, str] = dataclasses.field(default_factory=dict)
  notes: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)

  def arrays(self) -> dict[str, np.ndarray]:
    """All of it, to be stored.

    Returns:
      ``{model}/{split}/after_{treatment}``, logits; ``forget/taught_...``;
      ``recovery/left_out`` and ``recovery/notes``, pairs of texts ``[k, 2]``.
    """
    name = recovery_lib.array_name
    found = {f'forget/taught_{name(treatment)}': taught
             for treatment, taught in self.taught.items()}
    found |= {
        f'{model}/{split}/after_{name(treatment)}': logits.astype(np.float32)
        for model, of_model in self.logits.items()
        for treatment, of_treatment in of_model.items()
        for split, logits in of_treatment.items()}
    said = [(treatment, note) for treatment, of_treatment in self.notes.items()
            for note in of_treatment]
    return found | {
        'recovery/left_out': _pairs(list(self.left_out.items())),
        'recovery/notes': _pairs(said)}

  @classmethod
  def of_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Recovery | None:
    """What :meth:`arrays` gave; None if it is not among others."""
    if not {'recovery/left_out', 'recovery/notes'} <= set(arrays):
      return None
    treatments = {recovery_lib.array_name(treatment): treatment
                  for treatment in recovery_lib.TREATMENTS}
    logits: dict[str, dict[str, dict[str, np.ndarray]]] = {}
    taught = {}
    for key, values in arrays.items():
      place, _, name = key.rpartition('/')
      what, _, name = name.partition('_')
      if what not in ('after', 'taught') or name not in treatments:
        continue
      if what == 'taught':
        taught[treatments[name]] = values
        continue
      model, _, split = place.partition('/')
      logits.setdefault(model, {}).setdefault(
          treatments[name], {})[split] = values
    notes: dict[str, list[str]] = {}
    for treatment, note in arrays['recovery/notes'].tolist():
      notes.setdefault(treatment, []).append(note)
    return cls(logits, taught, dict(arrays['recovery/left_out'].tolist()),
               notes)

  def take(self, rows: np.ndarray) -> Recovery:
    """That of some images of forget."""
    return dataclasses.replace(self, taught={
        name: taught[rows] for name, taught in self.taught.items()})


def _pairs(texts: Sequence[tuple[str, str]]) -> np.ndarray:
  return np.array(texts, np.str_).reshape(-1, 2)


@dataclasses.dataclass(frozen=True, eq=False)
class References:
  """Everything that has to be run from tier 1 on; each may be left out.

  Attributes:
    features: model (``'original'``, ``'unlearned'``, ``'retrained_0'`` ...,
      and ``'random'``) -> split -> penultimate features ``[n, d]`` in
      evaluation mode, all images of the split in its order.
    random_logits: of randomly initialised networks on forget, each ``[n,
      outputs]``.
    relearned: model -> one time per seed of the batches, the same seeds for
      all; the original's are 0.
    blocks: model -> split -> block -> means of its output ``[n, d]``, blocks
      from input to output, the same of every model.
    shadows: of tier 3.
    halves: of tier 2, for those who stay.
    apart: model -> distances of its features on forget to those of every model
      ``[n, models]``, original and unlearned first, see ``nearer.stored``;
      where there are no features.
    recovery: answers after attempts to bring forget back.
  """

  features: Mapping[str, Mapping[str, np.ndarray]] = dataclasses.field(
      default_factory=dict)
  random_logits: Sequence[np.ndarray] = ()
  relearned: Mapping[str, Sequence[forgetting.RelearnTime]] = (
      dataclasses.field(default_factory=dict))
  blocks: Mapping[str, Mapping[str, Mapping[str, np.ndarray]]] = (
      dataclasses.field(default_factory=dict))
  shadows: Shadows | None = None
  halves: Halves | None = None
  apart: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
  recovery: Recovery | None = None


def check_names(by_name: Mapping[str, Any], known: Sequence[str]) -> None:
  """Raises a ValueError if a name is none of the known ones."""
  for name in by_name:
    if name not in known:
      raise ValueError(f'Expected models {known}, got {name!r}.')
