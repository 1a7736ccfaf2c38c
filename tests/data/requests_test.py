"""Deletion requests: who is forgotten, what is noted, what is refused."""

import dataclasses

import numpy as np
import pytest

from dlfd_jax import tasks
from dlfd_jax.data import requests, splits as splits_lib
from tests.data.examples import random_dataset


def _world(identity=None):
  """Ten people with two images each: 0-5 train, 6-7 val, 8-9 test."""
  dataset = random_dataset(
      np.repeat(np.arange(10), 2) if identity is None else identity)
  partition = splits_lib.Partition(
      train=np.arange(12), val=np.arange(12, 16), test=np.arange(16, 20))
  return dataset, partition


def test_a_request_by_person_takes_all_their_images():
  dataset, partition = _world()
  splits, notes = requests.resolve_request(
      dataset, partition, requests.ForgetRequest(identities=[4, 1, 4]))
  np.testing.assert_array_equal(splits.forget, [2, 3, 8, 9])
  np.testing.assert_array_equal(splits.train, partition.train)
  np.testing.assert_array_equal(splits.test, partition.test)
  assert splits.by_person
  assert notes == []


def test_a_request_by_image_may_leave_a_person_in_retain():
  dataset, partition = _world()
  splits, notes = requests.resolve_request(
      dataset, partition,
      requests.ForgetRequest(sample_ids=['image_2', 'image_8']))
  np.testing.assert_array_equal(splits.forget, [2, 8])
  assert not splits.by_person
  assert notes == [
      'Retain and forget share 2 persons: the request is not by person.']


def test_images_of_a_listed_person_in_val_and_test_are_left_out():
  identity = np.repeat(np.arange(10), 2)
  identity[17] = 0
  dataset, partition = _world(identity)
  splits, notes = requests.resolve_request(
      dataset, partition, requests.ForgetRequest(identities=[0, 6]))
  np.testing.assert_array_equal(splits.forget, [0, 1])
  np.testing.assert_array_equal(splits.val, [14, 15])
  np.testing.assert_array_equal(splits.test, [16, 18, 19])
  assert len(notes) == 2
  assert notes[0].startswith('2 images to be forgotten are in val')
  assert notes[1].startswith('1 images to be forgotten are in test')


def test_other_persons_in_train_and_test_are_refused():
  identity = np.repeat(np.arange(10), 2)
  identity[17] = 0
  dataset, partition = _world(identity)
  with pytest.raises(ValueError, match='test to share no person with retain'):
    requests.resolve_request(
        dataset, partition, requests.ForgetRequest(identities=[1]))


def test_images_outside_the_partition_are_noted():
  dataset, _ = _world()
  partition = splits_lib.Partition(
      train=np.arange(2, 12), val=np.arange(12, 16), test=np.arange(16, 20))
  splits, notes = requests.resolve_request(
      dataset, partition, requests.ForgetRequest(identities=[0, 1]))
  np.testing.assert_array_equal(splits.forget, [2, 3])
  assert notes == [
      '2 images to be forgotten are in none of train, val and test: nothing is '
      'to be done for them.']


@pytest.mark.parametrize('wish, people', [
    ({'people': 2}, 2), ({'fraction': 0.5}, 3), ({'fraction': 0.01}, 1)])
def test_random_people_come_from_train(wish, people):
  dataset, partition = _world()
  chosen = set()
  for seed in range(8):
    request = requests.ForgetRequest(**wish, seed=seed)
    splits, notes = requests.resolve_request(dataset, partition, request)
    again, _ = requests.resolve_request(dataset, partition, request)
    np.testing.assert_array_equal(splits.forget, again.forget)
    drawn = np.unique(dataset.identity[splits.forget])
    assert len(drawn) == people and len(splits.forget) == 2 * people
    assert drawn.max() <= 5 and splits.by_person and notes == []
    chosen.add(tuple(drawn))
  assert len(chosen) > 1


