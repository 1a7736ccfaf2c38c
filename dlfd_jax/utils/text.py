"""Texts of others, made fit to be shown.

Names of people, files, columns, classes and tensors, and what libraries say of
them, may hold anything: codes that a terminal obeys, marks that turn the
direction of writing, or a megabyte. What is written for people goes through
:func:`visible`, a message through :func:`bounded`, too.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

# Controls of C0 and C1 without tab and line feed, line and paragraph
# separators, marks of direction, annotations, tags, halves of characters. A
# joiner (U+200C, U+200D) is none: names of many languages need it.
_HIDDEN = re.compile(
    '[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u180e\u200b\u200e\u200f\u2028-\u202e'
    '\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]')
_NAMES = re.compile(r' Names: .*$', re.DOTALL)
_LONG_WORD = re.compile(r'\S{241,}')
_BREAK = re.compile(r'\s*[\t\n\r\v\f]\s*')


def visible(text: str) -> str:
  r"""The text with every control character written out.

  Tabs and line feeds stay. Applied twice it changes nothing more.

  Example:
    >>> print(visible('Ann\x1b]52;c;eA==\x07'))
    Ann\x1b]52;c;eA==\x07
  """
  return _HIDDEN.sub(lambda found: found[0].encode(
      'unicode_escape', 'surrogatepass').decode('ascii'), text)


def bounded(text: str, most: int = 700) -> str:
  """One visible line of at most ``most`` characters.

  First long words lose their middle, so that a sentence around a name of a
  megabyte can be read, then the line does.

  Example:
    >>> bounded('x' * 1_000_000 + 'y is no name.', 40)
    'xxxxxxxxxxxxxxxxxxxxxx[...]y is no name.'
  """
  # what nobody will see is dropped first: a pattern takes seconds on megabytes
  line = _BREAK.sub(' ', _cut(text, 100 * most)).strip()
  line = _LONG_WORD.sub(lambda word: _cut(word[0], 120), visible(line))
  return _cut(line, most)


def _cut(text: str, most: int) -> str:
  """A text that is longer loses its middle."""
  if len(text) <= most:
    return text
  end = most // 3
  return f'{text[:most - end - 5]}[...]{text[-end:]}'


def nearest(name: str, known: Iterable[str]) -> str:
  """The one that was probably meant, in brackets; nothing if none is alike.

  Example:
    >>> nearest('lerning_rate', ['epochs', 'learning_rate'])
    ' (the nearest is learning_rate)'
  """
  found = difflib.get_close_matches(bounded(name, 100), list(known), 1)
  return f' (the nearest is {found[0]})' if found else ''


def by_extra(extra: str) -> str:
  """How to install what only some users need, as the end of an error."""
  return (f'install the extra {extra} '
          f"(in the clone: pip install -e '.[{extra}]')")


def counted(count: int, unit: str) -> str:
  """``1 person``, ``3 people``; ``unit`` is ``'person'`` or a regular noun."""
  many = 'people' if unit == 'person' else f'{unit}s'
  return f'{count:,} {unit if count == 1 else many}'


def listed(words: Iterable[str], last: str = 'and') -> str:
  """Words with commas and a word before the last one.

  Example:
    >>> listed(['exact', 'near', 'mirrored'], 'or')
    'exact, near or mirrored'
  """
  *before, end = words
  return f'{", ".join(before)} {last} {end}' if before else end


def are(count: int) -> str:
  """``is`` after one, ``are`` after any other number."""
  return 'is' if count == 1 else 'are'


def naming(said: str, names: str) -> str:
  """Sentences, and names after them that :func:`unnamed` takes away.

  Example:
    >>> naming('Two people stay.', 'Ann and Bob')
    'Two people stay. Names: Ann and Bob.'
  """
  return f'{said} Names: {names}.'


def unnamed(said: str) -> str:
  """Sentences without the names that :func:`naming` put after them.

  Example:
    >>> unnamed('Two people stay. Names: Ann and Bob.')
    'Two people stay.'
  """
  return _NAMES.sub('', said)


def duration(seconds: float) -> str:
  """A time that is expected.

  Example:
    >>> duration(50), duration(600), duration(9000)
    ('about 50 s', 'about 10 min', 'about 2.5 h')
  """
  if seconds < 90:
    return f'about {seconds:.0f} s'
  if seconds < 5400:
    return f'about {seconds / 60:.0f} min'
  return f'about {seconds / 3600:.1f} h'
