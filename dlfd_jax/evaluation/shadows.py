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
import functools
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from dlfd_jax.data import splits as splits_lib
from dlfd_jax.evaluation import outputs
from dlfd_jax.evaluation.estimate import SHARE, Estimate
from dlfd_jax.evaluation.inputs import Inputs, Model, once
from dlfd_jax.evaluation.reference_attack import margins as margins_of
from dlfd_jax.evaluation.references import FORGET, KEEP, OUT
from dlfd_jax.metrics import epsilon, klom, lira, ulira
from dlfd_jax.utils import text

NO_SHADOWS = 'no shadow models were given'
LEAST = 4  # models of a side: those that are left must give a variance
SCREENING, PUBLICATION = 32, 64  # shadow models that are worth a verdict
NOT_OF_DESIGN = 'not of this design'
NO_ACCURACIES = 'how often the shadow models are right was not read'
EPSILON = 'shadows/forget/epsilon_lb'  # of each image, among the arrays
POINTS = {'median': .5, '90 %': .9, '95 %': .95, '99 %': .99}  # over images
KLOM_POINTS = ('median', '95 %')
_KLOM = ('mean', *KLOM_POINTS)
_RATE = .01
_READ = ('auc', 'accuracy', 'largest', *POINTS, 'tpr', 'fpr')
_CHALLENGE = ('epsilon', 'quality', 'final')
# Of fewer people KLOM's own interval holds too seldom (`coverage.md`): it does
# not know how models vary, as that of the difference to its null does.
_ENOUGH_FOR_KLOM = 50
_NULLS_OF_EPSILON = 3  # a draw takes seconds; too few for points of 95 %
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
    notes: sentences to be read with it.
  """

  value: Estimate
  null: Estimate
  before: Estimate | None = None
  error: float | None = None
  freedom: float = 1.0
  p: float | None = None
  sees: bool | None = None
  gate: str | None = None
  notes: tuple[str, ...] = ()

  @classmethod
  def missing(cls, reason: str, **more: Any) -> Figure:
    """A figure that was not computed."""
    none = Estimate.missing(reason)
    return cls(none, none, **{'before': none, **more})


@dataclasses.dataclass(frozen=True, eq=False)
class _Sides:
  """Margins of models, and who is on which side; see ``ulira``.

  ``paired``: model ``k`` of the second half was trained as model ``k`` of the
  first, without what that one had to forget. ``accuracies``: on retain and
  test, ``[models, 2]``; None = not known of all.
  """

  margins: np.ndarray
  first: np.ndarray
  second: np.ndarray
  paired: bool = False
  accuracies: np.ndarray | None = None

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

  def final_score(self, quality: float) -> float:
    """The challenge's, of its figure F; NaN without accuracies."""
    if self.accuracies is None:
      return np.nan
    return epsilon.final_score(quality, *(
        self.accuracies[side.any(1)].mean(0)
        for side in (self.first, self.second)))

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
    return dataclasses.replace(
        self, margins=self.margins[order], accuracies=None
        if self.accuracies is None else self.accuracies[order])


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
  accuracies = _accuracies(inputs, 'before' if before else 'unlearned')
  return _Sides(
      np.concatenate([margins, others]),
      np.concatenate([first, np.zeros_like(side)]),
      np.concatenate([np.zeros_like(first), side]), paired,
      None if isinstance(accuracies, str) else accuracies)


@once
def _accuracies(inputs: Inputs, name: str) -> np.ndarray | str:
  """On retain and test, of shadow models and retrained ones; or why not."""
  shadows = inputs.shadows
  assert shadows is not None
  found = [shadows.accuracies.get(name)]
  if shadows.retrained is not None:
    found.append(shadows.accuracies.get('retrained'))
  else:
    read = [[outputs.accuracy_on(inputs, model, split=split)
             for split in outputs.VERDICT_SIDES['utility']]
            for model in inputs.retrained]
    for one in itertools.chain(*read):
      if one.value is None:
        return str(one.reason)
    found.append(np.array([[one.value for one in row] for row in read]))
  if any(values is None for values in found):
    return NO_ACCURACIES
  every = np.concatenate([values for values in found if values is not None])
  if np.isnan(every).any():
    return 'no label is known on retain or test'
  if not every.all():
    return 'a model is right on no image of retain or test'
  return every


