"""One object for equal settings, so that jax traces and compiles it once.

A compiled program belongs to a function object. Steps are closures over a
network and a config: made anew for each run they would be compiled anew, though
runs that differ in seed, length or people to forget need the same program.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

_MOST = 32  # objects of each maker that a process keeps, with their programs
P = ParamSpec('P')
Made = TypeVar('Made')
_clears: list[Callable[[], None]] = []


def one_for_equal(make: Callable[P, Made]) -> Callable[P, Made]:
  """Lets ``make`` return the same object for equal arguments.

  Nobody may change it: a function, or shapes.

  An argument that cannot be hashed, a user's own network say, is no error: the
  object is then made anew.
  """
  cached = functools.lru_cache(_MOST)(make)
  kept = cast(Callable[P, Made], cached)
  _clears.append(cached.cache_clear)

  @functools.wraps(make)
  def made(*args: P.args, **kwargs: P.kwargs) -> Made:
    try:
      hash((args, *kwargs.items()))
    except TypeError:
      return make(*args, **kwargs)
    return kept(*args, **kwargs)

  return made


def clear() -> None:
  """Forgets everything that :func:`one_for_equal` keeps."""
  for one in _clears:
    one()
