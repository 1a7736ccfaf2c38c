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


@pytest.mark.parametrize('columns, options, expected, names', [
    ('bin', {}, [0, 2, 1, 3], ('bin 0', 'bin 1', 'bin 2', 'bin 3')),
    (['from_one'], {'names': 'abcde'}, [1, 2, 1, 3], tuple('abcde')),
    ('bin', {'merge_from': 2}, [0, 2, 1, 2], ('bin 0', 'bin 1', 'bin 2+')),
    (('gender', 'age'), {'thresholds': {'age': 25}},
     [[0, 0], [1, 1], [1, -1], [-1, 1]], ('gender', 'age')),
    ('gender', {'names': ['male'], 'multilabel': True},
     [[0], [1], [1], [-1]], ('male',))])
def test_columns_become_labels_and_a_task(columns, options, expected, names):
  before = {name: column.copy() for name, column in COLUMNS.items()}
  labels, task = labels_lib.make_labels(COLUMNS, columns, **options)
  np.testing.assert_array_equal(labels, expected)
  assert labels.dtype == np.int32
  assert task == tasks.Task(
      'multiclass' if labels.ndim == 1 else 'multilabel', names)
  for name, column in before.items():
    np.testing.assert_array_equal(COLUMNS[name], column)


@pytest.mark.parametrize('labels, options, message', [
    ((), {}, 'at least one label column, got none'),
    ('nose', {}, "label column 'nose', got only age, bin, from_one, gender"),
    ('bin', {'names': 'abc'}, "'bin' below 3, the number of names, got 3 in "),
    ('bin', {'merge_from': 0}, r'merge_from in \[1, 3\], .* got 0'),
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
  kept = labels_lib.other_columns(COLUMNS, ['bin'])
  assert list(kept) == ['age', 'from_one', 'gender']
  kept = labels_lib.other_columns(COLUMNS, ['bin'], merge_from=2)
  assert list(kept) == list(COLUMNS)


def test_integers_become_int32_or_are_refused():
  wide = np.array([True, False])
  assert labels_lib.to_int32('a', wide).tolist() == [1, 0]
  with pytest.raises(ValueError, match='a within the range of int32'):
    labels_lib.to_int32('a', np.array([2**40]))
  with pytest.raises(ValueError, match=r'integers, got float64 \[2\]'):
    labels_lib.to_int32('a', np.zeros(2))
