"""DLFD: one step, its options and its schedule."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlfd_jax import methods, parallel, training as train
from dlfd_jax.data import augment, batching
from dlfd_jax.methods import base, dlfd, monitor
from dlfd_jax.utils import runs
from tests.methods import perturb_test, problems

RATE = 0.02
PLAIN = train.OptimizerConfig(
    learning_rate=RATE, momentum=0.0, weight_decay=0.0)


def config(**fields):
  return dlfd.DLFDConfig(**{
      'batch_size': 8, 'optimizer': PLAIN, 'perturb_steps': 1,
      'perturb_step_size': 0.02, 'ot_weight': 2.0,
      'sinkhorn': perturb_test.EXACT, 'check_every': 1,
      'forget_threshold': 0.0, 'select_threshold': 0.9, **fields})


@pytest.mark.parametrize('step, num_steps, expected', [
    (0, 11, 0.5), (5, 11, 0.75), (10, 11, 1.0), (0, 1, 0.5), (0, 2, 0.5),
    (1, 2, 1.0)])
def test_weight_of_the_cross_entropy_rises_linearly(step, num_steps, expected):
  options = dlfd.DLFDConfig(ce_weight_start=0.5, ce_weight_end=1.0)
  np.testing.assert_allclose(options.ce_weight(step, num_steps), expected)


def one_step(config, problem, batch, num_steps=3, step=0):
  """State and metrics after one distance step, on one device under jit."""
  state = train.create_state(
      problem.original, config.optimizer, jax.random.key(problem.seed))
  state = state.replace(step=jnp.int32(step))
  run = jax.jit(dlfd.make_distance_step(
      problem.model, problem.task, config, num_steps))
  data = problem.dataset
  return run(state, {'images': data.images, 'labels': data.labels}, batch)


def masked_batch(splits):
  """Eight rows of which five count, and five forget rows that count."""
  return batching.Pair(*(
      side.replace(mask=np.float32([1, 1, 1, 1, 1, 0, 0, 0]))
      for side in problems.batch(splits)))


def moved_images(problem, config, batch, ce_weight):
  """The perturbed batch and the forget features, from tested parts."""
  images = problems.pixels(problem.dataset, batch.retain.index)
  labels = problem.dataset.labels[batch.retain.index]
  target = dlfd.forget_target(
      problem.model, problem.original,
      problems.pixels(problem.dataset, batch.forget.index),
      jnp.asarray(batch.forget.mask), config, None)
  run = jax.jit(lambda x: dlfd.perturb(dlfd.objective(
      problem.model, problem.task, problem.original, labels,
      jnp.asarray(batch.retain.mask), target, ce_weight, config, None), x,
                                           config))
  return run(images)[0], labels


def cross_entropy(logits, labels, weights):
  losses = -jax.nn.log_softmax(logits)[np.arange(len(labels)), labels]
  return (losses * weights).sum() / weights.sum()


@pytest.mark.parametrize('update_loss', ['ce', 'combined'])
def test_weights_take_one_gradient_step_on_the_moved_images(update_loss):
  problem = problems.problem()
  batch = masked_batch(problem.splits)
  options = config(update_loss=update_loss, perturb_steps=2)
  new, metrics = one_step(options, problem, batch, num_steps=5, step=2)
  moved, labels = moved_images(problem, options, batch, jnp.float32(0.75))

  weights, forget_weights = batch.retain.mask, batch.forget.mask
  original = problem.original
  features = lambda params, x: problem.model.apply(
      {**original, 'params': params}, x, train=False).features
  still = features(original['params'], problems.pixels(
      problem.dataset, batch.forget.index))
  here = features(original['params'], moved)
  plans = [
      perturb_test.slow_plan(perturb_test.cosine_cost(here, other), weights,
                             other_weights, 0.1).astype(np.float32)
      for other, other_weights in ((still, forget_weights), (here, weights))]

  @jax.jit
  def loss(params):
    outputs = problem.model.apply(
        {**original, 'params': params}, moved, train=False)
    ce = cross_entropy(outputs.logits, labels, weights)
    if update_loss == 'ce':
      return ce
    h = outputs.features
    distance = jnp.vdot(plans[0], perturb_test.cosine_cost(h, still))
    distance -= jnp.vdot(plans[1], perturb_test.cosine_cost(h, h)) / 2
    return 0.75 * ce - 2.0 * distance

  slope = jax.grad(loss)(original['params'])
  expected = jax.tree.map(
      lambda p, g: p - RATE * g, original['params'], slope)
  scale = RATE * max(float(jnp.abs(g).max()) for g in jax.tree.leaves(slope))
  assert problems.largest_difference(new.params, expected) < 1e-3 * scale
  np.testing.assert_allclose(metrics.step['ce_weight'], 0.75)
  np.testing.assert_allclose(metrics.count, 5)
  change = np.abs(moved - problems.pixels(problem.dataset, batch.retain.index))
  np.testing.assert_allclose(
      metrics.step['pixel_change'], change[:5].mean(), rtol=1e-5)
  assert problems.same(new.batch_stats, original['batch_stats'])


def test_batch_norm_moves_the_running_statistics_by_one_masked_batch():
  problem = problems.problem()
  batch = masked_batch(problem.splits)
  new, _ = one_step(config(batch_norm='batch'), problem, batch)
  moved, _ = moved_images(problem, config(), batch, jnp.float32(0.5))
  _, expected = problem.model.apply(
      problem.original, moved[:5], train=True, mutable=['batch_stats'])
  assert problems.largest_difference(
      new.batch_stats, expected['batch_stats']) < 1e-5
  assert not problems.same(new.batch_stats, problem.original['batch_stats'])


def test_augmentation_is_drawn_anew_in_each_step_from_the_key():
  problem = problems.problem()
  batch = problems.batch(problem.splits)
  options = config(augment=augment.AugmentConfig(), ce_weight_start=1.0)
  first, metrics = one_step(options, problem, batch)
  again, _ = one_step(options, problem, batch)
  later, _ = one_step(options, problem, batch, step=1)
  assert problems.same(first.params, again.params)
  assert not problems.same(first.params, later.params)
  # The change is counted from the augmented images.
  assert metrics.step['pixel_change'] <= 0.02 + 1e-6


def test_every_draw_of_a_step_has_keys_of_its_own(monkeypatch):
  problem = problems.problem()
  state = train.create_state(problem.original, PLAIN, jax.random.key(0))
  batch = problems.batch(problem.splits)
  draws = []
  example_keys = train.example_keys

  def spy(state, position, stream=0):
    draws.append(stream)
    return example_keys(state, position, stream)

  monkeypatch.setattr(train, 'example_keys', spy)
  data = problem.dataset
  jax.eval_shape(
      dlfd.make_distance_step(problem.model, problem.task, config(
          augment=augment.AugmentConfig()), 3),
      state, {'images': data.images, 'labels': data.labels}, batch)
  assert len(draws) == 4  # images and dropout of both sides
  keys = np.concatenate([
      jax.random.key_data(example_keys(state, batch.retain.position, stream))
      for stream in draws])
  assert len(np.unique(keys, axis=0)) == 4 * 8


def plan(problem, config):
  return methods.prepare(problems.setting(problem), config)


def test_without_dynamic_phases_every_batch_is_perturbed():
  _, controller = plan(
      problems.problem(), config(dynamic_phases=False, forget_threshold=0.9))
  over_forgotten = {'forgetting_score': 0.0, 'mia_auc': 0.0, 'step': 3}
  assert controller.phase(over_forgotten) == dlfd.DISTANCE
  assert controller.findings(None)['forget_threshold'] is None


@pytest.mark.parametrize('check_every, epochs, expected', [
    # 24 val and 19 forget images; ceil(516 / (8 * (2 + 5))), but in a run of
    # three steps after each.
    (2, 1, 2), (None, 20, 10), (None, 1, 1)])
def test_checks_come_as_often_as_asked(check_every, epochs, expected):
  made, controller = plan(
      problems.problem(), config(check_every=check_every, epochs=epochs))
  assert made.check_every == expected
  assert controller.findings(None)['attack_sizes'] == [19, 19]


def test_two_epochs_are_one_ramp_with_checks_in_between():
  log = runs.MetricsLog()
  out = methods.unlearn(
      problems.problem(), config(
          epochs=2, check_every=2, dynamic_phases=False, ce_weight_start=0.0),
      devices=problems.devices(), log=log)
  assert (out.stop, out.steps) == ('finished', 6)
  assert [figures['step'] for figures in out.history] == [0, 2, 4, 6]
  ramp = [event['ce_weight'] for event in log.events
          if event['event'] == 'steps']
  np.testing.assert_allclose(ramp, [0.1, 0.5, 0.9], atol=1e-6)
  assert out.clock.phase_steps == {dlfd.DISTANCE: 5}
  events = [event for event in log.events if event['event'] == 'steps']
  assert all(event['ot_start'] > 0 for event in events)
  assert all(event['sinkhorn_converged'] == 1 for event in events)


@pytest.mark.parametrize('selection', ['best', 'last'])
def test_selected_state_is_the_one_that_was_measured(selection, monkeypatch):
  seen = {}
  measure = monitor.Monitor.measure
  steps = iter(range(4))
  # Made-up figures that make the first check the best.
  made_up = {0: (0.9, 0.1), 1: (0.3, 0.9), 2: (0.2, 0.5), 3: (0.8, 1.0)}

  def spy(self, variables):
    step = next(steps)
    seen[step] = parallel.fetch(variables)
    score, accuracy = made_up[step]
    return {**measure(self, variables), 'forgetting_score': score,
            'val_accuracy': accuracy, 'mia_auc': 0.9}

  monkeypatch.setattr(monitor.Monitor, 'measure', spy)
  out = methods.unlearn(
      problems.problem(), config(selection=selection, select_threshold=0.5),
      devices=problems.devices())
  step = {'best': 1, 'last': 3}[selection]
  assert out.selected_step == step
  assert problems.same(out.selected, seen[step])
  assert problems.same(out.last, seen[3])
  assert not problems.same(seen[1], seen[3])
  assert out.findings['select_threshold_met'] is (selection == 'best')


def test_setting_streams_are_told_apart_by_split():
  setting = problems.setting(problems.problem())
  streams = [setting.stream(name, config()) for name in ('retain', 'forget')]
  assert [stream.salt for stream in streams] == [base.RETAIN, base.FORGET]


def test_measuring_changes_nothing_of_what_is_measured():
  # The release's monitor leaves the model in evaluation mode.
  problem = problems.problem()
  often, rarely = (methods.unlearn(
      problem, config(
          sinkhorn=problems.SMALL, dynamic_phases=False, batch_norm='batch',
          check_every=every),
      devices=problems.devices()) for every in (1, 3))
  assert len(often.history) > len(rarely.history)
  assert problems.same(often.last, rarely.last)
