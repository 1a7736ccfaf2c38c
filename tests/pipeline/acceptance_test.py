"""When a candidate passes: hand-made attacks, and attacks beside NumPy."""

import dataclasses

import jax
import numpy as np
import pytest

from dlfd_jax import checkpoint, methods, models, parallel
from dlfd_jax.data import dataset as dataset_lib, splits as splits_lib
from dlfd_jax.pipeline import acceptance
from tests import tiny

SEES = acceptance.Seen('images', .9, .2, (.9,) * 8)


def rule(original=SEES, people=8, looks=4):
  return acceptance.Rule(
      {original.attack: original}, people, 'person', looks)


def seen(auc, places, attack='images'):
  return {attack: acceptance.Seen(attack, auc, .2, tuple(places))}


@pytest.mark.parametrize('people', [1, 2, 5, 8, 40])
@pytest.mark.parametrize('looks', [1, 4])
def test_a_candidate_that_changes_nothing_never_passes(people, looks):
  original = dataclasses.replace(SEES, people=(.9,) * people)
  for auc in (.9, .5):  # even if the attack itself were to miss it
    assert rule(original, people, looks).reasons_against(
        seen(auc, original.people))


def test_one_that_forgot_passes_and_says_nothing():
  assert not rule().reasons_against(seen(.52, [.5] * 8))
  assert not rule(people=7).blind


def test_few_people_show_no_difference_however_large():
  for people, least in ((1, 5), (4, 5)):
    original = dataclasses.replace(SEES, people=(1.,) * people)
    one = rule(original, people, looks=1)
    assert f'it takes {least}' in one.blind
    assert one.reasons_against(seen(.5, [0.] * people))
  assert 'it takes 7' in rule(people=6, looks=4).blind


def test_an_attack_that_does_not_see_the_original_shows_nothing():
  blind = rule(dataclasses.replace(SEES, auc=.59))
  assert 'no attack sees' in blind.blind
  assert blind.reasons_against(seen(.5, [.1] * 8))
  assert rule(dataclasses.replace(SEES, auc=.1)).blind  # over-forgotten
  nothing = acceptance.Rule({}, 0, 'image', 1)
  assert 'nothing to compare' in nothing.blind and nothing.reasons_against({})


def test_nothing_on_val_tells_how_much_of_a_class_stays_known():
  one = dataclasses.replace(rule(), classes=('rocket',))
  assert one.blind.startswith('rocket is to be forgotten whole')
  assert one.reasons_against(seen(.52, [.5] * 8))


def test_of_many_looks_each_has_to_show_more():
  places = [.5] * 6  # p is 1 / 64
  original = dataclasses.replace(SEES, people=(.9,) * 6)
  assert not rule(original, 6, looks=3).reasons_against(seen(.5, places))
  assert rule(original, 6, looks=4).reasons_against(seen(.5, places))


@pytest.mark.parametrize('auc, attack, refused', [
    (.61, 'images', 'remembers'), (.39, 'images', 'over-forgets'),
    (.61, 'references', 'remembers'), (.39, 'references', '')])
def test_forget_is_to_look_like_unseen_images(auc, attack, refused):
  original = dataclasses.replace(SEES, attack=attack)
  found = rule(original).reasons_against(seen(auc, [.5] * 8, attack))
  assert refused in ' '.join(found) and bool(found) == bool(refused)


def test_any_attack_may_refuse_and_outputs_have_to_be_finite():
  both = acceptance.Rule({
      'images': SEES, 'people': acceptance.Seen('people', .55, .3, (.5,) * 8)},
                         8, 'person', 1)
  fine = seen(.5, [.4] * 8) | seen(.5, [.4] * 8, 'people')
  assert not both.reasons_against(fine) and both.sighted == ['images']
  assert both.reasons_against(fine | {'people': acceptance.Seen(
      'people', .7, .3, (.4,) * 8)})
  assert both.reasons_against(None) == ['Its outputs are not finite.']


@pytest.fixture(scope='module')
def problem():
  """8 people of 2 images to forget, 12 in val; a network of tests."""
  rng = np.random.default_rng(0)
  people = np.repeat(np.arange(30), 2).astype(np.int32)
  data = dataset_lib.Dataset(
      images=rng.integers(0, 255, (60, 4, 4, 3)).astype(np.uint8),
      labels=np.tile([0, 1], 30).astype(np.int32), identity=people,
      sample_id=np.array([f'i{i:02}' for i in range(60)]),
      task=tiny.task(outputs=2))
  rows = np.arange(60)
  splits = splits_lib.Splits(
      rows[40:56], rows[:16], rows[16:40], rows[56:], by_person=True)
  config = models.ModelConfig(
      architecture='tests.models.own_nets:Memory', outputs=2)
  model = models.build(config)
  saved = [checkpoint.SavedModel(
      parallel.fetch(models.init(model, jax.random.key(seed), (4, 4))), config,
      data.task, (4, 4)) for seed in range(4)]
  return methods.Problem(model, saved[0].variables, data, splits), saved


def test_attacks_are_those_of_numpy(problem):
  one, (judged, *references) = problem
  found = acceptance.Attacks(
      one, references, tiny.devices()).measure(judged)
  assert list(found) == ['images', 'people', 'references']

  def margins(saved, rows):  # of two classes: the difference of logits
    logits = one.model.apply(
        saved.variables, one.dataset.images[rows] / np.float32(255),
        train=False).logits
    sign = np.where(one.dataset.labels[rows] == 1, 1, -1)
    return np.asarray(logits[:, 1] - logits[:, 0]) * sign

  def auc(members, others):
    return np.mean((members[:, None] > others) + (
        members[:, None] == others) / 2)

  attacks = acceptance.Attacks(one, references, tiny.devices())
  forget, val = attacks._sides
  mine = [margins(judged, rows) for rows in (forget, val)]
  assert found['images'].auc == pytest.approx(auc(*mine))
  keys = [one.dataset.labels[rows] for rows in (forget, val)]
  places = [np.array([np.mean((m > mine[1][keys[1] == k]) + (
      m == mine[1][keys[1] == k]) / 2) for m, k in zip(*side, strict=True)])
            for side in zip(mine, keys, strict=True)]
  by_person = [np.array([of_side[one.dataset.identity[rows] == p].mean()
                         for p in np.unique(one.dataset.identity[rows])])
               for of_side, rows in zip(places, (forget, val), strict=True)]
  assert found['people'].auc == pytest.approx(auc(*by_person))
  assert found['people'].people == pytest.approx(by_person[0].tolist())
  assert found['images'].people == found['people'].people
  off = [np.abs(of_it - np.mean([margins(r, rows) for r in references], 0))
         for of_it, rows in zip(mine, (forget, val), strict=True)]
  assert found['references'].auc == pytest.approx(auc(*off))
  assert attacks.people == 8 and attacks.unit == 'person'


def test_outputs_that_are_not_finite_are_seen(problem):
  one, (judged, *_) = problem
  broken = dataclasses.replace(judged, variables=jax.tree.map(
      lambda leaf: np.full_like(leaf, np.nan), judged.variables))
  assert acceptance.Attacks(
      one, [], tiny.devices()).measure(broken) is None
