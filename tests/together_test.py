"""Several models in one program are the models that they are alone."""

import contextlib
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlfd_jax import checkpoint, fit, loop, training
from dlfd_jax.data import augment, batching
from dlfd_jax.utils import runs, stop_requests
from tests import grids, tiny

pytestmark = pytest.mark.usefixtures('shared_compilations')

_MODEL = tiny.TinyNet(drop=0.5)
_RECIPE = training.TrainConfig(
    epochs=4, batch_size=8, augment=augment.AugmentConfig(),
    optimizer=training.OptimizerConfig(
        learning_rate=0.02, schedule='cosine', weight_decay=0.01))
_VAL = np.arange(18, 24)
# Each has rows of its own, so that batches are filled up and runs differ in
# length; the second one ends first.
_ROWS = (np.arange(18), np.arange(3, 9), np.arange(0, 18, 2))


def _members(folder=None):
  for seed, rows in enumerate(_ROWS):
    saver = folder and checkpoint.LoopCheckpoints(folder / str(seed))
    yield fit.Member(rows, seed, runs.MetricsLog(), saver)


def _together(members, count=1, image_bytes=2**30, **kwargs):
  return fit.fit_together(
      _MODEL, tiny.dataset(), list(members), _VAL, _RECIPE,
      devices=tiny.devices(count, image_bytes=image_bytes), **kwargs)


def _alone(member, **kwargs):
  return fit.fit(
      _MODEL, tiny.dataset(), member.indices, _VAL,
      dataclasses.replace(_RECIPE, seed=member.seed), log=member.log,
      checkpoints=member.checkpoints, devices=tiny.devices(), **kwargs)


@pytest.fixture(scope='module')
def singles(shared_compilations):
  members = list(_members())
  return [(_alone(one), one.log.events) for one in members]


@pytest.mark.parametrize(
    ('count', 'image_bytes'), grids.some([(2, 2**30), (1, 0)], 2))
def test_three_at_once_equal_three_single_runs(singles, count, image_bytes):
  members = list(_members())
  found = _together(members, count, image_bytes)
  for got, member, (want, events) in zip(found, members, singles, strict=True):
    assert (got.steps, got.stop) == (want.steps, want.stop)
    assert tiny.largest_difference(got.variables, want.variables) < 1e-5
    assert got.history[-1] == pytest.approx(want.history[-1])
    assert got.clock.images == want.clock.images
    assert got.clock.phase_steps == want.clock.phase_steps
    lines = {e['step']: e for e in events if e['event'] == 'steps'}
    own = [e for e in member.log.events if e['event'] == 'steps']
    assert own[-1]['step'] == want.steps
    # The ends of epochs are not measured, so a line has more steps.
    assert {e['step'] for e in own} <= set(lines)
  assert found[1].steps == 4 < found[2].steps == 8 < found[0].steps == 12
  assert tiny.largest_difference(
      found[0].variables, found[2].variables) > 1e-2


@pytest.mark.slow
def test_a_stop_saves_every_model_and_each_goes_on(
    singles, tmp_path, monkeypatch):
  stopped = stop_requests.StopRequest(requested=True)
  with monkeypatch.context() as patch:
    patch.setattr(stop_requests, 'on_signals',
                  lambda: contextlib.nullcontext(stopped))
    members = list(_members(tmp_path))
    found = _together(members)
  assert [one.stop for one in found] == [loop.INTERRUPTED] * 3
  assert [one.steps for one in found] == [1, 1, 1]
  for member in members:
    member.checkpoints.close()
  *rest, last = _members(tmp_path)
  ended = [*_together(rest), _alone(last)]  # or one of them by itself
  for got, (want, _) in zip(ended, singles, strict=True):
    assert got.stop == loop.FINISHED
    assert tiny.largest_difference(got.variables, want.variables) < 1e-5


