"""What commands write for people, where no name can command the terminal."""

from __future__ import annotations

import contextlib
import logging
import shutil
import sys
import traceback
from collections.abc import Iterable, Iterator
from typing import Any

from rich import console as rich_console

from dlfd_jax.utils import storage, text as text_lib

_LEAST, _MOST = 40, 400  # columns
_LONGEST = 4000  # characters of a line; a name may have a million


class Screen:
  """A text stream that shows control characters instead of passing them on.

  Lines of absurd length lose their middle.

  Attributes:
    stream: what it writes to; everything but writing is the stream's own.
  """

  def __init__(self, stream: Any):
    self.stream = stream

  def write(self, text: str) -> int:
    self.stream.write('\n'.join(
        line if len(line) <= _LONGEST else text_lib.bounded(line, _LONGEST)
        for line in storage.shown(text_lib.visible(text)).split('\n')))
    return len(text)

  def writelines(self, lines: Iterable[str]) -> None:
    for line in lines:
      self.write(line)

  def __getattr__(self, name: str) -> Any:
    return getattr(self.stream, name)


@contextlib.contextmanager
def guard() -> Iterator[None]:
  """All that is written inside, and a traceback that leaves it, is visible."""
  sys.excepthook = _write_traceback
  plain_record = logging.getLogRecordFactory()

  def visible_record(*args: Any, **kwargs: Any) -> logging.LogRecord:
    # Handlers of absl and others hold the streams that were there before.
    record = plain_record(*args, **kwargs)
    with contextlib.suppress(TypeError, ValueError):  # logging tells of these
      record.msg = text_lib.visible(record.getMessage())
      record.args = ()
    return record

  logging.setLogRecordFactory(visible_record)
  try:
    with contextlib.redirect_stdout(Screen(sys.stdout)), (
        contextlib.redirect_stderr(Screen(sys.stderr))):
      yield
  finally:
    logging.setLogRecordFactory(plain_record)


def _write_traceback(kind: Any, error: Any, trace: Any) -> None:
  Screen(sys.stderr).write(''.join(
      traceback.format_exception(kind, error, trace)))


class _Console(rich_console.Console):
  """Rich's console; texts from data are visible, its own codes are obeyed."""

  def render_str(self, text: str, **options: Any) -> Any:
    return super().render_str(
        storage.shown(text_lib.visible(text)), **options)


def unguarded(stream: Any) -> Any:
  """The stream below every :class:`Screen`."""
  while isinstance(stream, Screen):
    stream = stream.stream
  return stream


def console() -> rich_console.Console:
  """Where tables and progress go: stdout; names of data are no markup.

  Rich takes what COLUMNS says at its word; 0 is no width, nor is a million.
  """
  columns, lines = shutil.get_terminal_size()
  return _Console(file=unguarded(sys.stdout), soft_wrap=False, markup=False,
                  emoji=False, width=min(max(columns, _LEAST), _MOST),
                  height=lines)
