"""Puts the table of a finished demo into the README, and its numbers beside it.

  python -m experiments.publish.demo_table --demo=runs/demo

Writes ``docs/results/demo.json`` and the README's table between its two marks.
A test holds the two together.
"""

from __future__ import annotations

import pathlib
import sys
from typing import Any

from absl import flags

from dlfd_jax.cli import command, demo
from dlfd_jax.report import render, tables
from dlfd_jax.utils import runs
from experiments.publish import programs

ROOT = pathlib.Path(__file__).resolve().parents[2]
README = ROOT / 'README.md'
RESULT = ROOT / 'docs' / 'results' / 'demo.json'
START, END = '<!-- table: demo -->\n', '<!-- end of table -->'


def _define(values: flags.FlagValues) -> None:
  programs.define(values, demo=(None, 'folder of a finished demo'))


def _execute(values: flags.FlagValues, line: str) -> None:
  del line
  folder = pathlib.Path(command.required(values, 'demo'))
  result = runs.read_json(folder / 'evaluation' / runs.RESULT)
  runs.write_json(RESULT, result)
  runs.write_text(README, with_table(README.read_text('utf-8'), result))
  print(README, RESULT)


def with_table(text: str, result: dict[str, Any]) -> str:
  """The README with the result's table and goal between the marks."""
  table = render.to_markdown(tables.summary_table(result))
  return programs.between(
      text, (START, END), f'{table.rstrip()}\n\n{demo.goal_sentence(result)}\n'
      f'\n{programs.made_by(result)}\n')


COMMAND = command.Command(
    'publish.demo_table', __doc__, _define, _execute, package='experiments')
main = COMMAND.main

if __name__ == '__main__':
  sys.exit(main())
