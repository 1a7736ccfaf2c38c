"""The ranks of people to forget among unseen ones, in words."""

from __future__ import annotations

import collections
from collections.abc import Mapping, Sequence
from typing import Any

from dlfd_jax.evaluation import estimate
from dlfd_jax.metrics import person_rank
from dlfd_jax.report import tables
from dlfd_jax.utils import text

FEW = 5  # people that each get a sentence
_LISTED = 10
_IDS = 5  # of requests, in a sentence
_MANY = {'person': 'people', 'image': 'images'}
_ROWS = 50
_NEED = ('compared', 'value', 'unseen')
_NO_P = ('p takes two retrained models: without them nobody knows how easily '
         'any model recognises somebody, and one alone does not tell its seed '
         'from a trace')


def sentences(result: Mapping[str, Any]) -> list[str]:
  """Whether people are told apart from unseen ones; empty if none is ranked."""
  ranked = [entry for entry in result.get('people') or () if is_ranked(entry)]
  if not ranked:
    return []
  bare = all(entry.get('p') is None for entry in ranked)
  if 1 < len(ranked) <= FEW and bare:
    places = (f'{_who(entry)} {_place(entry)}' for entry in ranked)
    units = ' and '.join(sorted({_MANY[entry['unit']] for entry in ranked}))
    return [f'Place among unseen {units} and this one (1 = '
            f'most like somebody seen): {"; ".join(places)}. There is no p: '
            f'{_NO_P}.']
  if len(ranked) <= FEW:
    return [_of_one(entry, len(ranked)) for entry in ranked]
  if bare:
    return [f'{_counted(ranked)} to forget are '
            f'ranked among unseen ones, without p: {_NO_P}.']
  apart = [str(entry['person']) for entry in ranked if entry['told_apart']]
  unseen = [entry['unseen'] for entry in ranked]
  among = str(min(unseen)) if min(unseen) == max(unseen) else (
      f'{min(unseen):,} to {max(unseen):,}')
  more = f' and {len(apart) - _LISTED:,} more' if len(apart) > _LISTED else ''
  return [
      f'By rank among {among} unseen, {len(apart):,} of '
      f'{_counted(ranked)} to forget '
      f'{text.are(len(apart))} told apart at '
      f'{person_rank.LEVEL:g} (Benjamini and Hochberg)'
      + (f': {", ".join(apart[:_LISTED])}{more}.' if apart else
         '.' if any(entry['high'] is not None for entry in ranked) else
         f'; none alone could be: {_needs(len(ranked))}.')]


def _counted(ranked: Sequence[Mapping[str, Any]]) -> str:
  """``3 people``, and images whose person is unknown apart."""
  units = collections.Counter(entry['unit'] for entry in ranked)
  return ' and '.join(text.counted(count, unit)
                      for unit, count in sorted(units.items(), reverse=True))


def rows(result: Mapping[str, Any]) -> list[dict[str, str]]:
  """By column, a row a person: the report's table, highest values first."""
  return [{
      'Person': str(entry['person']),
      'images': f'{entry["images"]:,}',
      'compared': f'{entry["compared"]:,}',
      'unseen': f'{entry["unseen"]:,}',
      'value': _signed(entry['value']),
      'place': _place(entry),
      'p': _p(entry['p']), 'p, adjusted': _p(entry['p_adjusted']),
      'smallest p': _p(entry['smallest_p']),
      'p, original': _p(entry.get('original_p')),
      'told apart': _yes_or_no(entry['told_apart']),
  } for entry in result.get('people') or () if is_ranked(entry)][:_ROWS]


def request_ids(entries: Sequence[Mapping[str, Any]]) -> str:
  """Their owner's numbers of the requests of people of earlier ones.

  Args:
    entries: as ``people`` of an evaluation's ``earlier``.

  Returns:
    Text to follow the word they explain, empty where no number is known.

  Example:
    >>> request_ids([{'id': 'R-1'}, {'id': 'R-2'}, {'id': 'R-1'}, {}])
    ' (R-1, R-2)'
  """
  known = list(dict.fromkeys(
      entry['id'] for entry in entries if entry.get('id')))
  if not known:
    return ''
  more = len(known) - _IDS
  return (f' ({", ".join(known[:_IDS])}'
          + (f' and {more:,} more)' if more > 0 else ')'))