def test_a_signal_while_models_are_saved_stops_all_that_go_on(
    tmp_path, monkeypatch):
  """Those that were saved before it came are not taken for finished."""
  request, save, saved = stop_requests.StopRequest(), loop.Session.save, []

  def saving(session, checkpoints):
    saved.append(session.step)
    request.requested |= len(saved) == 2
    return save(session, checkpoints)

  monkeypatch.setattr(loop.Session, 'save', saving)
  monkeypatch.setattr(stop_requests, 'on_signals',
                      lambda: contextlib.nullcontext(request))
  members = list(_members(tmp_path))
  found = _together(members, checkpoint_seconds=0)
  for member in members:
    member.checkpoints.close()
  assert saved == [1, 1, 1, 4, 4]
  assert [one.steps for one in found] == [4, 4, 4]
  assert [one.stop for one in found] == [
      loop.INTERRUPTED, loop.FINISHED, loop.INTERRUPTED]


def test_one_that_is_not_finite_stops_and_the_others_go_on(singles):
  data, members = tiny.dataset(), list(_members())
  real = training.make_member_step

  def spoiled(step):
    made = real(step)

    def call(state, constants, lengths, batch):
      weights = np.ones_like(batch.mask)
      weights[2] = np.nan
      return made(state, constants, lengths, batch.replace(
          weights=jnp.asarray(weights)))
    return call

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(training, 'make_member_step', spoiled)
    found = fit.fit_together(
        _MODEL, data, members, _VAL, _RECIPE, devices=tiny.devices())
  assert [one.stop for one in found] == [
      loop.FINISHED, loop.FINISHED, loop.NOT_FINITE]
  assert members[2].log.events[-1]['event'] == 'stop'
  assert all(np.isfinite(leaf).all()
             for leaf in tiny.leaves(found[2].variables))
  for got, (want, _) in zip(found[:2], singles, strict=False):
    assert tiny.largest_difference(got.variables, want.variables) < 1e-5


def test_a_batch_without_a_row_leaves_a_model_as_it_is():
  data = tiny.dataset()
  step = training.make_member_step(training.make_supervised_step(
      _MODEL, data.task, _RECIPE.optimizer))
  batch = batching.pad(np.arange(8), 8)
  states = [tiny.state(_MODEL, _RECIPE.optimizer, seed) for seed in (0, 1)]
  stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
  constants, lengths = tiny.on_device(data), np.array([9, 9], np.int32)
  both = jax.tree.map(lambda rows: np.stack([rows, rows]), batch)
  moved, _ = step(stacked, constants, lengths, both)  # momentum is not 0 now
  before = jax.tree.map(jnp.copy, moved)
  mask = both.mask.copy()
  mask[0] = 0
  after, _ = step(moved, constants, lengths, both.replace(mask=mask))

  def of(states, k):
    found = jax.tree.map(lambda leaf: leaf[k], states)
    return found.replace(key=jax.random.key_data(found.key))

  assert tiny.same(of(after, 0), of(before, 0))
  assert not tiny.same(of(after, 1).params, of(before, 1).params)
  assert int(after.step[0]) == 1 and int(after.step[1]) == 2


def test_the_loss_of_a_model_has_no_gradient_at_images_it_does_not_hold():
  data, state = tiny.dataset(), tiny.state(_MODEL)
  images = data.images[:8] / np.float32(255)
  weights = np.array([[1, 0, 1, 1, 0, 0, 1, 1], [0, 0, 0, 1, 1, 1, 0, 1],
                      [0] * 8], np.float32)

  def loss(images, weights):
    rows = training.Rows(images, jnp.asarray(data.labels[:8]), weights,
                         training.example_keys(state, jnp.arange(8)))
    found, _, _ = training.cross_entropy(
        _MODEL, data.task, state.params, state.batch_stats, rows, train=True,
        axis_name=None)
    return training.mean(found.rows['loss'], weights, None)

  gradient = np.asarray(jax.jit(jax.vmap(jax.grad(loss), (None, 0)))(
      images, weights))
  assert np.isfinite(gradient).all()
  assert (np.abs(gradient).max((2, 3, 4)) > 0).tolist() == (
      weights > 0).tolist()
