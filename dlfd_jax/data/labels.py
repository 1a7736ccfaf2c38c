"""From columns to labels and a task: the same rules for every source.

Columns of texts become integers (``read_classes``, ``read_attribute``,
``read_column``); of integer columns one makes a multiclass task, several make a
multilabel one (``make_labels``).
"""

from __future__ import annotations

import collections
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypedDict, Unpack

import numpy as np

from dlfd_jax import tasks
from dlfd_jax.data import spelling
from dlfd_jax.utils import text as text_lib, validate

SORTED = ('sorted as texts',)  # the order of earlier versions, as names
_INTEGER = re.compile(r'([+-]?[0-9]+)(?:\.0*)?', re.ASCII)
_FRACTION = re.compile(  # in decimals, of any language, or rounded
    r'[+-]?[0-9]*[.,][0-9]+(e[+-]?[0-9]+)?|[+-]?[0-9]+e[+-][0-9]+',
    re.ASCII | re.IGNORECASE)
# 1.000 is 1, or 1000 where thousands are parted by dots; the others are not.
_THOUSANDS = re.compile(r'[+-]?[1-9][0-9]{0,2}\.000', re.ASCII)
_DECIMALS = re.compile(r'[+-]?(0|[1-9][0-9]{3,})\.000', re.ASCII)
# Looks of 4-6, 13+ and >12, and of 4-Jun, 06. Apr, Mai 13, 2026-06-04 00:00:00.
_RANGE = re.compile('[0-9]+ ?(- ?[0-9]+|[+])|[<>≤≥]=? ?[0-9]+')
_MONTH = ('(jan|janv|ene|gen|feb|févr|fev|mar|mars|mär|mrz|apr|avr|abr|may|'
          'mai|mag|jun|juin|giu|jul|juil|lug|aug|août|ago|sep|sept|set|oct|okt|'
          'ott|out|nov|dec|dez|dic|déc)')
_DATE = re.compile(
    fr'[0-9]{{1,2}}[-./ ]*{_MONTH}\.?|{_MONTH}[-./ ]*[0-9]{{1,2}}'
    r'|([0-9]{1,4}[-./]){2}[0-9]{1,4}( [0:]+)?'
    '|[0-9]{1,2}月[0-9]{1,2}日')
_INT32 = np.iinfo(np.int32)
_MANY = 20  # images; if no two share a class, the column is none of classes
_MOST_UNNAMED = 1000  # classes without names, where images are fewer
_MOST_EMPTY = .9  # of the outputs of classes without names
# It means "no label" (or is -1 as uint8) where it is far above all others.
_NO_LABEL, _FAR = 255, 64


class LabelOptions(TypedDict, total=False):
  """What every loader passes on to :func:`make_labels`.

  Attributes:
    names: of the classes in their order, before any are merged, or of the
      attributes; by default the column's name and the class's number, or the
      columns' names.
    multilabel: makes one column a multilabel task too.
    merge_from: all classes from this one on become this one; multiclass only.
    thresholds: by label column, the least value that counts as 1; negative
      values stay unknown. Multilabel only.
    negative: the value that means no, in columns without 0; by default -1 is
      unknown.
    same_classes: whether texts that differ by case, spaces or look-alike signs
      alone are one class.
  """

  names: Sequence[str] | None
  multilabel: bool
  merge_from: int | None
  thresholds: Mapping[str, int] | None
  negative: int | None
  same_classes: bool | None


def to_int32(name: str, values: np.ndarray) -> np.ndarray:
  """Integers of any width (or booleans) as int32, refusing what does not fit.

  Raises:
    ValueError: if the values are no vector of integers, or out of range.
  """
  values = np.asarray(values)
  if values.ndim != 1 or values.dtype.kind not in 'iub':
    raise ValueError(
        f'Expected {name} to be a vector of integers, got {values.dtype} '
        f'{list(values.shape)}.')
  if values.size and (values.min() < _INT32.min or values.max() > _INT32.max):
    raise ValueError(
        f'Expected {name} within the range of int32, got '
        f'[{values.min()}, {values.max()}].')
  return values.astype(np.int32)


