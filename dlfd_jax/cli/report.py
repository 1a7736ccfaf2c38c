"""``report``: the HTML report of an evaluation."""

from __future__ import annotations

import datetime
import pathlib
from typing import Any

from absl import flags

from dlfd_jax.cli import command, inputs
from dlfd_jax.pipeline import chain_checks, evaluation_result, signing
from dlfd_jax.report import pseudonyms
from dlfd_jax.utils import runs, spent

_ABOUT = """
Writes report.html, one self-contained file, and report.json from a finished
evaluation.

  dlfd report --evaluation=runs/eval --request_id=R-12 --received=2026-05-04

People have pseudonyms there; report_key.json says whose, for your eyes alone.
With --names they have their names, and images their ids.

With --sign it also writes the folder `bundle`: report and evaluation, hashes of
data, request, models, exports and code, signed. `dlfd verify` checks it. A key:
openssl genpkey -algorithm ed25519 -out key.pem
"""


def _define(values: flags.FlagValues) -> None:
  inputs.define_unverified(values)
  flags.DEFINE_string(
      'evaluation', None, 'folder of a finished evaluation',
      flag_values=values)
  flags.DEFINE_string(
      'workdir', None, 'where report.html goes; default: the same folder',
      flag_values=values)
  inputs.define_request_id(values)
  flags.DEFINE_string(
      'received', None, 'date of the request, as in 2026-05-04, to be printed',
      flag_values=values)
  flags.DEFINE_bool(
      'names', False, 'print names of people and ids of images, not pseudonyms',
      flag_values=values)
  flags.DEFINE_string(
      'sign', None, 'file of an Ed25519 private key in PEM: write a signed '
      'bundle', flag_values=values)
  flags.DEFINE_list(
      'exports', [], 'with --sign: weights exported from these models',
      flag_values=values)
  flags.DEFINE_string(
      'previous', None, 'with --sign: bundle of the request before this one',
      flag_values=values)


def _execute(values: flags.FlagValues, line: str) -> dict[str, Any]:
  del line
  source = pathlib.Path(command.required(values, 'evaluation'))
  target = pathlib.Path(command.value(values, 'workdir') or source)
  with spent.on(spent.READ):
    found = evaluation_result.load_evaluation(
        source, allow_unverified=command.value(values, chain_checks.FLAG))
  sign = command.value(values, 'sign')
  if sign is None:
    inputs.refuse(values, ('exports', 'previous'), 'without --sign')
  request, made = _request(values), {'report': target / runs.REPORT}
  named = command.value(values, 'names')
  if sign is None:
    with spent.on('pages'):
      found.write_report(made['report'], request, named=named)
  else:
    made['bundle'] = signing.sign(
        found, sign, target, request=request,
        exports=command.value(values, 'exports'),
        previous=command.value(values, 'previous'), named=named)
  command.say_verification(found.record)
  for path in made.values():
    print(path)
  if not named:
    made['key'] = pseudonyms.key_path(made['report'])
    print(f'{made["key"]} says whose the pseudonyms are: keep it apart from '
          'the report.')
  return {name: str(path) for name, path in made.items()}


def _request(values):
  """What the flags say of the request; refuses what is no date or too long."""
  name = inputs.request_id(values)
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
