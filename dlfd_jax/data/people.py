"""How persons are read: names in one spelling, numbers, and who is unknown."""

from __future__ import annotations

import collections
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from dlfd_jax.data import labels
from dlfd_jax.utils import validate

UNKNOWN = -1
FAMILY = 'family'  # the column of families; its values are read as names are
_MOST_LISTED = 20

# Unicode's Default_Ignorable_Code_Point: soft hyphen, zero-width characters,
# marks of direction, variation selectors, BOM, fillers and tags.
_INVISIBLE = re.compile(
    '[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f'
    '\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8'
    '\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]')
# What spreadsheets, pandas, R and people write where nobody is known. The
# dashes are U+2010 to U+2015 and the minus sign U+2212.
_MISSING = re.compile(
    r'|n ?/ ?a|#n/a|<?na>?|n\.a\.?|nan|none|null|unknown|\?+|[-\u2010-\u2015'
    r'\u2212]+|[-\u2212]0*1(\.0*)?')


def clean(text: str) -> str:
  r"""A name in one spelling: composed (NFC), nothing invisible, single spaces.

  Example:
    >>> clean(' Rene\u0301\u200b \xa0 B ')
    'René B'
  """
  return ' '.join(
      unicodedata.normalize('NFC', _INVISIBLE.sub('', text)).split())


def is_missing(name: str) -> bool:
  """Whether a clean name is a word for a missing value, or blank."""
  return bool(_MISSING.fullmatch(
      unicodedata.normalize('NFKC', name).casefold()))


def loose_keys(name: str) -> set[str]:
  """What stays of a name without case, spacing, width and leading zeros.

  Two names that share a key may be one person. ``7.0`` has the key of ``7``.
  """
  text = clean(name)
  for _ in range(2):  # one change of case or width may uncover another
    text = unicodedata.normalize('NFKC', text.upper().casefold())
  text = text.replace('i\u0307', 'i')  # of the Turkish capital I with a dot
  # Spaces may stand within a number, and leading zeros after a space.
  return {_joined(_without_zeros(text)), _without_zeros(_joined(text))}


def _joined(text: str) -> str:
  return ''.join(text.split())


def _without_zeros(text: str) -> str:
  text = re.sub(r'\d+', lambda digits: ''.join(
      str(unicodedata.decimal(digit)) for digit in digits[0]
  ).lstrip('0') or '0', text)
  return re.sub(r'^\+(?=\d+$)', '', re.sub(r'(\d)\.0*$', r'\1', text))


class Lookalikes:
  """Finds the names that may be one person; see :func:`loose_keys`."""

  def __init__(self, names: Iterable[str]):
    self._by_key: dict[str, list[str]] = {}
    for name in dict.fromkeys(names):
      for key in loose_keys(name):
        self._by_key.setdefault(key, []).append(name)

  def of(self, name: str) -> list[str]:
    """The others that are alike to a name, or to one that is; sorted."""
    group: set[str] = set()
    new = {name}
    while new:
      new = {other for one in new for key in loose_keys(one)
             for other in self._by_key.get(key, ())} - group
      group |= new
    return sorted(group - {name})

  def groups(self) -> list[list[str]]:
    """All groups of two names or more, sorted."""
    several = {name for names in self._by_key.values() if len(names) > 1
               for name in names}
    return [list(group) for group in sorted(
        {tuple(sorted([name, *self.of(name)])) for name in several})]


def read_identities(
    texts: Sequence[str], where: Callable[[int], str], name: str = 'identity',
) -> tuple[np.ndarray, dict[int, str], tuple[str, ...]]:
  """The persons of a column of texts, each name in one spelling.

  Integers stay as they are; other texts are names, numbered in sorted order.
  Blank, -1 and words for missing values (NA, nan, ?) are unknown persons.

  Args:
    texts: one for each image.
    where: names row ``i`` in an error.
    name: of the column.

  Returns:
    int32 ``[n]``, the names by number (none where persons are integers), and
    notes: which words were read as unknown, and which names are alike.

  Raises:
    ValueError: if an integer is below -1, a name has control characters or may
      be the same as a word for a missing value beside it, or such words are all
      there is. (A column of blanks or -1 is
      how a manifest says that nobody is known.)
  """
  cleaned = {text: clean(text) for text in set(texts)}
  cleaned = {text: '' if is_missing(short) else short
             for text, short in cleaned.items()}
  for i, text in enumerate(texts):
    if not cleaned[text].isprintable() or len(text) > validate.LONGEST:
      validate.check_text(f'{name} in {where(i)}', [cleaned[text]])
  codes, names = labels.read_column([cleaned[text] for text in texts])
  bad = np.flatnonzero(codes < UNKNOWN)
  if bad.size:
    raise ValueError(
        f'Expected {name} to be a name, an integer >= 0 or -1 (unknown), got '
        f'{texts[bad[0]]!r} in {where(bad[0])}.')
  words = collections.Counter(
      clean(text) for text in texts if not cleaned[text])
  said = ', '.join(
      f'{validate.shown(word) if word else "blank"} in {count}'
      for word, count in sorted(words.items())[:_MOST_LISTED])
  known = Lookalikes(names)
  for word in filter(None, sorted(words)):
    if known.of(word):
      raise ValueError(
          f'Expected no {name} that looks like a word for missing values, got '
          f'{listed(known.of(word)[:5])} beside {word!r} in {words[word]} '
          'images, which counts as unknown: spell the person in one way, or '
          'leave the cells of the unknown blank.')
  notes = []
  if words.total() == len(codes):
    if name != FAMILY and not set(words) <= {'', '-1'}:
      raise ValueError(
          f'Expected persons in column {name!r}, got words for missing values '
          f'alone ({said}): leave it blank, or -1, if nobody is known.')
  elif words:
    notes.append(f'{name}: unknown in {words.total()} of {len(codes)} images '
                 f'({said}).')
  groups = known.groups()
  if groups:
    more = len(groups) - _MOST_LISTED
    notes.append(
        f'{name}: these differ only by case, spacing, width or leading zeros, '
        'and count as different unless a request says otherwise: '
        + '; '.join(map(listed, groups[:_MOST_LISTED]))
        + (f'; and {more} more' if more > 0 else '') + '.')
  return codes, dict(enumerate(names)), tuple(notes)


def listed(names: Sequence[str]) -> str:
  """Names in quotes: ``'Ann', 'ann' and 'ANN'``."""
  quoted = [validate.shown(name) for name in names]
  return ' and '.join(filter(None, [', '.join(quoted[:-1]), quoted[-1]]))


def check_identities(name: str, values: np.ndarray,
                     where: Callable[[int], str]) -> np.ndarray:
  """The persons of an integer array, -1 unknown, as int32.

  Raises:
    ValueError: if the values are no vector of integers, or one is below -1 or
      does not fit.
  """
  identity = labels.to_int32(name, values)
  bad = np.flatnonzero(identity < UNKNOWN)
  if bad.size:
    raise ValueError(f'Expected identity >= -1 in {where(bad[0])}, got '
                     f'{identity[bad[0]]}.')
  return identity
