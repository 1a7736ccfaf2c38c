"""Which output is which class, however the classes are called."""

import numpy as np
import pytest

from dlfd_jax.pipeline import class_order


@pytest.mark.parametrize(('names', 'head', 'rows'), [
    (['age 0', 'age 1', 'age 10'], ['0', '1', '10'], [0, 1, 2]),
    (['age 0', 'age 1', 'age 10'], ['0', '10', '1'], [0, 2, 1]),
    (['age 0', 'age 1', 'age 10'], ['age 10', 'age 0', '01'], [1, 2, 0]),
    (['0', '1'], ['1', '0'], [1, 0]),
    # They end in numbers, and are none.
    (['Audi 2012', 'BMW 2012', 'Fiat 2011'],
     ['Fiat 2011', 'Audi 2012', 'BMW 2012'], [1, 2, 0]),
    (['left 1', 'right 1'], ['right 1', 'left 1'], [1, 0]),
    (['bin 1', 'bin 01'], ['bin 01', 'bin 1'], [1, 0]),
    (['20 to 30', '31 to 40'], ['31 to 40', '20 to 30'], [1, 0]),
    (['Zo\u00eb', 'Ann'], ['Ann', 'Zoe\u0308'], [1, 0])])
def test_every_class_has_the_output_of_its_name(names, head, rows):
  found = class_order.rows_of(names, head, 'FILE')
  np.testing.assert_array_equal(found, rows)
  assert sorted(found) == list(range(len(names)))
  for order in class_order.usual(names).values():
    assert sorted(class_order.rows_of(names, order, 'an order')) == sorted(rows)


@pytest.mark.parametrize(('names', 'head'), [
    (['left 1', 'right 1'], ['1', '1']), (['a', 'b'], ['a', 'a']),
    (['age 0', 'age 1'], ['0', '2']), (['age 0', 'age 1'], ['0', '1', '01']),
    (['Zo\u00eb', 'Zoe\u0308'], ['Zo\u00eb', 'Zoe\u0308'])])
def test_other_classes_are_refused(names, head):
  with pytest.raises(ValueError, match='each class of the data once in FILE'):
    class_order.rows_of(names, head, 'FILE')
