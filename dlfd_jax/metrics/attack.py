"""Membership attacks on one score per example (population attacks).

Members are examples the model may remember (the forget set), non-members are
unseen ones. A score is "higher = more member-like", usually minus the loss.
No metric here is folded: an AUC or accuracy below one half means that the
members look *less* seen than unseen data (over-forgetting).

The ``unbalanced`` functions are the attack of the papers' released code:
classes as they come, losses unscaled. They are kept only for comparison with
Choi and Na (2023), arXiv:2311.02240, and (2024), arXiv:2409.14747: with classes
of unequal size a blind attack already scores the share of the larger one.

The cross-validated attacks fit the same tiny problem (one or two features, a
few hundred examples) for every fold, draw and permutation. One call of a
general solver costs about a millisecond; here all fits advance together through
one damped Newton iteration, to the optimum that scikit-learn's
``LogisticRegression`` (C = 1) defines.
"""

from __future__ import annotations

import dataclasses
import functools
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special

from dlfd_jax.metrics import ranks, stats
from dlfd_jax.utils import validate

_SPLITS = 10
_AT_ONCE = 1_000_000  # logits held at once by the unbalanced fits
_CHUNK = 30_000  # of the balanced ones, which stay in cache
_MAX_ITERATIONS = 200
_TOLERANCE = 1e-3  # largest step of a logit at the end: its square is left
_FULL_STEP = .1  # below it Newton's step needs no shortening
_LARGEST = 1e3  # size of losses beyond which their ridge penalty is nothing


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
  members = ranks.check_scores('member losses', member_losses)
  others = ranks.check_scores('non-member losses', non_member_losses)
  alone = np.setdiff1d(member_keys, non_member_keys)
  if alone.size:
    raise ValueError(f'Expected a non-member of class {alone[0]}, got none.')
  places: list[np.ndarray] = []
  for losses, keys in ((members, member_keys), (others, non_member_keys)):
    place = np.empty(losses.size)
    for key in np.unique(keys):
      of_class = np.sort(others[non_member_keys == key])
      inside = np.flatnonzero(keys == key)
      below, up_to = (np.searchsorted(of_class, losses[inside], side)
                      for side in ('left', 'right'))
      place[inside] = 1 - (below + up_to) / (2 * of_class.size)
    places.append(place)
  return person_auc(
      places[0], places[1], np.asarray(member_units),
      np.asarray(non_member_units))


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
  if draws < 1:
    raise ValueError(f'Expected draws >= 1, got {draws}.')
  rng = np.random.default_rng(seed)
  accuracy = np.empty(draws)
  for draw in range(draws):
    pool = rng.permutation(pool)
    accuracy[draw] = balanced_accuracy(
        pool[:len(members)], pool[len(members):], draws=1, splits=splits,
        seed=draw)
  score = 2 * np.abs(accuracy - .5)
  return float(score.mean()), float(np.quantile(score, .95))


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


