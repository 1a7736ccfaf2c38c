"""Forget sets of MUCAC, by ranges of persons, for it and for CelebA.

``benchmark`` (Choi and Na, 2023) and ``gli`` forget different ranges. In both,
``test`` are the first persons and ``val`` the last, who have far fewer images
each; ``clean`` and ``gli_clean`` pool these two and halve them by person.
"""

from __future__ import annotations

import numpy as np

from dlfd_jax.utils import rng

PEOPLE = 6217  # of MUCAC
TEST_END, TRAIN_END = 190, 4855
FORGET = {'benchmark': (190, 1250), 'gli': (1970, 4855)}
_SEED = 0


def part_of(index: int) -> str:
  """The official part of person ``index``."""
  if index < TEST_END:
    return 'test'
  return 'train' if index < TRAIN_END else 'val'


def roles(index: np.ndarray, variant: str) -> np.ndarray:
  """The part of each image.

  Args:
    index: int ``[n]``, the index of each image's person, in [0, 6217).
    variant: ``'benchmark'``, ``'gli'``, ``'clean'`` (forgets as benchmark) or
      ``'gli_clean'``.

  Returns:
    Text ``[n]``: ``retain``, ``forget``, ``val`` or ``test``.
  """
  forget = FORGET['gli' if variant.startswith('gli') else 'benchmark']
  split = np.array([part_of(i) for i in index.tolist()], dtype='U6')
  split[split == 'train'] = 'retain'
  split[(index >= forget[0]) & (index < forget[1])] = 'forget'
  if not variant.endswith('clean'):
    return split
  generator = rng.generator(_SEED, 'halves of the unseen')
  first = []
  for part in ('test', 'val'):  # each halved, so that both look alike
    people = generator.permutation(np.unique(index[split == part]))
    first.append(people[:(len(people) + 1) // 2])
  unseen = (split == 'test') | (split == 'val')
  split[unseen] = 'val'
  split[unseen & np.isin(index, np.concatenate(first))] = 'test'
  return split
