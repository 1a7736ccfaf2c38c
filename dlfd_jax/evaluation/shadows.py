"""Tier 3: attacks on single images with shadow models that unlearn, too.

In the random design every person to be forgotten is in half of the shadow
models, which then forget whom they have. Models that unlearned a person are
compared with models that never saw the person and have unlearned others: what
differs is the person's own trace. Beside retrained models the footprint of the
method is on one side alone. In the design by request every shadow model had all
of forget, so that only the second comparison is there.

What the shadow models say before they unlearn shows whether there was anything
to see; it is the column ``original``. Models that unlearned nothing, as of an
audited model whose method nobody knows, leave that and the attack on the judged
model itself, ``lira_online``.

Two nulls permute models. Who had which person was drawn for each person, so
against models that never saw a person the sides are permuted person by person.
Retrained models are others for all images at once: against them whole models
change places, as what the images of one model share must not pass for chance.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from dlfd_jax.evaluation import outputs
from dlfd_jax.evaluation.estimate import SHARE, Estimate
from dlfd_jax.evaluation.inputs import (
  FORGET,
  KEEP,
  OUT,
  Inputs,
  Model,
  once,
)
from dlfd_jax.evaluation.reference_attack import margins as margins_of
from dlfd_jax.metrics import epsilon, klom, lira, ulira

NO_SHADOWS = 'no shadow models were given'
LEAST = 4  # models of a side: those that are left must give a variance
SCREENING, PUBLICATION = 32, 64  # shadow models that are worth a verdict
NOT_OF_DESIGN = 'not of this design'
_RATE = .01
_NULLS_OF_EPSILON = 3  # a draw takes seconds
_MOST_PERMUTED = 10**8  # margins in all draws of a null, at least 20 of them
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
    gate: why it does not vote, where the design says so.
  """

  value: Estimate
  null: Estimate
  before: Estimate | None = None
  error: float | None = None
  freedom: float = 1.0
  p: float | None = None
  sees: bool | None = None
  gate: str | None = None

  @classmethod
  def missing(cls, reason: str, **more: Any) -> Figure:
    """A figure that was not computed."""
    none = Estimate.missing(reason)
    return cls(none, none, **{'before': none, **more})


@dataclasses.dataclass(frozen=True, eq=False)
class _Sides:
  """Margins of models, and who is on which side; see ``ulira``.

  ``paired``: model ``k`` of the second half was trained as model ``k`` of the
  first, without what that one had to forget.
  """

  margins: np.ndarray
  first: np.ndarray
  second: np.ndarray
  paired: bool = False

  def by_person(self, units: np.ndarray) -> _Sides:
    return _Sides(ulira.by_person(self.margins, units),
                  ulira.of_units(self.first, units),
                  ulira.of_units(self.second, units), self.paired)

  def scores(self) -> ulira.Scores:
    return ulira.scores(self.margins, self.first, self.second)

  def dense(self) -> tuple[np.ndarray, np.ndarray]:
    """As many models of each side as every image has, ``[N, n], [M, n]``."""
    found = []
    for side in (self.first, self.second):
      order = np.argsort(~side, axis=0, kind='stable')[:int(side.sum(0).min())]
      found.append(np.take_along_axis(self.margins, order, axis=0))
    return found[0], found[1]

  def exchanged(self, rng: np.random.Generator) -> _Sides:
    """The same sides with models that changed places as a whole.

    Those of a pair change with each other: any other model may have kept an
    image that this one had to forget.
    """
    order = rng.permutation(len(self.margins))
    if self.paired:
      pairs = np.arange(len(self.margins)).reshape(2, -1)
      swaps = rng.random(pairs.shape[1]) < .5
      order = np.where(swaps, pairs[::-1], pairs).ravel()
    return dataclasses.replace(self, margins=self.margins[order])


def _counted(count: int, words: str, needed: int) -> str | None:
  return None if count >= needed else (
      f'only {count} {words}; it takes {needed}')


def _check(inputs: Inputs, against: str, least: int = LEAST) -> str | None:
  """Why nothing can be computed of the models at hand, if so."""
  shadows = inputs.shadows
  if shadows is None:
    return NO_SHADOWS
  states = shadows.states
  few = _counted(int((states == FORGET).sum(0).min()),
                 'shadow models had an image to forget', least)
  if few or against != 'retrained':
    if against == 'unseen' and shadows.by_request:
      return 'of the design by request no model never saw forget'
    return few or _counted(int((states == OUT).sum(0).min()),
                           'shadow models never saw an image', least)
  if shadows.retrained is not None:
    return None
  if any('forget' not in model.logits for model in inputs.retrained):
    return 'no logits on forget'
  count = len(inputs.retrained)
  return None if count >= least else (
      f'it needs at least {least} retrained models, got {count}')


