"""SCRUB: a max and a min step, their turns, and what they read."""

import dataclasses

import jax
import numpy as np
import pytest

from dlfd_jax import methods, training as train
from dlfd_jax.methods import scrub
from tests.methods import problems, steps

MASK = np.float32([1, 1, 1, 1, 1, 0, 0, 0])


def config(**fields):
  return scrub.ScrubConfig(**{
      'batch_size': 8, 'epochs': 2, 'max_epochs': 1, 'forget_batch_size': 12,
      'alpha': 0.3, 'gamma': 0.8, 'temperature': 2.0, 'select_threshold': 0.5,
      'optimizer': steps.PLAIN, 'batch_norm': 'frozen', **fields})


def moved(problem, seed=3):
  """A student that has left the original, whose divergence is not 0."""
  rng = np.random.default_rng(seed)
  params = jax.tree.map(
      lambda p: p + rng.normal(0, 0.1, p.shape).astype(np.float32),
      problem.original['params'])
  return train.create_state(
      {**problem.original, 'params': params}, steps.PLAIN, jax.random.key(0))


def one_step(problem, options, phase, state):
  pair = problems.batch(problem.splits)
  batch = pair.forget if phase == scrub.MAX else pair.retain
  batch = batch.replace(mask=MASK)
  step = scrub.make_step(problem.model, problem.task, options, phase)
  new, metrics = steps.take(
      step, problem, batch, options.optimizer, {'teacher': problem.original},
      state)
  return (problems.pixels(problem.dataset, batch.index),
          problem.dataset.labels[batch.index], new, metrics)


@pytest.mark.parametrize('kind', ['multiclass', 'multilabel'])
def test_a_max_step_climbs_the_divergence_on_forget(kind):
  problem = problems.problem(kind)
  state = moved(problem)
  images, _, new, metrics = one_step(problem, config(), scrub.MAX, state)
  d = lambda params: steps.mean_kl(problem, params, images, MASK, 2.0)
  expected = steps.descended(lambda p: -d(p), state.params)
  assert problems.largest_difference(new.params, expected) < 1e-5
  np.testing.assert_allclose(
      metrics.step['forget_kl'], d(state.params), rtol=1e-4)
  assert d(new.params) > d(state.params)


@pytest.mark.parametrize('kind', ['multiclass', 'multilabel'])
def test_a_min_step_descends_divergence_and_cross_entropy_on_retain(kind):
  problem = problems.problem(kind)
  state = moved(problem)
  images, labels, new, metrics = one_step(
      problem, config(), scrub.MIN, state)
  d = lambda params: steps.mean_kl(problem, params, images, MASK, 2.0)
  ce = lambda params: steps.mean_loss(problem, params, images, labels, MASK)
  expected = steps.descended(
      lambda p: 0.3 * d(p) + 0.8 * ce(p), state.params)
  assert problems.largest_difference(new.params, expected) < 1e-5
  np.testing.assert_allclose(
      metrics.rows['loss'] / metrics.count, ce(state.params), rtol=1e-4)


def test_at_the_original_a_frozen_max_step_goes_nowhere():
  # Hence batch statistics by default: the divergence has its minimum there.
  problem = problems.problem()
  for batch_norm, least, most in (('frozen', 0, 1e-5), ('batch', 1e-3, 1)):
    _, _, new, _ = one_step(
        problem, config(batch_norm=batch_norm), scrub.MAX, None)
    change = problems.largest_difference(
        new.params, problem.original['params'])
    assert least <= change < most
  assert scrub.ScrubConfig().batch_norm == 'batch'


def test_turns_of_two_max_epochs_among_three():
  turns = scrub.Turns(forget=2, retain=3, max_epochs=2, epochs=3)
  assert turns.num_steps == 13
  found = [turns.locate(step) for step in range(13)]
  assert [phase for phase, _ in found] == (
      ['max'] * 2 + ['min'] * 3) * 2 + ['min'] * 3
  assert [n for phase, n in found if phase == 'max'] == [0, 1, 2, 3]
  assert [n for phase, n in found if phase == 'min'] == list(range(9))
  assert turns.ends == {5, 10, 13}


@pytest.mark.parametrize('forget, retain, max_epochs, epochs', [
    (1, 1, 1, 1), (4, 1, 2, 2), (1, 5, 1, 3), (3, 2, 3, 7)])
def test_every_batch_has_its_turn_and_a_min_step_is_last(
    forget, retain, max_epochs, epochs):
  turns = scrub.Turns(forget, retain, max_epochs, epochs)
  found = [turns.locate(step) for step in range(turns.num_steps)]
  for phase, count in (('max', max_epochs * forget), ('min', epochs * retain)):
    assert [n for p, n in found if p == phase] == list(range(count))
  assert all(found[end - 1][0] == 'min' for end in turns.ends)
  assert max(turns.ends) == turns.num_steps


def test_max_epochs_read_forget_in_batches_of_their_own_size():
  problem = problems.problem()
  plan, _ = methods.prepare(problems.setting(problem), config())
  assert plan.num_steps == 2 + 2 * 3
  assert plan.check_at == {5, 8}
  batches = [plan.batch(step) for step in range(8)]
  forget = np.concatenate([b.index for b in batches[:2]])
  np.testing.assert_array_equal(np.sort(forget), problem.splits.forget)
  assert len(batches[0].index) == 12
  for epoch in (batches[2:5], batches[5:]):
    read = np.concatenate([b.index[b.mask > 0] for b in epoch])
    np.testing.assert_array_equal(np.sort(read), problem.splits.retain)
  assert [plan.schedule(step) for step in range(8)] == (
      ['max'] * 2 + ['min'] * 6)


@pytest.mark.parametrize('kind', ['multiclass', 'multilabel'])
def test_the_max_epoch_drives_forget_off_and_the_student_is_returned(kind):
  problem = problems.problem(kind)
  kept = []
  fast = dataclasses.replace(steps.PLAIN, clip_norm=1.0)
  options = config(batch_norm='batch', check_every=1, optimizer=fast)

  class KeepsAll(scrub.ScrubConfig):
    def plan(self, setting):
      def control(monitor):
        monitor.keep = lambda candidates: list(range(len(candidates)))
        monitor.choose = lambda states, last: (
            kept.extend(states) or (None, 'the last state'))
        return monitor
      return dataclasses.replace(super().plan(setting), control=control)

  out = methods.unlearn(problem, KeepsAll(**vars(options)),
                        devices=problems.devices())
  rows = problem.splits.forget
  images = problems.pixels(problem.dataset, rows)
  away = [steps.mean_kl(
      problem, variables['params'], images, np.ones(len(rows)), 2.0)
          for _, variables in kept[:3]]  # the original and two max steps
  assert away[0] < 1e-6 < 1e-5 < min(away[1:])
  assert not problems.same(out.last['params'], problem.original['params'])
  assert set(out.clock.compile_s) == {'max', 'min'}


def test_a_forget_batch_that_the_devices_cannot_share_is_refused():
  with pytest.raises(
      ValueError, match='of forget divisible by the 2 devices, got 5'):
    methods.unlearn(problems.problem(), config(forget_batch_size=5),
                    devices=problems.devices(2))
