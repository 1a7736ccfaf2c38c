"""Splits in files: they come back, and what does not fit is refused."""

import numpy as np
import pytest

from dlfd_jax.data import split_files, splits as splits_lib
from tests.data.examples import random_dataset, same_parts


def _splits(*parts, **more):
  return splits_lib.Splits(*map(np.array, parts), **more)


def test_saved_splits_come_back_in_another_order_of_the_data(tmp_path):
  dataset = random_dataset()
  shuffled = random_dataset(dataset.identity[::-1])
  object.__setattr__(shuffled, 'sample_id', dataset.sample_id[::-1])
  parts = [0, 1, 2], [3, 4], [6, 7], [9, 10]
  for splits in (_splits(*parts, by_person=False),
                 _splits(*parts[:1], [3], *parts[2:], earlier=[12, 13]),
                 splits_lib.draw_partition(dataset, seed=0)):
    split_files.save_splits(tmp_path / 'splits.npz', dataset, splits)
    again = split_files.load_splits(tmp_path / 'splits.npz', dataset)
    assert same_parts(again, splits)
    for name in ('by_person', 'earlier'):
      np.testing.assert_array_equal(
          getattr(again, name, None), getattr(splits, name, None))
    moved = split_files.load_splits(tmp_path / 'splits.npz', shuffled)
    for name, part in splits.parts.items():
      np.testing.assert_array_equal(
          np.sort(dataset.sample_id[part]),
          np.sort(shuffled.sample_id[moved.parts[name]]))
  assert [path.name for path in tmp_path.iterdir()] == ['splits.npz']


def test_saving_refuses_what_does_not_fit(tmp_path):
  dataset = random_dataset()
  splits = _splits([0, 1, 2], [3], [6], [9], by_person=True)
  with pytest.raises(FileNotFoundError, match='the folder .* for a.npz'):
    split_files.save_splits(tmp_path / 'absent' / 'a.npz', dataset, splits)
  with pytest.raises(ValueError, match='positions below 3'):
    split_files.save_splits(
        tmp_path / 'a.npz', random_dataset([0, 1, 2]), splits)
  assert not list(tmp_path.iterdir())


def test_what_a_request_names_beyond_forget_is_stored(tmp_path):
  dataset = random_dataset(np.arange(12))
  splits = splits_lib.Splits(
      [0, 1], [2], [3], [4], left_out={'val': np.array([5, 6]),
                                       'elsewhere': np.array([7])})
  path = tmp_path / 'splits.npz'
  split_files.save_splits(path, dataset, splits)
  found = split_files.load_splits(path, dataset).left_out
  assert {name: rows.tolist() for name, rows in found.items()} == {
      'val': [5, 6], 'test': [], 'earlier': [], 'elsewhere': [7]}
  arrays = {name: value for name, value in np.load(path).items()
            if not name.startswith('left_out')}
  np.savez(path, **arrays)  # as earlier versions wrote it
  assert split_files.load_splits(path, dataset).left_out is None
