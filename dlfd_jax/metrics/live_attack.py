"""Attacks that steer unlearning: what they read, and what they show by chance.

A run looks at them at every check, so that they are fixed once: which images
are asked, and above which score something is seen.
"""

from __future__ import annotations

import functools

import numpy as np

from dlfd_jax.metrics import attack, ranks


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
  if limit < 2:
    raise ValueError(f'Expected limit >= 2, got {limit}.')
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


def ranked_auc(member_losses: np.ndarray, non_member_losses: np.ndarray,
               member_keys: np.ndarray, non_member_keys: np.ndarray,
               member_units: np.ndarray, non_member_units: np.ndarray) -> float:
  """AUC of people (or images) by their place among unseen losses of a class.

  The place of an image is the share of the non-members of its class with a
  higher loss (ties count half); that of a person is the mean over the images.
  For members of one class that are their own units it is the AUC of -loss.

  Args:
    member_losses: nats ``[n]``.
    non_member_losses: nats ``[m]``.
    member_keys: class of each member, int ``[n]``, each with a non-member.
    non_member_keys: int ``[m]``.
    member_units: person of each member, int ``[n]``.
    non_member_units: int ``[m]``.

  Raises:
    ValueError: if a side is empty or not finite, or a member's class has no
      non-member.

  Example:
    >>> ranked_auc([.2], [.1, .3, .5, .7], *map(np.zeros, (1, 4)), [0],
    ...            [0, 1, 2, 3])
    0.75
  """
  members, others = (
      places(losses, keys, non_member_losses, non_member_keys)
      for losses, keys in ((member_losses, member_keys),
                           (non_member_losses, non_member_keys)))
  return attack.person_auc(
      members, others, np.asarray(member_units), np.asarray(non_member_units))


def places(losses: np.ndarray, keys: np.ndarray, unseen: np.ndarray,
           unseen_keys: np.ndarray) -> np.ndarray:
  """Of each image the share of unseen ones of its class with a higher loss.

  Ties count half.

  Args:
    losses: ``[n]``.
    keys: class of each, int ``[n]``, each with an unseen image.
    unseen: losses of unseen images ``[m]``.
    unseen_keys: int ``[m]``.

  Raises:
    ValueError: as :func:`ranked_auc`.
  """
  losses = ranks.check_scores('member losses', losses)
  unseen = ranks.check_scores('non-member losses', unseen)
  alone = np.setdiff1d(keys, unseen_keys)
  if alone.size:
    raise ValueError(f'Expected a non-member of class {alone[0]}, got none.')
  place = np.empty(losses.size)
  for key in np.unique(keys):
    of_class = np.sort(unseen[unseen_keys == key])
    inside = np.flatnonzero(keys == key)
    below, up_to = (np.searchsorted(of_class, losses[inside], side)
                    for side in ('left', 'right'))
    place[inside] = 1 - (below + up_to) / (2 * of_class.size)
  return place


@functools.lru_cache
def ranked_null(members: int, others: int,
                draws: int = 400) -> tuple[float, float]:
  """Mean and 95 % point of ``2 |AUC - .5|`` of ranks if nothing is there.

  Args:
    members: people (or images) to forget.
    others: unseen ones.
    draws: random orders.
  """
  rng = np.random.default_rng(0)
  total = np.array([rng.permutation(members + others)[:members].sum()
                    for _ in range(draws)])
  area = (total - members * (members - 1) / 2) / (members * others)
  score = 2 * np.abs(area - .5)
  return float(score.mean()), float(np.quantile(score, .95))


def person_null(members: np.ndarray, non_members: np.ndarray,
                member_units: np.ndarray, non_member_units: np.ndarray,
                draws: int = 400) -> tuple[float, float]:
  """Mean and 95 % point of ``2 |AUC - .5|`` when people swap sides at random.

  Scores count by their place on their own side: the two sides then differ in
  nothing, and images of one person stay as alike as they are.

  Args:
    members: scores ``[n]``.
    non_members: scores ``[m]``.
    member_units: person (or image) of each member, int ``[n]`` from 0 on.
    non_member_units: the same of non-members ``[m]``, other people.
    draws: permutations.
  """
  pool = []
  for side in (members, non_members):
    scores = ranks.check_scores('scores', side)
    ordered = np.sort(scores)
    pool.append(sum(np.searchsorted(ordered, scores, end)
                    for end in ('left', 'right')) / (2 * scores.size))
  people = int(np.max(member_units)) + 1
  units = np.concatenate([member_units, np.asarray(non_member_units) + people])
  rng = np.random.default_rng(0)
  picks = rng.permuted(np.tile(
      np.arange(units.max() + 1) < people, (draws, 1)), axis=1)
  member = picks[:, units].astype(np.float64)
  values = np.concatenate(pool)
  score = 2 * np.abs(ranks.area(*ranks.roc(
      values, values, member, 1 - member)) - .5)
  return float(score.mean()), float(np.quantile(score, .95))
