"""The attack that knows nothing of the unlearning, and rows against words."""

import time

import numpy as np
import pytest

from dlfd_jax.evaluation import inputs as inputs_lib
from dlfd_jax.utils import spent
from experiments.benchmarks import shadow_rows, shadowed
from tests import tiny
from tests.experiments.benchmarks import faces


@pytest.mark.parametrize('left, low, high', [
    (1.0, .70, .80), (0.0, .47, .53)])
def test_the_unaware_attack_sees_what_is_left(left, low, high):
  rng = np.random.default_rng(0)
  states = np.stack([rng.permutation(np.repeat([0, 1], 16))
                     for _ in range(300)], axis=1).astype(np.int8)
  hard, rest = rng.normal(0, 2, 300), rng.normal(0, 1, states.shape)
  before = hard + rest + 1.0 * states
  after = hard + rest + left * states
  # One standard deviation: an AUC of .76 (fewer by the fit), else a guess,
  # when the models' own noise is drawn anew.
  fresh = after + rng.normal(0, 1, states.shape) - rest
  found = shadow_rows.unaware_auc(fresh, before, states)
  assert low < found < high


def _row(method, value, verdict='inconclusive'):
  return {'method': method, 'models': 32, 'unaware': .61, 'because': '',
          'verdict': verdict, 'retrainings': None if method == 'nothing' else {
              'train': 31.96, 'unlearn': 7.0, 'evaluate': .25},
          'metrics': {'u_lira_auc': {
              'original': .9, 'unlearned': value, 'retrained': None,
              'null': .49, 'delta': value - .49, 'low': value - .1,
              'high': value + .1, 'why': None, 'verdict': verdict,
              'gate': None}}}


def test_the_page_says_the_numbers():
  page = shadowed.markdown({'tasks': [{
      'title': 'Faces', 'image_size': 32, 'train_epochs': 3, 'references': 8,
      'network': {'width': 8}, 'splits': {'forget': 200},
      'people': {'forget': 5}, 'shadow_models': 32,
      'rows': [_row('nothing', .95, 'distinguishable'),
               _row('dlfd_restore', .55)]}],
      'command': 'x', 'device': 'cpu', 'versions': {'jax': '1'}})
  assert '| DLFD + restore | 32 | 0.550 [0.45, 0.65], null 0.490 | - |' in page
  assert ('- Nothing (the original): U-LiRA 0.950 where there is nothing to '
          'find 0.490 (distinguishable); the attack that does not know of the '
          'unlearning 0.610.') in page
  assert 'could not show any at 0.05 over 200 images' in page
  assert ('Cost in retrainings, by seconds of the processor: 32.0 to train '
          'the shadow models; to make them forget, and to evaluate: DLFD + '
          'restore 7.0 and 0.25.') in page


@pytest.mark.long
def test_a_tiny_study_has_a_row_for_each_method(tmp_path, monkeypatch):
  monkeypatch.setattr(shadow_rows, 'REFERENCES', 4)
  with spent.account(time.perf_counter()):  # as a command keeps it
    found = shadowed.measure(
        *faces.data_and_task(tmp_path), tmp_path, inputs_lib.EvaluationConfig(
            bootstrap=20, permutations=20, draws=1),
        {'devices': tiny.devices(), 'hooks': []}, shadows=12,
        methods=('finetune',), stand_ins=12)
  assert [row['method'] for row in found['rows']] == [
      'nothing', 'finetune', 'retrained']
  for row in found['rows']:
    assert row['metrics']['u_lira_auc']['unlearned'] is not None
    assert 0 <= row['unaware'] <= 1
  cost = found['rows'][1]['retrainings']
  assert cost['train'] > 0 < cost['unlearn'] and cost['evaluate'] > 0
  assert found['rows'][0]['retrainings'] is None
