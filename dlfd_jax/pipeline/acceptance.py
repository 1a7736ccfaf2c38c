"""What val can tell of a model that is to have forgotten.

Three attacks, each with what it shows by chance on images of this number of
people: on losses, signed (``images``, or ``ranks`` where there are too few for
it), on each person's mean place among unseen losses (``people``), and on how
far margins are from those of retrained models to either side (``references``).
An attack that does not see the original cannot tell that anything was
forgotten; none reads test.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dlfd_jax import checkpoint, methods, parallel
from dlfd_jax.methods import live
from dlfd_jax.metrics import (
  attack,
  live_attack,
  paired,
  per_example,
  reference_attack,
  stats,
)
from dlfd_jax.pipeline import predictors as predictors_lib
from dlfd_jax.utils import hosts, text

IMAGES, RANKS, PEOPLE, REFERENCES = 'images', 'ranks', 'people', 'references'
TITLES = {IMAGES: 'attack on losses', RANKS: 'ranks of losses',
          PEOPLE: 'attack by person',
          REFERENCES: 'two-sided attack with references'}
LEAST_REFERENCES = 3


@dataclasses.dataclass(frozen=True)
class Seen:
  """What one attack sees of one model.

  Attributes:
    attack: one of ``TITLES``.
    auc: forget over val; above .5 = better known than unseen images, or of
      ``references`` farther from them.
    null_95: 95 % point of ``2 |AUC - .5|`` by chance.
    people: of each person (image, where people are unknown) to forget the mean
      place among unseen images of its class, 1 = the best known.
  """

  attack: str
  auc: float
  null_95: float
  people: tuple[float, ...]

  @property
  def remembers(self) -> bool:
    """Whether forget is better known than chance allows."""
    return 2 * (self.auc - .5) > self.null_95

  @property
  def rejects(self) -> bool:
    """Whether forget is told from unseen images, on either side.

    Nearer to the references than unseen images are is no fault.
    """
    return self.remembers or (
        self.attack != REFERENCES and 2 * (.5 - self.auc) > self.null_95)

  def p_no_less(self, original: Seen) -> float:
    """The p of the hypothesis that it remembers as the original does."""
    return paired.p_no_less(np.subtract(original.people, self.people))

  def as_dict(self) -> dict[str, Any]:
    """JSON values, without the people."""
    return {'attack': self.attack, 'auc': self.auc, 'null_95': self.null_95,
            'remembers': self.remembers, 'rejects': self.rejects}


class Attacks:
  """The attacks that a request and its val allow.

  Args:
    problem: the request.
    references: models that were trained on retain alone.
    devices: where to run.
  """

  def __init__(self, problem: methods.Problem,
               references: Sequence[checkpoint.SavedModel],
               devices: parallel.Devices):
    dataset = self._dataset = problem.dataset
    self._devices = devices
    rule = self._rule = live.choose_rule(
        dataset, problem.splits, seed=problem.seed)
    sides = self._sides = (rule.forget, rule.val)
    self._units = rule.units or tuple(
        stats.units_of(dataset.identity[rows]) for rows in sides)
    self.people = (int(self._units[0].max()) + 1
                   if rule.kind != live.PASSES else 0)
    self.unit = 'person' if all(
        (dataset.identity[rows] >= 0).any() for rows in sides) else 'image'
    keys = live.common_keys(dataset, *sides)
    self._keys = () if keys is None else tuple(keys[rows] for rows in sides)
    self._margins = [np.stack(of_side) for of_side in zip(*(
        self._margins_of(self._logits(one)) for one in references))] if (
            self.people) else []

  def measure(self, saved: checkpoint.SavedModel) -> dict[str, Seen] | None:
    """What each attack sees of a model; None if its logits are not finite."""
    if not self.people:
      return {}
    logits = self._logits(saved)
    if not all(np.isfinite(of_side).all() for of_side in logits):
      return None
    losses = [per_example.loss(
        self._dataset.task, of_side, self._dataset.labels[rows])
              for of_side, rows in zip(logits, self._sides, strict=True)]
    found: dict[str, Seen] = {}
    if self._rule.kind == live.RANK:
      found[RANKS] = self._ranked(RANKS, losses)
    else:
      found[IMAGES] = self._by_image(IMAGES, losses)
      if self.unit == 'person' and any(
          np.bincount(units).max() > 1 for units in self._units):
        found[PEOPLE] = self._ranked(PEOPLE, losses)
    scores = reference_attack.scores(
        self._margins_of(logits), self._margins, two_sided=True) if (
            self._margins) else None
    if scores is not None:
      found[REFERENCES] = self._by_image(REFERENCES, [-side for side in scores])
    return {name: Seen(**of_attack) for name, of_attack in hosts.from_first(
        {name: dataclasses.asdict(seen) for name, seen in found.items()}
    ).items()}

  def _by_image(self, name: str, losses: Sequence[np.ndarray]) -> Seen:
    forget, val = losses
    return Seen(name, float(attack.auc(-forget, -val)),
                live_attack.person_null(
                    forget, val, self._units[0], self._units[1])[1],
                self._places(losses))

  def _ranked(self, name: str, losses: Sequence[np.ndarray]) -> Seen:
    counts = (int(units.max()) + 1 for units in self._units)
    auc = live_attack.ranked_auc(*losses, *self._keys, *self._units)
    return Seen(name, auc, live_attack.ranked_null(*counts)[1],
                self._places(losses))

  def _places(self, losses: Sequence[np.ndarray]) -> tuple[float, ...]:
    forget, val = losses
    places = live_attack.places(forget, self._keys[0], val, self._keys[1])
    return tuple(attack.person_means(places, self._units[0]).tolist())

  def _logits(self, saved: checkpoint.SavedModel) -> list[np.ndarray]:
    """On forget and on val; the data leave the device again afterwards."""
    found = predictors_lib.Predictors(self._dataset, self._devices).logits(
        saved, dict(zip(('forget', 'val'), self._sides, strict=True)))
    return list(found.values())

  def _margins_of(self, logits: Sequence[np.ndarray]) -> list[np.ndarray]:
    return [per_example.margin(
        self._dataset.task, of_side, self._dataset.labels[rows])
            for of_side, rows in zip(logits, self._sides, strict=True)]


def rejections(seen: Mapping[str, Seen]) -> list[str]:
  """A sentence for each attack that tells forget from unseen images."""
  found = []
  for name, of_attack in seen.items():
    if of_attack.rejects:
      why = ('remembers' if of_attack.remembers else
             'over-forgets: they are less known than unseen ones')
      low, high = (.5 + sign * of_attack.null_95 / 2 for sign in (-1, 1))
      found.append(
          f'The {TITLES[name]} sees that it {why} (AUC {of_attack.auc:.2f}; '
          f'by chance {low:.2f} to {high:.2f}).')
  return found


@dataclasses.dataclass(frozen=True)
class Rule:
  """When a candidate passes.

  It passes if no attack tells forget from val, if at least one attack sees that
  the original remembers, and if each of these sees that the candidate remembers
  less, at the level divided by the number of candidates: of many looks one in
  twenty would find such a difference by chance.

  Attributes:
    original: what each attack sees of the original.
    people: to forget.
    unit: ``'person'``, or ``'image'`` where people are unknown.
    looks: candidates that rest on these attacks, at least 1.
    level: of all looks together.
    classes: what is forgotten whole. Attacks on val ask whose images were
      learnt, and retrained models alone know how much of a class stays known.
  """

  original: Mapping[str, Seen]
  people: int
  unit: str
  looks: int
  level: float = .05
  classes: tuple[str, ...] = ()

  @property
  def level_each(self) -> float:
    """The level of one candidate, after Bonferroni."""
    return self.level / self.looks

  @property
  def sighted(self) -> list[str]:
    """The attacks that see that the original remembers."""
    return [name for name, seen in self.original.items() if seen.remembers]

  @property
  def blind(self) -> str:
    """Why no attack can tell that something was forgotten; empty if one can."""
    if self.classes:
      return (f'{", ".join(self.classes)} is to be forgotten whole, and val '
              'does not tell how much of it a retrained model would still know')
    if not self.original:
      return 'val has nothing to compare the images to forget with'
    if not self.sighted:
      tried = '; '.join(f'{TITLES[name]}: AUC {seen.auc:.2f}, by chance up to '
                        f'{.5 + seen.null_95 / 2:.2f}'
                        for name, seen in self.original.items())
      return f'no attack sees that the original remembers ({tried})'
    least = paired.fewest(self.level_each)
    if self.people < least:
      return (f'{text.counted(self.people, self.unit)} to forget cannot show '
              'that a model remembers less than the original: with '
              f'{text.counted(self.looks, "candidate")} it takes {least}')
    return ''

  def reasons_against(self, seen: Mapping[str, Seen] | None) -> list[str]:
    """Why a candidate does not pass; none if it does."""
    if self.blind:
      return [f'Nothing could tell that it forgets: {self.blind}.']
    if seen is None:
      return ['Its outputs are not finite.']
    found = rejections(seen)
    for name in self.sighted:
      if seen[name].rejects:
        continue
      p = seen[name].p_no_less(self.original[name])
      if p > self.level_each:
        found.append(
            f'The {TITLES[name]} does not show that it remembers less than the '
            f'original (p {p:.3f}, it takes {self.level_each:.3g}).')
    return found
