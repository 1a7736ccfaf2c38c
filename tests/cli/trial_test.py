"""When the command tries learning rates, and what it says of them."""

import json

import pytest

from dlfd_jax import presets
from dlfd_jax.cli import exit_codes, unlearn
from dlfd_jax.pipeline import run_configs, unlearn as unlearn_lib
from dlfd_jax.utils import runs
from tests import grids

SHORT = ['--epochs=1', '--restore_epochs=1', '--batch_size=16',
         '--restore_batch_size=16', '--perturb_steps=1', '--devices=1']


def run(original, workdir, *flags):
  code = unlearn.main([
      f'--original={original}', '--forget_people=4', *SHORT, *flags,
      f'--workdir={workdir}'])
  assert code in (exit_codes.OK, exit_codes.UNUSABLE)
  return json.loads((workdir / runs.RESULT).read_text())['findings']


@pytest.mark.parametrize('flags, tried', grids.some([
    ((), [True, True]),
    (('--learning_rate=.001', '--restore_trial=false'), [False, False])], 2))
def test_rates_are_tried_unless_the_user_names_them(
    flags, tried, original, tmp_path, capsys):
  found = run(original, tmp_path / 'run', *flags)
  stages = [*found['stages'], found]
  assert ['trial' in stage for stage in stages] == tried
  said = capsys.readouterr().out
  for stage in stages:
    if 'trial' in stage:
      trial = stage['trial']
      assert trial['steps'] and trial['time_s']
      assert f'learning rate {trial["learning_rate"]:.3g}' in said


def test_a_preset_keeps_its_rates():
  for name, preset in presets.PRESETS.items():
    for method, config in preset.methods.items():
      for stage in presets.stages_in(config).values():
        assert stage.trial is None, (name, method)
  config = presets.PRESETS['demo'].config_of('dlfd_restore')
  both = presets.own_data(config)
  assert both.method.trial and both.restore.trial
  assert both.method.shown and both.restore.shown  # in proportion, both stages
  assert both.restore.least_steps > both.method.least_steps > 1
  assert presets.own_config('dlfd').shown is None  # it has to restore itself
  assert (both.method.selection, both.restore.selection) == ('last', 'one_se')
  assert max(both.restore.trial.factors) == 1 < max(both.method.trial.factors)
  assert presets.own_data(presets.PRESETS['demo'].config_of('eu_k')).trial
  released = presets.PRESETS['demo'].config_of('official_compat')
  assert presets.own_data(released) == released


def test_settings_of_earlier_versions_know_no_trial():
  config = presets.PRESETS['demo'].config_of('dlfd_restore')
  fields = unlearn_lib.settings_of(config)
  del fields['method']['trial'], fields['restore']['trial']
  assert run_configs.method_in(
      {'method': 'dlfd_restore', 'config': fields}, 'a run') == config
