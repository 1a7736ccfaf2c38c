"""Two releases, who stays exposed, and which model is nearer, as evaluated."""

import numpy as np
import pytest

from dlfd_jax import tasks
from dlfd_jax.evaluation import inputs, registry, run
from dlfd_jax.metrics import nearer
from tests.evaluation import fakes, reference_attack_test

_QUICK = run.EvaluationConfig(bootstrap=60, permutations=20, draws=1)
_SMALL = run.ReferenceConfig(
    probe_folds=2, probe_permutations=2, probe_people=5, jackknife_groups=3)
_DATA = fakes.dataset(people=60, images=3)
_WORLD = reference_attack_test._World(_DATA, fakes.splits(_DATA))
_ORIGINAL = _WORLD.model(0, memory=3.0)
OURS = ('two_releases', 'retain_exposure', 'mia_auc_retain', 'nearer_')


def _features(models):
  """Each network's logits beside what is its own, in axes of its own."""
  found = {}
  for seed, (name, model) in enumerate(models.items()):
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(6, 6)))[0]
    found[name] = {
        split: 2 + (1 + seed) * (np.pad(model[split], ((0, 0), (0, 6 - model[
            split].shape[1]))) @ turn + 1) for split in ('forget', 'test')}
  return found


def _given(unlearned, retrained=3, original=_ORIGINAL, world=_WORLD):
  others = [world.model(100 + i) for i in range(retrained)]
  singles = {'unlearned': unlearned}
  if original is not None:
    singles['original'] = original
  features = _features({**singles, **{
      f'retrained_{i}': other for i, other in enumerate(others)}})
  return {**singles, 'retrained': others}, run.References(features=features)


def _records(unlearned, world=_WORLD, **options):
  """Those records that are tested here."""
  outputs, references = _given(unlearned, world=world, **options)
  prepared = inputs.prepare(
      outputs, world.data, world.parts, _QUICK, references)
  return {metric.name: run.records(prepared, metric)[0].as_dict()
          for metric in registry.METRICS if metric.name.startswith(OURS)}


@pytest.fixture(scope='module')
def honest():
  outputs, references = _given(_WORLD.model(7))
  result = run.evaluate(
      outputs, _DATA, _WORLD.parts, _QUICK, tier=1, references=references,
      reference_config=_SMALL)
  return result, {r['metric']: r for r in result['metrics']
                  if r['metric'].startswith(OURS)}


def test_an_exact_deletion_exposes_the_deleted_as_much_as_retraining(honest):
  _, found = honest
  for name in ('two_releases', 'two_releases_retain', 'two_releases_outputs'):
    record = found[name]
    assert record['retrained']['value'] > .7, name
    assert record['unlearned']['low'] > .5, name
    assert record['delta']['low'] < 0 < record['delta']['high'], name
  assert 'even an exact deletion' in found['two_releases']['notes'][0]


def test_equal_releases_are_a_guess_and_expose_nobody_more():
  for name, record in _records(_ORIGINAL).items():
    if name.startswith('two_releases'):
      assert record['unlearned']['value'] == record['original']['value'] == .5
    elif name.startswith('retain_exposure'):
      assert record['unlearned']['value'] == record['original']['value'] == 0
    elif name.startswith('nearer'):
      assert record['original']['value'] == 1
      assert record['unlearned']['value'] == pytest.approx(1, abs=1e-5)
      assert record['verdict'] == nearer.ORIGINAL
      assert record['p_value'] == pytest.approx(.001)


def test_they_never_vote_and_have_neither_margin_nor_gate(honest):
  result, found = honest
  votes = {name for verdict in result['verdicts'].values()
           for name in verdict['metrics']}
  assert not votes & set(found)
  for record in found.values():
    assert record['margin'] is record['gate'] is record['power'] is None


