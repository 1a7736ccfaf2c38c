"""What ``per_example.npz`` has to hold, see :func:`~.run.evaluate`."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from dlfd_jax.utils import validate

_NAME = re.compile(
    r'(?:(?:original|unlearned|retrained_\d{1,4}|random_\d{1,4})/)?'
    r'(?:retain|forget|val|test)/\w+')
_KINDS = {'loss': '<f4', 'margin': '<f4', 'logits': '<f4', 'apart': '<f4',
          'sample_id': '<U', 'identity': '<i', 'columns': '<i'}
_FINITE = ('margin', 'logits', 'apart')
_TABLES = ('logits', 'apart', 'columns')  # a row an image


def check(arrays: Mapping[str, np.ndarray], where: str) -> None:
  """Raises ValueError unless arrays are those of an evaluation.

  Args:
    arrays: losses without NaN, finite margins, logits and distances by model
      and split, sample ids, people and columns by split, all ``[n]`` or ``[n,
      k]`` of one n for each split; and any others.
    where: they stand, for the message.

  Example:
    >>> check({'unlearned/test/loss': np.zeros(3, np.float32)}, 'a.npz')
    Traceback (most recent call last):
    ValueError: Expected unlearned/forget/loss in a.npz, got none.
  """
  lengths: dict[str, int] = {}
  for name, array in arrays.items():
    split, _, what = name.rpartition('/')
    if what not in _KINDS or name == 'columns':  # these are names
      continue
    n = lengths.setdefault(split.rpartition('/')[2], len(array) if array.ndim
                           else 0)
    if (not _NAME.fullmatch(name) or array.shape[:1] != (n,) or not n
        or array.ndim != 1 + (what in _TABLES)
        or not array.dtype.str.startswith(_KINDS[what])):
      raise ValueError(
          f'Expected arrays of an evaluation in {where}, those of a split of '
          f'one length, got {validate.shown(name)} {array.dtype} '
          f'{list(array.shape)}.')
    # A loss beyond float32 is infinite, and drawn as the largest.
    if what in _FINITE and not np.isfinite(array).all() or (
        what == 'loss' and np.isnan(array).any()):
      raise ValueError(f'Expected finite numbers in {name} of {where}, got '
                       'others.')
    for other in ('forget', 'test') if what == 'loss' else ():
      beside = f'{split.partition("/")[0]}/{other}/loss'
      if beside not in arrays:
        raise ValueError(f'Expected {beside} in {where}, got none.')
