import numpy as np
import pytest

from dlfd_jax.data.faces import synthetic

PERSONS = synthetic.draw_people(2000, seed=3)
MOMENTS = synthetic.draw_moments(PERSONS, 2, seed=3, age_spread=1.5)


def test_uniforms_are_philox_words_shifted_to_53_bits():
  words = np.random.Philox(key=[7, 2]).random_raw(3)
  expected = [int(word >> np.uint64(11)) / 2**53 for word in words]
  drawn = synthetic.uniform(synthetic.generator(7, 2), (3,))
  assert drawn.tolist() == expected


def test_traits_are_standard_normal_around_a_mean_that_depends_on_gender():
  assert len(synthetic.TRAITS) >= 12
  male = PERSONS['male'] == 1
  for name, shift in synthetic.TRAITS.items():
    for group, mean in ((male, shift), (~male, -shift)):
      values = PERSONS[name][group]
      assert values.mean() == pytest.approx(mean, abs=0.12), name
      assert values.std() == pytest.approx(1, abs=0.08), name


def test_genders_overlap_in_every_trait():
  male = PERSONS['male'] == 1
  for name in synthetic.TRAITS:
    order = PERSONS[name][male][:, None] > PERSONS[name][~male][None]
    assert 0.02 < order.mean() < 0.98, name


def test_traits_are_independent_of_each_other_within_a_gender():
  values = np.stack([PERSONS[name] - shift * (2 * PERSONS['male'] - 1)
                     for name, shift in synthetic.TRAITS.items()])
  correlation = np.corrcoef(values) - np.eye(len(values))
  assert np.abs(correlation).max() < 0.12


def test_the_first_people_do_not_depend_on_how_many_follow():
  few = synthetic.draw_people(5, seed=3)
  moments = synthetic.draw_moments(few, 2, seed=3, age_spread=1.5)
  for name, value in few.items():
    np.testing.assert_array_equal(value, PERSONS[name][:5])
  for name, value in moments.items():
    np.testing.assert_array_equal(value, MOMENTS[name][:10])


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


def test_actions_overlap_between_emotions():
  sad, fear = (
      MOMENTS['tilt'][MOMENTS['emotion'] == synthetic.EMOTIONS.index(name)]
      for name in ('sadness', 'fear'))
  assert 0.05 < (fear[:, None] > sad[None]).mean() < 0.95
