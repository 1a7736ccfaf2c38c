import numpy as np
import pytest

from dlfd_jax.data.faces import synthetic

PERSONS = synthetic.draw_people(2000, seed=3)
MOMENTS = synthetic.draw_moments(PERSONS, 2, seed=3, age_spread=1.5)


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
