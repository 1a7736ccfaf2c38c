"""The attack of the papers' released code, kept for comparison with them.

Classes as they come, losses unscaled (Choi and Na, 2023, arXiv:2311.02240, and
2024, arXiv:2409.14747): with classes of unequal size a blind attack already
scores the share of the larger one.
"""

from __future__ import annotations

import numpy as np

from dlfd_jax.metrics import cross_validation, ranks
from dlfd_jax.metrics.cross_validation import HeldOut

Splits = list[tuple[np.ndarray, np.ndarray]]

_SPLITS = 10
_AT_ONCE = 1_000_000  # logits held at once
_LARGEST = 1e3  # size of losses beyond which their ridge penalty is nothing


def shuffle_splits(n_members: int, n_non_members: int) -> Splits:
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
  return _floor(shuffle_splits(n_members, n_non_members),
                np.arange(n_members + n_non_members) >= n_non_members)


def _floor(splits: Splits, is_member: np.ndarray) -> float:
  """Accuracy of the more common label of each split's training part."""
  return float(np.mean([
      (is_member[test] == (is_member[train].mean() > .5)).mean()
      for train, test in splits]))


def permuted_unbalanced_accuracies(losses: np.ndarray,
                                   member: np.ndarray,
                                   n_members: int | None = None) -> np.ndarray:
  """``unbalanced_accuracy`` under many memberships of the same losses.

  All fits advance together, to the optimum at which scikit-learn's solver stops
  a little early; the accuracies agree to a few predictions in a thousand.

  Args:
    losses: nats ``[n]``.
    member: bool ``[rows, n]``, at least 2 members and 2 others in each row.
    n_members: of the attack that the accuracies are to stand beside: a row with
      another number is moved by what a blind attack has more there. None = each
      row is what it is.

  Returns:
    float ``[rows]``, in [0, 1].
  """
  counts = member.sum(1)
  bounded = _bounded(losses)
  at_once = max(1, _AT_ONCE // (_SPLITS * losses.size))
  found = np.empty(len(member))
  if n_members is not None:
    wanted = unbalanced_constant_accuracy(n_members, losses.size - n_members)
  for count in np.unique(counts):  # those of equal counts share their splits
    splits = shuffle_splits(count, losses.size - count)
    train, held = np.zeros((2, len(splits), losses.size), bool)
    for split, (fitted, tested) in enumerate(splits):
      train[split, fitted], held[split, tested] = True, True
    labels = np.arange(losses.size) >= losses.size - count
    moved = 0.0 if n_members is None else wanted - _floor(splits, labels)
    rows = np.flatnonzero(counts == count)
    for start in range(0, len(rows), at_once):
      few = rows[start:start + at_once]
      order = np.argsort(member[few], axis=1, kind='stable')
      logits = cross_validation.fit_logistic(
          bounded[order][..., None], labels.astype(np.float64),
          train.astype(np.float64), np.ones((len(few), _SPLITS, 1)))
      right = ((logits > 0) == labels) & held
      found[few] = right.sum(axis=(1, 2)) / held.sum() + moved
  return np.clip(found, 0.0, 1.0)


def _bounded(losses: np.ndarray) -> np.ndarray:
  """Losses shrunk to a size of 1,000 if theirs is larger.

  Their fit is the same but for a penalty that no longer counts; scikit-learn's
  solver gives up where it is as small as rounding.
  """
  size = cross_validation.size_of(losses, 0).item()
  return losses / max(1.0, size / _LARGEST)
