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


def test_a_run_that_chose_among_candidates_has_no_method_of_its_own():
  with pytest.raises(ValueError, match='name the folder of one of them'):
    run_configs.method_in({'method': 'auto', 'config': {}}, 'runs/auto')
