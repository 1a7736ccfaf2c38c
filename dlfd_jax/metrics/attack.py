"""Membership attacks on one score per example (population attacks).

Members are examples the model may remember (the forget set), non-members are
unseen ones. A score is "higher = more member-like", usually minus the loss.
No figure here is folded: an AUC or accuracy below one half means that the
members look *less* seen than unseen data (over-forgetting).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dlfd_jax.metrics import cross_validation, ranks, stats
from dlfd_jax.utils import validate


class Proportion(NamedTuple):
  """A share with its 95 % interval."""
  value: float
  low: float
  high: float


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
  """Mean value per person, ``[persons]``, in the order of ``units_of``."""
  values = ranks.check_scores('values', values)
  units = stats.units_of(validate.same_length(
      'persons', identity, 'the values', len(values)))
  return np.bincount(units, values) / np.bincount(units)


def balanced_accuracy(members: np.ndarray,
                      non_members: np.ndarray,
                      *,
                      draws: int = 20,
                      splits: int = 10,
                      seed: int = 0) -> float:
  """Accuracy of a logistic-regression attack with as many members as others.

  Both sides are cut at random to the same multiple of ``splits``; the score is
  standardised inside each fold; logistic regression (C = 1) is judged on the
  held-out part of a stratified, shuffled k-fold. With fewer than ``splits``
  examples on a side, as many folds as examples are used.

  Args:
    members: scores ``[n]``, n >= 2.
    non_members: scores ``[m]``, m >= 2.
    draws: random cuts (and foldings) whose mean is returned.
    splits: folds.
    seed: of cuts and folds.

  Returns:
    Accuracy in [0, 1]; .5 = the attack guesses, and exactly .5 if all scores
    are equal.

  Raises:
    ValueError: if a side has fewer than 2 scores or one is not finite, or
      ``draws`` < 1 or ``splits`` < 2.
  """
  return cross_validation.held_out(
      members, non_members, draws=draws, splits=splits, seed=seed).accuracy


def two_sided_accuracy(members: np.ndarray,
                       non_members: np.ndarray,
                       *,
                       draws: int = 20,
                       splits: int = 10,
                       seed: int = 0) -> float:
  """``balanced_accuracy`` of an attack that sees the score and its square.

  It also finds members whose scores lie on both sides of the non-members'.
  """
  return cross_validation.held_out(
      members, non_members, draws=draws, splits=splits, seed=seed,
      two_sided=True).accuracy


def permutation_null(members: np.ndarray,
                     non_members: np.ndarray,
                     *,
                     draws: int = 100,
                     splits: int = 10,
                     seed: int = 0) -> tuple[float, float]:
  """The forgetting score that one k-fold attack shows when nothing is there.

  Membership is permuted at random ``draws`` times; each time one k-fold fit
  gives ``2 |accuracy - .5|``. It is not 0 in a finite sample: for 100 a side
  its mean is about .076 and its 95 % point .16, for 300 a side .044 and .10.

  Args:
    members: scores ``[n]``, n >= 2.
    non_members: scores ``[m]``, m >= 2.
    draws: permutations.
    splits: folds.
    seed: of the permutations.

  Returns:
    ``(mean, 95 % point)``, each in [0, 1].

  Raises:
    ValueError: as ``balanced_accuracy``.
  """
  pool = np.concatenate([
      ranks.check_scores('members', members),
      ranks.check_scores('non-members', non_members)])
  _check_at_least('draws', draws, 1)
  rng = np.random.default_rng(seed)
  accuracy = np.empty(draws)
  for draw in range(draws):
    pool = rng.permutation(pool)
    accuracy[draw] = balanced_accuracy(
        pool[:len(members)], pool[len(members):], draws=1, splits=splits,
        seed=draw)
  score = 2 * np.abs(accuracy - .5)
  return float(score.mean()), float(np.quantile(score, .95))


def _check_at_least(name, value, least):
  if value < least:
    raise ValueError(f'Expected {name} >= {least}, got {value}.')


def live_subset(class_key_forget: np.ndarray,
                class_key_val: np.ndarray,
                limit: int = 300,
                seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
  """One fixed subset for the live attack: equal sizes, equal class counts.

  Of every class the smaller side's count is taken from both sides; if that is
  more than ``limit`` in all, classes are thinned in proportion (largest
  remainders). Forget and val then differ in nothing the labels can tell.

  Args:
    class_key_forget: int class of each forget image ``[n]``.
    class_key_val: int class of each val image ``[m]``.
    limit: most examples a side.
    seed: of the draw.

  Returns:
    ``(forget, val)``: sorted int64 positions in the two inputs, of equal
    length.

  Raises:
    ValueError: if the two share no class, or ``limit`` < 2.
  """
  _check_at_least('limit', limit, 2)
  shared = np.intersect1d(class_key_forget, class_key_val)
  if not shared.size:
    raise ValueError('Expected forget and val to share a class, got none.')
  sides = [[np.flatnonzero(np.asarray(keys) == key) for key in shared]
           for keys in (class_key_forget, class_key_val)]
  counts = np.array([min(len(a), len(b)) for a, b in zip(*sides)])
  if counts.sum() > limit:
    exact = counts * (limit / counts.sum())
    whole = np.floor(exact).astype(np.int64)
    short = np.argsort(whole - exact, kind='stable')[:limit - whole.sum()]
    whole[short] += 1
    counts = whole
  rng = np.random.default_rng(seed)
  forget, val = (
      np.sort(np.concatenate([
          rng.choice(places, count, replace=False)
          for places, count in zip(side, counts)])) for side in sides)
  return forget, val


def tpr_at_fpr(members: np.ndarray, non_members: np.ndarray,
               fpr: float) -> Proportion:
  """Largest TPR of the rules "score >= t" with an empirical FPR <= ``fpr``.

  Args:
    members: scores ``[n]``.
    non_members: scores ``[m]``; with m fpr < 1 the figure says little, it may
      decide something from m fpr >= 10 on.
    fpr: allowed false-positive rate, in [0, 1].

  Returns:
    The TPR with its Clopper-Pearson interval given the threshold.

  Raises:
    ValueError: if ``fpr`` is not in [0, 1], a side is empty or not finite.
  """
  if not 0 <= fpr <= 1:
    raise ValueError(f'Expected fpr in [0, 1], got {fpr}.')
  rate = float(ranks.largest_tpr(*ranks.roc(members, non_members), fpr))
  n = len(members)
  return Proportion(rate, *stats.clopper_pearson(round(rate * n), n))
