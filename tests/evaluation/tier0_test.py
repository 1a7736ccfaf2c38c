"""The whole quick evaluation: complete, clean, signed, never too sure."""

import dataclasses
import json
import time

import numpy as np
import pytest

from dlfd_jax.data import leakage
from dlfd_jax.evaluation import run
from dlfd_jax.metrics import per_example
from tests.evaluation import fakes

_QUICK = run.EvaluationConfig(bootstrap=200, permutations=30, draws=2)
_DATA = fakes.dataset(people=120)
_SPLITS = fakes.splits(_DATA)
_OUTPUTS = {
    'original': fakes.logits(_DATA, _SPLITS, 1, forget=2.),
    'unlearned': fakes.logits(_DATA, _SPLITS, 2, forget=.3),
    'retrained': [fakes.logits(_DATA, _SPLITS, 3)]}


def _evaluate(outputs=_OUTPUTS, data=_DATA, splits=_SPLITS, **options):
  return run.evaluate(outputs, data, splits, _QUICK, **options)


def _by_name(result):
  names = [record['metric'] for record in result['metrics']]
  assert len(names) == len(set(names))
  return {record['metric']: record for record in result['metrics']}


def _plain(result):
  return {key: value for key, value in result.items() if key != 'per_example'}


@pytest.fixture(scope='module')
def result():
  return _evaluate()


@pytest.fixture(scope='module')
def metrics(result):
  return _by_name(result)


def test_all_metrics_of_a_multiclass_task(metrics):
  assert set(metrics) == {
      'accuracy_retain', 'accuracy_forget', 'accuracy_val', 'accuracy_test',
      'top2_accuracy_test', 'mia_auc', 'mia_auc_matched', 'mia_auc_person',
      'mia_auc_matched_entropy', 'mia_auc_matched_modified_entropy',
      'mia_accuracy', 'mia_accuracy_two_sided', 'mia_tpr_at_fpr_0.01',
      'mia_tpr_at_fpr_0.001', 'forgetting_score', 'nomus',
      'forgetting_score_unbalanced', 'nomus_unbalanced', 'ks_loss', 'rf_jsd',
      'over_forgetting'}


def test_result_is_strict_json(result):
  text = json.dumps(_plain(result), allow_nan=False)
  assert json.loads(text) == json.loads(json.dumps(_plain(result)))


def test_every_cell_has_a_number_or_a_reason(metrics):
  for name, record in metrics.items():
    assert record['direction'].split()[0] in ('higher', 'lower', 'raised')
    for column in ('original', 'unlearned', 'retrained', 'null', 'delta'):
      cell = record[column]
      assert (cell['value'] is None) == bool(cell['reason']), (name, column)
      if cell['low'] is not None:
        assert cell['low'] <= cell['value'] <= cell['high'], (name, column)


def test_numbers_point_the_right_way(metrics):
  main = metrics['mia_auc_matched']
  assert main['original']['low'] > .5
  assert main['original']['value'] > main['unlearned']['value']
  assert main['retrained']['low'] < .5 < main['retrained']['high']
  assert main['delta']['value'] == pytest.approx(
      main['unlearned']['value'] - main['retrained']['value'])
  assert metrics['over_forgetting']['verdict'] == 'none'
  assert main['unit'] == 'person' and main['n_units'] == 24 + 30
  assert metrics['accuracy_forget']['n_units'] == 24


def test_same_input_same_result(result):
  again = _evaluate()
  assert _plain(again) == _plain(result)
  for key, value in result['per_example'].items():
    np.testing.assert_array_equal(value, again['per_example'][key])


def test_an_equal_model_is_never_called_indistinguishable():
  same = {**_OUTPUTS, 'unlearned': _OUTPUTS['retrained'][0]}
  for record in _evaluate(same)['metrics']:
    if record['delta']['value'] is not None:
      assert record['delta']['value'] == 0
    assert record['verdict'] in (None, 'inconclusive', 'none')


def test_without_retrained_model_its_column_says_so():
  for retrained in ({}, {'retrained': []}):
    outputs = {key: _OUTPUTS[key] for key in ('original', 'unlearned')}
    found = _evaluate({**outputs, **retrained})
    records = _by_name(found)
    for record in records.values():
      assert record['retrained']['value'] is None
      assert record['retrained']['reason'] == 'no retrained model was given'
      assert record['delta']['reason'] == 'no retrained model was given'
    assert any(line.startswith('nomus (retrained, delta): no retrained')
               for line in found['not_computed'])


def test_remembering_is_distinguishable_from_unseen_data():
  outputs = {'unlearned': _OUTPUTS['original']}
  records = _by_name(_evaluate(outputs))
  assert records['mia_auc_matched']['verdict'] == (
      'distinguishable from unseen data')
  assert records['mia_auc']['original']['reason'] == (
      'no original model was given')
  assert records['rf_jsd']['unlearned']['value'] is None
  assert records['accuracy_test']['verdict'] is None


def test_several_retrained_models_are_averaged():
  three = [fakes.logits(_DATA, _SPLITS, seed) for seed in (3, 4, 5)]
  records = _by_name(_evaluate({**_OUTPUTS, 'retrained': three}))
  singles = [
      _by_name(_evaluate({'retrained': [one]}))['mia_auc']['retrained']['value']
      for one in three]
  cell = records['mia_auc']['retrained']
  assert cell['value'] == pytest.approx(np.mean(singles))
  notes = _evaluate({**_OUTPUTS, 'retrained': three})['notes']
  assert not any('One retrained model' in note for note in notes)