def _sides(inputs: Inputs, against: str, *, before: bool = False,
           split: str = 'forget') -> _Sides:
  """Models that unlearned an image, and those that they are compared with."""
  shadows = inputs.shadows
  assert shadows is not None
  known = {'unlearned': shadows.unlearned, 'before': shadows.before,
           'retrained': shadows.retrained}
  first, second = shadows.states == FORGET, shadows.states == OUT
  if split != 'forget':  # where no model has anything to forget
    known = {**dict.fromkeys(known), **shadows.elsewhere[split]}
    first = np.ones((len(first), len(inputs.parts[split])), bool)
  margins = known['before' if before else 'unlearned']
  assert margins is not None
  if against != 'retrained':
    return _Sides(margins, first, second)
  others, side = known['retrained'], first
  paired = others is not None
  if others is None:
    others = np.stack([margins_of(inputs, model, split)
                       for model in inputs.retrained])
    side = np.ones(others.shape, bool)
  return _Sides(
      np.concatenate([margins, others]),
      np.concatenate([first, np.zeros_like(side)]),
      np.concatenate([np.zeros_like(first), side]), paired)


def _read(found: ulira.Scores) -> np.ndarray:
  accuracies = found.accuracies()
  return np.array([found.auc(), accuracies.mean(), found.tpr(_RATE),
                   accuracies.max()])


