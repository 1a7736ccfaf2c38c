"""Partition and Splits: what they refuse, and what they say of people."""

import dataclasses

import numpy as np
import pytest

from dlfd_jax.data import index_sets
from tests.data.examples import random_dataset


def _splits(retain, forget, val, test, by_person=True, earlier=()):
  return index_sets.Splits(
      *map(np.array, (retain, forget, val, test)), by_person=by_person,
      earlier=earlier)


def test_parts_are_sorted_read_only_int64():
  splits = _splits([3, 1], [0], [5], [4], True)
  np.testing.assert_array_equal(splits.retain, [1, 3])
  np.testing.assert_array_equal(splits.train, [0, 1, 3])
  assert splits.retain.dtype == np.int64
  with pytest.raises(ValueError, match='read-only'):
    splits.retain[0] = 7


def test_making_a_partition_leaves_its_argument_as_it_was():
  train = np.array([3, 1])
  index_sets.Partition(train, np.array([0]), np.array([2]))
  np.testing.assert_array_equal(train, [3, 1])
  assert train.flags.writeable


@pytest.mark.parametrize('parts, message', [
    (([0], [1], [2], []), 'at least one image in test, got 0'),
    (([0, 4], [1], [2, 4], [3]), 'retain and val to share no image, got 1 in '
                                 r'both \(the first at position 4\)'),
    (([0, 0], [1], [2], [3]), 'distinct positions in retain, got 0'),
    (([-1], [1], [2], [3]), 'positions >= 0 in retain, got -1'),
    (([0.5], [1], [2], [3]), 'retain to be a vector of integer positions'),
    (([[0]], [1], [2], [3]), r'got int64 \[1, 1\]'),
])
def test_wrong_parts_are_refused(parts, message):
  with pytest.raises(ValueError, match=message):
    _splits(*parts)


def test_positions_outside_the_data_are_refused():
  dataset = random_dataset([0, 1, 2, 3])
  with pytest.raises(ValueError, match='positions below 4, .* got 4 in test'):
    index_sets.check_splits(dataset, _splits([0], [1], [2], [4]))


@pytest.mark.parametrize('identity, message', [
    ([0, 1, 0, 3], 'val to share no person with retain, got 1 .* identity 0'),
    ([0, 1, 2, 1], 'test to share no person with forget, got 1 .* identity 1'),
    ([0, 1, 2, 2], 'test to share no person with val, got 1 .* identity 2'),
    ([1, 1, 2, 3], 'retain and forget to share no person .* identity 1'),
    ([0, -1, 2, 3], 'known persons in retain and forget .* got 1 images'),
])
def test_shared_people_are_refused(identity, message):
  with pytest.raises(ValueError, match=message):
    index_sets.check_splits(
        random_dataset(identity), _splits([0], [1], [2], [3]))


def test_retain_and_forget_may_share_people_if_not_by_person():
  dataset = random_dataset([1, 1, 2, 3])
  splits = _splits([0], [1], [2], [3], by_person=False)
  index_sets.check_splits(dataset, splits)
  assert index_sets.splits_notes(dataset, splits) == [
      'Retain and forget share 1 persons: the request is not by person.']
  assert not index_sets.retain_forget_by_person(
      dataset, splits.retain, splits.forget)


def test_unknown_persons_share_nothing_and_are_noted():
  dataset = random_dataset([-1, -1, -1, 3])
  splits = _splits([0], [1], [2], [3], by_person=False)
  index_sets.check_splits(dataset, splits)
  (note,) = index_sets.splits_notes(dataset, splits)
  assert 'unknown in 3 of 4 images' in note


def test_people_are_called_as_the_source_calls_them():
  names = dataclasses.replace(
      random_dataset([0, 1, 2, 3, 4, -1]), people={3: 'Ann', 4: 'Bob'})
  splits = _splits([0], [1], [2, 5], [3], by_person=False,
                   earlier=[4])
  assert index_sets.splits_notes(names, splits)[-1].endswith(
      '1 images of 1 people were forgotten by earlier requests: they stay out '
      'of retain. People: Bob.')
  called = index_sets.named_people(names, np.array([-1, 1, 3, 4]), most=2)
  assert called == '1, Ann and 1 more'
  assert index_sets.named_people(names, np.array([-1])) == 'unknown'
  twice = dataclasses.replace(
      names, identity=np.array([3, 1, 2, 3, 4, -1], np.int32))
  with pytest.raises(ValueError, match='the first is identity Ann: '):
    index_sets.check_splits(twice, splits)


def test_a_clean_split_has_no_notes():
  dataset = random_dataset([0, 1, 2, 3])
  splits = _splits([0], [1], [2], [3])
  assert index_sets.splits_notes(dataset, splits) == []
  assert index_sets.retain_forget_by_person(
      dataset, splits.retain, splits.forget)


def test_samples_are_found_by_id_whatever_their_order():
  dataset = random_dataset()
  np.testing.assert_array_equal(
      index_sets.find_samples(dataset, ['image_7', 'absent', 'image_0', 'zz']),
      [7, -1, 0, -1])


def test_generators_differ_by_seed_and_purpose():
  draws = [index_sets.random_generator(seed, purpose).random()
           for seed in (0, 1) for purpose in ('a', 'b')]
  assert len(set(draws)) == 4
  assert draws[0] == index_sets.random_generator(0, 'a').random()


@pytest.mark.parametrize('seed', [-1, 0.5, True, None])
def test_wrong_seeds_are_refused(seed):
  with pytest.raises(ValueError, match='seed to be an integer >= 0'):
    index_sets.random_generator(seed, 'a')
