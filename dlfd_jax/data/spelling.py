"""Words as people type them: one spelling, look-alikes, and missing values."""

from __future__ import annotations

import html
import re
import unicodedata
import urllib.parse
from collections.abc import Iterable

# How names that share a key of :func:`loose_keys` may differ.
DIFFERENCES = 'case, spacing, how signs are written or leading zeros'

# Unicode's Default_Ignorable_Code_Point: soft hyphen, zero-width characters,
# marks of direction, variation selectors, BOM, fillers and tags.
_INVISIBLE = re.compile(
    '[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f'
    '\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8'
    '\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]')
# What spreadsheets, pandas, R, databases, JavaScript and people write where a
# value is missing, in any language; none is a common name (`K. A.` is initials,
# `k. A.` German). The dashes are U+2010 to U+2015 and the minus sign U+2212.
_WORDS = (
    'na|nan|none|null|missing|undefined|unknown|not (known|available)|tbd'
    '|unbekannt|nicht (bekannt|angegeben)|keine angabe|undefiniert|onbekend'
    '|inconnue?|non (renseigné|connu|noto|disponible)|indéfini|manquant'
    '|desconocid[oa]|desconhecid[oa]|sconosciut[oa]|necunoscut'
    '|okänd|ukendt|ukjent|tuntematon|nieznan[ya]|brak danych|neznám[ýá]'
    '|ismeretlen|bilinmiyor|неизвестн(о|ый|ая)|невідом(о|ий|а)|нет данных'
    '|άγνωστ(ος|η|ο)|مجهول|غير معروف|لا يوجد|نامشخص|अज्ञात|không rõ'
    '|不明|不詳|不详|未知|未定義|未定义|缺失|欠損|无|無|なし|미상|불명|없음'
    '|알 수 없음')
# Errors of spreadsheets: #DIV/0!, #WERT!, #¿NOMBRE?, #N/A, #Н/Д, Err:502, and
# what is wider than its cell.
_ERRORS = (r'##+|#[¡¿]?[^\W\d][\w/.]*[!?]|#[^\W\d_]/[^\W\d_]+|err:\d{3}'
           '|#(nv|yok|hiányzik|getting_data|není_k_dispozici|nie_dostępne)')
_MISSING = re.compile(
    r'|n ?/ ?[adk]|n\.a\.?|(?-i:k)\. ?a\.?|\.|\?+|\\n'
    r'|[-\u2010-\u2015\u2212]+|[-\u2212]0*1(\.0*)?'
    rf'|<?({_WORDS})>?|[(\[]({_WORDS}|blank|empty|leer|vide)[)\]]|{_ERRORS}',
    re.IGNORECASE)
# Signs that programs and keyboards put for others: dashes (with the long vowel
# of kana), apostrophes, quotation marks and dots between names.
_SIGNS = str.maketrans({
    **dict.fromkeys('\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u2043\u30fc',
                    '-'),
    **dict.fromkeys('\u0060\u00b4\u02b9\u02bb\u02bc\u02bd\u02c8\u05f3\u2018'
                    '\u2019\u201b\u2032', "'"),
    **dict.fromkeys('\u201c\u201d\u201e\u201f\u2033\u05f4«»‹›「」『』《》〈〉',
                    '"'),
    **dict.fromkeys('\u2022\u2027\u2219\u22c5\u30fb', '\u00b7')})
# Letters of Cyrillic and of Greek that look like Latin ones, small or capital;
# then those that have two codes, or whose dots or hamza are often left out.
_LETTERS = str.maketrans({
    **dict(zip('авекмнорстухіјѕһ' 'αβεζηικμνορτυχ',
               'abekmhopctyxijsh' 'abezhikmnoptyx')),
    **dict(zip('ёșțðɖ' 'يىكھہأإٱ', 'eşţđđ' 'ییکههااا')),
    '\u0640': ''})  # stretches an Arabic word
# Between digits it parts two numbers: 1_11 is not 11_1.
_UNDERSCORE = re.compile(r'(?<!\d)_|_(?!\d)')
_THOUSANDS = re.compile(r"0*[1-9]\d{0,2}([.,']\d{3})+")


def clean(text: str) -> str:
  r"""A name in one spelling: composed (NFC), nothing invisible, single spaces.

  Example:
    >>> clean(' Rene\u0301\u200b \xa0 B ')
    'René B'
  """
  return ' '.join(
      unicodedata.normalize('NFC', _INVISIBLE.sub('', text)).split())


def is_missing(name: str) -> bool:
  """Whether a clean name stands for a missing value, or is blank.

  That is a word (``NA``, ``unbekannt``), a sign (``?``) or an error of a
  spreadsheet in any language (``#N/A``, ``#WERT!``, ``####``).
  """
  return bool(_MISSING.fullmatch(unicodedata.normalize('NFKC', name)))


def look(text: str) -> str:
  """What stays of a text without case, width and ways to type a sign.

  Two texts of one look may be read as the same: ``O'Neil`` with either
  apostrophe, ``A-1`` with any dash, ``A1`` with a Latin or a Cyrillic A.
  """
  text = clean(text)
  if text.isascii():  # comes to the same, faster
    return text.lower().replace('`', "'")
  text = text.translate(_SIGNS)  # before NFKC parts ´ into two signs
  for _ in range(2):  # one change of case or width may uncover another
    text = unicodedata.normalize('NFKC', text.upper().casefold())
  text = text.replace('i\u0307', 'i')  # of the Turkish capital I with a dot
  return text.translate(_SIGNS).translate(_LETTERS)


def loose_keys(name: str) -> set[str]:
  """What stays of a name's look without spacing, quotes and leading zeros.

  Two names that share a key may be one person. ``7.0`` has the key of ``7``,
  ``"Ann_Lee"`` and ``Ann%20Lee`` have that of ``Ann Lee``.
  """
  keys = set()
  for text in {name, _decoded(name)}:
    text = look(text).replace('"', '')
    text = text.strip("' =") or text  # '007 and ="007" are how to type a text
    joined = _joined(text)
    # Spaces may stand within a number, and leading zeros after a space.
    keys |= {_UNDERSCORE.sub('', _joined(_without_zeros(text))),
             _UNDERSCORE.sub('', _without_zeros(joined))}
    if _THOUSANDS.fullmatch(joined):
      keys.add(_without_zeros(re.sub("[.,']", '', joined)))
  return keys


def _decoded(text: str) -> str:
  """A text without the codes that programs put for signs: &#39;, %20, Ã©."""
  try:
    text = urllib.parse.unquote(html.unescape(text), errors='strict')
    if not text.isascii():
      # UTF-8 read as Windows' code page; `clean` took the space of à and the
      # soft hyphen of í away.
      text = re.sub('Ã(?=[A-Za-z])', 'Ã\xad', re.sub('Ã( |$)', 'Ã\xa0', text))
      text = text.encode('cp1252').decode()
  except UnicodeError:
    pass
  return text


def _joined(text: str) -> str:
  return ''.join(text.split())


def _without_zeros(text: str) -> str:
  text = re.sub(r'\d+', lambda digits: ''.join(
      str(unicodedata.decimal(digit)) for digit in digits[0]
  ).lstrip('0') or '0', text)
  return re.sub(r'^\+(?=\d+$)', '', re.sub(r'(\d)[.,]0*$', r'\1', text))


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
