"""What is written of a metric: one record of cells, as JSON can hold it.

A cell that was not computed says why; it is never left out and never 0.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Cell:
  """A number with its 95 % interval, or the reason why there is none.

  Attributes:
    value: a finite number, or None.
    low: lower end of the interval, None if it has none.
    high: upper end.
    reason: why there is no value; None if there is one.

  Raises:
    ValueError: if a number is not finite, or there is both a value and a
      reason, or neither.
  """

  value: float | None
  low: float | None = None
  high: float | None = None
  reason: str | None = None

  def __post_init__(self):
    for name in ('value', 'low', 'high'):
      number = getattr(self, name)
      if number is None:
        continue
      if not math.isfinite(number):
        raise ValueError(f'Expected {name} to be finite, got {number}.')
      object.__setattr__(self, name, float(number))
    if (self.value is None) != (self.reason is not None):
      raise ValueError(
          f'Expected a value or a reason, got {self.value} and '
          f'{self.reason!r}.')

  @classmethod
  def missing(cls, reason: str) -> Cell:
    """A cell that was not computed."""
    return cls(None, reason=reason)

  def as_dict(self) -> dict[str, Any]:
    return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class Record:
  """One metric for the three models, the null and the difference.

  Attributes:
    metric: its name.
    split: what it was measured on, None if on none.
    direction: what higher means, in words.
    original: the model before unlearning.
    unlearned: the model after it.
    retrained: mean over the models trained on retain alone.
    null: the value that perfect unlearning or a blind guess would give.
    delta: unlearned - retrained.
    units: of the value: ``'fraction'``, ``'nats'``, ``'count'``.
    n_units: how many people (or images) the interval resamples.
    unit: ``'person'`` or ``'image'``.
    seeds: named seeds behind the value.
    verdict: words, None where the metric decides nothing.
    p_value: of no difference to retraining, None likewise.
    margin: differences below it do not matter, None likewise.
    power: chance of "indistinguishable" if there is no difference, None
      likewise.
    notes: sentences to be read with it.
    tier: of the evaluation that made it.
  """

  metric: str
  split: str | None
  direction: str
  original: Cell
  unlearned: Cell
  retrained: Cell
  null: Cell
  delta: Cell
  units: str = 'fraction'
  n_units: int | None = None
  unit: str | None = None
  seeds: Mapping[str, int] = dataclasses.field(default_factory=dict)
  verdict: str | None = None
  p_value: float | None = None
  margin: float | None = None
  power: float | None = None
  notes: tuple[str, ...] = ()
  tier: int = 0

  @property
  def cells(self) -> dict[str, Cell]:
    """The five cells by name, in the order of the tables."""
    return {name: getattr(self, name) for name in (
        'original', 'unlearned', 'retrained', 'null', 'delta')}

  def as_dict(self) -> dict[str, Any]:
    """Plain dictionaries, lists, strings and numbers, none of them NaN."""
    return {
        'metric': self.metric, 'split': self.split, 'tier': self.tier,
        'direction': self.direction,
        **{name: cell.as_dict() for name, cell in self.cells.items()},
        'units': self.units, 'n_units': self.n_units, 'unit': self.unit,
        'seeds': dict(self.seeds), 'verdict': self.verdict,
        'p_value': self.p_value, 'margin': self.margin, 'power': self.power,
        'notes': list(self.notes),
    }
