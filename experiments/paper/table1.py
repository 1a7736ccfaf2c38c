r"""Table 1: every method on every task, over seeds, at equal tuning.

  python -m experiments.paper.table1 --tasks=fgnet_age --workdir=../runs \\
      --data=../shared/data/fgnet_128.npz --out=docs/results/table1_fgnet

Trains the originals and the retrained models that are not there yet, unlearns
with every method at the settings that experiments.paper.sweep chose, and
judges on test. What is finished is not run again. Writes JSON, Markdown, CSV
and LaTeX.
"""

from __future__ import annotations

import sys

from absl import flags

from dlfd_jax import methods
from dlfd_jax.cli import command
from experiments.paper import formats, grid, study as study_lib
from experiments.publish import programs

TITLE = 'Table 1: methods side by side'
METHODS = [name for name in methods.METHODS
           if name not in ('rewind', 'restore')]
# Of the others the selected state is the last one.
_BOTH_STATES = ('dlfd', 'official_compat', 'scrub_r')


def _define(values: flags.FlagValues) -> None:
  grid.define(values, ['demo'])
  programs.define(values, methods=(
      METHODS, 'rows of the table; your own as file.py:Class'))


def _execute(values: flags.FlagValues, line: str) -> None:
  out = programs.out_of(values)
  names = check_methods(values['methods'].value)
  tasks = study_lib.tasks_of(values, tuned=values['tuned'].value)
  result = grid.run(
      values, line, 'table1', tasks, lambda task: rows_of(task, names))
  formats.write(out, result, TITLE)


def check_methods(names: list[str]) -> list[str]:
  """The names, or a ValueError if one is unknown or there is none."""
  if not names:
    raise ValueError('Expected --methods to name a method, got none.')
  study_lib.check_once('methods', names)
  for name in names:
    methods.resolve(name)
  return names


def rows_of(task: study_lib.Task, names: list[str]) -> list[grid.Row]:
  """The rows of the methods, DLFD's last state after its selected one.

  A class of one's own gives its row its name.
  """
  return [
      grid.Row(name.rpartition(':')[2], name, task.preset.config_of(name),
               methods.title_of(name), state)
      for name in names
      for state in ('model', *(('last',) if name in _BOTH_STATES else ()))]


COMMAND = command.Command(
    'paper.table1', __doc__, _define, _execute, package='experiments')
main = COMMAND.main

if __name__ == '__main__':
  sys.exit(main())