def shuffle_splits(n_members: int,
                   n_non_members: int) -> list[tuple[np.ndarray, np.ndarray]]:
  """The released (train, test) positions: non-members first, then members.

  ``StratifiedShuffleSplit(10, random_state=0)``, 10 % held out each time.

  Raises:
    ValueError: if a side has fewer than 2 examples, or both together too few
      to hold out one of each.
  """
  labels = np.repeat([0, 1], [n_non_members, n_members])
  n_test = -(-len(labels) // _SPLITS)
  if min(n_members, n_non_members) < 2 or n_test < 2:
    raise ValueError(
        'Expected at least 2 examples a side and 11 in all, got '
        f'{n_members} members and {n_non_members} non-members.')
  from sklearn import model_selection  # takes most of a second
  splitter = model_selection.StratifiedShuffleSplit(_SPLITS, random_state=0)
  return list(splitter.split(np.zeros((len(labels), 1)), labels))


def unbalanced_held_out(
    member_losses: np.ndarray,
    non_member_losses: np.ndarray) -> HeldOut:
  """The per-example results behind ``unbalanced_accuracy``."""
  from sklearn import linear_model
  members = ranks.check_scores('member losses', member_losses)
  non_members = ranks.check_scores('non-member losses', non_member_losses)
  losses = _bounded(np.concatenate([non_members, members]))[:, None]
  labels = np.repeat([0, 1], [non_members.size, members.size])
  right, tried = np.zeros(labels.size), np.zeros(labels.size)
  for train, test in shuffle_splits(members.size, non_members.size):
    model = linear_model.LogisticRegression().fit(losses[train], labels[train])
    right[test] += model.predict(losses[test]) == labels[test]
    tried[test] += 1
  cut = non_members.size
  return HeldOut(
      right[cut:], tried[cut:], right[:cut], tried[:cut])


def unbalanced_accuracy(member_losses: np.ndarray,
                        non_member_losses: np.ndarray) -> float:
  """Mean accuracy of scikit-learn's default logistic regression on raw losses.

  Args:
    member_losses: losses of the forget set ``[n]``, nats (label 1).
    non_member_losses: losses of unseen data ``[m]``, nats (label 0, first).

  Returns:
    Accuracy in [0, 1]. A blind attack does not score .5 but the share of the
    larger class in a held-out part (``unbalanced_constant_accuracy``).

  Raises:
    ValueError: if a side is too small or not finite.

  Source: authors' code, ``evaluation/mia.py``.
  """
  return unbalanced_held_out(member_losses, non_member_losses).accuracy


def unbalanced_constant_accuracy(n_members: int, n_non_members: int) -> float:
  """What a blind attack scores in ``unbalanced_accuracy``: its floor.

  Raises:
    ValueError: as ``shuffle_splits``.

  Example:
    >>> print(round(unbalanced_constant_accuracy(3314, 3068), 6))
    0.519562
  """
  is_member = np.arange(n_members + n_non_members) >= n_non_members
  shares = []
  for train, test in shuffle_splits(n_members, n_non_members):
    guess = is_member[train].mean() > .5
    shares.append((is_member[test] == guess).mean())
  return float(np.mean(shares))


def permuted_unbalanced_accuracies(losses: np.ndarray,
                                   member: np.ndarray) -> np.ndarray:
  """``unbalanced_accuracy`` under many memberships of the same losses.

  All fits advance together, to the optimum at which scikit-learn's solver stops
  a little early; the accuracies agree to a few predictions in a thousand.

  Args:
    losses: nats ``[n]``.
    member: bool ``[rows, n]``, each row with as many members.

  Returns:
    float ``[rows]``.
  """
  n_members = int(member[0].sum())
  n_others = losses.size - n_members
  order = np.argsort(member, axis=1, kind='stable')
  is_member = np.arange(losses.size) >= n_others
  splits = shuffle_splits(n_members, n_others)
  train = np.zeros((len(splits), losses.size))
  held = np.zeros_like(train)
  for row, (fitted, tested) in enumerate(splits):
    train[row, fitted], held[row, tested] = 1.0, 1.0
  rows = max(1, _AT_ONCE // train.size)
  bounded = _bounded(losses)
  found = []
  for start in range(0, len(order), rows):
    features = bounded[order[start:start + rows]][..., None]
    logits = fit_logistic(
        features, is_member.astype(np.float64), train,
        np.ones((len(features), len(splits), 1)))
    right = ((logits > 0) == is_member) * held
    found.append(right.sum(axis=(1, 2)) / held.sum())
  return np.concatenate(found)


def _bounded(losses: np.ndarray) -> np.ndarray:
  """Losses shrunk to a size of 1,000 if theirs is larger.

  Their fit is the same but for a penalty that no longer counts; scikit-learn's
  solver gives up where it is as small as rounding.
  """
  return losses / max(1.0, _size(losses, 0).item() / _LARGEST)


def _size(centred: np.ndarray, axis: int) -> np.ndarray:
  """Root mean square along an axis that is kept; no square overflows."""
  largest = np.abs(centred).max(axis, keepdims=True)
  unit = np.where(largest > 0, largest, 1.0)
  return unit * np.sqrt(np.square(centred / unit).mean(axis, keepdims=True))


def fit_logistic(features: np.ndarray,
        labels: np.ndarray,
        weights: np.ndarray,
        penalty: np.ndarray) -> np.ndarray:
  r"""Logits of all fits at their optimum.

  .. math:: \min_\theta \sum_i w_i \log(1 + e^{-(2y_i - 1) t_i})
            + \tfrac12 \sum_j \kappa_j \theta_j^2, \quad
            t_i = \theta_0 + \sum_j \theta_j x_{ij}

  The step is Newton's, shortened by :math:`\log(1 + \delta) / \delta` while
  :math:`\delta`, the largest change of a weighted logit, is not small: this
  never diverges on logistic losses (Sun and Tran-Dinh, 2019, generalised
  self-concordance), also on separable data. A longer one is taken where it
  leads lower: one example far from all others would hold up the rest.

  Args:
    features: ``[draws, n, p]``, finite.
    labels: 0 or 1, ``[n]``, shared by all fits.
    weights: ``[splits, n]``: 1 for the examples a split trains on, else 0.
    penalty: positive ``[draws, splits, p]``, the weights kappa; the intercept
      is free. Steps are solved in units of their roots, which keeps the systems
      well conditioned whatever the scale of a feature.

  Returns:
    ``[draws, splits, n]``: each fit's logit of every example, held out or not.

  Raises:
    RuntimeError: if a fit has not converged after 200 steps.
  """
  return _fit(features, labels, weights, penalty)(features)


def _fit(features: np.ndarray, labels: np.ndarray, weights: np.ndarray,
         penalty: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
  """See :func:`fit_logistic`; the logits of any features ``[draws, k, p]``."""
  draws, n, p = features.shape
  # The intercept is free, and a penalty scales with its feature: neither
  # changes the optimum, but rounding would where features are far from 0 or 1.
  centre = np.median(features, axis=1, keepdims=True)
  size = _size(features - centre, 1)
  size = np.where(size > 1e-100, size, 1.0)  # else the penalty is infinite
  penalty = penalty / np.square(size)

  def designed(features: np.ndarray) -> np.ndarray:
    scaled = (features - centre) / size
    return np.concatenate([scaled, np.ones((*scaled.shape[:2], 1))], axis=-1)

  design = designed(features)
  products = (design[..., :, None] * design[..., None, :]).reshape(
      draws, n, (p + 1)**2)
  edge = np.ones(penalty.shape[:-1] + (1,))
  ridge = np.concatenate([penalty, 0 * edge], axis=-1)
  unit = np.concatenate([np.sqrt(penalty), edge], axis=-1)
  units = unit[..., :, None] * unit[..., None, :]
  diagonal = np.diag(np.append(np.ones(p), 1e-12))
  transposed = design.swapaxes(-1, -2)

  def objective(theta: np.ndarray, logits: np.ndarray) -> np.ndarray:
    losses = np.logaddexp(0.0, np.where(labels > 0, -logits, logits))
    return (weights * losses).sum(-1) + (ridge * theta**2).sum(-1) / 2

  theta = np.zeros_like(ridge)
  logits = np.zeros((draws, len(weights), n))
  for _ in range(_MAX_ITERATIONS):
    chance = special.expit(logits)
    gradient = (weights * (chance - labels)) @ design + ridge * theta
    hessian = (weights * (chance * (1 - chance))) @ products
    hessian = hessian.reshape(units.shape) / units + diagonal
    step = np.linalg.solve(hessian, (gradient / unit)[..., None])[..., 0] / unit
    change = step @ transposed
    delta = (np.abs(change) * weights).max(-1, keepdims=True)
    length: Any = 1.0
    if delta.max() >= _FULL_STEP:
      safe = np.log1p(delta) / np.maximum(delta, _FULL_STEP)
      safe = np.where(delta < _FULL_STEP, 1.0, safe)
      tried = np.stack([safe, np.sqrt(safe), np.ones_like(safe)])
      values = objective(theta - tried * step, logits - tried * change)
      best = np.argmin(values, axis=0)[None, ..., None]
      length = np.take_along_axis(tried, best, axis=0)[0]
    theta -= length * step
    logits -= length * change
    if delta.max() < _TOLERANCE:
      return lambda others: theta @ designed(others).swapaxes(-1, -2)
  raise RuntimeError(
      f'The logistic attack did not converge in {_MAX_ITERATIONS} steps.')


def held_out_correct(features: np.ndarray, labels: np.ndarray,
                     train: np.ndarray, others: np.ndarray | None = None,
                     ) -> tuple[np.ndarray, np.ndarray]:
  """Whether each held-out example is classified rightly, standardised per fold.

  Each feature is standardised with the mean and deviation of the fold's
  training rows. Instead of transforming the data, the ridge penalty of each
  coefficient is set to the feature's training variance: the same optimum. A
  feature that is constant on the training rows has scale 1, as in scikit-learn.

  Args:
    features: ``[draws, n, p]``, finite.
    labels: 0 or 1, ``[n]``.
    train: bool ``[splits, n]``; every example is held out of exactly one split.
    others: features of examples in no split ``[draws, k, p]``; None = none.

  Returns:
    bool ``[draws, n]``, and the share of splits that call each of ``others`` a
    member ``[draws, k]``.
  """
  centre = np.median(features, axis=1, keepdims=True)
  size = _size(features - centre, 1)
  size = np.where(size > 0, size, 1.0)
  scaled = (features - centre) / size
  weights = train.astype(np.float64)
  count = weights.sum(-1)[:, None]
  mean = weights @ scaled / count
  square = weights @ np.square(scaled) / count
  variance = square - np.square(mean)
  penalty = np.where(variance > 1e-12 * square, variance, 1.0)
  predict = _fit(scaled, labels, weights, penalty)
  logits = predict(scaled)
  held_by = np.argmin(train, axis=0)
  held = logits[:, held_by, np.arange(logits.shape[-1])]
  if others is None:
    others = features[:, :0]
  return (held > 0) == (labels == 1), (
      predict((others - centre) / size) > 0).mean(axis=1)


@dataclasses.dataclass(frozen=True)
class HeldOut:
  """Out-of-fold results of a cross-validated attack, per example.

  Attributes:
    members: how often each member was classified rightly, float ``[n]``.
    members_tried: how often each was held out, float ``[n]``.
    non_members: as ``members``, ``[m]``.
    non_members_tried: as ``members_tried``, ``[m]``.
    balanced: whether both sides count alike, whatever their sizes.
  """

  members: np.ndarray
  members_tried: np.ndarray
  non_members: np.ndarray
  non_members_tried: np.ndarray
  balanced: bool = False

  @property
  def accuracy(self) -> float:
    """Share of right predictions, in [0, 1]."""
    if self.balanced:
      return float(self.members.sum() / self.members_tried.sum() / 2
                   + self.non_members.sum() / self.non_members_tried.sum() / 2)
    right = self.members.sum() + self.non_members.sum()
    return float(
        right / (self.members_tried.sum() + self.non_members_tried.sum()))


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
