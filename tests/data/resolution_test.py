"""What requests leave: who is forgotten, what is noted, what is refused."""

import dataclasses

import numpy as np
import pytest

from dlfd_jax import tasks
from dlfd_jax.data import (
  requests,
  resolution,
  split_files,
  splits as splits_lib,
)
from dlfd_jax.utils import text
from tests.data.examples import random_dataset


def _world(identity=None):
  """Ten people with two images each: 0-5 train, 6-7 val, 8-9 test."""
  data = random_dataset(
      np.repeat(np.arange(10), 2) if identity is None else identity)
  family = (data.identity // 2).astype(np.int32)
  family[0] = -1
  partition = splits_lib.Partition(
      train=np.arange(12), val=np.arange(12, 16), test=np.arange(16, 20))
  return dataclasses.replace(data, columns={'family': family}), partition


def _resolve(world, earlier=None, **wish):
  return resolution.resolve_request(
      *world, requests.ForgetRequest(**wish), earlier)


def shared_by(people):
  return (f'Retain and forget share {text.counted(people, "person")}: the '
          'request is not by person.')


@pytest.mark.parametrize('wish, forget, notes', [
    ({'identities': [4, 1, 4]}, [2, 3, 8, 9], []),
    ({'families': [1]}, [4, 5, 6, 7], []),
    ({'sample_ids': ['image_2', 'image_8']}, [2, 8], [shared_by(2)]),
    ({'classes': ['yes']}, [0, 4, 5, 7, 8], [
        shared_by(3), 'Forgotten whole: yes. Accuracies']),
    ({'subclasses': ['family:1', 'family:2']}, [4, 5, 6, 7, 8, 9, 10, 11], [
        "'family' is not known of 1", 'Forgotten whole: family:1, family:2.'])])
def test_a_request_takes_the_training_images_it_names(wish, forget, notes):
  data, partition = _world()
  splits, told = _resolve((data, partition), **wish)
  np.testing.assert_array_equal(splits.forget, forget)
  for part in ('train', 'val', 'test'):  # unseen images of a class stay
    np.testing.assert_array_equal(
        getattr(splits, part), getattr(partition, part))
  assert len(told) == len(notes)
  assert all(map(str.startswith, told, notes))
  assert splits.by_person == (not any('not by person' in one for one in told))


def test_images_of_a_listed_person_in_val_and_test_are_left_out():
  identity = np.repeat(np.arange(10), 2)
  identity[17] = 0
  splits, notes = _resolve(_world(identity), identities=[0, 6])
  np.testing.assert_array_equal(splits.forget, [0, 1])
  np.testing.assert_array_equal(splits.val, [14, 15])
  np.testing.assert_array_equal(splits.test, [16, 18, 19])
  assert len(notes) == 2
  assert notes[0].startswith('2 images to be forgotten are in val')
  assert notes[1].startswith('1 image to be forgotten is in test, ')
  with pytest.raises(ValueError, match='test to share no person with retain'):
    _resolve(_world(identity), identities=[1])


def test_images_outside_the_partition_are_noted():
  dataset, _ = _world()
  partition = splits_lib.Partition(
      train=np.arange(2, 12), val=np.arange(12, 16), test=np.arange(16, 20))
  splits, notes = _resolve((dataset, partition), identities=[0, 1])
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
    splits, notes = _resolve((dataset, partition), **wish, seed=seed)
    again, _ = _resolve((dataset, partition), **wish, seed=seed)
    np.testing.assert_array_equal(splits.forget, again.forget)
    drawn = np.unique(dataset.identity[splits.forget])
    assert len(drawn) == people and len(splits.forget) == 2 * people
    assert drawn.max() <= 5 and splits.by_person and notes == []
    chosen.add(tuple(drawn))
  assert len(chosen) > 1


def test_without_persons_a_fraction_is_one_of_images():
  splits, notes = _resolve(_world([-1] * 20), fraction=0.25)
  assert len(splits.forget) == 3 and not splits.by_person
  assert notes[0].startswith('No person is known')
  assert 'unknown in 20 of 20 images' in notes[1]
  with pytest.raises(ValueError, match='draw 2 people from, got identity -1'):
    _resolve(_world([-1] * 20), people=2)


@pytest.mark.parametrize('wish, message', [
    ({'identities': range(100, 107)}, '103, 104 and 2 more that are not'),
    ({'families': [1, 7]}, "families of 'data', got 7 that are not"),
    ({'classes': ['yes', 'nobody']}, r"classes of .*, got \['nobody'\]"),
    ({'identities': [0, 6, 7]}, 'images left in val after the request'),
    ({'fraction': 0.99}, 'fewer people to forget than the 6 .* got 6'),
    ({'images': 12}, 'fewer images to forget than the 12 in train, got 12'),
    ({'subclasses': ['family']}, "NAME one of family, got 'family'"),
    ({'subclasses': ['label:1']}, "NAME one of family, got 'label:1'"),
    ({'subclasses': ['family:44']}, "value of 'family', .*, got '44'")])
def test_impossible_requests_are_refused(wish, message):
  with pytest.raises(ValueError, match=message):
    _resolve(_world(), **wish)


def test_a_subclass_with_a_twin_is_forgotten_alone_and_said():
  data, partition = _world()
  hair = np.arange(len(data), dtype=np.int32) % 4
  data = dataclasses.replace(
      data, columns={'hair': hair}, column_names={
          'hair': dict(enumerate(['Fair', 'dark', 'fair', 'red']))})
  splits, notes = _resolve((data, partition), subclasses=['hair:Fair'])
  assert (hair[splits.forget] == 0).all()
  said = ('Values that differ from a listed one only by case, spacing, '
          'how signs are written or leading zeros are not forgotten with it. '
          "Names: 'hair:Fair' and 'fair'.")
  assert said in notes
  both = ['hair:Fair', 'hair:fair']
  splits, notes = _resolve((data, partition), subclasses=both)
  assert set(hair[splits.forget]) == {0, 2}
  assert not any('Not forgotten' in note for note in notes)


@pytest.mark.parametrize('wish, forget, not_found', [
    ({'identities': [0, 103, 77]}, [0, 1], ['77', '103']),
    ({'families': [1, 9]}, [4, 5, 6, 7], ['9']),
    ({'sample_ids': ['image_3', 'image_99']}, [3], ['image_99']),
    ({'classes': ['yes', 'nobody']}, None, ['nobody']),
    ({'subclasses': ['family:1', 'family:44']}, None, ['family:44'])])
def test_names_that_are_not_in_the_data_are_recorded(
    tmp_path, wish, forget, not_found):
  data, partition = _world()
  with pytest.raises(ValueError, match=not_found[0].split(':')[-1]):
    _resolve((data, partition), **wish)
  splits, notes = _resolve((data, partition), **wish, missing='record')
  if forget is not None:
    np.testing.assert_array_equal(splits.forget, forget)
  assert splits.not_found == tuple(not_found)
  assert not set(splits.classes) & set(not_found)
  assert any('recorded as --missing=record says' in one for one in notes)
  split_files.save_splits(tmp_path / 'splits.npz', data, splits)
  again = split_files.load_splits(tmp_path / 'splits.npz', data)
  assert resolution.ResolvedRequest.of(
      data, again).counts()['not_found'] == not_found
  nobody = {kind: entries[-1:] for kind, entries in wish.items()}
  with pytest.raises(ValueError, match=r'Expected'):  # nothing is left
    _resolve((data, partition), **nobody, missing='record')


def test_people_and_images_add_up_to_one_request():
  splits, _ = _resolve(_world(), identities=[0], sample_ids=['image_5'])
  np.testing.assert_array_equal(splits.forget, [0, 1, 5])
  with pytest.raises(ValueError, match='got identities and images'):
    requests.ForgetRequest(identities=[0], images=1)


def test_who_is_gone_is_known_and_nothing_more_is_to_be_done():
  data, partition = _world()
  gone = {'old_1': '77', 'old_2': ''}
  for wish in ({'identities': ['0', '77']},
               {'sample_ids': ['image_0', 'image_1', 'old_2']}):
    found = resolution.resolve(data, partition.parts,
                               requests.ForgetRequest(**wish), gone=gone)
    np.testing.assert_array_equal(found.forget, [0, 1])
    assert 'nothing more is to be done' in found.notes()[0]
  for wish in ({'identities': ['77']}, {'sample_ids': ['old_1']}):
    with pytest.raises(ValueError, match='1 of the request is forgotten by'):
      resolution.resolve(data, partition.parts,
                         requests.ForgetRequest(**wish), gone=gone)


def _attributes():
  data, partition = _world()
  labels = np.stack([np.arange(20) % 2, np.arange(20) % 3 == 0], axis=1)
  labels[3, 0] = -1
  return dataclasses.replace(
      data, task=tasks.Task('multilabel', ('smile', 'young')),
      labels=labels.astype(np.int32)), partition


@pytest.mark.parametrize('task, classes, forget, unseen', [
    ('yes or no', ['yes'], [0, 4, 5, 7, 8], [12, 15, 17]),
    ('attributes', ['smile:1'], [1, 5, 7, 9, 11], [13, 15, 17, 19]),
    ('attributes', ['smile:1', 'young:0'],
     [1, 2, 4, 5, 7, 8, 9, 10, 11], [13, 14, 15, 16, 17, 19])])
def test_unseen_images_of_a_forgotten_class_are_known(
    tmp_path, task, classes, forget, unseen):
  data, partition = _world() if task == 'yes or no' else _attributes()
  if task == 'yes or no':
    data.labels[12:] = [1, 0, 0, 1, 0, 1, 0, 0]
  splits, notes = _resolve((data, partition), classes=classes)
  np.testing.assert_array_equal(splits.forget, forget)
  np.testing.assert_array_equal(splits.of_classes, unseen)
  assert splits.classes == tuple(classes)
  for name in ('val', 'test'):
    both = splits.stays(name), splits.unseen(name)
    np.testing.assert_array_equal(
        np.sort(np.concatenate(both)), splits.parts[name])
    assert set(both[1]) == set(splits.parts[name]) & set(unseen)
  assert 'smile:1' not in classes or any(
      "'smile' is not known of 1 training images" in note for note in notes)
  split_files.save_splits(tmp_path / 'splits.npz', data, splits)
  again = split_files.load_splits(tmp_path / 'splits.npz', data)
  assert again.classes == splits.classes
  np.testing.assert_array_equal(again.of_classes, splits.of_classes)
  # The next request has the same val and test without that class.
  found = resolution.resolve_next(
      data, split_files.load_splits(tmp_path / 'splits.npz', data, True),
      requests.ForgetRequest(images=1))
  assert not set(np.concatenate([*found.others.values()])) & set(unseen)
  assert any('an earlier request forgot whole' in one for one in found.notes())


def test_a_list_of_all_images_of_a_class_is_a_request_by_class():
  data, partition = _world()
  data.labels[12:] = [1, 0, 0, 1, 0, 1, 0, 0]
  named, _ = _resolve((data, partition), classes=['yes'])
  listed, _ = _resolve((data, partition), sample_ids=[
      f'image_{i}' for i in named.forget])
  assert listed.classes == ('yes',)
  np.testing.assert_array_equal(listed.of_classes, named.of_classes)
  some, _ = _resolve((data, partition), sample_ids=['image_0', 'image_4'])
  assert some.classes == () and not some.of_classes.size
  np.testing.assert_array_equal(some.unseen('test'), some.test)


def test_the_note_says_what_is_left_without_unseen_images_of_the_class():
  data, partition = _world()
  data.labels[12:] = 0
  splits, notes = _resolve((data, partition), classes=['yes'])
  assert not splits.of_classes.size and not splits.unseen('test').size
  assert 'Test has no image of it: no attack' in notes[-1]
  assert notes[-1].endswith('Val has none: nothing steers the run.')
  data.labels[16:] = 1
  with pytest.raises(ValueError, match='images in test of something else'):
    _resolve((data, partition), classes=['yes'])


@pytest.mark.parametrize('entry, message', [
    ('smile', "an attribute and its value, .* smile, young, got 'smile'"),
    ('smile:2', "value of 'smile', one of 0, 1, got '2'"),
    ('smile:-1', "value of 'smile', one of 0, 1, got '-1'"),
    ('age:1', "an attribute and its value, .*, got 'age:1'")])
def test_attributes_are_forgotten_by_a_value(entry, message):
  with pytest.raises(ValueError, match=message):
    _resolve(_attributes(), classes=[entry])


@pytest.mark.parametrize('persons', [True, False])
@pytest.mark.parametrize('wish, count', [
    ({'images': 5}, 5), ({'image_fraction': .25}, 3),
    ({'image_fraction': .001}, 1)])
def test_random_images_are_drawn_whoever_they_show(persons, wish, count):
  world = _world(None if persons else [-1] * 20)
  chosen = set()
  for seed in range(6):
    splits, notes = _resolve(world, **wish, seed=seed)
    again, _ = _resolve(world, **wish, seed=seed)
    np.testing.assert_array_equal(splits.forget, again.forget)
    assert len(splits.forget) == count and splits.forget.max() < 12
    both = np.intersect1d(world[0].identity[splits.forget],
                          world[0].identity[splits.retain]) if persons else []
    assert (shared_by(len(both)) in notes) == bool(len(both))
    chosen.add(tuple(splits.forget))
  assert len(chosen) > 1


def test_requests_add_up():
  world = _world()
  first, notes = _resolve(world, identities=(1,))
  assert not first.earlier.size and not notes
  world = world[0], splits_lib.Partition(first.retain, first.val, first.test)
  second, notes = _resolve(world, first.forget, identities=(1, 2))
  np.testing.assert_array_equal(second.forget, [4, 5])
  np.testing.assert_array_equal(second.earlier, [2, 3])
  assert not set(second.earlier) & set(second.retain)
  assert any('forgotten by an earlier' in note for note in notes)
  assert any('stay out of retain' in note for note in notes)
  with pytest.raises(ValueError, match='training image to forget'):
    _resolve(world, first.forget, identities=(1,))


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
  data, partition = _world()
  names = {k: f'nobody {k}' for k in range(10)} | {1: 'Zoë Ω'}
  if named:
    data = dataclasses.replace(
        data, people=names, column_names={'family': names})
  request = requests.ForgetRequest(
      **{kind: (entry,)}, places={entry: 'line 2 of p.txt'})
  if isinstance(expected, str):
    with pytest.raises(ValueError, match=expected.format(what)):
      resolution.resolve_request(data, partition, request)
  else:
    forgotten, _ = resolution.resolve_request(data, partition, request)
    column = data.columns['family'] if kind == 'families' else data.identity
    np.testing.assert_array_equal(
        forgotten.forget, np.flatnonzero(column == expected))
