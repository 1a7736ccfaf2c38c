"""One look for a model in every figure."""

import pytest

from dlfd_jax import methods
from dlfd_jax.report import palette


def test_a_known_model_looks_the_same_whatever_else_there_is():
  alone = palette.styles(['scrub'])['scrub']
  assert palette.styles(['mine', 'original', 'scrub'])['scrub'] == alone


def test_all_methods_and_some_others_look_different():
  names = ['original', 'retrained', 'finetune_alike', *methods.METHODS,
           'a', 'b', 'c']
  looks = palette.styles(names)
  assert len({(s.color, s.marker) for s in looks.values()}) == len(names)


def test_no_further_look_is_that_of_a_known_model():
  further = [f'm{i}' for i in range(palette.MOST_FURTHER)]
  looks = palette.styles([*further, 'original', *methods.METHODS])
  assert len({(s.color, s.marker) for s in looks.values()}) == len(looks)


def test_a_last_state_is_hollow():
  looks = palette.styles(['dlfd', 'dlfd/last'])
  assert looks['dlfd'].face == looks['dlfd'].color
  assert looks['dlfd/last'].face == 'none'
  assert looks['dlfd/last'].edge == looks['dlfd'].color


def test_too_many_unknown_names_are_refused():
  with pytest.raises(ValueError, match='Expected at most'):
    palette.styles([str(i) for i in range(palette.MOST_FURTHER + 1)])
