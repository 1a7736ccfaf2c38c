"""The simulation of verdicts judges as an evaluation does."""

import numpy as np
import pytest

from dlfd_jax.evaluation import run
from experiments.benchmarks import verdict_rates

_DATA, _SPLITS = verdict_rates.data_of(
    {'retain': 8, 'forget': 8, 'val': 2, 'test': 8}, verdict_rates.PER_PERSON)


@pytest.mark.slow
def test_it_gives_the_verdicts_of_whole_evaluations():
  original, judged, retrained = verdict_rates.simulated(
      _SPLITS, .1, .7, [0])

  def logits(of_model):
    return {name: np.where(
        _DATA.labels[_SPLITS.parts[name]][:, None] == [0, 1],
        values[:, None], 0) for name, values in of_model.items()}

  found = verdict_rates.verdicts(
      _DATA, _SPLITS, original, judged[1:3], retrained, (1, 3))
  for count in (1, 3):
    for model in judged[1:3]:
      whole = run.evaluate(
          {'original': logits(original), 'unlearned': logits(model),
           'retrained': [logits(one) for one in retrained[:count]]},
          _DATA, _SPLITS, run.EvaluationConfig(
              bootstrap=100, permutations=20, draws=1), tier=1)
      verdict, records = next(found)
      assert verdict == {
          what: one['verdict'] for what, one in whole['verdicts'].items()}
      deltas = {one['metric']: one['delta'] for one in whole['metrics']}
      for record in records:
        assert record.delta.as_dict() == deltas[record.metric]


def test_few_images_are_too_few_to_say():
  data, splits = verdict_rates.data_of(
      dict.fromkeys(verdict_rates.PARTS, 4), known=False)
  verdict, _ = next(verdict_rates.verdicts(
      data, splits, *verdict_rates.damaged(splits, [0]), (3,)))
  assert set(verdict.values()) == {'too few to say'}


@pytest.mark.slow
def test_many_people_can_be_indistinguishable_and_a_leak_is_not(monkeypatch):
  monkeypatch.setattr(verdict_rates, 'RETRAINED', (8,))
  rows, voters = verdict_rates.rates(300, 'alike', 2)
  shares = {(row['judged'], row['verdict_on']): row['indistinguishable']
            for row in rows}
  assert shares['retrained', 'forgetting'] > 0
  assert shares['retrained', 'utility'] > 0
  assert shares['leak', 'forgetting'] == shares['worse by .05', 'utility'] == 0
  assert {row['metric'] for row in voters} >= {
      'gap_mia_auc_matched', 'gap_accuracy_forget', 'normalised_js_forget',
      'reference_attack_two_sided', 'gap_accuracy_test'}


def test_shares_of_verdicts():
  found = verdict_rates.counted([
      'distinguishable (over-forgotten)', 'indistinguishable', 'cannot say',
      'indistinguishable per image; persons: cannot say at 9'])
  assert found['distinguishable'] == .25 and found['indistinguishable'] == .5
  assert sum(found.values()) == pytest.approx(1)