def test_over_forgetting_is_flagged_by_its_sign():
  unlearned = dict(_OUTPUTS['unlearned'])
  labels = _DATA.labels[_SPLITS.forget]
  forget = np.zeros((len(labels), 4), np.float32)
  forget[np.arange(len(labels)), labels] = -10.
  records = _by_name(_evaluate({
      **_OUTPUTS, 'unlearned': {**unlearned, 'forget': forget}}))
  warning = records['over_forgetting']
  assert warning['verdict'] == 'over-forgotten'
  assert warning['unlearned']['high'] < .5
  assert records['forgetting_score']['unlearned']['value'] > .9
  assert records['mia_auc']['unlearned']['value'] == pytest.approx(0, abs=.01)


def test_over_forgetting_of_the_data_itself_is_noted():
  unseen = fakes.logits(_DATA, _SPLITS, 5, forget=-3.)
  records = _by_name(_evaluate({'unlearned': unseen, 'retrained': [unseen]}))
  warning = records['over_forgetting']
  assert warning['verdict'] == 'over-forgotten'
  assert 'below one half too' in warning['notes'][0]


def test_multilabel_task_with_unknown_labels():
  data = fakes.dataset(fakes.ATTRIBUTES, people=60)
  data.labels[::7, 0] = -1
  data.labels[5] = -1
  splits = fakes.splits(data)
  found = _evaluate({
      'original': fakes.logits(data, splits, 1, forget=2.),
      'unlearned': fakes.logits(data, splits, 2),
      'retrained': [fakes.logits(data, splits, 3)]}, data, splits)
  json.dumps(_plain(found), allow_nan=False)
  records = _by_name(found)
  assert {'exact_match_test', 'balanced_accuracy_test/x', 'mia_auc_matched/z',
          'mia_auc_matched_margin'} <= set(records)
  assert 'top2_accuracy_test' not in records
  assert any('1 of retain' in note for note in found['notes'])
  assert len(found['per_example']['unlearned/retain/loss']) == len(
      splits.retain)


def test_arrays_per_example(result):
  arrays = result['per_example']
  for model in ('original', 'unlearned', 'retrained_0'):
    for split, part in _SPLITS.parts.items():
      for key in ('loss', 'margin'):
        got = arrays[f'{model}/{split}/{key}']
        assert got.dtype == np.float32 and got.shape == part.shape
  given = _OUTPUTS['unlearned']['test'], _DATA.labels[_SPLITS.test]
  np.testing.assert_allclose(
      arrays['unlearned/test/margin'],
      per_example.margin(_DATA.task, *given).astype(np.float32))
  np.testing.assert_array_equal(
      arrays['forget/sample_id'], _DATA.sample_id[_SPLITS.forget])
  np.testing.assert_array_equal(
      arrays['forget/identity'], _DATA.identity[_SPLITS.forget])
  np.testing.assert_array_equal(
      arrays['forget/labels'], _DATA.labels[_SPLITS.forget])


def test_data_are_described(result):
  data = result['data']
  assert data['n'] == 480 and data['people'] == 120
  assert data['splits']['forget'] == {'images': 96, 'people': 24}
  assert data['task'] == {'kind': 'multiclass', 'names': list('abcd')}
  assert data['by_person'] is True and data['leakage'] is None


def test_copies_become_records():
  rng = np.random.default_rng(0)
  images = rng.integers(0, 256, (480, 16, 16, 3)).astype(np.uint8)
  images[_SPLITS.test[0]] = images[_SPLITS.forget[0]]
  data = dataclasses.replace(_DATA, images=images)
  found = _evaluate(
      data=data, leakage=leakage.leakage_report(data, _SPLITS))
  json.dumps(_plain(found), allow_nan=False)
  records = _by_name(found)
  copies = records['duplicates_exact/forget-test']
  assert copies['unlearned']['value'] == 1 and copies['null']['value'] == 0
  assert records['duplicates_near/forget-retain']['unlearned']['value'] == 0
  assert found['data']['leakage']['exact']['forget-test'] == 1


@pytest.mark.parametrize('images', [1, 2, 4])
def test_a_request_of_one_person(images):
  data = fakes.dataset(people=60, images=images)
  splits = fakes.splits(data, (.5, .5 + 1 / 60, .75))
  found = _evaluate({
      'original': fakes.logits(data, splits, 1, forget=2.),
      'unlearned': fakes.logits(data, splits, 2),
      'retrained': [fakes.logits(data, splits, 3)]}, data, splits)
  json.dumps(_plain(found), allow_nan=False)
  records = _by_name(found)
  assert records['mia_auc']['unlearned']['value'] is not None
  assert (records['mia_accuracy']['unlearned']['value'] is None) == (
      images == 1)
  assert any('Forget shows' in note for note in found['notes'])


def test_default_settings_are_used():
  small = fakes.dataset(people=20)
  splits = fakes.splits(small)
  found = run.evaluate(
      {'unlearned': fakes.logits(small, splits, 1)}, small, splits)
  assert found['metrics'][0]['seeds'] == {'evaluation': 0}


@pytest.mark.slow
def test_a_whole_evaluation_ends_in_time():
  data = fakes.dataset(people=1000)
  splits = fakes.splits(data, (.5, .65, .8))
  assert len(splits.forget) == 600 and len(splits.test) == 800
  outputs = {
      'original': fakes.logits(data, splits, 1, forget=2.),
      'unlearned': fakes.logits(data, splits, 2, forget=.3),
      'retrained': [fakes.logits(data, splits, 3)]}
  start = time.process_time()
  run.evaluate(outputs, data, splits)
  assert time.process_time() - start < 25
