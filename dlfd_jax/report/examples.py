"""Which single images and people of the forget set are remembered most."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from dlfd_jax.report import names

Arrays = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Remembered:
  """A forget image, or a person's mean over their forget images.

  Attributes:
    name: the image's sample id, or the person's number.
    images: how many images the values average over.
    original: margin under the original model, None = not computed.
    unlearned: margin under the unlearned model.
    retrained: mean margin over the retrained models, None = not computed.
  """

  name: str
  images: int
  original: float | None
  unlearned: float
  retrained: float | None

  @property
  def excess(self) -> float | None:
    """Unlearned minus retrained, 0 = like retrained, None = not computed."""
    if self.retrained is None:
      return None
    return self.unlearned - self.retrained


def remembered_images(arrays: Arrays, count: int = 10) -> list[Remembered]:
  """The images that the unlearned model is most sure of.

  Args:
    arrays: ``{model}/forget/margin`` and ``forget/sample_id``.
    count: how many, at least 1.

  Returns:
    At most ``count``, by falling margin above the retrained models' mean, or by
    falling margin if there is no retrained model. Empty without the arrays of
    the unlearned model.
  """
  margins = _margins(arrays)
  if margins is None:
    return []
  ids = arrays['forget/sample_id']
  rows = [_row(str(ids[i]), [i], margins) for i in range(len(ids))]
  return _most(rows, count)


def remembered_people(arrays: Arrays, count: int = 10) -> list[Remembered]:
  """The people that the unlearned model is most sure of, by mean margin.

  Args:
    arrays: those of :func:`remembered_images` and ``forget/identity``, -1 =
      unknown; images of unknown people are left out.
    count: how many, at least 1.
  """
  margins = _margins(arrays)
  if margins is None or 'forget/identity' not in arrays:
    return []
  identity = arrays['forget/identity']
  rows = [_row(str(person), np.flatnonzero(identity == person), margins)
          for person in np.unique(identity[identity >= 0])]
  return _most(rows, count)


def largest_by_chance(arrays: Arrays, by_person: bool = False
                      ) -> tuple[float, float] | None:
  """The largest excess of each retrained model over the mean of the others.

  What the worst case looks like where nothing is remembered.

  Returns:
    Smallest and largest over the retrained models; None with fewer than two,
    or without known people.
  """
  found = {model: np.asarray(arrays[f'{model}/forget/margin'], np.float64)
           for model in names.models_in(arrays)
           if model.startswith('retrained')
           and f'{model}/forget/margin' in arrays}
  if len(found) < 2:
    return None
  margins = np.stack(list(found.values()))
  if by_person:
    identity = np.asarray(arrays.get('forget/identity', ()))
    people = np.unique(identity[identity >= 0])
    if not len(people):
      return None
    margins = np.stack(
        [margins[:, identity == person].mean(1) for person in people], 1)
  others = (margins.sum(0) - margins) / (len(margins) - 1)
  worst = (margins - others).max(1)
  return float(worst.min()), float(worst.max())


def _margins(arrays):
  """Margins of forget: original, unlearned, mean of retrained (or None)."""
  found = {model: np.asarray(arrays[f'{model}/forget/margin'], np.float64)
           for model in names.models_in(arrays)
           if f'{model}/forget/margin' in arrays}
  if 'unlearned' not in found:
    return None
  retrained = [m for name, m in found.items() if name.startswith('retrained')]
  return (found.get('original'), found['unlearned'],
          np.mean(retrained, axis=0) if retrained else None)


def _row(name, rows, margins):
  def mean(values):
    return None if values is None else float(np.mean(values[rows]))

  return Remembered(name, len(rows), *map(mean, margins))


def _most(rows, count):
  def order(row):
    value = row.unlearned if row.excess is None else row.excess
    return -value, row.name
  return sorted(rows, key=order)[:count]
