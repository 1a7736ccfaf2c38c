"""The refusals of bad input as one table: what users do wrong, by theme.

A case is one mistake, made in a fresh copy of one prepared folder (``place``).
It must end with exit code 2 and one sentence, with no traceback and nothing on
disk changed (``case``). Most are rows of ``cases.toml``; the other modules hold
those that take code. ``tests/refusals_test.py`` tries them, and
``python -m tests.bad_cases`` writes what was said to ``docs/errors.md``.
"""

from __future__ import annotations

import itertools
import pathlib
import tomllib
import warnings
from collections.abc import Iterator, Sequence

from tests.bad_cases import (
  arrays,
  case,
  edits,
  files,
  hostile,
  library,
  models,
  pictures,
)


def _rows() -> Iterator[case.Case]:
  """The cases of the .toml files."""
  for group in itertools.chain.from_iterable(
      tomllib.loads(path.read_text('utf-8'))['groups']
      for path in sorted(pathlib.Path(__file__).parent.glob('*.toml'))):
    for mistake, flags, *edit in group['cases']:
      edit = [*group.get('edit', ()), *edit]
      yield case.of(
          group['theme'], mistake, group['command'],
          flags.split() if isinstance(flags, str) else flags,
          getattr(edits, edit[0])(*edit[1:]) if edit else None)


_THEMES = ('Manifests', 'Images', 'npz files', 'Trees of folders', 'Shards',
           'Downloads', 'Deletion requests', 'Stored splits', 'Checkpoints',
           'Weights from elsewhere', hostile.TENSORS, hostile.SPECIAL,
           hostile.NAMES, 'Commands', 'Training flags',
           'Unlearning flags', 'Run folders', 'Reference models',
           'Evaluations', 'Reports',
           'Experiments', 'Python')
CASES: list[case.Case] = sorted(
    [*_rows(), *(one for module in (
        files, pictures, arrays, models, library, hostile)
                 for one in module.CASES)],
    key=lambda one: _THEMES.index(one.theme))


def attempt_all(cases: Sequence[case.Case],
                template: pathlib.Path) -> Iterator[case.Outcome]:
  """Makes each mistake; a warning counts as an escaped exception."""
  for one in cases:
    with warnings.catch_warnings():
      warnings.simplefilter('error')
      yield case.attempt(one, template)