def read_column(texts: Sequence[str]) -> tuple[np.ndarray, tuple[str, ...]]:
  """Integers as they are, else texts numbered in sorted order; blank is -1.

  Texts that would become equal as integers (7 and 007) or do not fit int32 stay
  texts.

  Returns:
    int32 ``[n]``, and the distinct texts in the order of their numbers (none
    where they are integers).
  """
  distinct = sorted({text for text in texts if text})
  numbers: dict[str, int] = {text: k for k, text in enumerate(distinct)}
  names = tuple(distinct)
  if all(re.fullmatch(r'[+-]?[0-9]+', text, re.ASCII) for text in distinct):
    integers = {text: int(text) for text in distinct}
    if len(set(integers.values())) == len(distinct) and all(
        _INT32.min <= number <= _INT32.max for number in integers.values()):
      numbers, names = integers, ()
  codes = [numbers.get(text, tasks.UNKNOWN) for text in texts]
  return np.array(codes, np.int32), names


def text_order(texts: Iterable[str],
               names: Sequence[str] | None = None) -> tuple[str, ...]:
  """The order of classes: as named, or natural."""
  if names == SORTED:
    return tuple(sorted(set(texts)))
  return natural_order(texts) if names is None else tuple(names)


def natural_order(texts: Iterable[str]) -> tuple[str, ...]:
  """Distinct texts sorted, runs of digits of any script by their number.

  Example:
    >>> natural_order(['bin 10', 'bin 2', 'bin 1'])
    ('bin 1', 'bin 2', 'bin 10')
  """
  def key(text: str) -> tuple:
    pieces = re.split('([0-9]+)', ''.join(
        str(unicodedata.decimal(sign, sign)) for sign in text))
    return [(len(piece.lstrip('0')) if k % 2 else 0, piece.lstrip('0'))
            for k, piece in enumerate(pieces)], text
  return tuple(sorted(set(texts), key=key))


def are_numbers(names: Sequence[str]) -> bool:
  """Whether classes are numbers: no other spelling makes one of them two.

  Example:
    >>> are_numbers(['age 0', 'age 1']), are_numbers(['1', '01'])
    (True, False)
  """
  found = [re.fullmatch(r'(.* )?([0-9]+)[+]?', name, re.ASCII | re.DOTALL)
           for name in names]
  numbers = {(match[1], int(match[2])) for match in found if match}
  return len(numbers) == len(names) and len({kind for kind, _ in numbers}) == 1


def one_spelling(label: str, texts: Sequence[str],
                 names: Sequence[str] | None = None,
                 same_classes: bool | None = False) -> list[str]:
  """The classes of a column, each spelt in one way.

  Args:
    label: the column's name.
    texts: one for each image.
    names: classes that a user named; whichever differ are different.
    same_classes: whether names that differ by case, spaces or look-alike signs
      alone are one class: then the commonest of them stands for all, or that of
      ``names``.

  Raises:
    ValueError: if there are such names, and nobody said that they are one.
  """
  counts = collections.Counter(texts)
  by_key: dict[str, list[str]] = {}
  for text in sorted(counts, key=lambda text: (-counts[text], text)):
    by_key.setdefault(_key(text), []).append(text)
  instead: dict[str, str] = {}
  for key, spellings in by_key.items():
    named = [name for name in names or () if _key(name) == key]
    if set(spellings) <= set(named) or len(spellings) + len(named) == 1:
      continue
    # An accent typed in two ways looks the same, and is the same text.
    composed = {unicodedata.normalize('NFC', text)
                for text in (*spellings, *named)}
    if len(composed) == 1 or same_classes:
      best = named[0] if named else composed.pop() if len(
          composed) == 1 else spellings[0]
      instead |= dict.fromkeys(spellings, best)
    elif len(spellings) > 1:
      raise ValueError(
          f'Expected classes of {label!r} that differ by more than case, '
          'spaces and look-alike signs, got ' + validate.listed(
              f'{text!r} in {counts[text]} images' for text in spellings)
          + ': mend them, or say --same_classes=true if they are one class.')
  return [instead.get(text, text) for text in texts]


