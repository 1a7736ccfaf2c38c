"""Search spaces and the order of trials."""

import json

import pytest
from optuna import distributions

from dlfd_jax import presets
from dlfd_jax.utils import configs
from experiments.paper import spaces, sweep


@pytest.mark.parametrize('method', spaces.SEARCHED)
@pytest.mark.parametrize('preset', presets.STARTS)
def test_every_start_lies_in_its_space_and_makes_a_config(preset, method):
  start = presets.methods_alike(presets.STARTS[preset]).get(
      method, presets.STARTS[preset].config_of(method))
  space = spaces.space_of(presets.STARTS[preset], method)
  values = spaces.start_of(start, space)
  assert sorted(values) == sorted(space)
  assert all(space[path]._contains(space[path].to_internal_repr(value))
             for path, value in values.items())
  assert configs.replace(start, values)
  json.dumps(spaces.describe(space), allow_nan=False)


def test_every_method_has_a_space_or_nothing_to_tune():
  assert set(presets.STARTS['demo'].methods) - set(spaces.SEARCHED) == {
      'official_compat', 'restore', 'rewind'}


def _space_of_own(folder, searched):
  """The space of a method of one's own, as a table asks for it."""
  (folder / 'mine.py').write_text(f"""
import dataclasses
from dlfd_jax.methods import finetune

@dataclasses.dataclass(frozen=True, kw_only=True)
class Mine(finetune.FinetuneConfig):
  title = 'Mine'
  searched = {searched}
  shrink: float = 0.8
""")
  return sweep.candidate(
      presets.STARTS['demo'], f'{folder}/mine.py:Mine').space


def test_a_method_that_names_nothing_gets_rate_and_passes(tmp_path):
  assert sorted(_space_of_own(tmp_path, {})) == [
      'epochs', 'optimizer.learning_rate']


def test_a_method_of_ones_own_says_what_is_searched(tmp_path):
  assert _space_of_own(tmp_path, {
      'shrink': (.1, 1.), 'optimizer.momentum': (0, .9), 'epochs': (1, 4),
      'batch_size': [16, 32]}) == {
          'shrink': distributions.FloatDistribution(.1, 1., log=True),
          'optimizer.momentum': distributions.FloatDistribution(0, .9),
          'epochs': distributions.IntDistribution(1, 4),
          'batch_size': distributions.CategoricalDistribution((16, 32))}


@pytest.mark.parametrize('searched, sentence', [
    ({'shrinks': (.1, 1.)}, "Expected 'shrinks' in `searched` .* Expected the "
                            'path of a field'),
    ({'shrink': (1., .1)}, r'Expected \(low, high\) or a list .* got \(1.0'),
    ({'shrink': .1}, r'Expected \(low, high\) or a list .* got 0.1'),
    ({'epochs': [3]}, r'two choices or more of .* got \[3\]'),
    ({'epochs': (0, 4)}, 'in `searched` .* to be allowed: Expected epochs')])
def test_what_cannot_be_searched_is_one_sentence(searched, sentence, tmp_path):
  with pytest.raises(ValueError, match=sentence):
    _space_of_own(tmp_path, searched)


def test_dlfds_own_step_is_in_its_space():
  for name, preset in presets.STARTS.items():
    ours = preset.methods['dlfd']
    values = spaces.start_of(ours, spaces.space_of(preset, 'dlfd'))
    assert values['perturb_step_size'] == ours.perturb_step_size, name


@pytest.mark.parametrize('change, fits', [
    ({}, True), ({'restore.epochs': 6}, True), ({'restore.epochs': 7}, False),
    ({'method.epochs': 2}, False)])
def test_stored_trials_of_another_space_are_none_of_this(change, fits):
  config = presets.STARTS['demo'].methods['dlfd_restore']
  space = spaces.space_of(presets.STARTS['demo'], 'dlfd_restore')
  values = {**spaces.start_of(config, space), **change}
  assert spaces.lies_in(space, values) == fits
  assert not spaces.lies_in(space, {})


def _trials(count, seed=0):
  preset = presets.STARTS['demo']
  space = spaces.space_of(preset, 'scrub')
  start = spaces.start_of(preset.methods['scrub'], space)
  tried = []
  for _ in range(count):
    values = spaces.suggest(space, start, tried, seed)
    tried.append({'values': values,
                  'score': -abs(values['optimizer.learning_rate'] - .03)})
  return start, tried


def test_the_start_comes_first_and_trials_follow_from_those_before():
  start, tried = _trials(8)
  assert tried[0]['values'] == start
  assert _trials(8)[1] == tried  # so an interrupted search goes on alike
  assert len({json.dumps(t['values'], sort_keys=True) for t in tried}) == 8


def test_another_seed_makes_other_trials():
  assert _trials(3)[1][1:] != _trials(3, seed=1)[1][1:]


def test_every_suggestion_makes_a_config():
  config = presets.STARTS['demo'].methods['scrub']
  for trial in _trials(8)[1]:
    assert configs.replace(config, trial['values'])
