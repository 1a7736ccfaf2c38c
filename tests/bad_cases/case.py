"""One mistake, and what becomes of it: a sentence, a code, nothing changed."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib
import io
import os
import pathlib
import shlex
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from dlfd_jax.cli import commands, exit_codes

_LONGEST = 1000  # characters of a sentence that can still be read
_ERRORS = (ValueError, FileNotFoundError, FileExistsError)


@dataclasses.dataclass(frozen=True)
class Case:
  """A mistake that somebody can make."""

  theme: str  # heading of the documented table
  mistake: str  # what was done wrong, in words
  argv: tuple[str, ...] = ()  # of `dlfd`; empty for a call of the library
  # spoils files in the current folder first
  change: Callable[[], Any] | None = None
  call: Callable[[], Any] | None = None  # of the library; refuses, too


def of(theme: str, mistake: str, command: str, flags: Sequence[str] = (),
       change: Callable[[], Any] | None = None) -> Case:
  """A mistake in a command; ``flags`` replace its own of the same name."""
  names = {flag.split('=')[0] for flag in flags}
  kept = [word for word in command.split() if word.split('=')[0] not in names]
  return Case(theme, mistake, (*kept, *flags), change)


@dataclasses.dataclass(frozen=True)
class Outcome:
  """What a user saw."""

  case: Case  # what was tried
  said: str  # the sentence; of a call, the message of its exception
  code: int | None  # exit code of the command, None for a call
  # what should not have happened, in words; empty if all is well
  faults: tuple[str, ...]

  def as_dict(self) -> dict[str, Any]:
    typed = shlex.join(
        ('python', '-m') * ('.' in self.case.argv[0]) or ('dlfd',)
    ) + ' ' + shlex.join(self.case.argv) if self.case.argv else 'Python'
    return {'theme': self.case.theme, 'mistake': self.case.mistake,
            'command': typed, 'exit_code': self.code, 'said': self.said,
            'faults': list(self.faults)}


def state(folder: pathlib.Path) -> dict[str, str]:
  """Every entry below a folder and the SHA-256 of what it holds."""
  found = {}
  for path in sorted(folder.rglob('*')):
    name = str(path.relative_to(folder))
    if path.is_symlink():
      found[name] = f'link to {os.readlink(path)}'
    elif path.is_file():
      found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    else:
      found[name] = 'folder'
  return found


def attempt(case: Case, template: pathlib.Path) -> Outcome:
  """Makes the mistake in a copy of the prepared folder."""
  with tempfile.TemporaryDirectory() as scratch:
    # A folder around it: a path may lead out of the place.
    around = pathlib.Path(scratch).resolve()
    place = around / 'here'
    shutil.copytree(template, place, symlinks=True)
    with contextlib.chdir(place):
      if case.change is not None:
        case.change()
      before = state(around)
      code, said, faults = _try(case)
    if state(around) != before:
      after = state(around)
      faults.append('changed on disk: ' + ', '.join(sorted(
          name for name in set(before) | set(after)
          if before.get(name) != after.get(name))[:5]))
    said = ' '.join(said.replace(f'{place}{os.sep}', '').replace(
        str(place), '.').replace(str(around), '..').split())
  if not said.startswith('Expected '):
    faults.append('the sentence does not say what was expected')
  if not 20 <= len(said) <= _LONGEST:
    faults.append(f'a sentence of {len(said)} characters')
  return Outcome(case, said, code, tuple(faults))


def _try(case: Case) -> tuple[int | None, str, list[str]]:
  """Exit code, sentence and faults; an escaped exception is a fault."""
  out, err = io.StringIO(), io.StringIO()
  try:
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
      if case.call is not None:
        case.call()
        return None, '', ['nothing was refused']
      name, *flags = case.argv
      code = (importlib.import_module(name).main(flags) if '.' in name else
              commands.main(case.argv))
  except Exception as error:
    if case.call is not None and type(error) in _ERRORS:
      return None, str(error), []
    where = traceback.extract_tb(sys.exc_info()[2])[-1]
    return exit_codes.BUG if case.call is None else None, str(error), [
        f'{type(error).__name__} escaped from {where.filename}:{where.lineno}']
  text = err.getvalue().strip()
  faults = []
  if code != exit_codes.USER_ERROR:
    faults.append(f'exit code {code}')
  if len(text.splitlines()) != 1 or 'Traceback' in text:
    faults.append(f'{len(text.splitlines())} lines on stderr')
  if not text.startswith('error: '):
    faults.append('the line does not begin with "error: "')
  return code, text.removeprefix('error: '), faults
