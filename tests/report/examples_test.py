"""The most remembered images and people."""

import numpy as np
import pytest

from dlfd_jax.report import examples

_ARRAYS = {
    'original/forget/loss': np.zeros(4), 'unlearned/forget/loss': np.zeros(4),
    'retrained_0/forget/loss': np.zeros(4),
    'retrained_1/forget/loss': np.zeros(4),
    'original/forget/margin': np.array([9., 9., 9., 9.]),
    'unlearned/forget/margin': np.array([1., 5., 2., 0.]),
    'retrained_0/forget/margin': np.array([0., 5., 0., 1.]),
    'retrained_1/forget/margin': np.array([0., 3., 2., 1.]),
    'forget/sample_id': np.array(['a', 'b', 'c', 'd']),
    'forget/identity': np.array([7, 7, 3, -1], np.int32),
}


def test_images_are_ordered_by_margin_above_the_retrained_mean():
  rows = examples.remembered_images(_ARRAYS)
  assert [row.name for row in rows] == ['a', 'b', 'c', 'd']
  assert [row.excess for row in rows] == [1., 1., 1., -1.]
  assert rows[1] == examples.Remembered('b', 1, 9., 5., 4.)
  assert len(examples.remembered_images(_ARRAYS, count=2)) == 2


def test_people_are_means_and_unknown_people_are_left_out():
  rows = examples.remembered_people(_ARRAYS)
  assert [(row.name, row.images, row.excess) for row in rows] == [
      ('3', 1, 1.), ('7', 2, 1.)]
  assert rows[1].unlearned == pytest.approx(3.)


def test_without_a_retrained_model_the_margin_alone_decides():
  arrays = {k: v for k, v in _ARRAYS.items() if not k.startswith('retrained')}
  rows = examples.remembered_images(arrays)
  assert [row.name for row in rows] == ['b', 'c', 'a', 'd']
  assert rows[0].excess is None


def test_without_the_unlearned_model_there_is_nothing_to_list():
  assert examples.remembered_images({}) == []
  assert examples.remembered_people({}) == []


def test_the_worst_case_by_chance_is_a_retrained_model_among_the_others():
  # retrained_0 over retrained_1: 0, 2, -2, 0; the other way round negated.
  assert examples.largest_by_chance(_ARRAYS) == (2., 2.)
  assert examples.largest_by_chance(
      {**_ARRAYS, 'retrained_2/forget/loss': np.zeros(4),
       'retrained_2/forget/margin': np.array([0., 0., 0., 4.])}) == (2., 3.5)
  # People 3 and 7 at 0 and 2.5 against 2 and 1.5.
  assert examples.largest_by_chance(_ARRAYS, by_person=True) == (1., 2.)
  assert examples.largest_by_chance({}) is None
  unknown = {**_ARRAYS, 'forget/identity': np.full(4, -1)}
  assert examples.largest_by_chance(unknown, by_person=True) is None
