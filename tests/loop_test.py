"""The host loop: cadence, phases, kept states, stops and resuming."""

import contextlib
import json
import os
import signal
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlfd_jax import checkpoint, loop, parallel, tasks, training as train
from dlfd_jax.data import batching
from dlfd_jax.utils import runs, stops
from tests import reads, tiny

pytestmark = pytest.mark.usefixtures('shared_compilations')

STEPS = 10
CHECKS = [0, 4, 8, 10]
FAST = train.OptimizerConfig(learning_rate=0.05, weight_decay=0.0)
SLOW = train.OptimizerConfig(learning_rate=0.01, weight_decay=0.0)
MODEL = tiny.TinyNet(drop=0.2)
DATA = tiny.dataset(20, tasks.MULTICLASS)
STREAM = batching.Stream(np.arange(20), 8, seed=5)


class Watcher:
  """Measures a figure of the parameters; remembers what it saw."""

  def __init__(self, keep=2):
    self._keep, self.seen = keep, {}

  def measure(self, variables):
    variables = parallel.fetch(variables)
    size = float(np.abs(variables['params']['hidden']['kernel']).mean())
    self.seen[size] = variables
    return {'size': size}

  def phase(self, figures):
    return 'slow' if figures['step'] == 4 else 'fast'

  def keep(self, candidates):
    order = sorted(
        range(len(candidates)), key=lambda i: -candidates[i]['size'])
    return order[:self._keep]


def _plan(**changes):
  steps = {
      name: train.make_supervised_step(MODEL, DATA.task, optimizer, STEPS)
      for name, optimizer in (('fast', FAST), ('slow', SLOW))}
  return loop.Plan(**{
      'steps': steps, 'start': tiny.state(MODEL, FAST), 'num_steps': STEPS,
      'batch': STREAM.batch,
      'check_every': 4, 'log_every': 3, **changes})


def _run(folder=None, hooks=(), controller=None, plan=None, count=1,
         device_bytes=2**20, checkpoint_seconds=1e9):
  """One session; with a folder it logs and saves there."""
  where = tiny.devices(count)
  feed = batching.Feed(DATA, device_bytes)
  saver = folder and checkpoint.LoopCheckpoints(folder / 'checkpoints')
  plan = plan or _plan()
  try:
    with reads.by_fetch_alone():
      return loop.run(
          plan, where.place(feed.constants), devices=where, feed=feed,
          controller=controller or Watcher(),
          log=folder and runs.MetricsLog(folder / 'metrics.jsonl'),
          checkpoints=saver, checkpoint_seconds=checkpoint_seconds,
          hooks=hooks)
  finally:
    if saver:
      saver.close()


def _lines(folder):
  """The log's lines without times."""
  text = (folder / 'metrics.jsonl').read_text()
  assert text.endswith('\n')
  return [
      {key: value for key, value in json.loads(line).items()
       if not key.endswith('_s')} for line in text.splitlines()]


def _at(step, action, event='tick'):
  """A hook that acts once, at a step's event."""
  done = []

  def hook(told):
    if told['event'] == event and told['step'] == step and not done:
      done.append(step)
      action()
  return hook


def _terminate():
  os.kill(os.getpid(), signal.SIGTERM)


def _crash():
  raise RuntimeError('simulated crash')


def _same_run(got, wanted):
  assert tiny.same(got.variables, wanted.variables)
  assert got.history == wanted.history
  assert [f for f, _ in got.kept] == [f for f, _ in wanted.kept]
  assert tiny.same([v for _, v in got.kept], [v for _, v in wanted.kept])
  assert (got.stop, got.steps) == (wanted.stop, wanted.steps)


@pytest.fixture(scope='module')
def whole(tmp_path_factory, shared_compilations):
  """An uninterrupted run: its folder, its result and its controller."""
  folder, watcher = tmp_path_factory.mktemp('whole'), Watcher()
  return folder, _run(folder, controller=watcher), watcher


def test_checks_come_at_the_start_at_intervals_and_at_the_end(whole):
  folder, out, watcher = whole
  assert [figures['step'] for figures in out.history] == CHECKS
  assert len(watcher.seen) == len(CHECKS)
  checks = [e for e in _lines(folder) if e['event'] == 'check']
  assert [e['step'] for e in checks] == CHECKS
  assert [e['next_phase'] for e in checks] == ['fast', 'slow', 'fast', 'fast']
  assert out.stop == loop.FINISHED and out.steps == STEPS


