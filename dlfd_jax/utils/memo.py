"""One function for equal settings, so that jax traces and compiles it once.

A compiled program belongs to a function object. Steps are closures over a
network and a config: made anew for each run they would be compiled anew, though
runs that differ in seed, length or people to forget need the same program.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

_MOST = 32  # functions of each maker that a process keeps, with their programs
P = ParamSpec('P')
Function = TypeVar('Function', bound=Callable[..., Any])
_clears: list[Callable[[], None]] = []


def one_for_equal(make: Callable[P, Function]) -> Callable[P, Function]:
  """Lets ``make`` return the same function for equal arguments.

  An argument that cannot be hashed, a user's own network say, is no error: the
  function is then made anew.
  """
  cached = functools.lru_cache(_MOST)(make)
  kept = cast(Callable[P, Function], cached)
  _clears.append(cached.cache_clear)

  @functools.wraps(make)
  def made(*args: P.args, **kwargs: P.kwargs) -> Function:
    try:
      hash((args, *kwargs.items()))
    except TypeError:
      return make(*args, **kwargs)
    return kept(*args, **kwargs)

  return made


def clear() -> None:
  """Forgets every function that :func:`one_for_equal` keeps."""
  for one in _clears:
    one()
