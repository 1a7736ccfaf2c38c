"""Splits from a column: what they are, and what is refused."""

import numpy as np
import pytest

from dlfd_jax.data import split_columns, splits as splits_lib
from tests.data.examples import random_dataset


def test_the_column_gives_a_partition():
  dataset = random_dataset([0, 0, 1, 2], ['train', ' train', 'val', 'test'])
  partition = split_columns.partition_from_column(dataset)
  assert isinstance(partition, splits_lib.Partition)
  np.testing.assert_array_equal(partition.train, [0, 1])
  with pytest.raises(ValueError, match="split column in 'data', got none"):
    split_columns.partition_from_column(random_dataset())


@pytest.mark.parametrize('identity, by_person', [
    ([0, 1, 2, 3], True), ([0, 0, 2, 3], False), ([0, -1, 2, 3], False)])
def test_the_column_gives_splits(identity, by_person):
  dataset = random_dataset(identity, ['retain', 'forget', 'val', 'test'])
  splits = split_columns.partition_from_column(dataset)
  assert isinstance(splits, splits_lib.Splits)
  assert splits.by_person == by_person
  np.testing.assert_array_equal(splits.forget, [1])


def test_a_column_that_cuts_a_person_is_refused():
  dataset = random_dataset([0, 1, 2, 1], ['train', 'train', 'val', 'test'])
  with pytest.raises(ValueError, match='test to share no person with train'):
    split_columns.partition_from_column(dataset)
  unchecked = split_columns.partition_from_column(dataset, check=False)
  np.testing.assert_array_equal(unchecked.test, [3])