def _key(text: str) -> str:
  return ''.join(spelling.look(text).split())


def read_other(
    label: str, texts: Sequence[str], where: Callable[[int], str]
    ) -> tuple[np.ndarray, tuple[str, ...], list[str]]:
  """A column that is kept for reports, see :func:`read_column`; 3.0 is 3.

  Returns:
    int32 ``[n]``, the distinct texts, and a sentence if most values are
    integers and the others make texts of them all.
  """
  odd = _thousands(texts) or [
      i for i, text in enumerate(texts) if _integer(text) is None]
  if not odd:
    texts = [text.partition('.')[0] for text in texts]
  codes, names = read_column(texts)
  known = sum(map(bool, texts))
  if not odd or 2 * len(odd) > known:
    return codes, names, []
  return codes, names, [
      f'Column {label!r} is read as texts: {known - len(odd)} of {known} values'
      f' are integers, not {validate.shown(texts[odd[0]])} in {where(odd[0])}.']


def read_classes(
    label: str, texts: Sequence[str], where: Callable[[int], str],
    **options: Unpack[LabelOptions]
    ) -> tuple[np.ndarray, Sequence[str] | None]:
  """The classes of a label column of texts.

  Args:
    label: the column's name.
    texts: one for each image: integers (``3.0`` is 3), or the classes' names.
    where: names row ``i`` in an error.
    **options: see :class:`LabelOptions`; without ``names`` the order of texts
      is the natural one.

  Returns:
    int32 ``[n]``, and the names; None where the texts are integers.

  Raises:
    ValueError: if a text is blank, or none of ``names``; most are integers and
      some are not, or may be thousands; without ``names``, one is a number with
      a fraction, what stands for a missing value (``NA``, ``#NV``) or a
      date beside ranges; two differ by case, spaces or look-alike signs alone;
      or texts without an order are to be merged.
  """
  if '' in texts:
    raise ValueError(f'Expected a class in column {label!r} in '
                     f'{where(list(texts).index(""))}, got a blank.')
  given = options.get('names')
  names = None if given == SORTED else given
  texts = one_spelling(label, texts, names, options.get('same_classes'))
  if names is not None and set(texts) <= set(names):
    return _numbered(texts, names), names
  like_integers = sum(map(bool, map(_INTEGER.fullmatch, texts)))
  if 2 * like_integers >= len(texts):
    column = _integers(
        label, texts, where, ', or name all classes by --class_names',
        bool(options.get('same_classes')))
    return read_negative(label, column, options.get('negative')), names
  if names is not None:
    i = next(i for i, text in enumerate(texts) if text not in names)
    raise ValueError(
        f'Expected one of {validate.listed(names)} in column {label!r} in '
        f'{where(i)}, got {texts[i]!r}.')
  names = text_order(texts, given)
  if given is None:
    _check_classes(label, texts, names, where)
  if given is None and options.get('merge_from') is not None:
    raise ValueError(
        'Expected the order of the classes for merge_from, got texts in '
        f'{label!r}: give all of {validate.listed(names)} in their order by '
        '--class_names.')
  return _numbered(texts, names), names


def _check_classes(label: str, texts: Sequence[str], names: Sequence[str],
                   where: Callable[[int], str]) -> None:
  """Raises ValueError if texts that nobody named may be no classes."""
  ranges = any(_RANGE.fullmatch(spelling.look(name)) for name in names)
  for name in names:
    word = spelling.clean(name)
    what = ('like a date that a spreadsheet made of a range (of 4-6, 4-Jun)'
            if ranges and _DATE.fullmatch(spelling.look(name)) else
            'what stands for a missing value' if spelling.is_missing(word) else
            'a number with a fraction' if _FRACTION.fullmatch(word) else '')
    if what:
      raise ValueError(
          f'Expected classes in column {label!r}, got {validate.shown(name)} '
          f'in {where(list(texts).index(name))}, {what}: mend or delete '
          f'{text_lib.counted(list(texts).count(name), "row")}, or name all '
          'classes by --class_names, this one too.')


