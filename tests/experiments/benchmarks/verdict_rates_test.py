"""The simulation of verdicts judges as an evaluation does."""

import numpy as np
import pytest

from dlfd_jax.evaluation import run
from experiments.benchmarks import verdict_rates

_TINY = verdict_rates.Setting(
    {'retain': 8, 'forget': 8, 'val': 2, 'test': 8}, .1, .7, 1.,
    (1, 3), (0., 1.))


def test_it_gives_the_verdicts_of_a_whole_evaluation():
  data, splits = verdict_rates.data_of(
      _TINY.people, verdict_rates.PER_PERSON)
  margins = verdict_rates.leaking(splits, _TINY, 3, 1., [0])

  def logits(of_model):
    return {name: np.where(
        data.labels[splits.parts[name]][:, None] == [0, 1], values[:, None], 0)
            for name, values in of_model.items()}

  whole = run.evaluate(
      {'original': logits(margins['original']),
       'unlearned': logits(margins['unlearned']),
       'retrained': [logits(one) for one in margins['retrained']]},
      data, splits, run.EvaluationConfig(
          bootstrap=100, permutations=20, draws=1), tier=1)
  assert verdict_rates.verdicts(data, splits, margins) == {
      what: found['verdict'] for what, found in whole['verdicts'].items()}


def test_one_retrained_model_and_too_few_images_say_nothing():
  data, splits = verdict_rates.data_of(
      _TINY.people, verdict_rates.PER_PERSON)
  assert set(verdict_rates.verdicts(data, splits, verdict_rates.leaking(
      splits, _TINY, 1, 1., [0])).values()) == {'inconclusive'}
  data, splits = verdict_rates.data_of(
      dict.fromkeys(verdict_rates.PARTS, 4), known=False)
  assert set(verdict_rates.verdicts(data, splits, verdict_rates.damaged(
      splits, 3, [0])).values()) == {'too few to say'}


def test_shares_of_verdicts():
  found = verdict_rates.counted([
      'distinguishable (over-forgotten)', 'indistinguishable', 'cannot say',
      'indistinguishable per image; persons: cannot say at 9'])
  assert found['distinguishable'] == .25 and found['indistinguishable'] == .5
  assert sum(found.values()) == pytest.approx(1)