def test_lines_of_metrics_come_at_intervals_and_before_checks(whole):
  events = [e for e in _lines(whole[0]) if e['event'] == 'steps']
  assert [e['step'] for e in events] == [3, 4, 6, 8, 9, 10]
  assert [e['phase'] for e in events] == [
      'fast', 'fast', 'slow', 'slow', 'fast', 'fast']
  assert all(e['skipped'] == 0 for e in events)


def test_a_line_of_metrics_is_the_mean_since_the_last():
  metrics = []
  step, state = jax.jit(_plan().steps['fast']), tiny.state(MODEL, FAST)
  for i in range(3):
    state, sums = step(state, tiny.on_device(DATA), STREAM.batch(i))
    metrics.append(parallel.fetch_scalars(sums))
  log = []
  _run(hooks=[log.append])
  line = next(e for e in log if e['event'] == 'steps')
  assert sum(m.count for m in metrics) == 20  # 8 + 8 + 4 real rows
  for name in ('loss', 'correct'):
    np.testing.assert_allclose(
        line[name], sum(m.rows[name] for m in metrics) / 20, rtol=1e-5)
  np.testing.assert_allclose(
      line['gradient_norm'],
      sum(m.step['gradient_norm'] for m in metrics) / 3, rtol=1e-5)


def test_the_phase_that_the_controller_names_is_what_runs(whole):
  steps = {name: jax.jit(step) for name, step in _plan().steps.items()}
  state = tiny.state(MODEL, FAST)
  for i in range(STEPS):
    state, _ = steps['slow' if 4 <= i < 8 else 'fast'](
        state, tiny.on_device(DATA), STREAM.batch(i))
  assert tiny.largest_difference(
      state.variables, whole[1].variables) < 1e-5


def test_kept_states_are_those_that_were_measured(whole):
  _, out, watcher = whole
  sizes = sorted(f['size'] for f in out.history[1:])  # the start is no choice
  assert [f['size'] for f, _ in out.kept] == sizes[:-3:-1]
  for figures, variables in out.kept:
    assert tiny.same(variables, watcher.seen[figures['size']])


def test_times_stand_apart_from_compiling(whole):
  clock = whole[1].clock
  assert clock.phase_steps == {'fast': 5, 'slow': 3}
  assert set(clock.compile_s) == set(clock.phase_s) == {'fast', 'slow'}
  assert clock.checks == 3 and clock.checkpoint_s == 0
  assert 0 < clock.work_s < clock.total_s
  assert clock.images == 20 * 3 + 8  # three epochs and a batch, no padding


def test_hooks_see_every_step_and_every_event(whole):
  told = []
  _run(hooks=[told.append])
  assert all(e['num_steps'] == STEPS for e in told)
  ticks = [e['step'] for e in told if e['event'] == 'tick']
  assert ticks == list(range(1, STEPS + 1))
  written = [e for e in told if e['event'] != 'tick']
  assert len(written) == len(_lines(whole[0]))


def test_each_step_compiles_once(count_compilations):
  where = tiny.devices(2)  # a program that no other test here has compiled
  with count_compilations() as counts:
    _run(count=2)
  assert where.count == 2 and counts['_fun'] == 2


def test_a_longer_run_compiles_nothing_more(count_compilations):
  totals = []
  for steps in (STEPS, 2 * STEPS):  # two and four epochs, twice the phases
    with count_compilations() as counts:
      _run(plan=_plan(num_steps=steps))
    totals.append(counts.total())
  assert totals[0] >= 2 and totals[1] == 0


def test_the_callers_state_is_not_changed():
  state = tiny.state(MODEL, FAST)
  before = parallel.fetch(state.variables)
  where, feed = tiny.devices(), batching.Feed(DATA)
  loop.run(_plan(start=state), where.place(feed.constants), devices=where,
           feed=feed, controller=Watcher())
  assert tiny.same(state.variables, before)


def test_streamed_data_give_the_same_run(whole):
  _same_run(_run(device_bytes=0), whole[1])


@pytest.mark.parametrize('step', range(1, STEPS))
def test_stopped_after_any_step_and_resumed_it_ends_the_same(
    step, tmp_path, whole):
  stopped = _run(tmp_path, [_at(step, _terminate)])
  assert (stopped.stop, stopped.steps) == (loop.INTERRUPTED, step)
  _same_run(_run(tmp_path), whole[1])
  assert _lines(tmp_path) == _lines(whole[0])


