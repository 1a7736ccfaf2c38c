"""What a run is steered by: an attack, a rank, or nothing but its length.

With 5 people (images where people are unknown) and 5 images of the same classes
on each side, forget and val, a logistic-regression attack on their losses says
how far forgetting has come. With fewer, no value of that attack is unusual: at
4 a side the 95 % point of its null is 1. Then the rank of the forget losses
among the unseen ones of their classes says it. Where val has no loss to compare
with, nothing is measured, and the method runs its passes. Where classes are
forgotten whole, forget is compared with their images in val, and the accuracy
on val is that on all others.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from dlfd_jax import loop
from dlfd_jax.data import dataset as dataset_lib, splits as splits_lib
from dlfd_jax.methods import base
from dlfd_jax.metrics import (
  accuracy,
  attack,
  live_attack,
  per_example,
  released_attack,
  stats,
)
from dlfd_jax.models import Variables
from dlfd_jax.utils import rng, text

BALANCED, RELEASED = 'balanced', 'released'  # attacks
RANK, PASSES = 'rank', 'passes'
_LEAST_RELEASED = 11  # images on both sides: it holds out a tenth
_CUT = 12  # salt of the draws


@dataclasses.dataclass(frozen=True, eq=False)
class Rule:
  """What steers a run, and the images that it compares.

  Attributes:
    kind: ``'balanced'`` or ``'released'``: an attack; ``'rank'``;
      ``'passes'``: nothing.
    forget: rows of the data set, int ``[n]``.
    val: rows that these are compared with, int ``[m]``.
    because: why it is no attack, in a sentence; empty if it is one.
    keys: classes inside which losses are ranked, of all rows of the data set.
    units: people, or images, behind ``forget`` and ``val``, ``[n]`` and
      ``[m]``; None unless they are ranked.
  """

  kind: str
  forget: np.ndarray
  val: np.ndarray
  because: str = ''
  keys: np.ndarray | None = None
  units: tuple[np.ndarray, np.ndarray] | None = None

  @property
  def sizes(self) -> tuple[int, int]:
    """Images of the attack, or people (images) that are ranked."""
    if self.units is None:
      return len(self.forget), len(self.val)
    return tuple(int(units.max()) + 1 for units in self.units)  # type: ignore


def labelled(dataset: dataset_lib.Dataset, rows: np.ndarray) -> np.ndarray:
  """The rows with a known label: the others have no loss."""
  return rows[per_example.has_label(dataset.task, dataset.labels[rows])]


def common_keys(dataset: dataset_lib.Dataset, forget: np.ndarray,
                val: np.ndarray) -> np.ndarray | None:
  """Classes of all rows by which forget and val can be compared.

  The labels; where no vector of attributes is on both sides, all rows are one
  class: a loss is the mean over attributes. None if there is nothing to
  compare.
  """
  keys = dataset.class_key()
  if np.isin(keys[forget], keys[val]).any():
    return keys
  if dataset.task.is_multilabel and len(forget) and len(val):
    return np.zeros_like(keys)
  return None


def choose_rule(dataset: dataset_lib.Dataset, splits: splits_lib.Splits, *,
                limit: int = 300, kind: str = BALANCED, seed: int = 0) -> Rule:
  """What steers a run on these splits.

  Args:
    dataset: the images.
    splits: of them ``forget`` and ``val`` are read.
    limit: most images a side.
    kind: the attack, where there are enough images for one.
    seed: of what is drawn if there are more.
  """
  forget, val = (
      labelled(dataset, rows)
      for rows in (splits.forget, splits.unseen('val')))
  empty = [name for name, rows in (('forget', forget), ('val', val))
           if not len(rows)]
  if splits.classes and empty == ['val']:
    return Rule(PASSES, forget, val, _passes(
        'Val has no image of what is forgotten whole'))
  if empty:
    return Rule(PASSES, forget, val, _passes(
        f'No label is known in {" and ".join(empty)}'))
  whole, keys = (forget, val), common_keys(dataset, forget, val)
  if keys is None:
    return Rule(PASSES, forget, val, _passes(
        'Val has no image of a class in forget'))
  forget, val = forget[np.isin(keys[forget], keys[val])], val[
      np.isin(keys[val], keys[forget])]
  counts = [np.bincount(keys[rows], minlength=keys.max() + 1)
            for rows in (forget, val)]
  matched = int(np.minimum(*counts).sum())
  units = [stats.units_of(dataset.identity[rows]) for rows in (forget, val)]
  people = [int(of_side.max()) + 1 for of_side in units]
  if min(matched, *people) >= stats.ENOUGH:
    if kind == BALANCED:
      rows_f, rows_v = live_attack.live_subset(
          keys[forget], keys[val], limit, seed)
      return Rule(kind, forget[rows_f], val[rows_v])
    if sum(map(len, whole)) >= _LEAST_RELEASED:
      return Rule(kind, *whole)
  generator = rng.generator(seed, _CUT)
  forget = np.sort(generator.permutation(forget)[:limit])
  units[0] = stats.units_of(dataset.identity[forget])
  # As many images of an unseen person as of one to forget: the mean of many
  # losses is nearer to the middle than that of one. They are counted by class,
  # as each class of forget needs an unseen image to be compared with.
  order = generator.permutation(len(val))
  of_forget, of_val = (
      np.unique(np.stack([of_side, keys[rows]], 1), axis=0,
                return_inverse=True)[1].reshape(-1)
      for of_side, rows in zip(units, (forget, val), strict=True))
  most = int(np.bincount(of_forget).max())
  val = val[stats.places_in_units(of_val, np.argsort(order)) < most]
  units[1] = stats.units_of(dataset.identity[val])
  known = all((dataset.identity[rows] >= 0).any() for rows in (forget, val))
  unit = 'person' if known else 'image'
  within = ' of their classes' if (keys == dataset.class_key()).all() else ''
  return Rule(RANK, forget, val, (
      'The live attack has too little to say: it takes '
      f'{text.counted(stats.ENOUGH, unit)} on each side and {stats.ENOUGH} '
      'images of the same classes; forget has '
      f'{text.counted(people[0], unit)}, val {text.counted(people[1], unit)}, '
      f'and only {text.counted(matched, "image")} of forget can be paired with '
      'one of val of the same class. '
      'The run goes by the rank of the losses on forget among the unseen '
      f'ones{within} instead.'),
              keys, (units[0], units[1]))


def _passes(why: str) -> str:
  return (f'{why}: nothing measures how far forgetting has come, so the method '
          'runs all its passes and the last state is returned.')


class LiveAttack:
  """Measures a model on val and on a fixed part of forget, in one pass.

  Args:
    setting: of the run.
    limit: largest number of images a side.
    kind: ``'balanced'`` is one 10-fold logistic-regression attack on a fixed,
      label-stratified subset; ``'released'`` the unbalanced one of the
      authors' code on all images, on their scale (doubled here). Where there
      are too few images for it, see :func:`choose_rule`.
  """

  def __init__(self, setting: base.Setting, limit: int,
               kind: str = BALANCED):
    problem = setting.problem
    self._task, self._predictor = problem.task, setting.predictor
    self.rule = rule = choose_rule(
        problem.dataset, problem.splits, limit=limit, kind=kind,
        seed=problem.seed)
    stays, unseen = (labelled(problem.dataset, rows) for rows in (
        problem.splits.stays('val'), problem.splits.of_classes))
    val = np.concatenate([stays, np.intersect1d(unseen, rule.val)])
    self.num_val = len(stays)  # images behind the val accuracy
    order = np.argsort(val)
    self._val_rows = order[np.searchsorted(val, rule.val, sorter=order)]
    self._before = len(val)  # images before those of forget
    self._indices = np.concatenate([val, rule.forget])
    self._labels = problem.dataset.labels[self._indices]
    self._identity = problem.dataset.identity
    self.images = len(self._indices)  # that one measurement reads
    self.sizes = rule.sizes  # members and non-members

  def losses(self, variables: Variables
             ) -> tuple[np.ndarray, np.ndarray, float | None, float | None
                        ] | None:
    """Losses of the rule's members and non-members; two accuracies.

    The accuracies are those on the members and on all of val (but for what is
    forgotten whole), None without an image. None if a logit is not finite.
    """
    if not self.images:
      return np.array([]), np.array([]), None, None
    logits = self._predictor(variables, self._indices).logits
    if not np.isfinite(logits).all():
      return None
    losses = per_example.loss(self._task, logits, self._labels)
    n = self._before
    on_members, on_val = (
        float(accuracy.accuracy(
            self._task, logits[rows], self._labels[rows]).value)
        if len(losses[rows]) else None
        for rows in (slice(n, None), slice(self.num_val)))
    return losses[n:], losses[:n][self._val_rows], on_members, on_val

  def measure(self, variables: Variables) -> loop.Metrics:
    """Figures for the log and for decisions.

    Returns:
      ``val_accuracy``, ``forget_accuracy``, ``mia_accuracy``,
      ``forgetting_score`` (0 to 1), ``mia_auc`` (of -loss, forget over val:
      above .5 = under-forgotten), ``forget_loss`` and ``val_loss`` (nats) and
      ``loss_gap``, the first minus the second (below 0 = under-forgotten). A
      model with logits that are not finite gets the worst of each, and None
      for the rest. Where losses are ranked, ``mia_auc`` is that of the ranks
      of people (or images), ``forgetting_score`` twice its distance to .5, and
      ``mia_accuracy`` None. Where nothing can be compared, all three are None.
    """
    found = self.losses(variables)
    if found is None:
      return {'val_accuracy': 0.0, 'forget_accuracy': 0.0, 'mia_accuracy': None,
              'forgetting_score': 1.0, 'mia_auc': 0.0, 'forget_loss': None,
              'val_loss': None, 'loss_gap': None}
    forget, val, forget_accuracy, val_accuracy = found
    mia = auc = score = None
    if self.rule.kind == RANK:
      rule = self.rule
      assert rule.keys is not None and rule.units is not None
      auc = live_attack.ranked_auc(
          forget, val, rule.keys[rule.forget], rule.keys[rule.val],
          *rule.units)
      score = 2 * abs(auc - 0.5)
    elif self.rule.kind != PASSES:
      mia = float(
          attack.balanced_accuracy(-forget, -val, draws=1)
          if self.rule.kind == BALANCED else
          released_attack.unbalanced_accuracy(forget, val))
      score = float(2 * abs(mia - 0.5))
      auc = float(attack.auc(-forget, -val))
    means = [float(side.mean()) if len(side) else None
             for side in (forget, val)]
    return {
        'val_accuracy': val_accuracy,
        'forget_accuracy': forget_accuracy,
        'mia_accuracy': mia,
        'forgetting_score': score,
        'mia_auc': auc,
        'forget_loss': means[0],
        'val_loss': means[1],
        'loss_gap': (float(forget.mean() - val.mean())
                     if len(forget) and len(val) else None),
    }

  def null(self, variables: Variables) -> tuple[float, float]:
    """Mean and 95 % point of ``2 |mia_auc - .5|`` if membership meant nothing.

    Of a model whose losses say how alike the images of one person are.
    """
    if self.rule.kind == RANK:
      return live_attack.ranked_null(*self.sizes)
    found = self.losses(variables)
    sides = self.rule.forget, self.rule.val
    forget, val = (np.zeros(len(rows)) for rows in sides) if (
        found is None) else found[:2]
    members, others = (
        stats.units_of(self._identity[rows]) for rows in sides)
    return live_attack.person_null(forget, val, members, others)
