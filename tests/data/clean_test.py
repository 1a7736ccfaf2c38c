"""Splits without copies: across parts, inside them, near ones."""

import numpy as np
import pytest

from dlfd_jax import tasks
from dlfd_jax.data import clean, dataset as dataset_lib, index_sets, leakage


def dataset_of(pictures):
  """One image for each number; equal numbers are copies, k + .5 near ones."""
  images = []
  for picture in pictures:
    image = np.random.default_rng(int(picture)).integers(
        16, 240, (32, 32, 3), np.uint8)
    if picture % 1:
      image += 1
    images.append(image)
  n = len(images)
  return dataset_lib.Dataset(
      images=np.stack(images), labels=np.zeros(n, np.int32),
      identity=np.arange(n, dtype=np.int32),
      sample_id=np.array([f'i{k}' for k in range(n)]),
      task=tasks.Task('multiclass', ('a', 'b')))


def splits_of(retain, forget, val, test):
  sizes = np.cumsum([0, *map(len, (retain, forget, val, test))])
  parts = [np.arange(a, b) for a, b in zip(sizes[:-1], sizes[1:])]
  return (dataset_of([*retain, *forget, *val, *test]),
          index_sets.Splits(*parts))


def test_copies_leave_every_later_part_and_their_own():
  dataset, splits = splits_of(
      retain=[1, 2, 3, 3], forget=[1.5, 4, 4], val=[2, 5, 6], test=[4, 6, 7])
  copies = leakage.find_copies(dataset, splits)
  assert len(copies.near) == 1
  cleaned = clean.clean_splits(dataset, splits)
  assert {name: rows.tolist() for name, rows in cleaned.parts.items()} == {
      'retain': [1, 2], 'forget': [4, 5], 'val': [8, 9], 'test': [12]}


def test_the_report_gives_both():
  dataset, splits = splits_of([1, 2], [1, 3], [4], [5])
  cleaned, report = clean.report(dataset, splits)
  assert report['raw']['exact']['forget-retain'] == 1
  assert report['raw']['images']['retain'] == 2
  assert report['clean']['images']['retain'] == len(cleaned.retain) == 1
  assert not any(report['clean']['exact'].values())
  assert not any(report['clean']['near'].values())


def test_a_part_of_copies_only_is_refused():
  with pytest.raises(ValueError, match='images of test that are no copies'):
    clean.clean_splits(*splits_of([1], [2], [3], [2]))


def test_rows_keep_their_facts():
  dataset = dataset_of([1, 2, 3])
  few = clean.take(dataset, np.array([2, 0]))
  assert few.sample_id.tolist() == ['i2', 'i0'] and few.split is None
  np.testing.assert_array_equal(few.images[0], dataset.images[2])
