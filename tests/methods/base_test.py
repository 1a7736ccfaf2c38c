"""What every method shares: checks of its inputs, and its result."""

import dataclasses

import numpy as np
import pytest

from dlfd_jax import loop, methods
from dlfd_jax.methods import base, finetune, rewind, run
from tests.methods import problems


# tests/bad_cases has what can be said on the command line.
@pytest.mark.parametrize('name, fields, message', [
    ('finetune', {'epochs': 0}, 'epochs of at least 1, got 0'),
    ('finetune', {'batch_size': 0}, 'batch_size of at least 1, got 0'),
    ('finetune', {'select_threshold': float('nan')},
     'select_threshold in .*got nan'),
    ('finetune', {'select_threshold': 'null'}, "select_threshold.*got 'null'"),
    ('dlfd', {'ce_weight_end': -0.1}, 'ce_weight_end >= 0, got -0.1'),
    ('dlfd', {'perturb_radius': 0.0}, 'perturb_radius above 0, got 0.0'),
    ('official_compat', {'batch_norm': 'batch'},
     'frozen BatchNorm and no augmentation'),
    ('official_compat', {'perturb_steps': 0}, 'perturb_steps of at least 1'),
    ('official_compat', {'perturb_step_size': 0.0}, 'perturb_step_size above'),
    ('official_compat', {'ot_weight': -1.0}, 'ot_weight >= 0, got -1.0'),
    ('official_compat', {'ce_weight_end': -1.0}, 'ce_weight_end >= 0, got -1'),
    ('official_compat', {'std': (0.2, 0.0, 0.2)}, 'three positive deviations'),
    ('official_compat', {'mean': (0.5, 0.5)}, 'three means'),
    ('official_compat', {'mean': (0.5, 0.5, 1.0)}, r'mean in \[0, 1\), got 1'),
    ('official_compat', {'forget_threshold': 'null_mean'},
     'forget_threshold to be a number'),
    ('official_compat', {'select_threshold': 'null_95'},
     'select_threshold to be a number'),
    ('official_compat', {'forget_threshold': 1.5}, 'forget_threshold in .*1.5'),
    ('neggrad_plus', {'beta': float('nan')}, r'beta in \(0, 1\], got nan'),
    ('scrub', {'max_epochs': 0}, 'max_epochs of at least 1, got 0'),
    ('scrub', {'forget_batch_size': 0}, 'forget_batch_size of at least 1'),
    ('scrub', {'gamma': float('nan')}, 'gamma >= 0, got nan'),
    ('unsir', {'noise_steps': 0}, 'noise_steps of at least 1, got 0'),
    ('unsir', {'retain_per_label': 0}, 'retain_per_label of at least 1, got 0'),
    ('unsir', {'noise_rate': 0.0}, 'noise_rate above 0, got 0.0'),
    ('unsir', {'noise_penalty': -1.0}, 'noise_penalty >= 0, got -1.0'),
    ('bad_teaching', {'retain_share': 1.5}, r'retain_share in \(0, 1\], got 1'),
    ('bad_teaching', {'temperature': 0.0}, 'temperature above 0, got 0.0'),
    ('rewind', {'every': 0}, 'every of at least 1, got 0'),
    ('rewind', {'method': rewind.RewindConfig()},
     'runs no other in RewindConfig, got RewindConfig'),
])
def test_a_wrong_field_is_named(name, fields, message):
  with pytest.raises(ValueError, match=message):
    methods.METHODS[name](**fields)


def test_variables_of_another_network_are_refused():
  problem = problems.problem()
  other = problems.TinyNet(3, channels=5)
  with pytest.raises(ValueError, match='of the original model to be'):
    dataclasses.replace(problem, model=other)


def test_a_model_with_another_number_of_outputs_is_refused():
  problem = problems.problem()
  data = dataclasses.replace(
      problem.dataset, task=problems.task(outputs=4))
  with pytest.raises(ValueError, match='model with 4 outputs.*got 3'):
    dataclasses.replace(problem, dataset=data)


def test_splits_of_another_data_set_are_refused():
  problem = problems.problem()
  with pytest.raises(ValueError, match='Expected positions below 76'):
    dataclasses.replace(problem, splits=problems.splits(test=9))


def test_a_negative_seed_is_refused():
  with pytest.raises(ValueError, match='seed >= 0, got -1'):
    problems.problem(seed=-1)


@pytest.mark.parametrize('config, name', [
    (base.MethodConfig(), 'MethodConfig'), ('dlfd', 'str')])
def test_a_config_of_no_method_is_refused(config, name):
  with pytest.raises(ValueError, match=f'config of a method.*got {name}'):
    methods.unlearn(problems.problem(), config)


def test_a_batch_that_the_devices_cannot_share_is_refused():
  with pytest.raises(ValueError, match='divisible by the 3 devices, got 8'):
    methods.unlearn(
        problems.problem(), finetune.FinetuneConfig(batch_size=8),
        devices=problems.devices(3))


def result(monkeypatch, kept, history, chosen, steps=4):
  """What ``unlearn`` makes of a loop's end, with variables named by words."""
  out = loop.LoopResult(
      'last', kept, history, loop.FINISHED, steps,
      loop.Clock(phase_s={'a': 8.0, 'b': 1.0}, phase_steps={'a': 4, 'b': 4},
                 check_s=1.0, checks=2))
  plan = loop.Plan(steps={'a': None}, start=None, num_steps=4, batch=None,
                   check_every=2)

  class Controller:
    def choose(self, candidates, last):
      assert (candidates, last) == (kept, 'last')
      return chosen, 'because'

    def findings(self, chosen):
      return {'of': chosen}

  monkeypatch.setattr(loop, 'run', lambda *args, **options: out)
  monkeypatch.setattr(
      run, 'prepare', lambda setting, config, teaches: (plan, Controller()))
  return methods.unlearn(
      problems.problem(), finetune.FinetuneConfig(batch_size=8),
      devices=problems.devices())


def test_result_is_the_chosen_state(monkeypatch):
  kept = [({'step': 1}, 'one'), ({'step': 2}, 'two')]
  found = result(monkeypatch, kept, [{'step': 4}], chosen=1)
  assert (found.selected, found.last) == ('two', 'last')
  assert found.selected_step == 2
  assert found.findings == {'of': {'step': 2}}
  assert found.reason == 'because'


def test_result_without_a_choice_is_the_last_state(monkeypatch):
  found = result(monkeypatch, [], [{'step': 0}, {'step': 4}], chosen=None)
  assert (found.selected, found.selected_step) == ('last', 4)
  assert found.findings == {'of': {'step': 4}}


def test_a_last_state_that_was_not_measured_has_no_figures(monkeypatch):
  found = result(monkeypatch, [], [{'step': 0}, {'step': 2}], chosen=None)
  assert (found.selected, found.selected_step) == ('last', 4)
  assert found.findings == {'of': None}


def test_share_of_a_check_is_its_time_over_the_costliest_steps_between_two(
    monkeypatch):
  found = result(monkeypatch, [], [{'step': 4}], chosen=None)
  np.testing.assert_allclose(found.check_share, 0.5 / (2 * 2.0))
  assert run._check_share(loop.Clock(), 2) is None
  # Of stages the largest, whichever has the costlier steps.
  for shares, largest in (
      ((.3, .1), .3), ((None, .1), .1), ((None, None), None)):
    stages = [dataclasses.replace(found, check_share=share) for share in shares]
    assert run._joined(stages, found.config).check_share == largest