def _exchanges(inputs: Inputs, sides: _Sides, read: Callable[[_Sides], Any],
               draws: int | None = None) -> np.ndarray:
  """A figure with models that changed places, ``[draws, ...]``."""
  if draws is None:
    draws = min(inputs.config.permutations,
                max(20, _MOST_PERMUTED // sides.margins.size))
  rng = np.random.default_rng(inputs.config.seed)
  return np.array([read(sides.exchanged(rng)) for _ in range(draws)])


@once
def _u_lira(inputs: Inputs, against: str, by_person: bool,
            before: bool = False) -> tuple[ulira.Scores, np.ndarray]:
  """Scores, and what :func:`_read` reads of each draw of the null."""
  units = inputs.parts['forget'].units
  sides = _sides(inputs, against, before=before)
  if by_person:
    sides, units = sides.by_person(units), np.arange(units.max() + 1)
  found = sides.scores()
  if before:
    return found, np.zeros((0, 4))
  if against == 'retrained':
    return found, _exchanges(
        inputs, sides, lambda drawn: _read(drawn.scores()))
  return found, ulira.null(
      sides.margins, sides.first, sides.second, units, _read,
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
      ``'retrained'``: retrained models, which alone there are of the design by
      request, and which vote in no other.
    by_person: of the mean margins of people.
  """
  shadows = inputs.shadows
  gate = None
  if shadows is not None and shadows.by_request != (against == 'retrained'):
    gate = NOT_OF_DESIGN
  reason = _check(inputs, against)
  if reason is None and by_person and inputs.parts['forget'].unit != 'person':
    reason = outputs.NO_PEOPLE
  if reason is not None:
    return Figure.missing(reason, gate=gate)
  assert shadows is not None
  column = ('auc', 'accuracy', 'tpr').index(what)
  before = float(_read(_u_lira(
      inputs, against, by_person, before=True)[0])[column])
  if shadows.unlearned is None:
    return Figure.missing(shadows.why, before=Estimate(before), gate=gate)
  found, null = _u_lira(inputs, against, by_person)
  part = inputs.parts['forget']
  drawn = None
  if what == 'auc' and part.has_interval:
    drawn = _drawn_areas(inputs, against, by_person)
  return dataclasses.replace(_figure(
      float(_read(found)[column]), null[:, column], before, drawn,
      min(part.n_units, len(found.values)) - 1.0), gate=gate)


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


def _not_unlearned(inputs: Inputs, split: str = 'forget') -> str | None:
  """Why there are no margins of models that unlearned, if so."""
  shadows = inputs.shadows
  assert shadows is not None
  if shadows.unlearned is None:
    return shadows.why
  if split != 'forget' and split not in shadows.elsewhere:
    return f'no margins of shadow models on {split}'
  return None


def _many(inputs: Inputs, least: int, split: str = 'forget') -> str | None:
  """Why unlearned and retrained models are no two sides, if so."""
  reason = _check(inputs, 'retrained', least) or _not_unlearned(inputs, split)
  if reason is None and any(
      split not in model.logits for model in inputs.retrained):
    reason = f'no logits on {split}'
  return reason


def klom_gaussian(inputs: Inputs, *, split: str = 'forget') -> Figure:
  """KLOM, Gaussian form: its mean over images."""
  reason = _many(inputs, klom.LEAST, split)
  if reason is not None:
    return Figure.missing(reason)
  sides = _sides(inputs, 'retrained', split=split)
  values = klom.gaussian(*sides.dense())[0]
  part = inputs.parts[split]

  def read(drawn: _Sides) -> float:
    return float(klom.gaussian(*drawn.dense())[0].mean())

  replicates = outputs.mean_over(part, values).replicates
  counts = [len(side) for side in sides.dense()]
  return _figure(
      float(values.mean()), _exchanges(inputs, sides, read),
      read(_sides(inputs, 'retrained', before=True, split=split)),
      replicates if part.has_interval else None,
      min(part.n_units, *counts) - 1.0, klom.gaussian_null(*counts))


def klom_histogram(inputs: Inputs, *, split: str = 'forget') -> Figure:
  """KLOM by histograms, its mean over images; of enough models alone."""
  reason = _many(inputs, klom.ENOUGH_FOR_HISTOGRAM, split)
  if reason is not None:
    return Figure.missing(
        f'{reason}: of fewer its null is as large as what it could see'
        if str(klom.ENOUGH_FOR_HISTOGRAM) in reason else reason)

  def read(drawn: _Sides) -> float:
    return float(klom.histogram(*drawn.dense()).mean())

  sides = _sides(inputs, 'retrained', split=split)
  return _figure(
      read(sides), _exchanges(inputs, sides, read),
      read(_sides(inputs, 'retrained', before=True, split=split)), None, 1.0)


@once
def _challenge(inputs: Inputs) -> tuple[Any, ...]:
  sides = _sides(inputs, 'retrained')
  models = min(map(len, sides.dense()))

  def read(drawn: _Sides) -> np.ndarray:
    found = epsilon.challenge(*drawn.dense())
    return np.array([found.mean(), epsilon.forgetting_quality(found, models)])

  return (read(sides), _exchanges(inputs, sides, read, _NULLS_OF_EPSILON),
          read(_sides(inputs, 'retrained', before=True)))


def challenge(inputs: Inputs, *, quality: bool = False) -> Figure:
  """Epsilon as the challenge of 2023 took it, or its figure F."""
  reason = _many(inputs, klom.LEAST)
  if reason is not None:
    return Figure.missing(reason)
  value, null, before = (part[..., int(quality)] for part in _challenge(inputs))
  return Figure(
      Estimate(float(value)),
      Estimate(float(null.mean()), float(null.min()), float(null.max())),
      Estimate(float(before)))


def shown_epsilon(inputs: Inputs) -> Figure:
  """Largest lower bound of epsilon over images, at .05 for all together."""
  reason = _many(inputs, LEAST)
  if reason is not None:
    return Figure.missing(reason)
  sides, old = (_sides(inputs, 'retrained', before=before).dense()
                for before in (False, True))
  n = sides[0].shape[1]
  if not epsilon.most_shown(len(sides[0]), len(sides[1]), _LEVELS[-1] / n):
    return Figure.missing(
        f'{len(sides[0])} unlearned and {len(sides[1])} retrained models of an '
        f'image could not show any epsilon at {_LEVELS[-1]} over {n} images, '
        'however well they were told apart; '
        f'{enough_for_epsilon(n)} a side could')

  def largest(of: tuple[np.ndarray, np.ndarray], level: float) -> float:
    return float(epsilon.lower_bound(*of, level / n).max())

  before, value = (largest(of, _LEVELS[-1]) for of in (old, sides))
  p = None
  if value > 0:  # a smaller level shows less
    p = next(level for level in _LEVELS
             if level == _LEVELS[-1] or largest(sides, level) > 0)
  return Figure(Estimate(value), Estimate(0.0), Estimate(before), p=p,
                sees=before > 0)


def enough_for_epsilon(images: int) -> int:
  """The fewest models a side of which some epsilon can be shown."""
  return next(models for models in itertools.count(LEAST) if (
      epsilon.most_shown(models, models, _LEVELS[-1] / images)))


def privacy_harm(inputs: Inputs) -> Figure:
  """How much better people who stay are told than after retraining.

  U-LiRA of models that kept somebody against models that never saw them; under
  unlearned models minus under the same ones, retrained. It needs the design
  that keeps people.
  """
  shadows = inputs.shadows
  if shadows is None:
    return Figure.missing(NO_SHADOWS)
  first, second = (shadows.states == state for state in (KEEP, OUT))
  if not first.any():
    return Figure.missing('this design kept nobody of the people to forget')
  reason = _counted(int(min(first.sum(0).min(), second.sum(0).min())),
                    'shadow models kept, or never saw, an image', LEAST)
  reason = reason or _not_unlearned(inputs)
  if reason is None and shadows.retrained is None:
    reason = 'it needs the same models, retrained without what they forgot'
  if reason is not None:
    return Figure.missing(reason)
  both = [side for side in (shadows.unlearned, shadows.retrained)
          if side is not None]
  part = inputs.parts['forget']
  sides = tuple(ulira.of_units(side, part.units) for side in (first, second))

  def harm(one: np.ndarray, other: np.ndarray) -> float:
    return ulira.privacy_harm(*(
        ulira.scores(margins, one[:, part.units], other[:, part.units])
        for margins in both))

  rng = np.random.default_rng(inputs.config.seed)
  null = np.array([
      harm(*ulira.permuted(sides[0], sides[1], rng, together=False))
      for _ in range(inputs.config.permutations)])
  return _figure(harm(sides[0], sides[1]), null, None, None, 1.0)


@once
def _online(inputs: Inputs) -> tuple[lira.Normals, lira.Normals, np.ndarray]:
  """Both sides before anything was unlearned; scores of models outside."""
  shadows = inputs.shadows
  assert shadows is not None
  inside, out = shadows.states != OUT, shadows.states == OUT
  others = lira.online(shadows.before, *lira.fit_sides(
      shadows.before, inside, out, left_out=True))
  return *lira.fit_sides(shadows.before, inside, out), np.sort(others[out])


def lira_online(inputs: Inputs, model: Model) -> Estimate:
  """AUC of the judged model's scores on forget over those of models without.

  The latter are the scores of all models on all images that they never saw,
  pooled; ties count one half.
  """
  reason = _check(inputs, 'unseen')
  if reason is None and 'forget' not in model.logits:
    reason = 'no logits on forget'
  if reason is not None:
    return Estimate.missing(reason)
  *sides, others = _online(inputs)
  values = lira.online(margins_of(inputs, model, 'forget'), *sides)
  above = .5 * (np.searchsorted(others, values)
                + np.searchsorted(others, values, 'right')) / len(others)
  return outputs.mean_over(inputs.parts['forget'], above, SHARE)


def notes(inputs: Inputs) -> list[str]:
  """What the number and the kind of shadow models mean for a reader."""
  shadows = inputs.shadows
  if shadows is None:
    return []
  found = []
  count = int((shadows.states == FORGET).sum(0).min()) + (
      len(inputs.retrained) if shadows.by_request else
      int((shadows.states == OUT).sum(0).min()))
  if count < SCREENING:
    found.append(
        f'{count} models on both sides of an image: what is not told apart may '
        f'still be there; {SCREENING} are a screening, {PUBLICATION} or more '
        'are for publication.')
  if shadows.unlearned is None:
    found.append(
        'Of tier 3 only what needs no unlearned shadow model was computed: '
        f'{shadows.why}.')
  return found


def worst(inputs: Inputs) -> list[dict[str, Any]]:
  """The images whose side U-LiRA tells best; see ``ulira.worst``.

  ``example`` is the row of forget.
  """
  shadows = inputs.shadows
  if shadows is None or shadows.unlearned is None:
    return []
  against = 'retrained' if shadows.by_request else 'unseen'
  if _check(inputs, against) is not None:
    return []
  found, null = _u_lira(inputs, against, False)
  rows = inputs.parts['forget'].rows
  return [{**row, 'example': int(rows[int(row['example'])])}
          for row in ulira.worst(found, null[:, 3])]
