"""Who is in which shadow model."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from dlfd_jax.data import splits as splits_lib
from dlfd_jax.evaluation import references as references_lib
from dlfd_jax.pipeline import reference_designs as designs
from tests.data import examples


@hypothesis.given(half=st.integers(1, 20), units=st.integers(1, 30),
                  seed=st.integers(0, 99))
def test_everybody_is_in_exactly_half_of_the_models(half, units, seed):
  states = designs.random_states(2 * half, units, seed)
  assert states.dtype == np.int8 and states.shape == (2 * half, units)
  assert set(np.unique(states)) == {references_lib.OUT, references_lib.FORGET}
  assert (states.sum(0) == half).all()
  again = designs.random_states(2 * half, units, seed)
  np.testing.assert_array_equal(states, again)


def test_people_are_drawn_independently():
  # Of K = 2 models two people share one with chance 1/2, of K = 4 one has any
  # of the six halves alike.
  together = designs.random_states(2, 10_000, 0)[0]
  assert abs(together.mean() - 0.5) < 0.02
  assert abs((together[::2] == together[1::2]).mean() - 0.5) < 0.03
  four = designs.random_states(4, 12_000, 1)
  _, counts = np.unique(four, axis=1, return_counts=True)
  assert len(counts) == 6
  assert (np.abs(counts - 2000) < 5 * np.sqrt(2000)).all()


@pytest.mark.parametrize('n', [0, 1, 3, 7])
def test_no_other_number_of_models(n):
  with pytest.raises(ValueError, match='Expected'):
    designs.random_states(n, 4, 0)


def test_some_are_kept_by_a_third_of_the_shadow_models():
  states = designs._states(designs.KEPT, 24, 7, 0)
  shadows, without = states[:12], states[12:]
  for state in range(3):
    assert ((shadows == state).sum(0) == 4).all()
  # The same models, each without whom it would have to forget.
  np.testing.assert_array_equal(without == references_lib.KEEP,
                                shadows == references_lib.KEEP)
  assert not (without == references_lib.FORGET).any()
  assert len(np.unique(shadows, axis=1).T) > 1
  halves = designs._states(designs.HALF, 6, 7, 0)
  assert set(np.unique(halves)) == {references_lib.OUT, references_lib.KEEP}
  for models in (2, 8, 9):
    with pytest.raises(ValueError, match='Expected'):
      designs._states(designs.KEPT, models, 7, 0)


def test_the_split_of_a_shadow_model():
  splits = splits_lib.Splits(
      np.arange(4), np.array([4, 5, 6]), np.array([7]), np.array([8]),
      by_person=True)
  found = designs.parts_of(splits, np.array([
      references_lib.FORGET, references_lib.KEEP, references_lib.OUT]))
  assert found.retain.tolist() == [0, 1, 2, 3, 5]
  assert found.forget.tolist() == [4] and found.val.tolist() == [7]
  nobody = designs.parts_of(splits, np.zeros(3, np.int8))
  assert isinstance(nobody, splits_lib.Partition)
  assert nobody.train.tolist() == [0, 1, 2, 3]


def test_states_go_with_the_ids_of_images():
  found = designs.Membership(
      np.array([[0, 1], [1, 0]], np.int8), np.array(['a', 'b']),
      np.array(['z', 'x', 'y']), np.array([0, 1, 1], np.int32),
      np.array([1, 2]), np.array(['random']))
  assert found.of_images().tolist() == [[0, 1, 1], [1, 0, 0]]
  assert found.of_images(np.array(['x', 'z', 'y'])).tolist() == [
      [1, 0, 1], [0, 1, 0]]


def test_a_person_is_one_unit_and_who_is_unknown_one_an_image():
  data = examples.random_dataset(np.array([5, -1, 5, 3, -1], np.int32))
  rows = np.array([0, 1, 2, 3, 4])
  names, unit = designs._units(data, rows)
  assert unit[0] == unit[2] and len(set(unit.tolist())) == len(names) == 4
  assert names[unit].tolist() == [
      '5', data.sample_id[1], '5', '3', data.sample_id[4]]
