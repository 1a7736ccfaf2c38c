import hashlib

import numpy as np
import pytest

from dlfd_jax.data.faces import synthetic
from tests import grids

# Of 6 people with 3 pictures at 32 px: the pictures on every platform.
DIGEST = '81a9dbe2c601cbcf3ea73a04df73c94b5fd3316ae49e913e013267a473e04fdf'

PERSONS = synthetic.draw_people(2000, seed=3)
MOMENTS = synthetic.draw_moments(PERSONS, 2, seed=3, age_spread=1.5)


def _faces(**changes):
  return synthetic.synthetic_faces(
      **{'people': 6, 'images_per_person': 3, 'seed': 4, **changes})


@pytest.fixture(scope='module')
def album():
  return _faces(people=60, images_per_person=6, label_noise=0.0)


def test_pictures_are_those_of_the_stored_digest():
  _faces(seed=5)  # whatever was drawn before
  faces = _faces()
  assert hashlib.sha256(faces.images.tobytes()).hexdigest() == DIGEST
  assert faces.images.shape == (18, 32, 32, 3)
  assert faces.identity.tolist() == np.repeat(np.arange(6), 3).tolist()
  assert faces.identity.dtype == np.int32
  assert faces.sample_id[:4].tolist() == [
      'p0000_00', 'p0000_01', 'p0000_02', 'p0001_00']


def test_the_first_people_of_a_larger_set_are_the_same():
  few, many = _faces(), _faces(people=40)
  assert np.array_equal(few.images, many.images[:18])
  assert np.array_equal(few.labels, many.labels[:18])


def test_pictures_do_not_depend_on_the_task():
  assert np.array_equal(
      _faces(task='age').images, _faces(task='attributes').images)


def test_a_person_is_nearest_to_their_own_mean_picture(album):
  pixels = album.images[:, 6:28, 6:26].reshape(len(album), -1) / 255.0
  pixels = pixels - pixels.mean(0)
  other = np.arange(len(album)) % 6 < 3  # half of each person's pictures
  means = np.stack([pixels[other & (album.identity == person)].mean(0)
                    for person in range(60)])
  distance = ((pixels[~other][:, None] - means[None])**2).mean(-1)
  right = (distance.argmin(1) == album.identity[~other]).mean()
  assert right > 10 / 60  # 1 / 60 by chance


@pytest.mark.parametrize('task, columns', [
    ('age', ['age_group']), ('emotion', ['emotion']), ('gender', ['gender']),
    ('attributes', ['gender', 'young', 'smile'])])
def test_labels_cover_all_classes_and_equal_their_columns(task, columns):
  faces = _faces(people=60, task=task, label_noise=0.0, size=16)
  labels = faces.labels.reshape(len(faces), len(columns))
  outputs = faces.task.num_outputs
  for k, column in enumerate(columns):
    np.testing.assert_array_equal(labels[:, k], faces.columns[column])
    counts = np.bincount(labels[:, k])
    assert len(counts) == (2 if faces.task.is_multilabel else outputs)
    assert counts.min() > 0
  assert not faces.columns['wrong_label'].any()


def test_columns_agree_with_each_other(album):
  columns = album.columns
  assert set(columns) == {'age_group', 'emotion', 'gender', 'young', 'smile',
                          'wrong_label'}
  np.testing.assert_array_equal(
      columns['young'], columns['age_group'] < synthetic.YOUNG_GROUPS)
  for person in range(60):
    mine = album.identity == person
    assert np.ptp(columns['gender'][mine]) == 0
    assert np.ptp(columns['age_group'][mine]) <= 4


@pytest.mark.parametrize('task', grids.some(synthetic.TASKS, 4))
def test_the_share_of_wrong_labels_is_as_asked(task):
  truth = _faces(people=700, images_per_person=2, size=16, task=task,
                 label_noise=0.0).labels
  noisy = _faces(people=700, images_per_person=2, size=16, task=task,
                 label_noise=0.3)
  wrong = noisy.labels != truth
  assert wrong.mean(0) == pytest.approx(0.3, abs=0.05)
  np.testing.assert_array_equal(
      noisy.columns['wrong_label'], wrong.reshape(1400, -1).any(1))
  assert noisy.labels.min() >= 0
  assert noisy.labels.max() < max(2, noisy.task.num_outputs)


def test_wrong_labels_are_spread_over_all_other_classes():
  source = np.zeros(4000, np.int32)
  task = synthetic.TASKS['age']
  labels = synthetic._with_noise(source, task, 0.7, seed=0)
  np.testing.assert_allclose(
      np.bincount(labels) / 4000, [0.3, *[0.1] * 7], atol=0.02)


def test_age_spread_zero_photographs_everybody_at_one_age():
  faces = _faces(task='age', age_spread=0.0, label_noise=0.0)
  ages = faces.labels.reshape(6, 3)
  assert (ages == ages[:, :1]).all()


@pytest.mark.parametrize('changes, message', [
    ({'task': 'mood'}, r"Expected a task of \['age', .*got 'mood'\."),
    ({'people': 0}, r'Expected people to be a whole number in \[1, .*got 0\.'),
    ({'people': 2.5}, r'Expected people to be a whole number .*got 2\.5\.'),
    ({'images_per_person': 0}, r'Expected images_per_person .*got 0\.'),
    ({'size': 8}, r'Expected size to be a whole number in \[16, 512\], got 8'),
    ({'seed': -1}, r'Expected seed to be a whole number in \[0, .*got -1\.'),
    ({'label_noise': 1.0}, r'Expected label_noise in \[0, 1\), got 1\.0\.'),
    ({'age_spread': -1.0}, r'Expected age_spread in \[0, 8\], got -1\.0\.'),
])
def test_an_argument_out_of_range_is_refused(changes, message):
  with pytest.raises(ValueError, match=message):
    _faces(**changes)


def test_traits_are_standard_normal_around_a_mean_that_depends_on_gender():
  assert len(synthetic.TRAITS) >= 12
  male = PERSONS['male'] == 1
  for name, shift in synthetic.TRAITS.items():
    for group, mean in ((male, shift), (~male, -shift)):
      values = PERSONS[name][group]
      assert values.mean() == pytest.approx(mean, abs=0.12), name
      assert values.std() == pytest.approx(1, abs=0.08), name


def test_ages_stay_near_the_middle_and_on_the_scale():
  ages = MOMENTS['age_scale'].reshape(-1, 2)
  assert ages.min() >= 0 and ages.max() < 8
  middle = PERSONS['age_scale']
  free = (middle > 1.5) & (middle < 6.5)
  assert np.abs(ages - middle[:, None])[free].max() <= 1.5
  assert np.bincount(ages.astype(int).ravel()).min() > 0.07 * ages.size


def test_happiness_is_twice_as_frequent_as_each_other_emotion():
  share = np.bincount(MOMENTS['emotion']) / len(MOMENTS['emotion'])
  expected = np.full(7, 1 / 8)
  expected[synthetic.HAPPINESS] = 2 / 8
  np.testing.assert_allclose(share, expected, atol=0.025)


def test_a_smile_is_happiness_or_a_happy_surprise():
  smile, emotion = MOMENTS['smile'] == 1, MOMENTS['emotion']
  assert smile[emotion == synthetic.HAPPINESS].all()
  assert not smile[(emotion != synthetic.HAPPINESS)
                   & (emotion != synthetic.SURPRISE)].any()
  assert smile[emotion == synthetic.SURPRISE].mean() == pytest.approx(
      0.4, abs=0.06)
  corners = MOMENTS['corners']
  assert corners[smile].mean() > corners[~smile].mean() + 0.7