def test_without_persons_a_fraction_is_one_of_images():
  dataset, partition = _world([-1] * 20)
  splits, notes = requests.resolve_request(
      dataset, partition, requests.ForgetRequest(fraction=0.25))
  assert len(splits.forget) == 3 and not splits.by_person
  assert notes[0].startswith('No person is known')
  assert 'unknown in 20 of 20 images' in notes[1]


@pytest.mark.parametrize('wish, message', [
    ({'identities': [0, 77, 78]}, "persons of 'data', got 77, 78 that are"),
    ({'identities': range(100, 107)}, '103, 104 and 2 more that are not'),
    ({'sample_ids': ['image_0', 'no']}, "sample ids of 'data', got 'no' that"),
    ({'identities': [8]}, 'one training image to forget, got none: the 2 '),
    ({'identities': range(6)}, 'training images left to retain, got none'),
    ({'identities': [0, 6, 7]}, 'images left in val after the request'),
    ({'people': 6}, 'fewer people to forget than the 6 known in train, got 6'),
    ({'identities': ['Ann']}, "an integer identity >= 0, got 'Ann'"),
    ({'fraction': 0.99}, 'fewer people to forget than the 6 .* got 6'),
])
def test_impossible_requests_are_refused(wish, message):
  dataset, partition = _world()
  with pytest.raises(ValueError, match=message):
    requests.resolve_request(
        dataset, partition, requests.ForgetRequest(**wish))


def test_people_cannot_be_drawn_where_none_is_known():
  dataset, partition = _world([-1] * 20)
  with pytest.raises(ValueError, match='draw 2 people from, got identity -1'):
    requests.resolve_request(
        dataset, partition, requests.ForgetRequest(people=2))


@pytest.mark.parametrize('wish, message', [
    ({}, 'exactly one of identities, .* got none'),
    ({'people': 1, 'fraction': 0.5}, 'got people and fraction'),
    ({'identities': []}, 'at least one entry in identities'),
    ({'sample_ids': []}, 'at least one entry in sample_ids'),
    ({'sample_ids': 'image_0'}, "sequence of sample ids, got 'image_"),
    ({'classes': 'man'}, "sequence of classes, got 'man'"),
    ({'families': [-3]}, 'families to be names or integers >= 0, got -3'),
    ({'families': []}, 'at least one entry in families'),
    ({'identities': [-1]}, 'integers >= 0, got -1'),
    ({'identities': [1.0]}, 'names or integers >= 0, got 1.0'),
    ({'people': 0}, 'people of at least 1, got 0'),
    ({'people': 1.5}, 'people to be an integer, got 1.5'),
    ({'fraction': 1.0}, r'fraction in \(0, 1\), got 1.0'),
    ({'people': 1, 'seed': -2}, 'seed >= 0, got -2'),
])
def test_wrong_requests_are_refused(wish, message):
  with pytest.raises(ValueError, match=message):
    requests.ForgetRequest(**wish)


