"""Several processes as one run: start-up, and what they must agree on.

Every process runs the same program on the same inputs. What depends on a clock,
a signal or the last bit of a host's arithmetic is decided once and told to
all, as processes that run different programs wait for each other for ever. In
a single process every function here is the plain thing.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

HEARTBEAT_S = 30
_LAST_PORT = 65_535
_SHUTDOWN_S = 30  # how long an ended process waits for the others to end
_BLOCK = 4096  # bytes; messages are padded, so that few programs are compiled
T = TypeVar('T')


def start(coordinator: str | None = None, num_processes: int | None = None,
          process_id: int | None = None) -> str:
  """Joins the processes of a run; to be called before anything else of jax.

  Args:
    coordinator: ``host:port`` of process 0; None = all three are read from the
      environment (a TPU pod slice, Slurm, Open MPI).
    num_processes: how many there are, at least 1.
    process_id: which of them this one is, from 0.

  Returns:
    One sentence on who this is and what the end of another one looks like.

  Raises:
    ValueError: if only some of the three are given, one is out of its range,
      or the environment tells nothing.
  """
  given = (coordinator, num_processes, process_id)
  if any(value is None for value in given) and any(
      value is not None for value in given):
    raise ValueError(
        'Expected all of --coordinator, --num_processes and --process_id, or '
        f'--distributed alone, got {coordinator}, {num_processes} and '
        f'{process_id}.')
  if num_processes is not None and process_id is not None and not (
      0 <= process_id < num_processes):
    raise ValueError(
        f'Expected --process_id from 0 to below --num_processes, got '
        f'{process_id} of {num_processes}.')
  if coordinator is not None:
    host, _, port = coordinator.rpartition(':')
    if not host or not port.isdecimal() or not 0 < int(port[:6]) <= _LAST_PORT:
      raise ValueError('Expected --coordinator as host:port, the port from 1 '
                       f'to {_LAST_PORT}, got {coordinator!r}.')
  # It would swallow SIGTERM, which is the loop's to meet.
  jax.config.update('jax_enable_preemption_service', False)
  try:
    jax.distributed.initialize(
        coordinator, num_processes, process_id,
        coordinator_bind_address=_listens_on(coordinator),
        heartbeat_timeout_seconds=HEARTBEAT_S,
        shutdown_timeout_seconds=_SHUTDOWN_S)
  except ValueError as error:
    raise ValueError(
        'Expected --distributed on a TPU pod slice, under Slurm or under Open '
        f'MPI, got an environment that does not tell: {error}') from error
  return (
      f'Process {jax.process_index()} of {jax.process_count()} with '
      f'{jax.local_device_count()} of {jax.device_count()} devices. If another '
      'process ends, the runtime stops this one within a minute with a message '
      'on heartbeats, a peer or the coordination service; the same commands go '
      'on from the last checkpoint.')


def _listens_on(coordinator: str | None) -> str | None:
  """Where process 0 listens; None = jax's choice, all of its addresses.

  Processes of one machine need no more than its loopback.
  """
  host = (coordinator or '').rpartition(':')[0].strip('[]')
  alone = host in ('localhost', '::1') or host.startswith('127.')
  return coordinator if alone else None


def count() -> int:
  """Number of processes of the run."""
  return jax.process_count()


def is_first() -> bool:
  """Whether this process writes the files that are written once."""
  return jax.process_index() == 0


def own_rows(size: int) -> slice:
  """This process's part of a global batch of ``size`` rows.

  Raises:
    ValueError: if the batch cannot be split evenly.
  """
  if size % count():
    raise ValueError(
        f'Expected a batch size divisible by the {count()} processes, got '
        f'{size}.')
  own = size // count()
  return slice(jax.process_index() * own, (jax.process_index() + 1) * own)


def agreed(here: bool, *flags: bool) -> tuple[bool, ...]:
  """Whether any process says so, flag by flag.

  Args:
    here: a place that all processes reach together; several processes return
      False elsewhere, as asking takes time.
    *flags: what this process says.
  """
  if count() == 1:
    return flags
  if not here:
    return (False,) * len(flags)
  everyone = multihost_utils.process_allgather(np.asarray(flags, np.int32))
  return tuple(bool(flag) for flag in np.max(everyone, axis=0))


def from_first(value: T) -> T:
  """Process 0's value, a JSON one, in every process."""
  if count() == 1:
    return value
  text = json.dumps(value).encode() if is_first() else b''
  size = int(multihost_utils.broadcast_one_to_all(np.int32(len(text))))
  padded = np.zeros(-(-size // _BLOCK) * _BLOCK, np.uint8)
  padded[:len(text)] = np.frombuffer(text, np.uint8)
  told = np.asarray(multihost_utils.broadcast_one_to_all(padded), np.uint8)
  return json.loads(told[:size].tobytes())


def first(call: Callable[[], T]) -> T | None:
  """Runs ``call`` in process 0 alone; the others wait and get None.

  Raises:
    ValueError: in every process, with the words of the error that the call
      raised in process 0 (there, the error itself).
  """
  if count() == 1:
    return call()
  found: T | None = None
  failure: Exception | None = None
  if is_first():
    try:
      found = call()
    except Exception as error:  # told to all, then raised
      failure = error
  words = from_first('' if failure is None else (
      str(failure) or type(failure).__name__))
  if failure is not None:
    raise failure
  if words:
    raise ValueError(words)
  return found


def check_same(digest: bytes, name: str) -> None:
  """Raises ValueError in every process unless all have the same digest.

  Args:
    digest: of what must be equal; as long in every process.
    name: of what it is, for the message.
  """
  if count() == 1:
    return
  everyone = np.asarray(multihost_utils.process_allgather(
      np.frombuffer(digest, np.uint8))).astype(np.uint8)
  short = [row[:4].tobytes().hex() for row in everyone]
  if (everyone != everyone[0]).any():
    raise ValueError(
        f'Expected the same {name} in every process, got hashes '
        f'{", ".join(short)}.')
