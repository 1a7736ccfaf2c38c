"""The command line: ``dlfd COMMAND --flags``."""

from __future__ import annotations

import difflib
import importlib
import json
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

from dlfd_jax import _version
from dlfd_jax.cli import exit_codes, layout, process
from dlfd_jax.utils import stops, text


class Entry(NamedTuple):
  """A command: its module below this package, imported when it is run.

  ``attribute`` is the command's name in it; the rest are words for the help
  and docs/command-line.md.
  """

  module: str
  attribute: str
  about: str
  reads: str
  writes: str

  def load(self) -> Any:
    """The command itself, a ``command.Command``."""
    return getattr(importlib.import_module(f'dlfd_jax.cli.{self.module}'),
                   self.attribute)


COMMANDS = {
    'demo': Entry(
        'demo', 'COMMAND', 'the whole job on drawn faces', 'nothing',
        'all of the below, on drawn faces'),
    'check': Entry(
        'check', 'COMMAND', 'what a deletion request touches and costs',
        'data, a request',
        '`result.json`, `check.html` (shows images of the data)'),
    'prepare': Entry(
        'prepare', 'COMMAND', 'data too large for memory as shards', 'data',
        'a folder of shards that `--data` takes'),
    'train': Entry(
        'train', 'COMMAND', 'train the original or the retrained model', 'data',
        'a run: the original, or with `--on=retain` a retrained model'),
    'unlearn': Entry(
        'unlearn', 'COMMAND', 'make a trained model forget people',
        "the original's run, a request", 'a run: the model that forgot'),
    'references': Entry(
        'references', 'COMMAND', 'train retrained or shadow models to compare',
        "the original's run, a request",
        'training runs, their index and who is in which'),
    'evaluate': Entry(
        'evaluate', 'COMMAND',
        'attacks and accuracies beside original and retrained',
        'runs of original, unlearned, retrained',
        '`result.json`, `per_example.npz`'),
    'audit': Entry(
        'audit', 'COMMAND', 'what any classifier still knows of given people',
        'a run, imported or foreign weights, a request',
        '`result.json`, `per_example.npz`'),
    'report': Entry(
        'report', 'COMMAND', 'one HTML file of an evaluation',
        'an evaluation, a key', '`report.html`, `report.json`, '
        '`report_key.json`, `bundle`'),
    'verify': Entry(
        'verify', 'COMMAND', 'check a signed bundle of a report',
        'a bundle, the model, the data', 'nothing'),
    'compare': Entry(
        'compare', 'COMMAND', 'evaluations of one request in a table',
        'evaluations of one request',
        '`comparison.md`, `.csv`, `.tex`, `.svg`, `.png`'),
    'import_weights': Entry(
        'weights', 'IMPORT', 'a PyTorch state dict to a model',
        '`.pth`, `.safetensors`, orbax', 'a model that `--original` takes'),
    'export_weights': Entry(
        'weights', 'EXPORT', 'a model to a PyTorch state dict or to StableHLO',
        'a run', '`.pth`, `.safetensors`, `.stablehlo`'),
}


def usage() -> str:
  """The list of commands and of exit codes, as wide as the terminal."""
  columns = layout.width()
  return '\n'.join([
      layout.prose(
          'Makes a trained image classifier forget given people, with '
          'evidence.\n\nUsage: dlfd COMMAND [--flags]', columns),
      '', 'Commands:', layout.entries(
          ((name, found.about) for name, found in COMMANDS.items()), columns),
      '', layout.prose(
          'dlfd COMMAND --help tells what most people need, --help-all every '
          'flag; --json prints one JSON object, --config=FILE reads flags from '
          'a file.', columns),
      '', 'Exit codes:', layout.entries(
          ((str(code), about) for code, about in exit_codes.MEANINGS.items()),
          columns)])


def main(argv: Sequence[str] | None = None) -> int:
  """Runs the command that ``argv`` names first; returns its exit code."""
  if argv is None:
    return process.run(main)
  if not argv or argv[0] in ('--help', '--help-all', '-h', 'help'):
    print(usage())
    return exit_codes.OK
  if argv[0] == '--version':
    print(f'dlfd_jax {_version.__version__}')
    return exit_codes.OK
  name = argv[0].replace('-', '_')
  if name not in COMMANDS:
    close = difflib.get_close_matches(name, COMMANDS, n=1)
    hint = f' Did you mean {close[0]}?' if close else ''
    return _refuse(argv, f'Expected one of the commands {", ".join(COMMANDS)}, '
                   f'got {argv[0]!r}.{hint}')
  obstacle = process.start_jax()
  if obstacle:
    return _refuse(argv, obstacle)
  return COMMANDS[name].load().main(argv[1:])


def run(name: str) -> int:
  """Runs one command with the words of the command line: for a program."""
  return process.run(lambda argv: main([name, *argv]))


def _refuse(argv: Sequence[str], sentence: str) -> int:
  sentence = text.bounded(sentence)
  print(f'error: {sentence}', file=sys.stderr)
  if stops.asks_for_json(argv):
    print(json.dumps(
        {'error': sentence, 'exit_code': exit_codes.USER_ERROR}))
  return exit_codes.USER_ERROR