class _Earlier(flax.struct.PyTreeNode):
  """What earlier versions saved as the state."""

  step: Any
  params: Any
  batch_stats: Any
  opt_state: Any
  key: Any
  skipped: Any
  extra: Any


def test_a_checkpoint_without_later_fields_is_gone_on_from(
    tmp_path, whole, monkeypatch):
  with monkeypatch.context() as earlier:
    earlier.setattr(train.TrainState, 'stored', lambda self: _Earlier(
        **{name: getattr(self, name) for name in _Earlier.__annotations__}))
    stopped = _run(tmp_path, [_at(4, _terminate)])
  assert (stopped.stop, stopped.steps) == (loop.INTERRUPTED, 4)
  _same_run(_run(tmp_path), whole[1])


def test_stopped_again_and_again_it_ends_the_same(tmp_path, whole):
  for step in (2, 3, 7, 8):
    stopped = _run(tmp_path, [_at(step, _terminate)], device_bytes=0)
    assert (stopped.stop, stopped.steps) == (loop.INTERRUPTED, step)
  out = _run(tmp_path)
  _same_run(out, whole[1])
  assert _lines(tmp_path) == _lines(whole[0])
  # No session measured twice, and six times a session took up a phase: what
  # compiles stands apart.
  assert out.clock.checks == 0 and out.clock.check_s == 0
  assert sum(out.clock.phase_steps.values()) == STEPS - 6


@pytest.mark.parametrize('step, event, saved', [
    (2, 'tick', None), (4, 'steps', None), (4, 'check', None),
    (4, 'tick', None), (6, 'tick', 4), (8, 'check', 4), (8, 'tick', 4),
    (10, 'tick', 8)])
def test_a_crash_between_checkpoints_changes_nothing(
    step, event, saved, tmp_path, whole):
  with pytest.raises(RuntimeError, match='simulated crash'):
    _run(tmp_path, [_at(step, _crash, event)], checkpoint_seconds=0)
  with contextlib.closing(
      checkpoint.LoopCheckpoints(tmp_path / 'checkpoints')) as saver:
    assert saver.latest() == saved
  with (tmp_path / 'metrics.jsonl').open('a') as file:
    file.write('{"event": "steps", "st')  # a line that a kill cut
  _same_run(_run(tmp_path), whole[1])
  assert _lines(tmp_path) == _lines(whole[0])


@pytest.mark.parametrize('damage', [
    lambda log: log.unlink(), lambda log: log.write_text(''),
    lambda log: log.write_text(log.read_text()[:-40])])
def test_a_log_that_was_lost_comes_back_with_the_run(damage, tmp_path, whole):
  _run(tmp_path, [_at(7, _terminate)])
  damage(tmp_path / 'metrics.jsonl')
  _same_run(_run(tmp_path), whole[1])
  assert _lines(tmp_path) == _lines(whole[0])


def test_a_finished_run_started_again_ends_the_same(tmp_path, whole):
  _run(tmp_path, checkpoint_seconds=0)
  _same_run(_run(tmp_path), whole[1])
  assert _lines(tmp_path) == _lines(whole[0])


@pytest.mark.long
def test_resumed_on_other_devices_it_ends_nearly_the_same(tmp_path, whole):
  _run(tmp_path, [_at(5, _terminate)], count=2)
  out = _run(tmp_path, count=4)
  assert tiny.largest_difference(out.variables, whole[1].variables) < 1e-5


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
  _run(tmp_path, [_at(3, _terminate)])
  other = tiny.TinyNet(hidden=5)
  where, feed = tiny.devices(), batching.Feed(DATA)
  with contextlib.closing(
      checkpoint.LoopCheckpoints(
          tmp_path / 'checkpoints')) as saver, pytest.raises(
      ValueError, match=r'mean of the saved step 3 to be float32 \[5\]'):
    loop.run(_plan(start=tiny.state(other, FAST)),
             where.place(feed.constants), devices=where, feed=feed,
             controller=Watcher(), checkpoints=saver)


