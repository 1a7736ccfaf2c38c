"""Ctrl-C and the like: how a command ends in one line at any moment.

Python raises KeyboardInterrupt between two lines of Python. While XLA compiles,
these are lines of a callback from C++, where an exception is lost (the command
goes on) or tears the process down (it crashes). So a command, which
:func:`guard` makes of a process, raises nothing: it says its line and leaves at
once, like a killed one, which every file it writes allows for. Only a file that
is being written is finished first. The loops of training and unlearning
take a signal as a request instead, see ``stop_requests.on_signals``.

Elsewhere, in a notebook or a program of one's own, handlers stay what they are.
Only the standard library is imported here: a command is guarded before the
rest, which takes seconds.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import pathlib
import select
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SAVED = 75  # what was done is saved; otherwise 128 + the signal's number
# Some send a signal to a process and to its group: one wish, not two.
_SAME_S = 0.1
_PATIENCE_S = 0.2  # the main thread is in C code if it has not ended by then


class _Process:
  """What is known of this process."""

  def __init__(self) -> None:
    self.guarded = False
    self.saved: str | None = None  # the folder that a later start goes on from
    self.done: int | None = None  # the exit code of a command that has ended
    self.writing = 0  # files whose writing a signal waits for
    self.waiting: int | None = None  # the signal that does
    # What a loop was asked by; of several processes it may be another's.
    self.asked: int = signal.SIGTERM
    self.postponed: int | None = None  # one that a finished loop left
    self.ending: int | None = None  # the thread that ends the process


_process = _Process()


def ignored(number: int) -> bool:
  """Whether a signal is ignored, as ``nohup`` and ``&`` in scripts ask for."""
  return signal.getsignal(number) is signal.SIG_IGN


def code_of(number: int | None = None, saved: bool = False) -> int:
  """The exit code of what a signal stopped, by default the one last asked."""
  return SAVED if saved else 128 + (number or _process.asked)


def guard() -> None:
  """Lets signals end this process in one line: for commands alone."""
  if _process.guarded:
    return
  _process.guarded = True
  for number in SIGNALS:
    if not ignored(number):
      signal.signal(number, _on_signal)
  # Python runs handlers when C code returns, which may take a minute. The
  # thread is told at once.
  read, write = os.pipe()
  os.set_blocking(write, False)
  signal.set_wakeup_fd(write, warn_on_full_buffer=False)
  threading.Thread(target=_watch, args=(read,), daemon=True).start()
  # At its very end Python puts back the default, which would kill a process
  # that is done. Registered first, this runs last.
  atexit.register(_ignore)


def _ignore() -> None:
  for number in SIGNALS:
    signal.signal(number, signal.SIG_IGN)


def guarded() -> bool:
  """Whether :func:`guard` was called: a second signal ends the process."""
  return _process.guarded


def note_saved(folder: str | os.PathLike) -> None:
  """From now on the same command goes on from what this folder holds."""
  from dlfd_jax.utils import storage  # not before the process is guarded
  _process.saved = storage.shown(str(folder))


def note_saved_in(workdir: str | os.PathLike) -> None:
  """The same, if an earlier process left a checkpoint in or below it.

  That is a step of a loop, or a finished run of an evaluation.
  """
  for depth in ('', '*/', '*/*/', '*/*/*/'):
    for folder in pathlib.Path(workdir).glob(f'{depth}checkpoints'):
      if any(folder.glob('loop/[0-9]*')) or any(folder.glob('*.npz')):
        return note_saved(workdir)


def end_with(code: int) -> int:
  """Notes that a command is done: signals find nothing to stop any more."""
  _process.done = code
  return code


@contextlib.contextmanager
def after_writing() -> Iterator[None]:
  """A signal waits until what is written inside is whole; a second does not."""
  _process.writing += 1
  try:
    yield
  finally:
    _process.writing -= 1
    if not _process.writing and _process.waiting is not None:
      _on_signal(_process.waiting, None)


def postpone(number: int | None) -> None:
  """Keeps a signal, which came at the end of what it was to stop, or none."""
  _process.postponed = number


def deliver() -> None:
  """Sends this process what was postponed, if anything was."""
  number, _process.postponed = _process.postponed, None
  if number is not None:
    os.kill(os.getpid(), number)


def asked(number: int) -> None:
  """Notes what a loop was asked to stop by."""
  _process.asked = number


def _on_signal(number: int, frame: Any) -> None:
  del frame
  if _process.writing:
    _process.waiting = number
  else:
    _end(number)


def _watch(pipe: int) -> None:
  """Ends the process where its main thread cannot, and at a second signal."""
  first: float | None = None
  blocked: int | None = None  # the signal that the main thread may not meet
  while True:
    patience = None if blocked is None else _PATIENCE_S
    if not select.select([pipe], [], [], patience)[0]:
      assert blocked is not None
      if not _process.writing:
        _end(blocked)
      blocked = None
      continue
    number = os.read(pipe, 1)[0]
    if number not in SIGNALS:
      continue
    if first is None:
      first = time.monotonic()
      if signal.getsignal(number) is _on_signal:
        blocked = number
    elif time.monotonic() - first > _SAME_S and number != signal.SIGHUP:
      _end(number, at_once=True)


def _end(number: int, at_once: bool = False) -> None:
  """Says what a stop leaves, and leaves."""
  me = threading.get_ident()
  if _process.ending is not None and not at_once:
    while _process.ending != me:  # the other thread is at it
      time.sleep(1)
    return  # a second signal within this function
  first, _process.ending = _process.ending is None, me
  code = code_of(number, saved=_process.saved is not None)
  if _process.done is not None:
    code = _process.done
  if not at_once:
    for stream in (sys.stdout, sys.stderr):
      with contextlib.suppress(Exception):  # it may be the one that is at work
        stream.flush()
  if first and _process.done is None:
    _say(signal.Signals(number).name, code)
  os._exit(code)


def asks_for_json(words: Iterable[str]) -> bool:
  """Whether a command line does, as far as words tell that nobody has parsed.

  Example:
    >>> asks_for_json(['--json']), asks_for_json(['--json=false'])
    (True, False)
  """
  asked = False
  for word in words:
    name, _, given = word.lstrip('-').partition('=')
    if word.startswith('-') and name in ('json', 'nojson'):
      asked = name == 'json' and given.lower() not in ('false', 'f', '0', 'no',
                                                       'n')
  return asked


def _say(name: str, code: int) -> None:
  sentence = (
      f'Stopped by {name}: what was done is saved in {_process.saved}, and the '
      'same command goes on from there.' if code == SAVED else
      f'Stopped by {name} before anything was saved: the same command starts '
      'again.')
  lead = ''
  if os.isatty(2):  # a bar may have hidden the cursor
    lead = '\n' if os.environ.get('TERM', 'dumb') == 'dumb' else '\x1b[?25h\n'
  with contextlib.suppress(OSError):  # the terminal may be gone
    os.write(2, f'{lead}{sentence}\n'.encode(errors='backslashreplace'))
  if asks_for_json(sys.argv[1:]):
    with contextlib.suppress(OSError):
      os.write(1, (json.dumps(
          {'error': sentence, 'exit_code': code}) + '\n').encode())
