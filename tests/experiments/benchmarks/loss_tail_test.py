"""The loss tail against closed forms, and the rule by which it is kept."""

import numpy as np
import pytest

from experiments.benchmarks import loss_tail
from tests.evaluation import fakes

_DATA = fakes.dataset(people=60)
_PARTS = fakes.splits(_DATA)


def test_the_tail_is_the_share_above_nearly_all_members():
  unseen = np.array([.5, 3.5, 5, 6])
  for rate, share in ((0, .5), (.25, .75), (.74, .75), (1, 1)):
    assert loss_tail.loss_tail(
        np.array([1., 2, 3, 4]), unseen, rate) == share
  rng = np.random.default_rng(0)
  members, others = rng.normal(size=(2, 200_000))
  assert loss_tail.loss_tail(members, others + 1, .01) == pytest.approx(
      .092362, abs=.005)  # the TPR at 1 % FPR of a shift by one deviation


def _logits(seed, forget):
  return fakes.logits(_DATA, _PARTS, seed, forget=forget, noise=1.)


def _models(memories):
  others = [_logits(10 + i, 0.) for i in range(4)]
  return [{'name': str(memory), 'left_out': False, **loss_tail.figures(
      _logits(i, memory), others, _DATA, _PARTS)}
          for i, memory in enumerate(memories)]


def test_models_that_remember_more_rank_higher_by_every_figure():
  found = loss_tail.correlations(_models((0., 1., 2., 4.)))
  assert found['mia_auc_matched']['rmia_auc'] == {
      'spearman': pytest.approx(1), 'kendall': pytest.approx(1)}
  assert found['loss tail, 0.05']['rmia_auc']['spearman'] > .7


def _result(tail, main):
  def world():
    correlations = {name: dict.fromkeys(loss_tail.TIER_2, None)
                    for name in loss_tail.TIER_0}
    for name, value in (('loss tail, 0.01', tail), ('mia_auc_matched', main)):
      correlations[name]['rmia_auc'] = {'spearman': value, 'kendall': value}
    return correlations

  model = {'name': 'original', 'left_out': False, **dict.fromkeys(
      (*loss_tail.TIER_0, *loss_tail.TIER_2), .5)}
  return {'worlds': [{
      'world': 'w', 'forget': 3, 'test': 3, 'models': [model],
      'correlations': world(), 'without_left_out': world()}],
      'command': 'c', 'device': 'cpu', 'versions': {'jax': '1'}}


@pytest.mark.parametrize('tail, main, kept', [
    (.9, .9, True), (.9, .95, False), (.79, .5, False)])
def test_the_rule_keeps_what_ranks_as_well_as_what_is_there(tail, main, kept):
  result = _result(tail, main)
  assert loss_tail.kept(result) == ['loss tail, 0.01'] * kept
  page = loss_tail.markdown(result)
  assert ('in the program: no.' in page) == (not kept) and '-' in page


def test_a_figure_that_is_the_same_for_all_has_no_rank():
  model = dict.fromkeys((*loss_tail.TIER_0, *loss_tail.TIER_2), .5)
  found = loss_tail.correlations([model, model])
  assert found['ks_loss']['rmia_auc'] is None
