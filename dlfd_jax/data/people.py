"""How persons are read: names in one spelling, numbers, and who is unknown."""

from __future__ import annotations

import collections
import re
from collections.abc import Callable, Sequence

import numpy as np

from dlfd_jax.data import labels, spelling
from dlfd_jax.utils import text as text_lib, validate

UNKNOWN = -1
FAMILY = 'family'  # the column of families; its values are read as names are
_MOST_LISTED = 20
# How spreadsheets and number types write a long integer, its end rounded off.
_ROUNDED = re.compile(r'[0-9]+([.,][0-9]+)?e[+-][0-9]+', re.IGNORECASE)


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
    ValueError: if an integer is below -1, a name is a rounded number
      (``2.01701E+16``), has control characters or may be the same as a word for
      a missing value beside it, or such words are all there is. (A column of
      blanks or -1 is how a manifest says that nobody is known.)
  """
  cleaned = {text: spelling.clean(text) for text in set(texts)}
  cleaned = {text: '' if spelling.is_missing(short) else short
             for text, short in cleaned.items()}
  for i, text in enumerate(texts):
    if not cleaned[text].isprintable() or len(text) > validate.LONGEST:
      validate.check_text(f'{name} in {where(i)}', [cleaned[text]])
    if _ROUNDED.fullmatch(cleaned[text]):
      raise ValueError(
          f'Expected {name} as it was given, got {text!r} in {where(i)}, a '
          'rounded number, by which several may be one: write the column '
          'anew, as text.')
  codes, names = labels.read_column([cleaned[text] for text in texts])
  bad = np.flatnonzero(codes < UNKNOWN)
  if bad.size:
    raise ValueError(
        f'Expected {name} to be a name, an integer >= 0 or -1 (unknown), got '
        f'{texts[bad[0]]!r} in {where(bad[0])}.')
  words = collections.Counter(
      spelling.clean(text) for text in texts if not cleaned[text])
  said = ', '.join(
      f'{validate.shown(word) if word else "blank"} in {count}'
      for word, count in sorted(words.items())[:_MOST_LISTED])
  known = spelling.Lookalikes(names)
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
        f'{name}: these differ only by {spelling.DIFFERENCES}, and count as '
        'different unless a request says otherwise: '
        + '; '.join(map(listed, groups[:_MOST_LISTED]))
        + (f'; and {more} more' if more > 0 else '') + '.')
  return codes, dict(enumerate(names)), tuple(notes)


def listed(names: Sequence[str]) -> str:
  """Names in quotes: ``'Ann', 'ann' and 'ANN'``."""
  return text_lib.listed(map(validate.shown, names))


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
