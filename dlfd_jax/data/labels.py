"""From columns to labels and a task: the same rules for every source.

Columns of texts become integers (``read_classes``, ``read_attribute``,
``read_column``); of integer columns one makes a multiclass task, several make a
multilabel one (``make_labels``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TypedDict, Unpack

import numpy as np

from dlfd_jax import tasks

_INT32 = np.iinfo(np.int32)
_MOST_UNNAMED = 1000  # classes without names, where images are fewer


class LabelOptions(TypedDict, total=False):
  """What every loader passes on to :func:`make_labels`.

  Attributes:
    names: of the classes, or of the attributes; by default the column's name
      and the class's number, or the columns' names.
    multilabel: makes one column a multilabel task too.
    merge_from: all classes from this one on become this one; multiclass only.
    thresholds: by label column, the least value that counts as 1; negative
      values stay unknown. Multilabel only.
  """

  names: Sequence[str] | None
  multilabel: bool
  merge_from: int | None
  thresholds: Mapping[str, int] | None


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


def read_classes(
    label: str, texts: Sequence[str], names: Sequence[str] | None,
    where: Callable[[int], str]) -> tuple[np.ndarray, Sequence[str] | None]:
  """The classes of a label column of texts.

  Args:
    label: the column's name.
    texts: one for each image: integers, or the classes' names.
    names: of the classes, in order; None = the texts in sorted order.
    where: names row ``i`` in an error.

  Returns:
    int32 ``[n]``, and the names; None where the texts are integers.

  Raises:
    ValueError: if a text is blank, or none of ``names``.
  """
  if '' in texts:
    raise ValueError(f'Expected a class in column {label!r} in '
                     f'{where(list(texts).index(""))}, got a blank.')
  codes, found = read_column(texts)
  if names is None:
    return codes, found or None
  if not found:
    return codes, names
  numbers = {text: k for k, text in enumerate(names)}
  for i, text in enumerate(texts):
    if text not in numbers:
      raise ValueError(
          f'Expected one of {", ".join(names)} in column {label!r} in '
          f'{where(i)}, got {text!r}.')
  return np.array([numbers[text] for text in texts], np.int32), names


def read_attribute(label: str, texts: Sequence[str],
                   where: Callable[[int], str]) -> np.ndarray:
  """An integer label column, blank unknown; no order of texts says what is 0.

  Raises:
    ValueError: if a text is no integer.
  """
  for i, text in enumerate(texts):
    if text and not re.fullmatch(r'[+-]?[0-9]{1,9}', text, re.ASCII):
      raise ValueError(
          f'Expected integers in column {label!r}, got {text!r} in '
          f'{where(i)}.')
  return np.array([int(text or tasks.UNKNOWN) for text in texts], np.int32)


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
          f'{", ".join(sorted(columns)) or "none"}.')
    if not len(columns[label]):
      raise ValueError(f'Expected at least one value in {label!r}, got none.')
  names, merge_from = options.get('names'), options.get('merge_from')
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


def _multiclass(column: np.ndarray, label: str, names: Sequence[str] | None,
                merge_from: int | None, where: Callable[[int], str]
                ) -> tuple[np.ndarray, tasks.Task]:
  """Classes counted from 0, the last ones merged if asked."""
  bad = np.flatnonzero(column < 0)
  if bad.size:
    raise ValueError(
        f'Expected classes >= 0 in {label!r}, got {column[bad[0]]} in '
        f'{where(bad[0])}.')
  if merge_from is not None:
    if not 1 <= merge_from <= column.max():
      raise ValueError(
          f'Expected merge_from in [1, {column.max()}], the classes of '
          f'{label!r} above the first, got {merge_from}.')
    column = np.minimum(column, merge_from).astype(np.int32)
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
    names = [f'{label} {k}' for k in range(column.max() + 1)]
    if merge_from is not None:
      names[-1] += '+'
  task = tasks.Task(tasks.MULTICLASS, tuple(names))
  bad = np.flatnonzero(column >= task.num_outputs)
  if bad.size:
    raise ValueError(
        f'Expected {label!r} below {task.num_outputs}, the number of names, '
        f'got {column[bad[0]]} in {where(bad[0])}.')
  return column, task


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
    stacked.append(column)
  names = labels if names is None else tuple(names)
  if len(names) != len(labels):
    raise ValueError(
        f'Expected {len(labels)} names, one per label column, got '
        f'{len(names)}.')
  return np.stack(stacked, axis=1), tasks.Task(tasks.MULTILABEL, names)


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