def _numbered(texts: Sequence[str], names: Sequence[str]) -> np.ndarray:
  numbers = {name: k for k, name in enumerate(names)}
  return np.array([numbers[text] for text in texts], np.int32)


def _integers(label: str, texts: Sequence[str], where: Callable[[int], str],
              instead: str, padded: bool = False) -> np.ndarray:
  """Integers, blank unknown; what is none in a column of them is an accident.

  Args:
    label: the column's name.
    texts: one for each image.
    where: names row ``i`` in an error.
    instead: what else than mending or deleting rows may help.
    padded: whether 1 and 01 are one class.
  """
  if thousands := _thousands(texts):
    text, place = texts[thousands[0]], where(thousands[0])
    short = text.partition('.')[0]
    raise ValueError(
        f'Expected integers in column {label!r}, got {text!r} in {place}, '
        f'which may be {short} or {short}000: write it so, without a dot.')
  numbers = {text: _integer(text) for text in set(texts)}
  if not padded:  # 01 is 1 unless that is there, too
    plain = {number for text, number in numbers.items()
             if text == str(number)}
    for text, number in numbers.items():
      if number in plain and re.match('[+-]?0[0-9]|[+]|-0', text):
        numbers[text] = None
  odd = [i for i, text in enumerate(texts) if numbers[text] is None]
  if odd:
    raise ValueError(
        f'Expected integers in column {label!r}, as in '
        f'{len(texts) - len(odd)} of {len(texts)} rows, got '
        + validate.listed(f'{validate.shown(texts[i])} in {where(i)}'
                          for i in odd)
        + f': mend or delete these rows{instead}.')
  return np.array([numbers[text] for text in texts], np.int32)


def _thousands(texts: Sequence[str]) -> list[int]:
  """Rows of numbers such as 1.000, unless others show that it is decimals."""
  found = [i for i, text in enumerate(texts) if _THOUSANDS.fullmatch(text)]
  return [] if any(map(_DECIMALS.fullmatch, texts)) else found


def _integer(text: str) -> int | None:
  if not text:
    return tasks.UNKNOWN
  match = _INTEGER.fullmatch(text)
  if not match or len(match[1]) > 20:
    return None
  number = int(match[1])
  return number if _INT32.min <= number <= _INT32.max else None


def read_attribute(label: str, texts: Sequence[str],
                   where: Callable[[int], str],
                   negative: int | None = None) -> np.ndarray:
  """An integer label column, blank unknown, or one of true and false.

  No order of other texts says what is 0.

  Args:
    label: the column's name.
    texts: one for each image.
    where: names row ``i`` in an error.
    negative: see :class:`LabelOptions`.

  Raises:
    ValueError: if a text is no integer, or may be thousands, or the column
      holds 0 beside ``negative``.
  """
  truth = {'': '', 'false': '0', 'true': '1'}
  if {text.lower() for text in texts} <= truth.keys():
    texts = [truth[text.lower()] for text in texts]
  column = _integers(label, texts, where,
                     ' (1 is yes, 0 is no, a blank is unknown)', padded=True)
  known = np.array([bool(text) for text in texts], bool)
  column[known] = read_negative(label, column[known], negative)
  return column


def read_negative(label: str, column: np.ndarray,
                  negative: int | None) -> np.ndarray:
  """Integers with 0 where a label column holds the value that means no.

  Raises:
    ValueError: if the column holds 0, too.
  """
  no = column == negative
  if negative and no.any() and (column == 0).any():
    raise ValueError(
        f'Expected no 0 in {label!r} where --negative={negative} means no, got '
        f'0 in {int((column == 0).sum())} images and {negative} in '
        f'{int(no.sum())}.')
  return np.where(no, 0, column).astype(np.int32)


