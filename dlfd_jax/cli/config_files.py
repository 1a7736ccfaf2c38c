"""``--config=FILE``: the flags of a command in a file, read and written.

A file names flags without their dashes. What the command line gives, wins. A
run writes its own, ``<workdir>/<command>.yaml``, which can be given back.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import os
import pathlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from absl import flags

from dlfd_jax.cli import help as help_lib, options
from dlfd_jax.data import sources
from dlfd_jax.utils import (
  files,
  hosts,
  plugins,
  runs,
  storage,
  text as text_lib,
  validate,
  yaml_files,
)

COMMAND = 'command'  # the key that says whose file it is
# What is not of the settings, but of one call.
_OF_THE_CALL = ('config', 'workdir', 'json', 'traceback', 'help', 'help_all')


@dataclasses.dataclass(frozen=True)
class Given:
  """A command line, and the file that it names.

  Attributes:
    words: of the command line, with those of the file in front.
    path: of the file, None = none.
    texts: what it says, by flag.
  """

  words: tuple[str, ...]
  path: str | None = None
  texts: Mapping[str, Any] = dataclasses.field(default_factory=dict)

  def check(self, command: str, values: flags.FlagValues) -> None:
    """Raises ValueError if the file has keys that the command has not."""
    own = sorted(name for name in values if values[name].help.strip())
    unknown = [name for name in self.texts if name not in values]
    if unknown:
      raise ValueError(
          f'Expected flags of {command} in {self.path}, got ' + '; '.join(
              f'{name!r}{text_lib.nearest(name, own)}' for name in unknown[:5])
          + (f'; and {len(unknown) - 5} more.' if len(unknown) > 5 else '.'))
    called = set(self.texts) & {'config', 'help', 'help_all'}
    if called:
      raise ValueError(f'Expected settings of {command} in {self.path}, got '
                       f'{min(called)}, which belongs on the command line.')

  def located(self, sentence: str) -> str:
    """A sentence about flags that also says which of them the file gave."""
    wanted, comma, got = sentence.rpartition(', got ')
    for name in self.texts:
      def place(found: re.Match[str]) -> str:
        return f'{found[0]} (in {self.path})'

      flag = re.compile(rf'--{re.escape(name)}\b')
      if flag.search(got):
        got = flag.sub(place, got, count=1)
      else:
        wanted = flag.sub(place, wanted, count=1)
    return f'{wanted}{comma}{got}'


def given(command: str, argv: Sequence[str]) -> Given:
  """The command line with what its ``--config`` says in front.

  Hyphens in names of flags are underscores, and ``-h`` is ``--help``.

  Raises:
    FileNotFoundError: if there is no such file.
    ValueError: if it is no YAML, or another command's.
  """
  argv, rest = list(argv), []
  if '--' in argv:  # after which nothing is a flag
    argv, rest = argv[:argv.index('--')], argv[argv.index('--'):]
  path, words = _without_config([_spelled(word) for word in argv])
  if path is None:
    return Given((*words, *rest))
  place = storage.local(path)
  texts = yaml_files.read(place)
  owner = texts.pop(COMMAND, command)
  if place.name == runs.CONFIG and 'kind' in texts:
    raise ValueError(f'Expected settings of {command} in {path}, got the '
                     'record of a run: what can be given back is the .yaml '
                     'beside it.')
  if owner != command:
    raise ValueError(f'Expected settings of {command} in {path}, got those of '
                     f'{validate.shown(owner).strip(chr(39))}.')
  said = {_name(word)[0] for word in words}
  texts = {name: value for name, value in texts.items()
           if not {name, f'no{name}'} & said}
  front = [f'--{name}={_text(name, value, path)}'
           for name, value in texts.items()]
  return Given((*front, *words, *rest), path, texts)


def _name(word: str) -> tuple[str, str | None]:
  """The flag that a word names, '' if it names none, and its text."""
  if not word.startswith('-'):
    return '', None
  name, equals, text = word.lstrip('-').partition('=')
  return name, text if equals else None


def _spelled(word: str) -> str:
  if word == '-h':
    return '--help'
  if not word.startswith('--'):
    return word
  name, equals, text = word.partition('=')
  return '--' + name[2:].replace('-', '_') + equals + text


def _without_config(words: list[str]) -> tuple[str | None, list[str]]:
  """The file that the words name last, and the other words."""
  path, others, left = None, [], iter(words)
  for word in left:
    name, text = _name(word)
    if name != 'config':
      others.append(word)
      continue
    path = next(left, '') if text is None else text
    if not path:
      raise ValueError('Expected --config to name a file, got nothing.')
  return path, others


def _text(name: str, value: Any, path: str) -> str:
  """A value as the command line would have it."""
  if isinstance(value, list) and all(
      isinstance(part, str) for part in value) and ',' in ''.join(value):
    if name in options.FLAGS:
      raise ValueError(f'Expected no comma within a value of {name} in '
                       f'{path}, got {validate.shown(value)}.')
    line = io.StringIO()
    csv.writer(line, lineterminator='').writerow(value)
    return line.getvalue()
  return yaml_files.text(value, f'{name} in {path}')


def write(command: str, values: flags.FlagValues,
          starts: Iterable[Any]) -> None:
  """Writes the file of a run into its folder, for ``--config``.

  Args:
    command: whose.
    values: the flags: those that were given are in the file.
    starts: settings whose fields others would have replaced: these stand below
      as comments.
  """
  workdir = values['workdir'].value if 'workdir' in values else None
  # Only a command of several processes asks jax which it is: others may have
  # started no device.
  if not workdir or not files.is_folder(workdir) or (
      'num_processes' in values and not hosts.is_first()):
    return
  said = {name: _kept(name, values[name].value) for name in sorted(values)
          if values[name].present and name not in _OF_THE_CALL}
  left = {name: values[name] for name in sorted(values)
          if name not in {*said, *_OF_THE_CALL} and values[name].help.strip()}
  held = {flag: text for start in starts
          for flag, text in options.texts_of(start).items()}
  defaults = {
      name: held.get(name, help_lib.default_of(flag))
      for name, flag in left.items()
      if name in held or help_lib.has_default(flag)}
  text = (f'# dlfd {command} --config=THIS --workdir=ANOTHER does the same '
          f'again.\n{yaml_files.written({COMMAND: command, **said})}')
  if defaults:
    text += '\n# What held, as nobody gave it:\n' + ''.join(
        f'# {line}\n' for line in yaml_files.written(defaults).splitlines())
  path = pathlib.Path(workdir, f'{command}.yaml')
  if not files.is_file(path) or path.read_text('utf-8') != text:
    runs.write_text(path, text)


def _kept(name: str, value: Any) -> str | list[str]:
  """A value that means the same from wherever the file is given."""
  if isinstance(value, list):
    return [str(_kept(name, part)) for part in (
        files.joined(value) if name in help_lib.PLACES else value)]
  if not isinstance(value, str):
    return str(value).lower() if isinstance(value, bool) else str(value)
  if storage.url_of(value) is not None:
    return storage.shown(value)
  if name.endswith('_of') and ',' in value:  # methods of a wrapper
    return ','.join(str(_kept(name, part)) for part in value.split(','))
  place, colon, inner = value.rpartition(':')
  if plugins.is_spec(value) and place.endswith('.py'):
    return f'{os.path.abspath(place)}{colon}{inner}'
  if (name in help_lib.PLACES or name == 'preset') and _is_place(name, value):
    return os.path.abspath(value)
  return value


def _is_place(name: str, value: str) -> bool:
  """Whether a value is a file or folder and not a name."""
  if name == 'preset':
    return value.endswith(yaml_files.ENDINGS)
  return files.is_there(value) and not (
      name == 'data' and sources.is_name(value))
