"""Any value in a config, a flag or a run's files: used, or one sentence."""

import collections.abc
import copy
import dataclasses
import functools
import pathlib
import typing

import pytest
from absl import flags
from hypothesis import given, settings, strategies as st

from dlfd_jax import methods, models, ot, presets, tasks, training as train
from dlfd_jax.cli import options, unlearn
from dlfd_jax.data import augment, requests, sources
from dlfd_jax.evaluation import inputs
from dlfd_jax.metrics import forgetting
from dlfd_jax.pipeline import (
  evaluation_result,
  relearn,
  run_configs,
  tier_1_runs,
)
from dlfd_jax.utils import runs, validate
from tests.cli import runs_of
from tests.properties import said
from tests.report import fakes

# A class and the arguments that it has no defaults for.
CONFIGS = [
    (train.OptimizerConfig, {}), (train.TrainConfig, {}),
    (ot.SinkhornConfig, {}), (augment.AugmentConfig, {}),
    (models.ModelConfig, {'outputs': 3}), (presets.Network, {}),
    (sources.DataOptions, {}), (requests.ForgetRequest, {}),
    (tasks.Task, {'kind': 'multiclass', 'names': ('a', 'b')}),
    (inputs.EvaluationConfig, {}), (inputs.ReferenceConfig, {}),
    (tier_1_runs.Tier1Config, {}), (relearn.RelearnConfig, {}),
    (forgetting.RelearnTime, {'steps': 1}),
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


@given(st.floats(-2, 2), st.floats(-2, 2), said.NUMBERS,
       st.sampled_from(['[]', '()', '[)', '(]']))
def test_numbers_are_kept_inside_their_interval(low, high, value, ends):
  _, sentence = said.outcome(
      validate.number, 'rate', value, low, high, ends=ends)
  inside = (low <= value <= high and not (ends[0] == '(' and value == low)
            and not (ends[1] == ')' and value == high))
  assert (sentence is None) == inside
  assert inside or 'rate' in sentence
  least, most = int(low), int(high)
  _, sentence = said.outcome(validate.integer, 'rate', value, least, most)
  inside = validate.is_integer(value) and least <= value <= most
  assert (sentence is None) == inside
  assert inside or 'rate' in sentence


TEXTS = st.one_of(
    st.sampled_from(['', '0', '1', '-1', '2.5', 'nan', 'inf', '1e400', 'none',
                     'true', 'x', 'a:1', 'a:b', '99999999999', 'null_95',
                     '0x10', '1_000', '٣', 'sgd', ',', '../x.csv',
                     'os:system']),
    st.text(max_size=5))
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 2**40), st.text(max_size=3),
    st.lists(st.integers(0, 3), max_size=2), st.just({}))
DEMO = presets.PRESETS['demo']
GROUPS = {'data': (DEMO.data, options.DATA),
          'network': (DEMO.network, options.NETWORK),
          'training': (DEMO.train, options.TRAIN),
          **{name: (DEMO.config_of(name), options.METHOD)
             for name in ('dlfd', 'scrub', 'unsir', 'rewind')}}


@given(st.sampled_from(sorted(GROUPS)), st.data())
@settings(max_examples=250)
def test_any_text_of_a_flag(group, data):
  config, known = GROUPS[group]
  option = data.draw(st.sampled_from(known))
  values = flags.FlagValues()
  options.define(known, values)
  values(['x', f'--{option.flag}={data.draw(TEXTS)}'])
  found, sentence = said.outcome(
      options.apply, config, known, values, f'the {group}')
  assert sentence is not None or type(found) is type(config)


@given(st.lists(st.text(
    alphabet='-=abdeprstw01 \x00é', max_size=12), max_size=3))
def test_any_command_line_ends_with_a_sentence(argv):
  out = unlearn.COMMAND.main([a for a in argv if a != '--help'])
  assert out == 2


def _replaced(draw, tree):
  """The tree with one of its values, at any depth, replaced or removed."""
  tree = copy.deepcopy(tree)
  at = tree
  while True:
    keys = sorted(at) if isinstance(at, dict) else list(range(len(at)))
    key = draw(st.sampled_from(keys))
    if isinstance(at[key], (dict, list)) and at[key] and draw(st.booleans()):
      at = at[key]
      continue
    if draw(st.booleans()):
      at[key] = draw(VALUES)
    else:
      del at[key]
    return tree


@given(st.data())
@settings(max_examples=100)
def test_any_config_of_a_run(tmp_path_factory, data):
  run = tmp_path_factory.getbasetemp() / 'any_config'
  run.mkdir(exist_ok=True)
  runs.write_json(run / runs.CONFIG, _replaced(data.draw, {
      'kind': 'train', 'data': {
          'source': 'x.npz', 'labels': ['y'], 'thresholds': [['y', 1]]},
      'network': DEMO.network.identity(), 'train': {
          'epochs': 1, 'optimizer': {'momentum': .5}, 'augment': None}}))
  before = runs_of.tree(run)
  found, sentence = said.outcome(run_configs.recipe_of, run)
  assert sentence is not None or len(found) == 3
  assert runs_of.tree(run) == before


@pytest.mark.slow
@given(st.data())
@settings(max_examples=30)
@pytest.mark.long
def test_any_result_of_an_evaluation(tmp_path_factory, data):
  source = tmp_path_factory.mktemp('any_result')
  result = fakes.result()
  runs.write_json(source / runs.RESULT, _replaced(data.draw, result))
  before = runs_of.tree(source)
  path, sentence = said.outcome(
      lambda: evaluation_result.load_evaluation(source).write_report(
          source / 'out' / runs.REPORT))
  if sentence is None:
    assert '</html>' in pathlib.Path(path).read_text('utf-8')
  else:
    assert runs_of.tree(source) == before


def test_the_words_of_absl_become_sentences(capsys):
  for argv, words in (
      (['--sedd=1'], 'Expected a flag of unlearn, got --sedd. Did you mean: '),
      (['--seed=x'], "Expected --seed to be a non-negative integer, got 'x'."),
      (['--method=x'], "Expected a method of ['align', "),
      (['--seed'], 'Expected flags as --name=value, got: ')):
    assert unlearn.COMMAND.main(argv) == 2
    assert words in capsys.readouterr().err
