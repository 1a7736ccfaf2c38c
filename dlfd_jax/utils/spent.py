"""Where the seconds of a command's process go.

What one process spends is its own, as its memory is: a command begins the
account, whoever reads data or writes pages adds to it, and results keep it. In
a notebook or a test there is none.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterator, Mapping
from typing import Any

import jax

_COMPILED = '/jax/core/compile/backend_compile_duration'
_COMPILING = (_COMPILED, '/jax/core/compile/jaxpr_trace_duration',
              '/jax/core/compile/jaxpr_to_mlir_module_duration')
_FROM_CACHE = '/jax/compilation_cache/cache_hits'
START, READ = 'start', 'data'
_OF_EVALUATION = (
    'models', 'copies', 'estimate', 'shadows', 'outputs', 'references',
    'figures')


@dataclasses.dataclass
class _Account:
  """Of one process; ``laps`` are seconds by name."""

  begun: float
  laps: dict[str, float] = dataclasses.field(default_factory=dict)
  compiling_s: float = 0.0
  programs: int = 0
  from_cache: int = 0
  told: dict[str, float] = dataclasses.field(default_factory=dict)

  def duration(self, event: str, duration_secs: float, **_: Any) -> None:
    if event in _COMPILING:
      self.compiling_s += duration_secs
      self.programs += event == _COMPILED

  def event(self, event: str, **_: Any) -> None:
    self.from_cache += event == _FROM_CACHE


_accounts: list[_Account] = []  # none, or that of the process


@contextlib.contextmanager
def account(begun: float) -> Iterator[None]:
  """Keeps the account of this process while inside.

  Args:
    begun: ``time.perf_counter()`` at which the process began; what went by
      since then is its start.
  """
  own = _Account(begun, {START: time.perf_counter() - begun})
  jax.monitoring.register_event_duration_secs_listener(own.duration)
  jax.monitoring.register_event_listener(own.event)
  _accounts.append(own)
  try:
    yield
  finally:
    _accounts.remove(own)
    jax.monitoring.unregister_event_duration_listener(own.duration)
    jax.monitoring.unregister_event_listener(own.event)


@contextlib.contextmanager
def on(name: str) -> Iterator[None]:
  """Books what goes by inside, if there is an account."""
  start = time.perf_counter()
  try:
    yield
  finally:
    for own in _accounts:
      own.laps[name] = own.laps.get(name, 0.0) + time.perf_counter() - start


def since_last() -> dict[str, Any]:
  """What :func:`so_far` has grown by since the last result was told this.

  So of several runs in one process each has its own, and the first what came
  before it.
  """
  if not _accounts:
    return {}
  now, before = so_far(), _accounts[0].told
  _accounts[0].told = now
  return {name: value - before.get(name, 0) for name, value in now.items()}


def so_far() -> dict[str, Any]:
  """The account until now; nothing without one.

  Returns:
    ``start_s``: imports, flags; ``read_s``: the data; ``compiling_s``: tracing,
    lowering and compiling, a part of whatever needed the programs;
    ``cpu_s``: of all cores, user and system; ``compiled``: programs;
    ``from_cache``: programs that were read from the cache instead.
  """
  return {} if not _accounts else {
      'start_s': _accounts[0].laps[START],
      'read_s': _accounts[0].laps.get(READ, 0.0),
      'compiling_s': _accounts[0].compiling_s,
      'cpu_s': time.process_time(),
      'compiled': _accounts[0].programs - _accounts[0].from_cache,
      'from_cache': _accounts[0].from_cache}


def of_command(found: Mapping[str, Any]) -> dict[str, Any] | None:
  """Where the seconds of a command went; None without an account.

  Args:
    found: the result of a run, with its ``time``, of an evaluation, with its
      ``efficiency.evaluate_s``, or of anything else.

  Returns:
    ``wall_s``; ``cpu_s``, ``compiling_s``, ``compiled`` and ``from_cache`` as
    of :func:`so_far`; ``parts``: seconds by name, with those of earlier
    sessions, if ``earlier`` is true, else with a ``rest`` that sums them up.
  """
  if not _accounts:
    return None
  own = _accounts[0]
  wall = time.perf_counter() - own.begun
  evaluation = (found.get('efficiency') or {}).get('evaluate_s') or {}
  parts = {**own.laps, **_of_run(found.get('time') or {}), **{
      name: seconds for name, seconds in evaluation.items()
      if name in _OF_EVALUATION}}
  rest = wall - sum(parts.values())
  if rest >= 0:
    parts['rest'] = rest
  now = so_far()
  return {'wall_s': wall, 'parts': parts, 'earlier': rest < 0, **{
      name: now[name] for name in (
          'cpu_s', 'compiling_s', 'compiled', 'from_cache')}}


def sentence(account: Mapping[str, Any]) -> str:
  """What :func:`of_command` found, in a line."""
  parts = ', '.join(f'{name} {seconds:.1f}'
                    for name, seconds in account['parts'].items())
  return (f'{account["wall_s"]:.1f} s, {account["cpu_s"]:.1f} s of CPU time: '
          f'{parts}{" (with earlier sessions)" if account["earlier"] else ""}; '
          f'of these {account["compiling_s"]:.1f} to trace and compile, '
          f'{account["compiled"]} programs anew and {account["from_cache"]} '
          'from the cache.')


def _of_run(clock: Mapping[str, Any]) -> dict[str, float]:
  """The parts of a loop's clock (``loop.Clock``) by their names in a line."""
  if 'phase_s' not in clock:
    return {}
  of_trial = clock['compile_s'].get('trial', 0.0)
  return {
      'trial': clock['trial_s'] + of_trial,
      'first steps': sum(clock['compile_s'].values()) - of_trial,
      'steps': sum(clock['phase_s'].values()),
      'checks': clock['first_check_s'] + clock['check_s'],
      'choice': clock['choose_s'], 'checkpoints': clock['checkpoint_s']}
