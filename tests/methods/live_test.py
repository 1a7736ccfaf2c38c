"""What steers a run: the attack, the rank of a few losses, or its length."""

import dataclasses
import itertools
import math

import numpy as np
import pytest

from dlfd_jax import methods
from dlfd_jax.data import splits as splits_lib
from dlfd_jax.methods import base, live, neggrad
from dlfd_jax.metrics import attack, live_attack, released_attack
from dlfd_jax.models import Outputs
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


class TableModel:
  """A predictor whose "variables" are the logits of every image."""

  def __init__(self):
    self.asked = []

  def __call__(self, variables, indices):
    self.asked.append(np.asarray(indices))
    logits = variables[indices]
    return Outputs(logits, logits)


def attacker_of(kind='multiclass', limit=300, attack_kind='balanced', seed=0,
                data=None, splits=None):
  model, own, variables = problems.memorised(kind)
  problem = base.Problem(
      model, variables, data or own, splits or problems.splits(), seed)
  setting = base.Setting(problem, variables, None, None, {}, TableModel())
  return live.LiveAttack(setting, limit, attack_kind), setting


def table(data, splits, forget=2.0, val=0.5):
  """Logits whose margin is about that of the split, with a little spread."""
  rng = np.random.default_rng(0)
  size = np.full(len(data), 1.0)
  size[splits.forget], size[splits.val] = forget, val
  size = size + rng.uniform(-0.1, 0.1, len(data))
  logits = np.zeros((len(data), 3), np.float32)
  logits[np.arange(len(data)), data.labels] = size
  return logits


def test_live_attack_compares_forget_with_its_class_and_val_is_the_rest():
  plain = problems.splits()
  seen = attacker_of()[1].problem.dataset
  gone = seen.labels == 1
  unseen = plain.val[gone[plain.val]]
  splits = dataclasses.replace(
      plain, retain=plain.train[~gone[plain.train]],
      forget=plain.train[gone[plain.train]], by_person=False, classes=('b',),
      of_classes=np.flatnonzero(gone))
  attacker, _ = attacker_of(data=seen, splits=splits)
  right = np.zeros((len(seen), 3), np.float32)
  right[np.arange(len(seen)), seen.labels] = 3.0
  right[plain.val[::2]] *= -1  # half of val is wrong, more of the class
  right[unseen] = -3 * np.abs(right[unseen])
  stays = plain.val[~gone[plain.val]]
  found = attacker.measure(right)
  assert found['val_accuracy'] == pytest.approx(
      (right[stays].argmax(1) == seen.labels[stays]).mean())
  assert attacker.num_val == len(stays)
  assert set(attacker.rule.val) <= set(unseen)
  assert found['mia_auc'] == 1.0  # all of forget right, all unseen ones wrong


def test_live_attack_reads_one_fixed_subset_with_equal_class_counts():
  attacker, setting = attacker_of(limit=12)
  data, splits = setting.problem.dataset, setting.problem.splits
  assert attacker.sizes == (12, 12)
  assert attacker.images == 12 + len(splits.val)
  for _ in range(2):
    attacker.measure(table(data, splits))
  first, second = setting.predictor.asked
  np.testing.assert_array_equal(first, second)
  np.testing.assert_array_equal(first[:24], splits.val)
  assert np.isin(first[24:], splits.forget).all()
  again, other = attacker_of(limit=12)[1], attacker_of(limit=12, seed=1)[1]
  for setting_of_seed, same in ((again, True), (other, False)):
    live.LiveAttack(setting_of_seed, 12).measure(table(data, splits))
    asked = setting_of_seed.predictor.asked[0]
    assert np.array_equal(asked, first) is same


def test_live_figures_are_those_of_the_attack():
  attacker, setting = attacker_of()
  data, splits = setting.problem.dataset, setting.problem.splits
  found = attacker.measure(table(data, splits))
  assert found['mia_auc'] == 1.0
  assert found['mia_accuracy'] == 1.0
  assert found['forgetting_score'] == 1.0
  assert found['val_accuracy'] == found['forget_accuracy'] == 1.0
  np.testing.assert_allclose(
      found['forget_loss'], math.log1p(2 * math.exp(-2.0)), atol=0.02)
  np.testing.assert_allclose(
      found['val_loss'], math.log1p(2 * math.exp(-0.5)), atol=0.03)
  over = attacker.measure(table(data, splits, forget=-3.0))
  assert over['mia_auc'] == 0.0 and over['forgetting_score'] == 1.0
  for figures, under in ((found, True), (over, False)):  # the gap has a sign
    gap = figures['forget_loss'] - figures['val_loss']
    assert figures['loss_gap'] == gap and (gap < 0) is under
  assert (over['forget_accuracy'], over['val_accuracy']) == (0.0, 1.0)


def test_released_attack_reads_all_images_of_both_sides():
  attacker, setting = attacker_of(limit=10, attack_kind='released')
  data, splits = setting.problem.dataset, setting.problem.splits
  assert attacker.sizes == (24, 24)
  logits = table(data, splits, forget=0.7)
  found = attacker.measure(logits)
  forget, val, *_ = attacker.losses(logits)
  assert found['mia_accuracy'] == released_attack.unbalanced_accuracy(
      forget, val)
  assert found['forgetting_score'] == 2 * abs(found['mia_accuracy'] - 0.5)


def test_images_without_a_known_label_take_no_part():
  data = problems.memorised('multilabel')[1]
  splits = problems.splits()
  labels = data.labels.copy()
  labels[splits.forget[:5]] = -1
  labels[splits.val[:4]] = -1
  data = dataclasses.replace(data, labels=labels)
  attacker, setting = attacker_of(
      'multilabel', attack_kind='released', data=data)
  assert attacker.sizes == (19, 20)
  attacker.measure(np.zeros((len(data), 3), np.float32))
  assert not np.isin(setting.predictor.asked[0], splits.forget[:5]).any()


@pytest.mark.parametrize('value', [np.nan, np.inf])
def test_a_model_that_is_not_finite_gets_the_worst_figures(value):
  attacker, setting = attacker_of()
  logits = table(setting.problem.dataset, setting.problem.splits)
  logits[setting.problem.splits.val[3]] = value
  found = attacker.measure(logits)
  assert found == {
      'val_accuracy': 0.0, 'forget_accuracy': 0.0, 'mia_accuracy': None,
      'forgetting_score': 1.0, 'mia_auc': 0.0, 'forget_loss': None,
      'val_loss': None, 'loss_gap': None}
