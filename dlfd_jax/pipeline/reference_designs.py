"""Designs of reference models: who of whom is in which model.

Five of them (docs/metrics.md, evaluation tiers 1 to 3):

* ``retrained``: every model is trained on retain alone, each from a seed of its
  own. They are what ``evaluate --retrained`` takes, made at once.
* ``request``: every model is trained as the original was, on retain and on
  forget, each from a seed of its own: shadow models that all forget the same.
* ``random``: the people to be forgotten are a pool. Each of them is in the
  training set of exactly half of the models, drawn independently, and retain is
  in all: shadow models of per-example attacks (LiRA, U-LiRA).
* ``keep``: as ``random``, but each of the pool is in the training set of two
  thirds of the shadow models, half of which keep them when they unlearn the
  others: what unlearning does to those who stay. As many models besides are
  trained as those, each without whom it is to forget.
* ``half``: each of those who stay is in the training set of exactly half of the
  models, nobody of forget in any: half-references of RMIA on those who stay.

A shadow model ``k`` is trained on retain and on its own part of the pool
(``on='all'``), and its run's ``splits.npz`` names what it is to forget, so that
``unlearn --original=REFS/00k`` forgets it; whom it keeps are in retain there.
Those of the pool that the model never saw are in no part of that file; of a
small pool it may have nobody to forget, and then its split is train, val and
test.

With ``random``, ``keep`` and ``half`` there is ``membership.npz``, plain arrays
of a pool, with ``half`` those who stay:

* ``states``: int8 ``[models, units]``; 0 = OUT, never seen, 1 = FORGET, trained
  on and the model's own to forget, 2 = KEEP, trained on and kept; with ``keep``
  the second half of the models are the first ones without whom those forget;
* ``person``: text ``[units]``, the person's name; an image whose person is not
  known is a unit of its own and its sample id stands here;
* ``sample_id``: text ``[images]``, the pool; ``unit``: int32 ``[images]``, the
  column of ``states`` of each;
* ``seed``: int64 ``[models]``; ``design``: text ``[1]``.

Source: design 9.1 after Hayes et al. (2024), arXiv:2403.01218, and Naderloui
et al. (2025), arXiv:2506.13009.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence

import numpy as np

from dlfd_jax.data import dataset as dataset_lib, splits as splits_lib
from dlfd_jax.evaluation.references import FORGET, KEEP, OUT
from dlfd_jax.pipeline import job
from dlfd_jax.utils import files, rng, validate

MEMBERSHIP = 'membership.npz'
DESIGNS = (RETRAINED, REQUEST, RANDOM, KEPT, HALF) = (
    'retrained', 'request', 'random', 'keep', 'half')
DRAWN = (RANDOM, KEPT, HALF)  # they draw who is in which model
TITLES = {**dict.fromkeys(DESIGNS, 'shadow models'),
          RETRAINED: 'retrained models', HALF: 'half-references',
          KEPT: 'shadow models and the same without whom they forget'}


@dataclasses.dataclass(frozen=True, eq=False)
class Membership:
  """Who of a pool is in which model; the arrays of ``membership.npz``.

  Attributes:
    states: int8 ``[models, units]``, see the module.
    person: text ``[units]``.
    sample_id: text ``[images]``.
    unit: int32 ``[images]``.
    seed: int64 ``[models]``.
    design: text ``[1]``.
  """

  states: np.ndarray
  person: np.ndarray
  sample_id: np.ndarray
  unit: np.ndarray
  seed: np.ndarray
  design: np.ndarray

  def arrays(self) -> dict[str, np.ndarray]:
    """All of them by name."""
    return {field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)}

  def of_images(self, ids: np.ndarray | None = None) -> np.ndarray:
    """int8 ``[models, images]``: the state of every image of the pool.

    In the order of ``ids``, all of the pool's; None = in its own.

    Raises:
      ValueError: if an id is not in the pool.
    """
    if ids is None:
      return self.states[:, self.unit]
    place = {name: i for i, name in enumerate(self.sample_id.tolist())}
    absent = [name for name in ids.tolist() if name not in place]
    if absent:
      raise ValueError(
          f'Expected all images of this request in {MEMBERSHIP}, got '
          f'{len(absent)} that are not, {absent[0]!r} the first.')
    return self.states[:, self.unit[[place[name] for name in ids.tolist()]]]


def random_states(models: int, units: int, seed: int,
                  states: Sequence[int] = (OUT, FORGET)) -> np.ndarray:
  """Each unit in every state in equally many models.

  Args:
    models: divisible by the number of states.
    units: of the pool.
    seed: of the draw.
    states: the states.

  Returns:
    int8 ``[models, units]``, independent between units.

  Example:
    >>> random_states(4, 3, 0).sum(0).tolist()
    [2, 2, 2]
  """
  validate.integer('n', models, len(states))
  if models % len(states):
    wanted = ('an even number of' if len(states) == 2 else
              f'a multiple of {len(states)}')
    raise ValueError(
        f'Expected {wanted} models, so that everybody is in as many of them '
        f'as anybody else, got {models}.')
  return rng.generator(seed, 'references').permuted(np.tile(np.repeat(
      np.array(states, np.int8), models // len(states))[:, None], units),
      axis=0)


def _states(design: str, models: int, units: int, seed: int) -> np.ndarray:
  """Who is what in which model; see the module."""
  if design != KEPT:
    return random_states(models, units, seed, (
        OUT, FORGET if design == RANDOM else KEEP))
  validate.integer('n', models, 6)
  if models % 6:
    raise ValueError(
        'Expected a multiple of 6 models with the design keep, half of them '
        f'shadow models and a third of those in each state, got {models}.')
  shadows = random_states(models // 2, units, seed, (OUT, FORGET, KEEP))
  return np.concatenate([
      shadows, np.where(shadows == FORGET, OUT, shadows).astype(np.int8)])


def _units(dataset: dataset_lib.Dataset,
           rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Names of the units of some images, and the unit of each."""
  people = dataset.identity[rows].astype(np.int64)
  keys = np.where(people >= 0, people, -1 - np.arange(len(rows)))
  _, first, unit = np.unique(keys, return_index=True, return_inverse=True)
  names = [dataset.called(people[i]) if people[i] >= 0
           else str(dataset.sample_id[rows[i]]) for i in first]
  return np.array(names, np.str_), unit.reshape(-1).astype(np.int32)