def earlier_rows(result: Mapping[str, Any]) -> list[dict[str, str]]:
  """By column, a row a person of earlier requests: the report's table."""
  def text(value: Any) -> str:
    return estimate.NOT_COMPUTED if value is None else str(value)

  def day(moment: str | None) -> str:
    return text(moment and moment[:10])

  found = []
  for entry in (result.get('earlier') or {}).get('people') or ():
    judged = entry.get('judged') or {}
    found.append({
        'Person': entry['person'] or 'unknown',
        'request': text(entry.get('request')) + request_ids([entry]),
        'unlearned': day(entry.get('date')),
        'images': text(entry.get('images')),
        'still in the data': text(entry.get('there')),
        'judged': day(judged.get('date')),
        'attack AUC then': tables.as_cell(judged.get('attack')).with_interval,
        'told apart then': _yes_or_no(judged.get('told_apart'))})
  return found[:_ROWS]


def is_ranked(entry: Mapping[str, Any]) -> bool:
  """Whether an entry of ``people`` has a rank."""
  return all(entry.get(key) is not None for key in _NEED)


def _of_one(entry: Mapping[str, Any], people: int) -> str:
  unit = entry['unit']
  who = f'{unit.capitalize()} {_who(entry)}'
  if entry.get('p') is None:
    return (f'{who}: place {_place(entry)} among unseen {_MANY[unit]} and '
            f'this one (1 = most like somebody seen); {_NO_P}.')
  said = (f'{who}: {"" if entry["told_apart"] else "not "}told apart from '
          f'{entry["unseen"]:,} unseen {_MANY[unit]}, p {_p(entry["p"])}')
  if people > 1:
    said += f', {_p(entry["p_adjusted"])} adjusted for {people}'
  if entry.get('original_p') is not None:
    said += f' (the original: {_p(entry["original_p"])})'
  low, high = entry.get('low'), entry.get('high')
  value, alone = entry['value'], ' alone' if people > 1 else ''
  if entry['told_apart']:
    said += f': at {_signed(value)} standard deviations'
    if low is None or high is None or low <= value <= high:
      return f'{said}.'
    return (f'{said}, where unseen ones end at {_signed(low)} and '
            f'{_signed(high)}.')
  if low is None or high is None:
    return (f'{said}. No trace{alone} could be: the smallest p of so few is '
            f'{_p(entry["smallest_p"])}, and {_needs(people)}.')
  if not low <= value <= high:  # p is a mean over draws, and so is an end
    return f'{said}, at {_signed(value)} standard deviations.'
  return (f'{said}: only a trace above {_signed(high)} (or below '
          f'{_signed(low)}) standard deviations would have been{alone}, here '
          f'it is {_signed(value)}.')


def _needs(people: int) -> str:
  """What it takes to tell one of so many people apart."""
  adjusted = f', adjusted for {people:,},' if people > 1 else ''
  return (f'p of {person_rank.LEVEL:g}{adjusted} takes '
          f'{person_rank.needed(person_rank.LEVEL / people):,} unseen')


def _who(entry: Mapping[str, Any]) -> str:
  return str(entry['person']) + (
      f' ({text.counted(entry["images"], "image")})'
      if entry['unit'] == 'person' else '')


def _place(entry: Mapping[str, Any]) -> str:
  """``3 of 61``; results of earlier versions do not have it."""
  place = entry.get('place')
  return estimate.NOT_COMPUTED if place is None else (
      f'{place:.3g} of {1 + entry["unseen"]:,}')


def _yes_or_no(value: bool | None) -> str:
  return estimate.NOT_COMPUTED if value is None else 'yes' if value else 'no'


def _signed(value: float) -> str:
  return estimate.format_number(value, signed=True)


def _p(value: float | None) -> str:
  return estimate.NOT_COMPUTED if value is None else f'{value:.2g}'
