"""Data sets are checked when they are made."""

import dataclasses

import numpy as np
import pytest

from dlfd_jax import tasks
from dlfd_jax.data import dataset as dataset_lib
from tests import tiny


@pytest.mark.parametrize('field, value, words', [
    ('images', np.zeros((0, 4, 4, 3), np.uint8), 'at least one image, got 0'),
    ('labels', np.zeros(5, np.int32),
     r'Expected labels int32 \[6\] for a multiclass task, got int32 \[5\]'),
    ('labels', np.array([0, 1, -1, 0, 0, 0], np.int32), 'got -1 in row 2'),
    ('split', np.array(['train']), r'Expected split \[6\], got \[1\]'),
    ('places', np.array(['line 2']), r'Expected places \[6\], got \[1\]'),
    ('people', {0: 'Ann', 1: 'Bob', 2: 'Ann'}, "got 'Ann' for 0 and 2"),
    ('people', {0: '1', 7: 'Bob'}, "own .* in people, got '1' for 1 and 0"),
    ('people', ['Ann'], 'Expected people to be a Mapping'),
])
def test_a_wrong_array_is_named(field, value, words):
  with pytest.raises(ValueError, match=words):
    dataclasses.replace(tiny.dataset(6), **{field: value})


def test_an_image_is_named_with_the_place_that_lists_it():
  data = tiny.dataset(6)
  assert data.where(4) == "'image4'"
  listed = dataclasses.replace(
      data, places=np.array([f'line {k}' for k in range(2, 8)]))
  assert listed.where(4) == "'image4' (line 6)"
  assert listed.take(np.array([4, 5])).where(0) == "'image4' (line 6)"


def test_multilabel_labels_may_be_unknown_but_not_2():
  data = tiny.dataset(6, tasks.MULTILABEL)
  labels = data.labels.copy()
  labels[1] = tasks.UNKNOWN
  assert (dataclasses.replace(data, labels=labels).labels[1] == -1).all()
  labels[4, 2] = 2
  with pytest.raises(ValueError, match=r'in \[-1, 1\], got 2 in row 4'):
    dataclasses.replace(data, labels=labels)


def test_the_fingerprint_follows_what_a_run_depends_on():
  data = tiny.dataset(6)
  print_ = data.fingerprint()
  assert print_ == tiny.dataset(6).fingerprint()
  other = data.images.copy()
  other[0, 0, 0, 0] ^= 1
  for change in (
      {'images': other}, {'labels': data.labels[::-1].copy()},
      {'identity': data.identity + 1},
      {'sample_id': np.char.add(data.sample_id, 'x')},
      {'task': tasks.Task(tasks.MULTICLASS, ('a', 'b', 'c'))}):
    assert dataclasses.replace(data, **change).fingerprint() != print_
  assert dataclasses.replace(data, name='other').fingerprint() == print_


def test_class_keys_tell_label_vectors_apart():
  data = tiny.dataset(12)
  np.testing.assert_array_equal(data.class_key(), data.labels)
  data = tiny.dataset(24, tasks.MULTILABEL, outputs=2)
  keys = data.class_key()
  for i in range(24):
    for j in range(24):
      same = (data.labels[i] == data.labels[j]).all()
      assert (keys[i] == keys[j]) == same


def test_columns_cannot_be_changed_afterwards():
  data = dataclasses.replace(
      tiny.dataset(6), columns={'age': np.zeros(6, np.int32)})
  with pytest.raises(TypeError):
    data.columns['age'] = np.ones(6, np.int32)


def test_facts_of_a_data_set():
  data = tiny.dataset(6)
  assert len(data) == 6 and data.image_size == (tiny.SIZE, tiny.SIZE)
  assert data.has_identities
  unknown = np.full(6, -1, np.int32)
  assert not dataclasses.replace(data, identity=unknown).has_identities
  assert isinstance(data, dataset_lib.Dataset)
