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
# How spreadsheets and number types write a long integer, its end rounded off;
# Java, from 1.0E7 on, without a sign. 3E12 may be a code.
_ROUNDED = re.compile(
    r'[0-9]+([.,][0-9]+)?e[+-][0-9]+|[0-9][.,][0-9]+e([7-9]|[0-9]{2})',
    re.IGNORECASE)
_KEPT = 15  # digits of an integer that Excel keeps; all others become 0
_LONG = re.compile(rf'[0-9]{{{_KEPT + 1},}}')
# What stands for the name above; a word may be a name, too.
_DITTO = re.compile(
    r"""([-\u2013\u2014] ?)?["\u201c-\u201f\u2033\uff02]( ?[-\u2013\u2014])?"""
    r"|''|\u3003|同上|(?P<word>ditt?o|idem|ibid\.?)", re.IGNORECASE)
_NEARLY_ALL = .8  # some persons have one image, some cells were filled in


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
      (``2.01701E+16``), has lost a letter, has control characters, stands for
      the one above or may be the same as a word for a missing value beside it,
      or such words are all there is, or the blanks look like merged cells. (A
      column of blanks or -1 is how a manifest says that nobody is known.)
  """
  spelt = {text: spelling.clean(text) for text in set(texts)}
  cleaned = {text: '' if spelling.is_missing(short) else short
             for text, short in spelt.items()}
  for i, text in enumerate(texts):
    if not cleaned[text].isprintable() or len(text) > validate.LONGEST:
      validate.check_text(f'{name} in {where(i)}', [cleaned[text]])
    lost = ('a rounded number' if _ROUNDED.fullmatch(cleaned[text]) else
            'which has lost a letter' if '\ufffd' in text else '')
    if lost:
      raise ValueError(
          f'Expected {name} as it was given, got {text!r} in {where(i)}, '
          f'{lost}, by which several may be one: write the column anew, as '
          'text in UTF-8.')
  values = [cleaned[text] for text in texts]
  _check_digits(name, values, where)
  _check_dittos(name, values, where)
  codes, names = labels.read_column(values)
  bad = np.flatnonzero(codes < UNKNOWN)
  if bad.size:
    raise ValueError(
        f'Expected {name} to be a name, an integer >= 0 or -1 (unknown), got '
        f'{texts[bad[0]]!r} in {where(bad[0])}.')
  _check_merged(name, codes, np.array([not spelt[text] for text in texts]))
  words = collections.Counter(
      spelt[text] for text in texts if not cleaned[text])
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


def _check_digits(name: str, texts: Sequence[str],
                  where: Callable[[int], str]) -> None:
  """Raises ValueError if all long numbers have zeros where Excel puts them."""
  long = {text for text in texts if _LONG.fullmatch(text)}
  zeros = sum(len(text) - _KEPT for text in long)
  if zeros < 3 or any(text[_KEPT:].strip('0') for text in long):
    return
  # Numbers that end in zeros of their own have them before that digit, too.
  if 2 * sum(text[_KEPT - 1] != '0' for text in long) >= len(long):
    i = next(i for i, text in enumerate(texts) if text in long)
    raise ValueError(
        f'Expected {name} as it was given, got {texts[i]!r} in {where(i)} and '
        f'zeros alone beyond digit {_KEPT} in all numbers, as Excel rounds '
        'them, by which several may be one: write the column anew, as text; if '
        'the numbers are whole, put a letter before each.')


def _check_dittos(name: str, texts: Sequence[str],
                  where: Callable[[int], str]) -> None:
  """Raises ValueError if a text stands for the name above it."""
  dittos = {text: match for text in set(texts)
            if (match := _DITTO.fullmatch(text))}
  above: dict[str, set[str]] = {text: set() for text in dittos}
  for i, text in enumerate(texts if dittos else ()):
    if text not in dittos:
      continue
    above[text] |= {*texts[max(i - 1, 0):i]} - {text, ''}
    # A person who is called Dito stands in rows of their own.
    if not dittos[text]['word'] or len(above[text]) > 1:
      raise ValueError(
          f'Expected {name} in every row, got {text!r} in {where(i)}, which '
          'stands for the row above: fill the name down, or write more of it '
          'if somebody is called so.')


def _check_merged(name: str, codes: np.ndarray, blank: np.ndarray) -> None:
  """Raises ValueError if names stand once each, with blanks below them.

  Args:
    name: of the column.
    codes: int32 ``[n]``, in the order of the rows.
    blank: bool ``[n]``.
  """
  named = codes[codes >= 0]
  people = len(np.unique(named))
  below = blank[1:][codes[:-1] >= 0].sum()
  # The first of merged cells holds the name, so the first row has one; among
  # images of unknown people it has not, as a rule.
  if people > 2 and codes[0] >= 0 and min(
      people, below) >= _NEARLY_ALL * len(named):
    raise ValueError(
        f'Expected {name} in every row, got {people} names in {len(named)} '
        f'rows and {blank.sum()} blank ones between them, as of merged cells: '
        'fill the names down, or write unknown where nobody is known.')


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
