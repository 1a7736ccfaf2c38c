"""Ranks of one person: the rule, and false alarms where nothing is left."""

import numpy as np
import pytest

from dlfd_jax.metrics import person_rank


def _rank(values, unseen, keys=None, unseen_keys=None, units=None, **options):
  return person_rank.rank(
      values, unseen, np.zeros(len(values)) if keys is None else keys,
      np.zeros(len(unseen)) if unseen_keys is None else unseen_keys,
      np.arange(len(unseen)) if units is None else units, **options)


@pytest.mark.parametrize('value, p', [
    (38.5, 2 * 2 / 40), (39.5, 2 * 1 / 40), (37., 2 * 3 / 40),
    (19.5, 1.0), (-1., 2 * 1 / 40), (0., 2 * 2 / 40)])
def test_p_counts_those_at_least_as_extreme_on_each_side(value, p):
  unseen = np.arange(39.)
  unseen[-1] = 39
  found = _rank([value], unseen)
  assert found.unseen == 39 and found.p_value == pytest.approx(p)
  assert found.smallest == pytest.approx(.05)
  # Beyond the ends p is at most .05, and nowhere else.
  assert (found.value > found.high or found.value < found.low) == (p <= .05)


def test_too_few_unseen_people_allow_no_small_p():
  found = _rank([99.], np.arange(38.))
  assert found.p_value == found.smallest == pytest.approx(2 / 39)
  assert found.high is None and found.low is None
  assert person_rank.needed() == 39


@pytest.mark.parametrize('value', [-1., 0., 3., 197., 198., 199.5])
def test_the_ends_of_one_of_five_are_those_of_a_fifth_of_the_level(value):
  found = _rank([value], np.arange(199.), tries=5)
  assert (found.value > found.high or found.value < found.low) == (
      found.p_value <= .01)
  assert _rank([value], np.arange(198.), tries=5).high is None


def test_other_classes_do_not_count_and_may_be_missing():
  unseen, keys = np.arange(6.), np.array([0, 0, 0, 1, 1, 1])
  assert _rank([2.5], unseen, [0], keys).unseen == 3
  assert _rank([2.5], unseen, [7], keys) is None
  # Each image lies one above its class, whatever the class.
  both = _rank([11., 101.], [9., 10., 11., 99., 100., 101.], [0, 1],
               [0, 0, 0, 1, 1, 1], [0, 1, 2, 0, 1, 2])
  assert both.images == 2 and both.unseen == 3
  assert both.p_high == pytest.approx(2 / 4)


def test_people_count_with_as_many_images_as_the_person_has():
  units = np.repeat(np.arange(50), 4)
  unseen = np.random.default_rng(0).normal(size=200)
  assert _rank([1.], unseen, units=units).images == 1
  assert _rank([1.] * 9, unseen, units=units).images == 4
  # Forty people have two, ten have one: two leave enough.
  units = np.concatenate([np.repeat(np.arange(40), 2), 40 + np.arange(10)])
  found = _rank([1.] * 3, unseen[:90], units=units)
  assert (found.images, found.unseen) == (2, 40)
  # Of twenty people all are needed.
  found = _rank([1.] * 3, unseen[:30], units=units[60:])
  assert (found.images, found.unseen) == (1, 20)


def test_models_that_answer_alike_tell_nobody_apart():
  found = _rank([.1] * 3, [.1] * 80, units=np.repeat(np.arange(40), 2))
  assert found.p_value == 1.0


def _people(rng, counts, spread):
  """Images of people of one class each: harder and wider in the second."""
  units = np.repeat(np.arange(len(counts)), counts)
  keys = rng.integers(0, 2, len(counts))[units]
  values = rng.normal(0, spread, len(counts))[units] + rng.normal(
      size=len(units))
  return values * (1 + 2 * keys) + 5 * keys, keys, units


@pytest.mark.parametrize('own', [1, 3, 12])
@pytest.mark.parametrize('counts', ['twelve', 'mixed'])
@pytest.mark.parametrize('spread', [0., 2.])
def test_false_alarms_are_at_most_the_level(own, counts, spread):
  rng, repeats = np.random.default_rng(0), 150
  p_values = []
  for seed in range(repeats):
    values, keys, _ = _people(rng, [own], spread)
    n = np.full(100, 12) if counts == 'twelve' else rng.integers(1, 13, 100)
    p_values.append(person_rank.rank(
        values, *_reordered(keys, _people(rng, n, spread)), draws=10,
        seed=seed).p_value)
  # At .1, above which chance alone puts .1 + 3 sqrt(.1 * .9 / 150) rarely.
  assert np.mean(np.array(p_values) <= .1) <= .1 + 3 * np.sqrt(.09 / repeats)


def _reordered(keys, unseen):
  values, unseen_keys, units = unseen
  return values, keys, unseen_keys, units


def test_without_equal_counts_one_image_raises_false_alarms():
  rng = np.random.default_rng(0)
  alarms = 0
  for _ in range(300):
    means = rng.normal(size=(60, 12)).mean(1)
    place = (means >= rng.normal()).sum()
    alarms += 2 * (1 + min(place, 60 - place)) / 61 <= .05
  assert alarms / 300 > .25  # the trap that drawing as many images removes


@pytest.mark.parametrize('own', [1, 12])
def test_a_trace_is_told_apart(own):
  rng = np.random.default_rng(0)
  units = np.repeat(np.arange(60), 12)
  found = _rank(rng.normal(4, 1, own), rng.normal(size=720), units=units)
  assert found.p_value <= .05 and found.value > found.high