def _read(found: ulira.Scores, margins: np.ndarray | None = None) -> np.ndarray:
  """What figures are made of; rates of margins alone, which take longest."""
  accuracies = found.accuracies()
  rates = (np.nan, np.nan) if margins is None else ulira.called(
      margins, found.first, found.second, _RATE)
  return np.array([
      found.auc(), accuracies.mean(), accuracies.max(),
      *np.quantile(accuracies, list(POINTS.values())), *rates])


def _exchanges(inputs: Inputs, sides: _Sides, read: Callable[[_Sides], Any],
               draws: int | None = None) -> np.ndarray:
  """A figure with models that changed places, ``[draws, ...]``."""
  if draws is None:
    draws = min(inputs.config.permutations,
                max(20, _MOST_PERMUTED // sides.margins.size))
  rng = np.random.default_rng(inputs.config.seed)
  return np.array([read(sides.exchanged(rng)) for _ in range(draws)])


@once
def _u_lira(inputs: Inputs, against: str, by_person: bool, before: bool = False
            ) -> tuple[ulira.Scores, np.ndarray, np.ndarray]:
  """Scores, what :func:`_read` reads of them, and of each draw of the null."""
  units = inputs.parts['forget'].units
  sides = _sides(inputs, against, before=before)
  if by_person:
    sides, units = sides.by_person(units), np.arange(units.max() + 1)
  read = functools.partial(
      _read, margins=None if by_person or against == 'retrained'
      else sides.margins)
  found = sides.scores()
  if before:
    null = np.zeros((0, len(_READ)))
  elif against == 'retrained':
    null = _exchanges(inputs, sides, lambda drawn: read(drawn.scores()))
  else:
    null = ulira.null(
        sides.margins, sides.first, sides.second, units, read,
        draws=inputs.config.permutations, seed=inputs.config.seed,
        together=False)
  return found, read(found), null


@once
def _drawn_areas(inputs: Inputs, against: str, by_person: bool) -> np.ndarray:
  """AUC on resamples of models and of people together, ``[rows]``."""
  found = _u_lira(inputs, against, by_person)[0]
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


def u_lira(inputs: Inputs, what: str = 'auc', *, against: str = 'unseen',
           by_person: bool = False) -> Figure:
  """U-LiRA over images (or people) and models.

  Args:
    inputs: everything that was given.
    what: ``'auc'``, pooled; ``'accuracy'``, the mean over images, or one of
      ``POINTS`` of it; ``'tpr'`` or ``'fpr'``, of images against ``'unseen'``
      alone: the share called unlearned, of those that are and of those that
      are not, at a rate of false alarms that is the same for every image.
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
  column = _READ.index(what)
  before = float(_u_lira(inputs, against, by_person, before=True)[1][column])
  if shadows.unlearned is None:
    return Figure.missing(shadows.why, before=Estimate(before), gate=gate)
  found, values, null = _u_lira(inputs, against, by_person)
  part = inputs.parts['forget']
  drawn = None
  if what == 'auc' and part.has_interval:
    drawn = _drawn_areas(inputs, against, by_person)
  return dataclasses.replace(_figure(
      float(values[column]), null[:, column], before, drawn,
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


def _gaussian(unlearned: np.ndarray, retrained: np.ndarray) -> np.ndarray:
  return klom.gaussian(unlearned, retrained)[0]


@once
def _klom(inputs: Inputs, form: Callable[..., np.ndarray],
          split: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
  """KLOM of each image, and ``_KLOM`` of it, of its null and of before."""
  shares = [POINTS[point] for point in KLOM_POINTS]

  def read(drawn: _Sides) -> np.ndarray:
    values = form(*drawn.dense())
    return np.array([values.mean(), *np.quantile(values, shares)])

  sides = _sides(inputs, 'retrained', split=split)
  return (form(*sides.dense()), read(sides), _exchanges(inputs, sides, read),
          read(_sides(inputs, 'retrained', before=True, split=split)))


def klom_gaussian(inputs: Inputs, what: str = 'mean', *,
                  split: str = 'forget') -> Figure:
  """KLOM, Gaussian form: its mean over images, or one of ``KLOM_POINTS``."""
  reason = _many(inputs, klom.LEAST, split)
  if reason is not None:
    return Figure.missing(reason)
  values, found, null, before = _klom(inputs, _gaussian, split)
  column, part = _KLOM.index(what), inputs.parts[split]
  drawn = expected = None
  sides = _sides(inputs, 'retrained', split=split).dense()
  counts = [len(side) for side in sides]
  if what == 'mean':  # points have no formula
    expected = klom.gaussian_null(*counts)
    if part.has_interval:
      drawn = outputs.mean_over(part, values).replicates
  figure = _figure(
      float(found[column]), null[:, column], float(before[column]), drawn,
      min(part.n_units, *counts) - 1.0, expected)
  if part.n_units < _ENOUGH_FOR_KLOM:
    figure = dataclasses.replace(figure, value=figure.value.without_interval)
  peaky = int(klom.gaussian(*sides)[1].sum())
  if peaky:
    figure = dataclasses.replace(figure, notes=(
        f'{text.counted(peaky, "image")} of {len(values)}: margins of '
        'one side vary less than 1 % as much as those of the other, and count '
        'as varying by 1 % of it.',))
  return figure


def klom_histogram(inputs: Inputs, what: str = 'mean', *,
                   split: str = 'forget') -> Figure:
  """KLOM by histograms, likewise; of enough models alone."""
  reason = _many(inputs, klom.ENOUGH_FOR_HISTOGRAM, split)
  if reason is not None:
    return Figure.missing(
        f'{reason}: of fewer its null is as large as what it could see'
        if str(klom.ENOUGH_FOR_HISTOGRAM) in reason else reason)
  _, found, null, before = _klom(inputs, klom.histogram, split)
  column = _KLOM.index(what)
  return _figure(float(found[column]), null[:, column], float(before[column]),
                 None, 1.0)


@once
def _challenge(inputs: Inputs) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """``_CHALLENGE``, of its null and of before."""
  sides = _sides(inputs, 'retrained')
  models = min(map(len, sides.dense()))

  def read(drawn: _Sides) -> np.ndarray:
    found = epsilon.challenge(*drawn.dense())
    quality = epsilon.forgetting_quality(found, models)
    return np.array([found.mean(), quality, drawn.final_score(quality)])

  return (read(sides), _exchanges(inputs, sides, read, _NULLS_OF_EPSILON),
          read(_sides(inputs, 'retrained', before=True)))


def challenge(inputs: Inputs, what: str = 'epsilon') -> Figure:
  """The challenge of 2023.

  Args:
    inputs: everything that was given.
    what: ``'epsilon'``, the mean over images; ``'quality'``, F; ``'final'``, F
      times the ratios of retain and test accuracy, with its null and what was
      before by their own accuracies.
  """
  reason = _many(inputs, klom.LEAST)
  if reason is None and what == 'final':
    reason = next((found for name in ('unlearned', 'before') if isinstance(
        found := _accuracies(inputs, name), str)), None)
  if reason is not None:
    return Figure.missing(reason)
  column = _CHALLENGE.index(what)
  value, null, before = (part[..., column] for part in _challenge(inputs))
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


@once
def shown_by_image(inputs: Inputs) -> np.ndarray | None:
  """Lower bound of epsilon of each image by itself, at .05, ``[n]``.

  None where there are none, or so few models that they could not show any.
  """
  if _many(inputs, LEAST) is not None:
    return None
  unlearned, retrained = _sides(inputs, 'retrained').dense()
  if not epsilon.most_shown(len(unlearned), len(retrained), _LEVELS[-1]):
    return None
  return epsilon.lower_bound(unlearned, retrained, _LEVELS[-1])


def stored(inputs: Inputs, splits: splits_lib.Splits) -> dict[str, np.ndarray]:
  """Figures of single images, by name.

  Returns:
    ``EPSILON``, float64 ``[n]``, all images of forget, NaN without a known
    label; nothing where :func:`shown_by_image` has none.
  """
  values = shown_by_image(inputs)
  if values is None:
    return {}
  found = np.full(len(splits.forget), np.nan)
  found[inputs.parts['forget'].rows] = values
  return {EPSILON: found}


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
def _online(inputs: Inputs, by_person: bool
            ) -> tuple[lira.Normals, lira.Normals, np.ndarray]:
  """Both sides before anything was unlearned; scores of models outside."""
  shadows = inputs.shadows
  assert shadows is not None
  sides = _Sides(
      shadows.before, shadows.states != OUT, shadows.states == OUT)
  if by_person:
    sides = sides.by_person(inputs.parts['forget'].units)
  fitted = lira.fit_sides(sides.margins, sides.first, sides.second)
  return *fitted, np.sort(sides.scores().values[sides.second])


def lira_online(inputs: Inputs, model: Model, *,
                by_person: bool = False) -> Estimate:
  """AUC of the judged model's scores on forget over those of models without.

  The latter are the scores of all models on all images that they never saw,
  pooled; ties count one half.

  Args:
    inputs: everything that was given.
    model: to be judged.
    by_person: of the mean margins of people.
  """
  part = inputs.parts['forget']
  reason = _check(inputs, 'unseen')
  if reason is None and by_person and part.unit != 'person':
    reason = outputs.NO_PEOPLE
  if reason is None and 'forget' not in model.logits:
    reason = 'no logits on forget'
  if reason is not None:
    return Estimate.missing(reason)
  *sides, others = _online(inputs, by_person)
  margins = margins_of(inputs, model, 'forget')
  if by_person:
    margins = ulira.by_person(margins[None], part.units)[0]
  values = lira.online(margins, *sides)
  above = .5 * (np.searchsorted(others, values)
                + np.searchsorted(others, values, 'right')) / len(others)
  if not by_person:
    return outputs.mean_over(part, above, SHARE)
  drawn = part.multiplicities @ above / part.multiplicities.sum(1)
  return Estimate.resampled(float(above.mean()), drawn, part.n_units, SHARE)


def notes(inputs: Inputs) -> list[str]:
  """What the number and the kind of shadow models mean for a reader."""
  shadows = inputs.shadows
  if shadows is None:
    return []
  found = []
  unlearned = int((shadows.states == FORGET).sum(0).min())
  without = (len(inputs.retrained) if shadows.by_request else
             int((shadows.states == OUT).sum(0).min()))
  if unlearned + without < SCREENING:
    found.append(
        f'{text.counted(unlearned, "model")} that unlearned an image and '
        f'{without} without it: what is not told apart may still be there; '
        f'{SCREENING} together are a screening, {PUBLICATION} or more are for '
        'publication.')
  if shadows.unlearned is None:
    found.append(
        'Of tier 3 only what needs no unlearned shadow model was computed: '
        f'{shadows.why}.')
  if _many(inputs, klom.LEAST) is None:
    found.append(
        "Of epsilon, F and final score of the challenge's form the range "
        'beside the null is from the smallest to the largest of '
        f'{_NULLS_OF_EPSILON} draws; beside other nulls of tier 3 it holds '
        '95 % of the draws.')
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
  found, _, null = _u_lira(inputs, against, False)
  rows = inputs.parts['forget'].rows
  return [{**row, 'example': int(rows[int(row['example'])])}
          for row in ulira.worst(found, null[:, _READ.index('largest')])]
