"""What commands share: their own flags, one-sentence errors, progress."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
from absl import flags
from rich import (
  progress as rich_progress,
  table as rich_table,
  text as rich_text,
)

from dlfd_jax import loop
from dlfd_jax.cli import (
  config_files,
  exit_codes,
  help as help_lib,
  machine,
  process,
  screen,
)
from dlfd_jax.pipeline import job
from dlfd_jax.report import answers, tables
from dlfd_jax.utils import (
  hosts,
  spent,
  stops,
  storage,
  text as text_lib,
  validate,
)

_USER_ERRORS = (FileNotFoundError, FileExistsError, PermissionError,
                IsADirectoryError, NotADirectoryError, storage.StorageError)
# No room, a read-only file system, a quota: nothing of the program's.
_NO_WRITING = (errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EFBIG)
_TOO_MANY = (errno.EMFILE, errno.ENFILE)
_NO_NAME = (errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL)
# Of a bar: no markup; where the terminal is narrow, two lines.
_WHOLE: dict[str, Any] = {'markup': False, 'table_column': rich_table.Column()}
_LONGEST = 2000  # characters of an error: a list of names is read to its end
_SMALLER = ('batch_size', 'device_bytes', 'image_size', 'width')


class Stop(Exception):
  """Ends a command with an exit code and a sentence."""

  def __init__(self, code: int, sentence: str):
    super().__init__(sentence)
    self.code = code


@dataclasses.dataclass(frozen=True)
class Command:
  """One command of the command line.

  Attributes:
    name: as the user types it.
    about: what it does, for ``--help``; examples welcome.
    define: declares its flags.
    execute: does it; receives the parsed flags and the command line. Prints
      for people, returns for ``--json``: JSON values only.
    define_for: declares flags that depend on others; receives the words of the
      command line, not yet parsed.
    word: the flag that one word without a name sets; None = there is none.
    package: whose command it is; ``dlfd_jax`` is the command line of that name.
    most: the flags that ``--help`` shows; none = all.
    starts: the settings whose fields the flags replace, of what the parsed
      flags choose, such as a preset.
  """

  name: str
  about: str
  define: Callable[[flags.FlagValues], None]
  execute: Callable[[flags.FlagValues, str], dict[str, Any] | None]
  define_for: Callable[[flags.FlagValues, Sequence[str]], None] | None = None
  word: str | None = None
  package: str = 'dlfd_jax'
  most: tuple[str, ...] = ()
  starts: Callable[[flags.FlagValues], Iterable[Any]] = lambda values: ()

  def declare(self, values: flags.FlagValues,
              argv: Sequence[str] = ()) -> None:
    """Declares all flags of this command line."""
    for name, about in (
        ('help', 'show what most people need and stop'),
        ('help_all', 'show every flag and stop'),
        ('traceback', 'show where an error came from')):
      flags.DEFINE_boolean(name, False, about, flag_values=values)
    flags.DEFINE_string(
        'config', None, 'file of flags, one `name: value` a line; those of the '
        'command line win', flag_values=values)
    if self.package == 'dlfd_jax':
      flags.DEFINE_boolean(
          'json', False, 'print one JSON object on stdout, for programs; '
          'everything else goes to stderr', flag_values=values)
    self.define(values)
    if self.define_for is not None:
      self.define_for(values, argv)

  def help(self, values: flags.FlagValues, everything: bool = True) -> str:
    """What it does and its flags, all or those that most need."""
    return help_lib.text(self.about, values, () if everything else self.most,
                         self.starts(values))

  def main(self, argv: Sequence[str] | None = None) -> int:
    """Parses ``argv`` (without the program's name), runs, returns a code.

    The codes are those of :mod:`~dlfd_jax.cli.exit_codes`. With ``--json``
    stdout holds one JSON object, what the command found or ``{"error":
    sentence, "exit_code": code}``, and all else goes to stderr.
    """
    if argv is None:
      return process.run(self.main)
    argv = list(argv)
    with screen.guard(), storage.session():
      return stops.end_with(self._main(argv))

  def _main(self, argv: Sequence[str]) -> int:
    values, given = flags.FlagValues(), config_files.Given(tuple(argv))
    try:
      given = config_files.given(self.name, argv)
      argv = given.words
      self.declare(values, argv)
      given.check(self.name, values)
      for word in argv:  # absl looks for flags alike, one letter at a time
        if word.startswith('-') and len(word.partition('=')[0]) > 100:
          raise ValueError(f'Expected a flag of {self.name}, got '
                           f'{validate.shown(word)}.')
      rest = values([self.name, *argv])[1:]
      for name in ('help', 'help_all'):
        if value(values, name):
          print(self.help(values, name == 'help_all'))
          return exit_codes.OK
      if self.word and len(rest) == 1 and value(values, self.word) is None:
        values[self.word].value = rest.pop()
      if rest:
        raise ValueError(f'Expected flags only, got {rest[0]!r}.')
      for name in values:
        if isinstance(value(values, name), float):
          validate.number(f'--{name}', value(values, name))
      _copy_stores(values)
      if 'workdir' in values and value(values, 'workdir'):
        stops.note_saved_in(value(values, 'workdir'))
      machine.keep_memory()
      _split_cpu(values)
      account = (spent.account(process.BEGUN) if stops.guarded() else
                 contextlib.nullcontext())  # not of a program of one's own
      with account, machine.keep_programs(), _processes(values):
        return self._run(values, argv)
    except Stop as stop:
      return _failed(values, argv, stop.code, str(stop), '')
    except job.Interrupted as stop:
      return _failed(values, argv, stops.code_of(saved=stop.saved),
                     str(stop), '')
    except Exception as error:
      sentence = self._explain(error, values)
      if sentence is None or (
          values.is_parsed() and value(values, 'traceback')):
        raise
      return _failed(values, argv, exit_codes.USER_ERROR,
                     given.located(sentence), 'error: ')

  def _explain(self, error: Exception, values: flags.FlagValues) -> str | None:
    """What the user can do about an error; None if it is the program's."""
    if isinstance(error, flags.Error):
      return _about_flags(self.name, values, str(error))
    if isinstance(error, UnicodeEncodeError) and sys.flags.utf8_mode == 0 and (
        error.encoding == sys.getfilesystemencoding()):
      return (f'Expected a name that {error.encoding} can write, which the '
              f'locale asks for, got {error.object!r}: set PYTHONUTF8=1.')
    if isinstance(error, ValueError):
      return str(error)
    if isinstance(error, OSError):
      if error.errno in _NO_NAME:
        return ('Expected a name that a file can have, got '
                f'{error.strerror}: {validate.shown(error.filename)}.')
      if error.errno in _NO_WRITING:
        return (f'Expected to write to {error.filename or "the disk"}, got: '
                f'{error.strerror}. What was saved before is whole; with room, '
                'the same command goes on.')
      if error.errno in _TOO_MANY:
        return ('Expected to open one more file, got: '
                f'{error.strerror}. ulimit -n tells how many may be open.')
      if error.filename is None and not process.has_folder():
        return ('Expected the folder in which the command was started, got: '
                'it is no longer there.')
      if not isinstance(error, _USER_ERRORS):
        return None
      return (f'Expected to use {error.filename}, got: {error.strerror}.'
              if error.filename else str(error.strerror or error))
    if isinstance(error, MemoryError):
      return ('Expected the data to fit into the memory of this machine, got: '
              f'{error}.')
    if (isinstance(error, jax.errors.JaxRuntimeError)
        and 'RESOURCE_EXHAUSTED' in str(error)):
      lower = ', '.join(f'--{name}' for name in _SMALLER if name in values)
      return ('Expected the work to fit into the memory of '
              f'{jax.devices()[0].device_kind}, but it is full: ' + (
                  f'lower one of {lower}, or use more --devices.' if lower else
                  'use a device with more memory.'))
    if isinstance(error, (RuntimeError, AssertionError)):
      return process.no_device()
    return None

  def _run(self, values: flags.FlagValues, argv: Sequence[str]) -> int:
    module = ([self.package, self.name] if self.package == 'dlfd_jax' else
              [f'{self.package}.{self.name}'])
    line = shlex.join(['python', '-m', *module, *argv])
    machine_reads = _machine(values, argv)
    where = contextlib.nullcontext() if not machine_reads else (
        contextlib.redirect_stdout(
            sys.stderr if hosts.is_first() else sys.stdout))
    with where:
      found = self.execute(values, line)
      config_files.write(self.name, values, self.starts(values))
      storage.flush()
      account = spent.of_command(found or {})
      if account:
        print(spent.sentence(account))
    if machine_reads:
      _print_json({**(found or {}), **(
          {'account': account} if account else {})})
    return exit_code(found)


def exit_code(found: dict[str, Any] | None) -> int:
  """The exit code of a command that ended well."""
  found = found or {}
  if found.get('no_model'):
    return exit_codes.NO_MODEL
  # Of an evaluation: what its recommendation refuses the model for.
  refused = {one['question'] for one in found.get('answers') or ()
             if answers.Answer(**one).refuses}
  if not_forgotten(found) or answers.FORGOTTEN in refused:
    return exit_codes.NOT_FORGOTTEN
  if found.get('do_not_use') or refused:
    return exit_codes.UNUSABLE
  return exit_codes.OK


def not_forgotten(found: Mapping[str, Any]) -> bool:
  """Whether a run changed nothing, or missed its live attack's threshold.

  Args:
    found: a result; of an unlearning run with its findings.
  """
  return answers.of_run(found)[0].answer == answers.NO


def _about_flags(command: str, values: flags.FlagValues, text: str) -> str:
  """What absl says of flags, as a sentence like all others."""
  unknown = re.match(r"Unknown command line flag '(.*?)'\.?(.*)", text, re.S)
  if unknown:
    return (f'Expected a flag of {command}, got --{unknown[1]}.{unknown[2]} '
            '--help-all lists all.')
  wrong = re.match(r'flag --(\w+)=(.*?): (.*)', text, re.S)
  if wrong and wrong[1] in values:
    flag = values[wrong[1]]
    choices = getattr(flag.parser, 'enum_values', None)
    wanted = f'one of {", ".join(choices)}' if choices else (
        'true or false' if flag.flag_type() == 'bool' else
        flag.parser.syntactic_help or 'a value of its kind')
    return f'Expected --{wrong[1]} to be {wanted}, got {wrong[2]!r}.'
  return f'Expected flags as --name=value, got: {text}'


def _machine(values, argv) -> bool:
  """Whether a program reads the output; also where flags could not be read."""
  if 'json' not in values:
    return False
  return value(values, 'json') if values.is_parsed() else stops.asks_for_json(
      argv)


def _failed(values, argv, code, sentence, lead) -> int:
  sentence = text_lib.bounded(storage.shown(sentence), _LONGEST)
  print(f'{lead}{sentence}', file=sys.stderr)
  if _machine(values, argv):
    _print_json({'error': sentence, 'exit_code': code})
  return code


def _print_json(value: dict[str, Any]) -> None:
  """One object on stdout, ASCII and whole however long it is."""
  print(json.dumps(_shown(value), allow_nan=False),
        file=screen.unguarded(sys.stdout))


def _shown(value: Any) -> Any:
  """A JSON value with URLs for places in the copy of an object store."""
  if isinstance(value, dict):
    return {name: _shown(inner) for name, inner in value.items()}
  if isinstance(value, (list, tuple)):
    return [_shown(inner) for inner in value]
  return storage.shown(value) if isinstance(value, str) else value


def _copy_stores(values: flags.FlagValues) -> None:
  """Puts places on this disk for URLs of object stores, in every flag."""
  def one(given: Any) -> Any:
    return str(storage.local(given)) if storage.is_url(given) else given

  for name in values:
    given = value(values, name)
    found = list(map(one, given)) if isinstance(given, list) else one(given)
    if found != given:
      values[name].value = found


def _split_cpu(values: flags.FlagValues) -> None:
  """Makes as many devices of the CPU as ``--cpu_devices`` says."""
  wanted = value(values, 'cpu_devices') if 'cpu_devices' in values else None
  if wanted is None:
    return
  try:
    jax.config.update('jax_num_cpu_devices', wanted)
  except RuntimeError as error:  # jax has started
    raise ValueError('Expected --cpu_devices in a process of its own, got it '
                     'after the devices were first used.') from error


@contextlib.contextmanager
def _processes(values: flags.FlagValues) -> Iterator[None]:
  """Joins the other processes, if the flags tell of any; the first prints."""
  asked = {name: value(values, name) for name in (
      'coordinator', 'num_processes', 'process_id') if name in values}
  if not asked or not (
      value(values, 'distributed')
      or any(given is not None for given in asked.values())):
    yield
    return
  print(hosts.start(**asked), file=sys.stderr, flush=True)
  with contextlib.ExitStack() as stack:
    if not hosts.is_first():
      nowhere = stack.enter_context(open(os.devnull, 'w', encoding='utf-8'))
      stack.enter_context(contextlib.redirect_stdout(nowhere))
    yield
    hosts.from_first(None)  # ends wait for each other, for ever if need be


def value(values: flags.FlagValues, name: str) -> Any:
  """The value of a flag, of the type that its definition gives it."""
  return values[name].value


def required(values: flags.FlagValues, name: str) -> Any:
  """The value of a flag that must be given."""
  given = value(values, name)
  if given in (None, '', []):
    raise ValueError(f'Expected --{name} to be given: {values[name].help}.')
  return given


class _TimeLeft(rich_progress.TimeRemainingColumn):
  """The time that is left, at the end the time that it took."""

  def render(self, task: rich_progress.Task) -> rich_text.Text:
    found = super().render(task)
    return found if task.finished or not found else found + ' left'


# Characters of a bar's line beside its title and itself; from what width on the
# line also has room for the phase.
_BESIDE, _WIDE = 44, 100


class Progress:
  """A hook of a job: what it will cost, a bar while it runs.

  Elsewhere than on a terminal the bar is a line at its end.
  """

  def __init__(self):
    self._bar: rich_progress.Progress | None = None

  def __call__(self, event: dict[str, Any]) -> None:
    if event['event'] == 'expected':
      print(event['sentence'], flush=True)
    elif event['event'] == 'begin':
      console = screen.console()
      title = text_lib.visible(event['title'])
      self._wide, self._waits = console.width >= _WIDE, True
      self._bar = rich_progress.Progress(
          rich_progress.TextColumn('{task.description}', **_WHOLE),
          rich_progress.BarColumn(min(
              40, max(4, console.width - len(title) - _BESIDE))),
          rich_progress.MofNCompleteColumn(
              table_column=rich_table.Column(no_wrap=True)),
          _TimeLeft(elapsed_when_finished=True,
                    table_column=rich_table.Column(no_wrap=True)),
          rich_progress.TextColumn('{task.fields[figures]}', **_WHOLE),
          # rich would decode, and so obey, what is printed meanwhile
          redirect_stdout=False, redirect_stderr=False,
          console=console)
      self._bar.start()
      self._task = self._bar.add_task(
          title, total=None, figures=event['state'])
    elif self._bar is None:
      return
    elif event['event'] == 'tick':
      if self._waits and event['step']:  # until then it compiled
        self._waits = False
        self._bar.update(self._task, figures='')
      self._bar.update(
          self._task, completed=event['step'], total=event['num_steps'])
    elif event['event'] == 'check':
      self._waits = False
      self._bar.update(self._task, figures=_figures(event, self._wide))
    elif event['event'] == 'end':
      self._bar.stop()
      self._bar = None


def _figures(event: Mapping[str, Any], with_phase: bool) -> str:
  parts = []
  for name, label in (('val_accuracy', 'val acc'), ('mia_auc', 'attack')):
    if event.get(name) is not None:
      parts.append(f'{label} {event[name]:.3f}')
  if with_phase and event['next_phase'] in ('distance', 'finetune'):
    parts.append(event['next_phase'])
  return ', '.join(parts)


def say_verification(record: Mapping[str, Any]) -> None:
  """Prints first what of a result was not verified, or that nothing changed."""
  for line in tables.provenance(record):
    print(line)


def check_finite(run: job.ModelRun) -> None:
  """Raises :class:`Stop` if a run became non-finite."""
  if run.stop == loop.NOT_FINITE:
    raise Stop(exit_codes.NOT_FINITE, f'The run in {run.folder} became '
               'non-finite and was stopped; its last good state is saved. '
               'Lower the learning rate or set --clip_norm.')
