"""Tier 3: attacks on single images with shadow models that unlearn, too.

In the random design every person to be forgotten is in half of the shadow
models, which then forget whom they have. Models that unlearned a person are
compared with models that never saw the person and have unlearned others: what
differs is the person's own trace. Beside retrained models the footprint of the
method is on one side alone.

What the shadow models say before they unlearn shows whether there was anything
to see; it is the column ``original``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from dlfd_jax.evaluation import outputs
from dlfd_jax.evaluation.estimate import Estimate
from dlfd_jax.evaluation.inputs import (
  FORGET,
  KEEP,
  OUT,
  Inputs,
  Shadows,
  once,
)
from dlfd_jax.evaluation.reference_attack import margins as margins_of
from dlfd_jax.metrics import epsilon, klom, ulira

NO_SHADOWS = 'no shadow models were given'
LEAST = 6  # models of a side: those that are left must give a variance
_RATE = .01
_NULLS_OF_EPSILON = 3  # a draw takes seconds
_LEVELS = (.001, .005, .01, .05)


@dataclasses.dataclass(frozen=True)
class Figure:
  """A figure of many models beside the same where there is nothing to find.

  Attributes:
    value: of the models that unlearned.
    null: with sides permuted over models, or by formula.
    before: of the models before they unlearned; None = not computed.
    error: standard error of value minus null, None = it decides nothing.
    freedom: its degrees of freedom.
    p: that there is nothing; None = that of the difference, if it has an error.
    sees: whether it told the models apart before they unlearned.
  """

  value: Estimate
  null: Estimate
  before: Estimate | None = None
  error: float | None = None
  freedom: float = 1.0
  p: float | None = None
  sees: bool | None = None

  @classmethod
  def missing(cls, reason: str) -> Figure:
    """A figure that was not computed."""
    none = Estimate.missing(reason)
    return cls(none, none, none)


@dataclasses.dataclass(frozen=True, eq=False)
class _Sides:
  """Margins of models, and who is on which side; see ``ulira``."""

  margins: np.ndarray
  first: np.ndarray
  second: np.ndarray
  units: np.ndarray

  def people(self) -> _Sides:
    count = self.units.max() + 1
    first, second = (ulira.of_units(side, self.units)
                     for side in (self.first, self.second))
    return _Sides(ulira.by_person(self.margins, self.units), first, second,
                  np.arange(count))


def _check(inputs: Inputs, *, retrained: int = 0) -> str | None:
  """Why nothing can be computed, if so."""
  if inputs.shadows is None:
    return NO_SHADOWS
  states = inputs.shadows.states
  for state, words in ((FORGET, 'forgot'), (OUT, 'never saw')):
    fewest = int((states == state).sum(0).min())
    if fewest < LEAST:
      return f'only {fewest} shadow models {words} an image; it takes {LEAST}'
  if len(inputs.retrained) < retrained:
    return f'it needs at least {retrained} retrained models'
  if any('forget' not in model.logits for model in inputs.retrained):
    return 'no logits on forget'
  return None


def _sides(inputs: Inputs, against: str, *, before: bool = False) -> _Sides:
  shadows = inputs.shadows
  assert shadows is not None
  margins = shadows.before if before else shadows.unlearned
  first, second = shadows.states == FORGET, shadows.states == OUT
  if against == 'retrained':
    others = _retrained(inputs)
    margins = np.concatenate([margins, others])
    none = np.zeros(others.shape, bool)
    first = np.concatenate([first, none])
    second = np.concatenate([np.zeros_like(second), ~none])
  return _Sides(margins, first, second, inputs.parts['forget'].units)


def _retrained(inputs: Inputs) -> np.ndarray:
  return np.stack([margins_of(inputs, model, 'forget')
                   for model in inputs.retrained])


def _read(found: ulira.Scores) -> np.ndarray:
  accuracies = found.accuracies()
  return np.array([found.auc(), accuracies.mean(), found.tpr(_RATE),
                   accuracies.max()])


@once
def _u_lira(inputs: Inputs, against: str, by_person: bool,
            before: bool = False) -> tuple[ulira.Scores, np.ndarray]:
  """Scores, and what :func:`_read` reads of each draw of the null."""
  sides = _sides(inputs, against, before=before)
  if by_person:
    sides = sides.people()
  found = ulira.scores(sides.margins, sides.first, sides.second)
  if before:
    return found, np.zeros((0, 4))
  return found, ulira.null(
      sides.margins, sides.first, sides.second, sides.units, _read,
      draws=inputs.config.permutations, seed=inputs.config.seed,
      together=False)


@once
def _drawn_areas(inputs: Inputs, against: str, by_person: bool) -> np.ndarray:
  """AUC on resamples of models and of people together, ``[rows]``."""
  found, _ = _u_lira(inputs, against, by_person)
  part = inputs.parts['forget']
  rng = np.random.default_rng(inputs.config.seed)
  models = len(found.values)
  areas = []
  for row in part.multiplicities[:400]:
    weights = np.bincount(rng.integers(0, models, models), minlength=models)
    units = row if by_person else row[part.units]
    areas.append(found.auc(weights[None].astype(np.float64),
                           units[None].astype(np.float64))[0])
  return np.array(areas)


def u_lira(inputs: Inputs, *, what: str = 'auc', against: str = 'unseen',
           by_person: bool = False) -> Figure:
  """U-LiRA, pooled over images (or people) and models.

  Args:
    inputs: everything that was given.
    what: ``'auc'``, ``'accuracy'`` or ``'tpr'``.
    against: ``'unseen'``: models that never saw the image and unlearned others;
      ``'retrained'``: retrained models.
    by_person: of the mean margins of people.
  """
  reason = _check(
      inputs, retrained=LEAST if against == 'retrained' else 0)
  if reason is None and by_person and inputs.parts['forget'].unit != 'person':
    reason = outputs.NO_PEOPLE
  if reason is not None:
    return Figure.missing(reason)
  column = ('auc', 'accuracy', 'tpr').index(what)
  found, null = _u_lira(inputs, against, by_person)
  value = float(_read(found)[column])
  before = float(_read(_u_lira(
      inputs, against, by_person, before=True)[0])[column])
  null = null[:, column]
  part = inputs.parts['forget']
  drawn = None
  if what == 'auc' and part.has_interval:
    drawn = _drawn_areas(inputs, against, by_person)
  return _figure(value, null, before, drawn,
                 min(part.n_units, len(found.values)) - 1.0)


def _figure(value: float, null: np.ndarray, before: float | None,
            drawn: np.ndarray | None, freedom: float,
            expected: float | None = None) -> Figure:
  """A figure, its null over permutations and the error of the difference.

  The error is the larger of two: over resampled models and people, and over
  permutations, which leave nothing but luck.
  """
  mean = float(null.mean()) if expected is None else expected
  low, high = np.quantile(null, [.025, .975])
  error = None
  if drawn is not None:
    error = max(float(np.nanstd(drawn, ddof=1)), float(null.std(ddof=1)), 1e-12)
  shown = Estimate(value)
  if drawn is not None:
    shown = Estimate.resampled(value, drawn, int(freedom) + 1)
  return Figure(
      shown, Estimate(mean, low, high),
      None if before is None else Estimate(before), error, max(freedom, 1.0),
      sees=None if before is None else not low <= before <= high)


def _dense(shadows: Shadows, margins: np.ndarray) -> np.ndarray:
  """Margins of the models that had each image to forget, ``[N, n]``."""
  inside = shadows.states == FORGET
  fewest = int(inside.sum(0).min())
  order = np.argsort(~inside, axis=0, kind='stable')[:fewest]
  return np.take_along_axis(margins, order, axis=0)


def _unlearned_and_retrained(
    inputs: Inputs, before: bool = False) -> tuple[np.ndarray, np.ndarray]:
  shadows = inputs.shadows
  assert shadows is not None
  return (_dense(shadows, shadows.before if before else shadows.unlearned),
          _retrained(inputs))


def _swapped(inputs: Inputs, sides: Sequence[np.ndarray],
             read: Callable[[np.ndarray, np.ndarray], Any],
             draws: int) -> np.ndarray:
  """A figure with models permuted between both sides, person by person."""
  both, cut = np.concatenate(sides), len(sides[0])
  part = inputs.parts['forget']
  rng = np.random.default_rng(inputs.config.seed)
  found = []
  for _ in range(draws):
    order = np.argsort(
        rng.random((len(both), part.n_units)), axis=0)[:, part.units]
    mixed = np.take_along_axis(both, order, axis=0)
    found.append(read(mixed[:cut], mixed[cut:]))
  return np.array(found)


def klom_gaussian(inputs: Inputs) -> Figure:
  """KLOM, Gaussian form: its mean over images."""
  reason = _check(inputs, retrained=klom.LEAST)
  if reason is not None:
    return Figure.missing(reason)
  sides = _unlearned_and_retrained(inputs)
  values = klom.gaussian(*sides)[0]
  part = inputs.parts['forget']
  null = _swapped(inputs, sides, lambda u, o: float(
      klom.gaussian(u, o)[0].mean()), inputs.config.permutations)
  drawn = outputs.mean_over(part, values).replicates
  return _figure(
      float(values.mean()), null,
      float(klom.gaussian(*_unlearned_and_retrained(inputs, True))[0].mean()),
      drawn if part.has_interval else None,
      min(part.n_units, *map(len, sides)) - 1.0,
      klom.gaussian_null(*map(len, sides)))


def klom_histogram(inputs: Inputs) -> Figure:
  """KLOM by histograms, its mean over images; of enough models alone."""
  reason = _check(inputs, retrained=klom.ENOUGH_FOR_HISTOGRAM)
  if reason is not None:
    return Figure.missing(reason)
  sides = _unlearned_and_retrained(inputs)
  if len(sides[0]) < klom.ENOUGH_FOR_HISTOGRAM:
    return Figure.missing(
        f'{len(sides[0])} models unlearned an image; its null is as large as '
        f'what it could see below {klom.ENOUGH_FOR_HISTOGRAM}')

  def read(unlearned: np.ndarray, retrained: np.ndarray) -> float:
    return float(klom.histogram(unlearned, retrained).mean())

  return _figure(
      read(*sides), _swapped(inputs, sides, read, inputs.config.permutations),
      read(*_unlearned_and_retrained(inputs, True)), None, 1.0)


@once
def _challenge(inputs: Inputs) -> tuple[Any, ...]:
  sides = _unlearned_and_retrained(inputs)
  models = min(map(len, sides))

  def read(unlearned: np.ndarray, retrained: np.ndarray) -> np.ndarray:
    found = epsilon.challenge(unlearned, retrained)
    return np.array([found.mean(), epsilon.forgetting_quality(found, models)])

  return (read(*sides), _swapped(inputs, sides, read, _NULLS_OF_EPSILON),
          read(*_unlearned_and_retrained(inputs, True)))


def challenge(inputs: Inputs, *, quality: bool = False) -> Figure:
  """Epsilon as the challenge of 2023 took it, or its figure F."""
  reason = _check(inputs, retrained=klom.LEAST)
  if reason is not None:
    return Figure.missing(reason)
  value, null, before = (part[..., int(quality)] for part in _challenge(inputs))
  return Figure(
      Estimate(float(value)),
      Estimate(float(null.mean()), float(null.min()), float(null.max())),
      Estimate(float(before)))


def shown_epsilon(inputs: Inputs) -> Figure:
  """Largest lower bound of epsilon over images, at .05 for all together."""
  reason = _check(inputs, retrained=LEAST)
  if reason is not None:
    return Figure.missing(reason)
  sides = _unlearned_and_retrained(inputs)
  n = sides[0].shape[1]

  def largest(of: tuple[np.ndarray, np.ndarray], level: float) -> float:
    return float(epsilon.lower_bound(*of, level / n).max())

  before = largest(_unlearned_and_retrained(inputs, True), _LEVELS[-1])
  return Figure(
      Estimate(largest(sides, _LEVELS[-1])), Estimate(0.0), Estimate(before),
      p=next((level for level in _LEVELS if largest(sides, level) > 0), None),
      sees=before > 0)


def privacy_harm(inputs: Inputs) -> Figure:
  """How much better people who stay are told by unlearned than by other models.

  It needs shadow models that keep somebody of the pool.
  """
  shadows = inputs.shadows
  if shadows is None:
    return Figure.missing(NO_SHADOWS)
  sides = [shadows.states == state for state in (KEEP, OUT)]
  if min(int(side.sum(0).min()) for side in sides) < LEAST:
    return Figure.missing('no design kept enough people of the pool')
  after, before = (float(ulira.scores(margins, *sides).auc())
                   for margins in (shadows.unlearned, shadows.before))
  return Figure(Estimate(after - before), Estimate(0.0))


def worst(inputs: Inputs) -> list[dict[str, Any]]:
  """The images whose side U-LiRA tells best; see ``ulira.worst``.

  ``example`` is the row of forget.
  """
  if _check(inputs) is not None:
    return []
  found, null = _u_lira(inputs, 'unseen', False)
  rows = inputs.parts['forget'].rows
  return [{**row, 'example': int(rows[int(row['example'])])}
          for row in ulira.worst(found, null[:, 3])]
