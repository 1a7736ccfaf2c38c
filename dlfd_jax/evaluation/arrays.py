"""What ``per_example.npz`` has to hold, see :func:`~.run.evaluate`."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

_NAME = re.compile(r'(?:(?:original|unlearned|retrained_\d{1,4})/)?'
                   r'(?:retain|forget|val|test)/\w+')
# By last name: kinds of type, and the values that are none.
_KINDS = {'loss': ('f', np.isnan), 'margin': ('f', lambda a: ~np.isfinite(a)),
          'sample_id': ('U', None), 'identity': ('i', None)}


def check(arrays: Mapping[str, np.ndarray], where: str) -> None:
  """Raises ValueError unless arrays are those of an evaluation.

  Args:
    arrays: losses without NaN and finite margins by model and split, sample ids
      and people by split, all ``[n]`` of one n for each split; and any others.
    where: they stand, for the message.

  Example:
    >>> check({'unlearned/test/loss': np.zeros(3)}, 'a.npz')
    Traceback (most recent call last):
    ValueError: Expected unlearned/forget/loss in a.npz, got none.
  """
  lengths: dict[str, int] = {}
  for name, array in arrays.items():
    split, _, what = name.rpartition('/')
    if what not in _KINDS:
      continue
    kind, bad = _KINDS[what]
    n = lengths.setdefault(split.rpartition('/')[2], array.size)
    if (not _NAME.fullmatch(name) or array.shape != (n,) or not n
        or array.dtype.kind != kind):
      raise ValueError(
          f'Expected arrays of an evaluation in {where}, all of a split as long '
          f'as each other, got {name[:80]!r} {array.dtype} '
          f'{list(array.shape)}.')
    if bad is not None and bad(array).any():
      raise ValueError(f'Expected numbers in {name} of {where}, got '
                       f'{int(bad(array).sum())} of {n} that are none.')
    for other in ('forget', 'test') if what == 'loss' else ():
      beside = f'{split.partition("/")[0]}/{other}/loss'
      if beside not in arrays:
        raise ValueError(f'Expected {beside} in {where}, got none.')
