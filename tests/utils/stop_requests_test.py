"""A first signal asks, a second one acts as usual."""

import os
import signal
import threading

import pytest

from dlfd_jax.utils import stop_requests, stops


def test_what_nohup_ignores_stays_ignored():
  before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
  try:
    with stop_requests.on_signals() as request:
      os.kill(os.getpid(), signal.SIGHUP)
      assert not request.requested
  finally:
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize('number', stops.SIGNALS)
def test_a_second_signal_acts_as_usual(number):
  class UsualError(Exception):
    pass

  def usual(*args):
    raise UsualError

  before = signal.signal(number, usual)
  try:
    with stop_requests.on_signals() as request:
      assert not request.requested
      os.kill(os.getpid(), number)
      assert request.requested
      with pytest.raises(UsualError):
        os.kill(os.getpid(), number)
    assert signal.getsignal(number) is usual
  finally:
    signal.signal(number, before)


def test_handlers_are_put_back_after_an_error():
  before = signal.getsignal(signal.SIGTERM)
  with pytest.raises(RuntimeError), stop_requests.on_signals():
    assert signal.getsignal(signal.SIGTERM) is not before
    raise RuntimeError
  assert signal.getsignal(signal.SIGTERM) is before


def test_outside_the_main_thread_signals_are_left_alone():
  before, seen = signal.getsignal(signal.SIGTERM), []

  def watch():
    with stop_requests.on_signals() as request:
      seen.append((signal.getsignal(signal.SIGTERM), request.requested))

  thread = threading.Thread(target=watch)
  thread.start()
  thread.join()
  assert seen == [(before, False)]