def test_a_step_that_is_not_finite_stops_the_run(tmp_path):
  def batch(step):
    weight = np.float32(np.inf if step == 4 else 1)
    return STREAM.batch(step).replace(weights=np.full(8, weight))

  steps = {'fast': _plan().steps['fast']}
  out = _run(tmp_path, plan=_plan(steps=steps, batch=batch, check_every=6))
  assert (out.stop, out.steps) == (loop.NOT_FINITE, 6)
  assert [f['step'] for f in out.history] == [0]  # the check at 6 is left out
  assert all(np.isfinite(leaf).all() for leaf in tiny.leaves(out.variables))
  *_, line, stop = _lines(tmp_path)
  assert line['skipped'] == 1 and line['loss'] is None
  assert stop == {'event': 'stop', 'step': 6, 'reason': 'not finite'}


def test_a_checkpoint_may_hold_metrics_that_are_not_finite(tmp_path):
  def batch(step):
    weight = np.float32(np.inf if step == 4 else 1)
    return STREAM.batch(step).replace(weights=np.full(8, weight))

  steps = {'fast': _plan().steps['fast']}
  plan = _plan(steps=steps, batch=batch, check_every=6)
  assert _run(tmp_path, [_at(5, _terminate)], plan=plan).steps == 5
  out = _run(tmp_path, plan=plan)
  assert (out.stop, out.steps) == (loop.NOT_FINITE, 6)
  assert _lines(tmp_path)[-1]['reason'] == 'not finite'


def test_metrics_that_an_older_version_stored_are_read():
  old = {'loss_sum': 3.0, 'correct_sum': 2.0, 'count': 4.0, 'steps': 1.0,
         'ot_end_sum': 0.5}
  assert loop._step_metrics(old) == train.StepMetrics(
      {'loss': 3.0, 'correct': 2.0}, 4.0, {'ot_end': 0.5})


def test_a_signal_at_the_last_step_lets_the_run_finish_and_is_not_lost():
  seen = []
  before = signal.signal(signal.SIGTERM, lambda *args: seen.append(args[0]))
  try:
    out = _run(hooks=[_at(STEPS, _terminate)])
    assert (out.stop, out.steps) == (loop.FINISHED, STEPS)
    assert not seen
    for _ in range(2):  # once only
      stops.deliver()
  finally:
    signal.signal(signal.SIGTERM, before)
  assert seen == [signal.SIGTERM]


def test_an_unknown_phase_is_refused():
  watcher = Watcher()
  watcher.phase = lambda figures: 'other'
  with pytest.raises(ValueError, match=r"\['fast', 'slow'\], got 'other'"):
    _run(controller=watcher)


def _turns(step):
  return 'slow' if 2 <= step < 5 or step >= 7 else 'fast'


def test_a_schedule_names_the_phase_of_every_step(tmp_path):
  phases = []
  _run(tmp_path, plan=_plan(schedule=_turns), hooks=[
      lambda told: phases.append(told['phase'])
      if told['event'] == 'tick' else None])
  assert phases == [_turns(step) for step in range(STEPS)]
  lines = _lines(tmp_path)
  # A line never mixes two phases: one comes at each turn, too.
  steps = [e for e in lines if e['event'] == 'steps']
  assert [e['step'] for e in steps] == [2, 3, 4, 5, 6, 7, 8, 9, 10]
  assert [e['phase'] for e in steps] == [_turns(e['step'] - 1) for e in steps]
  assert [e['next_phase'] for e in lines if e['event'] == 'check'] == [
      'fast', 'slow', 'slow', 'slow']


@pytest.mark.parametrize('step', [1, 2, 3, 5, 9])
def test_a_scheduled_run_resumes_to_the_same_end(step, tmp_path):
  plan = _plan(schedule=_turns)
  wanted = _run(tmp_path / 'whole', plan=plan)
  folder = tmp_path / 'halted'
  assert _run(folder, [_at(step, _terminate)], plan=plan).steps == step
  _same_run(_run(folder, plan=plan), wanted)
  assert _lines(folder) == _lines(tmp_path / 'whole')


def test_the_clock_tells_scheduled_phases_apart():
  out = _run(plan=_plan(schedule=_turns))
  # The first step of each is compiled and not counted.
  assert out.clock.phase_steps == {'fast': 4 - 1, 'slow': 6 - 1}


def test_a_plan_may_name_further_checks():
  out = _run(plan=_plan(check_at=frozenset({5, 8, 10})))
  assert [f['step'] for f in out.history] == [0, 4, 5, 8, 10]


