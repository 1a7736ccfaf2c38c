"""What is read back from the configs of runs."""

import json

import pytest

from dlfd_jax import methods, presets
from dlfd_jax.pipeline import run_configs, unlearn
from tests import mutations


@pytest.mark.parametrize('name', methods.METHODS)
def test_a_method_is_read_from_its_run_as_it_was(name):
  for preset in presets.PRESETS.values():
    config = preset.config_of(name)
    stored = json.loads(json.dumps({
        'method': methods.method_of(config),
        'config': unlearn.settings_of(config)}))
    assert run_configs.method_in(stored, 'run') == config
  stored['config']['later'] = 1
  with pytest.raises((ValueError, TypeError), match='later'):
    run_configs.method_in(stored, 'run')


@pytest.mark.parametrize('name', ['rewind', 'dlfd'])
def test_altered_settings_are_read_or_refused(name):
  config = presets.PRESETS['demo'].config_of(name)
  text = json.dumps({'method': name, 'config': unlearn.settings_of(config)})
  refused = 0
  for place, way, make in mutations.altered_json(text):
    try:
      altered = json.loads(make())
      assert isinstance(altered, dict)
    except (ValueError, AssertionError, RecursionError):
      continue  # no JSON, which the reader of configs says
    try:
      run_configs.method_in(altered, 'run')
    except (ValueError, FileNotFoundError) as error:
      assert str(error).startswith('Expected '), (place, way, error)
      refused += 1
  assert refused > 50


def test_a_run_that_chose_among_candidates_has_no_method_of_its_own():
  with pytest.raises(ValueError, match='name the folder of one of them'):
    run_configs.method_in({'method': 'auto', 'config': {}}, 'runs/auto')
