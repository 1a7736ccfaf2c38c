"""Any text in a flag, any JSON in a run's files: used, or one sentence."""

import copy
import pathlib

import pytest
from absl import flags
from hypothesis import given, settings, strategies as st

from dlfd_jax import presets
from dlfd_jax.cli import options, report, unlearn
from dlfd_jax.pipeline import run_configs
from dlfd_jax.utils import runs
from tests.cli import runs_of
from tests.properties import said
from tests.report import fakes

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
def test_any_result_of_an_evaluation(tmp_path_factory, data):
  source = tmp_path_factory.mktemp('any_result')
  result = fakes.result()
  runs.write_json(source / runs.RESULT, _replaced(data.draw, result))
  before = runs_of.tree(source)
  path, sentence = said.outcome(report.write, source, source / 'out')
  if sentence is None:
    assert '</html>' in pathlib.Path(path).read_text('utf-8')
  else:
    assert runs_of.tree(source) == before


def test_the_words_of_absl_become_sentences(capsys):
  for argv, words in (
      (['--sedd=1'], 'Expected a flag of unlearn, got --sedd. Did you mean: '),
      (['--seed=x'], "Expected --seed to be a non-negative integer, got 'x'."),
      (['--method=x'], 'Expected --method to be one of dlfd, '),
      (['--seed'], 'Expected flags as --name=value, got: ')):
    assert unlearn.COMMAND.main(argv) == 2
    assert words in capsys.readouterr().err
