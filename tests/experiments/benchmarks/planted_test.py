"""What is planted, its page, and a tiny run."""

import dataclasses

import numpy as np
import pytest

from dlfd_jax.data import sources
from dlfd_jax.evaluation import inputs as inputs_lib
from experiments.benchmarks import planted, shadow_rows
from tests import tiny
from tests.evaluation import fakes as data_lib

DATA = sources.DataOptions(image_size=16, people=60, images_per_person=2)


def test_larger_shares_hold_the_people_of_smaller_ones():
  data = data_lib.dataset()
  parts = data_lib.splits(data)
  kept = [set(data.identity[planted.with_share(data, parts, share).retain])
          for share in (0, .25, .5, .75)]
  assert [len(people) for people in kept] == sorted(map(len, kept))
  for smaller, larger in zip(kept, kept[1:]):
    assert smaller < larger
  half = planted.with_share(data, parts, .5)
  assert not set(half.retain) & set(half.forget)
  assert not set(data.identity[half.retain]) & set(
      data.identity[half.forget])
  assert set(half.retain) | set(half.forget) == set(
      parts.retain) | set(parts.forget)


def test_repeated_images_are_there_so_many_times():
  data = data_lib.dataset()
  parts = data_lib.splits(data)
  more, split = planted.repeated(data, parts, 3)
  copies = split.train[split.train >= len(data)]
  assert len(copies) == 2 * len(parts.forget)
  for person in np.unique(data.identity[parts.forget]):
    assert (more.identity[split.train] == person).sum() == 3 * (
        data.identity[parts.forget] == person).sum()
  np.testing.assert_array_equal(split.test, parts.test)


def _row(value, verdict='inconclusive', null=.5):
  return {'original': .9, 'unlearned': value, 'retrained': .5, 'null': null,
          'delta': value - .5, 'low': value - .1, 'high': value + .1,
          'why': None, 'verdict': verdict, 'gate': None}


def _result(values):
  return {
      'image_size': 16, 'references': 8, 'shadow_models': 32,
      'splits': {'forget': {'images': 240, 'people': 40}},
      'leaks': [{
          'leak': str(value), 'because': '',
          'verdict': 'distinguishable' if value > .7 else 'inconclusive',
          'metrics': {name: _row(value) for name in planted.LEAK_METRICS}}
                for value in values],
      'unlearned': [{
          'method': 'dlfd', 'models': 32, 'unaware': .61, 'because': '',
          'verdict': 'inconclusive', 'metrics': {
              'u_lira_auc': _row(.55, null=.49)}}],
      'command': 'x', 'device': 'cpu', 'versions': {'jax': '1'}}


@pytest.mark.parametrize('values, words', [
    ((.5, .6, .9), 'larger with every leak'),
    ((.6, .5, .9), 'not larger with every leak')])
def test_sentences_and_page_say_the_numbers(values, words):
  result = _result(values)
  said = planted.sentences(result)
  assert said[0] == ('Told apart at tier 2: 0.9; not: '
                     f'{values[0]}, {values[1]}.')
  assert said[1].endswith(f', {words}.')
  assert said[3] == (
      'DLFD: U-LiRA 0.550 where there is nothing to find 0.490 '
      '(inconclusive); the attack that does not know of the unlearning 0.610.')
  page = planted.markdown(result)
  assert '| 0.9 | 0.900 [0.80, 1.00] |' in page
  assert '| DLFD | 32 | 0.550 [0.45, 0.65], null 0.490 | - |' in page


def test_a_page_without_shadow_models_says_so():
  page = planted.markdown({
      **_result((.5, .9)), 'shadow_models': 0, 'unlearned': []})
  assert 'U-LiRA with shadow models was not run for this page.' in page


@pytest.mark.long
def test_a_tiny_run_makes_both_tables(tmp_path, monkeypatch):
  monkeypatch.setattr(shadow_rows, 'REFERENCES', 4)
  monkeypatch.setattr(planted, '_TRAIN', dataclasses.replace(
      planted._TRAIN, epochs=1))
  world = planted.make_world(
      tmp_path, DATA, devices=tiny.devices(), hooks=[])
  result = planted.measure(
      world, inputs_lib.EvaluationConfig(
          bootstrap=20, permutations=20, draws=1),
      shadows=12, stand_ins=12, methods=('finetune',))
  assert [row['method'] for row in result['unlearned']] == [
      'nothing', 'finetune', 'retrained']
  assert len(result['leaks']) == 6
  for row in result['unlearned']:
    assert row['metrics']['u_lira_auc']['unlearned'] is not None
    assert 0 <= row['unaware'] <= 1
  assert 'Retraining' in planted.markdown({
      **result, 'command': 'x', 'device': 'cpu', 'versions': {'jax': '1'}})
