"""Nearer to which of two models: closed forms, p and false alarms."""

import itertools

import numpy as np
import pytest
from scipy import stats as scipy_stats

from dlfd_jax.metrics import nearer


def _side(judged, original, retrained, units=None, seed=0, draws=499):
  def apart(other):
    return np.linalg.norm(judged - other, axis=1)

  units = np.arange(len(judged)) if units is None else units
  return nearer.side(apart(original), np.stack([apart(r) for r in retrained]),
                     units, np.random.default_rng(seed), draws)


class _World:
  """Models of one recipe: images and people are hard, seeds differ."""

  def __init__(self, rng, people=20, images=3, outputs=4):
    self.rng, self.units = rng, np.repeat(np.arange(people), images)
    self.shape = people * images, outputs
    self.hard = rng.normal(size=self.shape)
    self.right = rng.integers(0, outputs, self.shape[0])

  def model(self, memory=0.0, sure=0.0):
    noise = self.rng.normal(0, .5, (self.units.max() + 1, self.shape[1]))
    z = self.hard + noise[self.units] + self.rng.normal(0, .7, self.shape)
    z[np.arange(len(z)), self.right] += 1 + memory
    z = np.exp(z * np.exp(self.rng.normal(0, sure)))
    return z / z.sum(1, keepdims=True)


def _honest(repetitions, retrained, memory, sure):
  """Sides that honestly retrained models are called."""
  found = []
  for seed in range(repetitions):
    world = _World(np.random.default_rng(seed))
    found.append(_side(
        world.model(sure=sure), world.model(memory, sure),
        [world.model(sure=sure) for _ in range(retrained)], world.units, seed))
  return found


@pytest.mark.parametrize('memory', [0.0, .5, 2.0])
@pytest.mark.parametrize('retrained, sure', [(1, 0.0), (2, .1), (3, .1)])
def test_false_alarms_stay_below_the_level(retrained, sure, memory):
  sides = _honest(200, retrained, memory, sure)
  alarms = np.mean([side.name == nearer.ORIGINAL for side in sides])
  assert alarms <= nearer.LEVEL  # half of it is expected of one model


def test_where_trainings_differ_in_confidence_one_of_them_is_not_enough():
  def alarms(retrained):
    return np.mean([side.name == nearer.ORIGINAL
                    for side in _honest(200, retrained, 0.0, .4)])

  assert alarms(1) > 2 * nearer.LEVEL
  assert alarms(3) <= nearer.LEVEL


def test_with_memory_honest_models_are_found_to_be_so():
  sides = _honest(50, 3, 4.0, .1)
  assert np.mean([side.name == nearer.RETRAINED for side in sides]) > .6


def test_p_is_uniform_over_draws_of_equal_models():
  p = [side.p_value for side in _honest(400, 1, 0.0, 0.0)]
  assert scipy_stats.kstest(p, 'uniform').pvalue > .01


def test_p_is_that_of_all_exchanges():
  rng = np.random.default_rng(0)
  units = np.repeat(np.arange(6), 2)
  first, second = rng.uniform(1, 2, 12), rng.uniform(1, 2.3, 12)
  sums = np.bincount(units, second - first)
  signs = np.array(list(itertools.product([-1, 1], repeat=6)))
  reached = (signs @ sums >= sums.sum() - 1e-12).mean()
  side = nearer.side(first, second[None], units, rng, draws=40_000)
  assert side.p_value == pytest.approx(
      2 * min(reached, 1 - reached + 1 / 64), abs=.02)


def test_the_original_plus_noise_is_nearer_to_it():
  world = _World(np.random.default_rng(0))
  original = world.model(2.0)
  judged = original + world.rng.normal(0, .02, world.shape)
  side = _side(judged, original, [world.model() for _ in range(3)],
               world.units)
  assert side == nearer.Side(nearer.ORIGINAL, 2 / 500)


def test_half_way_is_undecided():
  world = _World(np.random.default_rng(0))
  original, retrained = world.model(2.0), world.model()
  judged = (original + retrained) / 2
  assert _side(judged, original, [retrained]) == nearer.Side(
      nearer.UNDECIDED, 1.0)
  apart = np.linalg.norm(judged - original, axis=1).mean()
  assert nearer.nearness(apart, np.linalg.norm(
      judged - retrained, axis=1).mean()) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize('share, name', [
    (.35, nearer.ORIGINAL), (.65, nearer.RETRAINED)])
def test_beyond_the_middle_the_side_is_the_nearer_one(share, name):
  world = _World(np.random.default_rng(0))
  original, retrained = world.model(2.0), world.model()
  judged = (1 - share) * original + share * retrained
  assert _side(judged, original, [retrained], world.units).name == name


def test_no_single_odd_retrained_model_decides():
  world = _World(np.random.default_rng(0))
  original, honest = world.model(2.0), world.model()
  odd = np.roll(honest, 1, axis=1)
  judged = .7 * honest + .3 * original
  assert _side(judged, original, [honest], world.units).name == nearer.RETRAINED
  assert _side(judged, original, [honest, odd],
               world.units).name == nearer.UNDECIDED


def test_people_count_not_their_images():
  """Copies of images of the same people are no further evidence."""
  world = _World(np.random.default_rng(1), images=1)
  models = [world.model(.7) for _ in range(3)]
  once = _side(models[0], models[1], models[2:], world.units)
  many = _side(*(np.repeat(m, 9, axis=0) for m in models[:2]),
               [np.repeat(models[2], 9, axis=0)], np.repeat(world.units, 9))
  assert many.p_value == once.p_value


def test_cosines_to_anchors_do_not_know_the_axes():
  rng = np.random.default_rng(0)
  features, anchors = rng.normal(size=(7, 5)), rng.normal(size=(9, 5))
  turn = np.linalg.qr(rng.normal(size=(5, 5)))[0]
  np.testing.assert_allclose(
      nearer.to_anchors(features, anchors),
      nearer.to_anchors(3 * features @ turn + 2, 3 * anchors @ turn + 2),
      atol=1e-12)
  wide = nearer.to_anchors(
      np.pad(features, ((0, 0), (0, 4))), np.pad(anchors, ((0, 0), (0, 4))))
  np.testing.assert_allclose(wide, nearer.to_anchors(features, anchors))
  assert np.linalg.norm(wide, axis=1).max() <= 1


def test_an_image_that_is_the_mean_lies_in_no_direction():
  anchors = np.array([[1., 2.], [3., 4.]])
  assert not nearer.to_anchors(anchors.mean(0)[None], anchors).any()
