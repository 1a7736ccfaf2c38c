"""Membership attacks on one score per example (population attacks).

Members are examples the model may remember (the forget set), non-members are
unseen ones. A score is "higher = more member-like", usually minus the loss.
No metric here is folded: an AUC or accuracy below one half means that the
members look *less* seen than unseen data (over-forgetting).
"""

from __future__ import annotations

import statistics

import numpy as np

from dlfd_jax.metrics import ranks, stats
from dlfd_jax.metrics.cross_validation import HeldOut, held_out_correct
from dlfd_jax.utils import validate

_CHUNK = 30_000  # logits held at once: they stay in cache


def auc(members: np.ndarray, non_members: np.ndarray) -> float:
  """Signed AUC: P(member scores higher) + P(equal) / 2, in [0, 1].

  Above .5: members look remembered. Below .5: over-forgotten. Perfect
  unlearning gives the retrained model's value, .5 if forget and unseen data
  are exchangeable.

  Args:
    members: scores ``[n]``.
    non_members: scores ``[m]``.

  Raises:
    ValueError: if a side is empty or not finite.

  Example:
    >>> print(round(auc([3, 2, 1], [2.5, .5, 0]), 6))
    0.777778
  """
  return float(ranks.area(*ranks.roc(members, non_members)))


def class_matched_auc(members: np.ndarray,
                      non_members: np.ndarray,
                      member_keys: np.ndarray,
                      non_member_keys: np.ndarray,
                      *,
                      draws: int | None = 20,
                      seed: int = 0) -> float:
  """AUC after giving both sides the same number of examples per class.

  In each draw the larger side of every class is cut at random to the smaller
  one; the AUC over all pairs is averaged over the draws. ``draws=None`` gives
  the limit of infinitely many draws, without randomness
  (``ranks.matching_weights``).

  Args:
    members: scores ``[n]``.
    non_members: scores ``[m]``.
    member_keys: int class of each member ``[n]`` (``Dataset.class_key``).
    non_member_keys: int class of each non-member ``[m]``.
    draws: number of random cuts, or None.
    seed: of the cuts.

  Raises:
    ValueError: if a side is empty or not finite, or no class is on both sides.
  """
  members = ranks.check_scores('members', members)
  non_members = ranks.check_scores('non-members', non_members)
  member_keys = validate.same_length(
      'member keys', member_keys, 'the members', len(members))
  non_member_keys = validate.same_length(
      'non-member keys', non_member_keys, 'the non-members', len(non_members))
  if draws is not None:
    validate.integer('draws', draws)
  shared = np.intersect1d(member_keys, non_member_keys)
  if not shared.size:
    raise ValueError(
        'Expected members and non-members to share a class, got none in both.')
  if draws is None:
    weights = ranks.matching_weights(member_keys, non_member_keys)
    return float(ranks.area(*ranks.roc(members, non_members, *weights)))
  sides = [[np.flatnonzero(keys == key) for key in shared]
           for keys in (member_keys, non_member_keys)]
  sizes = [min(len(a), len(b)) for a, b in zip(*sides)]
  rng = np.random.default_rng(seed)
  total = 0.0
  for _ in range(draws):
    pick, other = (
        np.concatenate([
            rng.choice(places, size, replace=False)
            for places, size in zip(side, sizes)]) for side in sides)
    total += auc(members[pick], non_members[other])
  return total / draws


def person_auc(members: np.ndarray, non_members: np.ndarray,
               member_identity: np.ndarray,
               non_member_identity: np.ndarray) -> float:
  """AUC over people: each person's score is the mean over their images.

  Args:
    members: scores ``[n]``.
    non_members: scores ``[m]``.
    member_identity: int person of each member ``[n]``; -1 = an image whose
      person is unknown, which stands for itself.
    non_member_identity: int ``[m]``.

  Raises:
    ValueError: if a side is empty or not finite.
  """
  return auc(
      person_means(members, member_identity),
      person_means(non_members, non_member_identity))


def person_means(values: np.ndarray, identity: np.ndarray) -> np.ndarray:
  """Mean value per person, ``[persons]``, in the order of ``units_of``.

  The exact mean, rounded once: people with the same values, in whatever order
  and however often, tie when they are ranked.

  Example:
    >>> print(person_means([.1, .1, .1, .1], [0, 0, 0, 1]))
    [0.1 0.1]
  """
  values = ranks.check_scores('values', values)
  units = stats.units_of(validate.same_length(
      'persons', identity, 'the values', len(values)))
  order = np.argsort(units, kind='stable')
  counts = np.bincount(units)
  if (counts == 1).all():
    return values[order]
  return np.array([
      statistics.mean(of_person.tolist()) for of_person in np.split(
          values[order], np.cumsum(counts)[:-1])])


