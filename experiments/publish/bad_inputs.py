"""Tries what users do wrong, through the commands and the library.

  python -m experiments.publish.bad_inputs --out=docs/results/bad_inputs

Each mistake of ``experiments/bad_cases`` is made in a fresh copy of a prepared
folder. It must end with exit code 2 and one sentence, with no traceback and
nothing on disk changed. Writes what was seen to ``--out`` (.json and .md) and,
with --docs, the table of ``docs/errors.md`` between its two marks; ends with 1
if anything went otherwise.
"""

from __future__ import annotations

import importlib
import os
import pathlib
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from typing import Any

from absl import flags

from dlfd_jax.cli import command
from dlfd_jax.pipeline import job
from dlfd_jax.utils import runs
from experiments.paper import outputs
from tests.bad_cases import case as case_lib, place

MODULES = ('manifests', 'pictures', 'arrays', 'folders', 'deletions', 'models',
           'settings', 'results', 'library')
PAGE = pathlib.Path(__file__).parents[2] / 'docs' / 'errors.md'
START, END = '<!-- table: bad inputs -->\n', '<!-- end of table -->\n'


def all_cases() -> list[case_lib.Case]:
  """Every mistake, by theme."""
  return [case for module in MODULES for case in importlib.import_module(
      f'tests.bad_cases.{module}').CASES]


def attempt_all(cases: Sequence[case_lib.Case],
                template: pathlib.Path) -> list[case_lib.Outcome]:
  """Makes each mistake; a warning counts as an escaped exception."""
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    return [case_lib.attempt(case, template) for case in cases]


def to_markdown(outcomes: Sequence[dict[str, Any]]) -> str:
  """One table a theme: what was done wrong, and the sentence."""
  lines: list[str] = []
  for theme in dict.fromkeys(outcome['theme'] for outcome in outcomes):
    lines += [f'## {theme}', '', '| what is wrong | what you see |',
              '|---|---|']
    lines += [f'| {_cell(o["mistake"])} | {_cell(o["said"])} |'
              for o in outcomes if o['theme'] == theme]
    lines.append('')
  return '\n'.join(lines)


def _cell(text):
  # A file name that is no UTF-8 is quoted as its bytes.
  text = text.encode('utf-8', 'backslashreplace').decode('utf-8')
  for character in '\\|<*_`[':
    text = text.replace(character, f'\\{character}')
  return text


def with_table(text: str, outcomes: Sequence[dict[str, Any]]) -> str:
  """A page with the tables between its marks."""
  before, start, rest = text.partition(START)
  _, end, after = rest.partition(END)
  if not start or not end:
    raise ValueError(f'Expected the marks {START.strip()} and {END.strip()}.')
  return f'{before}{start}{to_markdown(outcomes)}{end}{after}'


def _define(values: flags.FlagValues) -> None:
  flags.DEFINE_string(
      'out', None, 'file to write, without its ending; default: none',
      flag_values=values)
  flags.DEFINE_boolean(
      'docs', False, 'also write the table of docs/errors.md',
      flag_values=values)
  flags.DEFINE_string(
      'theme', None, 'only mistakes of this theme', flag_values=values)


def _execute(values: flags.FlagValues, line: str) -> None:
  out = outputs.out_if_given(values)
  started = time.perf_counter()
  theme = command.value(values, 'theme')
  cases = [case for case in all_cases() if theme in (None, case.theme)]
  with tempfile.TemporaryDirectory() as scratch:
    os.environ['XDG_CACHE_HOME'] = scratch  # of compiled programs
    template = place.build(pathlib.Path(scratch) / 'template')
    outcomes = [o.as_dict() for o in attempt_all(cases, template)]
  bad = [o for o in outcomes if o['faults']]
  for outcome in bad:
    print(f'{outcome["theme"]}: {outcome["mistake"]}: '
          f'{"; ".join(outcome["faults"])}: {outcome["said"][:300]}')
  found = {
      'kind': 'bad_inputs', 'command': line, 'device': job.device_name(),
      'versions': runs.versions(), 'tried': len(outcomes),
      'distinct_sentences': len({o['said'] for o in outcomes}),
      'otherwise': len(bad), 'total_s': time.perf_counter() - started,
      'outcomes': outcomes}
  if out:
    runs.write_json(f'{out}.json', found)
    runs.write_text(f'{out}.md', page(found))
  if command.value(values, 'docs'):
    runs.write_text(PAGE, with_table(PAGE.read_text('utf-8'), outcomes))
  print(summary(found))
  if bad:
    raise command.Stop(1, f'{len(bad)} of {len(outcomes)} went otherwise.')


def summary(found: dict[str, Any]) -> str:
  """How many were tried and what became of them, in a sentence."""
  return (
      f'{found["tried"]} bad inputs, {found["distinct_sentences"]} different '
      f'sentences, {found["otherwise"]} with a traceback, another exit code, '
      f'more than one line or a changed file; {found["total_s"]:.0f} s.')


def page(found: dict[str, Any]) -> str:
  """The result as a page."""
  counts: dict[str, int] = {}
  for outcome in found['outcomes']:
    counts[outcome['theme']] = counts.get(outcome['theme'], 0) + 1
  return '\n'.join([
      '# Bad inputs tried', '', summary(found), '',
      '| theme | tried | refused with one sentence |', '|---|---:|---:|',
      *(f'| {theme} | {count} | ' + str(sum(
          o['theme'] == theme and not o['faults']
          for o in found['outcomes'])) + ' |'
        for theme, count in counts.items()),
      '', 'Each sentence stands in [errors.md](../errors.md).', '',
      f'Command: `{found["command"]}`, on {found["device"]}, jax '
      f'{found["versions"]["jax"]}.', ''])


COMMAND = command.Command(
    'bad_inputs', __doc__, _define, _execute, package='experiments')
main = COMMAND.main

if __name__ == '__main__':
  sys.exit(main())
