"""Large grids: some cases are tried at every change, all before a release."""

from collections.abc import Iterable
from typing import Any

import pytest


def some(cases: Iterable[Any], one_in: int) -> list[Any]:
  """Cases as parameters: the first of every ``one_in`` slow, the others long.

  Args:
    cases: tuples of arguments, or the values of a single one.
    one_in: how many cases stand behind one that is tried at every change.
  """
  return [pytest.param(
      *(case if isinstance(case, tuple) else (case,)),
      marks=pytest.mark.long if i % one_in else pytest.mark.slow)
          for i, case in enumerate(cases)]
