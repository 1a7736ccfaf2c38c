"""How a model looks: one colour and marker in every figure.

Colours are those of Okabe and Ito (2008). There are fewer of them than methods,
so that a marker always tells apart what a colour does not.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from dlfd_jax.report import canvas

BLACK, ORANGE, SKY, GREEN = '#000000', '#E69F00', '#56B4E9', '#009E73'
YELLOW, BLUE, VERMILION, PURPLE = '#F0E442', '#0072B2', '#D55E00', '#CC79A7'
COLORS = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION, BLACK, YELLOW)
MARKERS = ('o', '^', 's', 'D', 'v', 'P', 'X', '*', '<', '>', 'p', 'h')
EDGE = '#333333'  # of every marker, so that yellow shows on white
LAST = '/last'  # ends the name of a run's last state; drawn hollow
_KNOWN = {
    'original': (canvas.COLORS['original'], canvas.MARKERS['original']),
    'retrained': (canvas.COLORS['retrained'], canvas.MARKERS['retrained']),
    'dlfd': (BLUE, 'o'), 'official_compat': (BLUE, '^'),
    'finetune': (ORANGE, 'v'), 'finetune_alike': (ORANGE, '>'),
    'neggrad': (BLACK, 'X'), 'neggrad_plus': (BLACK, 'P'),
    'cf_k': (PURPLE, 'p'), 'eu_k': (PURPLE, 'h'),
    'unsir': (YELLOW, '*'), 'bad_teaching': (YELLOW, '<'),
    'scrub': (SKY, 'd'), 'scrub_r': (SKY, 'o'), 'rewind': (SKY, 'H'),
}
_FURTHER = ((PURPLE, '^'), (BLACK, 'v'), (SKY, 's'), (YELLOW, 'D'),
            (ORANGE, 'P'), (PURPLE, '>'), (BLUE, '*'), (BLACK, '<'),
            (YELLOW, 'p'), (ORANGE, 'X'), (SKY, '^'), (BLUE, 'h'))
MOST_FURTHER = len(_FURTHER)


@dataclasses.dataclass(frozen=True)
class Style:
  """Colour, marker and whether the marker is filled."""

  color: str
  marker: str
  filled: bool = True

  @property
  def face(self) -> str:
    """Colour of the marker's inside."""
    return self.color if self.filled else 'none'

  @property
  def edge(self) -> str:
    """Colour of the marker's rim."""
    return EDGE if self.filled else self.color


def styles(names: Sequence[str]) -> dict[str, Style]:
  """The look of each model.

  Args:
    names: registered methods, ``original``, ``retrained`` or any other name;
      one that ends with ``/last`` looks like its model, but hollow.

  Returns:
    By name. Registered names look the same whatever else there is; the others
    take the further looks in their order.

  Raises:
    ValueError: if there are more unknown names than looks.

  Example:
    >>> found = styles(['dlfd', 'dlfd/last', 'mine'])
    >>> found['dlfd'].color == found['dlfd/last'].color, found['mine'].marker
    (True, '^')
  """
  stems = dict.fromkeys(name.removesuffix(LAST) for name in names)
  unknown = [name for name in stems if name not in _KNOWN]
  if len(unknown) > MOST_FURTHER:
    raise ValueError(
        f'Expected at most {MOST_FURTHER} names beside those of methods, got '
        f'{len(unknown)}.')
  looks = _KNOWN | dict(zip(unknown, _FURTHER))
  return {name: Style(*looks[name.removesuffix(LAST)],
                      not name.endswith(LAST)) for name in names}
