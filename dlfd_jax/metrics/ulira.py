"""U-LiRA: is a model one that unlearned an example, or one that never had it?

Of every example some models are on the first side (they unlearned it) and some
on the second (they never saw it, or were retrained without it); the rest are on
neither. Each model in turn is judged by the likelihood ratio of the others.
After exact unlearning the two sides are one law, and no attack is better than a
guess, but for the luck of so many tries: the null permutes sides over models.

References: Hayes et al. (2024), arXiv:2403.01218; Naderloui et al. (2025),
arXiv:2506.13009 (states of each model).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
from scipy import special

from dlfd_jax.metrics import lira, ranks, stats
from dlfd_jax.utils import validate

LEVEL = .05
WORST = 10


@dataclasses.dataclass(frozen=True, eq=False)
class Scores:
  """Every model judged by the others, per example.

  Attributes:
    values: log likelihood ratios ``[models, n]``; above 0: the first side.
    first: bool ``[models, n]``.
    second: bool ``[models, n]``.
  """

  values: np.ndarray
  first: np.ndarray
  second: np.ndarray

  def auc(self, model_weights: np.ndarray | None = None,
          example_weights: np.ndarray | None = None) -> np.ndarray:
    """AUC over all pairs of an example and a model, pooled.

    The AUC within an example is not computed: of scores that leave the judged
    model out it is below one half where there is nothing to find.

    Args:
      model_weights: ``[rows, models]``; None = all 1.
      example_weights: ``[rows, n]``; None = all 1.

    Returns:
      ``[rows]``, or a number.
    """
    weights: list[np.ndarray | None] = [None, None]
    if model_weights is not None and example_weights is not None:
      weights = [model_weights[:, np.nonzero(side)[0]]
                 * example_weights[:, np.nonzero(side)[1]]
                 for side in (self.first, self.second)]
    return ranks.area(*ranks.roc(
        self.values[self.first], self.values[self.second], *weights))

  def accuracies(self) -> np.ndarray:
    """Balanced accuracy of "above 0" of each example, ``[n]``."""
    above = self.values > 0
    return .5 * ((above & self.first).sum(0) / self.first.sum(0)
                 + (~above & self.second).sum(0) / self.second.sum(0))


def scores(margins: np.ndarray, first: np.ndarray,
           second: np.ndarray) -> Scores:
  """Judges each model by distributions that are fitted without it.

  Args:
    margins: ``[models, n]``.
    first: bool ``[models, n]``.
    second: bool ``[models, n]``.

  Raises:
    ValueError: if an example has fewer than 3 models on a side, or one on both.
  """
  sides = lira.fit_sides(margins, first, second, left_out=True)
  return Scores(lira.online(margins, *sides), first, second)


def called(margins: np.ndarray, first: np.ndarray, second: np.ndarray,
           rate: float) -> tuple[float, float]:
  """Shares of both sides that are called first at a false-positive rate.

  The rate is one of each example, see ``lira.online_p_values``: that of the
  second side differs from it by luck, and where margins are not normal.

  Args:
    margins: ``[models, n]``.
    first: bool ``[models, n]``.
    second: bool ``[models, n]``.
    rate: in (0, 1).

  Raises:
    ValueError: as :func:`scores`, or if the rate is out of its range.
  """
  validate.number('rate', rate, 0, 1, ends='()')
  found = lira.online_p_values(margins, first, second) <= rate
  return float(found[first].mean()), float(found[second].mean())


def by_person(margins: np.ndarray, units: np.ndarray) -> np.ndarray:
  """Mean margin of each person's images, ``[models, people]``.

  Args:
    margins: ``[models, n]``.
    units: int ``[n]`` in ``[0, people)``, all used.
  """
  counts = np.bincount(units)
  total = np.zeros((len(margins), len(counts)))
  np.add.at(total.T, units, margins.T)
  return total / counts


def of_units(sides: np.ndarray, units: np.ndarray) -> np.ndarray:
  """The sides of each unit, whose examples are all on the same.

  Raises:
    ValueError: if two examples of a unit are on different sides of a model.
  """
  _, first = np.unique(units, return_index=True)
  found = sides[:, first]
  if not np.array_equal(found[:, units], sides):
    raise ValueError('Expected all images of a person on one side of a model.')
  return found


def permuted(first: np.ndarray, second: np.ndarray,
             rng: np.random.Generator, *, together: bool,
             ) -> tuple[np.ndarray, np.ndarray]:
  """Sides swapped over the models that are on either.

  Args:
    first: bool ``[models, units]``.
    second: bool ``[models, units]``.
    rng: the generator.
    together: one order for all units, where all have the same models on a side
      (the design by request: what all examples of a model share must not pass
      for chance); else one for each.
  """
  sides = first.astype(np.int8) - second
  found = np.zeros_like(sides)
  if together:
    if not (sides == sides[:, :1]).all():
      raise ValueError('Expected the same models on a side of every example.')
    rows = np.flatnonzero(sides[:, 0])
    found[rows] = sides[rng.permutation(rows)]
    return found > 0, found < 0
  for unit in range(sides.shape[1]):
    rows = np.flatnonzero(sides[:, unit])
    found[rows, unit] = sides[rng.permutation(rows), unit]
  return found > 0, found < 0


def null(margins: np.ndarray, first: np.ndarray, second: np.ndarray,
         units: np.ndarray, read: Callable[[Scores], np.ndarray], *,
         draws: int, seed: int, together: bool) -> np.ndarray:
  """A figure where there is nothing to find, ``[draws, ...]``.

  Args:
    margins: ``[models, n]``.
    first: bool ``[models, n]``.
    second: bool ``[models, n]``.
    units: int ``[n]``, who is permuted as one.
    read: the figure.
    draws: permutations.
    seed: of them.
    together: see :func:`permuted`.
  """
  validate.integer('draws', draws)
  rng = np.random.default_rng(seed)
  sides = of_units(first, units), of_units(second, units)
  found = []
  for _ in range(draws):
    swapped = permuted(*sides, rng, together=together)
    found.append(read(scores(
        margins, *(side[:, units] for side in swapped))))
  return np.array(found)


def binomial_p(right: int, tries: int) -> float:
  """Chance of at least so many right guesses of a coin.

  Example:
    >>> round(binomial_p(22, 32), 6)
    0.025051
  """
  return float(special.bdtrc(right - 1, tries, .5)) if right > 0 else 1.0


def worst(found: Scores, largest_of_null: np.ndarray,
          count: int = WORST) -> list[dict[str, float | int | bool]]:
  """The examples whose side is told best, and whether that counts.

  It counts beyond the 95 % point of the null's largest accuracy and if the
  binomial p, adjusted after Benjamini and Hochberg, is at most .05.

  Args:
    found: the scores.
    largest_of_null: largest accuracy in each draw of the null.
    count: how many are listed.

  Returns:
    ``example`` (its column), ``accuracy``, ``p``, ``adjusted_p``, ``shown``.
  """
  accuracies = found.accuracies()
  tries = 2 * np.minimum(found.first.sum(0), found.second.sum(0))
  p = np.array([binomial_p(math.floor(share * n + 1e-9), int(n))
                for share, n in zip(accuracies, tries)])
  adjusted = stats.benjamini_hochberg(p.tolist())
  limit = np.quantile(largest_of_null, 1 - LEVEL)
  return [{'example': int(i), 'accuracy': float(accuracies[i]),
           'p': float(p[i]), 'adjusted_p': float(adjusted[i]),
           'shown': bool(accuracies[i] > limit and adjusted[i] <= LEVEL)}
          for i in np.argsort(-accuracies, kind='stable')[:count]]


def privacy_harm(unlearned: Scores, retrained: Scores) -> float:
  """How much more the people who stay leak than after retraining, in [-1, 1].

  Args:
    unlearned: first side: models that kept an example while they unlearned
      others; second: models that never saw it.
    retrained: the same of retrained models.
  """
  return float(unlearned.auc()) - float(retrained.auc())
