"""RMIA and LiRA through the whole evaluation, at tier 2."""

import numpy as np
import pytest

from dlfd_jax.evaluation import references as references_lib, run
from dlfd_jax.metrics import per_example, stats
from tests.evaluation import fakes
from tests.evaluation.reference_attack_test import _World

_QUICK = run.EvaluationConfig(bootstrap=100, permutations=20, draws=1)
_SMALL = run.ReferenceConfig(
    probe_folds=2, probe_permutations=2, probe_people=5, jackknife_groups=3)
_DATA = fakes.dataset(people=120, images=3)
_PARTS = fakes.splits(_DATA)
_WORLD = _World(_DATA, _PARTS)
_AREAS = ('rmia_auc', 'rmia_auc_person', 'lira_auc', 'lira_auc_two_sided',
          'lira_auc_person', 'lira_auc_person_two_sided')
_OTHERS = ('lira_tpr_at_fpr_0.01', 'lira_fpr_at_fpr_0.01',
           'gap_mia_auc_retain_person')
_STAY = 'gap_rmia_auc_retain', 'gap_rmia_auc_retain_person'


def _evaluate(unlearned, retrained=5, *, without=(), tier=2, world=_WORLD,
              data=_DATA, halves=None):
  outputs = {'original': world.model(0, memory=3.0), 'unlearned': unlearned,
             'retrained': [world.model(100 + i) for i in range(retrained)]}
  for split in without:
    for of_model in (outputs['original'], unlearned, *outputs['retrained']):
      del of_model[split]
  result = run.evaluate(
      outputs, data, world.parts, _QUICK, tier=tier, reference_config=_SMALL,
      references=references_lib.References(halves=halves))
  return result, {r['metric']: r for r in result['metrics']}


def _halves(models=8):
  """Half-references: who is outside of one is as an unseen image to it."""
  units = stats.units_of(_DATA.identity[_PARTS.retain])
  outside = np.random.default_rng(3).permuted(np.tile(
      np.arange(models)[:, None] < models // 2, units.max() + 1), axis=0)[
          :, units]
  logits = [_WORLD.model(300 + k, stay=np.where(outside[k], 0.0, 2.0))
            for k in range(models)]
  return references_lib.Halves({split: np.stack([per_example.likelihood(
      _DATA.task, of_model[split], _DATA.labels[_PARTS.parts[split]])
                                         for of_model in logits])
                        for split in references_lib.HALVES}, outside)


@pytest.fixture(scope='module')
def honest():
  return _evaluate(_WORLD.model(7), halves=_halves())


def test_every_column_is_there(honest):
  result, found = honest
  for name in (*_AREAS, *_OTHERS, *_STAY):
    assert found[name]['tier'] == 2
    for column in ('original', 'unlearned', 'retrained', 'null', 'delta'):
      assert found[name][column]['value'] is not None, (name, column)
  assert 'rmia_auc' in result['verdicts']['forgetting']['metrics']


def test_a_planted_leak_is_seen_and_a_retrained_model_is_not(honest):
  _, found = honest
  for name in _AREAS:
    record = found[name]
    assert record['original']['value'] > .75, name
    assert record['original']['low'] > record['null']['high'], name
    assert record['verdict'] != 'distinguishable', name
    assert abs(record['null']['value'] - .5) < .08, name
  assert found['lira_tpr_at_fpr_0.01']['original']['value'] > .2
  assert found['lira_fpr_at_fpr_0.01']['unlearned']['value'] < .05


def test_exchanged_outputs_are_seen_two_sided():
  _, found = _evaluate(_WORLD.like_val(_WORLD.model(0, memory=3.0)))
  assert found['lira_auc_two_sided']['verdict'] == 'distinguishable'


@pytest.mark.long
def test_who_stays_is_exposed_or_not(honest):
  _, found = honest
  _, exposed = _evaluate(_WORLD.model(7, stay=4.0), halves=_halves())
  _, hidden = _evaluate(_WORLD.model(7, stay=0.0), halves=_halves())
  _, alone = _evaluate(_WORLD.model(7))
  for name in _STAY:
    assert found[name]['delta']['low'] < 0 < found[name]['delta']['high']
    assert exposed[name]['delta']['value'] > found[name]['delta']['value']
    assert hidden[name]['delta']['high'] < -.2, name  # as unseen images
    assert 'no half-references' in alone[name]['unlearned']['reason']
  likelihoods, outside = _halves().likelihoods, _halves().outside
  for change, words in ((np.zeros_like(outside), 'in all'),
                        (outside[:3], 'the same models')):
    with pytest.raises(ValueError, match=words):
      references_lib.Halves(likelihoods, change)
  assert likelihoods['retain'][~outside].mean() > (
      likelihoods['retain'][outside].mean() + .1)


def test_a_leak_of_attributes_is_seen():
  data = fakes.dataset(fakes.ATTRIBUTES, people=100, images=3)
  data.labels[::4, 0] = -1
  world = _World(data, fakes.splits(data))
  _, found = _evaluate(world.model(7), world=world, data=data)
  for name in ('rmia_auc', 'lira_auc'):
    assert found[name]['original']['value'] > .7, name


def test_the_slot_is_left_out_of_its_own_references(honest):
  """Its own margin in the mean would pull it towards 0 deviations."""
  _, found = honest
  rates = [found['lira_fpr_at_fpr_0.01'][column]['value']
           for column in ('unlearned', 'retrained')]
  assert np.ptp(rates) < .05


@pytest.mark.parametrize('retrained, without, tier, names, reason', [
    (3, (), 2, _AREAS, 'at least 4 retrained'),
    (4, ('val',), 2, ('rmia_auc',), 'no logits on val'),
    (4, ('retain',), 2, ('gap_mia_auc_retain_person',), 'no logits on retain')])
def test_what_cannot_be_computed_says_why(
    retrained, without, tier, names, reason):
  _, found = _evaluate(_WORLD.model(7), retrained, without=without, tier=tier)
  for name in names:
    assert reason in found[name]['unlearned']['reason']


def test_tier_1_has_none_of_it():
  result, found = _evaluate(_WORLD.model(7), tier=1)
  assert not set(found) & {*_AREAS, *_OTHERS}
  assert 'rmia_auc' not in result['verdicts']['forgetting']['metrics']
