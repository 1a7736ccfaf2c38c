"""Stored outputs give the figures of an evaluation again, or say which not."""

import contextlib
import copy
import dataclasses
import json

import numpy as np
import pytest

from dlfd_jax.evaluation import again, kept, registry, run, shadows
from dlfd_jax.metrics import forgetting, usable
from tests.evaluation import fakes, run_test, shadows_test

_CONFIG = run.EvaluationConfig(bootstrap=20, permutations=20, draws=1)


def _made(task, retrained=4, tier=2):
  data = fakes.dataset(task, people=40)
  data = dataclasses.replace(data, columns={
      'age/loss': np.arange(len(data), dtype=np.int32) % 3 // 2})
  splits = fakes.splits(data)
  outputs = run_test._outputs(data, splits, retrained)
  references = run_test._references(outputs) if tier else None
  if references:  # relearn times of which AIN cannot be computed
    references = dataclasses.replace(references, relearned={
        name: [forgetting.RelearnTime(0)] * 2 for name in references.relearned})
  found = run.evaluate(
      outputs, data, splits, _CONFIG, tier=tier, references=references,
      reference_config=run_test._SMALL)
  arrays = found.pop('per_example')
  record = {**found, 'config': dataclasses.asdict(_CONFIG) | {
      'tier': tier, 'tier_1': dataclasses.asdict(run_test._SMALL)}}
  return json.loads(json.dumps(record)), arrays


@pytest.fixture(scope='module')
def made():
  return _made(fakes.CLASSES)


def _base(name):
  return name.partition('/')[0]


@pytest.mark.parametrize('task', [
    fakes.CLASSES, pytest.param(fakes.ATTRIBUTES, marks=pytest.mark.slow)])
def test_all_but_features_follows_from_the_outputs(made, task):
  record, arrays = made if task == fakes.CLASSES else _made(task)
  checked = again.check(record, arrays)
  assert {_base(name) for name in checked.left} == {
      one.name for one in registry.METRICS
      if one.name.startswith(('probe', 'cka', 'silhouette'))}
  assert checked.values > 500


def _numbers(tree, path=()):
  """Where the numbers of a record stand, and a changed one for each."""
  if isinstance(tree, dict | list):
    for key, value in (tree.items() if isinstance(tree, dict)
                       else enumerate(tree)):
      yield from _numbers(value, (*path, key))
  elif type(tree) in (int, float):
    yield path, tree + 1 if type(tree) is int else tree + .0005


def _altered(record, path, value):
  other = copy.deepcopy(record)
  place = other
  for key in path[:-1]:
    place = place[key]
  place[path[-1]] = value
  return other


@pytest.mark.slow
def test_one_changed_number_of_each_metric_is_found(made, monkeypatch):
  """Each metric once, another column each time; what is left is not."""
  record, arrays = made
  left = again.check(record, arrays).left
  # The same each time:
  inputs = again._prepare(record, arrays, *again._rebuilt(record, arrays))
  fresh = again._records(inputs, record)
  monkeypatch.setattr(again, '_prepare', lambda *_: inputs)
  monkeypatch.setattr(again, '_records', lambda *_: fresh)
  for i, one in enumerate(record['metrics']):
    numbers = list(_numbers(one, ('metrics', i)))
    path, value = numbers[(7 * i) % len(numbers)]
    other = _altered(record, path, value)
    if one['metric'] in left:
      assert again.check(other, arrays).left == left
      continue
    with pytest.raises(ValueError, match='as the stored outputs give it'):
      again.check(other, arrays)


@pytest.mark.parametrize('path, value', [
    (('metrics', 0, 'verdict'), 'indistinguishable'),
    (('metrics', 0, 'notes'), ['All is well.']),
    (('verdicts', 'forgetting', 'verdict'), 'cannot say'),
    (('verdicts', 'utility', 'because'), 'so it is'),
    (('people', 0, 'p'), .5), (('harm', 'worst'), []),
    (('config', 'auc_margin'), .2), (('data', 'splits', 'test', 'people'), 9),
    (('not_computed',), [])])
def test_verdicts_ranks_and_settings_are_compared_too(made, path, value):
  record, arrays = made
  with pytest.raises(ValueError, match='stored outputs give it'):
    again.check(_altered(record, path, value), arrays)


@pytest.mark.long
@pytest.mark.parametrize('learnt', [False, True])
def test_the_accuracy_that_was_lost_is_compared_and_the_rest_is_named(
    made, learnt):
  record, arrays = made
  if learnt:
    arrays = arrays | {f'val/{kept.LEARNT}': (
        np.arange(len(arrays['val/identity'])) % 3 == 0)}
  outputs, data, splits = again._rebuilt(record, arrays)
  lost = kept.drops(outputs, data, splits, {
      'val': arrays[f'val/{kept.LEARNT}']} if learnt else {})
  whole = {**record, 'sha256': 'sealed', 'do_not_use': usable.sentences(lost),
           'losses': [one.as_dict() for one in lost]}
  images = {one.part: one.images for one in lost}
  assert images['val'] == len(arrays['val/identity']) - sum(
      arrays.get(f'val/{kept.LEARNT}', [0]))
  left = again.check(whole, arrays).left
  for key, value in (('losses', []), ('do_not_use', ['Fine.']), ('losses', [
      {**one, 'unlearned': one['original']} for one in whole['losses']])):
    with pytest.raises(ValueError, match='stored outputs give it'):
      again.check({**whole, key: value}, arrays)
  for key in again._SECTIONS:
    assert again.check({**whole, key: {'attack': {}}}, arrays).left == (
        *left, again._SECTIONS[key])


def test_a_metric_that_was_left_out_or_added_is_found(made):
  record, arrays = made
  with pytest.raises(ValueError, match='mia_auc among the metrics, got none'):
    again.check({**record, 'metrics': [
        one for one in record['metrics'] if one['metric'] != 'mia_auc']},
        arrays)
  more = {**record['metrics'][0], 'metric': 'of_tomorrow'}
  assert 'of_tomorrow' in again.check(
      {**record, 'metrics': [*record['metrics'], more]}, arrays).left


@pytest.mark.parametrize('name', [
    'unlearned/forget/loss', 'retrained_2/test/margin', 'original/val/logits',
    'random_0/forget/logits', 'forget/labels', 'test/identity',
    'retain/columns'])
def test_an_altered_array_does_not_give_the_figures(made, name):
  record, arrays = made
  values = np.roll(arrays[name], 5, axis=0)
  with pytest.raises(ValueError, match='Expected'):
    again.check(record, {**arrays, name: values})


def test_epsilons_that_an_earlier_version_did_not_store_are_none(
    made, monkeypatch):
  record, arrays = made
  n = len(arrays['forget/sample_id'])
  monkeypatch.setattr(shadows, 'stored', lambda *_: {
      shadows.EPSILON: np.zeros(n)})
  with pytest.raises(ValueError, match='epsilon_lb as .*, got none'):
    again.check(record, arrays)
  with pytest.raises(ValueError, match='epsilon_lb as .*, got others'):
    again.check(record, arrays | {shadows.EPSILON: np.ones(n)})


def test_quick_evaluations_without_references_follow_too():
  record, arrays = _made(fakes.CLASSES, retrained=0, tier=0)
  assert again.check(record, arrays).left == ()


@pytest.mark.long
def test_figures_of_shadow_models_follow_from_their_margins():
  found, of_tier_3 = shadows_test._evaluate(dataclasses.replace(
      shadows_test._shadows(trace=1., keep=True), accuracies={
          name: np.linspace(.5, 1, 48).reshape(24, 2)
          for name in ('before', 'unlearned', 'retrained')}))
  arrays = found.pop('per_example')
  record = json.loads(json.dumps({**found, 'config': dataclasses.asdict(
      shadows_test._QUICK) | {
          'tier': 3, 'tier_1': dataclasses.asdict(shadows_test._SMALL)}}))
  assert not set(again.check(record, arrays).left) & set(of_tier_3)
  for name in ('klom_forget', 'klom_forget/95 %', 'challenge_final_score'):
    assert of_tier_3[name]['unlearned']['value'] is not None, name
  for change in (
      {'shadows/accuracies/unlearned': np.full((24, 2), .5)},
      # So few models show of no image an epsilon.
      {shadows.EPSILON: np.ones(len(arrays['forget/sample_id']))}):
    with pytest.raises(ValueError, match='challenge_final_score|epsilon_lb'):
      again.check(record, arrays | change)
  arrays['shadows/forget/unlearned'][3, 4] += 5
  with pytest.raises(ValueError, match='u_lira|klom|epsilon|privacy|images'):
    again.check(record, arrays)


def test_copies_are_compared_with_the_data():
  leakage = {kind: dict.fromkeys(('forget-retain', 'forget-test', 'forget-val'),
                                 0) for kind in ('exact', 'near')}
  one = {'metric': 'duplicates_near/forget-test', **{
      column: {'value': 0.0} for column in ('original', 'unlearned')}}
  again.check_copies({'metrics': [
      {**one, 'retrained': {'value': 0.0}}]}, leakage)
  with pytest.raises(ValueError, match='forget-test of 0, as the data give it'):
    again.check_copies({'metrics': [
        {**one, 'retrained': {'value': 1.0}}]}, leakage)


@pytest.mark.long
def test_what_is_missing_is_named_without_a_traceback(made):
  """A signer may leave out or exchange what they like."""
  record, arrays = made
  left = again.check(record, arrays).left
  for name in list(arrays)[::48]:
    if name.endswith(('loss', 'margin', 'logits')) or '/' not in name:
      with contextlib.suppress(ValueError):
        assert len(again.check(record, {
            key: array for key, array in arrays.items() if key != name}
                               ).left) > len(left), name
  for path in ([(key,) for key in record] + [
      (key, inner) for key in ('data', 'config') for inner in record[key]] + [
          ('metrics', 0, key) for key in record['metrics'][0]])[::12]:
    other = _altered(record, path, None)
    place = other
    for key in path[:-1]:
      place = place[key]
    with contextlib.suppress(ValueError):  # some of it no figure needs
      again.check(other, arrays)
    if path[-1] != 'metric':
      del place[path[-1]]
    with contextlib.suppress(ValueError):
      again.check(other, arrays)
