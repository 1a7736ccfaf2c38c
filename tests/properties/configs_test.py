"""Any value in any field of any config: it is kept if valid, or refused."""

import collections.abc
import dataclasses
import functools
import typing

import pytest
from hypothesis import given, settings, strategies as st

from dlfd_jax import fit, methods, models, ot, presets, tasks, train
from dlfd_jax.cli import reference_runs
from dlfd_jax.data import augment, requests, sources
from dlfd_jax.evaluation import inputs, reference_inputs
from dlfd_jax.metrics import relearning
from dlfd_jax.pipeline import relearn
from dlfd_jax.utils import validate
from tests.properties import said

# A class and the arguments that it has no defaults for.
CONFIGS = [
    (train.OptimizerConfig, {}), (fit.TrainConfig, {}),
    (ot.SinkhornConfig, {}), (augment.AugmentConfig, {}),
    (models.ModelConfig, {'outputs': 3}), (presets.Network, {}),
    (sources.DataOptions, {}), (requests.ForgetRequest, {}),
    (tasks.Task, {'kind': 'multiclass', 'names': ('a', 'b')}),
    (inputs.EvaluationConfig, {}), (reference_inputs.ReferenceConfig, {}),
    (reference_runs.Options, {}), (relearn.RelearnConfig, {}),
    (relearning.RelearnTime, {'steps': 1}),
    *((config, {}) for config in methods.METHODS.values())]


_hints = functools.cache(typing.get_type_hints)


def _fits(value, annotation) -> bool:
  """Whether a value is what a type annotation says, NumPy's numbers too."""
  origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
  if origin in (tuple, collections.abc.Sequence):
    return isinstance(value, tuple) and all(_fits(v, inner[0]) for v in value)
  if inner:  # a union
    return any(_fits(value, part) for part in inner)
  if annotation is int:
    return validate.is_integer(value)
  if annotation is float:
    return validate.is_number(value)
  return isinstance(value, annotation)


@pytest.mark.parametrize(
    'config, arguments', CONFIGS, ids=[c.__name__ for c, _ in CONFIGS])
@given(data=st.data())
@settings(max_examples=80)
def test_a_field_is_valid_or_refused(config, arguments, data):
  name = data.draw(st.sampled_from(
      [field.name for field in dataclasses.fields(config)]))
  value = data.draw(said.ANYTHING)
  made, sentence = said.outcome(config, **{**arguments, name: value})
  if made is None:
    assert '\n' not in sentence
    return
  assert _fits(getattr(made, name), _hints(config)[name]), (name, value)
  assert said.is_plain(dataclasses.asdict(made)), (name, value)
  assert hash(made) == hash(config(**{**arguments, name: value}))


@given(st.integers(-3, 3), st.integers(-3, 3), said.NUMBERS)
def test_integers_are_kept_between_their_ends(least, most, value):
  _, sentence = said.outcome(
      validate.integer, 'width', value, least, most)
  inside = validate.is_integer(value) and least <= value <= most
  assert (sentence is None) == inside
  assert inside or 'width' in sentence


@given(st.floats(-2, 2), st.floats(-2, 2), said.NUMBERS,
       st.sampled_from(['[]', '()', '[)', '(]']))
def test_numbers_are_kept_inside_their_interval(low, high, value, ends):
  _, sentence = said.outcome(
      validate.number, 'rate', value, low, high, ends=ends)
  inside = (low <= value <= high and not (ends[0] == '(' and value == low)
            and not (ends[1] == ')' and value == high))
  assert (sentence is None) == inside
  assert inside or 'rate' in sentence
