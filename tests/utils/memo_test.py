"""Functions that are shared, and those that are not."""

import pytest

from dlfd_jax.utils import memo


def test_equal_arguments_give_one_function_until_all_are_forgotten():
  @memo.one_for_equal
  def make(factor, *, shift=0.0):
    return lambda x: factor * x + shift

  first = make((2.0, 3.0), shift=1.0)
  assert make((2.0, 3.0), shift=1.0) is first
  assert make((2.0, 3.0)) is not first and make((2.0, 4.0)) is not first
  assert make([2.0]) is not make([2.0])  # no hash, no matter
  memo.clear()
  assert make((2.0, 3.0), shift=1.0) is not first


def test_an_error_of_what_makes_a_function_is_not_hidden():
  @memo.one_for_equal
  def make(factor):
    raise TypeError(f'Expected another factor, got {factor}.')

  with pytest.raises(TypeError, match='another factor, got 2'):
    make(2)
