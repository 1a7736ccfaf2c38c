"""The demo's own goal, on five seeds of everything it draws."""

import json
import statistics

import pytest

from dlfd_jax import runs
from dlfd_jax.cli import demo

SEEDS = range(5)


def _value(result, metric, column):
  record = next(r for r in result['metrics'] if r['metric'] == metric)
  return record[column]['value']


@pytest.fixture(scope='module')
def results(tmp_path_factory):
  found = []
  for seed in SEEDS:
    workdir = tmp_path_factory.mktemp('demo') / str(seed)
    assert demo.main([f'--seed={seed}', f'--workdir={workdir}']) == 0
    assert (workdir / runs.REPORT).is_file()
    found.append(json.loads(
        (workdir / 'evaluation' / runs.RESULT).read_text('utf-8')))
  return found


@pytest.mark.slow
def test_the_demo_has_something_to_forget_on_every_seed(results):
  for result in results:
    assert _value(result, 'mia_auc_matched', 'original') >= 0.65


@pytest.mark.slow
def test_the_attack_sees_unlearned_nearer_to_retrained_on_every_seed(results):
  for result in results:
    original, unlearned, retrained = (
        _value(result, 'mia_auc_matched', name)
        for name in ('original', 'unlearned', 'retrained'))
    assert abs(unlearned - retrained) < abs(unlearned - original)


@pytest.mark.slow
def test_accuracy_is_within_three_points_of_retrained_over_the_seeds(results):
  gaps = [_value(result, 'accuracy_test', 'unlearned')
          - _value(result, 'accuracy_test', 'retrained')
          for result in results]
  assert abs(statistics.fmean(gaps)) <= 0.03, gaps


def test_the_goal_is_said_in_one_line():
  def result(auc, accuracy):
    return {'kind': 'evaluation', 'schema': 1, 'metrics': [
        {'metric': metric, 'units': 'fraction', **{
            name: {'value': value} for name, value in zip(
                ('original', 'unlearned', 'retrained'), values, strict=True)}}
        for metric, values in (('mia_auc_matched', auc),
                               ('accuracy_test', accuracy))]}

  met = demo.goal_sentence(result((0.9, 0.55, 0.5), (0.6, 0.58, 0.6)))
  assert met.startswith('Goal met') and '-2.0' in met
  missed = demo.goal_sentence(result((0.9, 0.8, 0.5), (0.6, 0.5, 0.6)))
  assert missed.startswith('Goal not met here')
  assert 'nearer to the original' in missed and '-10.0 points' in missed
