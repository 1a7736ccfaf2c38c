"""SIGTERM and SIGINT as requests that a loop can meet when it is ready."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any


class StopRequest:
  """Set by SIGTERM or SIGINT while inside :func:`stop_on_signals`."""

  def __init__(self) -> None:
    self.requested = False


@contextlib.contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
  """Turns SIGTERM and SIGINT into a request; a second one acts as usual."""
  request = StopRequest()
  if threading.current_thread() is not threading.main_thread():
    yield request
    return
  old: dict[int, Any] = {}

  def handle(number: int, frame: Any) -> None:
    del frame
    request.requested = True
    signal.signal(number, old[number])

  for number in (signal.SIGTERM, signal.SIGINT):
    old[number] = signal.getsignal(number)
    signal.signal(number, handle)
  try:
    yield request
  finally:
    for caught, handler in old.items():
      signal.signal(caught, handler)
