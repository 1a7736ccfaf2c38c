"""What is read of a run's history, and sentences against numbers."""

import numpy as np
import pytest

from dlfd_jax.metrics import attack
from experiments.benchmarks import live_thresholds as program


def test_phases_of_a_history():
  history = [{'step': step, 'next_phase': name} for step, name in (
      (0, 'distance'), (6, 'finetune'), (12, 'distance'), (18, 'finetune'))]
  history.append({'step': 20})
  assert program.phases(history) == {
      'last_distance': 12, 'changes': 3, 'checks': 5}
  assert program.phases(history[1:2])['last_distance'] is None


def test_folds_move_the_score_and_not_the_auc():
  rng = np.random.default_rng(0)
  members, others = rng.normal(.2, 1, 60), rng.normal(0, 1, 60)
  found = program.spread_of_foldings(members, others)
  assert found['auc'] == pytest.approx(
      2 * abs(attack.auc(members, others) - .5))
  assert found['lowest'] < found['highest']


def test_the_null_of_the_score_at_a_hundred_a_side():
  mean, high = program.null_of_score(100, 100)
  assert mean == pytest.approx(.076, abs=.01)
  assert high == pytest.approx(.16, abs=.03)


def _cell(by, point, seed, delta):
  metric = {'original': .9, 'unlearned': .5 + delta, 'retrained': .5,
            'delta': delta}
  return {'seed': seed, 'by': by, 'point': point, 'threshold': .2,
          'sizes': [90, 90], 'steps': 75, 'selected_step': 70, 'reason': '',
          'last_distance': 12, 'changes': 3, 'checks': 12,
          'metrics': {name: metric for name in program._METRICS}}


def test_sentences_and_page_say_the_numbers():
  cells = [_cell(by, point, seed, delta * (-1)**seed)
           for seed in (0, 1)
           for by, delta in ((program.BY_AUC, .02), (program.BY_SCORE, .05))
           for point in ('95 % point', 'mean')]
  result = {
      'seeds': 2, 'cells': cells, 'command': 'x', 'device': 'cpu',
      'versions': {'jax': '1'}, 'foldings': [
          {'seed': 0, 'model': 'retrained', 'lowest': .0, 'highest': .19,
           'auc': .07}]}
  said = program.sentences(result)
  assert '0.020' in said[0] and '0.050' in said[0]
  assert said[0].endswith('the first is nearer.')
  assert 'between 0.000 and 0.190 (retrained, seed 0)' in said[2]
  page = program.markdown(result)
  assert f'| {program.BY_SCORE}, mean | 0.200 ± 0.000 | 12, 12 |' in page
