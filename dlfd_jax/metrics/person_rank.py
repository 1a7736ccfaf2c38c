r"""Where one person lies among unseen people: what one image can still show.

One person has no spread to put an interval around, but a rank among N people
whom no model saw. If nothing is left of the person, each of the N + 1 ranks is
as likely, whatever the distribution:

.. math:: p_{high} = \frac{1 + \#\{\text{unseen at least as high}\}}{1 + N},
          \quad p = \min(1, 2 \min(p_{high}, p_{low}))

A mean over twelve images varies less than one image, and a class may be harder
than another. So every person counts with as many images, drawn at random where
there are more (p is the mean over the draws), of the person's classes only, and
the value of an image is what it stands above the mean of its class, in
standard deviations of the class.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from dlfd_jax.metrics import ranks, stats
from dlfd_jax.utils import validate

LEVEL = .05
_ROUNDING = 1e-9  # of values whose standard deviation is 1
_AT_ONCE = 2_000_000  # values held at once


def needed(level: float = LEVEL) -> int:
  """How many unseen people it takes for p to reach a level.

  Example:
    >>> needed(), needed(.01)
    (39, 199)
  """
  validate.number('level', level, 0, 1, ends='()')
  return math.ceil(2 / level - 1e-9) - 1


@dataclasses.dataclass(frozen=True)
class Rank:
  """The place of one person among unseen people.

  Attributes:
    value: mean over the images compared, in standard deviations of the images
      of their class; higher = more member-like.
    images: how many of each person are compared.
    unseen: N, people they are compared with.
    p_high: of a value so high, one-sided.
    p_low: of a value so low.
    low: only a value below this would have had a two-sided p of at most the
      level (over ``tries``); None where so few unseen people allow none.
    high: or one above this.
  """

  value: float
  images: int
  unseen: int
  p_high: float
  p_low: float
  low: float | None
  high: float | None

  @property
  def p_value(self) -> float:
    """Two-sided."""
    return min(1.0, 2 * min(self.p_high, self.p_low))

  @property
  def place(self) -> float:
    """Among 1 + N people, 1 = the most member-like; a mean over the draws."""
    return self.p_high * (1 + self.unseen)

  @property
  def smallest(self) -> float:
    """The smallest two-sided p that so many unseen people allow."""
    return min(1.0, 2 / (1 + self.unseen))


def rank(values: np.ndarray, unseen: np.ndarray, keys: np.ndarray,
         unseen_keys: np.ndarray, unseen_units: np.ndarray, *,
         level: float = LEVEL, tries: int = 1, draws: int = 100,
         seed: int = 0) -> Rank | None:
  """The rank of one person.

  Everybody counts with as many images as the person has; with fewer, where too
  few unseen people have so many for p to reach the level.

  Args:
    values: of the person's images, ``[k]``, higher = more member-like.
    unseen: of the images of unseen people, ``[m]``.
    keys: class of each image of the person, int ``[k]``.
    unseen_keys: int ``[m]``.
    unseen_units: person of each, int ``[m]``; see ``stats.units_of``.
    level: of the two-sided p.
    tries: how many people are ranked: each alone needs that share of the level.
    draws: random choices among the images of people who have more.
    seed: of the draws.

  Returns:
    None if no unseen image is of a class of the person.

  Raises:
    ValueError: if a side is empty or not finite, or lengths differ.

  Example:
    >>> found = rank([3.], [0., 1., 2.], [0], [0, 0, 0], [0, 1, 2])
    >>> found.unseen, found.p_value, found.smallest
    (3, 0.5, 0.5)
  """
  values = ranks.check_scores('values', values)
  unseen = ranks.check_scores('unseen values', unseen)
  keys = validate.same_length('keys', keys, 'the values', len(values))
  unseen_keys = validate.same_length(
      'unseen keys', unseen_keys, 'the unseen values', len(unseen))
  unseen_units = validate.same_length(
      'unseen units', unseen_units, 'the unseen values', len(unseen))
  validate.integer('draws', draws)
  validate.integer('tries', tries)
  own, others = np.isin(keys, unseen_keys), np.isin(unseen_keys, keys)
  if not own.any():
    return None
  within = _within_class(
      np.concatenate([values[own], unseen[others]]),
      np.concatenate([keys[own], unseen_keys[others]]))
  mine, theirs = np.split(within, [int(own.sum())])
  _, units, counts = np.unique(
      unseen_units[others], return_inverse=True, return_counts=True)
  images = _images(len(mine), counts, needed(level))
  kept = counts[units] >= images
  theirs, (_, units) = theirs[kept], np.unique(
      units[kept], return_inverse=True)
  if len(mine) == images and (np.bincount(units) == images).all():
    draws = 1  # nothing to choose
  rng = np.random.default_rng(seed)
  size = max(1, _AT_ONCE // max(len(theirs), 1))
  parts = []
  for start in range(0, draws, size):
    few = min(size, draws - start)
    parts.append((
        _drawn_means(mine, np.zeros(len(mine), np.int64), images, few, rng),
        _drawn_means(theirs, units, images, few, rng)))
  value, means = (np.concatenate(side) for side in zip(*parts))
  above = (means >= value - _ROUNDING).sum(1)
  below = (means <= value + _ROUNDING).sum(1)
  n = means.shape[1]
  low, high = _ends(means, level / tries)
  return Rank(
      float(value.mean()), images, n, float(1 + above.mean()) / (1 + n),
      float(1 + below.mean()) / (1 + n), low, high)


def _within_class(values: np.ndarray, keys: np.ndarray) -> np.ndarray:
  """Values above the mean of their class, in its standard deviations.

  The person's own images count, too: everybody is treated alike, so that the
  ranks stay equally likely.
  """
  _, classes = np.unique(keys, return_inverse=True)
  counts = np.bincount(classes)
  centred = values - (np.bincount(classes, values) / counts)[classes]
  spread = np.sqrt(np.bincount(classes, np.square(centred)) / counts)[classes]
  size = np.abs(values).max(initial=1.0)
  return np.where(spread > 1e-12 * size,
                  centred / np.where(spread > 0, spread, 1.0), 0.0)


def _images(own: int, counts: np.ndarray, enough: int) -> int:
  """The largest number of images that leaves enough people, or all."""
  target = min(enough, len(counts))
  return max(k for k in range(1, own + 1)
             if k == 1 or (counts >= k).sum() >= target)


def _drawn_means(values: np.ndarray, units: np.ndarray, images: int, draws: int,
                 rng: np.random.Generator) -> np.ndarray:
  """Means over random images of each unit, ``[draws, units]``."""
  places = stats.places_in_units(units, rng.random((draws, len(values))))
  order = np.argsort(units, kind='stable')
  starts = np.searchsorted(units[order], np.arange(units.max() + 1))
  chosen = np.where(places < images, values, 0.0)[:, order]
  return np.add.reduceat(chosen, starts, axis=1) / images


def _ends(means: np.ndarray, level: float) -> tuple[float | None, float | None]:
  """Beyond which values p is at most the level, means over the draws."""
  place = math.floor(level * (1 + means.shape[1]) / 2 + 1e-9)
  if not place:
    return None, None
  ordered = np.sort(means, axis=1)
  return (float(ordered[:, place - 1].mean()),
          float(ordered[:, -place].mean()))