def make_labels(
    columns: Mapping[str, np.ndarray], labels: str | Sequence[str],
    where: Callable[[int], str] = 'row {}'.format,
    **options: Unpack[LabelOptions]) -> tuple[np.ndarray, tasks.Task]:
  """Picks the label columns and says what they mean.

  Args:
    columns: int32 ``[n]`` by name.
    labels: the label column (multiclass, classes counted from 0), or several
      (multilabel, each 0 or 1, -1 unknown).
    where: names row ``i`` in an error.
    **options: see :class:`LabelOptions`.

  Returns:
    int32 labels, ``[n]`` or ``[n, a]``, and the task.

  Raises:
    ValueError: if a column is absent or out of range, or an option does not fit
      the task.
  """
  labels = (labels,) if isinstance(labels, str) else tuple(labels)
  if not labels:
    raise ValueError('Expected at least one label column, got none.')
  for label in labels:
    if label not in columns:
      raise ValueError(
          f'Expected a label column {label!r}, got only '
          f'{validate.listed(sorted(columns)) or "none"}.')
    if not len(columns[label]):
      raise ValueError(f'Expected at least one value in {label!r}, got none.')
  names, merge_from = options.get('names'), options.get('merge_from')
  names = None if names == SORTED else names
  thresholds = dict(options.get('thresholds') or {})
  if options.get('multilabel') or len(labels) > 1:
    if merge_from is not None:
      raise ValueError(
          'Expected merge_from for a multiclass task only, got '
          f'{merge_from} for the columns {", ".join(labels)}.')
    return _multilabel(columns, labels, names, thresholds, where)
  if thresholds:
    raise ValueError(
        'Expected thresholds for a multilabel task only, got '
        f'{thresholds} for the one column {labels[0]!r}.')
  return _multiclass(columns[labels[0]], labels[0], names, merge_from, where)


def like_classes(labels: np.ndarray, task: tasks.Task) -> str:
  """Why attributes look like the columns of one class each; empty if not.

  Args:
    labels: int32 ``[n, a]``, 0, 1 or -1.
    task: multilabel, of ``a`` attributes.
  """
  if not (labels.shape[1] > 2 and len(labels) >= _MANY
          and (labels >= 0).all() and (labels.sum(1) == 1).all()):
    return ''
  return (f'Exactly one of {validate.listed(task.names, 20)} holds for each '
          'image, as with classes; the model learns a yes or no for each of '
          'them. If they are classes, write their names into one column.')


def _multiclass(column: np.ndarray, label: str, names: Sequence[str] | None,
                merge_from: int | None, where: Callable[[int], str]
                ) -> tuple[np.ndarray, tasks.Task]:
  """Classes counted from 0, the last ones merged if asked."""
  bad = np.flatnonzero(column < 0)
  if bad.size:
    raise ValueError(
        f'Expected classes >= 0 in {label!r}, got {column[bad[0]]} in '
        f'{where(bad[0])}{_hint(column)}.')
  unmerged = column
  if merge_from is not None:
    if not 1 <= merge_from <= column.max():
      raise ValueError(
          f'Expected merge_from in [1, {column.max()}], the classes of '
          f'{label!r} above the first, got {merge_from}.')
    column = np.minimum(column, merge_from).astype(np.int32)
    if names is not None and len(names) > merge_from + 1:
      _check_named(unmerged, label, len(names), where)
      names = [*names[:merge_from], f'{names[merge_from]}+']
  if names is None:
    if column.min() > 0:
      raise ValueError(
          f'Expected the classes of {label!r} to be counted from 0, got '
          f'{column.min()} as the lowest.')
    most = max(_MOST_UNNAMED, len(column))
    if column.max() >= most:  # a number that is no class, or no class number
      raise ValueError(
          f'Expected classes of {label!r} below {most}, got {column.max()} in '
          f'{where(int(column.argmax()))}.')
    if column.max() == 0:
      raise ValueError(f'Expected at least two classes of {label!r}, got 0 for '
                       'every image.')
    _check_highest(unmerged, label, where, merge_from is not None)
    names = [f'{label} {k}' for k in range(column.max() + 1)]
    if merge_from is not None:
      names[-1] += '+'
  task = tasks.Task(tasks.MULTICLASS, tuple(names))
  _check_named(column, label, task.num_outputs, where)
  if len(column) == len(np.unique(column)) >= _MANY:
    raise ValueError(
        f'Expected classes of {label!r} that images share, got another one in '
        f'each of {len(column)} images.')
  return column, task