def balanced_accuracy(members: np.ndarray,
                      non_members: np.ndarray,
                      *,
                      draws: int = 20,
                      splits: int = 10,
                      seed: int = 0,
                      two_sided: bool = False) -> float:
  """Accuracy of a logistic-regression attack with as many members as others.

  Both sides are cut at random to the same multiple of ``splits``; the score is
  standardised inside each fold; logistic regression (C = 1) is judged on the
  held-out part of a stratified, shuffled k-fold, and every fold's on what the
  cut left out: so that no cut decides who is asked. With fewer than ``splits``
  examples on a side, as many folds as examples are used.

  Args:
    members: scores ``[n]``, n >= 2.
    non_members: scores ``[m]``, m >= 2.
    draws: random cuts (and foldings) whose mean is returned.
    splits: folds.
    seed: of cuts and folds.
    two_sided: whether the attack also sees the squared score: then it finds
      members whose scores lie on both sides of the non-members', too.

  Returns:
    Accuracy in [0, 1]; .5 = the attack guesses, and exactly .5 if all scores
    are equal.

  Raises:
    ValueError: if a side has fewer than 2 scores or one is not finite, or
      ``draws`` < 1 or ``splits`` < 2.
  """
  return held_out(
      members, non_members, draws=draws, splits=splits, seed=seed,
      two_sided=two_sided).accuracy


def enough_draws(members: int, non_members: int) -> int:
  """Draws after which two seeds' forgetting scores differ by less than .005.

  The spread between seeds falls with the draws and with the smaller side; its
  standard deviation is at most .0016 here (measured at 30 to 300 a side).
  """
  return int(np.clip(20_000 // min(members, non_members), 20, 400))


def tpr_at_fpr(members: np.ndarray, non_members: np.ndarray,
               fpr: float) -> float:
  """Largest TPR of the rules "score >= t" with an empirical FPR <= ``fpr``.

  Args:
    members: scores ``[n]``.
    non_members: scores ``[m]``; with m fpr < 1 the rate says little, it may
      decide something from m fpr >= 10 on.
    fpr: allowed false-positive rate, in [0, 1].

  Returns:
    In [0, 1]; ``stats.clopper_pearson`` of ``n`` gives its interval.

  Raises:
    ValueError: if ``fpr`` is not in [0, 1], a side is empty or not finite.
  """
  if not 0 <= fpr <= 1:
    raise ValueError(f'Expected fpr in [0, 1], got {fpr}.')
  return float(ranks.largest_tpr(*ranks.roc(members, non_members), fpr))


def held_out(members: np.ndarray,
             non_members: np.ndarray,
             *,
             draws: int = 20,
             splits: int = 10,
             seed: int = 0,
             two_sided: bool = False) -> HeldOut:
  """The per-example results behind ``balanced_accuracy``.

  An interval of the accuracy resamples these, never the data before the
  cross-validation: copies of one example would sit in both folds.

  Args:
    members: scores ``[n]``, n >= 2.
    non_members: scores ``[m]``, m >= 2.
    draws: random cuts to equal sizes, each with its own folds.
    splits: folds; as many as examples where a side has fewer.
    seed: of cuts and folds.
    two_sided: whether the squared score is a second feature.

  Raises:
    ValueError: if a side has fewer than 2 scores or one is not finite, or
      ``draws`` < 1 or ``splits`` < 2.
  """
  members = ranks.check_scores('members', members)
  non_members = ranks.check_scores('non-members', non_members)
  for name, value, least in (('draws', draws, 1), ('splits', splits, 2)):
    if value < least:
      raise ValueError(f'Expected {name} >= {least}, got {value}.')
  smaller = min(members.size, non_members.size)
  if smaller < 2:
    raise ValueError(
        'Expected at least 2 members and 2 non-members, got '
        f'{members.size} and {non_members.size}.')
  splits = min(splits, smaller)
  size = splits * (smaller // splits)
  rng = np.random.default_rng(seed)
  order = [  # of each draw: a cut in random order, then the rest
      rng.permuted(np.tile(np.arange(side.size), (draws, 1)), axis=1)
      for side in (members, non_members)]

  def features(scores: np.ndarray) -> np.ndarray:
    columns = [scores, np.square(scores)] if two_sided else [scores]
    return np.stack(columns, axis=-1)

  cut, rest = (features(np.concatenate(
      [side[picks[:, part]] for side, picks in zip(
          (members, non_members), order)], axis=1))
      for part in (slice(size), slice(size, None)))
  fold = np.arange(2 * size) % size % splits
  rows = max(1, _CHUNK // (splits * (members.size + non_members.size)))
  right, called = map(np.concatenate, zip(*(
      held_out_correct(
          cut[i:i + rows], np.repeat([1.0, 0.0], size),
          fold != np.arange(splits)[:, None], rest[i:i + rows])
      for i in range(0, draws, rows))))
  more = members.size - size
  found = [np.concatenate([right[:, :size], called[:, :more]], axis=1),
           np.concatenate([right[:, size:], 1 - called[:, more:]], axis=1)]
  sums = [np.bincount(picks.ravel(), values.ravel())
          for picks, values in zip(order, found)]
  return HeldOut(sums[0], np.full(members.size, float(draws)),
                 sums[1], np.full(non_members.size, float(draws)),
                 balanced=True)