def test_the_original_is_a_candidate():
  class First(Watcher):
    def keep(self, candidates):
      return [i for i, f in enumerate(candidates) if f['step'] in (0, 8)]

  out = _run(controller=First())
  (start, original), (later, _) = out.kept
  assert (start['step'], later['step']) == (0, 8)
  assert tiny.same(original, tiny.state(MODEL, FAST).variables)


class Stopper(Watcher):
  """Ends the run at a step."""

  def __init__(self, step):
    super().__init__()
    self._step = step

  def phase(self, figures):
    return None if figures['step'] >= self._step else 'fast'


@pytest.mark.parametrize('step', [0, 4])
def test_a_controller_may_end_the_run(step, tmp_path):
  out = _run(tmp_path, controller=Stopper(step))
  assert (out.stop, out.steps) == (loop.STOP_RULE, step)
  assert [f['step'] for f in out.history] == [0, 4][:step // 4 + 1]
  *_, check, stop = [
      e for e in _lines(tmp_path) if e['event'] in ('check', 'stop')]
  assert (check['step'], check['next_phase']) == (step, None)
  assert stop == {'event': 'stop', 'step': step, 'reason': 'stop rule'}
  if step == 0:
    assert tiny.same(out.variables, tiny.state(MODEL, FAST).variables)


def test_a_run_that_ends_itself_resumes_to_the_same_end(tmp_path):
  wanted = _run(tmp_path / 'whole', controller=Stopper(8))
  folder = tmp_path / 'halted'
  # Saves at every check but the one at which it ends.
  halted = _run(folder, [_at(6, _terminate)], controller=Stopper(8),
                checkpoint_seconds=0)
  assert halted.stop == loop.INTERRUPTED
  for _ in range(2):  # and again, as if the result had not been written
    _same_run(_run(folder, controller=Stopper(8), checkpoint_seconds=0), wanted)
  assert _lines(folder) == _lines(tmp_path / 'whole')


def test_a_plan_may_bring_its_start_and_what_its_steps_read():
  start = tiny.state(MODEL, FAST, seed=7)

  def step(state, constants, batch, *, axis_name=None):
    del batch, axis_name
    return state.replace(step=state.step + 1, extra={
        'seen': state.extra['seen'] + constants['teacher']
    }), train.StepMetrics()

  start = start.replace(extra={'seen': np.float32(0)})
  out = _run(plan=_plan(
      steps={'fast': step, 'slow': step}, start=start,
      constants={'teacher': tiny.devices().place(np.float32(2))}))
  assert tiny.same(out.variables, start.variables)
  assert not tiny.same(out.variables, tiny.state(MODEL, FAST).variables)


@pytest.mark.parametrize('field, value, words', [
    ('steps', {}, 'at least one step, got none'),
    ('num_steps', 0, 'num_steps of at least 1, got 0'),
    ('check_every', 0, 'check_every of at least 1, got 0'),
    ('log_every', 0, 'log_every of at least 1, got 0')])
def test_a_wrong_plan_is_refused(field, value, words):
  with pytest.raises(ValueError, match=words):
    _plan(**{field: value})


@pytest.mark.parametrize('steps', [4, STEPS])
def test_the_device_is_read_at_checks_and_log_lines_alone(steps, monkeypatch):
  read, fetch = [], parallel.fetch
  monkeypatch.setattr(
      parallel, 'fetch', lambda tree: read.append(tree) or fetch(tree))
  _run(plan=_plan(num_steps=steps, check_every=steps, log_every=steps))
  # The test's own state, two checks, the one line's sums, the skipped steps.
  assert len(read) == 1 + 2 + 2


def _careless(*args):
  return jnp.sin(np.ones(3))


def test_steps_and_checks_run_where_nothing_is_copied_unasked(monkeypatch):
  watcher = Watcher()
  watcher.measure = _careless
  words = 'Disallowed host-to-device'
  with pytest.raises(jax.errors.JaxRuntimeError, match=words):
    _run(controller=watcher)
  monkeypatch.setattr(parallel.Devices, 'compile', lambda *args: _careless)
  with pytest.raises(jax.errors.JaxRuntimeError, match=words):
    _run()


def test_a_step_may_not_copy_unasked():
  with parallel.no_hidden_copies(), pytest.raises(
      jax.errors.JaxRuntimeError, match='Disallowed host-to-device'):
    jnp.sin(np.ones(3))
