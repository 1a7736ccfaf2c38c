"""Pseudonyms: one for each person, everywhere, and names in no other place."""

import dataclasses
import re

import numpy as np

from dlfd_jax.data import requests, resolution, splits as splits_lib
from dlfd_jax.report import pseudonyms
from dlfd_jax.utils import text
from tests.data.examples import random_dataset
from tests.report import fakes


def _evaluation():
  """People 7 and 3 in forget, an image of nobody known, one copy in retain."""
  arrays = {'forget/sample_id': np.array(['Ann/1', 'Ann/2', 'Bob/1', 'x']),
            'forget/identity': np.array([7, 7, 3, -1], np.int32)}
  result = {
      **fakes.tier_1(), 'request': {
          'sha256_of_image_ids': 'ab', 'not_found': ['Dee']},
      'request_images': [{'id': name, 'sha256': 64 * '0'}
                         for name in arrays['forget/sample_id']],
      'people': [{'person': 7, 'unit': 'person'},
                 {'person': 'x', 'unit': 'image'},
                 {'person': 3, 'unit': 'person'}],
      'earlier': {'people': [{'person': 'Eve'}, {'person': None}]}}
  pair = {'forget': 'Bob/1', 'other': 'Cyd/9', 'part': 'retain',
          'kind': 'near', 'same_person': False}
  result['data']['leakage']['forget_pairs'] = [pair]
  return result, arrays


def test_everybody_has_one_pseudonym_in_every_place():
  result, arrays = _evaluation()
  key = pseudonyms.key_of(result, arrays)
  ann, bob = key.people[7], key.people[3]
  assert {ann, bob} == {'P1', 'P2'} and key.people[4711] == 'R1'
  assert key.images == {'Ann/1': f'{ann}.1', 'Ann/2': f'{ann}.2',
                        'Bob/1': f'{bob}.1', 'x': 'I1', 'Cyd/9': 'O1'}
  shown, called = pseudonyms.applied(result, arrays)
  assert [one['person'] for one in shown['people']] == [ann, 'I1', bob]
  assert shown['harm']['worst'][0]['person'] == 'R1'
  assert [one['id'] for one in shown['request_images']] == (
      called['forget/sample_id'].tolist()) == [
          f'{ann}.1', f'{ann}.2', f'{bob}.1', 'I1']
  assert called[pseudonyms.PERSON].tolist() == [ann, ann, bob, '']
  pair, = shown['data']['leakage']['forget_pairs']
  assert (pair['forget'], pair['other']) == (f'{bob}.1', 'O1')
  assert shown['request']['not_found'] == ['N1']
  assert [one['person'] for one in shown['earlier']['people']] == ['E1', None]
  assert key.as_dict({})['earlier'] == {'E1': 'Eve'}
  assert key.as_dict({})['not_found'] == {'N1': 'Dee'}
  assert result['people'][0]['person'] == 7  # the input is left as it was


def test_what_was_not_verified_loses_the_names_of_images():
  result, arrays = _evaluation()
  said = text.naming('Expected the images, got data without 1 of them.',
                     "'Bob/1'")
  result['verification'] = {'allowed': [said], 'unverified': [said],
                            'unchanged': False}
  shown, _ = pseudonyms.applied(result, arrays)
  for name in ('allowed', 'unverified'):
    assert shown['verification'][name] == [text.unnamed(said)]
  named, _ = pseudonyms.applied(result, arrays, {})
  assert named['verification'] == result['verification']


def test_names_stand_where_they_are_asked_for():
  result, arrays = _evaluation()
  shown, called = pseudonyms.applied(result, arrays, {7: 'Ann'})
  assert [one['person'] for one in shown['people']] == ['Ann', 'x', '3']
  assert called[pseudonyms.PERSON].tolist() == ['Ann', 'Ann', '3', '']
  assert shown['request_images'] == result['request_images']
  assert shown['earlier'] == result['earlier']
  key = pseudonyms.key_of(result, arrays)
  assert key.as_dict({7: 'Ann'})['people'] == {
      key.people[7]: 'Ann', key.people[3]: '3', 'R1': '4711'}


def test_numbers_tell_nothing_of_the_order_and_differ_by_request():
  def of_request(salt):
    people = pseudonyms.key_of({'request': {'sha256_of_image_ids': salt}}, {
        'forget/sample_id': np.arange(40).astype(np.str_),
        'forget/identity': np.arange(40)}).people
    return [people[code] for code in range(40)]

  in_order = [f'P{i + 1}' for i in range(40)]
  assert sorted(of_request('a')) == sorted(in_order)
  assert of_request('a') == of_request('a') != of_request('b')
  assert in_order not in (of_request('a'), of_request('b'))


def _notes_that_name():
  """All that a request and its split say of people and values by name."""
  names = ['Ann Ek', 'ann ek', 'Bo', 'Cy', 'Di', 'Ed']
  data = dataclasses.replace(
      random_dataset(np.repeat(np.arange(6), 2)),
      people=dict(enumerate(names)),
      columns={'hair': np.arange(12, dtype=np.int32) % 3},
      column_names={'hair': dict(enumerate(['Ann Ek', 'ann ek', 'dark']))})
  partition = splits_lib.Partition(
      np.arange(8), np.arange(8, 10), np.arange(10, 12))
  gone = {'old': 'Eve'}
  for wish in (
      {'identities': ['Ann Ek'], 'same_person': True},
      {'identities': ['Ann Ek'], 'same_person': False},
      {'identities': ['Bo', 'Eva'], 'missing': 'record'},
      {'identities': ['Bo', 'Eve']}, {'subclasses': ['hair:Ann Ek']}):
    yield resolution.resolve(
        data, partition.parts, requests.ForgetRequest(**wish), gone=gone
    ).notes()
  yield splits_lib.splits_notes(data, splits_lib.Splits(
      np.arange(4, 8), np.arange(2), *map(np.arange, (8, 10), (10, 12)),
      earlier=np.array([2, 3]), gone=gone))


def test_sentences_lose_the_names_they_quote():
  found = list(_notes_that_name())
  assert all(found)
  for notes in found:
    named = [note for note in notes if text.unnamed(note) != note]
    assert len(named) == 1
    for note in notes:
      said = text.unnamed(note)
      assert said.endswith('.') and text.unnamed(said) == said
      assert not re.search(r'ann ek|\bbo\b|\beva?\b', said, re.IGNORECASE)
  assert text.unnamed('Too few people.') == 'Too few people.'

