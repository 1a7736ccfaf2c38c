"""Cross-validated logistic-regression attacks on one score per example.

As many members as non-members, a multiple of the number of folds, so that a
constant score is right exactly half of the time; standardised inside the folds.
All folds, draws and permutations are fitted together (``logistic.py``).
"""

from __future__ import annotations

import dataclasses

import numpy as np

from dlfd_jax.metrics import logistic, ranks

_CHUNK = 30_000  # logits held at once by the batched fits: they stay in cache


@dataclasses.dataclass(frozen=True)
class HeldOut:
  """Out-of-fold results of a cross-validated attack, per example.

  Attributes:
    members: how often each member was classified rightly, float ``[n]``.
    members_tried: how often each was held out, float ``[n]``.
    non_members: as ``members``, ``[m]``.
    non_members_tried: as ``members_tried``, ``[m]``.
  """

  members: np.ndarray
  members_tried: np.ndarray
  non_members: np.ndarray
  non_members_tried: np.ndarray

  @property
  def accuracy(self) -> float:
    """Share of right answers, in [0, 1]."""
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
  """The per-example results behind ``attack.balanced_accuracy``.

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
  pick = _random_rows(rng, members.size, draws)[:, :size]
  other = _random_rows(rng, non_members.size, draws)[:, :size]
  scores = np.concatenate([members[pick], non_members[other]], axis=1)
  right = _cross_validate(scores, splits, two_sided).astype(np.float64)
  return HeldOut(
      np.bincount(pick.ravel(), right[:, :size].ravel(), members.size),
      np.bincount(pick.ravel(), minlength=members.size).astype(np.float64),
      np.bincount(other.ravel(), right[:, size:].ravel(), non_members.size),
      np.bincount(other.ravel(), minlength=non_members.size).astype(np.float64))


def _random_rows(rng, n, rows):
  """Independent random orders of ``range(n)``, ``[rows, n]``."""
  return rng.permuted(np.tile(np.arange(n), (rows, 1)), axis=1)


def _cross_validate(scores, splits, two_sided):
  """Held-out correctness of rows of shuffled scores, members first.

  Args:
    scores: ``[draws, 2 size]``: ``size`` members, then as many non-members,
      each in random order; ``size`` is a multiple of ``splits``.
    splits: folds.
    two_sided: whether the squared score is a second feature.

  Returns:
    bool ``[draws, 2 size]``.
  """
  size = scores.shape[1] // 2
  labels = np.repeat([1.0, 0.0], size)
  fold = np.arange(2 * size) % size % splits
  train = fold != np.arange(splits)[:, None]
  features = scores[..., None]
  if two_sided:
    features = np.concatenate([features, np.square(features)], axis=-1)
  rows = max(1, _CHUNK // (splits * scores.shape[1]))
  return np.concatenate([
      logistic.held_out_correct(features[i:i + rows], labels, train)
      for i in range(0, len(features), rows)])