def _check_named(column: np.ndarray, label: str, names: int,
                 where: Callable[[int], str]) -> None:
  """Raises ValueError if a class has no name."""
  bad = np.flatnonzero(column >= names)
  if bad.size:
    raise ValueError(
        f'Expected {label!r} below {names}, the number of names, got '
        f'{column[bad[0]]} in {where(bad[0])}.')


def _check_highest(column: np.ndarray, label: str, where: Callable[[int], str],
                   merged: bool) -> None:
  """Raises ValueError if the highest of unnamed classes seems to be none."""
  *others, highest = np.unique(column).tolist()
  outputs = highest + 1
  empty = highest - len(others)
  if highest == _NO_LABEL and others[-1] < _NO_LABEL - _FAR:
    what = (f'the highest of the others is {others[-1]}, and 255 is often '
            'written where there is no label')
  elif not merged and empty > _MOST_EMPTY * outputs:
    what = f'{empty} of {outputs} outputs would have no image'
  else:
    return
  raise ValueError(
      f'Expected classes of {label!r} counted from 0, got {highest} in '
      f'{where(int(column.argmax()))}: {what}. Mend or delete such rows, or '
      'name all classes by --class_names.')


def _multilabel(columns: Mapping[str, np.ndarray], labels: tuple[str, ...],
                names: Sequence[str] | None, thresholds: Mapping[str, int],
                where: Callable[[int], str]) -> tuple[np.ndarray, tasks.Task]:
  """One 0/1 column per attribute, -1 where unknown."""
  for label in thresholds:
    if label not in labels:
      raise ValueError(
          f'Expected thresholds for {", ".join(labels)}, got one for '
          f'{label!r}.')
  stacked = []
  for label in labels:
    column = columns[label]
    if label in thresholds:
      column = np.where(column < 0, tasks.UNKNOWN,
                        column >= thresholds[label]).astype(np.int32)
    bad = np.flatnonzero((column < tasks.UNKNOWN) | (column > 1))
    if bad.size:
      raise ValueError(
          f'Expected 0, 1 or -1 (unknown) in {label!r}, got '
          f'{column[bad[0]]} in {where(bad[0])}.')
    values, counts = np.unique(column, return_counts=True)
    if np.setdiff1d(values, tasks.UNKNOWN).size < 2:
      raise ValueError(
          f'Expected 0 in some images and 1 in others in {label!r}, got '
          + ' and '.join(f'{"unknown" if value < 0 else value} in {count}'
                         for value, count in zip(values, counts))
          + f' of {len(column)}{_hint(columns[label])}.')
    stacked.append(column)
  names = labels if names is None else tuple(names)
  if len(names) != len(labels):
    raise ValueError(
        f'Expected {len(labels)} names, one per label column, got '
        f'{len(names)}.')
  return np.stack(stacked, axis=1), tasks.Task(tasks.MULTILABEL, names)


def _hint(column: np.ndarray) -> str:
  """What may be meant where a column holds -1 and 1 alone."""
  return (': say --negative=-1 if -1 means no, not unknown'
          if set(np.unique(column)) == {tasks.UNKNOWN, 1} else '')


def other_columns(columns: Mapping[str, np.ndarray],
                  labels: Sequence[str], **options: Unpack[LabelOptions]
                  ) -> dict[str, np.ndarray]:
  """The columns to keep for reports: all that are no labels.

  The label columns too where labels are merged or cut at a threshold, so that
  their values are not lost.
  """
  changed = (bool(options.get('thresholds'))
             or options.get('merge_from') is not None)
  return {name: column for name, column in columns.items()
          if changed or name not in labels}
