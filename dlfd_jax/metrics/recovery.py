r"""What is done to every model before it is looked at once more.

A model may answer as if it had forgotten and still hold what it knew. Somebody
with its weights finds out by three kinds of treatment, the same for the judged
model and for the retrained ones, which have nothing to bring back:

* ``RETAIN``: a few steps on retain alone. Forget is absent, and still its
  accuracy may come back: from 50 to nearly 100 % in Siddiqui et al. (2025),
  arXiv:2505.22310, where a retrained model stayed at 50 %.
* ``PARTS``: a few steps on a small part of forget, after which the *rest* of
  forget is asked for (Hu et al., 2024, arXiv:2406.13356, on language models).
* ``COPIES``: no step; the images are shown with noise, or as shifted crops, on
  which a model may recognise what it denies on the images themselves (Hsu et
  al., 2025, arXiv:2601.22359). Copies of unseen images are what they are
  compared with, or a model that is robust would look like one that remembers.

Ours: what counts is the difference to retrained models under the same
treatment, with an interval over people and over models.
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple

import numpy as np

from dlfd_jax.metrics import stats
from dlfd_jax.utils import rng, text, validate

RETAIN = 'retain'
PARTS = {'1 %': .01, '5 %': .05, '10 %': .10}  # shares of the people of forget
# Standard deviation of the noise (pixels are in [0, 1]), and how far an image
# is moved along both sides, as a share of them.
COPIES = {'noise 2 %': (.02, 0.0), 'noise 5 %': (.05, 0.0),
          'noise 10 %': (.10, 0.0), 'crop 10 %': (0.0, .10)}
TREATMENTS = (RETAIN, *PARTS, *COPIES)


class Part(NamedTuple):
  """Which images of forget are taught again; the others are the rest.

  Attributes:
    taught: bool ``[n]``, None = there is no such part.
    reason: why there is none.
  """

  taught: np.ndarray | None
  reason: str | None = None


def draw_parts(identity: np.ndarray, known: np.ndarray, seed: int = 0
               ) -> dict[str, Part]:
  """The parts of forget that are taught again, each within the next larger.

  People are drawn, with all their images: the rest shows nobody who was taught.
  Where there is one person, or people are unknown, images are drawn. A share is
  rounded to whole people; one that comes to nobody, or to everybody, is left
  out.

  Args:
    identity: person of each forget image ``[n]``, -1 = an image for itself.
    known: whether it has a label, bool ``[n]``; others can teach nothing.
    seed: of the draw.

  Returns:
    One part for each of ``PARTS``.

  Raises:
    ValueError: if the arrays differ in length.

  Example:
    >>> parts = draw_parts(np.repeat(np.arange(20), 2), np.ones(40, bool))
    >>> [p.reason or int(p.taught.sum()) for p in parts.values()]
    ['1 % of 20 people is nobody', 2, 4]
  """
  identity, known = np.asarray(identity), np.asarray(known, bool)
  if identity.shape != known.shape or identity.ndim != 1:
    raise ValueError(
        f'Expected persons and labels of as many images, got '
        f'{list(identity.shape)} and {list(known.shape)}.')
  units, kind = units_of(identity[known])
  count = int(units.max(initial=-1)) + 1
  order = rng.generator(seed, 'recovery').permutation(count)
  counted = text.counted(count, kind)
  found = {}
  for name, share in PARTS.items():
    size = math.floor(share * count + .5)
    if size < 1 or size >= count:
      found[name] = Part(None, f'{name} of {counted} is ' + (
          'nobody' if kind == 'person' else 'none') if count > 1 else
                         f'forget has {counted}: no part leaves a rest')
      continue
    taught = np.zeros(len(identity), bool)
    taught[known] = np.isin(units, order[:size])
    found[name] = Part(taught)
  return found


def units_of(identity: np.ndarray) -> tuple[np.ndarray, str]:
  """What parts are drawn of: ``[n]`` in ``[0, units)``, and their kind."""
  units = stats.units_of(identity)
  if units.max(initial=0) == 0 or (np.asarray(identity) < 0).all():
    return np.arange(len(units)), 'image'
  return units, 'person'


def array_name(treatment: str) -> str:
  """A treatment in the names of stored arrays.

  Example:
    >>> array_name('noise 10 %'), array_name('5 %')
    ('noise_10', 'part_5')
  """
  validate.one_of('treatment', treatment, TREATMENTS)
  words = re.sub(r'\W+', '_', treatment).strip('_')
  return f'part_{words}' if treatment in PARTS else words
