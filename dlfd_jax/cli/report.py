"""``report``: the HTML report of an evaluation."""

from __future__ import annotations

import datetime
import pathlib
from typing import Any

from absl import flags

from dlfd_jax.cli import command, inputs
from dlfd_jax.pipeline import chain, evaluate
from dlfd_jax.utils import runs

_ABOUT = """
Writes report.html, one self-contained file, and report.json from a finished
evaluation.

  dlfd report --evaluation=runs/eval --request_id=R-12 --received=2026-05-04
"""

_LONGEST_ID = 100


def _define(values: flags.FlagValues) -> None:
  inputs.define_unverified(values)
  flags.DEFINE_string(
      'evaluation', None, 'folder of a finished evaluation',
      flag_values=values)
  flags.DEFINE_string(
      'workdir', None, 'where report.html goes; default: the same folder',
      flag_values=values)
  flags.DEFINE_string(
      'request_id', None, 'number or name of the deletion request, to be '
      'printed', flag_values=values)
  flags.DEFINE_string(
      'received', None, 'date of the request, as in 2026-05-04, to be printed',
      flag_values=values)


def _execute(values: flags.FlagValues, line: str) -> dict[str, Any]:
  del line
  source = pathlib.Path(command.required(values, 'evaluation'))
  target = pathlib.Path(command.value(values, 'workdir') or source)
  found = evaluate.load_evaluation(
      source, allow_unverified=command.value(values, chain.FLAG))
  path = found.write_report(target / runs.REPORT, _request(values))
  command.say_verification(found.record)
  print(path)
  return {'report': str(path)}


def _request(values):
  """What the flags say of the request; refuses what is no date or too long."""
  name = command.value(values, 'request_id')
  if name is not None and not (
      name.isprintable() and 0 < len(name) <= _LONGEST_ID):
    raise ValueError(
        f'Expected --request_id of 1 to {_LONGEST_ID} printable characters, '
        f'got {name[:_LONGEST_ID]!r}.')
  day = command.value(values, 'received')
  if day is not None:
    try:
      day = datetime.date.fromisoformat(day).isoformat()
    except ValueError as error:
      raise ValueError(f'Expected --received as a date like 2026-05-04, got '
                       f'{day!r}.') from error
  return {'id': name, 'received': day}


COMMAND = command.Command('report', _ABOUT, _define, _execute)
main = COMMAND.main
