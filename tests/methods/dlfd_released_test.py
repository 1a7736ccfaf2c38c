"""DLFD as released: its pairs, clip, modes and inert transport term."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dlfd_jax import methods, models, presets, training as train
from dlfd_jax.data import batching
from dlfd_jax.methods import dlfd, dlfd_released
from dlfd_jax.utils import runs
from tests.methods import problems

RATE = 0.05
PLAIN = train.OptimizerConfig(
    learning_rate=RATE, momentum=0.0, weight_decay=0.0)
MEAN, STD = (0.3, 0.35, 0.4), (0.2, 0.25, 0.3)


def config(**fields):
  return dlfd_released.DLFDReleasedConfig(**{
      'batch_size': 8, 'optimizer': PLAIN, 'perturb_steps': 2, 'mean': MEAN,
      'std': STD, 'perturb_step_size': 0.15, 'ce_weight_start': 0.5,
      'ce_weight_end': 0.5, **fields})


def streams(retain, forget, batch_size):
  return tuple(
      batching.Stream(np.arange(size), batch_size, shuffle=False)
      for size in (retain, forget))


def test_mufac_loses_its_tail_and_every_47th_pair():
  retain, forget = streams(8525, 1500, 32)
  assert retain.steps_per_epoch == 267
  pair = dlfd_released.pairs(retain, forget)
  lost = np.setdiff1d(np.arange(267), pair)
  np.testing.assert_array_equal(lost, [46, 93, 140, 187, 234, 266])


def test_rafdb_loses_every_52nd_pair_and_its_tail():
  retain, forget = streams(7730, 3314, 64)
  assert retain.steps_per_epoch == 121
  pair = dlfd_released.pairs(retain, forget)
  np.testing.assert_array_equal(
      np.setdiff1d(np.arange(121), pair), [51, 103, 120])


def test_short_batches_of_equal_size_are_a_pair():
  np.testing.assert_array_equal(
      dlfd_released.pairs(*streams(11, 7, 4)), [0])
  np.testing.assert_array_equal(
      dlfd_released.pairs(*streams(11, 15, 4)), [0, 1])
  np.testing.assert_array_equal(
      dlfd_released.pairs(*streams(11, 11, 4)), [0, 1, 2])
  np.testing.assert_array_equal(
      dlfd_released.pairs(*streams(11, 3, 4)), [2])


def test_without_any_equal_pair_all_are_used():
  np.testing.assert_array_equal(
      dlfd_released.pairs(*streams(8, 3, 4)), [0, 1])


def test_kept_pixels_lie_between_mean_and_mean_plus_deviation():
  low, high = dlfd_released.bounds(config(mean=(.3, .5, .9), std=(.2, .5, .4)))
  np.testing.assert_allclose(low, [.3, .5, .9])
  np.testing.assert_allclose(high, [.5, 1.0, 1.0])
  # In normalised units that is the released clip to [0, 1].
  mufac = dlfd_released.DLFDReleasedConfig()
  low, high = dlfd_released.bounds(mufac)
  np.testing.assert_allclose((low - mufac.mean) / mufac.std, 0, atol=1e-6)
  np.testing.assert_allclose((high - mufac.mean) / mufac.std, 1, atol=1e-6)


@pytest.mark.parametrize('preset, tau, tau_save', [
    ('mufac_age', 0.15, 0.09), ('rafdb_emotion', 0.23, 0.23)])
def test_thresholds_are_twice_the_published_ones(preset, tau, tau_save):
  released = presets.PRESETS[preset].methods['official_compat']
  assert released.forget_threshold == pytest.approx(2 * tau)
  assert released.select_threshold == pytest.approx(2 * tau_save)


class Case:
  """One released step on one batch, and the same in plain Python."""

  def __init__(self, problem=None):
    self.problem = problem or problems.problem()
    self.data = self.problem.dataset
    self.batch = problems.batch(self.problem.splits)
    self.constants = {
        'images': self.data.images, 'labels': self.data.labels, 'num_steps': 9}

  def step(self, options, train_mode, *, key=0, images=None, number=0,
           pair=(0, 1, 2), num_pairs=3):
    state = train.create_state(
        self.problem.original, options.optimizer, jax.random.key(key))
    constants = dict(self.constants)
    if images is not None:
      constants['images'] = images
    run = jax.jit(dlfd_released.make_step(
        self.problem.model, self.problem.task, options, tuple(pair),
        num_pairs, train_mode=train_mode))
    state = state.replace(step=jnp.int32(number))
    return run(state, constants, self.batch)

  def reference(self, options, train_mode):
    """Parameters and statistics after the step, without dropout."""
    model, original = self.problem.model, self.problem.original
    low, high = dlfd_released.bounds(options)
    clean = problems.pixels(self.data, self.batch.retain.index)
    forget = problems.pixels(self.data, self.batch.forget.index)
    labels = self.data.labels[self.batch.retain.index]

    def forward(params, stats, x):
      out, new = model.apply(
          {'params': params, 'batch_stats': stats}, x, train=train_mode,
          mutable=['batch_stats'])
      return out.logits, new.get('batch_stats', stats)

    @jax.jit
    def loss(params, stats, x):
      logits, stats = forward(params, stats, x)
      losses = -jax.nn.log_softmax(logits)[np.arange(8), labels]
      return losses.mean(), stats

    params, stats = original['params'], original['batch_stats']
    passes = 0
    noise = np.zeros(clean.shape, np.float32)
    for _ in range(options.perturb_steps):
      moved = np.minimum(np.maximum(clean + noise, low), high)
      for x in (clean, forget):
        _, stats = forward(params, stats, x)
      slope, stats = jax.grad(loss, 2, has_aux=True)(params, stats, moved)
      passes += 3
      inside = (clean + noise >= low) & (clean + noise <= high)
      alpha = options.perturb_step_size * np.float32(options.std)
      noise = noise + alpha * np.sign(
          -options.ce_weight_start * np.where(inside, slope, 0))
    moved = np.minimum(np.maximum(clean + noise, low), high)
    slope, stats = jax.grad(loss, has_aux=True)(params, stats, moved)
    passes += 1
    assert passes == 3 * options.perturb_steps + 1
    return {'params': jax.tree.map(lambda p, g: p - RATE * g, params, slope),
            'batch_stats': stats}


@pytest.mark.parametrize('train_mode, start', [
    (True, 0.5), (False, 0.5), (False, 0.0)])  # without lambda no noise
def test_a_step_agrees_with_a_slow_loop(train_mode, start):
  case = Case()
  new, metrics = case.step(config(ce_weight_start=start), train_mode)
  expected = case.reference(config(ce_weight_start=start), train_mode)
  assert problems.largest_difference(new.params, expected['params']) < 2e-6
  assert problems.largest_difference(
      new.batch_stats, expected['batch_stats']) < 1e-5
  frozen = problems.same(new.batch_stats, case.problem.original['batch_stats'])
  assert frozen is (not train_mode)
  np.testing.assert_allclose(metrics.step['ce_weight'], start)


def in_range(data):
  """The same images squeezed into the range that the clip keeps."""
  low, high = dlfd_released.bounds(config())
  images = data.images / 255 * (0.9 * (high - low)) + low + 0.05 * (high - low)
  return np.round(255 * images).astype(np.uint8)


def test_first_batch_moves_the_statistics_once_in_each_of_3k_plus_1_passes():
  case = Case()
  images = in_range(case.data)
  # Every pass then sees the same images.
  case.batch = batching.Pair(case.batch.retain, case.batch.retain)
  new, _ = case.step(
      config(ce_weight_start=0.0, ce_weight_end=0.0), True, images=images)
  original = case.problem.original
  x = jnp.asarray(images[case.batch.retain.index], jnp.float32) / 255
  _, once = case.problem.model.apply(
      original, x, train=True, mutable=['batch_stats'])
  passes = 3 * 2 + 1
  for name in ('mean', 'var'):
    old = original['batch_stats']['bn'][name]
    of_batch = (once['batch_stats']['bn'][name] - 0.9 * old) / 0.1
    expected = 0.9 ** passes * old + (1 - 0.9 ** passes) * of_batch
    np.testing.assert_allclose(
        new.batch_stats['bn'][name], expected, rtol=1e-4, atol=1e-5)


def test_saturated_pixels_never_move():
  case = Case()
  images = np.where(case.data.images > 100, 255, 0).astype(np.uint8)
  noisy, _ = case.step(config(), False, images=images)
  silent, _ = case.step(config(ce_weight_start=0.0), False, images=images)
  assert problems.largest_difference(noisy.params, silent.params) < 1e-7
  # Images that are not saturated do move.
  noisy, _ = case.step(config(), False, images=in_range(case.data))
  silent, _ = case.step(
      config(ce_weight_start=0.0), False, images=in_range(case.data))
  assert problems.largest_difference(noisy.params, silent.params) > 1e-5


@pytest.mark.parametrize('train_mode', [
    True, pytest.param(False, marks=pytest.mark.slow)])
def test_first_batch_drops_out_and_later_ones_do_not(train_mode):
  plain = problems.problem()
  model = problems.TinyNet(3, 'paper')
  case = Case(dataclasses.replace(
      plain, model=model, original=models.init(
          model, jax.random.key(0), plain.dataset.image_size)))
  first, second = (
      case.step(config(perturb_steps=1), train_mode, key=key)[0].params
      for key in (0, 1))
  assert problems.same(first, second) is not train_mode


def test_lambda_goes_on_over_skipped_pairs():
  options = config(perturb_steps=1, ce_weight_start=0.0, ce_weight_end=1.0)
  ramp = [
      Case().step(options, False, number=number, pair=(0, 1, 3, 4),
                  num_pairs=5)[1].step['ce_weight'] for number in range(4)]
  np.testing.assert_allclose(ramp, [0, 0.25, 0.75, 1.0], atol=1e-6)


def test_batches_come_in_file_order():
  problem = problems.problem()  # retain 4 4 4 4 4, forget 4 4 2 4 4
  splits = dataclasses.replace(
      problem.splits, forget=problem.splits.forget[:10])
  problem = dataclasses.replace(problem, splits=splits)
  plan, _ = methods.prepare(
      problems.setting(problem), config(batch_size=4))
  assert plan.num_steps == 4
  for step, (retain, forget) in enumerate([(0, 0), (4, 4), (12, 0), (16, 4)]):
    batch = plan.batch(step)
    np.testing.assert_array_equal(
        batch.retain.index, problem.splits.retain[retain:retain + 4])
    np.testing.assert_array_equal(
        batch.forget.index, problem.splits.forget[forget:forget + 4])


def test_it_watches_with_the_unsigned_attack_on_everything():
  plan, controller = methods.prepare(
      problems.setting(problems.problem()), config())
  assert plan.check_every == 1
  found = controller.findings(None)
  assert found['attack_sizes'] == [24, 24]
  assert found['attack_blind_to_original'] is False
  figures = {'forgetting_score': 0.0, 'mia_auc': 0.0, 'step': 0}
  assert controller.phase(figures) == 'first'
  figures['step'] = 1
  assert controller.phase(figures) == dlfd.FINETUNE
  figures['forgetting_score'] = 0.3
  assert controller.phase(figures) == dlfd.DISTANCE


@pytest.mark.slow
@pytest.mark.parametrize('weights', [
    (0.0, 1000.0), pytest.param((0.0, 3.0, 1000.0), marks=pytest.mark.slow)])
def test_result_is_bit_identical_for_any_weight_of_the_transport_term(weights):
  log = runs.MetricsLog()
  results = [
      methods.unlearn(
          problems.problem(), config(
              ot_weight=weight, perturb_steps=1, forget_threshold=0.0),
          devices=problems.devices(), log=log) for weight in weights]
  inert = [event['inert_ot'] for event in log.events
           if event['event'] == 'steps']
  assert inert[0] > 0  # of the last weight: logged, without effect
  phases = [event['phase'] for event in log.events
            if event['event'] == 'steps']
  assert phases == ['first', 'distance']
  assert not problems.same(results[0].last, problems.problem().original)
  for other in results[1:]:
    assert problems.same(results[0].last, other.last)
    assert problems.same(results[0].selected, other.selected)
