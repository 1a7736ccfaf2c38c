"""What steers a run: the attack, the rank of a few losses, or its length."""

import dataclasses
import itertools

import numpy as np
import pytest

from dlfd_jax import methods
from dlfd_jax.data import splits as splits_lib
from dlfd_jax.methods import live, neggrad
from dlfd_jax.metrics import attack, live_attack
from tests.methods import problems

ZEROS = np.zeros(9, np.int64)


def one_image(val=24):
  """A problem whose request is a single, memorised image."""
  problem = problems.problem()
  return dataclasses.replace(problem, splits=splits_lib.Splits(
      problem.splits.retain, problem.splits.forget[:1],
      problem.splits.val[:val], problem.splits.test))


def test_the_rank_of_images_of_one_class_is_their_auc():
  rng = np.random.default_rng(0)
  forget, val = rng.normal(size=2), rng.normal(size=9)
  assert live_attack.ranked_auc(
      forget, val, ZEROS[:2], ZEROS, np.arange(2), np.arange(9)) == (
          pytest.approx(attack.auc(-forget, -val)))


def test_the_rank_is_inside_a_class():
  # .5 is high in its own class and low in the other one.
  found = live_attack.ranked_auc(
      [.5], [.1, .2, .3, 5., 6., 7.], [0], [0, 0, 0, 1, 1, 1], [0],
      np.arange(6))
  assert found == 0.0
  with pytest.raises(ValueError, match='non-member of class 2, got none'):
    live_attack.ranked_auc([.5], [.1], [2], [0], [0], [0])


def test_the_rank_of_a_person_is_that_of_the_mean_place():
  # Places of forget: .75 and .25, one person; of val's people .625, .375.
  found = live_attack.ranked_auc(
      [1.5, 3.5], [1., 2., 3., 4.], ZEROS[:2], ZEROS[:4], [0, 0],
      [0, 1, 1, 0])
  assert found == 0.5


@pytest.mark.parametrize('members, others', [(1, 4), (2, 3), (3, 6)])
def test_the_null_of_ranks_is_that_of_all_orders(members, others):
  scores = [2 * abs((sum(picks) - members * (members - 1) / 2)
                    / (members * others) - .5)
            for picks in itertools.combinations(
                range(members + others), members)]
  mean, high = live_attack.ranked_null(members, others)
  assert mean == pytest.approx(np.mean(scores), abs=.05)
  assert high == pytest.approx(np.quantile(scores, .95), abs=.12)


def test_the_null_of_images_is_that_of_two_samples_and_knows_people():
  rng = np.random.default_rng(0)
  places, people = np.arange(100), np.arange(100) // 10
  alike = [np.repeat(rng.normal(size=10), 10) + rng.normal(size=100) / 9
           for _ in range(2)]
  apart = alike[0] - 9, alike[1]
  mean, high = live_attack.person_null(*apart, places, places)
  spread = 2 * (201 / (12 * 100**2))**.5
  assert mean == pytest.approx(spread * (2 / np.pi)**.5, rel=.15)
  assert high == pytest.approx(1.96 * spread, rel=.15)
  assert live_attack.person_null(*alike, people, people)[1] > 2 * high
  assert (live_attack.person_null(*apart, people, people)
          == live_attack.person_null(*alike, people, people))


@pytest.mark.parametrize('forget, val, people, kind', [
    (5, 24, 'each', 'balanced'), (4, 24, 'each', 'rank'),
    (24, 4, 'each', 'rank'), (24, 24, 'one', 'rank'),
    (24, 24, 'unknown', 'balanced'), (4, 24, 'unknown', 'rank')])
def test_five_people_or_images_on_each_side_are_attacked(
    forget, val, people, kind):
  problem = problems.problem()
  data = dataclasses.replace(
      problem.dataset, labels=np.zeros_like(problem.dataset.labels))
  identity = data.identity.copy()
  if people != 'each':
    identity[problem.splits.forget] = -1 if people == 'unknown' else 99
  rule = live.choose_rule(
      dataclasses.replace(data, identity=identity), splits_lib.Splits(
          problem.splits.retain, problem.splits.forget[:forget],
          problem.splits.val[:val], problem.splits.test))
  assert rule.kind == kind
  assert bool(rule.because) is (kind != 'balanced')


def test_an_unseen_person_is_ranked_by_as_many_images_as_one_to_forget():
  problem = one_image()
  identity = problem.dataset.identity.copy()
  identity[problem.splits.val] = 100 + np.arange(24) // 6
  labels = np.zeros_like(problem.dataset.labels)
  rule = live.choose_rule(dataclasses.replace(
      problem.dataset, identity=identity, labels=labels), problem.splits)
  assert rule.kind == 'rank' and rule.sizes == (1, 4) and len(rule.val) == 4


@pytest.mark.parametrize('seed', range(20))
def test_each_class_of_forget_keeps_an_unseen_image(seed):
  """However few images of each unseen person are drawn."""
  problem = one_image()
  identity, labels = problem.dataset.identity.copy(), problem.dataset.labels
  val = problem.splits.val
  identity[val] = 100 + np.arange(24) // 8
  labels = np.zeros_like(labels)
  labels[problem.splits.forget] = labels[val[3]] = 1  # a rare class
  splits = dataclasses.replace(problem.splits, forget=np.append(
      problem.splits.forget, problem.splits.retain[:1]),
                               retain=problem.splits.retain[1:])
  identity[splits.forget] = 99
  rule = live.choose_rule(dataclasses.replace(
      problem.dataset, identity=identity, labels=labels), splits, seed=seed)
  assert rule.kind == 'rank' and val[3] in rule.val
  keys = labels.reshape(-1)
  live_attack.places(np.zeros(len(rule.forget)), keys[rule.forget],
                     np.ones(len(rule.val)), keys[rule.val])


def test_a_vector_of_attributes_that_val_lacks_is_ranked_among_all():
  problem = problems.problem('multilabel')
  labels = problem.dataset.labels.copy()
  labels[problem.splits.forget], labels[problem.splits.val] = 1, 0
  data = dataclasses.replace(problem.dataset, labels=labels)
  assert live.choose_rule(data, problem.splits).kind == 'balanced'
  labels[problem.splits.forget] = -1  # nothing to measure at all
  rule = live.choose_rule(data, problem.splits)
  assert rule.kind == 'passes' and 'No label is known in forget' in rule.because


def test_one_memorised_image_is_steered_by_its_rank():
  problem = one_image()
  config = neggrad.NegGradConfig(
      epochs=60, batch_size=1, check_every=1,
      optimizer=dataclasses.replace(
          neggrad.NegGradConfig().optimizer, learning_rate=.5))
  out = methods.unlearn(problem, config, devices=problems.devices(1))
  assert out.findings['steering'] == 'rank'
  first, *_, last = (figures['mia_auc'] for figures in out.history)
  assert first > .5 and out.stop == 'stop rule' and last <= .5
  assert out.steps < 60


@pytest.mark.long
@pytest.mark.parametrize('name', ['dlfd', 'scrub', 'bad_teaching', 'neggrad'])
def test_one_image_on_more_devices_than_images(name):
  config = problems.short(methods.METHODS[name]())
  one, four = (methods.unlearn(
      one_image(val=3), config, devices=problems.devices(count))
               for count in (1, 4))
  assert one.findings['steering'] == four.findings['steering'] == 'rank'
  assert problems.largest_difference(one.last, four.last) < 1e-2
