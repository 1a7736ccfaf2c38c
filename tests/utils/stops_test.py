"""Processes that import nothing but `stops`, and signals at awkward moments."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).parents[2]
INT, TERM, HUP = signal.SIGINT, signal.SIGTERM, signal.SIGHUP
WAIT = 'print("ready", flush=True)\ntime.sleep(60)\n'
# No handler runs before it returns, after minutes.
IN_C = ('print("ready", flush=True)\n'
        'hashlib.pbkdf2_hmac("sha256", b"a", b"b", 10**9)\n')
# What Python raises here is lost.
IN_CALLBACK = """
def callback(phase, info):
  print("ready", flush=True)
  end = time.monotonic() + 60
  while time.monotonic() < end:
    pass
gc.callbacks.append(callback)
gc.collect()
"""
WRITING = """
def write(file):
  file.write(b"all ")
  print("ready", flush=True)
  time.sleep({seconds})
  file.write(b"of it")
writes.write_whole("file", write)
time.sleep(60)
"""


def _start(code, folder, guard='stops.guard()', words=()):
  return subprocess.Popen(
      [sys.executable, '-c', 'import gc, hashlib, os, signal, sys, time\n'
       'from dlfd_jax.utils import stops\n' + guard + '\n' + code, *words],
      cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
      env={**os.environ, 'PYTHONPATH': str(ROOT), 'PYTHONUNBUFFERED': ''})


def _stop(process, *numbers, after_s=0.0):
  """Signals it once it is ready; its exit code, stdout and stderr's lines."""
  with process:
    assert process.stdout.readline() == 'ready\n'
    for number in numbers:
      process.send_signal(number)
      time.sleep(after_s)
    # Not communicate(), which passes over what readline() has taken already.
    out, said = process.stdout.read(), process.stderr.read()
  return process.returncode, out, said.splitlines()


@pytest.mark.parametrize('number', (INT, TERM, HUP))
@pytest.mark.parametrize('code', [WAIT, IN_C, IN_CALLBACK])
def test_a_signal_ends_in_one_line_wherever_it_comes(code, number, tmp_path):
  exit_code, _, said = _stop(_start(code, tmp_path), number)
  assert exit_code == 128 + number
  assert len(said) == 1 and said[0].startswith(
      f'Stopped by {number.name} before anything was saved')


def test_what_was_saved_is_named_and_has_its_own_code(tmp_path):
  code = 'print("before")\nstops.note_saved("runs/a")\n'
  process = _start(code + 'print("ready", flush=True)\nprint("kept")\n'
                   'time.sleep(60)', tmp_path, words=['--json'])
  assert process.stdout.readline() == 'before\n'
  time.sleep(.3)  # the last line is only in the buffer
  exit_code, out, said = _stop(process, INT)
  kept, error = out.splitlines()
  assert (exit_code, kept) == (75, 'kept')
  assert said == [json.loads(error)['error']] and 'saved in runs/a' in said[0]
  assert json.loads(error)['exit_code'] == 75


def test_a_file_that_is_being_written_is_finished(tmp_path):
  code = 'from dlfd_jax.utils import writes\n' + WRITING.format(seconds=.6)
  exit_code, _, said = _stop(_start(code, tmp_path), INT)
  assert exit_code == 130 and len(said) == 1
  assert [p.name for p in tmp_path.iterdir()] == ['file']
  assert (tmp_path / 'file').read_bytes() == b'all of it'


def test_a_second_signal_does_not_wait(tmp_path):
  code = 'from dlfd_jax.utils import writes\n' + WRITING.format(seconds=60)
  assert _stop(_start(code, tmp_path), INT, INT, after_s=.3)[0] == 130
  assert not (tmp_path / 'file').exists()


def test_the_same_wish_sent_twice_is_one(tmp_path):
  code = 'from dlfd_jax.utils import writes\n' + WRITING.format(seconds=.6)
  # As `timeout` does, and a terminal that closes.
  for numbers, after_s in (((TERM, TERM), .01), ((HUP, HUP), .2)):
    assert _stop(_start(code, tmp_path), *numbers, after_s=after_s)[0] > 128
    (tmp_path / 'file').unlink()


def test_nohup_and_a_stopped_process(tmp_path):
  code = ('print("ready", flush=True)\ntime.sleep(1)\n'
          'sys.exit(stops.end_with(0))')
  ignoring = 'signal.signal(signal.SIGHUP, signal.SIG_IGN)\nstops.guard()'
  assert _stop(_start(code, tmp_path, ignoring), HUP) == (0, '', [])
  assert _stop(_start(code, tmp_path), signal.SIGTSTP, signal.SIGCONT,
               after_s=.1) == (0, '', [])


@pytest.mark.parametrize('code', [
    WAIT, 'import atexit\natexit.register(time.sleep, 1)\n'
    'print("ready", flush=True)\nsys.exit(3)'])
def test_a_command_that_is_done_ends_with_its_own_code(code, tmp_path):
  exit_code, _, said = _stop(_start(
      'stops.end_with(3)\n' + code, tmp_path), TERM)
  assert (exit_code, said) == (3, [])


def test_a_program_of_ones_own_keeps_its_handlers(tmp_path):
  code = ('import dlfd_jax\ntry:\n  print("ready", flush=True)\n'
          '  time.sleep(60)\nexcept KeyboardInterrupt:\n  sys.exit(5)')
  assert _stop(_start(code, tmp_path, guard=''), INT) == (5, '', [])
