"""Who is in which shadow model."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from dlfd_jax.pipeline import reference_models
from tests.data import examples


@hypothesis.given(half=st.integers(1, 20), units=st.integers(1, 30),
                  seed=st.integers(0, 99))
def test_everybody_is_in_exactly_half_of_the_models(half, units, seed):
  states = reference_models.random_states(2 * half, units, seed)
  assert states.dtype == np.int8 and states.shape == (2 * half, units)
  assert set(np.unique(states)) == {
      reference_models.OUT, reference_models.FORGET}
  assert (states.sum(0) == half).all()
  again = reference_models.random_states(2 * half, units, seed)
  np.testing.assert_array_equal(states, again)


def test_people_are_drawn_independently():
  # Of K = 2 models two people share one with chance 1/2, of K = 4 one has any
  # of the six halves alike.
  together = reference_models.random_states(2, 10_000, 0)[0]
  assert abs(together.mean() - 0.5) < 0.02
  assert abs((together[::2] == together[1::2]).mean() - 0.5) < 0.03
  four = reference_models.random_states(4, 12_000, 1)
  _, counts = np.unique(four, axis=1, return_counts=True)
  assert len(counts) == 6
  assert (np.abs(counts - 2000) < 5 * np.sqrt(2000)).all()


@pytest.mark.parametrize('n', [0, 1, 3, 7])
def test_no_other_number_of_models(n):
  with pytest.raises(ValueError, match='Expected'):
    reference_models.random_states(n, 4, 0)


def test_a_person_is_one_unit_and_who_is_unknown_one_an_image():
  data = examples.random_dataset(np.array([5, -1, 5, 3, -1], np.int32))
  rows = np.array([0, 1, 2, 3, 4])
  names, unit = reference_models._units(data, rows)
  assert unit[0] == unit[2] and len(set(unit.tolist())) == len(names) == 4
  assert names[unit].tolist() == [
      '5', data.sample_id[1], '5', '3', data.sample_id[4]]
