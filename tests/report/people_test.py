"""Ranks of people in words."""

import pytest

from dlfd_jax.report import people


def _entry(code, **changes):
  return {'person': code, 'unit': 'person', 'images': 3, 'compared': 3,
          'unseen': 60, 'value': .4, 'p': .31, 'p_adjusted': .31,
          'smallest_p': 2 / 61, 'low': -1.9, 'high': 2.1, 'told_apart': False,
          'original_p': 2 / 61, 'place': 19.0, **changes}


@pytest.mark.parametrize('changes, said', [
    ({}, 'Person 12 (3 images): not told apart from 60 unseen people, p 0.31 '
     '(the original: 0.033): only a trace above +2.100 (or below -1.900) '
     'standard deviations would have been, here it is +0.400.'),
    ({'value': 3., 'p': 2 / 61, 'p_adjusted': 2 / 61, 'told_apart': True},
     'Person 12 (3 images): told apart from 60 unseen people, p 0.033 (the '
     'original: 0.033): at +3.000 standard deviations, where unseen ones end '
     'at -1.900 and +2.100.'),
    # Means over draws of p and of the ends may disagree at the edge.
    ({'value': 2.2, 'p': .051, 'p_adjusted': .051},
     'Person 12 (3 images): not told apart from 60 unseen people, p 0.051 (the '
     'original: 0.033), at +2.200 standard deviations.'),
    ({'unseen': 20, 'low': None, 'high': None, 'smallest_p': 2 / 21,
      'unit': 'image', 'person': 'a.png', 'original_p': None},
     'Image a.png: not told apart from 20 unseen images, p 0.31. No trace '
     'could be: the smallest p of so few is 0.095, and p of 0.05 takes 39 '
     'unseen.')])
def test_one_person_is_told_apart_or_not_and_what_would_have_been(
    changes, said):
  assert people.sentences({'people': [_entry(12, **changes)]}) == [said]


@pytest.mark.parametrize('changes, said', [
    # Its own p would do for one person, not for one of five.
    ({'value': 2.3, 'p': 2 / 61, 'p_adjusted': 10 / 61, 'low': None,
      'high': None}, 'p 0.033, 0.16 adjusted for 5 (the original: 0.033). No '
     'trace alone could be: the smallest p of so few is 0.033, and p of 0.05, '
     'adjusted for 5, takes 199 unseen.'),
    ({'value': 2.3, 'p_adjusted': 1., 'low': -2.8, 'high': 2.6}, ': only a '
     'trace above +2.600 (or below -2.800) standard deviations would have been '
     'alone, here it is +2.300.'),
    # Among others that stand out, too, less is enough.
    ({'value': 2.3, 'told_apart': True, 'low': None, 'high': None},
     ': at +2.300 standard deviations.'),
    ({'value': 2.3, 'told_apart': True, 'low': -2.8, 'high': 2.6},
     ': at +2.300 standard deviations.')])
def test_of_several_people_each_needs_more(changes, said):
  entries = [_entry(1, **changes), *(_entry(i) for i in range(2, 6))]
  assert people.sentences({'people': entries})[0].endswith(said)


def test_of_many_the_sentence_says_if_none_could_stand_out():
  few = [_entry(i, low=None, high=None) for i in range(20)]
  assert people.sentences({'people': few}) == [
      'By rank among 60 unseen, 0 of 20 people to forget are told apart at '
      '0.05 (Benjamini and Hochberg); none alone could be: p of 0.05, adjusted '
      'for 20, takes 799 unseen.']


def test_images_of_nobody_known_are_not_counted_as_people():
  found, = people.sentences({'people': [_entry(1), *(
      _entry(f'{i}.png', unit='image') for i in range(12))]})
  assert '0 of 1 person and 12 images to forget are told apart' in found


def test_a_few_have_a_sentence_each_and_an_adjusted_p():
  found = people.sentences({'people': [
      _entry(1, p_adjusted=.4), _entry(2, value=None)]
      + [_entry(3, p_adjusted=.4)]})
  assert len(found) == 2 and all('0.4 adjusted for 2' in s for s in found)


def test_of_many_those_who_stand_out_are_named():
  entries = [_entry(i, told_apart=i < 2) for i in range(30)]
  assert people.sentences({'people': entries}) == [
      'By rank among 60 unseen, 2 of 30 people to forget are told apart at '
      '0.05 (Benjamini and Hochberg): 0, 1.']
  assert people.sentences({'people': entries[2:]})[0].endswith(
      '0 of 28 people to forget are told apart at 0.05 (Benjamini and '
      'Hochberg).')


def test_without_two_retrained_models_there_is_a_place_and_no_p():
  bare = dict.fromkeys(('p', 'p_adjusted', 'smallest_p', 'low', 'high',
                        'told_apart', 'original_p'))
  said, = people.sentences({'people': [_entry(12, **bare)]})
  assert said.startswith('Person 12 (3 images): place 19 of 61 among unseen '
                         'people and this one')
  assert 'p takes two retrained models' in said and 'apart' not in said
  said, = people.sentences({'people': [
      _entry(i, **bare, place=i + 2.5) for i in (3, 4)]})
  assert said.startswith(
      'Place among unseen people and this one (1 = most like somebody seen): '
      '3 (3 images) 5.5 of 61; 4 (3 images) 6.5 of 61. There is no p: p takes ')
  said, = people.sentences({'people': [_entry(i, **bare) for i in range(30)]})
  assert said.startswith('30 people to forget are ranked among unseen ones, '
                         'without p')
  row, = people.rows({'people': [_entry(12, **bare)]})
  assert row['place'] == '19 of 61'
  assert row['p'] == row['told apart'] == 'not computed'


@pytest.mark.parametrize('result', [
    {}, {'people': None}, {'people': []}, {'people': [_entry(1, value=None)]}])
def test_without_ranks_nothing_is_said(result):
  assert people.sentences(result) == [] and people.rows(result) == []


def test_the_table_has_a_row_a_person():
  row, = people.rows({'people': [_entry(12)]})
  assert row['Person'] == '12' and row['told apart'] == 'no'


def test_people_of_earlier_requests_have_what_was_found_of_them_then():
  attack = {'value': .52, 'low': .48, 'high': .56}
  rows = people.earlier_rows({'earlier': {'people': [
      {'person': 'Eve', 'request': 1, 'id': 'R-7',
       'date': '2026-05-04T09:30:59Z', 'images': 6, 'there': 0, 'judged': {
           'date': '2026-05-05T10:00:00Z', 'attack': attack,
           'told_apart': False}},
      {'person': None, 'request': None, 'judged': None}]}})
  assert list(rows[0].values()) == [
      'Eve', '1 (R-7)', '2026-05-04', '6', '0', '2026-05-05',
      '0.520 (0.480 to 0.560)', 'no']
  assert list(rows[1].values()) == ['unknown'] + 7 * ['not computed']
  assert people.earlier_rows({}) == []
