r"""Whether a deletion cost more accuracy than it may.

A loss is one of accuracy here, never a cross-entropy. The bound holds for the
loss itself. Beside it stands what chance makes of it: images of validation are
a sample of unseen people, so that their loss

.. math:: L = \frac1K \sum_k \frac{\sum_i (h^o_{ik} - h^u_{ik})}{\sum_i t_{ik}}

of hits h and tries t, K = 1 for classes and one column for each attribute, has
an interval: of the same images under both models, person by person (McNemar's
pairs, with people in the place of images where they are known). Its standard
error is that of 1.5 images at least, the rule of three, as no difference on few
images is no certainty. Those who stay are all there are: theirs has none.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from dlfd_jax.metrics import accuracy, stats
from dlfd_jax.utils import text

# Accuracy that may be lost, on people of validation and on those who stay.
MOST_LOST = {'val': 0.02, 'retain': 0.05}
# Evaluations ask about test, too; a run that unlearns never does.
TEST = 'test'
_BOUNDS = {**MOST_LOST, TEST: MOST_LOST['val']}
SAMPLES = ('val', TEST)
KEPT, LOST, CANNOT_SAY = 'kept', 'lost', 'cannot say'
IN_WORDS = {'val': 'validation images', 'retain': 'those who stay',
            TEST: 'test images'}
ROUNDING = 1e-9  # of differences of accuracies


@dataclasses.dataclass(frozen=True)
class PartAccuracy:
  """What a model has right of the images of a part.

  Attributes:
    counts: by image.
    identity: of each image its person, -1 = unknown.
  """

  counts: accuracy.Counts
  identity: np.ndarray


@dataclasses.dataclass(frozen=True)
class AccuracyDrop:
  """Accuracy that a deletion cost on a part of the data.

  Attributes:
    part: ``'val'``, ``'retain'`` or ``'test'``.
    original: accuracy of the original, in [0, 1].
    unlearned: that of the new model.
    low: end of the 95 % interval of the loss.
    high: its other end.
    images: of a sample; 0 = those are all there are.
    units: people of them, as many as images where nobody is known twice.
  """

  part: str
  original: float
  unlearned: float
  low: float
  high: float
  images: int = 0
  units: int = 0

  @property
  def lost(self) -> float:
    """The loss; below 0 = gained."""
    return self.original - self.unlearned

  @property
  def bound(self) -> float:
    """What may be lost there."""
    return _BOUNDS[self.part]

  @property
  def too_much(self) -> bool:
    """Whether the loss, as it was measured, is larger than may be."""
    return self.lost > self.bound + ROUNDING

  @property
  def answer(self) -> str:
    """``'kept'``, ``'lost'`` or ``'cannot say'``.

    Kept: shown to be no larger than may be. Lost: larger than may be, and shown
    to be a loss. Validation images chose the state, so that a model may be
    fitted to them; those of test only check it: kept is then what lost no more
    than it may, lost what is shown to have lost more.
    """
    if self.part == TEST:
      return LOST if self.low > self.bound else (
          CANNOT_SAY if self.too_much else KEPT)
    if self.high <= self.bound + ROUNDING:
      return KEPT
    return LOST if self.too_much and self.low > 0 else CANNOT_SAY

  @property
  def refuses(self) -> bool:
    """Whether the model is not to be used because of it."""
    return self.answer == LOST if self.part == TEST else self.too_much

  @property
  def sentence(self) -> str:
    """Why the model is not to be used; empty if this does not refuse it."""
    if not self.refuses:
      return ''
    where = (IN_WORDS[self.part] if self.part in SAMPLES else
             f'images of {IN_WORDS[self.part]}')
    said = (f'Do not use this model: its accuracy on {where} is '
            f"{100 * self.unlearned:.1f} %, the original's was "
            f'{100 * self.original:.1f} %; a deletion may cost '
            f'{100 * self.bound:.0f} points there.')
    if not self.images:
      return said
    shown = ('The loss is beyond noise' if self.low > 0 else
             'That the loss is so small was not shown')
    return f'{said} {shown}: {self}.'

  def __str__(self) -> str:
    of = (f' of {text.counted(self.units, "person")}'
          if self.units < self.images else '')
    return (f'its 95 % interval is {100 * self.low:.1f} to '
            f'{100 * self.high:.1f} points '
            f'({text.counted(self.images, "image")}{of})')

  @classmethod
  def of(cls, stored: Mapping[str, Any]) -> AccuracyDrop:
    """A loss from what :meth:`as_dict` gave."""
    return cls(**{field.name: stored[field.name]
                  for field in dataclasses.fields(cls)})

  def as_dict(self) -> dict[str, Any]:
    """JSON values, with what follows from them."""
    return {**dataclasses.asdict(self), 'answer': self.answer,
            'sentence': self.sentence}


def accuracy_drops(
    original: Mapping[str, PartAccuracy],
    unlearned: Mapping[str, PartAccuracy]) -> list[AccuracyDrop]:
  """What was lost on each part that both models were asked about.

  Args:
    original: what it has right, by part; others than val, retain and test are
      not judged.
    unlearned: likewise, of the same images.
  """
  found = []
  for part in _BOUNDS:
    if part in original and part in unlearned:
      before, after = (side[part].counts for side in (original, unlearned))
      if before.tries.any():
        found.append(_drop(part, before, after, original[part].identity))
  return found


def _drop(part: str, before: accuracy.Counts, after: accuracy.Counts,
          identity: np.ndarray) -> AccuracyDrop:
  lost = before.value - after.value
  if part not in SAMPLES:
    return AccuracyDrop(part, before.value, after.value, lost, lost)
  known = before.tries.any(1)
  units = stats.units_of(identity[known])
  images, count = len(units), int(units.max()) + 1
  if count < 2:
    return AccuracyDrop(
        part, before.value, after.value, -1.0, 1.0, images, count)
  tries = before.tries[known]
  gone = (before.hits - after.hits)[known]
  asked = tries.any(0)
  gone, tries = gone[:, asked], tries[:, asked]
  tried = tries.sum(0)
  # What each image adds to the error of the mean of ratios, to first order.
  apart = ((gone - tries * gone.sum(0) / tried) / tried).mean(1)
  by_unit = np.bincount(units, apart, count)
  error = max(1.5 / images,
              math.sqrt(count / (count - 1) * float((by_unit ** 2).sum())))
  low, high = stats.t_interval(lost, error, count - 1)
  return AccuracyDrop(part, before.value, after.value, max(low, -1.0),
                      min(high, 1.0), images, count)


def sentences(found: list[AccuracyDrop]) -> list[str]:
  """Why a model is not to be used; they stand before everything else."""
  return [one.sentence for one in found if one.sentence]


def answer(found: list[AccuracyDrop]) -> str:
  """Of all parts together: lost if one is, kept if all are."""
  answers = {one.answer for one in found}
  return LOST if LOST in answers else (
      CANNOT_SAY if CANNOT_SAY in answers else KEPT)


def accuracies(right: Mapping[str, PartAccuracy]) -> dict[str, float]:
  """The accuracy on each part; parts without a label are left out."""
  return {part: of_part.counts.value for part, of_part in right.items()
          if not math.isnan(of_part.counts.value)}
