"""Real processes on loopback, each with two CPU devices."""

import collections
import contextlib
import itertools
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


# As Linux tells them: 127.0.0.1, the same as an address of IPv6, and ::1.
LOOPBACK = ('0100007F', '0000000000000000FFFF00000100007F',
            '00000000000000000000000001000000')
# Below those that the system hands out, and others for each pytest worker.
_ports = itertools.cycle(range(20_000, 30_000))
collections.deque(
    itertools.islice(_ports, os.getpid() % 100 * 100), maxlen=0)


def address() -> str:
  """A free port of this machine, for the coordinator."""
  for port in _ports:
    with socket.socket() as free, contextlib.suppress(OSError):
      free.bind(('127.0.0.1', port))
      return f'127.0.0.1:{port}'
  raise AssertionError('unreachable')


def heard_on(address: str) -> set[str]:
  """The addresses, in hexadecimal, on which somebody listens at its port."""
  port = f'{int(address.rpartition(":")[2]):04X}'
  tables = (pathlib.Path('/proc/net', name) for name in ('tcp', 'tcp6'))
  rows = (line.split() for table in tables if table.exists()
          for line in table.read_text().splitlines()[1:])
  listening = (local.split(':') for _, local, _, state, *_ in rows
               if state == '0A')
  return {host for host, at in listening if at == port}


def start(module: str, *arguments: str) -> subprocess.Popen:
  """``python -m module arguments`` on two CPU devices of its own."""
  environment = {
      **os.environ, 'JAX_PLATFORMS': 'cpu', 'OMP_NUM_THREADS': '1',
      'JAX_DISABLE_MOST_OPTIMIZATIONS': '1',  # compiles in half the time
      'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0',
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
