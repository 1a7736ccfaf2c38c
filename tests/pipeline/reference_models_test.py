"""Who is in which shadow model."""

import json

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from dlfd_jax import methods, presets
from dlfd_jax.data import splits as splits_lib
from dlfd_jax.pipeline import reference_models, run_configs, unlearn
from tests import mutations
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


def test_some_are_kept_by_a_third_of_the_shadow_models():
  states = reference_models._states(reference_models.KEPT, 24, 7, 0)
  shadows, without = states[:12], states[12:]
  for state in range(3):
    assert ((shadows == state).sum(0) == 4).all()
  # The same models, each without whom it would have to forget.
  np.testing.assert_array_equal(without == reference_models.KEEP,
                                shadows == reference_models.KEEP)
  assert not (without == reference_models.FORGET).any()
  assert len(np.unique(shadows, axis=1).T) > 1
  halves = reference_models._states(reference_models.HALF, 6, 7, 0)
  assert set(np.unique(halves)) == {
      reference_models.OUT, reference_models.KEEP}
  for models in (2, 8, 9):
    with pytest.raises(ValueError, match='Expected'):
      reference_models._states(reference_models.KEPT, models, 7, 0)


def test_the_split_of_a_shadow_model():
  splits = splits_lib.Splits(
      np.arange(4), np.array([4, 5, 6]), np.array([7]), np.array([8]),
      by_person=True)
  found = reference_models.parts_of(splits, np.array([
      reference_models.FORGET, reference_models.KEEP, reference_models.OUT]))
  assert found.retain.tolist() == [0, 1, 2, 3, 5]
  assert found.forget.tolist() == [4] and found.val.tolist() == [7]
  nobody = reference_models.parts_of(splits, np.zeros(3, np.int8))
  assert isinstance(nobody, splits_lib.Partition)
  assert nobody.train.tolist() == [0, 1, 2, 3]


def test_states_go_with_the_ids_of_images():
  found = reference_models.Membership(
      np.array([[0, 1], [1, 0]], np.int8), np.array(['a', 'b']),
      np.array(['z', 'x', 'y']), np.array([0, 1, 1], np.int32),
      np.array([1, 2]), np.array(['random']))
  assert found.of_images().tolist() == [[0, 1, 1], [1, 0, 0]]
  assert found.of_images(np.array(['x', 'z', 'y'])).tolist() == [
      [1, 0, 1], [0, 1, 0]]


@pytest.mark.parametrize('name', methods.METHODS)
def test_a_method_is_read_from_its_run_as_it_was(name):
  for preset in presets.PRESETS.values():
    config = preset.config_of(name)
    stored = json.loads(json.dumps({
        'method': methods.method_of(config),
        'config': unlearn.settings_of(config)}))
    assert run_configs.method_in(stored, 'run') == config
  stored['config']['later'] = 1
  with pytest.raises((ValueError, TypeError), match='later'):
    run_configs.method_in(stored, 'run')


@pytest.mark.parametrize('name', ['rewind', 'dlfd'])
def test_altered_settings_are_read_or_refused(name):
  config = presets.PRESETS['demo'].config_of(name)
  text = json.dumps({'method': name, 'config': unlearn.settings_of(config)})
  refused = 0
  for place, way, make in mutations.altered_json(text):
    try:
      altered = json.loads(make())
      assert isinstance(altered, dict)
    except (ValueError, AssertionError, RecursionError):
      continue  # no JSON, which the reader of configs says
    try:
      run_configs.method_in(altered, 'run')
    except (ValueError, FileNotFoundError) as error:
      assert str(error).startswith('Expected '), (place, way, error)
      refused += 1
  assert refused > 50


def test_a_person_is_one_unit_and_who_is_unknown_one_an_image():
  data = examples.random_dataset(np.array([5, -1, 5, 3, -1], np.int32))
  rows = np.array([0, 1, 2, 3, 4])
  names, unit = reference_models._units(data, rows)
  assert unit[0] == unit[2] and len(set(unit.tolist())) == len(names) == 4
  assert names[unit].tolist() == [
      '5', data.sample_id[1], '5', '3', data.sample_id[4]]
