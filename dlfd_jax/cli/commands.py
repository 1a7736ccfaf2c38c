"""The command line: ``dlfd COMMAND --flags``."""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Sequence

from dlfd_jax import _version
from dlfd_jax.cli import exit_codes

# Name: module below this package, what main is called there, one line of help.
# A module is imported when its command is run.
COMMANDS = {
    'demo': ('demo', 'COMMAND', 'the whole job on drawn faces'),
    'check': ('check', 'COMMAND', 'what a deletion request touches and costs'),
    'train': ('train', 'COMMAND', 'train the original or the retrained model'),
    'unlearn': ('unlearn', 'COMMAND', 'make a trained model forget people'),
    'evaluate': ('evaluate', 'COMMAND',
                 'attacks and accuracies beside original and retrained'),
    'report': ('report', 'COMMAND', 'one HTML file of an evaluation'),
    'compare': ('compare', 'COMMAND', 'evaluations of one request in a table'),
    'import_weights': ('weights', 'IMPORT', 'a PyTorch state dict to a model'),
    'export_weights': ('weights', 'EXPORT', 'a model to a PyTorch state dict'),
}


def usage() -> str:
  """The list of commands and of exit codes."""
  width = 2 + max(len(name) for name in COMMANDS)
  return '\n'.join([
      'Makes a trained image classifier forget given people, with evidence.',
      '', 'Usage: dlfd COMMAND [--flags]', '', 'Commands:',
      *(f'  {name:{width}}{about}'
        for name, (_, _, about) in COMMANDS.items()),
      '', 'dlfd COMMAND --help tells the flags; --json prints one JSON object.',
      '', 'Exit codes:',
      *(f'  {code:<{width}}{about}'
        for code, about in exit_codes.MEANINGS.items())])


def main(argv: Sequence[str] | None = None) -> int:
  """Runs the command that ``argv`` names first; returns its exit code."""
  argv = list(sys.argv[1:] if argv is None else argv)
  if not argv or argv[0] in ('--help', '-h', 'help'):
    print(usage())
    return exit_codes.OK
  if argv[0] == '--version':
    print(f'dlfd_jax {_version.__version__}')
    return exit_codes.OK
  name = argv[0]
  if name not in COMMANDS:
    close = difflib.get_close_matches(name, COMMANDS, n=1)
    hint = f' Did you mean {close[0]}?' if close else ''
    print(f'error: Expected one of the commands {", ".join(COMMANDS)}, got '
          f'{name!r}.{hint}', file=sys.stderr)
    return exit_codes.USER_ERROR
  module, attribute, _ = COMMANDS[name]
  found = importlib.import_module(f'dlfd_jax.cli.{module}')
  return getattr(found, attribute).main(argv[1:])
