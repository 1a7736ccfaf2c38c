"""A signal as a request: a loop saves what it has done before it stops."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

from dlfd_jax.utils import hosts, stops


@dataclasses.dataclass
class StopRequest:
  """Set by a signal while inside :func:`on_signals`."""

  requested: bool = False
  number: int | None = None  # of the signal, until the loop has stopped for it


@contextlib.contextmanager
def on_signals() -> Iterator[StopRequest]:
  """Turns a signal into a request; a second one acts as usual.

  Those of ``stops.SIGNALS`` that are not ignored, in the main thread.
  """
  request = StopRequest()
  if threading.current_thread() is not threading.main_thread():
    yield request
    return
  old: dict[int, Any] = {}

  def handle(number: int, frame: Any) -> None:
    del frame
    request.requested, request.number = True, number
    stops.asked(number)
    if not stops.guarded():  # which meets a second one itself
      signal.signal(number, again)

  def again(number: int, frame: Any) -> None:
    del frame
    request.number = None
    signal.signal(number, old[number])
    os.kill(os.getpid(), number)

  for number in stops.SIGNALS:
    if not stops.ignored(number):
      old[number] = signal.getsignal(number)
      signal.signal(number, handle)
  try:
    yield request
  finally:
    for caught, handler in old.items():
      signal.signal(caught, handler)
    # It came when nothing was left to stop. The run lasts until its result is
    # written; what would follow it stops then.
    if request.number is not None and hosts.count() == 1:
      stops.postpone(request.number)
