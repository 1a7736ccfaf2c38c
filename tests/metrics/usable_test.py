"""How much accuracy a deletion may cost, and what chance makes of the loss."""

import numpy as np
import pytest
from scipy import stats as scipy_stats

from dlfd_jax.metrics import accuracy, usable


def right(hits, identity=None):
  hits = np.asarray(hits, np.float64).reshape(len(hits), -1)
  return usable.PartAccuracy(
      accuracy.Counts(hits, np.ones_like(hits)),
      np.full(len(hits), -1) if identity is None else identity)


def share(right_of_1000, part='val'):
  return {part: right(np.arange(1000) < right_of_1000)}


def loss(before, after, identity=None, part='val'):
  one, = usable.accuracy_drops({part: right(before, identity)},
                       {part: right(after, identity)})
  return one


@pytest.mark.parametrize('before, after, said', [
    ({'retain': 1000, 'val': 460}, {'retain': 470, 'val': 340}, 2),
    ({'retain': 1000, 'val': 460}, {'retain': 950, 'val': 440}, 0),
    ({'retain': 1000, 'val': 460}, {'retain': 949, 'val': 460}, 1),
    ({'retain': 1000, 'val': 460}, {'retain': 1000, 'val': 439}, 1),
    ({'retain': 500, 'val': 460}, {'retain': 1000, 'val': 900}, 0),
    ({}, {'val': 0}, 0), ({'forget': 900}, {'forget': 0}, 0)])
def test_how_much_may_be_lost(before, after, said):
  sides = [{name: share(n)['val'] for name, n in side.items()}
           for side in (before, after)]
  assert len(usable.sentences(usable.accuracy_drops(*sides))) == said


@pytest.mark.parametrize('before, after, said', [
    (800, 400, 1), (800, 790, 0), (800, 775, 0), (400, 800, 0)])
def test_on_test_a_loss_has_to_be_shown(before, after, said):
  sides = [share(right_of, 'test') for right_of in (before, after)]
  one, = usable.accuracy_drops(*sides)
  assert len(usable.sentences([one])) == said == (one.answer == 'lost')
  assert said == (one.low > .02)
  assert (one.answer == 'kept') == (one.lost <= .02)
  assert not usable.accuracy_drops(sides[0], {})


def test_the_interval_is_that_of_paired_differences():
  rng = np.random.default_rng(0)
  before, after = rng.random((2, 400)) < [[.7], [.6]]
  one = loss(before, after)
  apart = before.astype(float) - after
  low, high = scipy_stats.t.interval(
      .95, 399, apart.mean(), apart.std(ddof=1) / 20)
  assert (one.low, one.high) == pytest.approx((low, high))
  assert one.images == one.units == 400


def test_people_of_as_many_images_count_as_one_image_each():
  rng = np.random.default_rng(0)
  before, after = rng.random((2, 30)) < [[.7], [.6]]
  by_person = loss(np.repeat(before, 5), np.repeat(after, 5),
                   np.repeat(np.arange(30), 5))
  alone = loss(before, after)
  assert (by_person.low, by_person.high) == pytest.approx(
      (alone.low, alone.high))
  assert (by_person.images, by_person.units) == (150, 30)
  assert '150 images of 30 people' in str(by_person)


@pytest.mark.parametrize('people', [1, 2, 3])
def test_no_interval_of_a_loss_leaves_what_an_accuracy_can_lose(people):
  identity = np.repeat(np.arange(people), 2)
  before = np.ones(2 * people)
  one = loss(before, np.arange(2 * people) > 0, identity)
  assert -1 <= one.low <= one.lost <= one.high <= 1
  assert one.answer == usable.CANNOT_SAY
  assert str(loss([1.], [0.])).endswith('100.0 points (1 image)')


def test_of_attributes_it_is_of_the_mean_of_their_accuracies():
  rng = np.random.default_rng(0)
  labels = rng.integers(-1, 2, (300, 3))
  tries = (labels >= 0).astype(float)
  hits = [tries * (rng.random((300, 3)) < p) for p in (.8, .7)]
  nobody = np.full(300, -1)
  one, = usable.accuracy_drops(*(
      {'val': usable.PartAccuracy(accuracy.Counts(h, tries), nobody)}
      for h in hits))

  def of(rows):
    return np.mean([(hits[0] - hits[1])[rows, a].sum() / tries[rows, a].sum()
                    for a in range(3)])

  assert one.lost == pytest.approx(of(np.arange(300)))
  drawn = [of(rng.integers(0, 300, 300)) for _ in range(2000)]
  assert (one.high - one.low) / 2 / 1.96 == pytest.approx(np.std(drawn), rel=.1)


@pytest.mark.parametrize('lost, gained, answer', [
    (0, 0, 'kept'), (60, 60, 'cannot say'),  # +- 2.1 points
    (30, 30, 'kept'), (40, 0, 'lost'), (300, 270, 'cannot say'),
    (18, 0, 'cannot say'), (140, 110, 'cannot say'), (230, 180, 'lost')])
def test_three_answers(lost, gained, answer):
  before = np.arange(1000) < 500
  after = before.copy()
  after[:lost] = False
  after[500:500 + gained] = True
  one = loss(before, after)
  assert one.answer == answer
  assert usable.answer([one]) == answer
  said = 'Do not use' in one.sentence
  assert said == (lost - gained > 20)
  assert ('beyond noise' in one.sentence) == (said and answer == 'lost')
  assert ('so small was not shown' in one.sentence) == (
      said and answer != 'lost')


def test_no_difference_on_few_images_is_no_certainty():
  for count, answer in ((100, 'cannot say'), (200, 'kept')):
    assert loss(np.ones(count), np.ones(count)).answer == answer
  same_person = np.zeros(200, int)
  assert loss(np.ones(200), np.ones(200), same_person).answer == 'cannot say'


def test_those_who_stay_are_no_sample():
  before, after = np.ones(20), np.arange(20) > 0
  kept = loss(before, after, part='retain')
  assert kept.answer == 'kept' and kept.low == kept.high == pytest.approx(.05)
  gone = loss(before, np.arange(20) > 1, part='retain')
  assert gone.answer == 'lost' and 'noise' not in gone.sentence
  assert usable.answer([kept, gone]) == 'lost'
  assert usable.answer([kept, loss(before, after)]) == 'cannot say'


def test_nothing_is_said_of_a_part_without_labels():
  none = {'val': usable.PartAccuracy(
      accuracy.Counts(np.zeros((3, 1)), np.zeros((3, 1))), np.full(3, -1))}
  assert usable.accuracy_drops(none, none) == []
  assert usable.accuracies(none) == {}


def test_the_interval_holds_as_often_as_it_says():
  """Of persons who differ, where the models are equally good."""
  rng = np.random.default_rng(0)
  held = 0
  for _ in range(400):
    skill = rng.beta(2, 2, 40)[:, None]
    sides = [(rng.random((40, 4)) < skill).reshape(-1) for _ in range(2)]
    one = loss(*sides, np.repeat(np.arange(40), 4))
    held += one.low <= 0 <= one.high
  assert .925 <= held / 400 <= .975
