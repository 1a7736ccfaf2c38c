"""A part of val that is set aside for methods that learn from unseen images.

What such a method reads tells nothing about it afterwards: the live attack, the
choice of a state and the judgement of harm read the rest of val. Nobody is in
both parts.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from dlfd_jax.data import dataset as dataset_lib, splits as splits_lib
from dlfd_jax.metrics import per_example, stats
from dlfd_jax.utils import rng, text

LEAST_PEOPLE = 3  # in either part
LEAST_IMAGES = 10  # where no person is known


@dataclasses.dataclass(frozen=True, eq=False)
class HeldOut:
  """Who of val is set aside.

  Attributes:
    rows: what the method reads, sorted positions in the data set.
    splits: of the run: as they were, but ``val`` is the rest.
    counts: images and people of ``learnt``, which is ``rows``, and
      ``judging``, the rest; no people where no person is known.
    note: that in a sentence.
  """

  rows: np.ndarray
  splits: splits_lib.Splits
  counts: dict[str, Any]
  note: str


def set_aside(dataset: dataset_lib.Dataset, splits: splits_lib.Splits,
              share: float, seed: int) -> HeldOut:
  """Draws a share of the people in val, their labels alike in both parts.

  People in the order of their most frequent label, and of chance among equals;
  every 1/share-th of them from a random start. An image of nobody known is
  drawn by itself. The result depends on the arguments alone.

  Args:
    dataset: the images.
    splits: of them ``val`` is cut.
    share: of the people, in (0, 1).
    seed: of the draw.

  Raises:
    ValueError: if a part has fewer than 3 people with a known label, or where
      no person is known fewer than 10 images.
  """
  val, generator = splits.val, rng.generator(seed, 'held out')
  units = stats.units_of(dataset.identity[val])
  _, keys = np.unique(dataset.class_key()[val], return_inverse=True)
  counts = np.zeros((units.max() + 1, keys.max() + 1), np.int64)
  np.add.at(counts, (units, keys), 1)
  order = np.lexsort((generator.permutation(len(counts)), counts.argmax(1)))
  number = round(share * len(order))
  drawn = order[((np.arange(number) + generator.random()) * len(order)
                 / max(number, 1)).astype(np.int64)]
  inside = np.isin(units, drawn)
  parts = {'learnt': val[inside], 'judging': val[~inside]}
  has_people = bool((dataset.identity[val] >= 0).any())
  least = LEAST_PEOPLE if has_people else LEAST_IMAGES
  unit = 'person' if has_people else 'image'
  labelled = per_example.has_label(dataset.task, dataset.labels[val])
  found = [len(np.unique(units[part & labelled]))
           for part in (inside, ~inside)]
  if min(found) < least:
    raise ValueError(
        f'Expected at least {text.counted(least, unit)} with a known label '
        'both in the part of val that is set aside for the method to learn '
        f'from and in the rest, got {found[0]} and {found[1]} at held_out '
        f'{share:.3g}.')
  sizes: dict[str, Any] = {}
  for name, rows in parts.items():
    sizes[f'{name}_images'] = len(rows)
    sizes[f'{name}_people'] = (
        len(dataset.people_in(rows)) if has_people else None)
  own, rest = (
      text.counted(sizes[f'{name}_images'], 'image')
      + (f' of {text.counted(sizes[f"{name}_people"], "person")}'
         if has_people else '') for name in parts)
  return HeldOut(
      parts['learnt'], dataclasses.replace(splits, val=parts['judging']), sizes,
      f'The method learnt from {own} of val, which were set aside for it: the '
      'live attack, the choice of a state and the judgement of harm read the '
      f'other {rest}; what an evaluation says of val is about both.')