def draw(design: str, dataset: dataset_lib.Dataset, splits: splits_lib.Splits,
         seeds: Sequence[int]) -> Membership | None:
  """Who is in which of some models; None where the design draws nobody.

  Args:
    design: one of ``DESIGNS``.
    dataset: the images.
    splits: of the request.
    seeds: of the models; the first is also that of the draw.

  Raises:
    ValueError: if the design does not have so many models.
  """
  if design not in DRAWN:
    return None
  pool = splits.retain if design == HALF else splits.forget
  names, unit = _units(dataset, pool)
  return Membership(
      _states(design, len(seeds), len(names), seeds[0]), names,
      dataset.sample_id[pool], unit, np.array(seeds, np.int64),
      np.array([design]))


def parts_of(splits: splits_lib.Splits, states: np.ndarray) -> job.Parts:
  """The split of a shadow model.

  Args:
    splits: of the request.
    states: int8 ``[images]``, of every image of forget.

  Returns:
    Its own retain and forget; train, val and test if it has nobody to forget.
  """
  mine, kept = (splits.forget[states == state] for state in (FORGET, KEEP))
  retain = np.sort(np.concatenate([splits.retain, kept]))
  unseen = splits.val, splits.test
  if not mine.size:
    return splits_lib.Partition(retain, *unseen)
  return splits_lib.Splits(
      retain, mine, *unseen, by_person=splits.by_person,
      earlier=splits.earlier, gone=splits.gone,
      classes=() if kept.size else splits.classes,
      of_classes=splits.of_classes[:0 if kept.size else None])


def read(folder: pathlib.Path) -> Membership:
  """The membership that lies in a folder of references.

  Raises:
    FileNotFoundError: if there is none.
    ValueError: if arrays are missing or do not fit together.
  """
  arrays = files.read_arrays(folder / MEMBERSHIP, 'who is in which model')
  names = [field.name for field in dataclasses.fields(Membership)]
  lacking = [name for name in names if name not in arrays]
  if lacking:
    raise ValueError(f'Expected {validate.listed(lacking)} in '
                     f'{folder / MEMBERSHIP}, got none.')
  found = Membership(**{name: arrays[name] for name in names})
  states, units = found.states, len(found.person)
  shapes = (found.states.ndim == 2 and found.unit.ndim == 1
            and states.shape == (len(found.seed), units)
            and found.unit.shape == found.sample_id.shape
            and found.unit.dtype.kind == 'i' and states.dtype.kind == 'i')
  if not shapes or (found.unit.size and not (
      found.unit.min() >= 0 and found.unit.max() < units)):
    raise ValueError(
        f'Expected states [models, people] and the unit of every image in '
        f'{folder / MEMBERSHIP}, got arrays that do not fit together.')
  return found
