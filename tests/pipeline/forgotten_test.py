"""Who was forgotten travels from run to run, with what was found of them."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from dlfd_jax.data import splits as splits_lib
from dlfd_jax.pipeline import chain, forgotten
from dlfd_jax.report import answers
from tests.data.examples import random_dataset
from tests.report import fakes

SAVED: Any = None


def _splits(**more):
  """20 people of 3 images: who of them is where, by rows."""
  return splits_lib.Splits(
      np.arange(12, 30), np.arange(6, 12), np.arange(30, 45),
      np.arange(45, 60), **more)


def _judged(place='in memory', **record):
  return chain.Judged(SAVED, str(place), {'kind': 'unlearn'}, record)


def test_requests_are_numbered_and_keep_what_was_found(tmp_path):
  data = random_dataset()
  first = forgotten.of_run(_judged(), data, _splits(), 'R-2026-012')
  assert [(one['person'], one['request'], one['images'], one['date'])
          for one in first] == [('2', 1, 3, None), ('3', 1, 3, None)]
  run = _judged(tmp_path, forgotten=first, finished='2026-05-04T10:00:00')
  attack = {'value': .6, 'low': .5, 'high': .7, 'reason': None}
  ranks = [{'person': code, 'unit': 'person', 'value': 1., 'place': 2.,
            'told_apart': code == 2} for code in (2, 3)]
  result = {'finished': '2026-05-05T10:00:00', 'sha256': 'abc', 'people': ranks,
            'metrics': [{'metric': 'mia_auc_matched', 'unlearned': attack}]}
  forgotten.judge(run, {**result, 'config': {'tier': 1}}, data)
  forgotten.judge(run, {**result, 'people': []}, data)  # of a lower tier
  # Of the third request: their images are gone.
  later = dataclasses.replace(_splits(), forget=np.arange(12, 15),
                              retain=np.arange(15, 30),
                              gone={f'old_{k}': '23'[k % 2] for k in range(6)})
  second = forgotten.of_run(run, data, later)
  stored = tmp_path / forgotten.JUDGED
  whole = stored.read_text()
  stored.write_text(whole.replace('"told_apart": true', '"told_apart": false'))
  assert forgotten.is_altered(run)
  stored.write_text(whole)
  assert not forgotten.is_altered(run)
  assert [(one['person'], one['request'], one['id']) for one in second] == [
      ('2', 1, 'R-2026-012'), ('3', 1, 'R-2026-012'), ('4', 2, None)]
  assert second[0]['date'] == '2026-05-04T10:00:00'
  assert second[0]['judged']['told_apart'] is True
  assert second[1]['judged']['attack']['value'] == .6
  found = forgotten.found_again(_judged(forgotten=second), data, later, None)
  assert found['visible_again'] is None and [
      one['there'] for one in found['people']] == [0, 0]
  said, = found['sentences']
  assert 'of 2 people of earlier requests (R-2026-012): no image' in said
  assert 'was 0.600 (0.500 to 0.700)' in said
  assert 'judged (2026-05-05)' in said and '1 of them were told apart' in said


def test_earlier_versions_recorded_nobody():
  data = random_dataset()
  splits = _splits(earlier=np.arange(3), gone={'old_1': 'Ann', 'old_2': ''})
  listed = forgotten.of_run(_judged(), data, splits)
  assert [(one['person'], one['request']) for one in listed] == [
      ('0', None), ('Ann', None), (None, None), ('2', 2), ('3', 2)]
  again = dataclasses.replace(splits, forget=np.arange(12, 15),
                              retain=np.arange(15, 30))
  third = forgotten.of_run(_judged(forgotten=listed), data, again)
  assert [one['person'] for one in third].count(None) == 1
  found = forgotten.found_again(_judged(), data, splits, None)
  assert [one['there'] for one in found['people']] == [3, 0, 0]
  assert forgotten.found_again(_judged(), data, _splits(), None) is None


@pytest.mark.parametrize('again, low, who, said, visible', [
    (True, .6, [], 'they have become visible again.', True),
    (False, .6, [], 'they are visible; that they are so more than before is '
     'not shown.', False),
    (False, .4, [], 'that they are visible again as a group is not shown.',
     False),
    (None, None, [], 'too few to say', None),
    (False, .4, [0], '1 person of them can be told apart by rank again.',
     True)])
def test_visible_people_are_said(again, low, who, said, visible):
  data, splits = random_dataset(), _splits(earlier=np.arange(3))
  attack = {'visible_again': again, 'people': who, 'original': None,
            'unlearned': {'value': .7, 'low': low, 'high': low and .8}}
  found = forgotten.found_again(_judged(), data, splits, attack)
  assert found['visible_again'] is visible
  assert said in found['sentences'][0]
  assert found['who'] == [str(code) for code in who]
  older = forgotten.found_again(
      _judged(), data, splits, {**attack, 'older': True})['sentences'][0]
  assert 'takes the model that the request started from' in older
  assert 'an original before it that may know them' in older
  first = answers.answers({**fakes.result(), 'earlier': found})[0]
  assert ('visible again' in str(first)) is bool(visible)
