"""``report``: the HTML report of an evaluation."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
from absl import flags

from dlfd_jax import runs
from dlfd_jax.cli import command
from dlfd_jax.cli import evaluate
from dlfd_jax.report import html

_ABOUT = """
Writes report.html, one self-contained file, from a finished evaluation.

  dlfd report --evaluation=runs/eval --workdir=runs/report
"""


def _define(values: flags.FlagValues) -> None:
  flags.DEFINE_string(
      'evaluation', None, 'folder of a finished evaluation',
      flag_values=values)
  flags.DEFINE_string(
      'workdir', None, 'where report.html goes; default: the same folder',
      flag_values=values)


def _execute(values: flags.FlagValues, line: str) -> dict[str, Any]:
  del line
  source = pathlib.Path(command.required(values, 'evaluation'))
  target = pathlib.Path(command.value(values, 'workdir') or source)
  path = write(source, target)
  print(path)
  return {'report': str(path)}


def write(source: pathlib.Path, target: pathlib.Path) -> pathlib.Path:
  """Writes the report of the evaluation in ``source`` into ``target``.

  Returns:
    The path of the report.

  Raises:
    FileNotFoundError: if there is no finished evaluation.
    ValueError: if it is something else.
  """
  result = runs.read_json(source / runs.RESULT)
  arrays: dict[str, Any] | None = None
  if (source / evaluate.PER_EXAMPLE).is_file():
    with np.load(source / evaluate.PER_EXAMPLE, allow_pickle=False) as file:
      arrays = {name: file[name] for name in file.files}
  unlearned = (result.get('models') or {}).get('unlearned')
  history = None
  if unlearned and (pathlib.Path(unlearned) / runs.METRICS).is_file():
    history = runs.read_events(pathlib.Path(unlearned) / runs.METRICS)
  target.mkdir(parents=True, exist_ok=True)
  html.write_report(result, arrays, history, target / runs.REPORT)
  return target / runs.REPORT


COMMAND = command.Command('report', _ABOUT, _define, _execute)
main = COMMAND.main
