"""What is read back from the configs of runs."""

import json

import pytest

from dlfd_jax import methods, presets
from dlfd_jax.pipeline import run_configs, unlearn


@pytest.mark.parametrize('preset', ['demo', 'fgnet_age', 'mufac_age'])
@pytest.mark.parametrize('method', methods.METHODS)
def test_a_method_is_read_as_it_was_recorded(method, preset):
  config = presets.PRESETS[preset].config_of(method)
  stored = json.loads(json.dumps(unlearn.settings_of(config)))
  assert run_configs.method_in(
      {'method': method, 'config': stored}, 'here') == config
