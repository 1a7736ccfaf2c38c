"""Makes every mistake and writes what was said.

  python -m tests.bad_cases --out=docs/results/bad_inputs --docs

Writes what was said to ``--out`` (.json and .md) and, with --docs, the tables
in ``docs/errors.md``; ends with 1 if a mistake was not refused as it should be.
"""

from __future__ import annotations

import os
import pathlib
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

from absl import flags

from dlfd_jax.cli import command
from dlfd_jax.report import render
from dlfd_jax.utils import runs
from experiments.publish import programs
from tests import bad_cases
from tests.bad_cases import place

PAGE = pathlib.Path(__file__).parents[2] / 'docs' / 'errors.md'
MARKS = '<!-- table: bad inputs -->\n', '<!-- end of table -->\n'


def to_markdown(outcomes: Sequence[dict[str, Any]]) -> str:
  """One table a theme: what was done wrong, and the sentence."""
  lines: list[str] = []
  for theme in dict.fromkeys(outcome['theme'] for outcome in outcomes):
    rows = [[_literal(o['mistake']), _literal(o['said'])]
            for o in outcomes if o['theme'] == theme]
    lines += [f'## {theme}', '', *render.markdown_lines(
        ['what is wrong', 'what you see'], rows, 'll'), '']
  return '\n'.join(lines)


def _literal(text: str) -> str:
  # A file name that is no UTF-8 is quoted as its bytes.
  text = text.encode('utf-8', 'backslashreplace').decode('utf-8')
  return re.sub(r'([\\*_`\[])', r'\\\1', text)


def with_tables(page: str, outcomes: Sequence[dict[str, Any]]) -> str:
  """``docs/errors.md`` with the tables of these outcomes."""
  return programs.between(page, MARKS, to_markdown(outcomes))


def _define(values: flags.FlagValues) -> None:
  programs.define(
      values, out=programs.OUT,
      docs=(False, 'also write the tables of docs/errors.md'),
      theme=(None, 'only mistakes of this theme'))


def _execute(values: flags.FlagValues, line: str) -> None:
  out = programs.out_if_given(values)
  started = time.perf_counter()
  theme = command.value(values, 'theme')
  cases = [case for case in bad_cases.CASES if theme in (None, case.theme)]
  with tempfile.TemporaryDirectory() as scratch:
    os.environ['XDG_CACHE_HOME'] = scratch  # of compiled programs
    template = place.build(pathlib.Path(scratch) / 'template')
    outcomes = [outcome.as_dict() for outcome in bad_cases.attempt_all(
        cases, template)]
  bad = [outcome for outcome in outcomes if outcome['faults']]
  for outcome in bad:
    print(f'{outcome["theme"]}: {outcome["mistake"]}: '
          f'{"; ".join(outcome["faults"])}: {outcome["said"][:300]}')
  result = {
      **programs.facts('bad_inputs', line), 'tried': len(outcomes),
      'distinct_sentences': len({o['said'] for o in outcomes}),
      'otherwise': len(bad), 'total_s': time.perf_counter() - started,
      'outcomes': outcomes}
  programs.write(out, result, markdown(result))
  if command.value(values, 'docs'):
    runs.write_text(PAGE, with_tables(PAGE.read_text('utf-8'), outcomes))
  if bad:
    raise command.Stop(1, f'{len(bad)} of {len(outcomes)} went otherwise.')


def markdown(result: dict[str, Any]) -> str:
  """The number of refusals by theme."""
  themes: dict[str, list[bool]] = {}
  for outcome in result['outcomes']:
    themes.setdefault(outcome['theme'], []).append(not outcome['faults'])
  return '\n'.join([
      '# Bad inputs tried', '',
      f'{result["tried"]} bad inputs, {result["distinct_sentences"]} different '
      f'sentences, {result["otherwise"]} with a traceback, another exit code, '
      f'more than one line or a changed file; {result["total_s"]:.0f} s.', '',
      *render.markdown_lines(
          ['theme', 'tried', 'refused with one sentence'],
          [[theme, str(len(refused)), str(sum(refused))]
           for theme, refused in themes.items()]),
      '', 'Each sentence stands in [errors.md](../errors.md).', '',
      programs.made_by(result), ''])


COMMAND = command.Command(
    'bad_cases', __doc__, _define, _execute, package='tests')

if __name__ == '__main__':
  sys.exit(COMMAND.main())
