"""Splits: what they refuse and say, and how they are drawn."""

import dataclasses

import numpy as np
import pytest

from dlfd_jax.data import splits as splits_lib
from tests.data.examples import random_dataset, same_parts


def _splits(retain, forget, val, test, by_person=True, earlier=()):
  return splits_lib.Splits(
      *map(np.array, (retain, forget, val, test)), by_person=by_person,
      earlier=earlier)


def test_parts_are_sorted_read_only_int64():
  retain = np.array([3, 1])
  splits = _splits(retain, [0], [5], [4])
  np.testing.assert_array_equal(splits.retain, [1, 3])
  np.testing.assert_array_equal(splits.train, [0, 1, 3])
  assert splits.retain.dtype == np.int64
  with pytest.raises(ValueError, match='read-only'):
    splits.retain[0] = 7
  np.testing.assert_array_equal(retain, [3, 1])
  assert retain.flags.writeable


@pytest.mark.parametrize('identity, message', [
    ([0, 1, 0, 3], 'val to share no person with retain, got 1 .* identity 0'),
    ([0, 1, 2, 1], 'test to share no person with forget, got 1 .* identity 1'),
    ([0, 1, 2, 2], 'test to share no person with val, got 1 .* identity 2'),
    ([1, 1, 2, 3], 'retain and forget to share no person .* identity 1'),
    ([0, -1, 2, 3], 'known persons in retain and forget .* got 1 images'),
])
def test_shared_people_are_refused(identity, message):
  with pytest.raises(ValueError, match=message):
    splits_lib.check_splits(
        random_dataset(identity), _splits([0], [1], [2], [3]))


@pytest.mark.parametrize('identity, by_person, notes', [
    ([0, 1, 2, 3], True, []),
    ([1, 1, 2, 3], False, ['Retain and forget share 1 person: the request is '
                           'not by person.']),
    ([-1, -1, -1, 3], False, [
        'The person is unknown in 3 of 4 images: each counts by itself, and '
        'one person may be in several parts.'])])
def test_what_is_no_split_by_person_is_noted(identity, by_person, notes):
  dataset = random_dataset(identity)
  splits = _splits([0], [1], [2], [3], by_person=by_person)
  splits_lib.check_splits(dataset, splits)
  assert splits_lib.splits_notes(dataset, splits) == notes
  assert by_person == splits_lib.retain_forget_by_person(
      dataset, splits.retain, splits.forget)


def test_people_are_called_as_the_source_calls_them():
  names = dataclasses.replace(
      random_dataset([0, 1, 2, 3, 4, -1]), people={3: 'Ann', 4: 'Bob'})
  splits = _splits([0], [1], [2, 5], [3], by_person=False,
                   earlier=[4])
  assert splits_lib.splits_notes(names, splits)[-1].endswith(
      '1 image of 1 person was forgotten by earlier requests: it stays out '
      'of retain. Names: Bob.')
  twice = dataclasses.replace(
      names, identity=np.array([3, 1, 2, 3, 4, -1], np.int32))
  with pytest.raises(ValueError, match='the first is identity Ann: '):
    splits_lib.check_splits(twice, splits)


def test_samples_are_found_by_id_whatever_their_order():
  dataset = random_dataset()
  np.testing.assert_array_equal(
      splits_lib.find_samples(dataset, ['image_7', 'absent', 'image_0', 'zz']),
      [7, -1, 0, -1])


def test_drawn_parts_cover_the_data_and_share_no_person():
  dataset = random_dataset()
  partition = splits_lib.draw_partition(dataset, seed=0)
  splits_lib.check_splits(dataset, partition)
  everything = np.sort(np.concatenate(list(partition.parts.values())))
  np.testing.assert_array_equal(everything, np.arange(len(dataset)))
  people = {name: len(np.unique(dataset.identity[part]))
            for name, part in partition.parts.items()}
  assert people == {'train': 13, 'val': 3, 'test': 4}


def test_drawing_depends_on_the_seed_and_test_not_on_val():
  dataset = random_dataset()
  first = splits_lib.draw_partition(dataset, seed=3)
  assert same_parts(first, splits_lib.draw_partition(dataset, seed=3))
  assert not same_parts(first, splits_lib.draw_partition(dataset, seed=4))
  many = splits_lib.draw_partition(dataset, val_fraction=0.4, seed=3)
  np.testing.assert_array_equal(first.test, many.test)
  assert len(first.val) < len(many.val)


def test_tiny_data_still_gives_every_part_a_person():
  partition = splits_lib.draw_partition(random_dataset([5, 6, 7]), seed=0)
  assert [len(part) for part in partition.parts.values()] == [1, 1, 1]


def test_unknown_persons_need_a_split_by_image():
  dataset = random_dataset([-1] * 10 + [4] * 5)
  with pytest.raises(ValueError, match=r"identity -1 in 10 of 15; .*'image'"):
    splits_lib.draw_partition(dataset, seed=0)
  partition = splits_lib.draw_partition(dataset, seed=0, by='image')
  splits_lib.check_splits(dataset, partition)
  homes = [name for name, part in partition.parts.items()
           if (dataset.identity[part] == 4).any()]
  assert len(homes) == 1


@pytest.mark.parametrize('options, message', [
    ({'test_fraction': 0.0}, r'test_fraction in \(0, 1\), got 0.0'),
    ({'val_fraction': 1.5}, r'val_fraction in \(0, 1\), got 1.5'),
    ({'test_fraction': 0.5, 'val_fraction': 0.5}, 'below 1, got 0.5 [+] 0.5'),
    ({'by': 'class'}, "'person' or 'image', got 'class'"),
    ({'by': 'image'}, "by='person' where every person is known"),
    ({'seed': -1}, 'seed >= 0, got -1'),
    ({'test_fraction': 0.9, 'val_fraction': 0.09}, 'enough people .* got 20'),
])
def test_wrong_wishes_are_refused(options, message):
  with pytest.raises(ValueError, match=message):
    splits_lib.draw_partition(random_dataset(), **{'seed': 0, **options})


def test_what_was_forgotten_earlier_is_in_no_part():
  with pytest.raises(ValueError, match='forgotten earlier in retain'):
    _splits([0, 1], [2], [3], [4], earlier=[1])
