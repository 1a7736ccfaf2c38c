"""Label columns: multiclass, multilabel, merging, thresholds, refusals."""

import numpy as np
import pytest

from dlfd_jax import tasks
from dlfd_jax.data import labels as labels_lib

COLUMNS = {
    'age': np.array([3, 40, -1, 25], np.int32),
    'bin': np.array([0, 2, 1, 3], np.int32),
    'from_one': np.array([1, 2, 1, 3], np.int32),
    'gender': np.array([0, 1, 1, -1], np.int32),
}


def test_one_column_is_a_multiclass_task():
  labels, task = labels_lib.make_labels(COLUMNS, 'bin')
  np.testing.assert_array_equal(labels, [0, 2, 1, 3])
  assert labels.dtype == np.int32
  assert task == tasks.Task('multiclass', ('bin 0', 'bin 1', 'bin 2', 'bin 3'))


def test_names_fix_the_number_of_classes():
  _, task = labels_lib.make_labels(COLUMNS, ['from_one'], names='abcde')
  assert task.names == ('a', 'b', 'c', 'd', 'e')


def test_the_last_classes_can_be_merged():
  labels, task = labels_lib.make_labels(COLUMNS, 'bin', merge_from=2)
  np.testing.assert_array_equal(labels, [0, 2, 1, 2])
  assert labels.dtype == np.int32
  assert task.names == ('bin 0', 'bin 1', 'bin 2+')
  np.testing.assert_array_equal(COLUMNS['bin'], [0, 2, 1, 3])


def test_several_columns_are_a_multilabel_task():
  labels, task = labels_lib.make_labels(
      COLUMNS, ('gender', 'age'), thresholds={'age': 25})
  np.testing.assert_array_equal(labels, [[0, 0], [1, 1], [1, -1], [-1, 1]])
  assert labels.dtype == np.int32
  assert task == tasks.Task('multilabel', ('gender', 'age'))


def test_one_column_can_be_a_multilabel_task():
  labels, task = labels_lib.make_labels(
      COLUMNS, 'gender', names=['male'], multilabel=True)
  assert labels.shape == (4, 1) and task == tasks.Task('multilabel', ('male',))


@pytest.mark.parametrize('labels, options, message', [
    ((), {}, 'at least one label column, got none'),
    ('nose', {}, "label column 'nose', got only age, bin, from_one, gender"),
    ('gender', {}, "classes >= 0 in 'gender', got -1 in row 3"),
    ('from_one', {}, "'from_one' to be counted from 0, got 1 as the lowest"),
    ('bin', {'names': 'abc'}, "'bin' below 3, the number of names, got 3 in "),
    ('bin', {'merge_from': 4}, r'merge_from in \[1, 3\], .* got 4'),
    ('bin', {'merge_from': 0}, r'merge_from in \[1, 3\], .* got 0'),
    ('bin', {'thresholds': {'bin': 1}}, 'thresholds for a multilabel task on'),
    (('bin', 'age'), {'merge_from': 2}, 'merge_from for a multiclass task on'),
    (('gender', 'age'), {}, r"0, 1 or -1 \(unknown\) in 'age', got 3 in row 0"),
    (('gender',), {'multilabel': True, 'thresholds': {'bin': 1}},
     "thresholds for gender, got one for 'bin'"),
    (('gender', 'age'), {'names': ['a'], 'thresholds': {'age': 9}},
     '2 names, one per label column, got 1'),
])
def test_wrong_labels_are_refused(labels, options, message):
  with pytest.raises(ValueError, match=message):
    labels_lib.make_labels(COLUMNS, labels, **options)


def test_a_source_names_its_own_rows():
  with pytest.raises(ValueError, match='got -1 in line 5[.]'):
    labels_lib.make_labels(
        COLUMNS, 'gender', where=lambda i: f'line {i + 2}')


def test_changed_label_columns_are_kept_for_reports():
  kept = labels_lib.other_columns(COLUMNS, 'bin', changed=False)
  assert list(kept) == ['age', 'from_one', 'gender']
  kept = labels_lib.other_columns(COLUMNS, ['bin', 'age'], changed=True)
  assert list(kept) == list(COLUMNS)


def test_integers_become_int32_or_are_refused():
  wide = np.array([True, False])
  assert labels_lib.to_int32('a', wide).tolist() == [1, 0]
  with pytest.raises(ValueError, match='a within the range of int32'):
    labels_lib.to_int32('a', np.array([2**40]))
  with pytest.raises(ValueError, match=r'integers, got float64 \[2\]'):
    labels_lib.to_int32('a', np.zeros(2))