def _families():
  data = random_dataset(np.repeat(np.arange(10), 4))
  family = (data.identity // 2).astype(np.int32)
  family[:2] = -1
  rows = np.arange(40)
  data = dataclasses.replace(data, columns={'family': family})
  return data, splits_lib.Partition(rows[:24], rows[24:32], rows[32:])


def test_families_go_as_a_whole():
  data, partition = _families()
  splits, notes = requests.resolve_request(
      data, partition, requests.ForgetRequest(families=[1]))
  assert splits.forget.tolist() == list(range(8, 16))
  assert splits.by_person and not notes
  with pytest.raises(ValueError, match='families of .*, got 7 that are not'):
    requests.resolve_request(
        data, partition, requests.ForgetRequest(families=[1, 7]))
  bare = dataclasses.replace(data, columns={})
  with pytest.raises(ValueError, match=r"a column 'family', got \[\]"):
    requests.resolve_request(
        bare, partition, requests.ForgetRequest(families=[1]))


def test_a_classs_training_images_go_and_its_unseen_ones_stay():
  data, partition = _families()
  name = data.task.names[1]
  splits, _ = requests.resolve_request(
      data, partition, requests.ForgetRequest(classes=[name]))
  train = partition.train
  assert splits.forget.tolist() == train[data.labels[train] == 1].tolist()
  np.testing.assert_array_equal(splits.val, partition.val)
  np.testing.assert_array_equal(splits.test, partition.test)
  assert (data.labels[splits.test] == 1).any()
  with pytest.raises(ValueError, match=r"classes of .*, got \['nobody'\]"):
    requests.resolve_request(
        data, partition, requests.ForgetRequest(classes=[name, 'nobody']))


def test_attributes_are_no_classes_to_forget():
  data, partition = _families()
  both = dataclasses.replace(
      data, task=tasks.Task('multilabel', ('smile', 'young')),
      labels=np.ones((40, 2), np.int32))
  with pytest.raises(ValueError, match='got the attributes smile, young'):
    requests.resolve_request(
        both, partition, requests.ForgetRequest(classes=['smile']))


def test_requests_add_up():
  data = random_dataset(np.repeat(np.arange(10), 4))
  rows = np.arange(40)
  of = lambda *people: rows[np.isin(data.identity, people)]
  first, notes = requests.resolve_request(
      data, splits_lib.Partition(of(*range(6)), of(6, 7), of(8, 9)),
      requests.ForgetRequest(identities=(0,)))
  assert not first.earlier.size and not notes
  second, notes = requests.resolve_request(
      data, splits_lib.Partition(first.retain, first.val, first.test),
      requests.ForgetRequest(identities=(0, 1)), first.forget)
  assert set(data.identity[second.forget]) == {1}
  assert set(data.identity[second.earlier]) == {0}
  assert 0 not in data.identity[second.retain]
  assert any('forgotten by an earlier' in note for note in notes)
  assert any('stay out of retain' in note for note in notes)
  with pytest.raises(ValueError, match='training image to forget'):
    requests.resolve_request(
        data, splits_lib.Partition(first.retain, first.val, first.test),
        requests.ForgetRequest(identities=(0,)), first.forget)


def test_lists_are_read_in_order_and_once(tmp_path):
  path = tmp_path / 'people.txt'
  path.write_bytes(
      '\ufeff# ticket 12\n7\n\n 3  # May\n7\r\na b#.png\n'.encode())
  assert requests.read_entries(path) == {
      '7': f'line 2 of {path}', '3': f'line 4 of {path}',
      'a b#.png': f'line 6 of {path}'}


@pytest.mark.parametrize('kind, what', [
    ('identities', 'identity'), ('families', 'family')])
@pytest.mark.parametrize('named, entry, expected', [
    (True, 'Zoë Ω', 1), (False, '1', 1), (False, '001', 1),
    (True, '1', "a known {} in line 2 of p.txt, got '1'"),
    (True, 'Ann', "a known {} in line 2 of p.txt, got 'Ann'"),
    (False, 'Ann', "an integer {} >= 0 in line 2 of p.txt, got 'Ann'"),
    (False, '-1', "an integer {} >= 0 in line 2 of p.txt, got '-1'"),
    (False, '1.0', "an integer {} >= 0 in line 2 of p.txt, got '1.0'"),
    (False, '9' * 12, 'every entry of .*ies of at most 2147483647, got 9')])
def test_entries_are_names_where_the_data_has_names(
    kind, what, named, entry, expected):
  data, partition = _families()
  names = {k: f'nobody {k}' for k in range(10)} | {1: 'Zoë Ω'}
  if named:
    data = dataclasses.replace(
        data, people=names, column_names={'family': names})
  request = requests.ForgetRequest(
      **{kind: (entry,)}, places={entry: 'line 2 of p.txt'})
  if isinstance(expected, str):
    with pytest.raises(ValueError, match=expected.format(what)):
      requests.resolve_request(data, partition, request)
  else:
    forgotten, _ = requests.resolve_request(data, partition, request)
    column = data.columns['family'] if kind == 'families' else data.identity
    np.testing.assert_array_equal(
        forgotten.forget, np.flatnonzero(column == expected))
