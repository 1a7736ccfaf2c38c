"""Real processes on loopback, each with two CPU devices."""

import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).parent.parent
DEVICES_OF_EACH = 2
PATIENCE_S = 900  # a machine may be busy; an idle one needs some seconds


def address() -> str:
  """A free port of this machine, for the coordinator."""
  with socket.socket() as free:
    free.bind(('127.0.0.1', 0))
    return f'127.0.0.1:{free.getsockname()[1]}'


def start(module: str, *arguments: str) -> subprocess.Popen:
  """``python -m module arguments`` on two CPU devices of its own."""
  environment = {
      **os.environ, 'JAX_PLATFORMS': 'cpu', 'OMP_NUM_THREADS': '1',
      'JAX_DISABLE_MOST_OPTIMIZATIONS': '1',  # compiles in half the time
      'XLA_FLAGS': ' '.join((
          os.environ.get('XLA_FLAGS', ''),  # those of conftest: half again
          f'--xla_force_host_platform_device_count={DEVICES_OF_EACH}'))}
  return subprocess.Popen(
      [sys.executable, '-m', module, *arguments], cwd=ROOT, env=environment,
      stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
      errors='replace')


def ended(processes: list[subprocess.Popen],
          seconds: float = PATIENCE_S) -> list[str]:
  """What they printed; those that are not done by then are killed."""
  end = time.monotonic() + seconds
  said = []
  for process in processes:
    try:
      said.append(process.communicate(
          timeout=max(end - time.monotonic(), 0.1))[0])
    except subprocess.TimeoutExpired:
      process.send_signal(signal.SIGKILL)
      said.append(process.communicate()[0] + '\n(killed: not done in time)')
  return said
