"""Sentences against numbers, and a tiny study from training to the page."""

import pytest

from dlfd_jax import presets
from dlfd_jax.evaluation import inputs as inputs_lib
from experiments.benchmarks import judged
from tests import tiny
from tests.experiments.benchmarks import faces


def _metric(value, verdict, tier=1, about='forget'):
  return {'tier': tier, 'about': about, 'original': .9, 'unlearned': value,
          'retrained': .5, 'p_value': .01, 'verdict': verdict, 'gate': None,
          'delta': {'value': value - .5, 'low': value - .6,
                    'high': value - .4}}


def _model(name, forgetting, apart=0, smallest_p=.02):
  return {
      'name': name, 'title': name.title(), 'ranked': 14, 'ranked_apart': apart,
      'smallest_p': smallest_p,
      'brought_back': {'recovery_accuracy': _metric(.7, 'distinguishable')},
      'verdicts': {
          'forgetting': {'verdict': forgetting, 'because': 'for a reason'},
          'utility': {'verdict': 'inconclusive', 'because': 'too wide'}},
      'metrics': {
          'gap_mia_auc_matched': _metric(.8, 'distinguishable'),
          'rmia_auc': _metric(.55, 'inconclusive', tier=2),
          'gap_accuracy_test': _metric(
              .4, 'distinguishable', about='test')}}


def test_data_sets_that_are_not_measured_anew_keep_their_command():
  first, second = ({'title': data.title} for data in judged.DATA)
  earlier = {'command': 'a', 'tasks': [first, {**second, 'models': []}]}
  assert judged.merged([second], earlier) == [
      {**first, 'command': 'a'}, second]
  assert judged.merged([second], {'tasks': []}) == [second]


def _task():
  return {
      'title': 'Faces', 'image_size': 32, 'train_epochs': 3, 'references': 8,
      'features': True, 'recovery_steps': 9, 'network': {'width': 8},
      'splits': {'forget': 20}, 'people': {'forget': 5},
      'cpu_s': {'retraining': 50.0, '0': 10.0, '1': 100.0, '2': 125.0},
      'models': [_model('original', 'distinguishable', apart=3),
                 _model('held_out', 'inconclusive', smallest_p=.12),
                 _model('retrained', 'distinguishable')]}


def test_sentences_say_the_numbers():
  said = judged.sentences(_task())
  assert said[0] == (
      '**Original**: forgetting is distinguishable, for a reason. Utility is '
      'inconclusive, too wide. By rank 3 of 14 people are told apart.')
  assert said[1].endswith(
      'By rank nobody could be told apart: the smallest p among so few unseen '
      'people is 0.120.')
  assert said[3] == (
      'Of 2 retrained models that are no references, 1 is called '
      'distinguishable in forgetting or utility.')
  assert ('0.2 retrainings at tier 0, 2 retrainings at tier 1, 2.5 '
          'retrainings at tier 2, in seconds') in said[4]


def test_only_metrics_of_forgetting_see_a_trace():
  model = _model('original', 'distinguishable')
  assert judged.seen_by(model) == ['gap_mia_auc_matched']
  assert judged.seen_by(model, 2) == []


def test_the_page_marks_what_is_told_apart():
  page = judged.markdown({
      'tasks': [_task()], 'command': 'x', 'device': 'cpu',
      'versions': {'jax': '1'}})
  assert '**+0.300 [+0.20, +0.40]**' in page
  assert '| +0.050 [-0.05, +0.15] |' in page
  assert '20 images of 5 people in forget' in page


@pytest.mark.long
@pytest.mark.parametrize('features', [True, False])
def test_a_study_from_training_to_the_page(tmp_path, monkeypatch, features):
  monkeypatch.setattr(judged, 'REFERENCES', 4)
  monkeypatch.setattr(judged, 'METHODS', ('finetune',))
  data, task = faces.data_and_task(tmp_path, features)
  common = {'devices': tiny.devices(), 'hooks': []}

  def measured():
    return judged.measure(
        data, task, tmp_path, inputs_lib.EvaluationConfig(
            bootstrap=20, permutations=20, draws=1), common, costs=True)

  found = measured()
  assert [model['name'] for model in found['models']] == [
      'original', 'held_out', 'retrained', 'finetune']
  assert set(found['cpu_s'] or ()) == (
      {'retraining', '0', '1', '2'} if features else set())
  assert all(set(judged.BACK) & set(model['brought_back'])
             for model in found['models'])
  after = found['models'][0]['brought_back']['recovery_accuracy']
  assert 0 <= after['retrained'] <= 1 and after['unlearned'] is not None
  again = measured()
  assert again == found  # read, not computed again
  assert 'RMIA' in judged.markdown({
      'tasks': [found], 'command': 'x', 'device': 'cpu',
      'versions': {'jax': '1'}})
  assert presets.PRESETS['london'].train.epochs > 1
