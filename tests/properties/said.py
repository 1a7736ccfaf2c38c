"""What every refusal has in common: one sentence that begins with Expected."""

from __future__ import annotations

import json
import math

import numpy as np
from hypothesis import strategies as st

REFUSALS = (ValueError, FileNotFoundError)


def is_sentence(error: BaseException) -> str:
  """The text of a refusal, checked to be a sentence that says what was wanted.

  Subclasses of ValueError that others raise (text that is no UTF-8, JSON that
  cannot be read) are no refusals of ours.
  """
  assert type(error) in REFUSALS, repr(error)
  text = str(error)
  assert text.startswith('Expected '), text
  assert 15 < len(' '.join(text.split())) < 2000, text
  return text


def outcome(function, *arguments, **options):
  """(value, None) or (None, sentence); any other exception goes through."""
  try:
    return function(*arguments, **options), None
  except REFUSALS as error:
    return None, is_sentence(error)


NUMBERS = st.one_of(
    st.integers(-3, 3), st.integers(), st.floats(-2, 2), st.floats(),
    st.sampled_from([math.nan, math.inf, -math.inf, 2**31, 2**63, -2**63,
                     np.int64(3), np.float32(.5), np.float64(math.nan)]))
ANYTHING = st.one_of(
    NUMBERS, st.booleans(), st.none(), st.text(max_size=5),
    st.sampled_from(['null_95', 'sgd', 'cosine', 'frozen', 'resnet18', 'paper',
                     '../x.csv', 'a.npz', '1', 'nan', '<b>', b'bytes']),
    st.lists(st.integers(-2, 2), max_size=3),
    st.lists(st.floats(), max_size=3).map(tuple),
    st.lists(st.text(max_size=3), max_size=3).map(tuple),
    st.just({}), st.just(object))


def is_plain(value) -> bool:
  """Whether JSON can hold it: what a config stores must go into config.json."""
  try:
    json.dumps(value, allow_nan=False, default=lambda x: x.item())
  except (TypeError, ValueError, AttributeError):
    return False
  return True
