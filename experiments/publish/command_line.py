"""Writes the tables of docs/command-line.md from the commands themselves.

  python -m experiments.publish.command_line

A test holds the page and the program together.
"""

from __future__ import annotations

import pathlib
import re
import sys
from collections.abc import Sequence

from absl import flags

from dlfd_jax import methods
from dlfd_jax.cli import (
  command,
  commands,
  exit_codes,
  help as help_lib,
  options,
)
from dlfd_jax.utils import runs

PAGE = pathlib.Path(__file__).parents[2] / 'docs' / 'command-line.md'
_GROUPS = (
    ('The data', options.DATA, 'Where images are read.'),
    ('The network', options.NETWORK,
     'Where a network is made: `check`, `demo`, `train`, `import_weights`.'),
    ('Training', options.TRAIN, 'Of `train`, and of `demo` without `--seed`.'),
    ('Unlearning', options.METHOD, 'Of `unlearn`; in brackets the methods that '
     'have it. `dlfd unlearn --method=NAME --help-all` lists those of one. '
     'Methods:'))


def methods_in(text: str) -> list[str]:
  """The methods whose flags the page has; a new one need not be there yet."""
  listed = re.search(r'Methods: (.*)\.\n', text)
  return re.findall(r'`(\w+)`', listed[1] if listed else '')


def with_tables(text: str, names: Sequence[str] = tuple(methods.METHODS)
                ) -> str:
  """The page with every table between its marks, for the named methods."""
  for name, table in (('commands', _commands()), ('codes', _codes()),
                      ('flags', _flags(names))):
    text, count = re.subn(
        rf'(<!-- table: {name} -->\n).*?(<!-- end of table -->)',
        lambda marks, table=table: f'{marks[1]}{table}{marks[2]}', text,
        flags=re.DOTALL)
    assert count == 1, name
  return text


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
  lines = [columns, ['---'] * len(columns), *(
      [re.sub(r'([|<])', r'\\\1', cell) for cell in row] for row in rows)]
  return ''.join(f'| {" | ".join(line)} |\n' for line in lines)


def _commands() -> str:
  return _table(('command', 'reads', 'writes'), [
      (f'`{name}`', entry.reads, entry.writes)
      for name, entry in commands.COMMANDS.items()])


def _codes() -> str:
  return _table(('code', 'meaning'), [
      (str(code), about) for code, about in exit_codes.MEANINGS.items()])


def _flags(names: Sequence[str]) -> str:
  parts = []
  for title, group, about in _GROUPS:
    if group is options.METHOD:
      about += f' {", ".join(f"`{name}`" for name in names)}.'
      group = options.of_methods(
          {name: methods.METHODS[name] for name in names})
    parts.append(f'### {title}\n\n{about}\n\n' + _table(
        ('flag', 'takes', 'what'), [
            (f'`--{option.flag}`', option.takes, option.help)
            for option in group]))
  derived = {name: {option.flag for _, group, _ in _GROUPS for option in group}
             for name in commands.COMMANDS}
  found: dict[str, tuple[str, list[str]]] = {}
  for name, entry in commands.COMMANDS.items():
    values = flags.FlagValues()
    entry.load().declare(values)
    for flag in (values[flag] for flag in sorted(values)):
      if flag.name not in derived[name] or flag.flag_type() != 'string':
        text = help_lib.meaning_of(flag).replace(
            ', '.join(methods.METHODS), ', '.join(names))
        found.setdefault(f'{flag.name}\n{text}', (text, []))[1].append(name)
  every = len(commands.COMMANDS)
  parts.append('### The rest\n\n' + _table(('flag', 'commands', 'what'), [
      (f'`--{key.split(chr(10))[0]}`', 'all' if len(having) == every else
       ', '.join(f'`{name}`' for name in having), text)
      for key, (text, having) in sorted(found.items())]))
  return '\n'.join(parts)


def _execute(values: flags.FlagValues, line: str) -> None:
  del values, line
  runs.write_text(PAGE, with_tables(PAGE.read_text('utf-8')))
  print(PAGE)


COMMAND = command.Command(
    'publish.command_line', __doc__, lambda values: None, _execute,
    package='experiments')
main = COMMAND.main

if __name__ == '__main__':
  sys.exit(main())