def test_those_who_stay_can_be_easier_to_see_than_before():
  later = _WORLD.model(0, memory=3.0)
  labels = _DATA.labels[_WORLD.parts.retain]
  later['retain'][np.arange(len(labels)), labels] += 1.5
  found = _records(later)
  for name in ('retain_exposure', 'retain_exposure_person'):
    assert found[name]['unlearned']['value'] > 0, name
    assert found[name]['unlearned']['value'] == pytest.approx(
        found[name.replace('retain_exposure', 'mia_auc_retain')]['unlearned'][
            'value'] - found[name.replace(
                'retain_exposure', 'mia_auc_retain')]['original']['value'])
  assert found['retain_exposure']['unlearned']['low'] > 0


def test_an_honest_model_is_nearer_to_retrained_with_false_alarms_beside(
    honest):
  _, found = honest
  record = found['nearer_outputs_forget']
  assert record['verdict'] == nearer.RETRAINED and record['p_value'] <= .05
  assert record['unlearned']['high'] < 0 > record['null']['high']
  assert record['notes'][-1] == (
      'False alarms: of 3 retrained models, each judged by the others, 0 are '
      'called nearer to the original at 0.05.')
  assert found['nearer_outputs_test']['verdict'] == nearer.UNDECIDED


def test_the_original_plus_noise_is_nearer_to_it_in_axes_of_its_own():
  rng = np.random.default_rng(3)
  noisy = {split: (z + rng.normal(0, .2, z.shape)).astype(np.float32)
           for split, z in _ORIGINAL.items()}
  found = _records(noisy)
  for name in ('nearer_outputs_forget', 'nearer_features_forget'):
    assert found[name]['verdict'] == nearer.ORIGINAL, name
    assert found[name]['unlearned']['low'] > 0, name


def test_one_retrained_model_gives_a_difference_and_no_p_value():
  found = _records(_WORLD.model(7), retrained=1)
  record = found['nearer_outputs_forget']
  assert record['unlearned']['value'] < 0
  assert record['verdict'] is record['p_value'] is None
  assert record['notes'][-2].startswith('Mean distance to the original ')
  assert record['notes'][-1].startswith('No p-value: one retrained model')


def test_without_an_original_they_say_so():
  found = _records(_WORLD.model(7), original=None)
  for name, record in found.items():
    if name.startswith('mia_auc_retain'):
      assert record['unlearned']['value'] is not None
    else:
      assert record['unlearned']['reason'] == 'no original model was given'


def test_attributes_that_are_partly_unknown_are_compared_without_classes():
  data = fakes.dataset(fakes.ATTRIBUTES, people=60, images=3)
  data.labels[::4, 0] = tasks.UNKNOWN
  data.labels[5] = tasks.UNKNOWN
  world = reference_attack_test._World(data, fakes.splits(data))
  found = _records(world.model(7), original=world.model(0, memory=3.0),
                   world=world)
  assert all(record['unlearned']['value'] is not None
             for record in found.values())
  assert found['two_releases']['unlearned']['low'] > .5
  assert found['nearer_outputs_forget']['verdict'] == nearer.RETRAINED


def test_few_people_are_too_few_to_say():
  parts = fakes.splits(_DATA, (.4, .4 + 4 / 60, .75))
  world = reference_attack_test._World(_DATA, parts)
  found = _records(world.model(7), original=world.model(0, memory=3.0),
                       world=world)
  record = found['nearer_outputs_forget']
  assert record['verdict'] == 'too few to say' and record['p_value'] is None
  assert found['two_releases']['unlearned']['low'] is None


def test_stored_distances_give_nearness_by_features_again(honest):
  result, found = honest
  apart = {name.partition('/')[0]: values
           for name, values in result['per_example'].items()
           if name.endswith('/forget/apart')}
  assert set(apart) == {'original', 'unlearned', *(
      f'retrained_{i}' for i in range(3))}
  outputs, _ = _given(_WORLD.model(7))

  def again(apart):
    prepared = inputs.prepare(outputs, _DATA, _WORLD.parts, _QUICK,
                              run.References(apart=apart))
    return run.records(
        prepared, registry.find('nearer_features_forget'))[0].as_dict()

  assert again(apart) == found['nearer_features_forget']
  for altered in (-apart['unlearned'], apart['unlearned'][:, 1:]):
    with pytest.raises(ValueError, match='distances of unlearned to 5 models'):
      again({**apart, 'unlearned': altered})
