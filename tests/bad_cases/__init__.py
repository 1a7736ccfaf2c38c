"""The refusals of bad input as one table: what users do wrong, by theme.

A case is one mistake, made in a fresh copy of one prepared folder (``place``).
It must end with exit code 2 and one sentence, with no traceback and nothing on
disk changed (``case``). ``tests/refusals_test.py`` tries them, and
``python -m tests.bad_cases`` writes what was said to ``docs/errors.md``.
"""

from __future__ import annotations

import pathlib
import warnings
from collections.abc import Iterator, Sequence

from tests.bad_cases import (
  arrays,
  case,
  deletions,
  folders,
  library,
  manifests,
  models,
  pictures,
  results,
  settings,
)

CASES: list[case.Case] = [
    one for module in (manifests, pictures, arrays, folders, deletions, models,
                       settings, results, library) for one in module.CASES]


def attempt_all(cases: Sequence[case.Case],
                template: pathlib.Path) -> Iterator[case.Outcome]:
  """Makes each mistake; a warning counts as an escaped exception."""
  for one in cases:
    with warnings.catch_warnings():
      warnings.simplefilter('error')
      yield case.attempt(one, template)
